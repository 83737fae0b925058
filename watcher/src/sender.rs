//! One thread a target: takes what is ready, looks at the source, pushes, and settles what came of it.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use rsync_engine::fs::Timestamp;

use crate::clock::Moment;
use crate::coalesce::Taken;
use crate::dirty::{Hint, Subtree};
use crate::event::WatchEvent;
use crate::inotify;
use crate::path::PathBytes;
use crate::plan::{Context, Plan, not_replaced, plan};
use crate::push::{BatchEntry, FailureKind, Pusher, RenameHint};
use crate::shared::{DeletePolicy, Inner, Shared};
use crate::source::Source;
use crate::target::{Change, Phase};
use crate::tree::Finder;
use large::Job;
use sessions::{Outcome, Sessions};

pub(crate) use large::Large;

mod large;
mod report;
mod sessions;

/// The thread of one target.
pub(crate) struct Sender {
    shared: Arc<Shared>,
    target: usize,
    pusher: Box<dyn Pusher>,
    /// Where large files go.
    large: Option<std::sync::mpsc::Sender<Job>>,
    /// When the pusher wants to be asked to prepare.
    prepare_at: Option<Duration>,
    random: u64,
}

/// What one cycle works on.
struct Work {
    taken: Vec<Taken>,
    source: Source,
    began: Moment,
    /// None of the changes that the marks stand for happened before.
    since: Timestamp,
}

impl Work {
    /// The moment of a mark that takes over what one of these marks stood for.
    fn handed_on(&self, now: Moment) -> Moment {
        Moment {
            real: self.since.min(now.real),
            ..now
        }
    }
}

enum Task {
    Stop,
    /// Something is due, and a session may run.
    Push,
    Prepare,
}

impl Sender {
    /// `large`: where [`Large`] takes its work from.
    pub(crate) fn new(
        shared: Arc<Shared>,
        target: usize,
        pusher: Box<dyn Pusher>,
        large: Option<std::sync::mpsc::Sender<Job>>,
    ) -> Self {
        let seed = shared.now().real;
        Self {
            shared,
            target,
            pusher,
            large,
            prepare_at: None,
            random: (u64::from(seed.nsec) << 32)
                ^ (target as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        }
    }

    pub(crate) fn run(mut self) {
        loop {
            match self.next_task() {
                Task::Stop => return,
                Task::Push => {
                    let work = self.take();
                    if work.taken.is_empty() {
                        // An event came in between: it waits a little longer.
                        let mut inner = self.shared.lock();
                        self.end_session(&mut inner);
                        continue;
                    }
                    self.cycle(work);
                    self.prepare_at = Some(Duration::ZERO);
                }
                Task::Prepare => {
                    let next = self.pusher.prepare();
                    self.prepare_at = next.map(|next| self.shared.now().mono + next);
                    self.look_at_target();
                }
            }
        }
    }

    fn next_task(&mut self) -> Task {
        let shared = self.shared.clone();
        let mut inner = shared.lock();
        loop {
            if inner.stopping {
                return Task::Stop;
            }
            let now = shared.now();
            let mut wake = None;
            if inner.watching && !inner.state.source_lost {
                self.begin_audit(&mut inner, now);
                let unblocked = inner.state.tree.unblocked();
                inner.state.targets[self.target].unbar(unblocked, now);
                let next = inner.state.targets[self.target].next_push();
                match next {
                    Some(at) if at <= now.mono => {
                        if inner.running < shared.options.max_sessions {
                            inner.running += 1;
                            drop(inner);
                            return Task::Push;
                        }
                        // Whoever ends a session wakes all.
                    }
                    next => wake = next,
                }
                self.report_in_sync(&mut inner);
                let audit = inner.state.targets[self.target].next_audit;
                wake = earliest(wake, audit);
            }
            if let Some(at) = self.prepare_at {
                let idle = inner.state.targets[self.target].phase() == Phase::Following
                    && wake.is_none_or(|wake| wake > now.mono);
                if idle && at <= now.mono {
                    return Task::Prepare;
                }
                wake = earliest(wake, Some(at).filter(|_| idle));
            }
            inner = self.sleep(inner, wake, now);
        }
    }

    fn sleep<'a>(
        &self,
        mut inner: MutexGuard<'a, Inner>,
        until: Option<Duration>,
        now: Moment,
    ) -> MutexGuard<'a, Inner> {
        inner.asleep[self.target] = Some(until.unwrap_or(Duration::MAX));
        let sender = self.shared.sender(self.target);
        let mut inner = match until {
            None => sender.wait(inner).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let wait = until.saturating_sub(now.mono);
                sender
                    .wait_timeout(inner, wait)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        inner.asleep[self.target] = None;
        inner
    }

