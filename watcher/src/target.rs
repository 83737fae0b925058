//! What is known of one target: its dirty set, its state, when to try again.
//!
//! ```text
//!             first push             all went well
//!  Starting ──────────────> Comparing ───────────> Following <──┐
//!                               │                    │          │ a session succeeds
//!                               └──── session failed ┴──> Down ─┘
//! ```
//!
//! Held deletions, refused deletions and failing paths are beside that: the rest goes on.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rsync_engine::fs::{FileId, Timestamp};

use crate::clock::Moment;
use crate::coalesce::{DirtySet, doubled};
use crate::dirty::{Hint, Subtree, Timing};
use crate::path::{self, PathBytes};
use crate::push::{RenameHint, Retry, SessionError};
use crate::tree::Tree;

/// Where a target is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was sent yet.
    Starting,
    /// The first comparison runs.
    Comparing,
    /// Changes are sent as they come.
    Following,
    /// The last session failed.
    Down,
}

/// One target.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) set: DirtySet,
    /// Files that changed under a name which was lost before it was looked at: their other names have it.
    forsaken: HashSet<FileId>,
    /// None of them changed before this moment.
    forsaken_since: Option<Timestamp>,
    /// Renames whose new name is in the set.
    renames: Vec<RenameHint>,
    phase: Phase,
    timing: Timing,
    /// Failed sessions in a row.
    failures: u32,
    retry_at: Duration,
    down_since: Duration,
    deletes_refused: bool,
    /// Names that the source had at the end of an earlier run, until the first session is over.
    pub(crate) known_names: usize,
    /// The guard tripped: deletions wait until they are released.
    pub(crate) holding: bool,
    released_at: Option<Duration>,
    /// Before this moment large files are not sent beside the others.
    pub(crate) large_after: Duration,
    /// The last news was that it is in sync.
    pub(crate) in_sync: bool,
    pub(crate) last_success: Option<Duration>,
    pub(crate) next_audit: Option<Duration>,
    /// Directories in which nothing was deleted, as something below could not be read, and what is still to be done about them; with
    /// [`Tree::unblocked`] of that moment.
    barred: HashMap<PathBytes, Subtree>,
    barred_at: u64,
    /// Directories that a session walks on its own, with the end of the session. Kept until every event from before the end is
    /// dealt with: what the session found in a directory that had no watch yet may have vanished without an event.
    comparing: Vec<(PathBytes, Option<Duration>)>,
}

/// What a finished session changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    Up { away: Duration },
    Down { retry_in: Duration },
    DeletesRefused,
}

