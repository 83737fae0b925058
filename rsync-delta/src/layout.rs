//! How a basis file is cut into blocks (03-transfer 4.1 to 4.3).

use std::num::NonZeroU32;

/// Largest block length at protocol 30 and later.
pub const MAX_BLOCK_LEN: u32 = 1 << 17;

/// Largest block length at protocols 27 to 29.
pub const MAX_BLOCK_LEN_OLD: u32 = 1 << 29;

/// Where the block length comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockRule {
    /// Given by the user (`--block-size`).
    Fixed(NonZeroU32),
    /// Derived from the file length (03-transfer 4.2), at most `max`: [`MAX_BLOCK_LEN`] or [`MAX_BLOCK_LEN_OLD`].
    Derived {
        /// The protocol's cap.
        max: u32,
    },
}

/// First request for a file, or the one after its whole-file sum did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Strong sums just long enough for the file's length.
    First,
    /// Strong sums in full.
    Redo,
}

/// The numbers of a sum head: `count` blocks of `block_len` bytes, the last of `remainder` bytes if that is not 0,
/// each with `strong_len` bytes of strong sum.
///
/// A value of this type is consistent: `block_len` is above 0 if there are blocks, `remainder` is not above
/// `block_len`, and `count` fits a positive `int32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    count: u32,
    block_len: u32,
    strong_len: u32,
    remainder: u32,
}

impl Layout {
    /// The head that says "no basis file": all zero.
    pub const EMPTY: Self = Self {
        count: 0,
        block_len: 0,
        strong_len: 0,
        remainder: 0,
    };

    /// The layout that rsync's generator chooses for a basis file of `file_len` bytes (03-transfer 4.2, 4.3), for a
    /// checksum of `digest_len` bytes.
    ///
    /// `None` if the file has more than 2^31 - 1 blocks, which only a small fixed block length can bring about: request
    /// such a file with [`Layout::EMPTY`].
    pub fn plan(file_len: u64, rule: BlockRule, digest_len: usize, pass: Pass) -> Option<Self> {
        let block_len = match rule {
            BlockRule::Fixed(len) => len.get(),
            BlockRule::Derived { max } => derived_block_len(file_len, max),
        };
        let count = u32::try_from(file_len.div_ceil(u64::from(block_len))).ok()?;
        Self::from_head(
            count,
            block_len,
            strong_len(file_len, block_len, digest_len, pass),
            (file_len % u64::from(block_len)) as u32,
        )
    }

    /// A layout of the numbers of a received sum head. `None` if they contradict each other.
    pub fn from_head(count: u32, block_len: u32, strong_len: u32, remainder: u32) -> Option<Self> {
        let consistent =
            count <= i32::MAX as u32 && remainder <= block_len && (block_len > 0 || count == 0);
        consistent.then_some(Self {
            count,
            block_len,
            strong_len,
            remainder,
        })
    }

    /// Number of blocks.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Length of every block but perhaps the last, in bytes.
    pub fn block_len(&self) -> u32 {
        self.block_len
    }

    /// Bytes of strong sum per block (`s2length`).
    pub fn strong_len(&self) -> u32 {
        self.strong_len
    }

    /// Length of the last block in bytes; 0 if that is a full one.
    pub fn remainder(&self) -> u32 {
        self.remainder
    }

    /// Whether a generator makes such blocks: none is longer than [`longest_block`] of the file that they cover. So a
    /// peer that names long blocks has to send about as many sums as a block has bytes.
    pub fn is_usual(&self) -> bool {
        self.block_len <= longest_block(self.file_len())
    }

    /// How many blocks, from the first on, have the full length.
    pub fn full_blocks(&self) -> u32 {
        self.count - u32::from(self.short_block().is_some())
    }

    /// Number and length of the last block if it is a short one.
    pub fn short_block(&self) -> Option<(u32, u32)> {
        let short = self.remainder > 0 && self.remainder < self.block_len;
        self.count
            .checked_sub(1)
            .filter(|_| short)
            .map(|last| (last, self.remainder))
    }

    /// Length of the shortest block: no file below it has data of any.
    pub fn shortest_block(&self) -> u32 {
        self.short_block().map_or(self.block_len, |(_, len)| len)
    }

    /// Offset and length in bytes of block `block`; `None` if there is no such block.
    pub fn block(&self, block: u32) -> Option<(u64, u32)> {
        if block >= self.count {
            return None;
        }
        let offset = u64::from(block) * u64::from(self.block_len);
        match self.short_block() {
            Some((last, len)) if last == block => Some((offset, len)),
            _ => Some((offset, self.block_len)),
        }
    }