    fn begin_audit(&self, inner: &mut Inner, now: Moment) {
        let target = &mut inner.state.targets[self.target];
        if target.next_audit.is_some_and(|at| at <= now.mono) {
            target.audit(now);
            target.next_audit = self
                .shared
                .options
                .audit_interval
                .map(|interval| now.mono + interval);
        }
    }

    /// Takes what is due, piece by piece, so that the reader need not wait for the lock.
    fn take(&self) -> Work {
        let began = self.shared.now();
        let max = self.shared.options.max_batch;
        let mut taken = Vec::new();
        let source = loop {
            let mut inner = self.shared.lock();
            let target = &mut inner.state.targets[self.target];
            let piece = target.set.take(began.mono, PIECE.min(max - taken.len()));
            if !piece.is_empty() {
                target.begin();
            }
            let all = piece.len() < PIECE || taken.len() + piece.len() == max;
            taken.extend(piece);
            if all {
                break inner.source.clone();
            }
            drop(inner);
            std::thread::yield_now();
        };
        // Pieces come in the order in which they were due.
        taken.sort_by(|a, b| a.path.cmp(&b.path));
        // A directory that could not be compared is compared again alone.
        let everything = |taken: &Taken| taken.mark.subtree.full && taken.path.is_empty();
        if taken.iter().any(everything) {
            self.shared.report(WatchEvent::Comparing {
                target: self.target,
            });
        }
        let since = taken.iter().map(|taken| taken.mark.owed_since());
        Work {
            since: since.min().unwrap_or(began.real),
            taken,
            source,
            began,
        }
    }

    fn cycle(&mut self, work: Work) {
        let shared = self.shared.clone();
        if let Err(text) = work.source.check() {
            // Nothing of what is seen now can be trusted. The tree worker finds out what is the matter.
            let mut inner = shared.lock();
            inner.state.targets[self.target].set.give_back();
            self.end_session(&mut inner);
            if !inner.state.source_lost {
                inner.state.source_lost = true;
                shared.report(WatchEvent::SourceLost { text });
            }
            inner.state.check_root = true;
            drop(inner);
            shared.wake_all();
            return;
        }
        self.look_at_target();
        let (mut plan, renames) = self.plan(&work);
        if plan.stopped {
            let mut inner = shared.lock();
            inner.state.targets[self.target].set.give_back();
            self.end_session(&mut inner);
            return;
        }
        self.hand_over(&work, &mut plan);
        let sessions = Sessions {
            shared: &shared,
            target: self.target,
            pusher: &mut *self.pusher,
            source: &work.source,
        };
        let outcome = sessions.run(&plan, renames);
        self.settle(&work, &plan, outcome);
    }

    /// If the target is not what it was, everything is compared.
    fn look_at_target(&mut self) {
        if self.pusher.was_replaced() {
            let now = self.shared.now();
            self.shared.lock().state.targets[self.target].audit(now);
        }
    }

