//! The dirty set of one target: which names may differ there, which of them are ready, which are on their way.
//!
//! Pure: no I/O and no clock. Events come in as [`Hint`]s, ready marks go out with [`DirtySet::take`], and each taken mark is either confirmed
//! or comes back. A mark taken is not a mark gone: what arrives for the same name meanwhile is a mark of its own and is handled by a
//! later batch, so nothing that was read before the change can pass for what came after it.
//!
//! Every mark also knows a wall-clock moment before which none of its changes happened, and hands it on with what it stands for: when marks
//! fold into that of a directory, when a name takes over what its directory left to it. So [`DirtySet::owed_since`] is never later than a
//! change that is not confirmed. For that the wall clock of each moment given to the methods is one before the change that is told.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use rsync_engine::fs::Timestamp;

use crate::clock::Moment;
use crate::dirty::{Hint, Mark, Subtree, Timing, Wait};
use crate::path::{self, PathBytes};

mod aside;
mod fold;

/// Marks of one target above which directories fold into one mark each.
pub const MAX_MARKS: usize = 200_000;

/// A path that failed and is tried again, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The words of whoever refused it.
    pub text: String,
    /// Failures in a row.
    pub attempts: u32,
    /// The first of them.
    pub since: Duration,
}

/// A mark handed out by [`DirtySet::take`].
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// The name.
    pub path: PathBytes,
    /// What was known of it.
    pub mark: Mark,
}

/// The dirty names of one target.
#[derive(Debug)]
pub struct DirtySet {
    timing: Timing,
    max_marks: usize,
    /// Byte order keeps everything below a directory in one range.
    marks: BTreeMap<PathBytes, Mark>,
    /// The same paths by the moment they are due; held ones are not in it.
    due: BTreeSet<(Duration, PathBytes)>,
    in_flight: BTreeMap<PathBytes, Mark>,
    /// Those of large files that are sent beside all others.
    aside: BTreeMap<PathBytes, Mark>,
    /// Marks that are due and wait until those are done.
    parked: BTreeSet<PathBytes>,
    /// Deletions that wait for a release.
    held: BTreeMap<PathBytes, Mark>,
    problems: BTreeMap<PathBytes, Problem>,
}

impl DirtySet {
    /// An empty set.
    pub fn new(timing: Timing) -> Self {
        Self::with_limit(timing, MAX_MARKS)
    }

    /// An empty set that folds above `max_marks`.
    pub fn with_limit(timing: Timing, max_marks: usize) -> Self {
        Self {
            timing,
            max_marks,
            marks: BTreeMap::new(),
            due: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            aside: BTreeMap::new(),
            parked: BTreeSet::new(),
            held: BTreeMap::new(),
            problems: BTreeMap::new(),
        }
    }

    /// How long changes wait.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Takes in a hint about one name.
    pub fn hint(&mut self, path: &PathBytes, hint: Hint, now: Moment) {
        if hint == Hint::DirGone {
            self.absorb_below(path, now);
        }
        self.change(path, now, |mark| mark.note(hint, now));
        self.fold_above_limit();
    }

    /// Marks a directory with everything below it (a name that is no directory: its content).
    pub fn subtree(&mut self, path: &PathBytes, subtree: Subtree, now: Moment) {
        // The walk of an ancestor that is still to come will meet it.
        if subtree == Subtree::FORCE
            && let Some(above) = self.forced_from_above(path)
        {
            above.stand_for(now.real);
            return;
        }
        self.change(path, now, |mark| {
            mark.note(Hint::Differs, now);
            mark.subtree = mark.subtree.union(subtree);
        });
        self.fold_above_limit();
    }

    /// A file that a listing found, complete at `ready` unless an event says otherwise.
    pub fn found(&mut self, path: &PathBytes, ready: Duration, now: Moment) {
        let known = self.marks.contains_key(path);
        self.change(path, now, |mark| {
            mark.note(Hint::Differs, now);
            if !known {
                mark.not_before = ready;
                mark.walked = true;
            }
        });
    }