    /// Length in bytes of the file that the blocks cover.
    pub fn file_len(&self) -> u64 {
        let full = u64::from(self.full_blocks()) * u64::from(self.block_len);
        full + self.short_block().map_or(0, |(_, len)| u64::from(len))
    }
}

/// The longest block, in bytes, that a generator makes of a file of `file_len` bytes: [`MAX_BLOCK_LEN`], or more where
/// protocol 29 derives it from the file's length (03-transfer 4.2).
pub fn longest_block(file_len: u64) -> u32 {
    derived_block_len(file_len, MAX_BLOCK_LEN_OLD).max(MAX_BLOCK_LEN)
}

fn derived_block_len(file_len: u64, max: u32) -> u32 {
    let root = file_len.isqrt();
    if root >= u64::from(max) {
        max
    } else {
        // Below `max`, so it fits; up to 490,000 bytes the root does not exceed 700.
        (root as u32 & !7).max(MIN_BLOCK_LEN)
    }
}

/// 03-transfer 4.3.
fn strong_len(file_len: u64, block_len: u32, digest_len: usize, pass: Pass) -> u32 {
    let full = digest_len.min(MAX_STRONG_LEN) as u32;
    match pass {
        Pass::Redo => full,
        Pass::First => {
            let log = |n: u64| n.checked_ilog2().unwrap_or(0);
            let bits = (2 * log(file_len)).saturating_sub(log(u64::from(block_len)) + 14);
            (bits / 8).max(2).min(full)
        }
    }
}

/// Blocks do not get shorter than this unless the user says so.
const MIN_BLOCK_LEN: u32 = 700;

/// No more of a digest is ever sent with a block.
const MAX_STRONG_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_ranges_cover_the_file() {
        for file_len in [0, 1, 699, 700, 701, 1400, 3000, 1 << 40] {
            let rule = BlockRule::Derived { max: MAX_BLOCK_LEN };
            let layout = Layout::plan(file_len, rule, 16, Pass::First).unwrap();
            assert_eq!(layout.file_len(), file_len);
            assert_eq!(layout.block(layout.count()), None);
            if let Some(last) = layout.count().checked_sub(1) {
                let (offset, len) = layout.block(last).unwrap();
                assert_eq!(offset + u64::from(len), file_len);
            }
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for (count, block_len, remainder) in [(1, 0, 0), (1, 700, 701), (1 << 31, 700, 0)] {
            assert_eq!(Layout::from_head(count, block_len, 2, remainder), None);
        }
        let one = BlockRule::Fixed(NonZeroU32::MIN);
        assert_eq!(Layout::plan(1 << 31, one, 16, Pass::First), None);
    }

    #[test]
    fn long_blocks_are_usual_for_long_files_only() {
        let old = BlockRule::Derived {
            max: MAX_BLOCK_LEN_OLD,
        };
        for file_len in [1, 70_000, 1 << 34, (1 << 40) + 12_345, 1 << 58] {
            let layout = Layout::plan(file_len, old, 16, Pass::First).unwrap();
            assert!(layout.is_usual(), "{layout:?}");
        }
        for (count, block_len, remainder, usual) in [
            (1, MAX_BLOCK_LEN, 0, true),
            (1, MAX_BLOCK_LEN + 1, 0, false),
            (1, MAX_BLOCK_LEN_OLD, 5, false),
            (1000, MAX_BLOCK_LEN_OLD, 0, false),
            (0, MAX_BLOCK_LEN_OLD, 0, false),
        ] {
            let layout = Layout::from_head(count, block_len, 2, remainder).unwrap();
            assert_eq!(layout.is_usual(), usual, "{layout:?}");
        }
    }

    #[test]
    fn redo_sends_the_digest_up_to_16_bytes() {
        let rule = BlockRule::Derived { max: MAX_BLOCK_LEN };
        for (digest_len, expected) in [(8, 8), (16, 16), (20, 16)] {
            let layout = Layout::plan(3000, rule, digest_len, Pass::Redo).unwrap();
            assert_eq!(layout.strong_len(), expected);
        }
    }

    #[test]
    fn a_remainder_of_a_whole_block_is_a_whole_block() {
        let layout = Layout::from_head(2, 700, 2, 700).unwrap();
        assert_eq!(layout.full_blocks(), 2);
        assert_eq!(layout.short_block(), None);
        assert_eq!(layout.file_len(), 1400);
    }
}