    /// Looks at the source and notes what is not ready, not readable or not to be deleted.
    fn plan(&mut self, work: &Work) -> (Plan, Vec<RenameHint>) {
        let shared = self.shared.clone();
        let unblocked;
        let context = {
            let mut inner = shared.lock();
            let state = &mut inner.state;
            unblocked = state.tree.unblocked();
            state.targets[self.target].adopt_forsaken(&state.tree, shared.now());
            let target = &state.targets[self.target];
            let mut waiting = BTreeSet::new();
            for taken in work
                .taken
                .iter()
                .filter(|taken| !taken.mark.subtree.is_none())
            {
                waiting.extend(target.set.waiting_below(&taken.path).cloned());
            }
            Context {
                source: &work.source,
                excludes: &shared.options.exclude,
                timing: &shared.options.timing,
                policy: if target.deletes_refused() {
                    DeletePolicy::Keep
                } else {
                    shared.options.delete
                },
                now: shared.now(),
                max_batch: shared.options.max_batch,
                is_attached: &|path, id| shared.lock().state.tree.is_attached(path, id),
                waiting,
                blocked: inner.state.tree.blocked().collect(),
                is_stopping: &|| shared.lock().stopping,
            }
        };
        let mut plan = plan(&context, &work.taken);
        if plan.stopped {
            return (plan, Vec::new());
        }
        for piece in std::mem::take(&mut plan.numbers).chunks(PIECE) {
            let state = &mut shared.lock().state;
            let mut found = Finder::default();
            for (path, ino) in piece {
                // A name that is sent is known from here on, whether it had an event or was found by a poll, or neither.
                if let Some((parent, name)) = crate::path::split(path)
                    && let Some(dir) = found.find(&state.tree, parent)
                {
                    state.seen(dir, name, *ino, context.now);
                }
            }
        }
        let mut inner = shared.lock();
        let state = &mut inner.state;
        for target in &mut state.targets {
            target.adopt_forsaken(&state.tree, context.now);
        }
        let linked: HashSet<_> = plan.linked.keys().copied().collect();
        let names = if linked.is_empty() {
            Vec::new()
        } else {
            state.tree.names_of(&linked)
        };
        let held = self.hold_deletions(&mut inner, &mut plan);
        let now = work.handed_on(context.now);
        let target = &mut inner.state.targets[self.target];
        for path in held {
            target.set.hold(&path);
        }
        for (path, wait) in plan.deferred.drain(..) {
            target.set.defer(&path, wait);
        }
        for (path, ready) in plan.found.drain(..) {
            target.set.found(&path, ready, now);
        }
        for path in plan.strengthened.drain(..) {
            target.set.strengthen(&path, now);
        }
        for (path, text, subtree) in std::mem::take(&mut plan.problems) {
            self.fail(&mut inner, &path, &text, subtree, now);
        }
        for (path, subtree) in std::mem::take(&mut plan.barred) {
            self.bar(&mut inner, &path, subtree, unblocked);
        }
        let target = &mut inner.state.targets[self.target];
        let entries = &plan.entries;
        let renames = target.take_renames(&|path| entries.contains_key(path));
        // Only then may something be deleted that this watcher has never seen.
        if context.policy == DeletePolicy::All {
            for comparison in &plan.comparisons {
                target.comparison_begins(&comparison.path);
            }
        }
        drop(inner);
        if !names.is_empty() {
            plan.add_links(&context, names);
            let mut inner = shared.lock();
            for (path, text, subtree) in std::mem::take(&mut plan.problems) {
                self.fail(&mut inner, &path, &text, subtree, now);
            }
        }
        (plan, renames)
    }

    /// Takes the deletions out of a plan, if too much vanished; gives their marks.
    fn hold_deletions(&self, inner: &mut Inner, plan: &mut Plan) -> Vec<PathBytes> {
        let Some(limit) = self.shared.options.delete_limit else {
            return Vec::new();
        };
        if !plan.deletes() {
            return Vec::new();
        }
        let entries = inner.state.tree.entries();
        let now = self.shared.now().mono;
        let exceeded = inner.state.shrinkage.exceeds(limit, entries, now);
        let target = &mut inner.state.targets[self.target];
        let exceeded = exceeded.or_else(|| limit.missing(target.known_names, entries));
        if let Some((vanished, known)) = exceeded
            && !target.holding
            && !target.released(now)
        {
            target.holding = true;
            self.shared.report(WatchEvent::DeletesHeld {
                target: self.target,
                vanished,
                known,
            });
        }
        if target.holding {
            plan.without_deletions()
        } else {
            Vec::new()
        }
    }

