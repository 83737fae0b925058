//! What is known of a name that may differ at a target: a mark.
//!
//! A mark never says what to do. It says where to look, how careful to be (a content change must not be left to the receiver's quick check)
//! and how long to wait so that a burst of events becomes one transfer.

use std::time::Duration;

use rsync_engine::fs::Timestamp;

use crate::clock::Moment;

/// How long a change waits, for more of the same or after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// After the last event of a name that needs no longer wait, a closed file above all.
    pub settle: Duration,
    /// After the last write to a file of which no close was seen.
    pub quiet: Duration,
    /// After a file's own mtime, if a listing found it and no event tells whether its writer is done.
    pub found: Duration,
    /// After a deletion, so that a re-creation (editors: move away, write anew) wins.
    pub delete_hold: Duration,
    /// After the first event of a name that never gets quiet.
    pub max_delay: Duration,
    /// After a failure, of a session or of a name; it doubles with each further one.
    pub retry: Duration,
    /// After many failed sessions, and after those that somebody has to look into.
    pub session_retry_max: Duration,
    /// After many failures of a name.
    pub path_retry_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(10),
            quiet: Duration::from_secs(1),
            found: Duration::from_millis(250),
            delete_hold: Duration::from_millis(50),
            max_delay: Duration::from_secs(10),
            retry: Duration::from_secs(1),
            session_retry_max: Duration::from_secs(60),
            path_retry_max: Duration::from_secs(600),
        }
    }
}

/// What an event or a walk says about one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Something that is no directory appeared; it may be complete (a link) or about to be written.
    Created,
    /// A directory appeared.
    DirCreated,
    /// Content was written.
    Modified,
    /// A writer closed it.
    Closed,
    /// A complete object was moved here, perhaps over another.
    MovedIn,
    /// Only attributes changed: the one hint that leaves a file to the receiver's quick check.
    Attributes,
    /// It was removed or moved away.
    Gone,
    /// A directory was removed or moved away with all that the target still has below it.
    DirGone,
    /// A walk says that it may differ, content included, and that nobody writes to it.
    Differs,
}

/// What a mark on a directory says about everything below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subtree {
    /// Compare with the target by a recursive session.
    pub full: bool,
    /// Send every file's content past the quick check: no time stamp tells what the target holds under these names.
    pub force: bool,
    /// The directory that was here went away as a whole: what the target has below and the source has not goes too.
    pub purge: bool,
    /// Send what has a ctime from here on (less one second).
    pub since: Option<Timestamp>,
}

impl Subtree {
    /// All content, past the quick check.
    pub const FORCE: Self = Self {
        full: false,
        force: true,
        purge: false,
        since: None,
    };

    /// A comparison with the target.
    pub const FULL: Self = Self {
        full: true,
        force: false,
        purge: false,
        since: None,
    };

    /// Another directory, or one of which events were lost: all content, and what the target has and the source has not goes.
    pub(crate) const REPLACED: Self = Self {
        full: false,
        force: true,
        purge: true,
        since: None,
    };

    /// True if it says nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Both together.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            full: self.full || other.full,
            force: self.force || other.force,
            purge: self.purge || other.purge,
            since: match (self.since, other.since) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        }
    }
}

/// What the mark waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The settle time, before the first look.
    Look,
    /// A file that may still be written: the quiet time.
    Open,
    /// A name that is not there: the hold time of deletions.
    Missing,
}

/// What a look at the source found, as far as readiness needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// The name does not exist.
    Missing,
    /// A regular file with this number of links.
    Regular(u32),
    /// Anything else.
    Other,
}

/// A name that may differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// The content may differ, not only attributes.
    pub content: bool,
    /// The last content event was the end of writing.
    pub closed: bool,
    /// What it waits for.
    pub wait: Wait,
    /// When the first event was read, and a wall-clock moment before which none of the changes happened.
    pub first: Moment,
    /// The last event.
    pub last: Duration,
    /// Not before this moment, after a failure.
    pub not_before: Duration,
    /// For everything below.
    pub subtree: Subtree,
    /// A walk made it and no event: what it stands for may be older than any change of the name's ctime.
    pub walked: bool,
}

