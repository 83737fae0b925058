//! How the sessions of a mirror are ended from another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rsync_engine::{Cancel, IoClock};

use crate::push::Halt;

/// How long the end of a file may take at the target without a word from it.
const FINISHING: Duration = Duration::from_secs(2);

/// What a mirror's thread and the one that stops it share.
#[derive(Debug)]
pub(super) struct Halting {
    cancel: Cancel,
    winding_down: AtomicBool,
    session: Mutex<Running>,
}

#[derive(Debug)]
struct Running {
    /// The connection's; none for a folder of this machine.
    clock: Option<Arc<IoClock>>,
    /// The data of a file is on its way.
    sending: bool,
    /// When a file last moved on.
    moved: Option<Instant>,
}

impl Halting {
    pub(super) fn new(cancel: Cancel) -> Self {
        Self {
            cancel,
            winding_down: AtomicBool::new(false),
            session: Mutex::new(Running {
                clock: None,
                sending: false,
                moved: None,
            }),
        }
    }

    /// What the sessions are to look at.
    pub(super) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Whether no file is to be begun.
    pub(super) fn is_winding_down(&self) -> bool {
        self.winding_down.load(Ordering::Relaxed)
    }

    /// A session begins, or ended (`None` then, too).
    pub(super) fn session(&self, clock: Option<Arc<IoClock>>) {
        *self.lock() = Running {
            clock,
            sending: false,
            moved: None,
        };
    }

    /// The data of a file began (`sending`), moved on or is all sent.
    pub(super) fn file(&self, sending: bool) {
        let mut session = self.lock();
        session.sending = sending;
        session.moved = Some(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halt for Halting {
    fn wind_down(&self) {
        self.winding_down.store(true, Ordering::Relaxed);
    }

    fn idle(&self) -> Option<Duration> {
        let session = self.lock();
        let since_moved = session.moved?.elapsed();
        if !session.sending && since_moved >= FINISHING {
            return None;
        }
        // A slow line moves bytes between two reports of a file.
        let idle = session.clock.as_ref().map(|clock| clock.idle());
        Some(idle.map_or(since_moved, |idle| idle.min(since_moved)))
    }

    fn cut(&self) {
        self.cancel.cancel();
    }
}
