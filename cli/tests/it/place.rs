//! One command line run by real rsync and by ours on the same trees: what they say and leave must be the same.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use testkit::{
    Compare, Daemon, DaemonConf, Module, Program, Rsync, Server, TreeSpec, differences, wait,
};

use crate::setup::{binary, syncline, told};

/// The daemon's tree `m` and the client's directory `c`, made anew for each run, and a daemon of each kind over `m`.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    stock: Daemon,
    ours: Daemon,
    runs: usize,
}

/// Who runs: the client, and the daemon where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Stock,
    OurClient,
    OurDaemon,
}

/// What one run said and left.
pub(crate) struct Run {
    pub(crate) told: String,
    pub(crate) tree: PathBuf,
}

impl Place {
    /// `module` adds to a module of the given name what a test is about.
    pub(crate) fn new(rsync: &Rsync, names: &[&str], module: impl Fn(Module) -> Module) -> Self {
        let dir = testkit::temp_dir();
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let start = |server: &Server<'_>| {
            let path = dir.path().join("run/m");
            let conf = names.iter().fold(DaemonConf::new(), |conf, name| {
                conf.module(module(Module::new(name, &path)))
            });
            Daemon::start(server, conf)
        };
        let (stock, ours) = (start(&Server::Stock(rsync)), start(&Server::Ours(binary())));
        Self {
            dir,
            stock,
            ours,
            runs: 0,
        }
    }

    /// Builds both trees and runs a client in `c`. `URL` in a word is that of the daemon.
    pub(crate) fn run(
        &mut self,
        rsync: &Rsync,
        who: Who,
        build: &dyn Fn(&Path),
        words: &[&str],
    ) -> Run {
        let at = self.dir.path().join("run");
        for tree in ["m", "c"] {
            fs::create_dir_all(at.join(tree)).unwrap();
        }
        build(&at);
        let daemon = match who {
            Who::OurDaemon => &self.ours,
            _ => &self.stock,
        };
        let url = daemon.url("");
        let url = url.trim_end_matches('/');
        let program: Program = match who {
            Who::OurClient => syncline(),
            _ => rsync.client(),
        };
        let exit = program
            .args(words.iter().map(|word| word.replace("URL", url)))
            .env("LC_ALL", "C.UTF-8")
            .current_dir(at.join("c"))
            .run();
        let names = [url.to_owned(), at.display().to_string()];
        self.runs += 1;
        let tree = self.dir.path().join(format!("run{}", self.runs));
        fs::rename(&at, &tree).unwrap();
        testkit::tree::settle_times(&tree);
        Run {
            told: told(&exit, &names),
            tree,
        }
    }

    /// What the daemon of a successful run logs.
    pub(crate) fn log_of(
        &mut self,
        rsync: &Rsync,
        who: Who,
        build: &dyn Fn(&Path),
        words: &[&str],
    ) -> String {
        let log = |place: &Self| match who {
            Who::OurDaemon => place.ours.log(),
            _ => place.stock.log(),
        };
        let before = log(self).len();
        self.run(rsync, who, build, words);
        wait::until("the end of the session in the log", || {
            log(self)[before..].contains("] sent ")
        });
        log(self).split_off(before)
    }

    /// Runs stock with stock, and each of ours with stock: they must say and leave the same. What was said is compared as
    /// `view` shows it.
    #[track_caller]
    pub(crate) fn same(
        &mut self,
        rsync: &Rsync,
        build: &dyn Fn(&Path),
        words: &[&str],
        view: &dyn Fn(&str) -> Vec<String>,
    ) {
        let stock = self.run(rsync, Who::Stock, build, words);
        let remote = words.iter().any(|word| word.contains("URL"));
        for who in [Who::OurClient, Who::OurDaemon] {
            if who == Who::OurDaemon && !remote {
                continue;
            }
            let ours = self.run(rsync, who, build, words);
            assert_eq!(
                view(&stock.told),
                view(&ours.told),
                "{who:?} {words:?}: rsync's left, ours right"
            );
            let found = differences(&stock.tree, &ours.tree, &Compare::exact());
            assert!(
                found.is_empty(),
                "{who:?} {words:?}: rsync's left, ours right: {found:#?}\n{}",
                ours.told
            );
            fs::remove_dir_all(ours.tree).unwrap();
        }
        fs::remove_dir_all(stock.tree).unwrap();
    }
}

/// All lines, in any order; paths without the slash that a chroot puts in front.
pub(crate) fn lines(told: &str) -> Vec<String> {
    let mut lines: Vec<String> = told
        .lines()
        .map(|line| {
            line.replace("\"/", "\"")
                .replace("directory /", "directory ")
        })
        // The last line names the role that noticed first.
        .map(|line| match line.split_once(" (code ") {
            Some((line, _)) => line.to_owned(),
            None => line,
        })
        .collect();
    lines.sort();
    lines
}

/// The code and standard output.
pub(crate) fn output(told: &str) -> Vec<String> {
    let mut lines = lines(told);
    // Progress depends on time.
    lines.retain(|line| !line.starts_with("err: ") && !line.contains('\r'));
    lines
}

pub(crate) fn code(told: &str) -> Vec<String> {
    told.lines().take(1).map(str::to_owned).collect()
}

/// Without the figures at the end.
pub(crate) fn without_totals(told: &str) -> Vec<String> {
    let mut lines = lines(told);
    lines.retain(|line| !line.starts_with("out: sent ") && !line.starts_with("out: total size"));
    lines
}

pub(crate) fn mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// A file and a directory to push, and what the destinations are compared with.
pub(crate) fn to_push(at: &Path) {
    TreeSpec::new()
        .file("f", "f")
        .file("g", "g")
        .dir("e")
        .file("d/h", "h")
        .build(at.join("c"));
    TreeSpec::new()
        .file("file", "old")
        .dir("dir")
        .symlink("dangling", "nowhere")
        .build(at.join("m"));
    for root in ["c", "m"] {
        testkit::tree::set_mtime(&at.join(root), 1_000_000_000, 0);
    }
}
