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
        let (a, b) = sums(block);
        let len = block.len() as u32;
        Self { a, b, len }
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
    i32::from(byte.cast_signed()).cast_unsigned()
}

#[inline]
fn sums(block: &[u8]) -> (u32, u32) {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = crate::simd::Avx2::detect() {
        return avx2.weak(block);
    }
    plain_sums(block)
}

/// The sums `a` and `b` of a block, in code that every processor can run and compilers can vectorise: within a row
/// nothing depends on the byte before.
pub(crate) fn plain_sums(block: &[u8]) -> (u32, u32) {
    let (mut a, mut b) = (0u32, 0u32);
    let (rows, rest) = block.as_chunks::<ROW>();
    for row in rows {
        // At most 128 * 128 * 128, far from overflow.
        let (mut sum, mut weighted) = (0i32, 0i32);
        for (&byte, &weight) in row.iter().zip(&WEIGHTS) {
            let byte = i16::from(byte.cast_signed());
            sum += i32::from(byte);
            weighted += i32::from(byte) * i32::from(weight);
        }
        b = b
            .wrapping_add(a.wrapping_mul(ROW as u32))
            .wrapping_add(weighted.cast_unsigned());
        a = a.wrapping_add(sum.cast_unsigned());
    }
    for &byte in rest {
        a = a.wrapping_add(signed(byte));
        b = b.wrapping_add(a);
    }
    (a, b)
}

/// Long enough to spread the cost of adding up a row's lanes, short enough for the usual block.
const ROW: usize = 128;

/// Weights of the bytes of a row: [`ROW`] for the first, 1 for the last.
const WEIGHTS: [i16; ROW] = {
    let mut weights = [0; ROW];
    let mut i = 0;
    while i < ROW {
        weights[i] = (ROW - i) as i16;
        i += 1;
    }
    weights
};

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
            let rolling = Rolling::new(&block);
            assert_eq!(plain_sums(&block), (rolling.a, rolling.b), "{len} bytes");
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
