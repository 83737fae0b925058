//! Gathering the pieces of a file that is written from front to back.

use super::{Errno, Result, WriteFile};

/// Gathers small pieces (256 KiB). One for a session, reused from file to file.
#[derive(Debug)]
pub struct WriteBuffer {
    buf: Vec<u8>,
    /// Where the first gathered byte goes.
    offset: u64,
}

impl WriteBuffer {
    /// Bytes gathered at most.
    pub const CAPACITY: usize = 256 << 10;

    /// An empty buffer at offset 0. Memory is taken with the first byte.
    pub fn new() -> Self {
        Self {
            buf: Vec::new(),
            offset: 0,
        }
    }

    /// Forgets what was gathered and starts at `offset`.
    pub fn start(&mut self, offset: u64) {
        self.buf.clear();
        self.offset = offset;
    }

    /// Where the next byte goes.
    pub fn position(&self) -> u64 {
        self.offset + self.buf.len() as u64
    }

    /// Bytes that fit before the next write; never 0.
    pub fn room(&self) -> usize {
        match Self::CAPACITY - self.buf.len() {
            0 => Self::CAPACITY,
            room => room,
        }
    }

    /// Appends `data`. A `pwrite64` for each 256 KiB, or for a larger piece as it is.
    pub fn put(&mut self, file: &WriteFile, data: &[u8]) -> Result<()> {
        self.make_room(file, data.len())?;
        if data.len() >= Self::CAPACITY {
            file.write_at(data, self.offset)?;
            self.offset += data.len() as u64;
        } else {
            self.buf.extend_from_slice(data);
        }
        Ok(())
    }

    /// Appends `len` bytes (at most [`WriteBuffer::CAPACITY`], else EINVAL) that `fill` provides in
    /// place, such as a part of the basis. Returns what `fill` returned; if that is an error,
    /// nothing was appended.
    pub fn put_with<T, E: From<Errno>>(
        &mut self,
        file: &WriteFile,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<T, E>,
    ) -> Result<T, E> {
        if len > Self::CAPACITY {
            return Err(Errno::INVAL.into());
        }
        self.make_room(file, len)?;
        let before = self.buf.len();
        self.buf.resize(before + len, 0);
        let filled = fill(&mut self.buf[before..]);
        if filled.is_err() {
            self.buf.truncate(before);
        }
        filled
    }

    /// Leaves `len` bytes as they are in the file (update in place); what was gathered is written.
    pub fn skip(&mut self, file: &WriteFile, len: u64) -> Result<()> {
        self.flush(file)?;
        self.offset = self.offset.checked_add(len).ok_or(Errno::FBIG)?;
        Ok(())
    }

    /// Writes what was gathered. One `pwrite64`.
    pub fn flush(&mut self, file: &WriteFile) -> Result<()> {
        if !self.buf.is_empty() {
            file.write_at(&self.buf, self.offset)?;
            self.start(self.position());
        }
        Ok(())
    }

    fn make_room(&mut self, file: &WriteFile, len: usize) -> Result<()> {
        if self.buf.len() + len > Self::CAPACITY {
            self.flush(file)?;
        }
        if self.buf.capacity() == 0 {
            self.buf.reserve_exact(Self::CAPACITY);
        }
        self.position().checked_add(len as u64).ok_or(Errno::FBIG)?;
        Ok(())
    }
}

impl Default for WriteBuffer {
    fn default() -> Self {
        Self::new()
    }
}
