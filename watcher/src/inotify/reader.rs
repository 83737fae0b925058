//! The reader thread: takes records off the kernel's queue as fast as they come.
//!
//! It does no file I/O and waits for nothing but the queue, so that the queue overflows as late as possible. What it reads it applies to
//! the state at once, under a lock that nobody holds across a system call that can block.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;

use super::{Instance, Record, records};
use crate::clock::{Clock, Moment};

/// Room for 240 records with the longest names, 2,000 with usual ones.
const BUFFER: usize = 64 * 1024;

/// Reads an [`Instance`] until it is told to stop.
#[derive(Debug)]
pub(crate) struct Reader {
    instance: Arc<Instance>,
    wake: Arc<OwnedFd>,
    clock: Clock,
}

/// What the reader tells: records as they come, then the moment before a read that found the queue empty.
pub(crate) trait Receiver {
    /// Whole records, read at `now`.
    fn records<'a>(&self, records: &mut dyn Iterator<Item = Record<'a>>, now: Moment);
    /// Everything that happened before `at` has been handed over. False: stop.
    fn empty(&self, at: Moment) -> bool;
    /// Reading failed; nothing more will come.
    fn failed(&self, error: Errno);
}

impl Reader {
    pub(crate) fn new(instance: Arc<Instance>, clock: Clock) -> Result<Self, Errno> {
        Ok(Self {
            instance,
            wake: Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?),
            clock,
        })
    }

    /// Wakes the reader: it looks at the queue and calls [`Receiver::empty`].
    pub(crate) fn waker(&self) -> Arc<OwnedFd> {
        self.wake.clone()
    }

    /// Runs until [`Receiver::empty`] says false.
    pub(crate) fn run(self, receiver: &impl Receiver) {
        let mut buffer = vec![0; BUFFER];
        loop {
            let now = self.clock.now();
            match rustix::io::read(self.instance.as_fd(), &mut buffer[..]) {
                Ok(0) | Err(Errno::AGAIN) => {
                    if !receiver.empty(now) {
                        return;
                    }
                    if let Err(error) = self.wait() {
                        receiver.failed(error);
                        return;
                    }
                }
                Ok(len) => {
                    // The kernel never returns part of a record.
                    let mut whole = records(&buffer[..len]).map_while(Result::ok);
                    receiver.records(&mut whole, self.clock.now());
                }
                Err(Errno::INTR) => {}
                Err(error) => {
                    receiver.failed(error);
                    return;
                }
            }
        }
    }

    fn wait(&self) -> Result<(), Errno> {
        let instance = self.instance.as_fd();
        let mut fds = [
            PollFd::new(&instance, PollFlags::IN),
            PollFd::new(&*self.wake, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error),
        }
        if fds[1].revents().contains(PollFlags::IN) {
            // Only the fact of being woken counts.
            let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
        }
        Ok(())
    }
}

/// Wakes a reader through its [`Reader::waker`].
pub(crate) fn wake(waker: &OwnedFd) {
    // A full counter has woken it already.
    let _ = rustix::io::write(waker, &1u64.to_ne_bytes());
}
