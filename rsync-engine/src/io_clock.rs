//! What both directions of a connection share: the I/O timeout, the moment of the last traffic, the end of the peer.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::peer_end::{End, PeerEnd};

/// When a connection last moved bytes, how long it may stand still, and whether the peer ended it.
///
/// The timeout can change while a session runs (a daemon announces its own with MSG_IO_TIMEOUT, 01-session
/// 10.3), so transports ask again before each wait.
#[derive(Debug)]
pub struct IoClock {
    start: Instant,
    last_ms: AtomicU64,
    timeout_s: AtomicU64,
    over: AtomicBool,
    peer: PeerEnd,
}

impl IoClock {
    /// A clock that starts now. `None` waits for ever.
    #[must_use]
    pub fn new(timeout: Option<Duration>) -> Self {
        Self::started(Instant::now(), timeout)
    }

    /// A clock that started at a moment in the past.
    #[must_use]
    pub fn started(start: Instant, timeout: Option<Duration>) -> Self {
        let clock = Self {
            start,
            last_ms: AtomicU64::new(0),
            timeout_s: AtomicU64::new(0),
            over: AtomicBool::new(false),
            peer: PeerEnd::default(),
        };
        clock.set_timeout(timeout);
        clock
    }

    /// Sets the I/O timeout; parts of a second count as a whole one.
    pub fn set_timeout(&self, timeout: Option<Duration>) {
        let seconds = timeout.map_or(0, |t| t.as_secs() + u64::from(t.subsec_nanos() > 0));
        self.timeout_s.store(seconds, Ordering::Relaxed);
    }

    /// The I/O timeout in force.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        match self.timeout_s.load(Ordering::Relaxed) {
            0 => None,
            seconds => Some(Duration::from_secs(seconds)),
        }
    }

    /// Notes that bytes came from the peer or that stream data went out.
    pub fn touch(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }

    /// How long no byte has moved.
    #[must_use]
    pub fn idle(&self) -> Duration {
        self.start
            .elapsed()
            .saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)))
    }

    /// The timeout has ended the session: from now on nothing waits for the peer.
    pub(crate) fn give_up(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// How long a wait that begins now may take; `None` is for ever. It has the whole timeout, since it may be we that
    /// moved nothing before.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        match self.over.load(Ordering::Relaxed) {
            true => Some(Duration::ZERO),
            false => self.timeout(),
        }
    }

    /// How long a wait may take that lasts already: until nothing has moved for the timeout.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.patience()
            .map(|patience| patience.saturating_sub(self.idle()))
    }

    /// Whether the connection stood still for longer than the timeout.
    #[must_use]
    pub fn expired(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// An error once the peer is gone, for long work between two reads. Costs no system call.
    ///
    /// # Errors
    /// That of the next read: [`Error::Disconnected`], [`Error::Timeout`], [`Error::Connection`]. In a generator
    /// [`Error::Internal`], as its receiver knows the reason.
    pub fn check_peer(&self) -> Result<(), Error> {
        match self.peer.reason() {
            None => Ok(()),
            Some(End::Closed(received)) => Err(Error::Disconnected { received }),
            Some(End::Failed(failed)) => Err(self.failed("read", failed.into())),
            Some(End::Receiver) => Err(Error::Internal { role: "receiver" }),
        }
    }

    pub(crate) fn peer(&self) -> &PeerEnd {
        &self.peer
    }

    /// A failed read or write as the end of the session.
    pub(crate) fn failed(&self, op: &'static str, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Error::Timeout {
                seconds: self.timeout().map_or(0, |timeout| timeout.as_secs()),
            },
            _ => Error::Connection { op, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_timeout_never_expires_and_a_touch_restarts_the_count() {
        let clock = IoClock::new(None);
        assert!(!clock.expired());
        clock.set_timeout(Some(Duration::from_millis(1)));
        assert_eq!(clock.timeout(), Some(Duration::from_secs(1)), "rounded up");
        clock.touch();
        assert!(!clock.expired());
    }
}
