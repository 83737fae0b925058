//! The tree worker: everything about directories that needs the file system, so that the reader does not.

use std::sync::Arc;
use std::time::Duration;

use rsync_engine::fs::Errno;

use crate::clock::Moment;
use crate::dirty::Subtree;
use crate::event::WatchEvent;
use crate::path::PathBytes;
use crate::shared::{Inner, Shared};
use crate::state::Lost;
use crate::survey::{Reason, Surveyor};
use crate::tree::{Access, Place};

/// Runs until the watcher stops.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    surveyor: Surveyor,
    next_poll: Duration,
    next_root_check: Option<Duration>,
    /// Not before this moment the next comparison after a loss; grows while losses go on.
    rescan_after: Duration,
    rescan_pause: Duration,
}

/// What to do next.
enum Task {
    Stop,
    CheckRoot,
    Look(Place),
    Rescan(Lost),
    Poll,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            surveyor: Surveyor::new(shared.clone()),
            next_poll: shared.options.poll_interval,
            next_root_check: Some(Duration::ZERO),
            rescan_after: Duration::ZERO,
            rescan_pause: Duration::ZERO,
            shared,
        }
    }

    /// Sets the first watches. `Err`: the root cannot be watched at all.
    pub(crate) fn start(&mut self) -> Result<(), Errno> {
        self.surveyor.look_at_root(Reason::Start).map(drop)
    }

    /// Sets the other watches, then follows.
    pub(crate) fn run(mut self) {
        self.shared.report(WatchEvent::Scanning);
        let began = self.shared.now();
        loop {
            let mut inner = self.shared.lock();
            if inner.stopping {
                return;
            }
            let Some(place) = inner.state.next_job() else {
                break;
            };
            drop(inner);
            self.surveyor.look(&place, Reason::Start);
        }
        self.watching(began);
        loop {
            match self.next_task() {
                Task::Stop => return,
                Task::CheckRoot => self.check_root(),
                Task::Look(place) => {
                    self.surveyor.look(&place, Reason::Event);
                    self.wake_senders();
                }
                Task::Rescan(lost) => self.rescan(lost),
                Task::Poll => self.poll(),
            }
        }
    }

    /// All watches are set: only now may a comparison with a target begin, so that no change falls between the two.
    fn watching(&mut self, began: Moment) {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        inner.watching = true;
        let entries = inner.state.tree.entries();
        inner.state.shrinkage.note(entries, now.mono);
        let directories = inner.state.tree.directories();
        let names = (entries + 1).saturating_sub(directories);
        drop(inner);
        self.shared.report(WatchEvent::Watching {
            directories,
            names,
            took: now.mono.saturating_sub(began.mono),
        });
        self.surveyor.report_limit();
        self.shared.wake_all();
    }

    fn next_task(&mut self) -> Task {
        let shared = self.shared.clone();
        let mut inner = shared.lock();
        loop {
            self.release_watches(&mut inner);
            let now = shared.now();
            let moves = inner.state.expire_moves(now.mono);
            let task = self.ready_task(&mut inner, now.mono);
            if let Some(task) = task {
                inner.worker_busy = true;
                return task;
            }
            if std::mem::replace(&mut inner.worker_busy, false) {
                shared.wake_all();
            }
            if !inner.state.unused.is_empty() {
                continue;
            }
            let wake = [
                moves,
                Some(self.next_poll),
                self.next_root_check,
                inner.state.lost.map(|_| self.rescan_after),
            ];
            let wake = wake.into_iter().flatten().min().unwrap_or(now.mono);
            let wait = wake.saturating_sub(now.mono).max(MIN_WAIT);
            inner = shared
                .worker
                .wait_timeout(inner, wait)
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .0;
        }
    }

    fn ready_task(&mut self, inner: &mut Inner, now: Duration) -> Option<Task> {
        if inner.stopping {
            return Some(Task::Stop);
        }
        let root_check_due = self.next_root_check.is_some_and(|at| at <= now);
        if std::mem::take(&mut inner.state.check_root) || root_check_due {
            return Some(Task::CheckRoot);
        }
        // Until the root is back, what is seen at its places says nothing.
        if inner.state.source_lost {
            return None;
        }
        if let Some(place) = inner.state.next_job() {
            return Some(Task::Look(place));
        }
        if self.rescan_after <= now
            && let Some(lost) = inner.state.lost
        {
            return Some(Task::Rescan(lost));
        }
        if self.next_poll <= now {
            self.next_poll = now + self.shared.options.poll_interval;
            return Some(Task::Poll);
        }
        None
    }

    fn release_watches(&self, inner: &mut Inner) {
        for wd in inner.state.ignored.drain(..) {
            self.shared.instance.forget(wd);
        }
        if !inner.state.unused.is_empty() {
            self.shared.instance.release(inner.state.unused.drain(..));
            self.shared.instance.remove_unused();
        }
    }

    /// Compares the root with its path. While it is elsewhere nothing is sent or deleted; when the same directory is back, everything is
    /// looked at again.
    fn check_root(&mut self) {
        let now = self.shared.now();
        let (source, lost) = {
            let inner = self.shared.lock();
            (inner.source.clone(), inner.state.source_lost)
        };
        match source.check() {
            Ok(()) if !lost => self.next_root_check = Some(now.mono + ROOT_WATCH),
            Err(text) if !lost => match source.reopen() {
                // It was gone for a moment only, but its watches may be gone with it.
                Some(again) => self.root_is_back(again, now),
                None => {
                    self.shared.lock().state.source_lost = true;
                    self.next_root_check = Some(now.mono + ROOT_CHECK);
                    self.shared.report(WatchEvent::SourceLost { text });
                }
            },
            _ => match source.reopen() {
                Some(again) => self.root_is_back(again, now),
                None => self.next_root_check = Some(now.mono + ROOT_CHECK),
            },
        }
    }

    fn root_is_back(&mut self, source: crate::source::Source, now: Moment) {
        self.next_root_check = Some(now.mono + ROOT_WATCH);
        let mut inner = self.shared.lock();
        inner.source = source;
        let was_lost = std::mem::replace(&mut inner.state.source_lost, false);
        inner.state.tree.make_available();
        // Every directory may have lost its watch.
        if inner.state.lost.is_none() {
            inner.state.lost = Some(Lost { since: now });
        }
        let root: PathBytes = Arc::from(&b""[..]);
        inner.state.subtree(&root, Subtree::FULL, now);
        self.rescan_after = now.mono;
        drop(inner);
        if was_lost {
            self.shared.report(WatchEvent::SourceBack);
        }
        self.shared.wake_all();
    }

    /// Compares the whole tree with what is known of it. Begins after the record of the loss was read, so that it sees every change whose
    /// record was dropped.
    fn rescan(&mut self, lost: Lost) {
        let began = self.shared.now();
        {
            let mut inner = self.shared.lock();
            // From here on a new loss needs a new comparison.
            inner.state.lost = None;
            if !began.set_back_since(lost.since).is_zero()
                && began.set_back_since(lost.since) > CLOCK_SLACK
            {
                // No ctime since then can be compared with any moment.
                let root: PathBytes = Arc::from(&b""[..]);
                let all = Subtree {
                    full: true,
                    ..Subtree::FORCE
                };
                inner.state.subtree(&root, all, began);
            }
        }
        let reason = Reason::Lost(lost.since.real);
        let mut places = match self.surveyor.look_at_root(reason) {
            Ok(places) => places,
            Err(_) => {
                let mut inner = self.shared.lock();
                inner.state.check_root = true;
                inner.state.lost = Some(lost);
                self.rescan_after = began.mono + ROOT_CHECK;
                return;
            }
        };
        while let Some(place) = places.pop() {
            if self.shared.lock().stopping {
                return;
            }
            places.extend(self.surveyor.look(&place, reason));
        }
        let now = self.shared.now();
        let took = now.mono.saturating_sub(began.mono);
        let again = self.shared.lock().state.lost.is_some();
        self.rescan_pause = if again {
            (self.rescan_pause * 2).clamp(took.max(RESCAN_PAUSE), MAX_RESCAN_PAUSE)
        } else {
            Duration::ZERO
        };
        self.rescan_after = now.mono + self.rescan_pause;
        self.shared.report(WatchEvent::Rescanned { took });
        self.wake_senders();
    }

    fn poll(&mut self) {
        let nodes = {
            let inner = self.shared.lock();
            let mut nodes = inner.state.tree.with_access(Access::Polled);
            nodes.extend(inner.state.tree.with_access(Access::Unavailable));
            nodes.extend(inner.state.tree.with_access(Access::Unreadable));
            nodes
        };
        for node in nodes {
            if self.shared.lock().stopping {
                return;
            }
            self.surveyor.poll(node);
        }
        self.surveyor.report_limit();
        self.wake_senders();
    }

    fn wake_senders(&self) {
        let mut inner = self.shared.lock();
        self.shared.wake_senders(&mut inner);
    }
}

/// Between two looks at a root that is not there.
const ROOT_CHECK: Duration = Duration::from_secs(1);
/// How often the root is compared with its path though no event says anything: a lazy unmount has none.
const ROOT_WATCH: Duration = Duration::from_secs(2);
/// Shortest pause between two comparisons while losses go on.
const RESCAN_PAUSE: Duration = Duration::from_millis(100);
const MAX_RESCAN_PAUSE: Duration = Duration::from_secs(60);
/// Both clocks are read one after the other, and the wall clock is slewed.
const CLOCK_SLACK: Duration = Duration::from_secs(1);
/// A wait shorter than this is not worth a timer.
const MIN_WAIT: Duration = Duration::from_millis(1);
