//! Large files, sent beside everything else, so that no small one waits for their end.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender as Jobs, channel};
use std::time::Duration;

use super::sessions::{Outcome, Sessions};
use super::{Sender, Work};
use crate::dirty::Hint;

use crate::plan::Plan;
use crate::push::{EntryKind, FailureKind, Pusher};
use crate::shared::{Inner, Shared};

/// Files to send, with what a report of them says.
pub(crate) struct Job {
    work: Work,
    plan: Plan,
}

/// The thread of one target's large files.
pub(crate) struct Large {
    sender: Sender,
    jobs: Receiver<Job>,
}

impl Large {
    /// The thread, and where its work goes. It ends when that is dropped.
    pub(crate) fn new(
        shared: Arc<Shared>,
        target: usize,
        pusher: Box<dyn Pusher>,
    ) -> (Self, Jobs<Job>) {
        let (give, jobs) = channel();
        let sender = Sender::new(shared, target, pusher, None);
        (Self { sender, jobs }, give)
    }

    pub(crate) fn run(mut self) {
        while let Ok(job) = self.jobs.recv() {
            let shared = self.sender.shared.clone();
            let sessions = Sessions {
                shared: &shared,
                target: self.sender.target,
                pusher: &mut *self.sender.pusher,
                source: &job.work.source,
            };
            let outcome = sessions.run(&job.plan, Vec::new());
            self.settle(&job, outcome);
        }
    }

    /// Confirms what arrived, puts back what did not, and lets go on what waited for it.
    fn settle(&self, job: &Job, outcome: Outcome) {
        let shared = &self.sender.shared;
        let now = shared.now();
        let handed_on = job.work.handed_on(now);
        let mut inner = shared.lock();
        self.sender.end_session(&mut inner);
        let target = &mut inner.state.targets[self.sender.target];
        let landed = target.set.land();
        if outcome.error.is_some() {
            // The target's own thread finds out what is the matter.
            target.large_after = now.mono + PAUSE;
            landed
                .iter()
                .for_each(|path| target.set.give_back_one(path));
        }
        for (failure, subtree) in &outcome.failed {
            match failure.kind {
                _ if outcome.error.is_some() => {}
                FailureKind::Changed => {
                    let target = &mut inner.state.targets[self.sender.target];
                    target.set.again(&failure.path, *subtree, handed_on);
                }
                FailureKind::Refused => {
                    let (path, text) = (&failure.path, &failure.text);
                    self.sender
                        .fail(&mut inner, path, text, *subtree, handed_on);
                }
            }
        }
        let target = &mut inner.state.targets[self.sender.target];
        landed.iter().for_each(|path| target.set.confirm(path));
        // The session set their times to what they were when it began.
        let parents = job
            .plan
            .entries
            .values()
            .filter(|entry| entry.kind == EntryKind::Parent);
        for parent in parents {
            target.set.hint(&parent.path, Hint::Attributes, handed_on);
        }
        drop(inner);
        shared.wake_all();
        if outcome.error.is_none() {
            self.sender
                .report_batch(&job.work, &job.plan, &outcome, now);
        }
    }
}

impl Sender {
    /// Takes the large files out of a plan: they are sent beside the rest, one lot after the other.
    pub(super) fn hand_over(&mut self, work: &Work, plan: &mut Plan) {
        let files = plan.large(self.shared.options.large);
        if self.large.is_none() || files.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        let now = work.handed_on(shared.now());
        let is_busy = |inner: &Inner| inner.state.targets[self.target].set.has_aside();
        {
            let mut inner = shared.lock();
            if inner.state.targets[self.target].large_after > now.mono {
                return;
            }
            if is_busy(&inner) {
                plan.split(&files);
                let set = &mut inner.state.targets[self.target].set;
                files.iter().for_each(|path| set.wait_for_aside(path, now));
                return;
            }
            if inner.running >= shared.options.max_sessions {
                return;
            }
        }
        if !self.pusher.holds_a_place() {
            return;
        }
        let apart = plan.split(&files);
        let taken = work
            .taken
            .iter()
            .filter(|taken| apart.entries.contains_key(&taken.path));
        let job = Job {
            work: Work {
                taken: taken.cloned().collect(),
                source: work.source.clone(),
                began: work.began,
                since: work.since,
            },
            plan: apart,
        };
        let mut inner = shared.lock();
        inner.running += 1;
        let set = &mut inner.state.targets[self.target].set;
        files.iter().for_each(|path| set.set_aside(path, now));
        drop(inner);
        if let Some(large) = &self.large {
            // Its thread lives as long as this end.
            let _ = large.send(job);
        }
    }
}

/// How long large files go with the others after a session of their own failed.
const PAUSE: Duration = Duration::from_secs(60);
