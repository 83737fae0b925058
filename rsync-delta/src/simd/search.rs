//! The search for weak sums that may be those of a block, 8 offsets a step.

use std::arch::x86_64::*;

use crate::Rolling;
use crate::index::{BIT_SHIFT, HASH_FACTOR};

/// Offsets looked at together.
const STEP: usize = 8;

/// Rolls the window on over whole steps of `leaving` and `entering`, until its sum has its bit set in `filter` or less
/// than a step is left. Returns the number of offsets moved on and whether the bit is set there. See
/// [`Index::skip`](crate::Index).
///
/// # Panics
///
/// If the length of `filter` is not a power of two.
#[target_feature(enable = "avx2")]
pub(super) fn skip(
    filter: &[u32],
    rolling: &mut Rolling,
    leaving: &[u8],
    entering: &[u8],
) -> (usize, bool) {
    assert!(filter.len().is_power_of_two() && filter.len() <= 1 << 30);
    let word_shift = _mm_cvtsi32_si128(32 - filter.len().trailing_zeros().cast_signed());
    let len = splat(rolling.len);
    let factor = splat(HASH_FACTOR);
    let low_bits = splat(31);
    let last_lane = splat(STEP as u32 - 1);
    // Sums before the step, in every lane.
    let (mut a_before, mut b_before) = (splat(rolling.a), splat(rolling.b));

    let (leaving, _) = leaving.as_chunks::<STEP>();
    let (entering, _) = entering.as_chunks::<STEP>();
    for (step, (leaving, entering)) in leaving.iter().zip(entering).enumerate() {
        let leaving = signed(leaving);
        let a_steps = _mm256_sub_epi32(signed(entering), leaving);
        let a = _mm256_add_epi32(a_before, running_sum(a_steps));
        let b_steps = _mm256_sub_epi32(a, _mm256_mullo_epi32(leaving, len));
        let b = _mm256_add_epi32(b_before, running_sum(b_steps));

        let weak = _mm256_blend_epi16::<0b1010_1010>(a, _mm256_slli_epi32::<16>(b));
        let hash = _mm256_mullo_epi32(weak, factor);
        let word = _mm256_srl_epi32(hash, word_shift);
        // SAFETY: with 2^k words the shift leaves k bits, so every index is below the filter's length.
        let words = unsafe { _mm256_i32gather_epi32::<4>(filter.as_ptr().cast(), word) };
        let bit = _mm256_and_si256(_mm256_srli_epi32::<BIT_SHIFT>(hash), low_bits);
        let hits = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_sllv_epi32(words, bit)));
        if hits != 0 {
            let lane = hits.trailing_zeros() as usize;
            rolling.a = lanes(a)[lane];
            rolling.b = lanes(b)[lane];
            return (step * STEP + lane + 1, true);
        }
        a_before = _mm256_permutevar8x32_epi32(a, last_lane);
        b_before = _mm256_permutevar8x32_epi32(b, last_lane);
    }
    rolling.a = lanes(a_before)[0];
    rolling.b = lanes(b_before)[0];
    (leaving.len().min(entering.len()) * STEP, false)
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat(word: u32) -> __m256i {
    _mm256_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx2")]
fn signed(bytes: &[u8; STEP]) -> __m256i {
    _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(*bytes)))
}

/// Each lane with all lanes below it added.
#[inline]
#[target_feature(enable = "avx2")]
fn running_sum(x: __m256i) -> __m256i {
    let x = _mm256_add_epi32(x, _mm256_slli_si256::<4>(x));
    let x = _mm256_add_epi32(x, _mm256_slli_si256::<8>(x));
    // So far within each half: the sum of the low half is missing in the high one.
    let low_half = _mm256_permute2x128_si256::<0x08>(x, x);
    _mm256_add_epi32(x, _mm256_shuffle_epi32::<0b11_11_11_11>(low_half))
}

#[inline]
#[target_feature(enable = "avx2")]
fn lanes(words: __m256i) -> [u32; STEP] {
    // SAFETY: both types are 32 plain bytes, of which every pattern is valid.
    unsafe { std::mem::transmute(words) }
}
