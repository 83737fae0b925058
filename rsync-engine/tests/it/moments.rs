//! What happens in the middle of a transfer: cancelling, panics, files that change under our hands.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rsync_engine::fs::{Errno, Interpose, Links, Op, RelPathBuf, Tree};
use rsync_engine::options::{Delete, TransferOptions};
use rsync_engine::receive::Destination;
use rsync_engine::{Cancel, Error, Event, Events};
use testkit::{Compare, TreeSpec};

use crate::faults::{Trees, assert_whole, snapshot};
use crate::pair::{Ends, Pair, Recorder, contents, options, tree};

/// Does something in front of the n-th system call, of one operation or of all.
struct At {
    op: Option<Op>,
    left: AtomicU32,
    action: Mutex<Box<dyn FnMut() + Send>>,
}

impl At {
    fn new(op: Option<Op>, nth: u32, action: impl FnMut() + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            op,
            left: AtomicU32::new(nth),
            action: Mutex::new(Box::new(action)),
        })
    }

    fn came(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }
}

impl std::fmt::Debug for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "At({:?})", self.op)
    }
}

impl Interpose for At {
    fn before(&self, op: Op) -> Result<(), Errno> {
        let counts = self.op.is_none_or(|wanted| wanted == op);
        if counts
            && self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                == Ok(1)
        {
            (self.action.lock().expect("no panic in actions"))();
        }
        Ok(())
    }
}

fn hooked(path: &Path, hook: &Arc<At>) -> Tree {
    let hook = Arc::clone(hook) as Arc<dyn Interpose>;
    tree(path).with_hook(hook).expect("a duplicate")
}

fn within(tree: Tree) -> Destination {
    Destination::Within {
        tree,
        links: Links::Refuse,
        path: RelPathBuf::root(),
        slash: true,
    }
}

fn deleting() -> TransferOptions {
    TransferOptions {
        delete: Delete::Default,
        whole_file: Some(false),
        ..TransferOptions::archive()
    }
}

#[test]
fn cancelling_at_any_system_call_leaves_whole_files() {
    let trees = Trees::new();
    let (old, new) = (snapshot(&trees.before()), snapshot(&trees.source()));
    for push in [true, false] {
        for nth in 1.. {
            let cancel = Cancel::new();
            let handle = cancel.clone();
            let hook = At::new(None, nth, move || handle.cancel());
            let destination = trees.destination();
            let pair = Pair {
                push,
                ..Pair::new(deleting())
            };
            let ends = pair.run_with(
                contents(&tree(&trees.source())),
                within(hooked(&destination, &hook)),
                &cancel,
                Arc::new(Recorder::default()),
            );
            if !hook.came() {
                ends.assert_code(0);
                assert!(nth > 50, "a transfer makes system calls");
                break;
            }
            assert_whole(
                &format!("cancelled at call {nth}"),
                &snapshot(&destination),
                &old,
                &new,
            );
        }
    }
}

/// Panics at an event.
#[derive(Debug)]
struct Panics(AtomicU32);

impl Events for Panics {
    fn event(&self, _event: Event<'_>) {
        assert!(self.0.fetch_sub(1, Ordering::Relaxed) != 0, "as planned");
    }
}

#[test]
fn a_panic_in_a_role_ends_the_session_and_nothing_more() {
    let trees = Trees::new();
    let (old, new) = (snapshot(&trees.before()), snapshot(&trees.source()));
    for push in [true, false] {
        for nth in [0, 3, 5, 8] {
            let destination = trees.destination();
            let pair = Pair {
                push,
                ..Pair::new(deleting())
            };
            let ends = pair.run_with(
                contents(&tree(&trees.source())),
                within(tree(&destination)),
                &Cancel::new(),
                Arc::new(Panics(AtomicU32::new(nth))),
            );
            let ours = if push { &ends.sent } else { &ends.received };
            assert!(matches!(ours, Err(Error::Internal { .. })), "{ends:?}");
            let theirs = if push { &ends.received } else { &ends.sent };
            assert!(theirs.is_err(), "{ends:?}");
            assert_whole("panic", &snapshot(&destination), &old, &new);
        }
    }
}

/// A changed file whose basis changes once the block sums are on their way.
struct Delta {
    dir: tempfile::TempDir,
}

impl Delta {
    fn new() -> Self {
        let dir = testkit::temp_dir();
        TreeSpec::new()
            .random_file("s/f", 1, 50_000)
            .mtime(1_700_000_000, 0)
            .random_file("d/f", 1, 49_000)
            .build(dir.path());
        Self { dir }
    }

