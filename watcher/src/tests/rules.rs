//! Filter rules: what a watch leaves at its target is what `rsync -a --delete` with the same rules leaves there, after every step.
//!
//! A draw makes two random trees and random rules, and lets a watch follow random changes of one of them. After each step a copy of the other
//! is brought up to date by rsync, and must be what the watch made of it: kept and deleted, excluded and protected alike.
//!
//! `SYNCLINE_RULES_SEEDS=first..end` runs other draws, `SYNCLINE_RULES_SEEDS=n..` until it is ended.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rsync_engine::Cancel;
use rsync_engine::filter::Chain;
use rsync_engine::options::{FilterText, TransferOptions};
use syncline::daemon::Connect;
use syncline::{Filters, Target};
use testkit::{Daemon, DaemonConf, Module, Rsync, Server};

use super::random::Random;
use super::snapshot::snapshot;
use crate::dirty::Timing;
use crate::driver::{TargetSpec, Watcher};
use crate::mirror::{Mirror, MirrorTarget};
use crate::shared::{DeletePolicy, WatchOptions};
use crate::state::Excludes;

/// Draws of which each runs beside others: most of the time is spent on waiting.
const AT_ONCE: u64 = 4;
const STEPS: u64 = 6;
/// Names that the rules name, and some that they do not.
const NAMES: [&str; 10] = [
    "a", "b", "build", "out", "logs", "x.o", "y.php", "keep", ".k.swp", "z[1]*",
];
const WILD: [&str; 8] = ["*.o", "*.php", "*", "b*", "?", "[ab]", ".*.swp", "[!a]*"];

#[test]
fn a_watch_leaves_what_rsync_leaves() {
    let rsync = testkit::require_rsync!();
    let base = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| testkit::temp_dir());
    let conf = DaemonConf::new().module(Module::new("m", base.path()));
    let daemon = Daemon::start(&Server::Stock(&rsync), conf);
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
                    Draw::new(seed, base.path()).run(&rsync, &daemon);
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

struct Draw {
    seed: u64,
    random: Random,
    dir: PathBuf,
    /// Whether the target is a daemon's, and what it speaks.
    remote: bool,
    protocol: Option<u32>,
    rules: Vec<String>,
    filters: Filters,
    protected: Chain,
    /// Paths that this step changed: rsync sees the end of a step only, so nothing is changed twice in it.
    changed: Vec<PathBuf>,
    written: u64,
    history: String,
}

impl Draw {
    fn new(seed: u64, base: &Path) -> Self {
        let mut random = Random::new(seed);
        let remote = random.one_in(2);
        let protocol = (remote && random.one_in(3)).then(|| 29 + random.below(3) as u32);
        let rules = rules(&mut random, protocol == Some(29));
        let options = TransferOptions {
            filter_texts: rules.iter().map(rule_text).collect(),
            ..TransferOptions::default()
        };
        let mut no_files = |_: &[u8]| Err(std::io::ErrorKind::NotFound.into());
        let filters = Filters::new(&options, &mut no_files).unwrap();
        Self {
            protected: filters.receiver_chain(),
            filters,
            seed,
            dir: base.join(seed.to_string()),
            protocol,
            remote,
            rules,
            changed: Vec::new(),
            written: 0,
            history: String::new(),
            random,
        }
    }

    fn run(mut self, rsync: &Rsync, daemon: &Daemon) {
        for name in ["s", "d", "r", "outside"] {
            fs::create_dir_all(self.dir.join(name)).unwrap();
        }
        let watched_only = self.random.one_in(2);
        let (source, target) = (self.dir.join("s"), self.dir.join("d"));
        self.populate(&source, 14);
        self.populate(&target, 14);
        if watched_only {
            // What it never saw at the source stays at the target, so there is no such thing to begin with.
            self.stock(rsync, "d");
        }
        let copied = std::process::Command::new("cp")
            .args(["-a", "--"])
            .args([target.join("."), self.dir.join("r")])
            .status();
        assert!(copied.unwrap().success());
        let options = TransferOptions {
            protocol: self.protocol,
            modify_window: Some(-1),
            ..TransferOptions::archive()
        };
        let filters = self.filters.clone();
        let chain = filters.sender_chain(source.as_os_str().as_encoded_bytes());
        let watch_options = WatchOptions {
            timing: timing(),
            delete: if watched_only {
                DeletePolicy::Watched
            } else {
                DeletePolicy::All
            },
            delete_limit: None,
            exclude: Excludes::by_filters(chain.clone(), self.protected.clone()),
            audit_interval: None,
            ..WatchOptions::default()
        };
        let mirror = Mirror::new(self.target(daemon), options, filters, true, Cancel::new())
            .source(source.as_os_str().as_encoded_bytes().to_vec());
        let spec = TargetSpec {
            pusher: Box::new(mirror),
            confirmed_until: None,
            known_names: 0,
        };
        let (watcher, events) = Watcher::start(&source, vec![spec], watch_options).unwrap();
        for step in 0..=STEPS {
            if step > 0 {
                self.changed.clear();
                let _ = writeln!(self.history, "step {step}:");
                for _ in 0..1 + self.random.below(4) {
                    self.act();
                }
            }
            self.stock(rsync, "r");
            if !watcher.wait_for_all_but_problems(Duration::from_secs(60)) {
                let events: Vec<_> = events.try_iter().collect();
                panic!(
                    "{self}\ndoes not come to rest: {:?}\n{events:#?}",
                    watcher.status()
                );
            }
            let differences = self.differences(&chain);
            if !differences.is_empty() {
                panic!("{self}\nthe watch and rsync differ:\n{differences}");
            }
        }
        watcher.stop();
        fs::remove_dir_all(&self.dir).unwrap();
    }