impl Mark {
    /// A mark that says nothing yet.
    pub(crate) fn new(now: Moment) -> Self {
        Self {
            content: false,
            closed: false,
            wait: Wait::Look,
            first: now,
            last: now.mono,
            not_before: Duration::ZERO,
            subtree: Subtree::default(),
            walked: false,
        }
    }

    /// Like [`Mark::new`], of something that no event told.
    pub(crate) fn walked(now: Moment) -> Self {
        Self {
            walked: true,
            ..Self::new(now)
        }
    }

    /// It stands for a change at this time, too.
    pub(crate) fn stand_for(&mut self, changed: Timestamp) {
        self.first.real = self.first.real.min(changed);
    }

    /// The wall-clock moment before which nothing happened that it stands for.
    pub(crate) fn owed_since(&self) -> Timestamp {
        let first = self.first.real;
        self.subtree.since.map_or(first, |since| since.min(first))
    }

    /// Takes in one more hint.
    pub(crate) fn note(&mut self, hint: Hint, now: Moment) {
        // The wall clock may have been set back since the first.
        self.stand_for(now.real);
        self.last = self.last.max(now.mono);
        self.not_before = Duration::ZERO;
        self.content |= hint != Hint::Attributes;
        match hint {
            Hint::Created => (self.closed, self.wait) = (false, Wait::Look),
            Hint::DirCreated | Hint::Closed | Hint::MovedIn => {
                (self.closed, self.wait) = (true, Wait::Look);
            }
            Hint::Modified => (self.closed, self.wait) = (false, Wait::Open),
            Hint::Attributes => {}
            // A walk knows nothing of a writer that events know of.
            Hint::Differs => {
                if self.wait == Wait::Look {
                    self.closed = true;
                }
            }
            Hint::Gone => (self.closed, self.wait) = (false, Wait::Missing),
            Hint::DirGone => {
                (self.closed, self.wait) = (false, Wait::Missing);
                self.subtree.purge = true;
            }
        }
    }

    /// When it is worth a look.
    pub fn due(&self, timing: &Timing) -> Duration {
        let wait = match self.wait {
            Wait::Look => timing.settle,
            Wait::Open => timing.quiet,
            Wait::Missing => timing.delete_hold,
        };
        (self.last + wait)
            .min(self.first.mono + timing.max_delay)
            .max(self.not_before)
    }

    /// Whether it goes now, given what the look found; else what it has to wait for.
    pub fn verdict(&self, present: Present, now: Duration, timing: &Timing) -> Result<(), Wait> {
        if now >= self.first.mono + timing.max_delay {
            return Ok(());
        }
        match present {
            Present::Missing if self.wait == Wait::Missing => Ok(()),
            Present::Missing if now >= self.last + timing.delete_hold => Ok(()),
            Present::Missing => Err(Wait::Missing),
            Present::Other => Ok(()),
            Present::Regular(_) if self.closed || !self.content => Ok(()),
            // A new name of an older file is as complete as the file.
            Present::Regular(links) if links > 1 && self.wait == Wait::Look => Ok(()),
            Present::Regular(_) if now >= self.last + timing.quiet => Ok(()),
            Present::Regular(_) => Err(Wait::Open),
        }
    }