    fn source(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    fn destination(&self) -> PathBuf {
        self.dir.path().join("d")
    }

    /// Damages the basis in front of the given numbers of temporary files.
    fn run(&self, protocol: u32, words: &[&str], times: u32) -> Ends {
        let basis = self.destination().join("f");
        let mut left = times;
        let hook = Arc::new(EachCreate(Mutex::new(Box::new(move || {
            if left > 0 {
                left -= 1;
                let mut bytes = fs::read(&basis).expect("ours");
                bytes[10_000 + 5_000 * left as usize] ^= 0xff;
                fs::write(&basis, bytes).expect("ours");
            }
        }))));
        let hook = hook as Arc<dyn Interpose>;
        let destination = tree(&self.destination())
            .with_hook(hook)
            .expect("a duplicate");
        Pair::new(options(words))
            .protocol(protocol)
            .run(contents(&tree(&self.source())), within(destination))
    }
}

/// Does something in front of every creation of a file.
struct EachCreate(Mutex<Box<dyn FnMut() + Send>>);

impl std::fmt::Debug for EachCreate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EachCreate")
    }
}

impl Interpose for EachCreate {
    fn before(&self, op: Op) -> Result<(), Errno> {
        if op == Op::Create {
            (self.0.lock().expect("no panic in actions"))();
        }
        Ok(())
    }
}

#[test]
fn a_basis_that_changes_is_noticed_and_the_file_sent_again() {
    for protocol in [29, 30, 31, 32] {
        for words in [
            &["-rt", "--no-W"][..],
            &["-rt", "--no-W", "--no-inc-recursive"],
        ] {
            let delta = Delta::new();
            delta.run(protocol, words, 1).assert_code(0);
            assert_eq!(
                testkit::differences(&delta.source(), &delta.destination(), &Compare::exact()),
                Vec::<String>::new(),
                "protocol {protocol}"
            );
        }
    }
}

#[test]
fn a_file_that_fails_twice_is_reported_and_the_old_one_kept() {
    for protocol in [29, 30, 31, 32] {
        let delta = Delta::new();
        let ends = delta.run(protocol, &["-rt", "--no-W"], 2);
        ends.assert_code(23);
        let told = "ERROR: f failed verification -- update discarded.";
        assert!(
            ends.events.iter().any(|event| event.contains(told)),
            "{:?}",
            ends.events
        );
        assert_eq!(
            fs::metadata(delta.destination().join("f"))
                .expect("kept")
                .len(),
            49_000
        );
        assert_eq!(snapshot(&delta.destination()).len(), 1);
    }
}

#[test]
fn partial_keeps_what_came() {
    let dir = testkit::temp_dir();
    let (source, destination) = (dir.path().join("s"), dir.path().join("d"));
    TreeSpec::new().random_file("f", 1, 300_000).build(&source);
    for partial in [false, true] {
        let _ = fs::remove_dir_all(&destination);
        fs::create_dir(&destination).expect("ours");
        let mut pair = Pair::new(options(if partial {
            &["-rt", "--partial"]
        } else {
            &["-rt"]
        }));
        pair.data = Some(crate::pair::Break::End(200_000));
        let ends = pair.copy(&source, &destination);
        assert!(ends.received.is_err());
        let kept = fs::read(destination.join("f")).unwrap_or_default();
        let whole = fs::read(source.join("f")).expect("ours");
        assert!(whole.starts_with(&kept));
        assert_eq!(!kept.is_empty(), partial, "{} bytes", kept.len());
        assert_eq!(snapshot(&destination).len(), usize::from(partial));
        Pair::new(options(&["-rtu"]))
            .copy(&source, &destination)
            .assert_code(0);
        assert_eq!(fs::read(destination.join("f")).expect("sent"), whole);
    }
}

/// Runs a copy while `change` happens in front of the first `op` of the sender.
fn while_sending(
    op: Op,
    words: &[&str],
    protocol: u32,
    spec: &TreeSpec,
    change: impl FnMut(&Path) + Send + 'static,
) -> (Ends, tempfile::TempDir) {
    let dir = testkit::temp_dir();
    let (source, destination) = (dir.path().join("s"), dir.path().join("d"));
    spec.build(&source);
    fs::create_dir(&destination).expect("ours");
    let (mut change, at) = (change, source.clone());
    let hook = At::new(Some(op), 1, move || change(&at));
    let ends = Pair::new(options(words)).protocol(protocol).run(
        contents(&hooked(&source, &hook)),
        within(tree(&destination)),
    );
    assert!(hook.came());
    (ends, dir)
}