    /// Confirms what arrived and puts back what did not.
    fn settle(&mut self, work: &Work, plan: &Plan, outcome: Outcome) {
        let shared = self.shared.clone();
        let kept = not_replaced(&work.source, &plan.replacing);
        let now = shared.now();
        let handed_on = work.handed_on(now);
        let mut inner = shared.lock();
        self.end_session(&mut inner);
        let jitter = self.jitter();
        if !plan.comparisons.is_empty() {
            inner.state.targets[self.target].comparisons_end(now.mono);
            // The reader tells when everything from before is known.
            inotify::wake(&shared.waker);
        }
        let change = match &outcome.error {
            Some(error) => {
                let target = &mut inner.state.targets[self.target];
                for path in &outcome.confirmed {
                    // A directory is done when everything in it is: its mtime comes last.
                    let entry = plan.entries.get(path);
                    let directory = entry.is_none_or(BatchEntry::is_directory);
                    // Its mark stands for the other names of the file, too.
                    let linked = entry.and_then(|entry| entry.stat);
                    let linked = linked.is_some_and(|stat| stat.nlink > 1);
                    // What it replaces may have been there again when it was sent.
                    if directory || linked || plan.replacing.contains(path) {
                        continue;
                    }
                    target.set.confirm(path);
                    // Its directory got a new mtime by it, and the session that should have set it right ended before.
                    let parent = crate::path::parent(path).into();
                    target.set.hint(&parent, Hint::Attributes, handed_on);
                }
                let change = target.failed(error, now, jitter);
                // Whoever stops the watcher ends sessions that hang.
                if !inner.stopping {
                    self.report_change(&inner, &change, &error.text);
                }
                change
            }
            None => {
                for (failure, subtree) in &outcome.failed {
                    match failure.kind {
                        FailureKind::Changed => {
                            let target = &mut inner.state.targets[self.target];
                            target.set.again(&failure.path, *subtree, handed_on);
                        }
                        FailureKind::Refused => {
                            let text = &failure.text;
                            self.fail(&mut inner, &failure.path, text, *subtree, handed_on);
                        }
                    }
                }
                let target = &mut inner.state.targets[self.target];
                for path in &kept {
                    target.set.again(path, Subtree::default(), handed_on);
                }
                target.set.confirm_rest();
                let change = target.succeeded(now);
                self.report_change(&inner, &change, "");
                change
            }
        };
        drop(inner);
        if change != Change::None {
            shared.wake_all();
        } else {
            shared.waiters.notify_all();
        }
        if outcome.error.is_none() {
            self.report_batch(work, plan, &outcome, now);
        }
    }

    /// Gives the slot of a session to whoever waits for one.
    fn end_session(&self, inner: &mut Inner) {
        if inner.running >= self.shared.options.max_sessions {
            self.shared.wake_all();
        }
        inner.running -= 1;
    }

    fn fail(&self, inner: &mut Inner, path: &PathBytes, text: &str, subtree: Subtree, now: Moment) {
        let set = &mut inner.state.targets[self.target].set;
        let attempts = set.fail(path, text, subtree, now);
        if attempts == 1 {
            self.shared.report(WatchEvent::PathFailed {
                target: self.target,
                path: path.clone(),
                text: text.to_owned(),
                failing: set.problems().len(),
            });
        }
    }

    /// Something below `path` cannot be read: what was to be deleted there waits until it can be.
    fn bar(&self, inner: &mut Inner, path: &PathBytes, subtree: Subtree, unblocked: u64) {
        let target = &mut inner.state.targets[self.target];
        if target.bar(path, subtree, unblocked) {
            self.shared.report(WatchEvent::PathFailed {
                target: self.target,
                path: path.clone(),
                text: "nothing is deleted: a directory in it cannot be read".to_owned(),
                failing: target.set.problems().len() + 1,
            });
        }
    }

    /// A number from -1 to 1 (xorshift; only to spread attempts).
    fn jitter(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % 2_001) as f64 / 1_000.0 - 1.0
    }
}

fn earliest(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    [a, b].into_iter().flatten().min()
}

/// Marks handled under one hold of the lock.
const PIECE: usize = 2_048;