    /// This mark, taken earlier and not done, together with what was marked under the same name since.
    #[must_use]
    pub(crate) fn merged_with_newer(self, newer: Self) -> Self {
        let (closed, wait) = if newer.content {
            (newer.closed, newer.wait)
        } else {
            (self.closed, self.wait)
        };
        Self {
            content: self.content || newer.content,
            closed,
            wait,
            first: self.first.min(newer.first),
            last: self.last.max(newer.last),
            not_before: newer.not_before,
            subtree: self.subtree.union(newer.subtree),
            walked: self.walked || newer.walked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment {
            mono: Duration::from_millis(ms),
            real: Timestamp {
                secs: 1_000 + (ms / 1_000) as i64,
                nsec: (ms % 1_000) as u32 * 1_000_000,
            },
        }
    }

    /// The table of readiness: events at 0 ms and after, what the look finds, when it is looked at first, when it goes.
    #[test]
    fn readiness() {
        use Hint::*;
        use Present::*;
        type Case = (&'static str, &'static [(Hint, u64)], Present, u64, u64);
        let cases: &[Case] = &[
            (
                "close",
                &[(Created, 0), (Modified, 1), (Closed, 2)],
                Regular(1),
                12,
                12,
            ),
            (
                "double close",
                &[(Closed, 0), (Modified, 4), (Closed, 5)],
                Regular(1),
                15,
                15,
            ),
            ("truncate", &[(Modified, 0)], Regular(1), 1_000, 1_000),
            (
                "created, never closed",
                &[(Created, 0)],
                Regular(1),
                10,
                1_000,
            ),
            ("hard link", &[(Created, 0)], Regular(2), 10, 10),
            ("symlink", &[(Created, 0)], Other, 10, 10),
            ("directory", &[(DirCreated, 0)], Other, 10, 10),
            ("safe save", &[(MovedIn, 0)], Regular(1), 10, 10),
            ("chmod", &[(Attributes, 0)], Regular(1), 10, 10),
            (
                "chmod of an open file",
                &[(Modified, 0), (Attributes, 500)],
                Regular(1),
                1_500,
                1_500,
            ),
            ("delete", &[(Gone, 0)], Missing, 50, 50),
            (
                "moved away, written anew",
                &[(Gone, 0), (Created, 3), (Closed, 4)],
                Regular(1),
                14,
                14,
            ),
            (
                "temporary file",
                &[(Created, 0), (Closed, 1), (Gone, 2)],
                Missing,
                52,
                52,
            ),
            ("vanished without event", &[(Closed, 0)], Missing, 10, 50),
            (
                "log file",
                &[
                    (Modified, 0),
                    (Modified, 900),
                    (Modified, 1_800),
                    (Modified, 9_500),
                ],
                Regular(1),
                10_000,
                10_000,
            ),
            ("walk", &[(Differs, 0)], Regular(1), 10, 10),
            (
                "walk finds an open file",
                &[(Modified, 0), (Differs, 5)],
                Regular(1),
                1_005,
                1_005,
            ),
        ];
        let timing = Timing::default();
        for (name, events, present, looked, sent) in cases {
            let mut mark = Mark::new(at(events[0].1));
            for &(hint, ms) in *events {
                mark.note(hint, at(ms));
            }
            let due = mark.due(&timing);
            assert_eq!(due, Duration::from_millis(*looked), "{name}: look");
            let go = match mark.verdict(*present, due, &timing) {
                Ok(()) => due,
                Err(wait) => {
                    mark.wait = wait;
                    let due = mark.due(&timing);
                    assert_eq!(mark.verdict(*present, due, &timing), Ok(()), "{name}");
                    due
                }
            };
            assert_eq!(go, Duration::from_millis(*sent), "{name}: sent");
        }
    }

    #[test]
    fn a_merge_keeps_what_is_stronger_and_what_is_newer() {
        let mut older = Mark::new(at(0));
        older.note(Hint::Created, at(0));
        let mut newer = Mark::new(at(5));
        newer.note(Hint::Attributes, at(5));
        let merged = older.clone().merged_with_newer(newer);
        assert!(merged.content && !merged.closed);
        assert_eq!((merged.first, merged.last), (at(0), at(5).mono));

        let mut newer = Mark::new(at(7));
        newer.note(Hint::Closed, at(7));
        assert!(older.merged_with_newer(newer).closed);
    }

    #[test]
    fn union_of_subtrees() {
        let since = |secs| Subtree {
            since: Some(Timestamp { secs, nsec: 0 }),
            ..Subtree::default()
        };
        assert_eq!(since(5).union(since(3)), since(3));
        assert_eq!(since(5).union(Subtree::default()), since(5));
        assert!(Subtree::FORCE.union(Subtree::FULL).force);
        assert!(Subtree::default().is_none());
    }
}
