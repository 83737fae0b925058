//! The weak sum of a block, 32 bytes a step.

use std::arch::x86_64::*;

const ROW: usize = 32;

/// The sums `a` and `b` of a block, see [`Rolling`](crate::Rolling).
#[target_feature(enable = "avx2")]
pub(super) fn sums(block: &[u8]) -> (u32, u32) {
    let ones_8 = _mm256_set1_epi8(1);
    let ones_16 = _mm256_set1_epi16(1);
    let weights: [i8; ROW] = std::array::from_fn(|i| (ROW - i) as i8);
    let weights = load(&weights.map(i8::cast_unsigned));

    let mut plain = _mm256_setzero_si256();
    // The sum of `plain` before each row: how often a row counts with the full weight of a row after it.
    let mut before = _mm256_setzero_si256();
    let mut weighted = _mm256_setzero_si256();
    let (rows, rest) = block.as_chunks::<ROW>();
    for row in rows {
        let row = load(row);
        // Bytes to pairs (at most 63 * 128 in 16 bits), pairs to words.
        let sum = _mm256_maddubs_epi16(ones_8, row);
        let weighted_sum = _mm256_maddubs_epi16(weights, row);
        before = _mm256_add_epi32(before, plain);
        plain = _mm256_add_epi32(plain, _mm256_madd_epi16(sum, ones_16));
        weighted = _mm256_add_epi32(weighted, _mm256_madd_epi16(weighted_sum, ones_16));
    }
    let weighted = _mm256_add_epi32(weighted, _mm256_slli_epi32::<5>(before));

    let (mut a, mut b) = (total(plain), total(weighted));
    for &byte in rest {
        a = a.wrapping_add(i32::from(byte.cast_signed()).cast_unsigned());
        b = b.wrapping_add(a);
    }
    (a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(row: &[u8; ROW]) -> __m256i {
    // SAFETY: the source has the 32 bytes that are read; the load needs no alignment.
    unsafe { _mm256_loadu_si256(row.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn total(words: __m256i) -> u32 {
    // SAFETY: both types are 32 plain bytes, of which every pattern is valid.
    let words: [u32; 8] = unsafe { std::mem::transmute(words) };
    words.into_iter().fold(0, u32::wrapping_add)
}