    fn target(&self, daemon: &Daemon) -> MirrorTarget {
        if !self.remote {
            return MirrorTarget::Local(self.dir.join("d"));
        }
        let address = format!("{}/{}/d", daemon.url("m"), self.seed);
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

    fn note(&mut self, what: &str, paths: &[&Path]) {
        let _ = write!(self.history, "  {what}");
        for path in paths {
            let _ = write!(
                self.history,
                " {}",
                path.strip_prefix(&self.dir).unwrap_or(path).display()
            );
            self.changed.push(path.to_path_buf());
        }
        self.history.push('\n');
    }

    /// Whether a path, what is below or above it was not changed in this step.
    fn is_free(&self, path: &Path) -> bool {
        let mut changed = self.changed.iter();
        !changed.any(|other| path.starts_with(other) || other.starts_with(path))
    }

    fn write(&mut self, path: &Path) {
        self.written += 1;
        // No two of one size: files made at the same moment would pass for equal.
        let content = "x".repeat(self.written as usize);
        fs::write(path, content).unwrap();
    }

    /// Makes random things below a directory, until there are about so many.
    fn populate(&mut self, top: &Path, count: u64) {
        for _ in 0..self.random.below(count) {
            let path = self.somewhere(top);
            if path.symlink_metadata().is_err() {
                match self.random.below(8) {
                    0..4 => self.write(&path),
                    7 => symlink("a", &path).unwrap(),
                    _ => fs::create_dir(&path).unwrap(),
                }
            }
        }
    }

    /// A name in some directory below `top`, or in it.
    fn somewhere(&mut self, top: &Path) -> PathBuf {
        let directories: Vec<_> = below(top).into_iter().filter(|path| is_dir(path)).collect();
        let mut path = if directories.is_empty() || self.random.one_in(3) {
            top.to_owned()
        } else {
            self.random.pick(&directories).clone()
        };
        path.push(self.random.pick(&NAMES));
        path
    }

    /// Removes something, a directory name by name if that makes no difference: a target may keep a directory and not what is in it, and
    /// rsync sees only that all is gone.
    fn remove(&mut self, path: &Path) {
        if !is_dir(path) {
            return fs::remove_file(path).unwrap();
        }
        let top = self.dir.join("s");
        let is_kept = |path: &Path| {
            let name = path.strip_prefix(&top).unwrap().as_os_str();
            is_dir(path)
                && self
                    .protected
                    .check(name.as_encoded_bytes(), true)
                    .is_excluded()
        };
        if is_kept(path) || below(path).iter().any(|path| is_kept(path)) {
            let out = self.dir.join("removed");
            fs::rename(path, &out).unwrap();
            fs::remove_dir_all(out).unwrap();
        } else {
            fs::remove_dir_all(path).unwrap();
        }
    }

    /// Does one thing to the source.
    fn act(&mut self) {
        let top = self.dir.join("s");
        let there = below(&top);
        let some = (!there.is_empty()).then(|| self.random.pick(&there).clone());
        let new = self.somewhere(&top);
        match self.random.below(16) {
            0..3 => {
                if self.is_free(&new) && !is_dir(&new) {
                    self.note("write", &[&new]);
                    // Not through a link to elsewhere.
                    let _ = fs::remove_file(&new);
                    self.write(&new);
                }
            }
            3..5 => {
                if self.is_free(&new) && new.symlink_metadata().is_err() {
                    self.note("make", &[&new]);
                    fs::create_dir(&new).unwrap();
                    self.populate(&new, 6);
                }
            }
            5 => {
                if self.is_free(&new) && new.symlink_metadata().is_err() {
                    self.note("link", &[&new]);
                    symlink("keep", &new).unwrap();
                }
            }
            6..9 => {
                if let Some(path) = some.filter(|path| self.is_free(path)) {
                    self.note("remove", &[&path]);
                    self.remove(&path);
                }
            }
            9..12 => {
                let Some(path) = some else { return };
                let fits = self.is_free(&path)
                    && self.is_free(&new)
                    && !new.starts_with(&path)
                    && !path.starts_with(&new)
                    && (new.symlink_metadata().is_err() || !is_dir(&path) && !is_dir(&new));
                if fits {
                    self.note("rename", &[&path, &new]);
                    fs::rename(&path, &new).unwrap();
                }
            }
            12 => {
                if let Some(path) = some.filter(|path| self.is_free(path)) {
                    self.written += 1;
                    let out = self.dir.join(format!("outside/{}", self.written));
                    self.note("move out", &[&path]);
                    fs::rename(&path, out).unwrap();
                }
            }
            13 => {
                let outside = children(&self.dir.join("outside"));
                if self.is_free(&new) && new.symlink_metadata().is_err() && !outside.is_empty() {
                    let from = self.random.pick(&outside).clone();
                    self.note("move in", &[&new]);
                    fs::rename(from, &new).unwrap();
                }
            }
            14 => {
                let Some(path) = some.filter(|path| self.is_free(path)) else {
                    return;
                };
                if !path.is_symlink() {
                    self.note("chmod", &[&path]);
                    let mode = *self.random.pick(&[0o700, 0o755, 0o711]);
                    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                }
            }
            _ => {
                let Some(path) = some.filter(|path| self.is_free(path)) else {
                    return;
                };
                self.note("replace", &[&path]);
                let directory = is_dir(&path);
                self.remove(&path);
                if directory {
                    self.write(&path);
                } else {
                    fs::create_dir(&path).unwrap();
                    self.populate(&path, 4);
                }
            }
        }
    }
}

impl std::fmt::Display for Draw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = if self.remote { "daemon" } else { "local" };
        write!(
            f,
            "seed {} ({place}, protocol {:?})\nrules {:?}\n{}",
            self.seed, self.protocol, self.rules, self.history
        )
    }
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

