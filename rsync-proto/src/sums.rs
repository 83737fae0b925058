//! The sum head and the block sums behind it (03-transfer 4.1).

use crate::error::{DecodeError, Violation};
use crate::limits;
use crate::version::Protocol;
use crate::wire::Cursor;

/// How a basis is cut into blocks, and how long the strong sums are. All zero without a basis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SumHead {
    /// Number of blocks, at most 2^31 - 1. Memory for the sums is the reader's budget.
    pub count: u32,
    /// Bytes of a block. Not 0 if there are blocks.
    pub block_len: u32,
    /// Bytes of each strong sum, at most 16.
    pub strong_len: u32,
    /// Bytes of the last block; 0 means that it is as long as the others.
    pub remainder: u32,
}

impl SumHead {
    /// Bytes of a head on the wire.
    pub const WIRE_LEN: usize = 16;

    /// Reads a head and checks it.
    ///
    /// # Errors
    /// Incomplete; a [`Violation`] for each field out of its range.
    pub fn decode(cursor: &mut Cursor<'_>, protocol: Protocol) -> Result<Self, DecodeError> {
        let mut probe = cursor.clone();
        let (count, block_len, strong_len, remainder) =
            (probe.int()?, probe.int()?, probe.int()?, probe.int()?);
        let head = Self {
            count: u32::try_from(count).map_err(|_| Violation::BlockCount { count })?,
            block_len: u32::try_from(block_len)
                .ok()
                .filter(|&len| len <= protocol.max_block_len() && (len > 0 || count == 0))
                .ok_or(Violation::BlockLength { len: block_len })?,
            strong_len: u32::try_from(strong_len)
                .ok()
                .filter(|&len| len <= limits::STRONG_SUM)
                .ok_or(Violation::StrongSumLength { len: strong_len })?,
            remainder: u32::try_from(remainder)
                .map_err(|_| Violation::BlockRemainder { len: remainder })?,
        };
        if head.remainder > head.block_len {
            return Err(Violation::BlockRemainder { len: remainder }.into());
        }
        *cursor = probe;
        Ok(head)
    }

    /// Appends the head.
    pub fn put(&self, out: &mut Vec<u8>) {
        for field in [self.count, self.block_len, self.strong_len, self.remainder] {
            out.extend_from_slice(&field.to_le_bytes());
        }
    }

    /// Bytes of block `index`: the last one may be shorter. 0 for a block that does not exist.
    #[must_use]
    pub fn block_len_of(&self, index: u32) -> u32 {
        match self.count.checked_sub(index) {
            None | Some(0) => 0,
            Some(1) if self.remainder != 0 => self.remainder,
            Some(_) => self.block_len,
        }
    }

    /// Where block `index` starts in the basis, in bytes.
    #[must_use]
    pub fn offset_of(&self, index: u32) -> u64 {
        u64::from(index) * u64::from(self.block_len)
    }

    /// Bytes of the basis that the blocks cover. Below 2^60.
    #[must_use]
    pub fn file_len(&self) -> u64 {
        match self.count.checked_sub(1) {
            None => 0,
            Some(last) => self.offset_of(last) + u64::from(self.block_len_of(last)),
        }
    }
}

/// The sums of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSum<'a> {
    /// The rolling sum.
    pub weak: u32,
    /// The strong sum, cut to the head's length.
    pub strong: &'a [u8],
}

impl<'a> BlockSum<'a> {
    /// Reads the sums of the next block.
    ///
    /// # Errors
    /// Incomplete.
    pub fn decode(cursor: &mut Cursor<'a>, head: &SumHead) -> Result<Self, DecodeError> {
        let mut probe = cursor.clone();
        let weak = probe.int()?.cast_unsigned();
        let strong = probe.take(head.strong_len as usize)?;
        *cursor = probe;
        Ok(Self { weak, strong })
    }

    /// Appends the sums.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.weak.to_le_bytes());
        out.extend_from_slice(self.strong);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire(fields: [i32; 4]) -> Vec<u8> {
        fields.iter().flat_map(|f| f.to_le_bytes()).collect()
    }

