//! How long a change takes from close to visible: through `syncline watch`, and through an ideal shell loop, which
//! starts rsync for the whole tree in the very moment of the change.

use crate::cases::{MODULE, Scale, make_files};
use crate::measure::Client;
use crate::table;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};
use testkit::{Compare, Daemon, Program, Random};

/// The case's name.
pub(crate) const NAME: &str = "one change through the watcher";

/// Runs it and prints the latencies.
///
/// # Panics
/// When a change does not arrive.
pub(crate) fn run(
    dir: &Path,
    module: &Path,
    [rsync, syncline]: &[Client; 2],
    daemon: &Daemon,
    scale: &Scale,
    watch_options: &[OsString],
) {
    let tree = Tree {
        source: dir.join("watched"),
        target: module.join("mirror"),
        files: scale.mirror_files,
        random: Random::new(6),
    };
    let url = daemon.url_as("alice", &format!("{MODULE}/mirror"));
    for root in [&tree.source, &tree.target] {
        fs::create_dir_all(root).expect("a directory");
        make_files(root, scale.mirror_files, 1000);
    }
    let mut tree = tree;
    let by_loop = tree
        .changes(scale.loop_changes, || {
            rsync.push(&[], &dir.join("watched"), &url);
        })
        .expect("rsync has brought it");

    let watch = Program::new(syncline.path())
        .arg("watch")
        .args(watch_options)
        .arg(&tree.source)
        .arg(&url)
        .password("wonderland")
        .env("STATE_DIRECTORY", dir.join("state"))
        .spawn();
    let arrive = |changes: Result<_, Lost>| {
        changes.unwrap_or_else(|Lost(name)| panic!("a change of {name} does not arrive: {watch}"))
    };
    // The first change to arrive shows that the first sync is over; some more get everything warm.
    arrive(tree.changes(10, || ()));
    let by_watch = arrive(tree.changes(scale.mirror_changes, || ()));
    watch.interrupt();
    let exit = watch.wait();
    assert!(matches!(exit.code(), Some(0 | 20)), "{exit}");
    testkit::assert_same(&tree.source, &tree.target, &Compare::exact());

    let files = scale.mirror_files;
    table::print_latencies(
        &format!("{NAME}, tree of {files} files, close to visible"),
        &[("rsync at once", by_loop), ("syncline watch", by_watch)],
    );
}

/// The file whose change did not arrive.
#[derive(Debug)]
struct Lost(String);

struct Tree {
    source: PathBuf,
    target: PathBuf,
    files: usize,
    random: Random,
}

impl Tree {
    /// Changes one file after the other, each when the one before has arrived, runs `after` once it is closed, and
    /// gives the times until they were visible.
    fn changes(&mut self, count: usize, mut after: impl FnMut()) -> Result<Vec<Duration>, Lost> {
        (0..count).map(|_| self.change(&mut after)).collect()
    }

    fn change(&mut self, after: &mut impl FnMut()) -> Result<Duration, Lost> {
        // As between two changes by hand: whatever prepares for the next one has the time to do so.
        sleep(Duration::from_millis(30 + self.random.below(40)));
        let number = self.random.index(self.files);
        let name = format!("dir-{}/file-{number}", number / 100);
        let len = 1 + self.random.index(1000);
        let content = self.random.bytes(len);
        let visible = self.target.join(&name);
        fs::write(self.source.join(&name), &content).expect("the source can be written");
        let closed = Instant::now();
        after();
        // A look every tenth of a millisecond: fine enough, and no load of its own.
        let arrived = testkit::wait::within_every(
            Duration::from_micros(100),
            testkit::wait::PATIENCE,
            || {
                let there = fs::read(&visible).is_ok_and(|found| found == content);
                there.then(|| closed.elapsed())
            },
        );
        arrived.ok_or(Lost(name))
    }
}
