//! What a sender tells the user of the watcher.

use std::collections::HashSet;

use super::sessions::Outcome;
use super::{Sender, Work};
use crate::clock::Moment;
use crate::event::{BatchSummary, WatchEvent};
use crate::plan::Plan;
use crate::push::EntryKind;
use crate::shared::Inner;
use crate::target::Change;

impl Sender {
    pub(super) fn report_change(&self, inner: &Inner, change: &Change, text: &str) {
        let target = self.target;
        let text = text.to_owned();
        match *change {
            Change::None => {}
            Change::Up { away } => self.shared.report(WatchEvent::TargetUp { target, away }),
            Change::Down { retry_in } => self.shared.report(WatchEvent::TargetDown {
                target,
                text,
                retry_in,
                waiting: inner.state.targets[target].set.len(),
            }),
            Change::DeletesRefused => self
                .shared
                .report(WatchEvent::DeletesRefused { target, text }),
        }
    }

    pub(super) fn report_batch(&self, work: &Work, plan: &Plan, outcome: &Outcome, now: Moment) {
        let (mut changed, mut deleted) = (0, 0);
        let mut examples = Vec::new();
        let gone: HashSet<_> = outcome.deleted.iter().collect();
        for entry in plan.entries.values() {
            match entry.kind {
                EntryKind::Parent => continue,
                EntryKind::Delete if !gone.contains(&entry.path) => continue,
                EntryKind::Delete => deleted += 1,
                EntryKind::Attr | EntryKind::Content => changed += 1,
            }
            if examples.len() < EXAMPLES {
                examples.push(entry.path.clone());
            }
        }
        let full = !plan.comparisons.is_empty();
        if changed + deleted == 0 && !full {
            return;
        }
        let oldest = work.taken.iter().map(|taken| taken.mark.first.mono).min();
        self.shared.report(WatchEvent::BatchDone {
            target: self.target,
            summary: BatchSummary {
                examples,
                changed,
                deleted,
                full,
                stats: outcome.stats,
                took: now.mono.saturating_sub(work.began.mono),
                lag: now.mono.saturating_sub(oldest.unwrap_or(now.mono)),
                failed: outcome.failed.len(),
            },
        });
    }

    pub(super) fn report_in_sync(&self, inner: &mut Inner) {
        let settled = inner.is_settled();
        let target = &mut inner.state.targets[self.target];
        if settled && target.is_in_sync() && !std::mem::replace(&mut target.in_sync, true) {
            self.shared.report(WatchEvent::InSync {
                target: self.target,
            });
        }
    }
}

/// Names in the summary of a batch.
const EXAMPLES: usize = 3;
