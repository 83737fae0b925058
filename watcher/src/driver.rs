//! The watcher as a whole: starts the threads, answers questions, stops.

use std::path::Path;
use std::sync::mpsc::{Receiver as Events, channel};
use std::sync::{Arc, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rsync_engine::fs::{Errno, Timestamp, describe};

use crate::clock::{Clock, Moment};
use crate::dirty::Subtree;
use crate::error::WatchError;
use crate::event::WatchEvent;
use crate::inotify::{self, Instance, Reader, Receiver, Record};
use crate::path::PathBytes;
use crate::push::{Halt, Pusher};
use crate::sender::{Large, Sender};
use crate::shared::{Inner, Shared, WatchOptions};
use crate::source::Source;
use crate::state::State;
use crate::target::{Phase, Target};
use crate::worker::Worker;

/// Keeps targets equal to a directory, until stopped or dropped.
pub struct Watcher {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// The handles that end the targets' sessions.
    halts: Vec<Arc<dyn Halt>>,
}

/// A target and who talks to it.
pub struct TargetSpec {
    /// Brings it up to date.
    pub pusher: Box<dyn Pusher>,
    /// Until when an earlier run is known to have brought everything to this target ([`TargetStatus::confirmed_until`]). What changed
    /// since is sent past the quick check of the first comparison, so that a crash between two writes of one second loses nothing.
    pub confirmed_until: Option<Timestamp>,
    /// Names that the source had by then ([`Status::entries`]); 0 if that is not known. When most of them are missing at the start,
    /// as with a file system that is not mounted, nothing is deleted without a word.
    pub known_names: usize,
}

/// How a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStatus {
    /// Where it is in its life.
    pub phase: Phase,
    /// Nothing is owed to it.
    pub in_sync: bool,
    /// The age of the oldest change it does not have; zero if it has all.
    pub lag: Duration,
    /// Names that wait.
    pub waiting: usize,
    /// Deletions that wait for [`Watcher::release`].
    pub held: usize,
    /// Whether it refuses deletions.
    pub deletes_refused: bool,
    /// Names that failed, with the reason and the number of attempts.
    pub failing: Vec<(PathBytes, String, u32)>,
    /// Time since the last session that came to its end.
    pub since_success: Option<Duration>,
    /// Everything that changed before this moment is at the target, but for what is below a directory that cannot be read.
    pub confirmed_until: Timestamp,
}

/// How the watcher is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Every directory is watched or polled.
    pub watching: bool,
    /// The root is not where it was.
    pub source_lost: bool,
    /// Directories known.
    pub directories: usize,
    /// Names known, directories included.
    pub entries: usize,
    /// Watches in use.
    pub watches: usize,
    /// Losses of events so far.
    pub overflows: u64,
    /// Each target.
    pub targets: Vec<TargetStatus>,
}

impl Watcher {
    /// Watches `root` and brings every target up to date with it. Returns when the root is watched; everything else goes on in threads,
    /// and what they do is told by the events.
    ///
    /// Nothing is ever printed, no failure of a target ends anything, and nobody has to read the events.
    pub fn start(
        root: &Path,
        targets: Vec<TargetSpec>,
        options: WatchOptions,
    ) -> Result<(Self, Events<WatchEvent>), WatchError> {
        Self::start_with(root, targets, options, |applier| applier)
    }

