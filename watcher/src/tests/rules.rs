//! Filter rules: what a watch leaves at its target is what `rsync -a --delete` with the same rules leaves there, after every step.
//!
//! A case has two trees and rules, and lets a watch follow changes of one of them. After each step a copy of the other is brought up to date
//! by rsync, and must be what the watch made of it: kept and deleted, excluded and protected alike. All of a draw is random.
//!
//! `SYNCLINE_RULES_SEEDS=first..end` runs other draws, `SYNCLINE_RULES_SEEDS=n..` until it is ended.

mod draw;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rsync_engine::Cancel;
use rsync_engine::filter::Chain;
use rsync_engine::fs::{Name, Tree};
use rsync_engine::options::{FilterText, TransferOptions};
use syncline::daemon::Connect;
use syncline::{Filters, Target};
use testkit::{Daemon, DaemonConf, Module, Rsync, Server};

use self::draw::Draw;
use super::snapshot::snapshot;
use crate::dirty::Timing;
use crate::driver::{TargetSpec, Watcher};
use crate::mirror::{Mirror, MirrorTarget};
use crate::push::{Batch, BatchEntry, EntryKind, FailureKind, Pusher as _};
use crate::shared::{DeletePolicy, WatchOptions};
use crate::state::Excludes;

/// The modules of the daemon.
const MODULE: &str = "m";
const BY_RULES: &str = "by-rules";
/// Draws of which each runs beside others: most of the time is spent on waiting.
const AT_ONCE: u64 = 4;
const STEPS: usize = 4;

#[test]
fn a_watch_leaves_what_rsync_leaves() {
    let rsync = testkit::require_rsync!();
    let (base, daemon) = place(&rsync);
    let seeds = seeds();
    let next = AtomicU64::new(seeds.start);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    draw(seed, base.path(), &rsync, &daemon);
                }
            });
        }
    });
}

fn seeds() -> std::ops::Range<u64> {
    match std::env::var("SYNCLINE_RULES_SEEDS") {
        Err(_) => 0..30,
        Ok(text) => {
            let (first, end) = text.split_once("..").expect("first..end");
            let first = first.parse().unwrap();
            first..end.parse().unwrap_or(u64::MAX)
        }
    }
}

fn draw(seed: u64, base: &Path, rsync: &Rsync, daemon: &Daemon) {
    let mut draw = Draw::new(seed);
    let case = Case {
        module: draw.module,
        protocol: draw.protocol,
        watched_only: draw.watched_only,
        ..Case::new(format!("seed-{seed}"), base, draw.rules())
    };
    draw.fill(&case);
    let mut steps = (0..STEPS).map(|_| draw.step(&case));
    case.follow(rsync, daemon, &mut steps);
}

