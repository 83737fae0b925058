//! The brake on deletions: when too much vanishes at once, a person decides.

use std::collections::VecDeque;
use std::time::Duration;

/// How much may vanish within a minute before deletions wait for a release. Both limits must be exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteLimit {
    /// Names.
    pub names: usize,
    /// Per cent of the names known before.
    pub percent: u8,
}

impl DeleteLimit {
    /// Names that are missing since an earlier run, and names before, if that is above the limit. A tree that is empty all of a sudden
    /// is suspicious however small it was.
    pub(crate) fn missing(self, known: usize, count: usize) -> Option<(usize, usize)> {
        let vanished = known.saturating_sub(count);
        let too_many = self.is_exceeded(vanished, known) || (count == 0 && known > 0);
        too_many.then_some((vanished, known))
    }

    fn is_exceeded(self, vanished: usize, known: usize) -> bool {
        let percent = usize::from(self.percent);
        let share = known / 100 * percent + known % 100 * percent / 100;
        vanished > self.names && vanished > share
    }
}

impl Default for DeleteLimit {
    fn default() -> Self {
        Self {
            names: 1_000,
            percent: 25,
        }
    }
}

/// Remembers how many names the tree had within the last minute. What came back counts as not vanished.
#[derive(Debug, Default)]
pub(crate) struct Shrinkage {
    /// Falling counts with their last moment; the first is the highest of the window.
    peaks: VecDeque<(Duration, usize)>,
}

impl Shrinkage {
    /// The tree has `count` names now.
    pub(crate) fn note(&mut self, count: usize, now: Duration) {
        while self.peaks.back().is_some_and(|&(_, peak)| peak < count) {
            self.peaks.pop_back();
        }
        if self.peaks.back().is_none_or(|&(_, peak)| peak > count) {
            self.peaks.push_back((now, count));
        }
        self.forget(now);
    }

    /// Names that vanished and names before, if that is above the limit.
    pub(crate) fn exceeds(
        &mut self,
        limit: DeleteLimit,
        count: usize,
        now: Duration,
    ) -> Option<(usize, usize)> {
        self.note(count, now);
        let known = self.peaks.front()?.1;
        let vanished = known.saturating_sub(count);
        limit
            .is_exceeded(vanished, known)
            .then_some((vanished, known))
    }

    fn forget(&mut self, now: Duration) {
        // One entry older than the window stays: it was the count when the window began.
        while self.peaks.len() > 1 && self.peaks[1].0 + WINDOW < now {
            self.peaks.pop_front();
        }
    }
}

/// The time over which the guard looks.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn both_limits_count_and_only_the_last_minute() {
        let limit = DeleteLimit::default();
        let mut shrinkage = Shrinkage::default();
        shrinkage.note(10_000, at(0));
        assert_eq!(shrinkage.exceeds(limit, 9_000, at(1)), None);
        assert_eq!(shrinkage.exceeds(limit, 7_500, at(2)), None);
        assert_eq!(
            shrinkage.exceeds(limit, 7_499, at(3)),
            Some((2_501, 10_000))
        );
        // Back again, as after a change of branch.
        assert_eq!(shrinkage.exceeds(limit, 9_990, at(4)), None);
        assert_eq!(
            shrinkage.exceeds(limit, 7_000, at(5)),
            Some((3_000, 10_000))
        );
        // By now that is how it always was.
        assert_eq!(shrinkage.exceeds(limit, 7_000, at(66)), None);
        assert!(shrinkage.peaks.len() < 4);

        // Since an earlier run.
        assert_eq!(limit.missing(0, 0), None);
        assert_eq!(limit.missing(3, 1), None);
        assert_eq!(limit.missing(3, 0), Some((3, 3)));
        assert_eq!(limit.missing(4_000, 2_999), Some((1_001, 4_000)));

        let mut small = Shrinkage::default();
        small.note(900, at(0));
        assert_eq!(small.exceeds(limit, 0, at(1)), None);
    }
}
