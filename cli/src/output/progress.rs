//! Progress of one file (06-client 3.4). The clock is the caller's.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::number;

/// How many updates the running rate looks back.
const WINDOW: usize = 5;
/// Least time between two updates.
const INTERVAL: Duration = Duration::from_secs(1);
/// Remaining times from here on are shown as unknown.
const LONGEST: f64 = 9999.0 * 3600.0;

/// Where the whole run stands, for the end of the last line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Files transferred so far, this one included.
    pub(crate) transferred: u64,
    /// Entries still to check.
    pub(crate) to_check: u64,
    /// Entries known.
    pub(crate) entries: u64,
    /// More entries may come.
    pub(crate) incomplete: bool,
}

/// The progress of the current file.
#[derive(Debug)]
pub(super) struct FileProgress {
    total: u64,
    started: Instant,
    /// Times and offsets of the latest updates, oldest first; begins with the start.
    updates: VecDeque<(Instant, u64)>,
}

impl FileProgress {
    /// A file of `total` bytes begins.
    pub(super) fn new(total: u64, now: Instant) -> Self {
        Self {
            total,
            started: now,
            updates: VecDeque::from([(now, 0)]),
        }
    }

    /// `done` bytes are through. The line to show, if one is due: the first at once, then one a second.
    pub(super) fn update(&mut self, done: u64, now: Instant, level: u8) -> Option<String> {
        let &(latest, _) = self.updates.back()?;
        if self.updates.len() > 1 && now.duration_since(latest) < INTERVAL {
            return None;
        }
        let &(then, before) = self.updates.front()?;
        if self.updates.len() == WINDOW {
            self.updates.pop_front();
        }
        self.updates.push_back((now, done));
        let rate = rate(done.saturating_sub(before), now.duration_since(then));
        let remaining = if rate > 0.0 {
            self.total.saturating_sub(done) as f64 / rate
        } else {
            0.0
        };
        Some(format!("{}  ", self.line(done, rate, remaining, level)))
    }

    /// The file is through: its last line, without the end of line.
    pub(super) fn finish(&self, counts: Counts, now: Instant, level: u8) -> String {
        let elapsed = now.duration_since(self.started);
        let line = self.line(
            self.total,
            rate(self.total, elapsed),
            elapsed.as_secs_f64(),
            level,
        );
        let Counts {
            transferred,
            to_check,
            entries,
            incomplete,
        } = counts;
        let check = if incomplete { "ir" } else { "to" };
        format!("{line} (xfr#{transferred}, {check}-chk={to_check}/{entries})")
    }

    fn line(&self, done: u64, rate: f64, seconds: f64, level: u8) -> String {
        let percent = if done >= self.total {
            100
        } else {
            u128::from(done) * 100 / u128::from(self.total)
        };
        let (rate, unit) = match rate / 1024.0 {
            rate if rate > 1024.0 * 1024.0 => (rate / (1024.0 * 1024.0), "GB/s"),
            rate if rate > 1024.0 => (rate / 1024.0, "MB/s"),
            rate => (rate, "kB/s"),
        };
        let time = if (0.0..LONGEST).contains(&seconds) {
            let seconds = seconds as u64;
            format!(
                "{:4}:{:02}:{:02}",
                seconds / 3600,
                seconds / 60 % 60,
                seconds % 60
            )
        } else {
            "  ??:??:??".to_owned()
        };
        format!(
            "\r{:>15} {percent:>3}% {rate:7.2}{unit} {time}",
            number::bytes(done, level)
        )
    }
}

/// Bytes a second; nothing is known before the clock moved a millisecond.
fn rate(bytes: u64, time: Duration) -> f64 {
    match time.as_millis() {
        0 => 0.0,
        milliseconds => bytes as f64 * 1000.0 / milliseconds as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: Counts = Counts {
        transferred: 1,
        to_check: 8,
        entries: 10,
        incomplete: false,
    };

    /// Lines of vectors/cli/progress.txt, with the times that explain them.
    #[test]
    fn captured_lines() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);

        let mut tiny = FileProgress::new(6, start);
        assert_eq!(
            tiny.update(6, at(0), 1).unwrap(),
            "\r              6 100%    0.00kB/s    0:00:00  "
        );
        assert_eq!(
            tiny.finish(COUNTS, at(0), 1),
            "\r              6 100%    0.00kB/s    0:00:00 (xfr#1, to-chk=8/10)"
        );

        let mut big = FileProgress::new(1_234_567, start);
        assert_eq!(
            big.update(32_768, at(3), 1).unwrap(),
            "\r         32,768   2%   10.42MB/s    0:00:00  "
        );
        assert_eq!(big.update(65_536, at(4), 1), None);
        assert_eq!(
            big.finish(
                Counts {
                    transferred: 2,
                    to_check: 7,
                    ..COUNTS
                },
                at(5),
                1
            ),
            "\r      1,234,567 100%  235.47MB/s    0:00:00 (xfr#2, to-chk=7/10)"
        );
        assert_eq!(
            big.finish(
                Counts {
                    incomplete: true,
                    ..COUNTS
                },
                at(1),
                2
            ),
            "\r          1.23M 100%    1.15GB/s    0:00:00 (xfr#1, ir-chk=8/10)"
        );

        let mut slow = FileProgress::new(3_000_000, start);
        slow.update(32_768, at(0), 1).unwrap();
        assert_eq!(
            slow.update(1_081_344, at(1057), 1).unwrap(),
            "\r      1,081,344  36%  999.05kB/s    0:00:01  "
        );
        assert_eq!(
            slow.finish(COUNTS, at(2929), 1),
            "\r      3,000,000 100% 1000.23kB/s    0:00:02 (xfr#1, to-chk=8/10)"
        );
    }

    #[test]
    fn the_rate_looks_back_five_updates_and_long_times_are_unknown() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut progress = FileProgress::new(u64::MAX, start);
        for second in 1..=4 {
            progress.update(second * 1024, at(second), 1).unwrap();
        }
        // From now on ten times as fast: the start falls out of the window first.
        assert_eq!(
            progress.update(5 * 1024, at(5), 0).unwrap(),
            "\r           5120   0%    1.00kB/s   ??:??:??  "
        );
        assert_eq!(
            progress.update(105 * 1024, at(6), 0).unwrap(),
            "\r         107520   0%   20.80kB/s   ??:??:??  "
        );
    }
}