/// A known history: rules, what the source has first, what the target has beside that, and the steps.
type History = (
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

/// What was reported, and what else does not come with each draw. A step is made of `rm PATH`, `mv FROM TO` and `new PATH`.
const HISTORIES: [History; 7] = [
    (
        &["+ */", "+ *.php", "- *"],
        &["d/x.php", "d/sub/y.php", "e/sub/z.php", "f/x.php"],
        &["e/sub/own"],
        &["rm d", "mv f g", "rm e"],
    ),
    (
        &["P logs/"],
        &["logs/a", "x/logs/b"],
        &["logs/own"],
        // What is kept goes when it is no longer the directory that is kept, but something in it.
        &["rm logs", "new logs/new", "rm x", "new y/logs/c", "mv y x"],
    ),
    (
        &["- /build/out"],
        &["build/out/deep/f", "build/x", "other/out/f"],
        &[],
        &[
            "mv build build.old",
            "new build.old/out/deep/g",
            "mv build.old build",
            "mv other build/in",
            "mv build/in/out out",
        ],
    ),
    (
        &["- .*.swp"],
        &["a/f", "f"],
        &[],
        &[
            "new a/.f.swp",
            "new .f.swp",
            "mv .f.swp a/.g.swp",
            "rm a/.f.swp",
        ],
    ),
    // The name of a directory is hidden, that of a file is not.
    (
        &["- n/"],
        &["n", "m/f"],
        &[],
        &["rm n;new n/f", "rm n;new n", "rm n", "new n/f"],
    ),
    // What keeps something is not replaced.
    (
        &["P keep"],
        &["d/keep", "d/f"],
        &[],
        &["rm d", "new d", "rm d", "new d/f"],
    ),
    (
        &["-p *.o", "P keep"],
        &["d/x.o", "d/f", "e/x.o", "e/keep"],
        &["d/own.o"],
        &["rm d/f", "rm d", "rm e"],
    ),
];

#[test]
fn known_histories() {
    let rsync = testkit::require_rsync!();
    let (base, daemon) = place(&rsync);
    let (base, rsync, daemon) = (base.path(), &rsync, &daemon);
    std::thread::scope(|scope| {
        for (number, (rules, source, target, steps)) in HISTORIES.into_iter().enumerate() {
            for (module, protocol) in [
                (None, None),
                (Some(MODULE), None),
                (Some(MODULE), Some(30)),
                (Some(BY_RULES), None),
            ] {
                scope.spawn(move || {
                    let name = format!(
                        "history-{number}-{}-{protocol:?}",
                        module.unwrap_or("local")
                    );
                    let rules = rules.iter().map(|&rule| rule.to_owned()).collect();
                    let case = Case {
                        module,
                        protocol,
                        ..Case::new(name, base, rules)
                    };
                    source
                        .iter()
                        .for_each(|path| new(&case.dir.join("s").join(path)));
                    case.stock(rsync, "d");
                    target
                        .iter()
                        .for_each(|path| new(&case.dir.join("d").join(path)));
                    let mut steps = steps.iter().map(|step| {
                        step.split(';').for_each(|change| case.perform(change));
                        (*step).to_owned()
                    });
                    case.follow(rsync, daemon, &mut steps);
                });
            }
        }
    });
}

/// Between the look at a name and the list of the session it may become something that is excluded.
#[test]
fn what_became_excluded_is_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let case = Case::new("case".to_owned(), dir.path(), vec!["- n/".to_owned()]);
    let source = case.dir.join("s");
    fs::create_dir(source.join("n")).unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    let stat = |path: &Path, name: &[u8]| {
        let tree = Tree::open(path).unwrap();
        Some(tree.root().stat(Name::new(name).unwrap()).unwrap())
    };
    let entry = |path: &[u8], kind, stat| BatchEntry {
        path: path.into(),
        kind,
        stat,
    };
    let batch = Batch {
        root: Tree::open(&source).unwrap(),
        entries: vec![
            entry(b"", EntryKind::Parent, stat(&case.dir, b"s")),
            entry(b"n", EntryKind::Content, stat(dir.path(), b"file")),
        ],
        renames: Vec::new(),
    };
    let target = MirrorTarget::Local(case.dir.join("d"));
    let options = TransferOptions::archive();
    let mut mirror = Mirror::new(target, options, case.filters.clone(), true, Cancel::new());
    let result = mirror.push(&batch, &mut |_| {});
    assert_eq!(result.error, None);
    let failed: Vec<_> = result
        .failed
        .iter()
        .map(|name| (&*name.path, name.kind))
        .collect();
    assert_eq!(failed, [(&b"n"[..], FailureKind::Changed)]);
    assert!(!case.dir.join("d/n").exists());
}

/// Where cases run, and a daemon that serves it.
fn place(rsync: &Rsync) -> (tempfile::TempDir, Daemon) {
    let base = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| testkit::temp_dir());
    let module = |name| Module::new(name, base.path());
    let conf = DaemonConf::new().module(module(MODULE));
    // As a daemon that knows no deletion by name.
    let conf = conf.module(module(BY_RULES).set("refuse options", "delete-missing-args"));
    let daemon = Daemon::start(&Server::Stock(rsync), conf);
    (base, daemon)
}

struct Case {
    name: String,
    /// The source is `s` in it, the target `d`, what rsync brings up to date `r`; what leaves the source is in `outside`.
    dir: PathBuf,
    /// Whether the target is a daemon's, in which module, and what it speaks.
    module: Option<&'static str>,
    protocol: Option<u32>,
    /// What the watch never saw at the source stays at the target, so there is no such thing to begin with.
    watched_only: bool,
    rules: Vec<String>,
    filters: Filters,
    protected: Chain,
}

