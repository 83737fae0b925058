//! What the threads share.

use std::os::fd::OwnedFd;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::dirty::Timing;
use crate::event::WatchEvent;
use crate::guard::DeleteLimit;
use crate::inotify::Instance;
use crate::source::Source;
use crate::state::{Excludes, State};

/// What disappears at a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletePolicy {
    /// Nothing.
    Keep,
    /// What disappeared at the source while it was watched.
    #[default]
    Watched,
    /// That, and what a comparison finds that the source does not have.
    All,
}

/// How to watch.
#[derive(Clone)]
pub struct WatchOptions {
    /// How long changes wait for more of the same.
    pub timing: Timing,
    /// What disappears at the targets.
    pub delete: DeletePolicy,
    /// How much may vanish at once before deletions wait for [`crate::Watcher::release`]. `None`: as much as it likes.
    pub delete_limit: Option<DeleteLimit>,
    /// Names that are left alone at both ends. Excluded directories are not watched.
    pub exclude: Excludes,
    /// Names in one batch at most.
    pub max_batch: usize,
    /// Sessions that run at the same time at most, over all targets.
    pub max_sessions: usize,
    /// Files above this size are sent in a session of their own, beside everything else, where the target has a place for it.
    pub large: u64,
    /// Directories that get a watch at most; beyond that, and beyond the kernel's limit, they are polled.
    pub max_watches: usize,
    /// How often directories without a watch are looked at.
    pub poll_interval: Duration,
    /// How often everything is compared with a target, to find what no event tells (memory maps, changes made at the target). `None`: only
    /// at the start.
    pub audit_interval: Option<Duration>,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            timing: Timing::default(),
            delete: DeletePolicy::default(),
            delete_limit: Some(DeleteLimit::default()),
            exclude: Excludes::default(),
            max_batch: 50_000,
            max_sessions: 8,
            large: 1 << 20,
            max_watches: usize::MAX,
            poll_interval: Duration::from_secs(60),
            audit_interval: Some(Duration::from_secs(24 * 3600)),
        }
    }
}

impl std::fmt::Debug for WatchOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchOptions")
            .field("timing", &self.timing)
            .field("delete", &self.delete)
            .field("delete_limit", &self.delete_limit)
            .finish_non_exhaustive()
    }
}

/// Everything behind the one lock, and what needs none.
pub(crate) struct Shared {
    pub(crate) options: WatchOptions,
    pub(crate) clock: Clock,
    pub(crate) instance: Arc<Instance>,
    /// Wakes the reader.
    pub(crate) waker: Arc<OwnedFd>,
    inner: Mutex<Inner>,
    /// Wakes the tree worker.
    pub(crate) worker: Condvar,
    /// Wakes the sender of each target.
    senders: Vec<Condvar>,
    /// Wakes those who wait for a state, see [`crate::Watcher::wait_in_sync`].
    pub(crate) waiters: Condvar,
    report: Sender<WatchEvent>,
}

/// Behind the lock.
pub(crate) struct Inner {
    pub(crate) state: State,
    pub(crate) source: Source,
    /// Every directory had its first look; senders may begin.
    pub(crate) watching: bool,
    /// The tree worker is at something.
    pub(crate) worker_busy: bool,
    pub(crate) stopping: bool,
    /// The reader ended with an error.
    pub(crate) reader_failed: bool,
    /// When the last look at all directories without a watch began.
    pub(crate) last_poll: Moment,
    /// Somebody waits for the next look at them.
    pub(crate) poll_wanted: bool,
    /// Sessions that run.
    pub(crate) running: usize,
    /// For each sender that sleeps: until when, if not woken.
    pub(crate) asleep: Vec<Option<Duration>>,
}

impl Inner {
    /// Called when the queue was empty or the tree worker has nothing left: what happened before is known.
    pub(crate) fn note_settled(&mut self) {
        if !self.is_settled() {
            return;
        }
        self.state.last_settled = self.known_until();
        let known = self.state.last_settled.mono;
        for target in &mut self.state.targets {
            target.forget_comparisons(known);
        }
    }

    /// What changed before this moment is known, once nothing that was read is left to look into. In directories without a watch only a
    /// look tells.
    pub(crate) fn known_until(&self) -> Moment {
        let empty = self.state.last_empty;
        if self.state.tree.is_any_polled() {
            empty.min(self.last_poll)
        } else {
            empty
        }
    }

    /// True if everything that was read from the kernel is in the dirty sets.
    pub(crate) fn is_settled(&self) -> bool {
        self.watching
            && !self.worker_busy
            && self.state.jobs.is_empty()
            && self.state.lost.is_none()
            && !self.state.check_root
            && !self.state.source_lost
            && !self.state.is_moving()
    }
}

impl Shared {
    pub(crate) fn new(
        options: WatchOptions,
        clock: Clock,
        instance: Arc<Instance>,
        waker: Arc<OwnedFd>,
        source: Source,
        state: State,
        report: Sender<WatchEvent>,
    ) -> Self {
        let targets = state.targets.len();
        Self {
            options,
            clock,
            instance,
            waker,
            inner: Mutex::new(Inner {
                state,
                source,
                watching: false,
                worker_busy: true,
                stopping: false,
                reader_failed: false,
                last_poll: Moment::default(),
                poll_wanted: false,
                running: 0,
                asleep: vec![None; targets],
            }),
            worker: Condvar::new(),
            senders: (0..targets).map(|_| Condvar::new()).collect(),
            waiters: Condvar::new(),
            report,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A thread that panicked left whole values: every change under the lock is complete or only adds marks.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Tells the user of the watcher. Nobody listening is no failure.
    pub(crate) fn report(&self, event: WatchEvent) {
        let _ = self.report.send(event);
    }

    pub(crate) fn sender(&self, target: usize) -> &Condvar {
        &self.senders[target]
    }

    /// Wakes the senders that would sleep past the next moment at which they have something to do.
    pub(crate) fn wake_senders(&self, inner: &mut Inner) {
        for (target, asleep) in inner.asleep.iter_mut().enumerate() {
            let Some(until) = *asleep else { continue };
            let next = inner.state.targets[target].next_push();
            if next.is_some_and(|next| next < until) {
                *asleep = None;
                self.senders[target].notify_one();
            }
        }
    }

    /// Wakes everybody: something changed that is not a mark.
    pub(crate) fn wake_all(&self) {
        self.worker.notify_all();
        for sender in &self.senders {
            sender.notify_all();
        }
        self.waiters.notify_all();
    }
}