/// Some rules. `old`: none that protocol 29 does not have.
fn rules(random: &mut Random, old: bool) -> Vec<String> {
    let idioms = [
        &["+ */", "+ *.php", "- *"][..],
        &["P logs/"],
        &["- /build/out"],
        &["- *.o", "P keep"],
        &["H *.o", "P keep", "- .*.swp"],
        &["+ /build/***", "- /*"],
    ];
    if random.one_in(3) {
        let idiom = *random.pick(&idioms);
        return idiom.iter().map(|&rule| rule.to_owned()).collect();
    }
    let signs = [
        "-", "-", "-", "-", "+", "+", "+", "P", "P", "R", "H", "S", "-s", "-r", "+r", "-!", "-p",
    ];
    (0..1 + random.below(4))
        .map(|_| {
            let sign = match *random.pick(&signs) {
                "-p" if old => "-",
                sign => sign,
            };
            format!("{sign} {}", pattern(random))
        })
        .collect()
}

fn pattern(random: &mut Random) -> String {
    let mut one = || {
        if random.one_in(3) {
            (*random.pick(&WILD)).to_owned()
        } else {
            random.pick(&NAMES[..8]).to_string()
        }
    };
    let (a, b) = (one(), one());
    match random.below(14) {
        0..3 => a,
        3..5 => format!("{a}/"),
        5 => format!("/{a}"),
        6 => format!("/{a}/"),
        7 => format!("{a}/{b}"),
        8 => format!("/{a}/{b}"),
        9 => format!("{a}/{b}/"),
        10 => format!("{a}/**"),
        11 => format!("/{a}/**/{b}"),
        12 => format!("**/{a}"),
        _ => format!("{a}/***"),
    }
}

fn rule_text(rule: &String) -> FilterText {
    FilterText::Rule(rule.as_bytes().to_vec())
}

fn is_dir(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

/// What is in a directory, in an order that is the same in every run.
fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap();
    let all: BTreeSet<_> = entries.map(|entry| entry.unwrap().path()).collect();
    all.into_iter().collect()
}

/// Everything below a directory, the same.
fn below(top: &Path) -> Vec<PathBuf> {
    let mut all = BTreeSet::new();
    let mut todo = vec![top.to_owned()];
    while let Some(dir) = todo.pop() {
        for path in children(&dir) {
            if is_dir(&path) {
                todo.push(path.clone());
            }
            all.insert(path);
        }
    }
    all.into_iter().collect()
}
