//! The weak, rolling checksum (03-transfer 4.4).

/// The weak sum of a block.
pub fn weak_sum(block: &[u8]) -> u32 {
    Rolling::new(block).value()
}

/// The weak sum of a window of fixed length that can be moved on byte by byte.
///
/// With the bytes `x` taken as signed and 32-bit wrapping arithmetic, `a` is the sum of all `x[i]` and `b` the sum of
/// all `(len - i) * x[i]`. The weak sum is made of the low halves of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolling {
    pub(crate) a: u32,
    pub(crate) b: u32,
    pub(crate) len: u32,
}

impl Rolling {
    /// The sum of a whole block.
    pub fn new(block: &[u8]) -> Self {
        let mut lanes = Lanes::default();
        let mut rows = block.chunks_exact(LANES);
        for row in &mut rows {
            lanes.add(row);
        }
        let mut sum = lanes.total();
        for &byte in rows.remainder() {
            sum.a = sum.a.wrapping_add(signed(byte));
            sum.b = sum.b.wrapping_add(sum.a);
        }
        sum.len = block.len() as u32;
        sum
    }

    /// The weak sum as sent on the wire.
    #[inline]
    pub fn value(&self) -> u32 {
        (self.a & 0xffff) | (self.b << 16)
    }

    /// Moves the window on by one byte: `leaving` is its first byte, `entering` the byte after its last.
    #[inline]
    pub fn roll(&mut self, leaving: u8, entering: u8) {
        let leaving = signed(leaving);
        self.a = self.a.wrapping_add(signed(entering).wrapping_sub(leaving));
        self.b = self
            .b
            .wrapping_add(self.a.wrapping_sub(self.len.wrapping_mul(leaving)));
    }
}

/// A byte as the sum takes it: signed, extended to 32 bits.
#[inline]
fn signed(byte: u8) -> u32 {
    i32::from(byte as i8) as u32
}

/// Columns of [`Lanes`]. Any number gives the same sum; this one lets the compiler fill its vector registers.
const LANES: usize = 32;

/// The block as a matrix of `LANES` columns, summed column by column so that the loop over a row has no dependency
/// between neighbours. For row `k` of `n` and column `l` the weight `len - i` is `(n - k) * LANES - l`.
struct Lanes {
    /// Sum of each column.
    sum: [u32; LANES],
    /// Sum over all rows of the value of `sum` after that row, which is the sum of `(n - k) * x`.
    weighted: [u32; LANES],
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            sum: [0; LANES],
            weighted: [0; LANES],
        }
    }
}

impl Lanes {
    #[inline(always)]
    fn add(&mut self, row: &[u8]) {
        for ((sum, weighted), &byte) in self.sum.iter_mut().zip(&mut self.weighted).zip(row) {
            *sum = sum.wrapping_add(signed(byte));
            *weighted = weighted.wrapping_add(*sum);
        }
    }

    fn total(&self) -> Rolling {
        let mut a = 0u32;
        let mut b = 0u32;
        for (l, (&sum, &weighted)) in self.sum.iter().zip(&self.weighted).enumerate() {
            a = a.wrapping_add(sum);
            b = b
                .wrapping_add(weighted.wrapping_mul(LANES as u32))
                .wrapping_sub(sum.wrapping_mul(l as u32));
        }
        Rolling { a, b, len: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_definition(block: &[u8]) -> u32 {
        let (mut a, mut b) = (0i64, 0i64);
        for (i, &byte) in block.iter().enumerate() {
            a += i64::from(byte as i8);
            b += (block.len() - i) as i64 * i64::from(byte as i8);
        }
        (a as u32 & 0xffff) | ((b as u32) << 16)
    }

    fn bytes(len: usize) -> Vec<u8> {
        (0..len as u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect()
    }

    #[test]
    fn known_values() {
        for (block, sum) in [
            (&[][..], 0),
            (b"abc", 0x024a_0126),
            (&[0xff; 700], 0x419a_fd44),
        ] {
            assert_eq!(weak_sum(block), sum);
        }
    }

    #[test]
    fn whole_blocks_follow_the_definition() {
        for len in (0..300).chain([700, 4096, 131_072]) {
            let block = bytes(len);
            assert_eq!(weak_sum(&block), by_definition(&block), "{len} bytes");
            let high = vec![0x80; len];
            assert_eq!(weak_sum(&high), by_definition(&high), "{len} bytes of 0x80");
        }
    }

    #[test]
    fn rolling_equals_summing_anew() {
        let data = bytes(1000);
        for len in [1, 2, 31, 700] {
            let mut rolling = Rolling::new(&data[..len]);
            for start in 1..=data.len() - len {
                rolling.roll(data[start - 1], data[start + len - 1]);
                assert_eq!(rolling, Rolling::new(&data[start..start + len]));
            }
        }
    }
}
