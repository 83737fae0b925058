//! Vector code for x86-64, chosen at run time: the crate's only unsafe code.
//!
//! It earns its place: about ten times the speed for weak sums and for MD5 of many blocks (one message at a time cannot
//! use the processor's width), twice for the search over changed data. Unsafe are only the calls of functions for a
//! processor that was found to have what they need, loads and stores of whole registers from and to arrays of their
//! size, and one gather from a table. Everything here is tested against the plain code that other processors run.

#![expect(
    unsafe_code,
    reason = "calls of code for the detected processor, register loads, a gather"
)]

use crate::Rolling;

pub(crate) mod md5x16;
mod search;
mod weak;

/// Messages that are hashed together.
pub(crate) const LANES: usize = 16;

/// Proof that the processor has at least AVX2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// Asks the processor; the answer is kept by the standard library.
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// The sums `a` and `b` of the weak sum (03-transfer 4.4).
    pub(crate) fn weak(self, block: &[u8]) -> (u32, u32) {
        // SAFETY: a value of this type exists only where the processor has AVX2.
        unsafe { weak::sums(block) }
    }

    /// The search over a [`Index`](crate::Index)'s filter; leaves less than 8 offsets at the end.
    pub(crate) fn skip(
        self,
        filter: &[u32],
        rolling: &mut Rolling,
        leaving: &[u8],
        entering: &[u8],
    ) -> (usize, bool) {
        // SAFETY: a value of this type exists only where the processor has AVX2.
        unsafe { search::skip(filter, rolling, leaving, entering) }
    }

    /// Takes chunks into the states of 16 MD5 sums.
    pub(crate) fn md5(self, state: &mut md5x16::State, chunks: md5x16::Chunks<'_>) {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor was just found to have AVX-512F.
            unsafe { md5x16::avx512::compress(state, chunks) }
        } else {
            // SAFETY: a value of this type exists only where the processor has AVX2.
            unsafe { md5x16::avx2::compress(state, chunks) }
        }
    }
}

#[cfg(test)]
mod tests;
