//! A receiver of records that loses some of them, as an overflowing queue does, or keeps the halves of renames apart.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use rsync_engine::fs::Errno;

use crate::clock::Moment;
use crate::inotify::{EventBits, Receiver, Record};

/// What goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// The next so many records are lost; those left when the queue is empty are forgiven.
    pub(crate) lose: AtomicU32,
    /// No rename has two halves.
    pub(crate) break_pairs: AtomicBool,
    paused: Mutex<bool>,
    resumed: Condvar,
}

impl Faults {
    /// Stops the reader, or lets it go on.
    pub(crate) fn pause(&self, paused: bool) {
        *self.paused.lock().unwrap() = paused;
        self.resumed.notify_all();
    }
}

pub(crate) struct Faulty<R> {
    inner: R,
    faults: Arc<Faults>,
    losing: AtomicBool,
}

impl<R> Faulty<R> {
    pub(crate) fn new(inner: R, faults: Arc<Faults>) -> Self {
        Self {
            inner,
            faults,
            losing: AtomicBool::new(false),
        }
    }

    fn overflow(&self) -> Option<Record<'static>> {
        self.losing
            .swap(false, Ordering::Relaxed)
            .then_some(Record {
                wd: -1,
                bits: EventBits::Q_OVERFLOW,
                cookie: 0,
                name: b"",
            })
    }
}

impl<R: Receiver> Receiver for Faulty<R> {
    fn records<'a>(&self, records: &mut dyn Iterator<Item = Record<'a>>, now: Moment) {
        let paused = self.faults.paused.lock().unwrap();
        drop(self.faults.resumed.wait_while(paused, |paused| *paused));
        for mut record in records {
            let left = self.faults.lose.load(Ordering::Relaxed);
            if left > 0 {
                self.losing.store(true, Ordering::Relaxed);
                self.faults.lose.store(left - 1, Ordering::Relaxed);
                continue;
            }
            if record.cookie != 0 && self.faults.break_pairs.load(Ordering::Relaxed) {
                let first = record.bits.has(EventBits::MOVED_FROM);
                record.cookie = record.cookie * 2 + u32::from(first);
            }
            let overflow = self.overflow();
            let both = [overflow, Some(record)];
            self.inner.records(&mut both.into_iter().flatten(), now);
        }
    }

    fn empty(&self, at: Moment) -> bool {
        self.faults.lose.store(0, Ordering::Relaxed);
        if let Some(overflow) = self.overflow() {
            self.inner.records(&mut [overflow].into_iter(), at);
        }
        self.inner.empty(at)
    }

    fn failed(&self, error: Errno) {
        self.inner.failed(error);
    }
}
