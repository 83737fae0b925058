//! From a weak sum to the blocks that have it.

use crate::memory::refill;
use crate::{BlockSums, OutOfMemory, Rolling};

/// Lookup of blocks by weak sum: a bit filter small enough for the processor's caches, then a hash table.
///
/// One value serves file after file: [`Index::build`] keeps the memory.
#[derive(Debug)]
pub struct Index {
    /// A set bit for each weak sum present. The length is a power of two.
    filter: Vec<u32>,
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

    /// Bytes on the heap of an index of so many blocks.
    pub fn memory(blocks: usize) -> usize {
        4 * (filter_words(blocks) + blocks.next_power_of_two() + 1)
            + blocks.saturating_mul(size_of::<Entry>())
    }

    /// Indexes the full blocks of `sums`, in place of what was there before.
    ///
    /// The short last block is left out: it can only match the end of a file, where the matcher looks for it itself.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the index is of no use then.
    pub fn build(&mut self, sums: &BlockSums) -> Result<(), OutOfMemory> {
        let full = sums.layout().full_blocks() as usize;
        let weak = &sums.weak()[..full.min(sums.len())];

        let words = filter_words(weak.len());
        refill(&mut self.filter, words, 0)?;

        let buckets = weak.len().next_power_of_two();
        refill(&mut self.starts, buckets + 1, 0)?;

        // Counting sort: sizes, then ends, then each entry from the back to just before its bucket's end.
        for &sum in weak {
            let (word, bit) = filter_place(sum, words);
            self.filter[word] |= HIGH_BIT >> bit;
            self.starts[hash(sum) as usize & (buckets - 1)] += 1;
        }
        let mut end = 0;
        for start in &mut self.starts {
            end += *start;
            *start = end;
        }
        refill(&mut self.entries, weak.len(), Entry::default())?;
        for (block, &weak) in weak.iter().enumerate().rev() {
            let start = &mut self.starts[hash(weak) as usize & (buckets - 1)];
            *start -= 1;
            self.entries[*start as usize] = Entry {
                weak,
                block: block as u32,
            };
        }
        Ok(())
    }

    /// All blocks that have this weak sum, lowest first, among others of the same hash. At most `cap` of them.
    pub(crate) fn bucket(&self, weak: u32, cap: usize) -> &[Entry] {
        let bucket = hash(weak) as usize & (self.starts.len() - 2);
        let start = self.starts[bucket] as usize;
        let end = self.starts[bucket + 1] as usize;
        &self.entries[start..end.min(start.saturating_add(cap))]
    }

    /// Whether a block may have this weak sum. Wrong only when it says yes, and that rarely.
    #[inline]
    pub(crate) fn may_contain(&self, weak: u32) -> bool {
        let (word, bit) = filter_place(weak, self.filter.len());
        (self.filter[word] << bit) & HIGH_BIT != 0
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
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = crate::simd::Avx2::detect() {
            let (steps, hit) = avx2.skip(&self.filter, rolling, leaving, entering);
            if hit {
                return (steps, true);
            }
            let (rest, hit) = self.plain_skip(rolling, &leaving[steps..], &entering[steps..]);
            return (steps + rest, hit);
        }
        self.plain_skip(rolling, leaving, entering)
    }