#[test]
fn a_file_that_vanishes_is_a_warning() {
    for protocol in [29, 30, 31, 32] {
        let spec = TreeSpec::new().file("a", "vanishes").file("b", "stays");
        let (ends, dir) = while_sending(Op::OpenRead, &["-rt"], protocol, &spec, |source| {
            fs::remove_file(source.join("a")).expect("ours");
        });
        let (Ok(sent), Ok(received)) = (&ends.sent, &ends.received) else {
            panic!("{ends:?}");
        };
        assert_eq!(sent.exit_code(), 24);
        // Below 30 nothing says why the file did not come.
        assert_eq!(received.exit_code(), if protocol == 29 { 23 } else { 24 });
        assert!(
            ends.events
                .iter()
                .any(|event| event.contains("file has vanished: \"a\""))
        );
        assert!(!dir.path().join("d/a").exists() && dir.path().join("d/b").exists());
    }
}

#[test]
fn files_that_shrink_or_grow_are_consistent_and_reported() {
    let spec = TreeSpec::new().random_file("f", 3, 400_000);
    for len in [100_000, 900_000] {
        let (ends, dir) = while_sending(Op::Read, &["-rt"], 32, &spec, move |source| {
            let file = fs::OpenOptions::new().write(true).open(source.join("f"));
            file.and_then(|file| file.set_len(len)).expect("ours");
        });
        let shrunk = len < 400_000;
        // What is shorter than it was is asked for again, and told.
        let Ok(sent) = &ends.sent else {
            panic!("{ends:?}");
        };
        assert_eq!(sent.exit_code(), if shrunk { 23 } else { 0 }, "{ends:#?}");
        let told = match shrunk {
            true => "read errors mapping \"f\": No data available (61)",
            false => "changed f",
        };
        let heard = ends.events.iter().any(|event| event.contains(told));
        assert!(heard, "{:?}", ends.events);
        let now = fs::read(dir.path().join("s/f")).expect("ours");
        let got = fs::read(dir.path().join("d/f")).expect("sent");
        assert_eq!(got.len() as u64, len.min(400_000));
        assert!(now.starts_with(&got));
    }
}

#[test]
fn the_other_names_of_a_file_whose_leader_vanishes_are_sent() {
    for protocol in [29, 30, 31, 32] {
        for flat in [&["-rtH"][..], &["-rtH", "--no-inc-recursive"]] {
            let spec = TreeSpec::new()
                .file("a", "one file")
                .hard_link("b", "a")
                .hard_link("sub/c", "a")
                .file("other", "unrelated");
            // The last missing member of the list is the one that is asked for.
            let (ends, dir) = while_sending(Op::OpenRead, flat, protocol, &spec, |source| {
                for name in ["b", "sub/c"] {
                    fs::remove_file(source.join(name)).expect("ours");
                }
            });
            let what = format!("protocol {protocol} {flat:?}: {ends:?}");
            let (Ok(_), Ok(received)) = (&ends.sent, &ends.received) else {
                panic!("{what}");
            };
            assert!(matches!(received.exit_code(), 0 | 23 | 24), "{what}");
            let there = |name: &str| dir.path().join("d").join(name).exists();
            assert!(there("other"), "{what}");
            if protocol > 29 {
                assert!(there("a"), "{what}");
            }
        }
    }
}

#[test]
fn directories_without_permissions_are_worked_in_without_root() {
    testkit::require_root!();
    let dir = testkit::temp_dir();
    let (source, destination) = (dir.path().join("s"), dir.path().join("d"));
    TreeSpec::new()
        .dir("read only")
        .mode(0o555)
        .file("read only/f", "in a directory that nobody may write")
        .dir("closed/inner")
        .mode(0o500)
        .file("closed/inner/g", "deeper")
        .build(&source);
    TreeSpec::new()
        .dir("closed")
        .mode(0o000)
        .dir("read only")
        .mode(0o000)
        .file("read only/f", "old")
        .build(&destination);
    let owned = std::process::Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(dir.path())
        .status()
        .expect("chown runs");
    assert!(owned.success());
    let (from, to) = (source.clone(), destination.clone());
    // Roles are threads of this one, and take its identity along.
    let nobody = std::thread::spawn(move || {
        let (uid, gid) = (
            rustix::process::Uid::from_raw(65534),
            rustix::process::Gid::from_raw(65534),
        );
        rustix::thread::set_thread_res_gid(gid, gid, gid).expect("root may");
        rustix::thread::set_thread_res_uid(uid, uid, uid).expect("root may");
        Pair::new(options(&["-rlpt", "--delete"]))
            .copy(&from, &to)
            .assert_code(0);
    });
    nobody.join().expect("no panic");
    assert_eq!(
        testkit::differences(&source, &destination, &Compare::exact()),
        Vec::<String>::new()
    );
}
