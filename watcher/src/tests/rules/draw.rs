//! Random trees, rules and changes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::super::random::Random;
use super::{BY_RULES, Case, MODULE};

/// Names of which each draw has some, so that what its rules name comes, goes and is renamed.
const NAMES: [&str; 10] = [
    "a", "b", "build", "out", "logs", "x.o", "y.php", "keep", ".k.swp", "z[1]*",
];
const OF_A_DRAW: usize = 5;
const WILD: [&str; 8] = ["*.o", "*.php", "*", "b*", "?", "[ab]", ".*.swp", "[!a]*"];

/// What is drawn.
pub(super) struct Draw {
    random: Random,
    pub(super) module: Option<&'static str>,
    pub(super) protocol: Option<u32>,
    pub(super) watched_only: bool,
    names: Vec<&'static str>,
    /// Paths that this step changed: rsync sees the end of a step only, so nothing is changed twice in it.
    changed: Vec<PathBuf>,
    written: usize,
    history: String,
}

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let module = *random.pick(&[None, None, Some(MODULE), Some(MODULE), Some(BY_RULES)]);
        let protocol = (module.is_some() && random.one_in(3)).then(|| 29 + random.below(3) as u32);
        let first = random.below(NAMES.len() as u64) as usize;
        let step = *random.pick(&[1, 3]);
        let names = (0..OF_A_DRAW).map(|i| NAMES[(first + i * step) % NAMES.len()]);
        Self {
            names: names.collect(),
            module,
            protocol,
            watched_only: random.one_in(2),
            changed: Vec::new(),
            written: 0,
            history: String::new(),
            random,
        }
    }

    pub(super) fn rules(&mut self) -> Vec<String> {
        rules(&mut self.random, &self.names, self.protocol == Some(29))
    }

    /// Makes the first state of both trees.
    pub(super) fn fill(&mut self, case: &Case) {
        self.populate(&case.dir.join("s"), 14);
        self.populate(&case.dir.join("d"), 14);
    }

    /// Changes the source here and there; says how.
    pub(super) fn step(&mut self, case: &Case) -> String {
        self.changed.clear();
        for _ in 0..1 + self.random.below(6) {
            self.act(case);
        }
        std::mem::take(&mut self.history)
    }

    fn note(&mut self, what: &str, paths: &[&Path], case: &Case) {
        let _ = write!(self.history, "\n  {what}");
        for path in paths {
            self.changed.push(path.to_path_buf());
            let path = path.strip_prefix(&case.dir).unwrap_or(path);
            let _ = write!(self.history, " {}", path.display());
        }
    }

    /// Whether a path, what is below or above it was not changed in this step.
    fn is_free(&self, path: &Path) -> bool {
        let mut changed = self.changed.iter();
        !changed.any(|other| path.starts_with(other) || other.starts_with(path))
    }

    fn write(&mut self, path: &Path) {
        self.written += 1;
        // No two of one size: files made at the same moment would pass for equal.
        let content = "x".repeat(self.written);
        fs::write(path, content).unwrap();
    }

    /// Makes random things below a directory, until there are about so many.
    fn populate(&mut self, top: &Path, count: u64) {
        for _ in 0..self.random.below(count) {
            let path = self.somewhere(top);
            if path.symlink_metadata().is_err() {
                match self.random.below(8) {
                    0..3 => self.write(&path),
                    3 => symlink("a", &path).unwrap(),
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
        path.push(self.random.pick(&self.names));
        path
    }

    /// Does one thing to the source.
    fn act(&mut self, case: &Case) {
        let top = case.dir.join("s");
        let there = below(&top);
        // What is done to a directory does most.
        let directories: Vec<_> = there.iter().filter(|path| is_dir(path)).cloned().collect();
        let among = if self.random.one_in(2) && !directories.is_empty() {
            &directories
        } else {
            &there
        };
        let some = (!among.is_empty()).then(|| self.random.pick(among).clone());
        let new = self.somewhere(&top);
        match self.random.below(18) {
            0..3 => {
                if self.is_free(&new) && !is_dir(&new) {
                    self.note("write", &[&new], case);
                    // Not through a link to elsewhere.
                    let _ = fs::remove_file(&new);
                    self.write(&new);
                }
            }
            3..5 => {
                if self.is_free(&new) && new.symlink_metadata().is_err() {
                    self.note("make", &[&new], case);
                    fs::create_dir(&new).unwrap();
                    self.populate(&new, 6);
                }
            }
            5 => {
                if self.is_free(&new) && new.symlink_metadata().is_err() {
                    self.note("link", &[&new], case);
                    symlink("keep", &new).unwrap();
                }
            }
            6..9 => {
                if let Some(path) = some.filter(|path| self.is_free(path)) {
                    self.note("remove", &[&path], case);
                    remove(&path, case);
                }
            }
            9..14 => {
                let Some(path) = some else { return };
                let fits = self.is_free(&path)
                    && self.is_free(&new)
                    && !new.starts_with(&path)
                    && !path.starts_with(&new)
                    && (new.symlink_metadata().is_err() || !is_dir(&path) && !is_dir(&new));
                if fits {
                    self.note("rename", &[&path, &new], case);
                    fs::rename(&path, &new).unwrap();
                }
            }
            14 => {
                if let Some(path) = some.filter(|path| self.is_free(path)) {
                    self.written += 1;
                    let out = case.dir.join(format!("outside/{}", self.written));
                    self.note("move out", &[&path], case);
                    fs::rename(&path, out).unwrap();
                }
            }
            15 => {
                let outside = children(&case.dir.join("outside"));
                if self.is_free(&new) && new.symlink_metadata().is_err() && !outside.is_empty() {
                    let from = self.random.pick(&outside).clone();
                    self.note("move in", &[&new], case);
                    fs::rename(from, &new).unwrap();
                }
            }
            16 => {
                let Some(path) = some.filter(|path| self.is_free(path)) else {
                    return;
                };
                if !path.is_symlink() {
                    self.note("chmod", &[&path], case);
                    let mode = *self.random.pick(&[0o700, 0o755, 0o711]);
                    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                }
            }
            _ => {
                let Some(path) = some.filter(|path| self.is_free(path)) else {
                    return;
                };
                self.note("replace", &[&path], case);
                let directory = is_dir(&path);
                remove(&path, case);
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

/// Some rules, about these names. `old`: none that protocol 29 does not have.
fn rules(random: &mut Random, names: &[&str], old: bool) -> Vec<String> {
    let idioms = [
        &["+ */", "+ *.php", "- *"][..],
        &["P logs/"],
        &["- /build/out"],
        &["- *.o", "P keep"],
        &["H *.o", "P keep", "- .*.swp"],
        &["+ /build/***", "- /*"],
    ];
    if random.one_in(5) {
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
            format!("{sign} {}", pattern(random, names))
        })
        .collect()
}

fn pattern(random: &mut Random, names: &[&str]) -> String {
    let mut one = || {
        if random.one_in(4) {
            (*random.pick(&WILD)).to_owned()
        } else {
            random.pick(names).replace("[1]", "\\[1]")
        }
    };
    let (a, b) = (one(), one());
    match random.below(14) {
        0 | 1 => a,
        2 | 3 => format!("{a}/"),
        5 => format!("/{a}"),
        6 => format!("/{a}/"),
        7 => format!("{a}/{b}"),
        4 | 8 => format!("/{a}/{b}"),
        9 => format!("{a}/{b}/"),
        10 => format!("{a}/**"),
        11 => format!("/{a}/**/{b}"),
        12 => format!("**/{a}"),
        _ => format!("{a}/***"),
    }
}

/// Removes something, a directory name by name if that makes no difference: a target may keep a directory and not what is in it, and
/// rsync sees only that all is gone.
pub(super) fn remove(path: &Path, case: &Case) {
    if !is_dir(path) {
        return fs::remove_file(path).unwrap();
    }
    let top = case.dir.join("s");
    let is_kept = |path: &Path| {
        let name = path.strip_prefix(&top).unwrap().as_os_str();
        let rules = &case.protected;
        is_dir(path) && rules.check(name.as_encoded_bytes(), true).is_excluded()
    };
    if is_kept(path) || below(path).iter().any(|path| is_kept(path)) {
        let out = case.dir.join("removed");
        fs::rename(path, &out).unwrap();
        fs::remove_dir_all(out).unwrap();
    } else {
        fs::remove_dir_all(path).unwrap();
    }
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
