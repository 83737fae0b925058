//! Limits of the rate at which data is sent.

use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Keeps writes below a rate (06-client 2.1, RATE).
#[derive(Debug)]
pub(crate) struct Pace {
    /// Bytes a second.
    rate: u64,
    debt: f64,
    last: Instant,
}

impl Pace {
    pub(crate) fn new(rate: u64) -> Self {
        Self {
            rate,
            debt: 0.0,
            last: Instant::now(),
        }
    }

    /// What one write may take.
    pub(crate) fn piece(&self) -> usize {
        usize::try_from((self.rate / 8).max(512)).unwrap_or(usize::MAX)
    }

    /// Sleeps off what was written too early.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        let wait = self.owed(bytes, Instant::now());
        if wait >= LEAST {
            std::thread::sleep(wait);
        }
    }

    /// How long to wait after writing `bytes` at `now`.
    #[expect(clippy::cast_precision_loss, reason = "a rate, not an account")]
    fn owed(&mut self, bytes: usize, now: Instant) -> Duration {
        let rate = self.rate as f64;
        let since = now.saturating_duration_since(self.last).as_secs_f64();
        self.debt = (self.debt - since * rate).max(0.0) + bytes as f64;
        self.last = now;
        Duration::from_secs_f64(self.debt / rate)
    }
}

/// Waits shorter than this are saved up.
const LEAST: Duration = Duration::from_millis(100);

/// A writer that keeps below a rate.
#[derive(Debug)]
pub(crate) struct Paced<W> {
    writer: W,
    pace: Pace,
}

impl<W: Write> Paced<W> {
    /// At most `rate` bytes a second, not 0.
    pub(crate) fn new(writer: W, rate: u64) -> Self {
        Self {
            writer,
            pace: Pace::new(rate),
        }
    }
}

impl<W: Write> Write for Paced<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let piece = buf.len().min(self.pace.piece());
        let written = self.writer.write(&buf[..piece])?;
        self.pace.wrote(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_too_early_is_owed() {
        let mut pace = Pace::new(1_000);
        let start = pace.last;
        let at = |ms| start + Duration::from_millis(ms);
        let owed: Vec<u128> = [(500, 0), (500, 0), (500, 1_000), (100, 9_000)]
            .map(|(bytes, ms)| pace.owed(bytes, at(ms)).as_millis())
            .into();
        // What was not written in time is not made up for later.
        assert_eq!(owed, [500, 1_000, 500, 100]);
    }

    #[test]
    fn all_is_written() {
        let mut paced = Paced::new(Vec::new(), 1 << 40);
        paced.write_all(&[7; 50_000]).unwrap();
        assert_eq!(paced.writer, [7; 50_000]);
    }
}
