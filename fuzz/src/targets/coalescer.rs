//! Operations on the dirty set of a target: nothing that was named is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use rsync_engine::fs::Timestamp;
use syncline_watcher::{DirtySet, Hint, Moment, PathBytes, Subtree, Timing, Wait};

/// Operations, as `arbitrary` reads them.
pub fn run(data: &[u8]) {
    let Ok(Script { limit, steps }) = Script::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let mut model = Model::new(2 + usize::from(limit % 8));
    for step in steps.into_iter().take(MOST_STEPS) {
        model.step(step);
        model.check();
    }
    model.everything_comes_out();
}

#[derive(Debug, Arbitrary)]
struct Script {
    limit: u8,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Step {
    Hint(Name, Kind),
    Subtree(Name, bool),
    Found(Name, u8),
    Take(u8),
    Confirm(Name),
    ConfirmRest,
    Defer(Name, bool),
    Again(Name),
    Fail(Name, bool),
    GiveBack,
    Hold(Name),
    Release,
    Strengthen(Name),
    Wait(u16),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Kind {
    Created,
    DirCreated,
    Modified,
    Closed,
    MovedIn,
    Attributes,
    Gone,
    DirGone,
    Differs,
}

/// One of a few paths.
#[derive(Debug, Clone, Copy, Arbitrary)]
struct Name(u8);

impl Name {
    fn path(self) -> &'static str {
        PATHS[usize::from(self.0) % PATHS.len()]
    }

    fn key(self) -> PathBytes {
        self.path().as_bytes().into()
    }
}

struct Model {
    set: DirtySet,
    now: Duration,
    /// Names to be looked at, by the moment since when.
    owed: BTreeMap<&'static str, Duration>,
    /// Names taken, neither confirmed nor given back.
    flying: BTreeMap<&'static str, Duration>,
    /// Deletions set aside.
    held: BTreeSet<&'static str>,
}

impl Model {
    fn new(limit: usize) -> Self {
        Self {
            set: DirtySet::with_limit(Timing::default(), limit),
            now: Duration::ZERO,
            owed: BTreeMap::new(),
            flying: BTreeMap::new(),
            held: BTreeSet::new(),
        }
    }

    fn moment(&self) -> Moment {
        let real = Timestamp { secs: 1_000 + self.now.as_secs().cast_signed(), nsec: self.now.subsec_nanos() };
        Moment { mono: self.now, real }
    }

    fn owe(&mut self, name: Name) {
        self.owed.entry(name.path()).or_insert(self.now);
    }

    /// What flies lands again.
    fn land(&mut self, path: &'static str) -> bool {
        let Some(since) = self.flying.remove(path) else {
            return false;
        };
        let owed = self.owed.entry(path).or_insert(since);
        *owed = since.min(*owed);
        true
    }

    fn step(&mut self, step: Step) {
        let now = self.moment();
        match step {
            Step::Hint(name, kind) => {
                self.set.hint(&name.key(), hint(kind), now);
                self.owe(name);
            }
            Step::Subtree(name, force) => {
                self.set.subtree(&name.key(), if force { Subtree::FORCE } else { Subtree::FULL }, now);
                self.owe(name);
            }
            Step::Found(name, wait) => {
                self.set.found(&name.key(), self.now + Duration::from_millis(u64::from(wait) * 10), now);
                self.owe(name);
            }
            Step::Take(max) => self.take(usize::from(max % 5)),
            Step::Confirm(name) => {
                self.set.confirm(name.path().as_bytes());
                self.flying.remove(name.path());
            }
            Step::ConfirmRest => {
                self.set.confirm_rest();
                self.flying.clear();
            }
            Step::Defer(name, open) => {
                self.set.defer(&name.key(), if open { Wait::Open } else { Wait::Missing });
                self.land(name.path());
            }
            Step::Again(name) => {
                self.set.again(&name.key(), Subtree::default(), now);
                if !self.land(name.path()) {
                    self.owe(name);
                }
            }
            Step::Fail(name, below) => self.fail(name, below),
            Step::GiveBack => {
                self.set.give_back();
                let flying: Vec<&str> = self.flying.keys().copied().collect();
                flying.into_iter().for_each(|path| {
                    self.land(path);
                });
            }
            Step::Hold(name) => {
                self.set.hold(&name.key());
                if self.flying.remove(name.path()).is_some() {
                    self.held.insert(name.path());
                }
            }
            Step::Release => {
                self.set.release();
                self.held.clear();
            }
            Step::Strengthen(name) => {
                self.set.strengthen(&name.key(), now);
                self.owe(name);
            }
            Step::Wait(ms) => self.now += Duration::from_millis(ms.into()),
        }
    }

