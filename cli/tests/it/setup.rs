//! What the tests share: our binary, a source with a mirror behind a daemon, and a watch between them.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testkit::tree::Change;
use testkit::{
    Compare, Daemon, DaemonConf, Exit, Mix, Mutator, Program, Rsync, Running, Server, differences,
    wait,
};

/// The user and password of [`testkit::Module::as_users_do`].
pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "wonderland";

/// How long a mirror may need to become equal; only a broken one ever does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Our binary.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_syncline"))
}

/// Our binary with the password in its environment.
pub(crate) fn syncline() -> Program {
    Program::new(binary()).password(PASSWORD)
}

/// A source and a mirror of it in a temporary directory.
pub(crate) struct Pair {
    /// Removed at the end.
    pub(crate) dir: tempfile::TempDir,
    /// What is mirrored.
    pub(crate) source: PathBuf,
    /// Where to.
    pub(crate) mirror: PathBuf,
}

impl Pair {
    /// Two empty directories.
    pub(crate) fn new() -> Self {
        let dir = testkit::temp_dir();
        let (source, mirror) = (dir.path().join("source"), dir.path().join("mirror"));
        for path in [&source, &mirror] {
            fs::create_dir(path).unwrap();
        }
        Self {
            dir,
            source,
            mirror,
        }
    }

    /// The source as the argument of a transfer of its contents.
    pub(crate) fn contents(&self) -> String {
        format!("{}/", self.source.display())
    }

    /// A stock daemon with the mirror as its module `mirror`, set up as users do.
    pub(crate) fn daemon(&self, rsync: &Rsync) -> Daemon {
        let conf = DaemonConf::as_users_do("mirror", &self.mirror);
        Daemon::start(&Server::Stock(rsync), conf)
    }

    /// Where a watch remembers what it needs for its next start.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Starts `syncline watch` with further words before the source.
    pub(crate) fn watch(&self, words: &[&str], targets: &[&str]) -> Running {
        syncline()
            .arg("watch")
            .env("STATE_DIRECTORY", self.state())
            .args(words)
            .arg(&self.source)
            .args(targets)
            .spawn()
    }

    /// Waits until the mirror is equal; `story` is told when it does not become so.
    #[track_caller]
    pub(crate) fn settles(&self, watch: &Running, story: &dyn Fn() -> String) {
        settles(&self.source, &self.mirror, &Compare::exact(), watch, story);
    }
}

/// Waits until two trees are equal, and fails with what is different.
#[track_caller]
pub(crate) fn settles(
    source: &Path,
    mirror: &Path,
    compare: &Compare,
    watch: &Running,
    story: &dyn Fn() -> String,
) {
    let quick = compare.clone().without_content();
    let same = wait::within(PATIENCE, || {
        (testkit::same(source, mirror, &quick) && testkit::same(source, mirror, compare)
            || watch.ended())
        .then_some(())
    });
    if same.is_some() && !watch.ended() {
        // Looking again could see the middle of a session that sends the same once more.
        return;
    }
    let found = differences(source, mirror, compare);
    assert!(
        same.is_some() && found.is_empty(),
        "the mirror (right) is not equal:\n{}\n{watch}\n{}",
        found[..found.len().min(30)].join("\n"),
        story()
    );
}

/// Random changes of `root`, all but new hard links.
pub(crate) fn everyday(root: &Path, seed: u64) -> Mutator {
    Mutator::new(root, seed).mix(without_hard_links())
}

/// Changes of every kind but new hard links: one that is written through and gone before anybody looked leaves no trace of
/// the file it was.
pub(crate) fn without_hard_links() -> Mix {
    Mix::default().without(Change::HardLink)
}

/// Nothing happened that could be told.
pub(crate) fn no_story() -> String {
    String::new()
}

/// Ctrl-C: the watch ends by itself, with success.
#[track_caller]
pub(crate) fn leaves(watch: Running) {
    watch.interrupt();
    let exit = watch.wait();
    exit.assert_code(0);
}

/// How a program ended and what it said, without what differs from run to run or from program to program: `names`
/// (addresses, directories), the place in the source and the version in the last line.
pub(crate) fn told(exit: &Exit, names: &[String]) -> String {
    let mut text = format!("code {:?}\n", exit.code());
    for (stream, content) in [("out", exit.out()), ("err", exit.err())] {
        for line in content.lines() {
            // Stock rsync passes the delete character on to the terminal.
            let mut line = line.replace('\x7f', "\\#177");
            // A race of the stock client with a server that ends before everything was read.
            if line.ends_with("read error: Connection reset by peer (104)") {
                continue;
            }
            // So ends one half of a local stock copy whose other half failed, at times.
            if line.contains("received SIGUSR1 (code 19)") {
                continue;
            }
            for name in names {
                line = line.replace(name, "NAME");
            }
            // The stock daemon says in which module.
            if let Some((before, after)) = line.split_once(" (in ")
                && let Some((_, after)) = after.split_once(')')
            {
                line = format!("{before}{after}");
            }
            if line.starts_with("rsync error: ") || line.starts_with("rsync warning: ") {
                let end = line.find(" at ").unwrap_or(line.len());
                line.truncate(end);
            }
            let _ = writeln!(text, "{stream}: {line}");
        }
    }
    text
}

/// A file system of its own at a directory, gone on drop.
pub(crate) struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    /// A tmpfs of that size; nothing where that is not allowed.
    pub(crate) fn tmpfs(at: &'a Path, size: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(at))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        // Lazily: a daemon's session may still stand in it.
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}
