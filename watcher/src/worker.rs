//! The tree worker: everything about directories that needs the file system, so that the reader does not.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rsync_engine::fs::Errno;

use crate::clock::Moment;
use crate::dirty::Subtree;
use crate::event::WatchEvent;
use crate::inotify;
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
        inner.last_poll = began;
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
            let now = shared.now();
            let moved = inner.state.is_moving();
            let moves = inner.state.expire_moves(now.mono);
            self.release_watches(&mut inner);
            self.report_unmounted(&mut inner);
            if moved && !inner.state.is_moving() {
                inner.note_settled();
                shared.wake_all();
            }
            let task = self.ready_task(&mut inner, now.mono);
            if let Some(task) = task {
                inner.worker_busy = true;
                return task;
            }
            self.surveyor.idle();
            if std::mem::replace(&mut inner.worker_busy, false) {
                inner.note_settled();
                shared.wake_all();
            }
            if moves.is_some_and(|at| at <= now.mono) {
                // Only the queue has to be looked at once more; the reader wakes us when it has.
                inotify::wake(&shared.waker);
            }
            let wake = [moves, self.next_timed_task(&inner)];
            inner = match wake.into_iter().flatten().min() {
                None => shared
                    .worker
                    .wait(inner)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(wake) => {
                    let wait = wake.saturating_sub(now.mono).max(MIN_WAIT);
                    shared
                        .worker
                        .wait_timeout(inner, wait)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// When [`Worker::ready_task`] gives something though nothing happened.
    fn next_timed_task(&self, inner: &Inner) -> Option<Duration> {
        if inner.state.source_lost {
            return self.next_root_check;
        }
        let poll = inner.state.tree.unwatched().len() > 0;
        [
            poll.then_some(self.next_poll),
            self.next_root_check,
            inner.state.lost.map(|_| self.rescan_after),
        ]
        .into_iter()
        .flatten()
        .min()
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
        let poll_due = self.next_poll <= now || std::mem::take(&mut inner.poll_wanted);
        if poll_due && inner.state.tree.unwatched().len() > 0 {
            self.next_poll = now + self.shared.options.poll_interval;
            return Some(Task::Poll);
        }
        None
    }

    fn report_unmounted(&self, inner: &mut Inner) {
        for node in std::mem::take(&mut inner.state.unmounted) {
            let tree = &inner.state.tree;
            let above = tree.get(node).and_then(|node| node.place());
            // Every directory of the file system had its record; the topmost stands for them.
            if let (Some(above), Some(path)) = (above, tree.path(node))
                && !tree.is_within_access(above.parent, Access::Unavailable)
            {
                self.shared.report(WatchEvent::Unreadable {
                    path,
                    text: "its file system was unmounted".to_owned(),
                });
            }
        }
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
            inner.state.rescanning = true;
            if began.set_back_since(lost.since) > CLOCK_SLACK {
                // No ctime since then can be compared with any moment.
                let root: PathBytes = Arc::from(&b""[..]);
                let all = Subtree {
                    full: true,
                    ..Subtree::FORCE
                };
                inner.state.subtree(&root, all, began);
            }
        }
        let reason = Reason::Lost(lost.since);
        let Ok(mut places) = self.surveyor.look_at_root(reason) else {
            let mut inner = self.shared.lock();
            inner.state.check_root = true;
            inner.state.rescanning = false;
            inner.state.lost = Some(lost);
            self.rescan_after = began.mono + ROOT_CHECK;
            return;
        };
        while let Some(place) = places.pop() {
            if self.shared.lock().stopping {
                return;
            }
            places.extend(self.surveyor.look(&place, reason));
        }
        let now = self.shared.now();
        let took = now.mono.saturating_sub(began.mono);
        let again = {
            let mut inner = self.shared.lock();
            inner.state.rescanning = false;
            inner.state.lost.is_some()
        };
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
        let began = self.shared.now();
        let nodes: Vec<_> = self.shared.lock().state.tree.unwatched().collect();
        for node in nodes {
            if self.shared.lock().stopping {
                return;
            }
            self.surveyor.poll(node);
        }
        self.shared.lock().last_poll = began;
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
const MIN_WAIT: Duration = Duration::from_millis(5);
