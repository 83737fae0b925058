//! Streams that break at any byte: every file of the destination is wholly old or wholly new, nothing temporary is
//! left, and both ends say that the transfer failed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rsync_engine::options::{Delete, TransferOptions};
use testkit::TreeSpec;

use crate::pair::{Break, Ends, Pair};

/// Contents by path; directories and links with what tells them apart.
pub(crate) type Snapshot = BTreeMap<PathBuf, Vec<u8>>;

pub(crate) fn snapshot(root: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(root.join(&dir)).expect("a directory of ours") {
            let entry = entry.expect("a directory of ours");
            let path = dir.join(entry.file_name());
            let meta = entry.metadata().expect("nobody else is here");
            let what = if meta.is_dir() {
                todo.push(path.clone());
                b"directory".to_vec()
            } else if meta.is_symlink() {
                let target = fs::read_link(entry.path()).expect("a link");
                format!("link {}", target.display()).into_bytes()
            } else {
                fs::read(entry.path()).expect("a file of ours")
            };
            found.insert(path, what);
        }
    }
    found
}

/// A source and a destination in which everything happens: new, changed, unchanged, vanished, replaced.
pub(crate) struct Trees {
    dir: tempfile::TempDir,
    before: TreeSpec,
}

impl Trees {
    pub(crate) fn new() -> Self {
        // Thousands of renames over existing files: a disk would be asked to write each of them.
        let dir = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| testkit::temp_dir());
        let big: Vec<u8> = (0..3000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let mut edited = big.clone();
        edited[5000..5004].copy_from_slice(b"edit");
        TreeSpec::new()
            .file("changed", &edited)
            .mtime(1_700_000_000, 5)
            .file("same", "unchanged")
            .mtime(1_000_000_000, 0)
            .file("new", "fresh content")
            .file("dir/inner", "inside")
            .file("dir/sub/deep", "deeper")
            .symlink("link", "same")
            .file("swap", "now a file")
            .build(dir.path().join("source"));
        let before = TreeSpec::new()
            .file("changed", &big)
            .file("same", "unchanged")
            .mtime(1_000_000_000, 0)
            .file("dir/old", "extraneous")
            .file("gone/away", "extraneous")
            .symlink("link", "elsewhere")
            .symlink("swap", "a link");
        before.build(dir.path().join("before"));
        Self { dir, before }
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    pub(crate) fn before(&self) -> PathBuf {
        self.dir.path().join("before")
    }

    /// A destination that nobody has touched.
    pub(crate) fn destination(&self) -> PathBuf {
        let path = self.dir.path().join("destination");
        if path.exists() {
            fs::remove_dir_all(&path).expect("it is ours");
        }
        self.before.build(&path);
        path
    }
}

fn options() -> TransferOptions {
    TransferOptions {
        delete: Delete::Default,
        whole_file: Some(false),
        ..TransferOptions::archive()
    }
}

#[track_caller]
pub(crate) fn assert_whole(what: &str, now: &Snapshot, old: &Snapshot, new: &Snapshot) {
    for (path, content) in now {
        let known = [old.get(path), new.get(path)].contains(&Some(content));
        assert!(known, "{what}: {} is neither old nor new", path.display());
    }
    for path in old.keys() {
        let kept = new.contains_key(path);
        assert!(
            !kept || now.contains_key(path),
            "{what}: {} is lost",
            path.display()
        );
    }
}

#[track_caller]
fn assert_equal(what: &str, now: &Snapshot, new: &Snapshot) {
    assert!(now.keys().eq(new.keys()), "{what}: {:?}", now.keys());
    for (path, content) in now {
        assert!(new[path] == *content, "{what}: {}", path.display());
    }
}

fn break_at_every_byte(pair: &Pair, data: bool) {
    let trees = Trees::new();
    let (old, new) = (snapshot(&trees.before()), snapshot(&trees.source()));
    let mut at = 0;
    loop {
        let mut pair = pair.clone();
        let fault = if at % 2 == 0 {
            Break::End(at)
        } else {
            Break::Fails(at)
        };
        *(if data {
            &mut pair.data
        } else {
            &mut pair.requests
        }) = Some(fault);
        let destination = trees.destination();
        let what = format!("{fault:?} of {}", if data { "data" } else { "requests" });
        let ends = pair.copy(&trees.source(), &destination);
        let now = snapshot(&destination);
        assert_whole(&what, &now, &old, &new);
        if let Ends {
            sent: Ok(_),
            received: Ok(_),
            ..
        } = ends
        {
            assert_equal(&what, &now, &new);
            assert!(at > 100, "a transfer has bytes");
            return;
        }
        // Odd, so that both kinds of breaks come to all places over the tests.
        at += 3;
    }
}

#[test]
fn a_push_may_break_at_any_byte_of_its_data() {
    break_at_every_byte(&Pair::new(options()), true);
}

#[test]
fn a_push_may_break_at_any_byte_of_its_requests() {
    break_at_every_byte(&Pair::new(options()), false);
}

#[test]
fn a_pull_may_break_at_any_byte_of_its_data() {
    break_at_every_byte(&Pair::new(options()).pull(), true);
}

#[test]
fn a_pull_may_break_at_any_byte_of_its_requests() {
    break_at_every_byte(&Pair::new(options()).pull(), false);
}

#[test]
fn old_protocols_may_break_at_any_byte_too() {
    for protocol in [29, 30] {
        let pair = Pair::new(options()).protocol(protocol);
        break_at_every_byte(&pair, true);
        break_at_every_byte(&pair.clone().pull(), false);
    }
}

#[test]
fn streams_may_come_in_any_pieces() {
    let trees = Trees::new();
    for at_most in [1, 2, 3, 7, 700] {
        for protocol in [29, 30, 31, 32] {
            for push in [true, false] {
                let pair = Pair {
                    at_most,
                    push,
                    ..Pair::new(options()).protocol(protocol)
                };
                let destination = trees.destination();
                pair.copy(&trees.source(), &destination).assert_code(0);
                let what = format!("{at_most} bytes a read at protocol {protocol}");
                assert_equal(&what, &snapshot(&destination), &snapshot(&trees.source()));
            }
        }
    }
}