    fn take(&mut self, max: usize) {
        let taken = self.set.take(self.now, max);
        assert!(taken.len() <= max);
        for taken in taken {
            let path = known(&taken.path);
            assert!(taken.mark.due(self.set.timing()) <= self.now);
            let since = self.owed.remove(path);
            let since = since.into_iter().chain(self.flying.get(path).copied()).min().unwrap_or(self.now);
            self.flying.insert(path, since);
            if taken.mark.subtree.is_none() {
                continue;
            }
            // What is below is looked at with it, but for what has a mark of its own.
            let waiting: BTreeSet<PathBytes> = self.set.waiting_below(path.as_bytes()).cloned().collect();
            self.owed
                .retain(|name, _| !is_below(name, path) || waiting.contains(name.as_bytes()));
            // Those were folded into this one once: of their own marks no more is known than that they are there.
            for (_, since) in self.owed.iter_mut().filter(|(name, _)| is_below(name, path)) {
                *since = self.now;
            }
        }
    }

    fn fail(&mut self, name: Name, below: bool) {
        let subtree = if below { Subtree::FORCE } else { Subtree::default() };
        let attempts = self.set.fail(&name.key(), "no", subtree, self.moment());
        assert!(attempts > 0);
        let landing: Vec<&str> =
            self.flying.keys().copied().filter(|path| below && is_below(path, name.path())).collect();
        landing.into_iter().for_each(|path| {
            self.land(path);
        });
        if !self.land(name.path()) {
            self.owe(name);
        }
        assert!(self.set.problems().any(|(path, problem)| &**path == name.path().as_bytes() && problem.attempts > 0));
    }

    fn check(&self) {
        let set = &self.set;
        let waiting = set.len();
        assert_eq!(set.next_due().is_some(), waiting > 0);
        assert_eq!(set.is_clean_below(b""), set.is_empty() && set.held() == 0);
        assert_eq!(set.oldest().is_some(), !set.is_empty() || set.held() > 0);
        assert_eq!(set.owed_since().is_some(), set.oldest().is_some());
        for (path, since) in self.owed.iter().chain(&self.flying) {
            let oldest = set.oldest().unwrap_or_else(|| panic!("{path} was forgotten"));
            assert!(oldest.mono <= *since, "{path} is older than the oldest");
            let above = PATHS.iter().any(|above| is_below(path, above) && !set.is_clean_below(above.as_bytes()));
            assert!(!set.is_clean_below(path.as_bytes()) || above, "{path} was forgotten");
        }
    }

    /// In the end each name that is owed comes out, by itself or with a directory above it.
    fn everything_comes_out(mut self) {
        self.set.give_back();
        self.set.release();
        self.check_after_release();
        let late = self.now + Timing::default().path_retry_max + Timing::default().max_delay;
        let taken = self.set.take(late, usize::MAX);
        assert_eq!(self.set.len(), 0);
        for path in self.owed.keys().chain(self.flying.keys()) {
            let comes = |name: &[u8], alone: bool| {
                name == path.as_bytes() || (!alone && is_below(path, known(name)))
            };
            assert!(taken.iter().any(|taken| comes(&taken.path, taken.mark.subtree.is_none())), "{path} was forgotten");
        }
        self.set.confirm_rest();
        assert!(self.set.is_empty() && self.set.is_clean_below(b""));
        assert_eq!(self.set.problems().len(), 0);
    }

    fn check_after_release(&self) {
        assert_eq!(self.set.held(), 0);
    }
}

fn hint(kind: Kind) -> Hint {
    match kind {
        Kind::Created => Hint::Created,
        Kind::DirCreated => Hint::DirCreated,
        Kind::Modified => Hint::Modified,
        Kind::Closed => Hint::Closed,
        Kind::MovedIn => Hint::MovedIn,
        Kind::Attributes => Hint::Attributes,
        Kind::Gone => Hint::Gone,
        Kind::DirGone => Hint::DirGone,
        Kind::Differs => Hint::Differs,
    }
}

/// The path that the set speaks of: one of ours, always.
fn known(path: &[u8]) -> &'static str {
    PATHS.iter().find(|known| known.as_bytes() == path).unwrap_or_else(|| panic!("{}", path.escape_ascii()))
}

fn is_below(path: &str, dir: &str) -> bool {
    path != dir && (dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')))
}

const PATHS: [&str; 12] = ["", "a", "a/b", "a/b/c", "a/b/d", "a/e", "a.b", "f", "f/g", "f/g/h/i", "f/g/h", "j"];
const MOST_STEPS: usize = 300;

/// Scripts of pseudo-random bytes, and those in which each byte is a step.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut random = crate::mutate::Random::new(5);
    let mut bytes = |len: usize| (0..len).map(|_| random.bits().to_le_bytes()[0]).collect::<Vec<u8>>();
    let mut seeds: Vec<Vec<u8>> = (1..40).map(|size| bytes(size * 12)).collect();
    seeds.push(vec![0; 64]);
    seeds
}