    /// Like [`Watcher::start`]; `receive` may put something between the reader and the state.
    pub(crate) fn start_with<R: Receiver + Send + 'static>(
        root: &Path,
        targets: Vec<TargetSpec>,
        options: WatchOptions,
        receive: impl FnOnce(Applier) -> R,
    ) -> Result<(Self, Events<WatchEvent>), WatchError> {
        let clock = Clock::new();
        let source = Source::open(root).map_err(|errno| WatchError::Root {
            path: root.to_owned(),
            text: describe(errno),
        })?;
        let instance = Arc::new(Instance::new(options.max_watches).map_err(WatchError::Inotify)?);
        let reader = Reader::new(instance.clone(), clock).map_err(WatchError::Wake)?;
        let (report, events) = channel();
        let now = clock.now();
        let (mut states, mut pushers) = (Vec::new(), Vec::new());
        for spec in targets {
            let mut target = Target::new(options.timing.clone());
            let first = Subtree {
                since: spec.confirmed_until,
                // A moment still to come: the wall clock was set back, and no ctime can be compared with it.
                force: spec.confirmed_until > Some(now.real),
                ..Subtree::FULL
            };
            target.set.subtree(&PathBytes::from(&b""[..]), first, now);
            target.known_names = spec.known_names;
            target.next_audit = options.audit_interval.map(|interval| now.mono + interval);
            states.push(target);
            pushers.push(spec.pusher);
        }
        let state = State::new(states, options.exclude.clone(), now);
        let shared = Arc::new(Shared::new(
            options,
            clock,
            instance,
            reader.waker(),
            source,
            state,
            report,
        ));
        let mut worker = Worker::new(shared.clone());
        worker.start().map_err(|errno| WatchError::Root {
            path: root.to_owned(),
            // The directory is open: what is missing is the way to it by its handle.
            text: match errno {
                Errno::NOENT => "/proc is not mounted".to_owned(),
                errno => describe(errno),
            },
        })?;
        let mut watcher = Self {
            shared: shared.clone(),
            threads: Vec::new(),
            halts: pushers.iter().filter_map(|pusher| pusher.halt()).collect(),
        };
        let receiver = receive(Applier(shared.clone()));
        watcher.spawn("watch-reader", move || reader.run(&receiver))?;
        watcher.spawn("watch-tree", move || worker.run())?;
        for (target, pusher) in pushers.into_iter().enumerate() {
            let second = pusher.second();
            watcher
                .halts
                .extend(second.as_ref().and_then(|second| second.halt()));
            let mut give = None;
            if let Some(second) = second {
                let (large, jobs) = Large::new(shared.clone(), target, second);
                watcher.spawn(&format!("watch-large-{target}"), move || large.run())?;
                give = Some(jobs);
            }
            let sender = Sender::new(shared.clone(), target, pusher, give);
            watcher.spawn(&format!("watch-target-{target}"), move || sender.run())?;
        }
        Ok((watcher, events))
    }

    /// Finishes the file that each target is sent, if it moves on, for 9 s at most, then ends. What is not sent then is found by the
    /// comparison of the next start.
    pub fn stop(mut self) {
        self.shut_down();
    }

    /// Asks every thread to end; [`Watcher::stop`] waits for them.
    pub fn begin_stop(&self) {
        self.shared.lock().stopping = true;
        self.halts.iter().for_each(|halt| halt.wind_down());
        self.shared.wake_all();
        inotify::wake(&self.shared.waker);
    }

    /// Waits until everything that was changed before the call is at every target. False: it took longer than `timeout`.
    pub fn wait_in_sync(&self, timeout: Duration) -> bool {
        self.wait(timeout, Target::is_in_sync)
    }

    /// Like [`Watcher::wait_in_sync`], but for names that fail.
    #[cfg(test)]
    pub(crate) fn wait_for_all_but_problems(&self, timeout: Duration) -> bool {
        self.wait(timeout, |target| {
            target.phase() == Phase::Following && target.set.only_problems_left()
        })
    }

    fn wait(&self, timeout: Duration, is_done: impl Fn(&Target) -> bool) -> bool {
        let asked = self.shared.now().mono;
        let deadline = Instant::now() + timeout;
        inotify::wake(&self.shared.waker);
        let mut inner = self.shared.lock();
        if inner.state.tree.is_any_polled() {
            inner.poll_wanted = true;
            self.shared.worker.notify_one();
        }
        loop {
            if inner.is_settled()
                && inner.known_until().mono >= asked
                && inner.state.targets.iter().all(&is_done)
            {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || inner.stopping || inner.reader_failed {
                return false;
            }
            inner = self
                .shared
                .waiters
                .wait_timeout(inner, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Lets the deletions go that wait because too much vanished at once.
    pub fn release(&self, target: usize) {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        if let Some(target) = inner.state.targets.get_mut(target) {
            target.release(now.mono);
        }
        drop(inner);
        self.shared.wake_all();
    }

    /// Compares everything with a target now.
    pub fn audit(&self, target: usize) {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        if let Some(target) = inner.state.targets.get_mut(target) {
            target.audit(now);
        }
        drop(inner);
        self.shared.wake_all();
    }

    /// How it is now.
    pub fn status(&self) -> Status {
        let now = self.shared.now();
        let inner = self.shared.lock();
        let state = &inner.state;
        Status {
            watching: inner.watching,
            source_lost: state.source_lost,
            directories: state.tree.directories(),
            entries: state.tree.entries(),
            watches: self.shared.instance.used(),
            overflows: state.overflows,
            targets: state
                .targets
                .iter()
                .map(|target| target_status(&inner, target, now))
                .collect(),
        }
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), WatchError> {
        let thread = Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(WatchError::Thread)?;
        self.threads.push(thread);
        Ok(())
    }

    fn shut_down(&mut self) {
        self.begin_stop();
        let began = Instant::now();
        let mut cut = None;
        // Without a handle there is nothing to do but to wait.
        let halted = !self.halts.is_empty();
        while halted && !self.threads.iter().all(JoinHandle::is_finished) {
            let waited = began.elapsed();
            let moving = |halt: &Arc<dyn Halt>| halt.idle().is_some_and(|idle| idle < STALLED);
            let wait_on =
                waited < STOP_NOW || waited < STOP_AT_MOST && self.halts.iter().any(moving);
            if !wait_on && cut.is_none() {
                self.halts.iter().for_each(|halt| halt.cut());
                cut = Some(Instant::now());
            }
            if cut.is_some_and(|cut| cut.elapsed() >= LEAVE) {
                // In a system call that nothing ends, such as the resolver's: it ends by itself.
                self.threads.clear();
            }
            std::thread::sleep(STOP_LOOK);
        }
        for thread in self.threads.drain(..) {
            // A panic was printed where it happened.
            let _ = thread.join();
        }
    }
}

/// How long sessions that send no file have to end by themselves.
const STOP_NOW: Duration = Duration::from_millis(1_000);
/// How long a file that is being sent may stand still.
const STALLED: Duration = Duration::from_millis(1_500);
/// How long the files that are being sent may take; whoever kills what does not end waits 10 s before.
const STOP_AT_MOST: Duration = Duration::from_secs(9);
/// How long a thread may take to notice that its session was cut.
const LEAVE: Duration = Duration::from_millis(500);
/// Between two looks at what is still running.
const STOP_LOOK: Duration = Duration::from_millis(5);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for TargetSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TargetSpec")
            .field("confirmed_until", &self.confirmed_until)
            .finish_non_exhaustive()
    }
}

fn target_status(inner: &Inner, target: &Target, now: Moment) -> TargetStatus {
    let oldest = target.set.oldest();
    let settled = inner.state.last_settled.real;
    let owed = target.owed_since();
    TargetStatus {
        phase: target.phase(),
        in_sync: inner.is_settled() && target.is_in_sync(),
        lag: oldest.map_or(Duration::ZERO, |oldest| {
            now.mono.saturating_sub(oldest.mono)
        }),
        waiting: target.set.len(),
        held: target.set.held(),
        deletes_refused: target.deletes_refused(),
        failing: target
            .set
            .problems()
            .map(|(path, problem)| (path.clone(), problem.text.clone(), problem.attempts))
            .collect(),
        since_success: target.last_success.map(|at| now.mono.saturating_sub(at)),
        confirmed_until: owed.map_or(settled, |owed| owed.min(settled)),
    }
}

/// What the reader does with what it reads.
pub(crate) struct Applier(Arc<Shared>);

impl Receiver for Applier {
    fn records<'a>(&self, records: &mut dyn Iterator<Item = Record<'a>>, now: Moment) {
        let mut inner = self.0.lock();
        let overflows = inner.state.overflows;
        for record in records {
            inner.state.apply(&record, now);
        }
        if inner.state.overflows != overflows {
            self.0.report(WatchEvent::Overflow);
        }
        self.0.wake_senders(&mut inner);
        self.wake_worker(&inner);
    }

    fn empty(&self, at: Moment) -> bool {
        let mut inner = self.0.lock();
        inner.state.queue_empty(at);
        inner.note_settled();
        self.wake_worker(&inner);
        self.0.waiters.notify_all();
        !inner.stopping
    }

    fn failed(&self, error: Errno) {
        self.0.report(WatchEvent::ReaderFailed {
            text: describe(error),
        });
        self.0.lock().reader_failed = true;
        self.0.wake_all();
    }
}

impl Applier {
    fn wake_worker(&self, inner: &Inner) {
        let state = &inner.state;
        if !state.jobs.is_empty()
            || !state.unused.is_empty()
            || !state.ignored.is_empty()
            || !state.unmounted.is_empty()
            || state.check_root
            || state.lost.is_some()
            || state.is_moving()
        {
            self.0.worker.notify_one();
        }
    }
}
