//! System calls that fail: the entry is reported, everything else is done, nothing is half done or wrongly deleted,
//! and a second run finishes the work.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rsync_engine::fs::{Errno, IdPolicy, Interpose, Links, Op, RelPathBuf, Tree};
use rsync_engine::options::{Delete, TransferOptions};
use rsync_engine::receive::Destination;
use testkit::{Compare, TreeSpec};

use crate::faults::{Trees, assert_whole, snapshot};
use crate::pair::{Pair, contents, tree};

/// Makes the n-th call of one operation fail, and knows whether it did.
#[derive(Debug)]
struct Fault {
    countdown: rsync_engine::fs::Countdown,
    fired: AtomicBool,
}

impl Fault {
    fn new(op: Op, nth: u32, errno: Errno) -> Arc<Self> {
        Arc::new(Self {
            countdown: rsync_engine::fs::Countdown::new(op, nth, errno),
            fired: AtomicBool::new(false),
        })
    }
}

impl Interpose for Fault {
    fn before(&self, op: Op) -> Result<(), Errno> {
        let result = self.countdown.before(op);
        if result.is_err() {
            self.fired.store(true, Ordering::Relaxed);
        }
        result
    }
}

fn options() -> TransferOptions {
    TransferOptions {
        delete: Delete::Default,
        whole_file: Some(false),
        ..TransferOptions::archive()
    }
}

fn within(tree: Tree) -> Destination {
    Destination::Within {
        tree,
        links: Links::Refuse,
        path: RelPathBuf::root(),
        slash: true,
    }
}

/// Lets each call of `op` fail once, at one of the ends.
fn fail_each(trees: &Trees, op: Op, errno: Errno, sender: bool, push: bool) {
    let (old, new) = (snapshot(&trees.before()), snapshot(&trees.source()));
    for nth in 1.. {
        let pair = Pair {
            push,
            ..Pair::new(options())
        };
        let destination = trees.destination();
        let fault = Fault::new(op, nth, errno);
        let hook = Arc::clone(&fault) as Arc<dyn Interpose>;
        let hooked = |path: &Path, here: bool| {
            let tree = tree(path);
            match here {
                true => tree.with_hook(Arc::clone(&hook)).expect("a duplicate"),
                false => tree,
            }
        };
        let ends = pair.run(
            contents(&hooked(&trees.source(), sender)),
            within(hooked(&destination, !sender)),
        );
        let who = if sender { "sender" } else { "receiver" };
        let what = format!("{op:?} number {nth} gives {errno:?} to the {who}");
        if !fault.fired.load(Ordering::Relaxed) {
            assert!(nth > 1, "{op:?} is never called");
            ends.assert_code(0);
            return;
        }
        let now = snapshot(&destination);
        assert_whole(&what, &now, &old, &new);
        let told = |code: Option<u8>| !matches!(code, None | Some(0));
        let codes = [&ends.sent, &ends.received].map(|end| match end {
            Ok(outcome) => outcome.exit_code(),
            Err(error) => error.exit_code(),
        });
        let wrong = testkit::differences(&trees.source(), &destination, &Compare::exact());
        assert!(
            wrong.is_empty() || codes.iter().any(|&code| told(Some(code))),
            "{what}: codes {codes:?}, but {wrong:#?}\n{:#?}",
            ends.events
        );
        for code in codes {
            assert!(
                matches!(code, 0 | 3 | 11 | 12 | 23 | 24),
                "{what}: {ends:#?}"
            );
        }
        Pair::new(options())
            .copy(&trees.source(), &destination)
            .assert_code(0);
        assert_eq!(
            testkit::differences(&trees.source(), &destination, &Compare::exact()),
            Vec::<String>::new(),
            "{what}, second run"
        );
    }
}

const RECEIVING: &[Op] = &[
    Op::OpenDir,
    Op::OpenNode,
    Op::OpenRead,
    Op::Create,
    Op::Read,
    Op::Write,
    Op::Stat,
    Op::List,
    Op::ReadLink,
    Op::Mkdir,
    Op::Rmdir,
    Op::Unlink,
    Op::Rename,
    Op::Symlink,
    Op::Chmod,
    Op::Utime,
];

const SENDING: &[Op] = &[
    Op::OpenDir,
    Op::OpenRead,
    Op::Read,
    Op::Stat,
    Op::List,
    Op::ReadLink,
];

