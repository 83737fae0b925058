//! From a weak sum to the blocks that have it.

use crate::{BlockSums, Rolling};

/// Lookup of blocks by weak sum: a bit filter small enough for the processor's caches, then a hash table.
///
/// One value serves file after file: [`Index::build`] keeps the memory.
#[derive(Debug)]
pub struct Index {
    /// A set bit for each weak sum present. The length is a power of two.
    filter: Vec<u64>,
    /// Bucket `h` of the table is `entries[starts[h]..starts[h + 1]]`.
    starts: Vec<u32>,
    /// Sorted by bucket, then by block.
    entries: Vec<Entry>,
}

/// A block in the table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) weak: u32,
    pub(crate) block: u32,
}

impl Index {
    /// An index of no blocks.
    pub fn new() -> Self {
        Self {
            filter: vec![0; MIN_FILTER_WORDS],
            starts: vec![0; 2],
            entries: Vec::new(),
        }
    }

    /// Indexes the full blocks of `sums`, in place of what was there before.
    ///
    /// The short last block is left out: it can only match the end of a file, where the matcher looks for it itself.
    pub fn build(&mut self, sums: &BlockSums) {
        let full = sums.layout().full_blocks() as usize;
        let weak = &sums.weak()[..full.min(sums.len())];

        let words = (weak.len() * FILTER_BITS_PER_BLOCK / 64)
            .next_power_of_two()
            .clamp(MIN_FILTER_WORDS, MAX_FILTER_WORDS);
        self.filter.clear();
        self.filter.resize(words, 0);

        let buckets = weak.len().next_power_of_two();
        self.starts.clear();
        self.starts.resize(buckets + 1, 0);

        // Counting sort: sizes, then ends, then each entry from the back to just before its bucket's end.
        for &sum in weak {
            let hash = hash(sum);
            let bit = hash as usize & (words * 64 - 1);
            self.filter[bit / 64] |= 1 << (bit % 64);
            self.starts[hash as usize & (buckets - 1)] += 1;
        }
        let mut end = 0;
        for start in &mut self.starts {
            end += *start;
            *start = end;
        }
        self.entries.clear();
        self.entries.resize(weak.len(), Entry::default());
        for (block, &weak) in weak.iter().enumerate().rev() {
            let start = &mut self.starts[hash(weak) as usize & (buckets - 1)];
            *start -= 1;
            self.entries[*start as usize] = Entry {
                weak,
                block: block as u32,
            };
        }
    }

    /// All blocks that have this weak sum, lowest first, among others of the same hash. At most `cap` of them.
    pub(crate) fn bucket(&self, weak: u32, cap: usize) -> &[Entry] {
        let bucket = hash(weak) as usize & (self.starts.len() - 2);
        let start = self.starts[bucket] as usize;
        let end = self.starts[bucket + 1] as usize;
        &self.entries[start..end.min(start + cap)]
    }

    /// Whether a block may have this weak sum. Wrong only when it says yes, and that rarely.
    #[inline]
    pub(crate) fn may_contain(&self, weak: u32) -> bool {
        let hash = hash(weak) as usize;
        let word = self.filter[(hash / 64) & (self.filter.len() - 1)];
        word >> (hash % 64) & 1 != 0
    }

    /// Rolls the window on until its weak sum may be that of a block. Returns the number of steps made and whether
    /// the last one ended at such a sum.
    ///
    /// `leaving` are the bytes from the window's first on, `entering` those after its last; both have the same length.
    pub(crate) fn skip(
        &self,
        rolling: &mut Rolling,
        leaving: &[u8],
        entering: &[u8],
    ) -> (usize, bool) {
        // A local copy keeps the sums in registers.
        let mut sum = *rolling;
        let steps = leaving.len().min(entering.len());
        for (i, (&old, &new)) in leaving.iter().zip(entering).enumerate() {
            sum.roll(old, new);
            if self.may_contain(sum.value()) {
                *rolling = sum;
                return (i + 1, true);
            }
        }
        *rolling = sum;
        (steps, false)
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

/// Spreads a weak sum, whose halves are far from uniform on ordinary data.
#[inline]
fn hash(weak: u32) -> u32 {
    (u64::from(weak).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// At this density one probe in 64 is a false hit, so that the branch on it is nearly free.
const FILTER_BITS_PER_BLOCK: usize = 64;

/// 8 KiB: well inside the first-level cache.
const MIN_FILTER_WORDS: usize = 1 << 10;

/// 4 MiB: more would not stay in any cache.
const MAX_FILTER_WORDS: usize = 1 << 19;
