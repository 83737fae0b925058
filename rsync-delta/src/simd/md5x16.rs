//! MD5 of sixteen messages of the same length at once (RFC 1321, one message per 32-bit lane).

use super::LANES;
use crate::md5_serial::CHUNK;

/// The four state words, each of all lanes.
pub(crate) type State = [[u32; LANES]; 4];

/// One message per lane, in chunks of 64 bytes. Lane 0 says how many; the others must have as many.
pub(crate) type Chunks<'a> = [&'a [[u8; CHUNK]]; LANES];

/// The function `compress` over the operations of the module that it is put in: `Vector`, `splat`, `from_lanes`,
/// `to_lanes`, `transposed`, `add`, `rotate_left`, and the round functions `f`, `g`, `h`, `i`.
macro_rules! compress {
    ($feature:literal) => {
        /// Takes the chunks into the state.
        #[target_feature(enable = $feature)]
        pub(in super::super) fn compress(state: &mut State, chunks: Chunks<'_>) {
            let [mut a, mut b, mut c, mut d] = state.each_ref().map(|words| from_lanes(words));
            for chunk in 0..chunks[0].len() {
                let w = transposed(&chunks, chunk);
                let before = [a, b, c, d];
                macro_rules! round {
                    ($f:ident $a:ident $b:ident $c:ident $d:ident, $w:expr, $k:literal, $left:literal, $right:literal) => {
                        let sum = add(add($a, add($w, splat($k))), $f($b, $c, $d));
                        $a = add($b, rotate_left::<$left, $right>(sum));
                    };
                }
                round!(f a b c d, w[ 0], 0xd76a_a478,  7, 25);
                round!(f d a b c, w[ 1], 0xe8c7_b756, 12, 20);
                round!(f c d a b, w[ 2], 0x2420_70db, 17, 15);
                round!(f b c d a, w[ 3], 0xc1bd_ceee, 22, 10);
                round!(f a b c d, w[ 4], 0xf57c_0faf,  7, 25);
                round!(f d a b c, w[ 5], 0x4787_c62a, 12, 20);
                round!(f c d a b, w[ 6], 0xa830_4613, 17, 15);
                round!(f b c d a, w[ 7], 0xfd46_9501, 22, 10);
                round!(f a b c d, w[ 8], 0x6980_98d8,  7, 25);
                round!(f d a b c, w[ 9], 0x8b44_f7af, 12, 20);
                round!(f c d a b, w[10], 0xffff_5bb1, 17, 15);
                round!(f b c d a, w[11], 0x895c_d7be, 22, 10);
                round!(f a b c d, w[12], 0x6b90_1122,  7, 25);
                round!(f d a b c, w[13], 0xfd98_7193, 12, 20);
                round!(f c d a b, w[14], 0xa679_438e, 17, 15);
                round!(f b c d a, w[15], 0x49b4_0821, 22, 10);
                round!(g a b c d, w[ 1], 0xf61e_2562,  5, 27);
                round!(g d a b c, w[ 6], 0xc040_b340,  9, 23);
                round!(g c d a b, w[11], 0x265e_5a51, 14, 18);
                round!(g b c d a, w[ 0], 0xe9b6_c7aa, 20, 12);
                round!(g a b c d, w[ 5], 0xd62f_105d,  5, 27);
                round!(g d a b c, w[10], 0x0244_1453,  9, 23);
                round!(g c d a b, w[15], 0xd8a1_e681, 14, 18);
                round!(g b c d a, w[ 4], 0xe7d3_fbc8, 20, 12);
                round!(g a b c d, w[ 9], 0x21e1_cde6,  5, 27);
                round!(g d a b c, w[14], 0xc337_07d6,  9, 23);
                round!(g c d a b, w[ 3], 0xf4d5_0d87, 14, 18);
                round!(g b c d a, w[ 8], 0x455a_14ed, 20, 12);
                round!(g a b c d, w[13], 0xa9e3_e905,  5, 27);
                round!(g d a b c, w[ 2], 0xfcef_a3f8,  9, 23);
                round!(g c d a b, w[ 7], 0x676f_02d9, 14, 18);
                round!(g b c d a, w[12], 0x8d2a_4c8a, 20, 12);
                round!(h a b c d, w[ 5], 0xfffa_3942,  4, 28);
                round!(h d a b c, w[ 8], 0x8771_f681, 11, 21);
                round!(h c d a b, w[11], 0x6d9d_6122, 16, 16);
                round!(h b c d a, w[14], 0xfde5_380c, 23,  9);
                round!(h a b c d, w[ 1], 0xa4be_ea44,  4, 28);
                round!(h d a b c, w[ 4], 0x4bde_cfa9, 11, 21);
                round!(h c d a b, w[ 7], 0xf6bb_4b60, 16, 16);
                round!(h b c d a, w[10], 0xbebf_bc70, 23,  9);
                round!(h a b c d, w[13], 0x289b_7ec6,  4, 28);
                round!(h d a b c, w[ 0], 0xeaa1_27fa, 11, 21);
                round!(h c d a b, w[ 3], 0xd4ef_3085, 16, 16);
                round!(h b c d a, w[ 6], 0x0488_1d05, 23,  9);
                round!(h a b c d, w[ 9], 0xd9d4_d039,  4, 28);
                round!(h d a b c, w[12], 0xe6db_99e5, 11, 21);
                round!(h c d a b, w[15], 0x1fa2_7cf8, 16, 16);
                round!(h b c d a, w[ 2], 0xc4ac_5665, 23,  9);
                round!(i a b c d, w[ 0], 0xf429_2244,  6, 26);
                round!(i d a b c, w[ 7], 0x432a_ff97, 10, 22);
                round!(i c d a b, w[14], 0xab94_23a7, 15, 17);
                round!(i b c d a, w[ 5], 0xfc93_a039, 21, 11);
                round!(i a b c d, w[12], 0x655b_59c3,  6, 26);
                round!(i d a b c, w[ 3], 0x8f0c_cc92, 10, 22);
                round!(i c d a b, w[10], 0xffef_f47d, 15, 17);
                round!(i b c d a, w[ 1], 0x8584_5dd1, 21, 11);
                round!(i a b c d, w[ 8], 0x6fa8_7e4f,  6, 26);
                round!(i d a b c, w[15], 0xfe2c_e6e0, 10, 22);
                round!(i c d a b, w[ 6], 0xa301_4314, 15, 17);
                round!(i b c d a, w[13], 0x4e08_11a1, 21, 11);
                round!(i a b c d, w[ 4], 0xf753_7e82,  6, 26);
                round!(i d a b c, w[11], 0xbd3a_f235, 10, 22);
                round!(i c d a b, w[ 2], 0x2ad7_d2bb, 15, 17);
                round!(i b c d a, w[ 9], 0xeb86_d391, 21, 11);
                a = add(a, before[0]);
                b = add(b, before[1]);
                c = add(c, before[2]);
                d = add(d, before[3]);
            }
            *state = [a, b, c, d].map(|words| to_lanes(words));
        }
    };
}

