//! MD5 of one message (RFC 1321).
//!
//! The whole-file sum cannot be computed in parts, and each of its 64 steps per chunk needs the result of the one before:
//! its speed is the length of that chain, and it is the slowest thing in a transfer that uses MD5. Compilers lengthen it
//! by adding the constants last; here they cannot, which makes a quarter of difference to common implementations.

use std::hint::black_box;

/// A message in the making.
#[derive(Clone)]
pub(crate) struct Md5 {
    state: [u32; 4],
    /// Bytes taken so far.
    len: u64,
    /// The last `len % CHUNK` of them, not yet in the state.
    pending: [u8; CHUNK],
}

impl Md5 {
    pub(crate) fn new() -> Self {
        Self {
            state: INITIAL,
            len: 0,
            pending: [0; CHUNK],
        }
    }

    /// Appends to the message.
    pub(crate) fn update(&mut self, mut data: &[u8]) {
        let filled = self.filled();
        self.len = self.len.wrapping_add(data.len() as u64);
        if filled > 0 {
            let taken = data.len().min(CHUNK - filled);
            let (now, later) = data.split_at(taken);
            self.pending[filled..filled + taken].copy_from_slice(now);
            if filled + taken < CHUNK {
                return;
            }
            compress(&mut self.state, &[self.pending]);
            data = later;
        }
        let (chunks, rest) = data.as_chunks();
        compress(&mut self.state, chunks);
        self.pending[..rest.len()].copy_from_slice(rest);
    }

    /// The digest of the message: ends it with a one bit, zeros, and its length in bits.
    pub(crate) fn finish(mut self) -> [u8; 16] {
        let filled = self.filled();
        self.pending[filled] = 0x80;
        self.pending[filled + 1..].fill(0);
        let length = CHUNK - 8;
        if filled >= length {
            compress(&mut self.state, &[self.pending]);
            self.pending.fill(0);
        }
        let bits = self.len.wrapping_mul(8);
        self.pending[length..].copy_from_slice(&bits.to_le_bytes());
        compress(&mut self.state, &[self.pending]);
        let mut digest = [0; 16];
        for (out, word) in digest.as_chunks_mut().0.iter_mut().zip(self.state) {
            *out = word.to_le_bytes();
        }
        digest
    }

    fn filled(&self) -> usize {
        (self.len % CHUNK as u64) as usize
    }
}

fn compress(state: &mut [u32; 4], chunks: &[[u8; CHUNK]]) {
    // Constants that the compiler does not know it cannot move to the end of a sum.
    let constants: &[u32; 64] = black_box(&CONSTANTS);
    let [mut a, mut b, mut c, mut d] = *state;
    for chunk in chunks {
        let mut words = [0; 16];
        for (word, bytes) in words.iter_mut().zip(chunk.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        let before = [a, b, c, d];
        macro_rules! four {
            ($mix:ident, $k:literal, [$w0:literal, $w1:literal, $w2:literal, $w3:literal],
             [$s0:literal, $s1:literal, $s2:literal, $s3:literal]) => {
                let sum = |start: u32, word: usize, step: usize| {
                    start.wrapping_add(words[word].wrapping_add(constants[$k + step]))
                };
                a = $mix(sum(a, $w0, 0), b, c, d)
                    .rotate_left($s0)
                    .wrapping_add(b);
                d = $mix(sum(d, $w1, 1), a, b, c)
                    .rotate_left($s1)
                    .wrapping_add(a);
                c = $mix(sum(c, $w2, 2), d, a, b)
                    .rotate_left($s2)
                    .wrapping_add(d);
                b = $mix(sum(b, $w3, 3), c, d, a)
                    .rotate_left($s3)
                    .wrapping_add(c);
            };
        }
        four!(f, 0, [0, 1, 2, 3], [7, 12, 17, 22]);
        four!(f, 4, [4, 5, 6, 7], [7, 12, 17, 22]);
        four!(f, 8, [8, 9, 10, 11], [7, 12, 17, 22]);
        four!(f, 12, [12, 13, 14, 15], [7, 12, 17, 22]);
        four!(g, 16, [1, 6, 11, 0], [5, 9, 14, 20]);
        four!(g, 20, [5, 10, 15, 4], [5, 9, 14, 20]);
        four!(g, 24, [9, 14, 3, 8], [5, 9, 14, 20]);
        four!(g, 28, [13, 2, 7, 12], [5, 9, 14, 20]);
        four!(h, 32, [5, 8, 11, 14], [4, 11, 16, 23]);
        four!(h, 36, [1, 4, 7, 10], [4, 11, 16, 23]);
        four!(h, 40, [13, 0, 3, 6], [4, 11, 16, 23]);
        four!(h, 44, [9, 12, 15, 2], [4, 11, 16, 23]);
        four!(i, 48, [0, 7, 14, 5], [6, 10, 15, 21]);
        four!(i, 52, [12, 3, 10, 1], [6, 10, 15, 21]);
        four!(i, 56, [8, 15, 6, 13], [6, 10, 15, 21]);
        four!(i, 60, [4, 11, 2, 9], [6, 10, 15, 21]);
        a = a.wrapping_add(before[0]);
        b = b.wrapping_add(before[1]);
        c = c.wrapping_add(before[2]);
        d = d.wrapping_add(before[3]);
    }
    *state = [a, b, c, d];
}

// The four mixing functions, added to `sum`. `x` is the value that comes last: as little as possible is done after it.

#[inline(always)]
fn f(sum: u32, x: u32, y: u32, z: u32) -> u32 {
    sum.wrapping_add(z ^ (x & (y ^ z)))
}

/// The two halves have no bit in common, so that the one without `x` can be added beforehand.
#[inline(always)]
fn g(sum: u32, x: u32, y: u32, z: u32) -> u32 {
    sum.wrapping_add(y & !z).wrapping_add(x & z)
}

#[inline(always)]
fn h(sum: u32, x: u32, y: u32, z: u32) -> u32 {
    sum.wrapping_add(x ^ (y ^ z))
}

#[inline(always)]
fn i(sum: u32, x: u32, y: u32, z: u32) -> u32 {
    sum.wrapping_add(y ^ (x | !z))
}

/// Bytes that MD5 takes at a time.
pub(crate) const CHUNK: usize = 64;

/// The state before the first chunk.
pub(crate) const INITIAL: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// The constant of each step: 2^32 times the absolute value of the sine of its number, counted from 1.
#[rustfmt::skip]
static CONSTANTS: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

#[cfg(test)]
mod tests {
    use md5::Digest as _;

    use super::*;

    #[test]
    fn equals_the_md5_crate_whatever_the_pieces() {
        let data: Vec<u8> = (0..1000u32).map(|i| ((i * i) >> 3) as u8).collect();
        for len in (0..300).chain([999, 1000]) {
            let data = &data[..len];
            let expected: [u8; 16] = md5::Md5::digest(data).into();
            for piece in [1, 3, 55, 63, 64, 65, 128, 1000] {
                let mut md5 = Md5::new();
                for piece in data.chunks(piece) {
                    md5.update(piece);
                }
                assert_eq!(md5.finish(), expected, "{len} bytes in pieces of {piece}");
            }
        }
    }
}
