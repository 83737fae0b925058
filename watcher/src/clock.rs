//! Moments: monotonic for every delay, realtime beside it only to compare with a file's ctime.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rsync_engine::fs::Timestamp;

/// One instant on both clocks. The pure parts of this crate get it passed in and never ask for the time themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Time since the watcher's own start, never set back.
    pub mono: Duration,
    /// The wall clock, comparable with the ctime of a local file.
    pub real: Timestamp,
}

impl Moment {
    /// The earlier of the two on each clock.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            mono: self.mono.min(other.mono),
            real: self.real.min(other.real),
        }
    }

    /// How far the wall clock was set back since `earlier`, judged by the monotonic one; zero if it was not.
    pub fn set_back_since(self, earlier: Self) -> Duration {
        let real = nanos(self.real) - nanos(earlier.real);
        let mono = self.mono.saturating_sub(earlier.mono).as_nanos() as i128;
        duration(mono - real)
    }
}

/// The same wall-clock time, `seconds` earlier.
pub(crate) fn seconds_before(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp {
        secs: time.secs.saturating_sub(seconds),
        nsec: time.nsec,
    }
}

/// How old `time` is at `now`; zero for the future.
pub(crate) fn age(now: Timestamp, time: Timestamp) -> Duration {
    duration(nanos(now) - nanos(time))
}

/// The clocks of this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        let real = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp {
                secs: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nsec: since.subsec_nanos(),
            },
            // A clock before 1970 compares as older than every file: more is sent, nothing is lost.
            Err(_) => Timestamp::default(),
        };
        Moment {
            mono: self.start.elapsed(),
            real,
        }
    }
}

/// Zero for what is negative, five centuries at most.
fn duration(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

fn nanos(time: Timestamp) -> i128 {
    i128::from(time.secs) * 1_000_000_000 + i128::from(time.nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64, secs: i64, nsec: u32) -> Moment {
        Moment {
            mono: Duration::from_millis(mono_ms),
            real: Timestamp { secs, nsec },
        }
    }

    #[test]
    fn a_clock_set_back_is_noticed() {
        let before = at(1_000, 500, 0);
        assert_eq!(at(2_000, 501, 0).set_back_since(before), Duration::ZERO);
        assert_eq!(at(2_000, 601, 0).set_back_since(before), Duration::ZERO);
        assert_eq!(
            at(2_000, 491, 0).set_back_since(before),
            Duration::from_secs(10)
        );
    }

    #[test]
    fn ages() {
        let now = Timestamp {
            secs: 10,
            nsec: 500,
        };
        assert_eq!(
            age(now, Timestamp { secs: 9, nsec: 0 }),
            Duration::new(1, 500)
        );
        assert_eq!(age(now, Timestamp { secs: 11, nsec: 0 }), Duration::ZERO);
        let ancient = Timestamp {
            secs: i64::MIN,
            nsec: 0,
        };
        assert!(age(now, ancient) > Duration::from_secs(1 << 33));
        assert_eq!(seconds_before(now, 3).secs, 7);
    }
}
