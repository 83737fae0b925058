//! The buffer through which the new file passes.

use crate::OutOfMemory;
use crate::memory::reserve;

/// Longest literal that a [`Matcher`](crate::Matcher) yields, in bytes. Some receivers refuse longer ones.
pub const MAX_LITERAL: usize = 32 * 1024;

/// Buffer of a [`Matcher`](crate::Matcher), kept from file to file so that none is allocated per file.
#[derive(Debug, Default)]
pub struct Window {
    /// Always initialised over its whole length.
    buf: Vec<u8>,
    /// Bytes not yet given to the sink are `buf[start..end]`.
    start: usize,
    end: usize,
}

impl Window {
    /// An empty window; memory comes with the first use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties the window.
    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Room behind the held bytes, at least `room` long. Moves the held bytes to the front if need be and grows only
    /// with what they are, never by a number a peer sent.
    pub(crate) fn space(&mut self, room: usize) -> Result<&mut [u8], OutOfMemory> {
        if self.buf.len() - self.end < room {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.buf.len() - self.end < room {
                // Twice what is held, so that a long block is moved only a few times until it is complete.
                let len = 2 * self.end + room;
                let more = len - self.buf.len();
                reserve(&mut self.buf, more)?;
                self.buf.resize(len, 0);
            }
        }
        Ok(&mut self.buf[self.end..])
    }

    /// Takes `len` bytes of [`Window::space`] as filled and returns them.
    pub(crate) fn fill(&mut self, len: usize) -> &[u8] {
        let from = self.end;
        self.end = (self.end + len).min(self.buf.len());
        &self.buf[from..self.end]
    }

    /// The held bytes.
    pub(crate) fn held(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// Drops the first `len` of the held bytes.
    pub(crate) fn drop_front(&mut self, len: usize) {
        self.start += len;
        debug_assert!(self.start <= self.end);
    }
}
