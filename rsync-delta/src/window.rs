//! The buffer through which the new file passes.

use crate::OutOfMemory;
use crate::block_sums::MAX_LANES;
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

/// Free space offered to who reads the file, on account of the block length: many blocks, so that their sums run in
/// parallel lanes.
pub(crate) fn room_for(block_len: usize) -> usize {
    block_len
        .saturating_mul(MAX_LANES)
        .clamp(MIN_ROOM, MAX_ROOM)
}

/// Least free space offered to the caller: large enough to make the cost of a read call small.
const MIN_ROOM: usize = 256 * 1024;

/// Most free space asked for on account of long blocks: 16 of the longest of protocol 30.
pub(crate) const MAX_ROOM: usize = 2 * 1024 * 1024;

impl Window {
    /// An empty window; memory comes with the first use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes on the heap, at most, for a file of `file_len` bytes that is compared with blocks of `block_len`.
    pub fn memory(block_len: u32, file_len: u64) -> usize {
        let room = room_for(block_len as usize);
        let file_len = usize::try_from(file_len).unwrap_or(usize::MAX);
        // A block that is not complete, a literal that is not either, and what is being read.
        let held = (block_len as usize + MAX_LITERAL + room).min(file_len);
        2 * held + room
    }

    /// Bytes on the heap now.
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
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
