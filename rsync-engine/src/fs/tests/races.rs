//! The tree changes between two system calls (05-security 5.2): the hook exchanges a directory and
//! a link.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::*;

/// Exchanges two paths before the n-th system call of any kind.
#[derive(Debug)]
struct Flip {
    left: AtomicU32,
    one: PathBuf,
    other: PathBuf,
}

impl Interpose for Flip {
    fn before(&self, _op: Op) -> Result<()> {
        if self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
            == Ok(1)
        {
            // What is to be exchanged may be gone already.
            let _ = renameat_with(CWD, &self.one, CWD, &self.other, RenameFlags::EXCHANGE);
        }
        Ok(())
    }
}

type Work = (&'static str, fn(&Tree) -> Result<()>);

/// What sessions do, below `top/mid/leaf`.
const WORK: &[Work] = &[
    ("read", |tree| {
        let dir = tree.open_dir(p("top/mid"), Links::Refuse)?;
        let data = read_all(dir.open_read(n("leaf"), Atime::Update)?);
        assert_ne!(data, CANARY_TEXT);
        Ok(())
    }),
    ("read through links", |tree| {
        let data = read_all(tree.open_read(p("top/mid/leaf"), Links::Beneath, Atime::Update)?);
        assert_ne!(data, CANARY_TEXT);
        Ok(())
    }),
    ("receive", |tree| {
        let dir = tree.open_dir(p("top/mid"), Links::Refuse)?;
        let mut temp = dir.create_temp(n("leaf"), 0o644, TempPlace::Beside)?;
        temp.file().write_at(b"received", 0)?;
        temp.file().set_attrs(&evil_attrs(), None).ok()?;
        temp.publish(&dir, n("leaf"))
    }),
    ("update in place", |tree| {
        let dir = tree.open_dir(p("top/mid"), Links::Refuse)?;
        let file = dir.open_write(n("leaf"))?;
        file.write_at(b"received", 0)?;
        file.set_attrs(&evil_attrs(), None).ok()
    }),
    ("set attributes", |tree| {
        let dir = tree.open_dir(p("top/mid"), Links::Refuse)?;
        let node = dir.open_node(n("leaf"))?;
        let now = node.stat()?;
        node.set_attrs(&evil_attrs(), &now).ok()?;
        let now = dir.self_stat()?;
        dir.set_attrs(&evil_attrs(), &now).ok()
    }),
    ("make directories", |tree| {
        let (dir, _) = tree.make_dirs(p("top/mid/sub/more"), Links::Refuse, 0o755)?;
        dir.symlink(n("made"), b"x")
    }),
    ("special files", |tree| {
        let dir = tree.open_dir(p("top/mid"), Links::Refuse)?;
        let staged = dir.stage_special(n("leaf"), Special::Fifo, 0o600)?;
        let node = staged.node()?;
        node.set_attrs(&evil_attrs(), &node.stat()?).ok()?;
        staged.publish(&dir, n("leaf"))
    }),
    ("hard link", |tree| {
        let dir = tree.open_dir(p("top/mid"), Links::Refuse)?;
        dir.stage_link(n("other"), &dir, n("leaf"))?
            .publish(&dir, n("other"))
    }),
    ("delete", |tree| {
        let mut report = deletion::Report::default();
        remove_tree(
            tree.root(),
            n("top"),
            p("top"),
            RemoveOptions::default(),
            &mut report,
        )
        .map(drop)
    }),
    ("delete on one file system", |tree| {
        let options = RemoveOptions {
            one_file_system: true,
            ..RemoveOptions::default()
        };
        let dir = tree.open_dir(p("top"), Links::Refuse)?;
        remove_tree(
            &dir,
            n("mid"),
            p("top/mid"),
            options,
            &mut deletion::Report::default(),
        )
        .map(drop)
    }),
    ("scan", |tree| {
        let mut buf = ListBuf::default();
        let dir = tree.root().open_list(n("top"))?.open_list(n("mid"))?;
        let mut listing = dir.list(&mut buf)?;
        while let Some(entry) = listing.next() {
            let entry = entry?;
            assert_ne!(entry.name, b"secret");
            dir.stat_opt(Name::new(entry.name)?)?;
        }
        Ok(())
    }),
];

fn evil_attrs() -> Attrs {
    Attrs {
        uid: is_root().then_some(801),
        mode: Some(0o777),
        mtime: Some(Timestamp { secs: 1, nsec: 0 }),
        ..Attrs::default()
    }
}

#[test]
fn a_flip_at_any_system_call_leads_nowhere() {
    let mut flips = 0;
    for (work, run) in WORK {
        for place in ["top", "top/mid", "top/mid/leaf"] {
            for kind in 0..5 {
                let mut at = 1;
                loop {
                    let mut done = true;
                    both_in_memory(|site| {
                        site.dirs("top/mid/sub");
                        site.file("top/mid/leaf", b"content");
                        plant(site, place, kind);
                        let flip = Flip {
                            left: at.into(),
                            one: site.at(place),
                            other: site.tmp.path().join("flip"),
                        };
                        let flip = Arc::new(flip);
                        let tree = site.tree.with_hook(flip.clone()).unwrap();
                        // An error for this entry, or success inside; what was flipped in is never
                        // used.
                        let _ = run(&tree);
                        site.assert_canary();
                        done &= flip.left.load(Ordering::Relaxed) > 0;
                        flips += 1;
                    });
                    if done {
                        break;
                    }
                    at += 1;
                }
            }
            assert!(flips > 10, "{work}");
        }
    }
    assert!(flips > 1500, "{flips}");
}

/// Puts beside the root what will take the place of something inside.
fn plant(site: &Site, place: &str, kind: u32) {
    let flip = site.tmp.path().join("flip");
    let out = site.out(if place.ends_with("leaf") {
        "secret"
    } else {
        ""
    });
    let depth = place.split('/').count();
    let file = if place.ends_with("leaf") {
        "/secret"
    } else {
        ""
    };
    let target = match kind {
        0 => out,
        1 => format!("{}out{file}", "../".repeat(depth)).into(),
        2 => format!("/proc/self/root{}", out.display()).into(),
        3 => "/proc/self/cwd".into(),
        _ => {
            // A directory of somebody else, not a link.
            fs::create_dir_all(flip.join("mid/sub")).unwrap();
            std::os::unix::fs::symlink(site.out(""), flip.join("mid/sub/x")).unwrap();
            return;
        }
    };
    std::os::unix::fs::symlink(target, flip).unwrap();
}
