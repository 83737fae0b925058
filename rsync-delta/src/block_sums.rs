//! The sums of all blocks of a basis file, in flat arrays.

use crate::memory::{reserve, reserve_exact};
use crate::{Checksum, Digest, Layout, OutOfMemory, Rolling};

/// Weak and strong sums of the blocks of one basis file, made from its data (generator) or received (sender).
///
/// One value serves file after file: [`BlockSums::reset`] keeps the memory.
#[derive(Debug)]
pub struct BlockSums {
    checksum: Checksum,
    seed: i32,
    layout: Layout,
    /// Bytes of strong sum kept per block.
    strong_len: usize,
    weak: Vec<u32>,
    strong: Vec<u8>,
}

impl BlockSums {
    /// No sums yet, for a transfer with this checksum and seed.
    pub fn new(checksum: Checksum, seed: i32) -> Self {
        Self {
            checksum,
            seed,
            layout: Layout::EMPTY,
            strong_len: 0,
            weak: Vec::new(),
            strong: Vec::new(),
        }
    }

    /// Forgets all sums and begins with the next file.
    ///
    /// The strong sums are kept to the smaller of the layout's `s2length` and the digest's length: some generators
    /// announce more than they have (03-transfer 4.3).
    pub fn reset(&mut self, layout: Layout) {
        self.layout = layout;
        self.strong_len = (layout.strong_len() as usize).min(self.checksum.digest_len());
        self.clear();
    }

    /// Forgets the sums held, not the layout: for a generator that sends them piece by piece.
    pub fn clear(&mut self) {
        self.weak.clear();
        self.strong.clear();
    }

    /// Bytes on the heap once `more` sums have room beside those held: see [`BlockSums::reserve`].
    pub fn memory_with(&self, more: usize) -> usize {
        let sums = self.weak.len().saturating_add(more);
        let weak = sums.saturating_mul(4).max(self.weak.capacity() * 4);
        weak.saturating_add(
            sums.saturating_mul(self.strong_len)
                .max(self.strong.capacity()),
        )
    }

    /// Makes room for exactly `more` sums.
    ///
    /// # Errors
    /// [`OutOfMemory`]: the peer, not we, decides how many there are.
    pub fn reserve(&mut self, more: usize) -> Result<(), OutOfMemory> {
        reserve_exact(&mut self.weak, more)?;
        reserve_exact(&mut self.strong, more.saturating_mul(self.strong_len))
    }

    /// Appends a received pair of sums. Of `strong` only the first [`BlockSums::strong_len`] bytes count; a shorter
    /// one is filled up with zeros.
    ///
    /// # Errors
    /// [`OutOfMemory`]: the peer, not we, decides how many there are.
    pub fn push(&mut self, weak: u32, strong: &[u8]) -> Result<(), OutOfMemory> {
        reserve(&mut self.weak, 1)?;
        reserve(&mut self.strong, self.strong_len)?;
        self.append(weak, strong);
        Ok(())
    }

    fn append(&mut self, weak: u32, strong: &[u8]) {
        self.weak.push(weak);
        let filled = self.strong.len() + self.strong_len;
        self.strong
            .extend_from_slice(&strong[..strong.len().min(self.strong_len)]);
        self.strong.resize(filled, 0);
    }

    /// Appends the sums of the next blocks, whose bytes are `data`: whole blocks, and at the end of the file the short
    /// one.
    pub fn push_blocks(&mut self, data: &[u8]) {
        let block_len = self.layout.block_len() as usize;
        if block_len == 0 {
            return;
        }
        let full = data.len() / block_len * block_len;
        let (blocks, short) = data.split_at(full);
        let mut digests = [Digest::default(); MAX_LANES];
        let group_len = block_len.saturating_mul(self.checksum.lanes().min(MAX_LANES));
        for group in blocks.chunks(group_len) {
            let digests = &mut digests[..group.len() / block_len];
            self.checksum
                .block_sums(self.seed, group, block_len, digests);
            for (block, digest) in group.chunks_exact(block_len).zip(digests) {
                self.append(Rolling::new(block).value(), digest);
            }
        }
        if !short.is_empty() {
            let digest = self.checksum.block_sum(self.seed, short);
            self.append(Rolling::new(short).value(), &digest);
        }
    }

    /// Weak and strong sums, block after block.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (0..self.weak.len()).map(|i| (self.weak[i], self.strong(i)))
    }

    /// How many sums are held.
    pub fn len(&self) -> usize {
        self.weak.len()
    }

    /// Whether no sums are held.
    pub fn is_empty(&self) -> bool {
        self.weak.is_empty()
    }

    /// Layout of the file that the sums belong to.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Bytes of strong sum kept per block. This, not the layout's number, is the `s2length` that a sender echoes.
    pub fn strong_len(&self) -> usize {
        self.strong_len
    }

    /// The strong checksum.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// The session's checksum seed.
    pub fn seed(&self) -> i32 {
        self.seed
    }

    /// Weak sums of the blocks, in order.
    pub(crate) fn weak(&self) -> &[u32] {
        &self.weak
    }

    /// Whether the strong sum of a block is that of this digest.
    pub(crate) fn strong_matches(&self, block: usize, digest: &Digest) -> bool {
        self.strong(block) == digest.prefix(self.strong_len)
    }

    fn strong(&self, block: usize) -> &[u8] {
        &self.strong[block * self.strong_len..(block + 1) * self.strong_len]
    }
}

/// Blocks digested in one go at most.
pub(crate) const MAX_LANES: usize = 16;