    fn plain_skip(&self, rolling: &mut Rolling, leaving: &[u8], entering: &[u8]) -> (usize, bool) {
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

fn filter_words(blocks: usize) -> usize {
    (blocks * FILTER_WORDS_PER_BLOCK)
        .next_power_of_two()
        .clamp(MIN_FILTER_WORDS, MAX_FILTER_WORDS)
}

/// Where in a filter of so many words (a power of two) a weak sum has its bit: the word from the hash's highest bits,
/// the bit, counted from the highest one, from bits below.
#[inline]
fn filter_place(weak: u32, words: usize) -> (usize, u32) {
    let hash = weak.wrapping_mul(HASH_FACTOR);
    let word = u64::from(hash) >> (32 - words.ilog2());
    (word as usize & (words - 1), (hash >> BIT_SHIFT) & 31)
}

/// Place in the table: other bits than in the filter, so that what the filter lets through in vain is spread.
#[inline]
fn hash(weak: u32) -> u32 {
    (u64::from(weak).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// Spreads a weak sum, whose halves are far from uniform on ordinary data. Only the high bits depend on all of it.
pub(crate) const HASH_FACTOR: u32 = 0x9e37_79b1;

/// Five bits of the hash from here on choose the bit of the word.
pub(crate) const BIT_SHIFT: i32 = 7;

const HIGH_BIT: u32 = 1 << 31;

/// With one bit in 256 set the false hits cost less than the search.
const FILTER_WORDS_PER_BLOCK: usize = 8;

/// 8 KiB: well inside the first-level cache.
const MIN_FILTER_WORDS: usize = 1 << 11;

/// 4 MiB: more would not stay in any cache. The 20 bits that choose a word stay clear of those that choose the bit.
const MAX_FILTER_WORDS: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checksum, Layout};

    const BLOCK: usize = 50;

    fn bytes(len: usize, factor: u32) -> Vec<u8> {
        (0..len as u32)
            .map(|i| (i.wrapping_mul(factor) >> 23) as u8)
            .collect()
    }

    fn index_of(basis: &[u8]) -> (BlockSums, Index) {
        let count = (basis.len() / BLOCK) as u32;
        let mut sums = BlockSums::new(Checksum::Xxh64, 1);
        sums.reset(Layout::from_head(count, BLOCK as u32, 8, 0).unwrap());
        sums.push_blocks(basis);
        let mut index = Index::new();
        index.build(&sums).unwrap();
        (sums, index)
    }

    #[test]
    fn every_block_is_found_by_its_weak_sum() {
        let (sums, mut index) = index_of(&bytes(1000 * BLOCK, 2_654_435_761));
        for (block, &weak) in sums.weak().iter().enumerate() {
            assert!(index.may_contain(weak));
            let found = index.bucket(weak, usize::MAX).iter();
            assert!(
                found
                    .clone()
                    .any(|entry| (entry.weak, entry.block) == (weak, block as u32))
            );
            assert!(found.is_sorted_by_key(|entry| entry.block));
            assert!(index.bucket(weak, 1).len() <= 1);
        }
        // Nothing of it is left after the next build.
        index.build(&BlockSums::new(Checksum::Xxh64, 1)).unwrap();
        assert!(sums.weak().iter().all(|&weak| !index.may_contain(weak)));
        assert!(
            sums.weak()
                .iter()
                .all(|&weak| index.bucket(weak, 1).is_empty())
        );
    }

    /// The search stops at every offset where the filter has a bit, with the sums of that offset.
    #[test]
    fn skip_stops_where_rolling_byte_by_byte_would() {
        let (_, index) = index_of(&bytes(3000 * BLOCK, 2_654_435_761));
        let data = bytes(20_000, 40_503);
        for end in [data.len(), data.len() - 1, BLOCK + 9, BLOCK + 7, BLOCK] {
            let data = &data[..end];
            let mut expected = Vec::new();
            for at in 1..=data.len() - BLOCK {
                let rolling = Rolling::new(&data[at..at + BLOCK]);
                if index.may_contain(rolling.value()) {
                    expected.push((at, rolling));
                }
            }
            assert!(end < 10_000 || !expected.is_empty());
            let mut found = Vec::new();
            let mut plain = Vec::new();
            for (stops, vector) in [(&mut found, true), (&mut plain, false)] {
                let mut rolling = Rolling::new(&data[..BLOCK]);
                let mut at = 0;
                loop {
                    let (leaving, entering) = (&data[at..end - BLOCK], &data[at + BLOCK..]);
                    let (steps, hit) = if vector {
                        index.skip(&mut rolling, leaving, entering)
                    } else {
                        index.plain_skip(&mut rolling, leaving, entering)
                    };
                    at += steps;
                    assert_eq!(rolling, Rolling::new(&data[at..at + BLOCK]));
                    if !hit {
                        break;
                    }
                    stops.push((at, rolling));
                }
                assert_eq!(at, end - BLOCK);
            }
            assert_eq!(found, expected);
            assert_eq!(plain, expected);
        }
    }
}
