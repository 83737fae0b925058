//! Faults for any reader or writer.

use crate::random::Random;
use std::io::{self, ErrorKind, Read, Write};

/// A reader or writer that behaves badly, but always as a kernel may: short counts, interruptions, an error or an end
/// at a given byte.
///
/// ```
/// use std::io::Read;
/// let mut text = String::new();
/// let mut reader = testkit::Faulty::new(&b"some text"[..]).at_most(1).interrupted_every(3);
/// reader.read_to_string(&mut text).unwrap(); // goes on after interruptions
/// assert_eq!(text, "some text");
/// ```
#[derive(Debug)]
pub struct Faulty<T> {
    inner: T,
    at_most: usize,
    random: Option<Random>,
    interrupt_every: Option<u64>,
    calls: u64,
    passed: u64,
    fail_at: Option<(u64, ErrorKind)>,
    end_at: Option<u64>,
}

impl<T> Faulty<T> {
    /// Without faults yet.
    pub const fn new(inner: T) -> Self {
        Self {
            inner,
            at_most: usize::MAX,
            random: None,
            interrupt_every: None,
            calls: 0,
            passed: 0,
            fail_at: None,
            end_at: None,
        }
    }

    /// Moves at most `count` bytes a call.
    ///
    /// # Panics
    /// When `count` is 0, which would mean the end.
    #[must_use]
    pub fn at_most(mut self, count: usize) -> Self {
        assert!(count > 0, "a call moves at least one byte");
        self.at_most = count;
        self
    }

    /// Moves a random number of bytes a call, from 1 up to what [`Faulty::at_most`] says.
    #[must_use]
    pub fn random_counts(mut self, seed: u64) -> Self {
        self.random = Some(Random::new(seed));
        self
    }

    /// Every `n`-th call fails with `Interrupted`, moving nothing.
    ///
    /// # Panics
    /// When `n` is below 2: a call that is always interrupted never ends.
    #[must_use]
    pub fn interrupted_every(mut self, n: u64) -> Self {
        assert!(n > 1, "some calls must pass");
        self.interrupt_every = Some(n);
        self
    }

    /// Fails with `kind` from byte `at` on; the bytes before pass.
    #[must_use]
    pub const fn fails_at(mut self, at: u64, kind: ErrorKind) -> Self {
        self.fail_at = Some((at, kind));
        self
    }

    /// Ends at byte `at`: reads give nothing more, writes take nothing more (`WriteZero` in `write_all`).
    #[must_use]
    pub const fn ends_at(mut self, at: u64) -> Self {
        self.end_at = Some(at);
        self
    }

    /// How many bytes have passed.
    pub const fn passed(&self) -> u64 {
        self.passed
    }

    /// What it wraps.
    pub fn into_inner(self) -> T {
        self.inner
    }

    /// How many of `wanted` bytes this call may move.
    fn allowance(&mut self, wanted: usize) -> io::Result<usize> {
        self.calls += 1;
        if self
            .interrupt_every
            .is_some_and(|n| self.calls.is_multiple_of(n))
        {
            return Err(ErrorKind::Interrupted.into());
        }
        let mut count = wanted.min(self.at_most);
        if let Some(random) = self.random.as_mut().filter(|_| count > 1) {
            count = 1 + random.index(count);
        }
        let until = |at: u64| usize::try_from(at - self.passed).unwrap_or(usize::MAX);
        if let Some((at, kind)) = self.fail_at {
            if self.passed >= at {
                return Err(kind.into());
            }
            count = count.min(until(at));
        }
        if let Some(at) = self.end_at {
            count = count.min(until(at.max(self.passed)));
        }
        Ok(count)
    }
}

impl<T: Read> Read for Faulty<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = self.allowance(buffer.len())?;
        let read = self.inner.read(&mut buffer[..allowed])?;
        self.passed += read as u64;
        Ok(read)
    }
}

impl<T: Write> Write for Faulty<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let allowed = self.allowance(bytes.len())?;
        let written = self.inner.write(&bytes[..allowed])?;
        self.passed += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_whole_and_in_order() {
        let data = Random::new(1).bytes(1000);
        for count in [1, 7, 4096] {
            let mut read = Vec::new();
            let mut reader = Faulty::new(&data[..])
                .at_most(count)
                .random_counts(count as u64)
                .interrupted_every(2);
            reader.read_to_end(&mut read).unwrap();
            assert!(read == data && reader.passed() == 1000);
            let mut writer = Faulty::new(Vec::new()).at_most(count).interrupted_every(3);
            writer.write_all(&data).unwrap();
            assert!(writer.into_inner() == data);
        }
    }

    #[test]
    fn one_byte_means_one_byte() {
        let mut reader = Faulty::new(&[1, 2, 3][..]).at_most(1);
        assert_eq!(reader.read(&mut [0; 10]).unwrap(), 1);
        assert_eq!(reader.passed(), 1);
    }

    #[test]
    fn errors_and_ends_come_at_their_byte() {
        let data = [7; 100];
        for at in [0, 1, 50, 99] {
            let mut read = Vec::new();
            let mut reader = Faulty::new(&data[..]).fails_at(at, ErrorKind::ConnectionReset);
            assert_eq!(
                reader.read_to_end(&mut read).unwrap_err().kind(),
                ErrorKind::ConnectionReset
            );
            assert_eq!(read.len() as u64, at);

            let mut read = Vec::new();
            Faulty::new(&data[..])
                .ends_at(at)
                .read_to_end(&mut read)
                .unwrap();
            assert_eq!(read.len() as u64, at);

            let mut writer = Faulty::new(Vec::new()).fails_at(at, ErrorKind::StorageFull);
            assert_eq!(
                writer.write_all(&data).unwrap_err().kind(),
                ErrorKind::StorageFull
            );
            assert_eq!(writer.into_inner().len() as u64, at);
        }
        let mut writer = Faulty::new(Vec::new()).ends_at(5);
        assert_eq!(
            writer.write_all(&data).unwrap_err().kind(),
            ErrorKind::WriteZero
        );
    }
}
