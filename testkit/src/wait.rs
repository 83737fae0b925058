//! Waiting for conditions: polling with short intervals under a deadline that only a broken program reaches.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a condition may take before the test fails: long, for busy machines; no test measures it.
pub const PATIENCE: Duration = Duration::from_secs(60);

const INTERVAL: Duration = Duration::from_millis(3);

/// Waits until `condition` holds.
///
/// # Panics
/// After [`PATIENCE`], naming `what`.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    until_some(what, || condition().then_some(()));
}

/// Waits until `attempt` gives something, and gives it.
///
/// # Panics
/// After [`PATIENCE`], naming `what`.
#[track_caller]
pub fn until_some<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    let Some(found) = within(PATIENCE, attempt) else {
        panic!("waited {} s in vain for {what}", PATIENCE.as_secs());
    };
    found
}

/// Waits until `attempt` gives something; nothing after `limit`.
pub fn within<T>(limit: Duration, attempt: impl FnMut() -> Option<T>) -> Option<T> {
    within_every(INTERVAL, limit, attempt)
}

/// Looks every `interval` until `attempt` gives something; nothing after `limit`.
pub fn within_every<T>(
    interval: Duration,
    limit: Duration,
    mut attempt: impl FnMut() -> Option<T>,
) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return Some(found);
        }
        if start.elapsed() >= limit {
            return None;
        }
        sleep(interval);
    }
}
