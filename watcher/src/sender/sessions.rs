//! The sessions of one plan.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rsync_engine::fs::Tree;

use crate::dirty::Subtree;
use crate::event::WatchEvent;
use crate::path::PathBytes;
use crate::plan::{Comparison, Plan};
use crate::push::{
    Batch, BatchEntry, FullSync, PathFailure, PushEvent, PushResult, PushStats, Pusher, RenameHint,
    Retry, SessionError,
};
use crate::shared::Shared;
use crate::source::Source;

/// Who runs them, for which target.
pub(super) struct Sessions<'s> {
    pub(super) shared: &'s Arc<Shared>,
    pub(super) target: usize,
    pub(super) pusher: &'s mut dyn Pusher,
    pub(super) source: &'s Source,
}

/// What the sessions of one cycle gave.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) failed: Vec<(PathFailure, Subtree)>,
    pub(super) confirmed: Vec<PathBytes>,
    pub(super) deleted: Vec<PathBytes>,
    pub(super) stats: PushStats,
    pub(super) error: Option<SessionError>,
}

impl Sessions<'_> {
    /// Runs the sessions of a plan: comparisons that were asked for, the batch, and what comes after it.
    pub(super) fn run(mut self, plan: &Plan, renames: Vec<RenameHint>) -> Outcome {
        let mut outcome = Outcome::default();
        for comparison in plan
            .comparisons
            .iter()
            .filter(|comparison| comparison.first)
        {
            self.compare(comparison, &mut outcome);
        }
        if !plan.entries.is_empty() && outcome.error.is_none() {
            let batch = Batch {
                root: self.source.tree().clone(),
                entries: plan.entries.values().cloned().collect(),
                renames,
            };
            let result = {
                let mut events = forward(self.shared, self.target);
                guarded(|| self.pusher.push(&batch, &mut events))
            };
            outcome.stats.add(result.stats);
            outcome.confirmed.extend(result.confirmed);
            outcome.deleted.extend(result.deleted);
            outcome.error = result.error;
            for failure in result.failed {
                let entry = plan.entries.get(&failure.path);
                let subtree = if failure.below && entry.is_some_and(BatchEntry::is_directory) {
                    Subtree::FORCE
                } else {
                    Subtree::default()
                };
                outcome.failed.push((failure, subtree));
            }
        }
        for comparison in plan
            .comparisons
            .iter()
            .filter(|comparison| !comparison.first)
        {
            self.compare(comparison, &mut outcome);
        }
        outcome
    }

    fn compare(&mut self, comparison: &Comparison, outcome: &mut Outcome) {
        if outcome.error.is_some() {
            return;
        }
        let request = FullSync {
            root: Tree::clone(self.source.tree()),
            path: comparison.path.clone(),
            ignore_times: comparison.ignore_times,
            delete_extras: comparison.delete_extras,
        };
        let result = {
            let mut events = forward(self.shared, self.target);
            guarded(|| self.pusher.full_sync(&request, &mut events))
        };
        outcome.stats.add(result.stats);
        outcome.error = result.error;
        let subtree = Subtree {
            full: true,
            force: comparison.ignore_times,
            purge: comparison.delete_extras,
            since: None,
        };
        for failure in result.failed {
            let subtree = if failure.below {
                subtree
            } else {
                Subtree::default()
            };
            outcome.failed.push((failure, subtree));
        }
    }
}

/// Passes news of a push on; progress at most ten times a second.
fn forward(shared: &Arc<Shared>, target: usize) -> impl FnMut(PushEvent) + use<> {
    let shared = shared.clone();
    let mut last = None::<Duration>;
    move |event| {
        let now = shared.now().mono;
        if matches!(event, PushEvent::Progress { .. }) {
            if last.is_some_and(|last| now < last + PROGRESS_INTERVAL) {
                return;
            }
            last = Some(now);
        }
        shared.report(WatchEvent::Push { target, event });
    }
}

/// A session that panics is a session that failed: the other targets, and this one later, go on.
fn guarded(session: impl FnOnce() -> PushResult) -> PushResult {
    catch_unwind(AssertUnwindSafe(session)).unwrap_or_else(|_| PushResult {
        error: Some(SessionError {
            text: "internal error: the session panicked".to_owned(),
            retry: Retry::Backoff,
        }),
        ..PushResult::default()
    })
}

const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
