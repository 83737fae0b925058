//! Random operations beside a naive list of changes: nothing is forgotten, and nothing is owed since a later moment than it happened.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Hint(u8, u8),
    Subtree(u8, u8),
    Take(u8),
    /// Names that the walk of a directory in flight met and that cannot go yet.
    Met(u8, u8),
    Confirm(u8),
    Rest,
    Defer(u8),
    Again(u8, bool),
    Fail(u8, bool),
    GiveBack,
    Release,
    Hold(u8),
    Wait(u16),
    /// Everything that changed until now is known.
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<u8>(), any::<u8>()).prop_map(|(path, hint)| Step::Hint(path, hint)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(path, kind)| Step::Subtree(path, kind)),
        3 => any::<u8>().prop_map(Step::Take),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(path, kind)| Step::Met(path, kind)),
        1 => any::<u8>().prop_map(Step::Confirm),
        1 => Just(Step::Rest),
        1 => any::<u8>().prop_map(Step::Defer),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(path, below)| Step::Again(path, below)),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(path, below)| Step::Fail(path, below)),
        1 => Just(Step::GiveBack),
        1 => Just(Step::Release),
        1 => any::<u8>().prop_map(Step::Hold),
        3 => (0..3_000u16).prop_map(Step::Wait),
        1 => Just(Step::Settle),
    ]
}

/// A change that the target may not have.
#[derive(Debug)]
struct Change {
    path: &'static str,
    /// When it happened, in milliseconds.
    at: u64,
    /// The mark that was taken for it.
    taken: Option<&'static str>,
    /// Whether it was set aside.
    held: bool,
}

struct Model {
    set: DirtySet,
    now: u64,
    settled: u64,
    /// Since when the marks of the running batch are owed.
    batch: Option<Timestamp>,
    changes: Vec<Change>,
}

impl Model {
    /// The moment of something learnt now.
    fn learnt(&self) -> Moment {
        Moment {
            real: at(self.settled).real,
            ..at(self.now)
        }
    }

    /// The moment of what takes over from a mark of the batch.
    fn handed_on(&self) -> Moment {
        let real = at(self.now).real;
        Moment {
            real: self.batch.map_or(real, |since| since.min(real)),
            ..at(self.now)
        }
    }

    fn changed(&mut self, path: &'static str) {
        self.changes.push(Change {
            path,
            at: self.now,
            taken: None,
            held: false,
        });
    }

    /// The changes for which `want` holds, given the mark that was taken for them, wait again.
    fn land(&mut self, want: impl Fn(&str, &str) -> bool) {
        for change in &mut self.changes {
            if change.taken.is_some_and(|taken| want(change.path, taken)) {
                change.taken = None;
            }
        }
    }

    fn take(&mut self, max: usize) {
        let taken = self.set.take(at(self.now).mono, max);
        let since = taken.iter().map(|taken| taken.mark.owed_since());
        self.batch = since.chain(self.batch).min();
        for name in taken.iter().map(|taken| known(&taken.path)) {
            self.fly(name, |path| path == name);
        }
        // The nearest directory stands for what is below it.
        let whole = taken.iter().filter(|taken| !taken.mark.subtree.is_none());
        let mut whole: Vec<_> = whole.map(|taken| known(&taken.path)).collect();
        whole.sort_by_key(|name| std::cmp::Reverse(path::depth(name.as_bytes())));
        for name in whole {
            let waiting: Vec<PathBytes> =
                self.set.waiting_below(name.as_bytes()).cloned().collect();
            let nearer: Vec<_> = waiting
                .iter()
                .map(|path| (known(path), self.set.marks[path].subtree.is_none()))
                .collect();
            self.fly(name, |path| {
                let stands = |&(near, alone): &(&str, bool)| {
                    path == near || (!alone && is_within(path, near))
                };
                is_within(path, name) && !nearer.iter().any(stands)
            });
            // What the sender does when the walk meets them.
            let now = self.handed_on();
            for path in waiting {
                self.set.strengthen(&path, now);
            }
        }
    }

    /// The mark of `name` was taken for the changes that wait at these paths.
    fn fly(&mut self, name: &'static str, want: impl Fn(&str) -> bool) {
        for change in &mut self.changes {
            if change.taken.is_none() && !change.held && want(change.path) {
                change.taken = Some(name);
            }
        }
    }