impl Case {
    fn new(name: String, base: &Path, rules: Vec<String>) -> Self {
        let dir = base.join(&name);
        for name in ["s", "d", "outside"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        let text = |rule: &String| FilterText::Rule(rule.as_bytes().to_vec());
        let options = TransferOptions {
            filter_texts: rules.iter().map(text).collect(),
            ..TransferOptions::default()
        };
        let mut no_files = |_: &[u8]| Err(std::io::ErrorKind::NotFound.into());
        let filters = Filters::new(&options, &mut no_files).unwrap();
        Self {
            name,
            dir,
            module: None,
            protocol: None,
            watched_only: false,
            rules,
            protected: filters.receiver_chain(),
            filters,
        }
    }

    /// Lets a watch follow the steps, which change the source and say how, and compares what it makes of the target with what rsync
    /// makes of a copy.
    fn follow(&self, rsync: &Rsync, daemon: &Daemon, steps: &mut dyn Iterator<Item = String>) {
        let source = self.dir.join("s");
        if self.watched_only {
            self.stock(rsync, "d");
        }
        let copy = Command::new("cp")
            .args(["-a", "--"])
            .args([self.dir.join("d"), self.dir.join("r")])
            .status();
        assert!(copy.unwrap().success());
        let path = source.as_os_str().as_encoded_bytes();
        let chain = self.filters.sender_chain(path);
        let options = TransferOptions {
            protocol: self.protocol,
            modify_window: Some(-1),
            ..TransferOptions::archive()
        };
        let watch_options = WatchOptions {
            timing: timing(),
            delete: if self.watched_only {
                DeletePolicy::Watched
            } else {
                DeletePolicy::All
            },
            delete_limit: None,
            exclude: Excludes::by_filters(chain.clone(), self.protected.clone()),
            audit_interval: None,
            ..WatchOptions::default()
        };
        let filters = self.filters.clone();
        let mirror = Mirror::new(self.target(daemon), options, filters, true, Cancel::new());
        let spec = TargetSpec {
            pusher: Box::new(mirror.source(path.to_vec())),
            confirmed_until: None,
            known_names: 0,
        };
        let (watcher, events) = Watcher::start(&source, vec![spec], watch_options).unwrap();
        let mut history = String::new();
        loop {
            self.stock(rsync, "r");
            if !watcher.wait_for_all_but_problems(Duration::from_secs(60)) {
                let events: Vec<_> = events.try_iter().collect();
                let status = watcher.status();
                panic!("{self}\n{history}does not come to rest: {status:?}\n{events:#?}");
            }
            let differences = self.differences(&chain);
            if !differences.is_empty() {
                panic!("{self}\n{history}the watch and rsync differ:\n{differences}");
            }
            let Some(step) = steps.next() else { break };
            let _ = writeln!(history, "step: {step}");
        }
        watcher.stop();
        fs::remove_dir_all(&self.dir).unwrap();
    }

    fn perform(&self, change: &str) {
        let words: Vec<_> = change.split(' ').collect();
        let path = |word: &str| self.dir.join("s").join(word);
        match words[..] {
            ["rm", name] => draw::remove(&path(name), self),
            ["mv", from, to] => fs::rename(path(from), path(to)).unwrap(),
            ["new", name] => new(&path(name)),
            _ => panic!("{change}"),
        }
    }

    fn target(&self, daemon: &Daemon) -> MirrorTarget {
        let Some(module) = self.module else {
            return MirrorTarget::Local(self.dir.join("d"));
        };
        let address = format!("{}/{}/d", daemon.url(module), self.name);
        match address.parse() {
            Ok(Target::Daemon(target)) => MirrorTarget::Daemon {
                target,
                connect: Connect::default(),
            },
            other => panic!("{address}: {other:?}"),
        }
    }

    /// Brings a folder up to date with rsync.
    fn stock(&self, rsync: &Rsync, folder: &str) {
        let mut client = rsync
            .client()
            .args(["-a", "--delete", "--modify-window=-1"]);
        for rule in &self.rules {
            client = client.args(["-f", rule]);
        }
        let exit = client
            .arg(format!("{}/s/", self.dir.display()))
            .arg(format!("{}/{folder}/", self.dir.display()))
            .run();
        // A file does not take the place of a directory that holds something protected.
        let allowed = exit.code() == Some(0) || exit.err().contains("could not make way");
        assert!(allowed, "{self}: {}", exit.err());
    }

    /// What differs between the target of the watch and the copy of rsync.
    fn differences(&self, chain: &Chain) -> String {
        let source = snapshot(&self.dir.join("s"));
        let [ours, theirs] = ["d", "r"].map(|name| {
            let mut all = snapshot(&self.dir.join(name));
            for (path, seen) in &mut all {
                let shown = source.get(path).is_some_and(|seen| seen.is_directory())
                    && !chain.excludes_path(path, true);
                if seen.is_directory() && !shown {
                    // What is left of a directory has the time at which the rest was deleted.
                    seen.forget_time();
                }
                if self.protocol.is_some_and(|protocol| protocol < 31) {
                    seen.forget_nanoseconds();
                }
            }
            all
        });
        let paths: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        let mut text = String::new();
        for path in paths {
            let (ours, theirs) = (ours.get(path), theirs.get(path));
            if ours != theirs {
                let _ = writeln!(
                    text,
                    "{}\n  watch: {ours:?}\n  rsync: {theirs:?}",
                    path.escape_ascii()
                );
            }
        }
        text
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} ({}, protocol {:?})\nrules {:?}",
            self.name,
            self.module.unwrap_or("local"),
            self.protocol,
            self.rules
        )
    }
}

/// Makes a file with its directories. Its size is that of its path: files of one moment and one size would pass for equal.
fn new(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, path.as_os_str().as_encoded_bytes()).unwrap();
}

fn timing() -> Timing {
    let ms = Duration::from_millis;
    Timing {
        settle: ms(1),
        quiet: ms(5),
        found: ms(1),
        delete_hold: ms(1),
        max_delay: ms(200),
        retry: ms(5),
        session_retry_max: ms(20),
        path_retry_max: ms(30),
    }
}
