//! The I/O timeout and the moment of the last traffic, shared by both directions of a connection.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When a connection last moved bytes, and how long it may stand still.
///
/// The timeout can change while a session runs (a daemon announces its own with MSG_IO_TIMEOUT, 01-session
/// 10.3), so transports ask again before each wait.
#[derive(Debug)]
pub struct IoClock {
    start: Instant,
    last_ms: AtomicU64,
    timeout_s: AtomicU64,
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

    /// Whether the connection stood still for longer than the timeout.
    #[must_use]
    pub fn expired(&self) -> bool {
        self.timeout().is_some_and(|timeout| self.idle() >= timeout)
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