    /// The next moment at which [`DirtySet::take`] gives something.
    pub fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Takes up to `max` marks that are due. They are in flight until confirmed or given back.
    pub fn take(&mut self, now: Duration, max: usize) -> Vec<Taken> {
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some((due, _)) = self.due.first() else {
                break;
            };
            if *due > now {
                break;
            }
            let Some((_, path)) = self.due.pop_first() else {
                break;
            };
            if self.meets_aside(&path) {
                self.parked.insert(path);
                continue;
            }
            let Some(mark) = self.marks.remove(&path) else {
                continue;
            };
            let flying = match self.in_flight.remove(&path) {
                Some(older) => older.merged_with_newer(mark.clone()),
                None => mark.clone(),
            };
            self.in_flight.insert(path.clone(), flying);
            taken.push(Taken { path, mark });
        }
        taken
    }

    /// The target has what was read of this name after the mark was taken. What is about everything below is not confirmed by that.
    pub fn confirm(&mut self, path: &[u8]) {
        match self.in_flight.get(path) {
            Some(mark) if mark.subtree.is_none() => drop(self.in_flight.remove(path)),
            _ => return,
        }
        if !self.marks.contains_key(path) {
            self.problems.remove(path);
        }
    }

    /// All that is in flight and was not given back or failed is confirmed.
    pub fn confirm_rest(&mut self) {
        let done = std::mem::take(&mut self.in_flight);
        if !self.problems.is_empty() {
            for path in done.keys() {
                if !self.marks.contains_key(path) {
                    self.problems.remove(path);
                }
            }
        }
    }

    /// Puts a taken mark back: it has to wait for `wait` first.
    pub fn defer(&mut self, path: &PathBytes, wait: Wait) {
        if let Some(mut mark) = self.in_flight.remove(path) {
            mark.wait = wait;
            self.put_back(path.clone(), mark);
        }
    }

    /// It changed or vanished while it was sent: once more, after the quiet time unless its writer closes it. If it is a directory, `subtree`
    /// says what was left undone below it.
    pub fn again(&mut self, path: &PathBytes, subtree: Subtree, now: Moment) {
        self.put_back_below(path, Duration::ZERO);
        let mut mark = self
            .in_flight
            .remove(path)
            .unwrap_or_else(|| Mark::walked(now));
        mark.stand_for(now.real);
        mark.content = true;
        mark.last = now.mono;
        mark.wait = Wait::Open;
        mark.closed = false;
        mark.subtree = mark.subtree.union(subtree);
        self.put_back(path.clone(), mark);
    }

    /// Something refused this name: again later, with growing delays. If it is a directory, `subtree` says what to do about
    /// everything below, which may have been skipped without a word. Returns the failures in a row.
    pub fn fail(&mut self, path: &PathBytes, text: &str, subtree: Subtree, now: Moment) -> u32 {
        let problem = self
            .problems
            .entry(path.clone())
            .or_insert_with(|| Problem {
                text: String::new(),
                attempts: 0,
                since: now.mono,
            });
        problem.attempts = problem.attempts.saturating_add(1);
        if problem.text != text {
            problem.text = text.to_owned();
        }
        let attempts = problem.attempts;
        let delay = doubled(self.timing.retry, attempts - 1, self.timing.path_retry_max);
        let not_before = now.mono + delay;
        self.put_back_below(path, not_before);
        let mut mark = self
            .in_flight
            .remove(path)
            .unwrap_or_else(|| Mark::walked(now));
        mark.stand_for(now.real);
        mark.content = true;
        mark.closed = true;
        mark.wait = Wait::Look;
        mark.not_before = not_before;
        mark.subtree = mark.subtree.union(subtree);
        self.put_back(path.clone(), mark);
        attempts
    }

    /// Names that failed need not wait any longer.
    pub(crate) fn retry_failed(&mut self) {
        for path in self.problems.keys() {
            if let Some(mark) = self.marks.get_mut(path) {
                self.due.remove(&(mark.due(&self.timing), path.clone()));
                mark.not_before = Duration::ZERO;
                self.due.insert((mark.due(&self.timing), path.clone()));
            }
        }
    }

    /// The session failed: everything in flight comes back.
    pub fn give_back(&mut self) {
        for (path, mark) in std::mem::take(&mut self.in_flight) {
            self.put_back(path, mark);
        }
    }

    /// Sets a taken deletion aside until [`DirtySet::release`].
    pub fn hold(&mut self, path: &PathBytes) {
        if let Some(mut mark) = self.in_flight.remove(path) {
            // A walk of a directory above does not meet it.
            for (_, above) in self.standing_above(path) {
                mark.stand_for(above.owed_since());
            }
            let mark = match self.held.remove(path) {
                Some(older) => older.merged_with_newer(mark),
                None => mark,
            };
            self.held.insert(path.clone(), mark);
        }
    }

    /// Lets held deletions go; each is looked at afresh.
    pub fn release(&mut self) {
        for (path, mark) in std::mem::take(&mut self.held) {
            self.put_back(path, mark);
        }
    }

    /// Deletions that wait for a release.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// True if nothing is marked, in flight or held at or below `path`.
    pub fn is_clean_below(&self, path: &[u8]) -> bool {
        self.all()
            .into_iter()
            .all(|map| range_within(map, path).next().is_none())
    }

    /// True if, on top of that, no directory above `path` is owed as a whole.
    pub(crate) fn is_clean(&self, path: &[u8]) -> bool {
        self.is_clean_below(path) && self.standing_above(path).next().is_none()
    }

    /// Paths strictly below `dir` (or `dir` itself, if it is no directory) that have a mark of their own.
    pub fn waiting_below(&self, dir: &[u8]) -> impl Iterator<Item = &PathBytes> {
        range_within(&self.marks, dir).map(|(path, _)| path)
    }

    /// Paths strictly below `dir` that are marked, in flight or held.
    pub(crate) fn owed_below(&self, dir: &[u8]) -> impl Iterator<Item = &PathBytes> {
        self.all()
            .into_iter()
            .flat_map(|map| range_below(map, dir))
            .map(|(path, _)| path)
    }

    /// Makes sure that the mark of `path` covers its content, because a mark above it does and leaves it to this one.
    pub fn strengthen(&mut self, path: &PathBytes, now: Moment) {
        if let Some(mark) = self.marks.get_mut(path) {
            mark.content = true;
            mark.stand_for(now.real);
        } else {
            // It was taken or confirmed meanwhile: once more.
            self.found(path, Duration::ZERO, now);
        }
    }

    /// The oldest change not confirmed.
    pub fn oldest(&self) -> Option<Moment> {
        self.all()
            .into_iter()
            .flat_map(BTreeMap::values)
            .map(|mark| mark.first)
            .reduce(Moment::min)
    }

    /// The wall-clock moment before which no change is owed, if any is.
    pub fn owed_since(&self) -> Option<Timestamp> {
        self.all()
            .into_iter()
            .flat_map(BTreeMap::values)
            .map(Mark::owed_since)
            .min()
    }

    /// The same for one name and what is below it, marks of directories above it that stand for their content included; but for the
    /// root's, which stands for every name there is.
    pub(crate) fn owed_since_at(&self, path: &[u8]) -> Option<Timestamp> {
        let own = self
            .all()
            .into_iter()
            .flat_map(|map| range_within(map, path))
            .map(|(_, mark)| mark.owed_since());
        let above = self.standing_above(path).filter(|(dir, mark)| {
            !dir.is_empty() && (mark.subtree.force || mark.subtree.since.is_some())
        });
        own.chain(above.map(|(_, mark)| mark.owed_since())).min()
    }

    /// The marks of directories above `path` that are about their content.
    fn standing_above<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a Mark)> {
        path::ancestors(path).flat_map(|dir| {
            self.all()
                .into_iter()
                .filter_map(move |map| Some((dir, map.get(dir)?)))
                .filter(|(_, mark)| !mark.subtree.is_none())
        })
    }

    /// Marks waiting, not counting those in flight.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// True if no mark waits or is in flight. Held deletions do not count.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.in_flight.is_empty() && self.aside.is_empty()
    }

    /// The paths that failed, with their reasons.
    pub fn problems(&self) -> impl ExactSizeIterator<Item = (&PathBytes, &Problem)> {
        self.problems.iter()
    }

    /// True if every mark that is left is one of a path that failed, or lies below one, and nothing changed there since.
    pub fn only_problems_left(&self) -> bool {
        let failed = |path: &[u8]| self.problems.contains_key(path);
        let waits = |(path, mark): (&PathBytes, &Mark)| {
            !mark.not_before.is_zero() && (failed(path) || path::ancestors(path).any(failed))
        };
        self.in_flight.is_empty() && self.aside.is_empty() && self.marks.iter().all(waits)
    }

    fn all(&self) -> [&BTreeMap<PathBytes, Mark>; 4] {
        [&self.marks, &self.in_flight, &self.aside, &self.held]
    }

    fn change(&mut self, path: &PathBytes, now: Moment, change: impl FnOnce(&mut Mark)) {
        if let Some(mark) = self.marks.get_mut(path) {
            let before = mark.due(&self.timing);
            change(mark);
            let after = mark.due(&self.timing);
            if before != after {
                // The set's own key is the one to reuse: one allocation a path however many events name it.
                self.due.remove(&(before, path.clone()));
                self.due.insert((after, path.clone()));
            }
        } else {
            let mut mark = Mark::new(now);
            change(&mut mark);
            self.due.insert((mark.due(&self.timing), path.clone()));
            self.marks.insert(path.clone(), mark);
        }
    }

    fn put_back(&mut self, path: PathBytes, older: Mark) {
        let mark = match self.remove(&path) {
            Some(newer) => older.merged_with_newer(newer),
            None => older,
        };
        self.due.insert((mark.due(&self.timing), path.clone()));
        self.marks.insert(path, mark);
    }

    /// What is in flight below a name that did not arrive: it may have been skipped, or the name stood for it (a file in the place of its
    /// directory).
    fn put_back_below(&mut self, path: &PathBytes, not_before: Duration) {
        for below in paths(range_below(&self.in_flight, path)) {
            if let Some(mut mark) = self.in_flight.remove(&below) {
                mark.not_before = not_before;
                self.put_back(below, mark);
            }
        }
    }

    fn remove(&mut self, path: &PathBytes) -> Option<Mark> {
        let mark = self.marks.remove(path)?;
        self.due.remove(&(mark.due(&self.timing), path.clone()));
        Some(mark)
    }

    /// The directory went with all below it: its own mark, with `purge`, says as much as theirs.
    fn absorb_below(&mut self, dir: &PathBytes, now: Moment) {
        let mut first = now;
        for path in paths(range_below(&self.marks, dir)) {
            if let Some(mark) = self.remove(&path) {
                first.mono = first.mono.min(mark.first.mono);
                first.real = first.real.min(mark.owed_since());
            }
            self.problems.remove(&path);
        }
        for path in paths(range_below(&self.held, dir)) {
            if let Some(mark) = self.held.remove(&path) {
                first.real = first.real.min(mark.owed_since());
            }
        }
        self.change(dir, first, |mark| mark.first = mark.first.min(first));
    }

    fn forced_from_above(&mut self, path: &[u8]) -> Option<&mut Mark> {
        let forced = |mark: &Mark| mark.subtree.force && mark.not_before.is_zero();
        let above =
            path::ancestors(path).find(|above| self.marks.get(*above).is_some_and(forced))?;
        self.marks.get_mut(above)
    }
}