/// Two registers of 8 lanes: the rounds of one depend on each other, those of the two do not.
pub(super) mod avx2 {
    use std::arch::x86_64::*;

    use super::{Chunks, LANES, State};

    type Vector = [__m256i; 2];

    #[inline]
    #[target_feature(enable = "avx2")]
    fn splat(word: u32) -> Vector {
        [_mm256_set1_epi32(word.cast_signed()); 2]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn from_lanes(words: &[u32; LANES]) -> Vector {
        let (halves, _) = words.as_chunks::<8>();
        [load(&halves[0]), load(&halves[1])]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn to_lanes(vector: Vector) -> [u32; LANES] {
        // SAFETY: both types are 64 plain bytes, of which every pattern is valid.
        unsafe { std::mem::transmute(vector) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load<T: Copy, const N: usize>(from: &[T; N]) -> __m256i {
        const { assert!(size_of::<[T; N]>() == size_of::<__m256i>()) };
        // SAFETY: the source has as many bytes as are read, as just asserted; the load needs no alignment.
        unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
    }

    /// Word `i` of a chunk, of all lanes, in element `i`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn transposed(chunks: &Chunks<'_>, chunk: usize) -> [Vector; 16] {
        let mut words = [splat(0); 16];
        for half in 0..2 {
            for lanes in 0..2 {
                let rows: [__m256i; 8] = std::array::from_fn(|lane| {
                    let (halves, _) = chunks[8 * lanes + lane][chunk].as_chunks::<32>();
                    load(&halves[half])
                });
                for (word, column) in square(rows).into_iter().enumerate() {
                    words[8 * half + word][lanes] = column;
                }
            }
        }
        words
    }

    /// Transposes 8 rows of 8 words: by words, by pairs of words, by halves of registers.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn square(r: [__m256i; 8]) -> [__m256i; 8] {
        let low = |a, b| _mm256_unpacklo_epi32(r[a], r[b]);
        let high = |a, b| _mm256_unpackhi_epi32(r[a], r[b]);
        let words = [
            [low(0, 1), low(2, 3), low(4, 5), low(6, 7)],
            [high(0, 1), high(2, 3), high(4, 5), high(6, 7)],
        ];
        let pairs = |rows: usize| {
            let [l, h] = [words[0], words[1]].map(|words| (words[2 * rows], words[2 * rows + 1]));
            [
                _mm256_unpacklo_epi64(l.0, l.1),
                _mm256_unpackhi_epi64(l.0, l.1),
                _mm256_unpacklo_epi64(h.0, h.1),
                _mm256_unpackhi_epi64(h.0, h.1),
            ]
        };
        let (upper, lower) = (pairs(0), pairs(1));
        std::array::from_fn(|column| {
            let (u, l) = (upper[column % 4], lower[column % 4]);
            if column < 4 {
                _mm256_permute2x128_si256::<0x20>(u, l)
            } else {
                _mm256_permute2x128_si256::<0x31>(u, l)
            }
        })
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn add(x: Vector, y: Vector) -> Vector {
        [_mm256_add_epi32(x[0], y[0]), _mm256_add_epi32(x[1], y[1])]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn rotate_left<const LEFT: i32, const RIGHT: i32>(x: Vector) -> Vector {
        let rotated =
            |x| _mm256_or_si256(_mm256_slli_epi32::<LEFT>(x), _mm256_srli_epi32::<RIGHT>(x));
        [rotated(x[0]), rotated(x[1])]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn f(x: Vector, y: Vector, z: Vector) -> Vector {
        let chosen = |x, y, z| _mm256_xor_si256(z, _mm256_and_si256(x, _mm256_xor_si256(y, z)));
        [chosen(x[0], y[0], z[0]), chosen(x[1], y[1], z[1])]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn g(x: Vector, y: Vector, z: Vector) -> Vector {
        f(z, x, y)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn h(x: Vector, y: Vector, z: Vector) -> Vector {
        let parity = |x, y, z| _mm256_xor_si256(x, _mm256_xor_si256(y, z));
        [parity(x[0], y[0], z[0]), parity(x[1], y[1], z[1])]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn i(x: Vector, y: Vector, z: Vector) -> Vector {
        let ones = _mm256_set1_epi32(-1);
        let mixed = |x, y, z| _mm256_xor_si256(y, _mm256_or_si256(x, _mm256_xor_si256(z, ones)));
        [mixed(x[0], y[0], z[0]), mixed(x[1], y[1], z[1])]
    }

    compress!("avx2");
}

/// One register of 16 lanes.
pub(super) mod avx512 {
    use std::arch::x86_64::*;

    use super::{Chunks, LANES, State};

    type Vector = __m512i;

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn splat(word: u32) -> Vector {
        _mm512_set1_epi32(word.cast_signed())
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn from_lanes(words: &[u32; LANES]) -> Vector {
        load(words)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn to_lanes(vector: Vector) -> [u32; LANES] {
        // SAFETY: both types are 64 plain bytes, of which every pattern is valid.
        unsafe { std::mem::transmute(vector) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load<T: Copy, const N: usize>(from: &[T; N]) -> __m512i {
        const { assert!(size_of::<[T; N]>() == size_of::<__m512i>()) };
        // SAFETY: the source has as many bytes as are read, as just asserted; the load needs no alignment.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    /// Word `i` of a chunk, of all lanes, in element `i`: 16 rows of 16 words transposed by words, by pairs of words,
    /// then twice by quarters of registers.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn transposed(chunks: &Chunks<'_>, chunk: usize) -> [Vector; 16] {
        // `fours[r][c]`: of rows 4r to 4r + 3 the words c, c + 4, c + 8 and c + 12, a quarter register each.
        let fours: [[Vector; 4]; 4] = std::array::from_fn(|group| {
            let row = |i: usize| load(&chunks[4 * group + i][chunk]);
            let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
            let (l0, h0) = (_mm512_unpacklo_epi32(r0, r1), _mm512_unpackhi_epi32(r0, r1));
            let (l1, h1) = (_mm512_unpacklo_epi32(r2, r3), _mm512_unpackhi_epi32(r2, r3));
            [
                _mm512_unpacklo_epi64(l0, l1),
                _mm512_unpackhi_epi64(l0, l1),
                _mm512_unpacklo_epi64(h0, h1),
                _mm512_unpackhi_epi64(h0, h1),
            ]
        });
        let mut words = [splat(0); 16];
        for column in 0..4 {
            let rows: [Vector; 4] = std::array::from_fn(|group| fours[group][column]);
            // Quarters 0 and 2, then 1 and 3, of two registers.
            let even = |x, y| _mm512_shuffle_i32x4::<0b10_00_10_00>(x, y);
            let odd = |x, y| _mm512_shuffle_i32x4::<0b11_01_11_01>(x, y);
            let (e0, e1) = (even(rows[0], rows[1]), even(rows[2], rows[3]));
            let (o0, o1) = (odd(rows[0], rows[1]), odd(rows[2], rows[3]));
            words[column] = even(e0, e1);
            words[column + 4] = even(o0, o1);
            words[column + 8] = odd(e0, e1);
            words[column + 12] = odd(o0, o1);
        }
        words
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn add(x: Vector, y: Vector) -> Vector {
        _mm512_add_epi32(x, y)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn rotate_left<const LEFT: i32, const RIGHT: i32>(x: Vector) -> Vector {
        _mm512_rol_epi32::<LEFT>(x)
    }

    // The constants are truth tables: bit 4x + 2y + z.

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn f(x: Vector, y: Vector, z: Vector) -> Vector {
        _mm512_ternarylogic_epi32::<0b1100_1010>(x, y, z)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn g(x: Vector, y: Vector, z: Vector) -> Vector {
        _mm512_ternarylogic_epi32::<0b1110_0100>(x, y, z)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn h(x: Vector, y: Vector, z: Vector) -> Vector {
        _mm512_ternarylogic_epi32::<0b1001_0110>(x, y, z)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn i(x: Vector, y: Vector, z: Vector) -> Vector {
        _mm512_ternarylogic_epi32::<0b0011_1001>(x, y, z)
    }

    compress!("avx512f");
}