impl Target {
    pub(crate) fn new(timing: Timing) -> Self {
        Self {
            set: DirtySet::new(timing.clone()),
            forsaken: HashSet::new(),
            forsaken_since: None,
            renames: Vec::new(),
            phase: Phase::Starting,
            timing,
            failures: 0,
            retry_at: Duration::ZERO,
            down_since: Duration::ZERO,
            deletes_refused: false,
            known_names: 0,
            holding: false,
            released_at: None,
            large_after: Duration::ZERO,
            in_sync: false,
            last_success: None,
            next_audit: None,
            barred: HashMap::new(),
            barred_at: 0,
            comparing: Vec::new(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn deletes_refused(&self) -> bool {
        self.deletes_refused
    }

    /// True if nothing is owed to it.
    pub(crate) fn is_in_sync(&self) -> bool {
        self.phase == Phase::Following
            && self.set.is_empty()
            && self.set.held() == 0
            && self.barred.is_empty()
    }

    /// When the next batch may start; `None` if nothing waits.
    pub(crate) fn next_push(&self) -> Option<Duration> {
        Some(self.set.next_due()?.max(self.retry_at))
    }

    /// Notes that `to` was `from`, unless the target may not have `from` as it was. Called before the names are marked; `clean` says
    /// whether nothing was owed at or below the old name when it went away.
    pub(crate) fn renamed(
        &mut self,
        from: &PathBytes,
        to: &PathBytes,
        directory: bool,
        clean: bool,
    ) {
        if clean && self.set.is_clean(to) && self.renames.len() < MAX_RENAMES {
            self.renames.push(RenameHint {
                from: from.clone(),
                to: to.clone(),
                directory,
            });
        }
    }

    /// The hints whose new name is in a batch; those of names that are marked no more are dropped.
    pub(crate) fn take_renames(&mut self, taken: &dyn Fn(&[u8]) -> bool) -> Vec<RenameHint> {
        let (now, later) = std::mem::take(&mut self.renames)
            .into_iter()
            .partition(|hint| taken(&hint.to));
        self.renames = later;
        let set = &self.set;
        self.renames
            .retain(|hint| set.waiting_below(&hint.to).next().is_some());
        now
    }

    /// A session begins.
    pub(crate) fn begin(&mut self) {
        self.in_sync = false;
        if self.phase == Phase::Starting {
            self.phase = Phase::Comparing;
        }
    }

    /// A session came to its clean end.
    pub(crate) fn succeeded(&mut self, now: Moment) -> Change {
        self.failures = 0;
        if !self.holding {
            self.known_names = 0;
        }
        self.retry_at = Duration::ZERO;
        self.last_success = Some(now.mono);
        let before = std::mem::replace(&mut self.phase, Phase::Following);
        if before == Phase::Down {
            // What ended the outage may have been what these names failed for.
            self.set.retry_failed();
            return Change::Up {
                away: now.mono.saturating_sub(self.down_since),
            };
        }
        Change::None
    }

    /// A session failed; everything in flight and not confirmed comes back. `jitter` is from -1 to 1.
    pub(crate) fn failed(&mut self, error: &SessionError, now: Moment, jitter: f64) -> Change {
        self.set.give_back();
        if error.retry == Retry::WithoutDeletes && !self.deletes_refused {
            self.deletes_refused = true;
            return Change::DeletesRefused;
        }
        let longest = self.timing.session_retry_max;
        let delay = match error.retry {
            Retry::Slow => longest,
            Retry::Backoff | Retry::WithoutDeletes => {
                doubled(self.timing.retry, self.failures, longest)
            }
        };
        // So that many targets of one host do not come back at once.
        let delay = delay.mul_f64(1.0 + 0.2 * jitter.clamp(-1.0, 1.0));
        self.failures = self.failures.saturating_add(1);
        if std::mem::replace(&mut self.phase, Phase::Down) != Phase::Down {
            self.down_since = now.mono;
        }
        self.retry_at = now.mono + delay;
        Change::Down { retry_in: delay }
    }

    /// Lets held deletions go; what vanished before now does not trip the guard again.
    pub(crate) fn release(&mut self, now: Duration) {
        self.holding = false;
        self.known_names = 0;
        self.released_at = Some(now);
        self.set.release();
    }

    /// True for a while after a release.
    pub(crate) fn released(&self, now: Duration) -> bool {
        self.released_at
            .is_some_and(|at| now < at + crate::guard::WINDOW)
    }

    /// Nothing was deleted in this directory, as something below cannot be read. False if that is known.
    pub(crate) fn bar(&mut self, path: &PathBytes, subtree: Subtree, unblocked: u64) -> bool {
        if self.barred.is_empty() {
            self.barred_at = unblocked;
        }
        let known = self.barred.get(path).copied();
        let all = known.map_or(subtree, |known| known.union(subtree));
        self.barred.insert(path.clone(), all);
        known.is_none()
    }

    /// Asks for what was barred, if something can be read again since.
    pub(crate) fn unbar(&mut self, unblocked: u64, now: Moment) {
        if self.barred_at == unblocked {
            return;
        }
        self.barred_at = unblocked;
        for (path, subtree) in std::mem::take(&mut self.barred) {
            self.set.subtree(&path, subtree, now);
        }
    }

    /// A session walks `path` from now on.
    pub(crate) fn comparison_begins(&mut self, path: &PathBytes) {
        self.comparing.retain(|(known, _)| known != path);
        self.comparing.push((path.clone(), None));
    }

    /// All such sessions are over.
    pub(crate) fn comparisons_end(&mut self, now: Duration) {
        for (_, end) in &mut self.comparing {
            end.get_or_insert(now);
        }
    }

    /// Everything that happened before `moment` is in the dirty set.
    pub(crate) fn forget_comparisons(&mut self, moment: Duration) {
        self.comparing
            .retain(|(_, end)| end.is_none_or(|end| end > moment));
    }

    /// True if a session may have seen `path` before it was watched.
    pub(crate) fn is_comparing(&self, path: &[u8]) -> bool {
        self.comparing
            .iter()
            .any(|(top, _)| path::is_within(path, top))
    }

    /// Asks for a comparison of everything.
    pub(crate) fn audit(&mut self, now: Moment) {
        let root: PathBytes = PathBytes::from(&b""[..]);
        self.set.subtree(&root, Subtree::FULL, now);
    }

    /// A file lost a name under which it changed, not before `since`, and the target was not told yet. The caller marks the lost name under
    /// the same lock, so there is a push to come that asks for [`Target::adopt_forsaken`] before that mark is confirmed. True: they are as
    /// many as should be remembered.
    pub(crate) fn forsake(&mut self, file: FileId, since: Timestamp) -> bool {
        let since = self
            .forsaken_since
            .map_or(since, |before| before.min(since));
        self.forsaken_since = Some(since);
        self.forsaken.insert(file);
        self.forsaken.len() >= MAX_FORSAKEN
    }

    /// Marks the other names of the forsaken files, found in the tree.
    pub(crate) fn adopt_forsaken(&mut self, tree: &Tree, now: Moment) {
        let Some(since) = self.forsaken_since.take() else {
            return;
        };
        let forsaken = std::mem::take(&mut self.forsaken);
        let now = Moment {
            real: since.min(now.real),
            ..now
        };
        for (path, _) in tree.names_of(&forsaken) {
            self.hint(&path, Hint::Closed, now);
        }
    }

    /// The wall-clock moment before which no change is owed to it, if any is.
    pub(crate) fn owed_since(&self) -> Option<Timestamp> {
        [self.set.owed_since(), self.forsaken_since]
            .into_iter()
            .flatten()
            .min()
    }

    /// Marks one name.
    pub(crate) fn hint(&mut self, path: &PathBytes, hint: Hint, now: Moment) {
        self.set.hint(path, hint, now);
        if matches!(hint, Hint::Gone | Hint::DirGone) {
            // What was moved there is gone again.
            self.renames
                .retain(|rename| !path::is_within(&rename.to, path));
        }
    }
}

/// Forsaken files after which their other names are looked for at once.
const MAX_FORSAKEN: usize = 100_000;
/// Hints kept at most; more renames than that at once are sent as new names.
const MAX_RENAMES: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment {
            mono: Duration::from_secs(secs),
            ..Moment::default()
        }
    }

    fn key(path: &str) -> PathBytes {
        path.as_bytes().into()
    }

    fn error(retry: Retry) -> SessionError {
        SessionError {
            text: "connection refused".to_owned(),
            retry,
        }
    }

    #[test]
    fn delays_double_to_a_minute() {
        let mut target = Target::new(Timing::default());
        let mut delays = Vec::new();
        for _ in 0..8 {
            if let Change::Down { retry_in } = target.failed(&error(Retry::Backoff), at(0), 0.0) {
                delays.push(retry_in.as_secs());
            }
        }
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
        target.succeeded(at(0));
        let varied = target.failed(&error(Retry::Backoff), at(0), -7.0);
        let retry_in = Duration::from_millis(800);
        assert_eq!(varied, Change::Down { retry_in });
    }

    #[test]
    fn from_start_through_an_outage() {
        let mut target = Target::new(Timing::default());
        target.audit(at(0));
        assert!(target.next_push().is_some());
        target.begin();
        assert_eq!(target.phase(), Phase::Comparing);
        target.set.take(at(1).mono, 9);
        let change = target.failed(&error(Retry::Backoff), at(1), 0.0);
        assert_eq!(
            change,
            Change::Down {
                retry_in: Duration::from_secs(1)
            }
        );
        assert_eq!(target.next_push(), Some(at(2).mono));
        target.set.take(at(2).mono, 9);
        target.failed(&error(Retry::Slow), at(2), 0.0);
        assert_eq!(target.next_push(), Some(at(62).mono));
        target.set.take(at(62).mono, 9);
        target.set.confirm_rest();
        assert_eq!(
            target.succeeded(at(63)),
            Change::Up {
                away: Duration::from_secs(62)
            }
        );
        assert_eq!(
            (target.phase(), target.next_push()),
            (Phase::Following, None)
        );
    }

    #[test]
    fn refused_deletions_are_given_up_once_and_at_once() {
        let mut target = Target::new(Timing::default());
        target.hint(&key("a"), Hint::Gone, at(0));
        target.set.take(at(1).mono, 9);
        let refused = error(Retry::WithoutDeletes);
        assert_eq!(target.failed(&refused, at(1), 0.0), Change::DeletesRefused);
        assert!(target.deletes_refused());
        assert_eq!(
            target.next_push(),
            Some(at(0).mono + Duration::from_millis(50))
        );
        assert!(matches!(
            target.failed(&refused, at(1), 0.0),
            Change::Down { .. }
        ));
    }

    #[test]
    fn a_rename_is_a_hint_only_between_clean_names() {
        let mut target = Target::new(Timing::default());
        target.renamed(&key("a"), &key("b"), true, true);
        target.hint(&key("b"), Hint::DirCreated, at(0));
        target.renamed(&key("x"), &key("y"), true, false);
        target.renamed(&key("x"), &key("b"), true, true);
        target.renamed(&key("c"), &key("d"), false, true);
        target.hint(&key("d"), Hint::MovedIn, at(0));
        target.hint(&key("d"), Hint::Gone, at(0));
        let hints = target.take_renames(&|path| path == b"b");
        assert_eq!(hints.len(), 1);
        assert_eq!(&*hints[0].from, b"a");
        assert!(target.renames.is_empty());
    }
}