#[test]
fn every_call_of_the_receiving_side_may_fail() {
    let trees = Trees::new();
    for &op in RECEIVING {
        for errno in [Errno::NOSPC, Errno::IO] {
            fail_each(&trees, op, errno, false, true);
        }
    }
    for &op in RECEIVING {
        fail_each(&trees, op, Errno::ACCESS, false, false);
    }
}

#[test]
fn every_call_of_the_sender_may_fail() {
    let trees = Trees::new();
    for &op in SENDING {
        for errno in [Errno::IO, Errno::ACCESS] {
            fail_each(&trees, op, errno, true, true);
        }
    }
    // Listed names that vanish are not to be kept, so only the data may.
    fail_each(&trees, Op::OpenRead, Errno::NOENT, true, false);
}

/// Lets every call of one operation fail.
#[derive(Debug)]
struct Never(Op);

impl Interpose for Never {
    fn before(&self, op: Op) -> Result<(), Errno> {
        match op == self.0 {
            true => Err(Errno::PERM),
            false => Ok(()),
        }
    }
}

/// A file system without owners, times or permissions takes all the data, links and nodes; each entry is reported.
#[test]
fn attributes_that_cannot_be_set_cost_no_content() {
    let dir = testkit::temp_dir();
    let source = dir.path().join("s");
    TreeSpec::new()
        .dir("d/empty")
        .file("d/e/f", "content")
        .file("file", "content")
        .hard_link("name", "file")
        .symlink("link", "file")
        .symlink("other", "file")
        .fifo("pipe")
        .build(&source);
    let root = IdPolicy::of_this_thread(false).root;
    if root {
        for name in ["d/empty", "d/e/f", "file", "link", "pipe"] {
            std::os::unix::fs::lchown(source.join(name), Some(12), Some(13)).expect("we are root");
        }
    }
    let options = TransferOptions {
        hard_links: true,
        itemize: 1,
        ..options()
    };
    let lines = |source: &Path, destination: Tree| {
        let ends = Pair::new(options.clone()).run(contents(&tree(source)), within(destination));
        let mut lines = ends.events.clone();
        lines.retain(|line| !line.starts_with("failed ") && !line.starts_with("message "));
        lines.sort();
        (ends, lines)
    };
    // Only root changes owners.
    let ops = &[Op::Utime, Op::Chmod, Op::Chown][..if root { 3 } else { 2 }];
    for (at, &op) in ops.iter().enumerate() {
        let (failing, plain) = (
            dir.path().join(format!("f{at}")),
            dir.path().join(format!("p{at}")),
        );
        for destination in [&failing, &plain] {
            // What is there already, and something else in the place of a link.
            TreeSpec::new()
                .file("file", "content")
                .mode(0o600)
                .dir("d")
                .mode(0o711)
                .symlink("other", "elsewhere")
                .build(destination);
        }
        let hooked = tree(&failing)
            .with_hook(Arc::new(Never(op)))
            .expect("a duplicate");
        let (ends, found) = lines(&source, hooked);
        let (_, expected) = lines(&source, tree(&plain));
        ends.assert_code(23);
        assert_eq!(found, expected, "{op:?}");
        let missing = testkit::differences(&source, &failing, &Compare::content_only());
        assert!(
            missing.is_empty(),
            "{op:?}: {missing:#?}\n{:#?}",
            ends.events
        );
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_the_old_files() {
    let dir = testkit::temp_dir();
    let (source, destination) = (dir.path().join("s"), dir.path().join("d"));
    TreeSpec::new()
        .random_file("a", 1, 700_000)
        .file("b", "small")
        .build(&source);
    TreeSpec::new().file("a", "old").build(&destination);
    let hook = Fault::new(Op::Write, 2, Errno::NOSPC);
    let hooked = tree(&destination).with_hook(hook).expect("a duplicate");
    let ends = Pair::new(options()).run(contents(&tree(&source)), within(hooked));
    let told = "write failed on \"a\": No space left on device (28)";
    let error = ends.received.as_ref().expect_err("the disk is full");
    assert_eq!(error.exit_code(), 11);
    assert!(error.to_string().contains(told), "{ends:#?}");
    assert_eq!(std::fs::read(destination.join("a")).expect("kept"), b"old");
    assert_eq!(snapshot(&destination).len(), 1, "no temporary is left");
}
