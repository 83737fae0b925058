//! The lines that clients cause who have not logged in: all of them together have a rate, so that nobody fills a
//! disk by connecting over and over (05-security L-13).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::limits;

/// Room for such lines, and what was left out.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// Thousandths of a line that may come now.
    room: u64,
    since: Option<Instant>,
    left_out: LeftOut,
    /// The writer knows that there is something to sum up.
    pub(super) announced: bool,
}

/// What the log does not show.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    lines: u64,
    /// Failures to log in by address.
    failures: HashMap<IpAddr, u64>,
    /// Those of addresses beyond the bound of the table.
    other_failures: u64,
}

impl Strangers {
    /// Takes room for a line of `len` bytes at `rate` lines a second, or counts it. A long line takes the room of
    /// several. `failed`: the address, if it is about a failed login.
    pub(super) fn take(
        &mut self,
        rate: u32,
        len: usize,
        failed: Option<IpAddr>,
        now: Instant,
    ) -> bool {
        if rate == 0 {
            return true;
        }
        let full = u64::from(rate) * u64::from(limits::LOG_BURST) * LINE;
        self.room = match self.since {
            None => full,
            Some(since) => {
                let passed = now.saturating_duration_since(since).as_millis();
                let passed = u64::try_from(passed).unwrap_or(u64::MAX);
                // A thousandth of a line in a millisecond for each line a second.
                self.room
                    .saturating_add(passed.saturating_mul(rate.into()))
                    .min(full)
            }
        };
        self.since = Some(now);
        let lines = 1 + len.min(limits::LOG_LINE) / limits::STRANGER_LINE;
        let needed = LINE * lines as u64;
        if self.room >= needed {
            self.room -= needed;
            return true;
        }
        self.left_out.lines += 1;
        if let Some(address) = failed {
            let failures = &mut self.left_out.failures;
            if failures.len() < limits::LEFT_OUT_ADDRESSES || failures.contains_key(&address) {
                *failures.entry(address).or_default() += 1;
            } else {
                self.left_out.other_failures += 1;
            }
        }
        false
    }

    /// What was left out since the last call.
    pub(super) fn sum_up(&mut self) -> LeftOut {
        self.announced = false;
        std::mem::take(&mut self.left_out)
    }
}

/// One line of [`Strangers::room`].
const LINE: u64 = 1000;

impl LeftOut {
    /// The lines that say so; none if nothing was left out.
    pub(super) fn lines(&self) -> Vec<String> {
        if self.lines == 0 {
            return Vec::new();
        }
        let mut lines = vec![format!(
            "{} lines of clients that had not logged in were left out",
            self.lines
        )];
        let mut failures: Vec<_> = self.failures.iter().collect();
        failures.sort_unstable_by_key(|(address, count)| (std::cmp::Reverse(**count), **address));
        let mut others = self.other_failures;
        let mut parts = Vec::new();
        for (at, (address, count)) in failures.into_iter().enumerate() {
            if at < NAMED {
                parts.push(format!("{count} from {address}"));
            } else {
                others += count;
            }
        }
        if others > 0 {
            parts.push(format!("{others} from others"));
        }
        if !parts.is_empty() {
            lines.push(format!("among them failed logins: {}", parts.join(", ")));
        }
        lines
    }
}

/// Addresses that a summary names.
const NAMED: usize = 10;

/// When the next summary is due, if one is.
pub(super) fn due(announced: Option<Instant>, now: Instant) -> Option<Duration> {
    announced.map(|since| (since + limits::LEFT_OUT).saturating_duration_since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_strangers_is_counted_and_summed_up() {
        let (mut strangers, start) = (Strangers::default(), Instant::now());
        let burst = u64::from(2 * limits::LOG_BURST);
        let shown = (0..1000)
            .filter(|_| strangers.take(2, 80, None, start))
            .count();
        assert_eq!(shown as u64, burst);
        let later = start + Duration::from_secs(3);
        let shown = (0..1000)
            .filter(|_| strangers.take(2, 80, None, later))
            .count();
        assert_eq!(shown, 6, "two a second");
        let expected = format!(
            "{} lines of clients that had not logged in were left out",
            2000 - burst - 6
        );
        assert_eq!(strangers.sum_up().lines(), [expected]);
        assert!(strangers.sum_up().lines().is_empty());
    }

    #[test]
    fn failures_to_log_in_keep_their_count_by_address() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        while strangers.take(1, 80, None, now) {}
        strangers.sum_up();
        for i in 0..limits::LEFT_OUT_ADDRESSES as u32 + 5 {
            strangers.take(1, 80, Some(IpAddr::V4(i.into())), now);
        }
        for _ in 0..7 {
            strangers.take(1, 80, Some(IpAddr::V4(3.into())), now);
        }
        let lines = strangers.sum_up().lines();
        let others = limits::LEFT_OUT_ADDRESSES + 5 - NAMED;
        assert!(lines[1].starts_with("among them failed logins: 8 from 0.0.0.3, 1 from 0.0.0.0, "));
        assert!(
            lines[1].ends_with(&format!(", {others} from others")),
            "{}",
            lines[1]
        );
    }

    #[test]
    fn no_rate_is_no_limit() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        assert!((0..100_000).all(|_| strangers.take(0, 80, None, now)));
    }
}