    #[test]
    fn heads_out_of_range_are_refused() {
        let big = 1 << 29;
        let rows: [([i32; 4], Protocol, Violation); 9] = [
            (
                [-1, 700, 2, 0],
                Protocol::V32,
                Violation::BlockCount { count: -1 },
            ),
            (
                [1, 0, 2, 0],
                Protocol::V32,
                Violation::BlockLength { len: 0 },
            ),
            (
                [1, -1, 2, 0],
                Protocol::V32,
                Violation::BlockLength { len: -1 },
            ),
            (
                [1, 131_073, 2, 0],
                Protocol::V30,
                Violation::BlockLength { len: 131_073 },
            ),
            (
                [1, big + 1, 2, 0],
                Protocol::V29,
                Violation::BlockLength { len: big + 1 },
            ),
            (
                [1, 700, 17, 0],
                Protocol::V32,
                Violation::StrongSumLength { len: 17 },
            ),
            (
                [1, 700, -1, 0],
                Protocol::V32,
                Violation::StrongSumLength { len: -1 },
            ),
            (
                [1, 700, 2, 701],
                Protocol::V32,
                Violation::BlockRemainder { len: 701 },
            ),
            (
                [1, 700, 2, -1],
                Protocol::V32,
                Violation::BlockRemainder { len: -1 },
            ),
        ];
        for (fields, protocol, violation) in rows {
            let got = SumHead::decode(&mut Cursor::new(&wire(fields)), protocol);
            assert_eq!(got, Err(violation.into()), "{fields:?}");
        }
        for (fields, protocol) in [
            ([0, 0, 16, 0], Protocol::V32),
            ([0, 700, 2, 0], Protocol::V32),
            ([1, 131_072, 16, 131_072], Protocol::V30),
            ([1, big, 16, 1], Protocol::V29),
            ([i32::MAX, 131_072, 16, 1], Protocol::V32),
        ] {
            assert!(SumHead::decode(&mut Cursor::new(&wire(fields)), protocol).is_ok());
        }
    }

    #[test]
    fn blocks_of_a_head() {
        let head = SumHead {
            count: 5,
            block_len: 700,
            strong_len: 2,
            remainder: 200,
        };
        assert_eq!(
            [0, 3, 4, 5].map(|i| head.block_len_of(i)),
            [700, 700, 200, 0]
        );
        assert_eq!((head.file_len(), head.offset_of(4)), (3000, 2800));
        assert_eq!(SumHead::default().file_len(), 0);
        let whole = SumHead {
            remainder: 0,
            ..head
        };
        assert_eq!((whole.block_len_of(4), whole.file_len()), (700, 3500));
    }

    proptest! {
        #[test]
        fn heads_round_trip(count in 0..=i32::MAX, block in 1..=131_072, strong in 0..=16, rest in 0..=131_072_i32) {
            let bytes = wire([count, block, strong, rest.min(block)]);
            for protocol in Protocol::ALL {
                let head = SumHead::decode(&mut Cursor::new(&bytes), protocol).unwrap();
                let mut out = Vec::new();
                head.put(&mut out);
                prop_assert_eq!(&out, &bytes);
                for cut in 0..bytes.len() {
                    let got = SumHead::decode(&mut Cursor::new(&bytes[..cut]), protocol);
                    prop_assert_eq!(got, Err(DecodeError::Incomplete));
                }
            }
        }

        #[test]
        fn block_sums_round_trip(weak: u32, strong in proptest::collection::vec(any::<u8>(), 0..=16)) {
            let head = SumHead { strong_len: u32::try_from(strong.len()).unwrap(), ..SumHead::default() };
            let sum = BlockSum { weak, strong: &strong };
            let mut out = Vec::new();
            sum.put(&mut out);
            prop_assert_eq!(BlockSum::decode(&mut Cursor::new(&out), &head), Ok(sum));
            out.pop();
            prop_assert_eq!(BlockSum::decode(&mut Cursor::new(&out), &head), Err(DecodeError::Incomplete));
        }
    }
}