    fn step(&mut self, step: &Step) {
        let path = |i: u8| PATHS[i as usize % PATHS.len()];
        match *step {
            Step::Hint(i, hint) => {
                let hint = HINTS[hint as usize % HINTS.len()];
                self.set.hint(&key(path(i)), hint, self.learnt());
                self.changed(path(i));
                if hint == Hint::DirGone {
                    // What was set aside goes with the directory.
                    for change in &mut self.changes {
                        change.held &= change.path == path(i) || !is_within(change.path, path(i));
                    }
                }
            }
            Step::Subtree(i, kind) => {
                let kind = if kind % 2 == 0 {
                    Subtree::FORCE
                } else {
                    Subtree::FULL
                };
                self.set.subtree(&key(path(i)), kind, self.learnt());
                self.changed(path(i));
            }
            Step::Take(max) => self.take(max as usize % 4),
            Step::Met(i, kind) => {
                let name = path(i);
                if kind % 2 == 0 {
                    let ready = at(self.now + 250).mono;
                    self.set.found(&key(name), ready, self.handed_on());
                } else {
                    self.set.strengthen(&key(name), self.handed_on());
                }
                self.land(|path, taken| path == name && taken != name);
            }
            Step::Confirm(i) => {
                let flies = self.set.in_flight.get(path(i).as_bytes());
                let alone = flies.is_some_and(|mark| mark.subtree.is_none());
                self.set.confirm(path(i).as_bytes());
                self.changes
                    .retain(|change| change.taken != Some(path(i)) || !alone);
            }
            Step::Rest => {
                self.set.confirm_rest();
                self.changes.retain(|change| change.taken.is_none());
                self.batch = None;
            }
            Step::Defer(i) => {
                self.set.defer(&key(path(i)), Wait::Open);
                self.land(|_, taken| taken == path(i));
                // The walk of a directory in the same batch leaves it to that mark.
                let walked = path::ancestors(path(i).as_bytes())
                    .filter_map(|above| self.set.in_flight.get(above))
                    .any(|mark| !mark.subtree.is_none());
                if walked {
                    self.set.strengthen(&key(path(i)), self.handed_on());
                }
            }
            Step::Again(i, below) => {
                self.set
                    .again(&key(path(i)), what_is(below), self.handed_on());
                self.failed(path(i), below);
            }
            Step::Fail(i, below) => {
                self.set
                    .fail(&key(path(i)), "no", what_is(below), self.handed_on());
                self.failed(path(i), below);
            }
            Step::GiveBack => {
                self.set.give_back();
                self.land(|_, _| true);
                self.batch = None;
            }
            Step::Release => {
                self.set.release();
                for change in &mut self.changes {
                    change.held = false;
                }
            }
            Step::Hold(i) => {
                self.set.hold(&key(path(i)));
                for change in &mut self.changes {
                    if change.taken == Some(path(i)) {
                        (change.taken, change.held) = (None, true);
                    }
                }
            }
            Step::Wait(ms) => self.now += u64::from(ms),
            Step::Settle => self.settled = self.now,
        }
    }

    fn failed(&mut self, top: &'static str, below: bool) {
        self.land(|path, taken| {
            is_within(taken, top) || path == top || (below && is_within(path, top))
        });
    }

    fn check(&self) {
        let set = &self.set;
        for change in &self.changes {
            let covered = |path: &str| {
                [&set.marks, &set.in_flight, &set.held]
                    .into_iter()
                    .filter_map(|map| map.get(path.as_bytes()))
                    .any(|mark| path == change.path || !mark.subtree.is_none())
            };
            let is_covered = PATHS
                .iter()
                .any(|path| is_within(change.path, path) && covered(path));
            assert!(is_covered, "{change:?} was forgotten");
            assert!(
                set.owed_since() <= Some(at(change.at).real),
                "{change:?} is owed since later"
            );
        }
        // The index of due times holds exactly the marks.
        assert_eq!(set.due.len(), set.marks.len());
        for (path, mark) in &set.marks {
            assert!(set.due.contains(&(mark.due(&set.timing), path.clone())));
        }
    }
}

/// What is said about everything below a name that failed.
fn what_is(below: bool) -> Subtree {
    if below {
        Subtree::FORCE
    } else {
        Subtree::default()
    }
}

fn is_within(path: &str, top: &str) -> bool {
    path::is_within(path.as_bytes(), top.as_bytes())
}

fn known(path: &[u8]) -> &'static str {
    PATHS.iter().find(|known| known.as_bytes() == path).unwrap()
}

const PATHS: [&str; 8] = ["", "a", "a/b", "a/b/c", "a/d", "e", "e/f", "g"];
const HINTS: [Hint; 9] = [
    Hint::Created,
    Hint::DirCreated,
    Hint::Modified,
    Hint::Closed,
    Hint::MovedIn,
    Hint::Attributes,
    Hint::Gone,
    Hint::DirGone,
    Hint::Differs,
];

proptest! {
    /// A change that is not confirmed is covered by a mark of its name or of a directory above it, none is owed since later than it happened,
    /// and a mark is due within the longest wait. The limit is low, so that folding takes part.
    #[test]
    fn every_change_stays_owed(steps in prop::collection::vec(step(), 1..80), limit in 2usize..9) {
        let mut model = Model {
            set: DirtySet::with_limit(Timing::default(), limit),
            now: 0,
            settled: 0,
            batch: None,
            changes: Vec::new(),
        };
        for step in &steps {
            model.step(step);
            model.check();
        }
        // In the end everything comes out: the longest waits are max_delay and the path retries.
        let mut set = model.set;
        set.give_back();
        set.release();
        set.take(at(model.now + 700_000).mono, usize::MAX);
        prop_assert_eq!(set.len(), 0);
    }
}