fn paths<'a>(marks: impl Iterator<Item = (&'a PathBytes, &'a Mark)>) -> Vec<PathBytes> {
    marks.map(|(path, _)| path.clone()).collect()
}

/// `dir` and everything below it.
fn range_within<'a>(
    map: &'a BTreeMap<PathBytes, Mark>,
    dir: &[u8],
) -> impl Iterator<Item = (&'a PathBytes, &'a Mark)> + use<'a> {
    map.get_key_value(dir)
        .into_iter()
        .chain(range_below(map, dir))
}

/// Everything strictly below `dir`.
fn range_below<'a>(
    map: &'a BTreeMap<PathBytes, Mark>,
    dir: &[u8],
) -> impl Iterator<Item = (&'a PathBytes, &'a Mark)> + use<'a> {
    let (from, to) = if dir.is_empty() {
        (Bound::Excluded(Vec::new()), Bound::Unbounded)
    } else {
        let (from, to) = path::below(dir);
        (Bound::Included(from), Bound::Excluded(to))
    };
    map.range::<[u8], _>((
        from.as_ref().map(Vec::as_slice),
        to.as_ref().map(Vec::as_slice),
    ))
}

/// `first`, doubled `times` times, at most `longest`.
pub(crate) fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    longest.min(first.saturating_mul(1 << times.min(20)))
}

#[cfg(test)]
mod tests;
