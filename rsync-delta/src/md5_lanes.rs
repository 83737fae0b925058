//! MD5 sums of many blocks of the same length at once.

use crate::Digest;
use crate::md5_serial::{CHUNK, INITIAL};
use crate::simd::md5x16::State;
use crate::simd::{Avx2, LANES};

/// Block sums of `out.len()` adjacent blocks of `block_len` bytes from the start of `data`.
pub(crate) fn block_sums(
    avx2: Avx2,
    seed: Option<i32>,
    seed_first: bool,
    data: &[u8],
    block_len: usize,
    out: &mut [Digest],
) {
    let seed = seed.map(i32::to_le_bytes);
    let seed = seed.as_ref().map_or(&[][..], |seed| seed);
    let (before, after) = if seed_first {
        (seed, &[][..])
    } else {
        (&[][..], seed)
    };
    for (group, digests) in out.chunks_mut(LANES).enumerate() {
        // Lanes without a block of their own repeat the last one.
        let blocks: [&[u8]; LANES] = std::array::from_fn(|lane| {
            let block = group * LANES + lane.min(digests.len() - 1);
            &data[block * block_len..(block + 1) * block_len]
        });
        let state = sums(avx2, before, blocks, after);
        for (lane, digest) in digests.iter_mut().enumerate() {
            let mut bytes = [0; 16];
            for (out, words) in bytes.chunks_exact_mut(4).zip(&state) {
                out.copy_from_slice(&words[lane].to_le_bytes());
            }
            *digest = Digest::new(&bytes);
        }
    }
}

/// The final states of the messages `before`, block, `after`. All blocks have the same length.
fn sums(avx2: Avx2, before: &[u8], blocks: [&[u8]; LANES], after: &[u8]) -> State {
    let mut state: State = INITIAL.map(|word| [word; LANES]);
    let len = blocks[0].len();
    let message_len = before.len() + len + after.len();

    // A chunk that begins with something else than the block is pieced together; from there on the data is taken from
    // where it lies.
    let head = if before.is_empty() || len < CHUNK {
        0
    } else {
        CHUNK - before.len()
    };
    if head > 0 {
        let first = blocks.map(|block| joined([before, &block[..head], &[]]));
        avx2.md5(&mut state, first.each_ref().map(|chunks| &chunks[..1]));
    }
    let whole = blocks.map(|block| block[head..].as_chunks::<CHUNK>().0);
    avx2.md5(&mut state, whole);

    // What is left, a one bit, zeros, and the length in bits at the end of one or two chunks.
    let done = head + CHUNK * whole[0].len();
    let before = if head > 0 { &[] } else { before };
    let left = before.len() + (len - done) + after.len();
    let count = (left + 1 + 8).div_ceil(CHUNK);
    let bits = (message_len as u64).wrapping_mul(8).to_le_bytes();
    let last = blocks.map(|block| {
        let mut chunks = joined([before, &block[done..], after]);
        let flat = chunks.as_flattened_mut();
        flat[left] = 0x80;
        flat[CHUNK * count - bits.len()..CHUNK * count].copy_from_slice(&bits);
        chunks
    });
    avx2.md5(&mut state, last.each_ref().map(|chunks| &chunks[..count]));
    state
}

/// The pieces in a row, then zeros.
fn joined(pieces: [&[u8]; 3]) -> [[u8; CHUNK]; 2] {
    let mut chunks = [[0; CHUNK]; 2];
    let mut free = chunks.as_flattened_mut();
    for piece in pieces {
        let (at, behind) = free.split_at_mut(piece.len());
        at.copy_from_slice(piece);
        free = behind;
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Checksum;

    #[test]
    fn many_blocks_sum_like_single_ones() {
        let Some(avx2) = Avx2::detect() else { return };
        let data: Vec<u8> = (0..35 * 1000u32).map(|i| ((i * i) >> 7) as u8).collect();
        for block_len in (0..140).chain([700, 704, 1000]) {
            for (count, seed_first, seed) in
                [(35, true, 0x1234_5678), (2, false, -5), (16, true, 0)]
            {
                let mut out = vec![Digest::default(); count];
                let before = (seed != 0).then_some(seed);
                block_sums(avx2, before, seed_first, &data, block_len, &mut out);
                for (i, digest) in out.iter().enumerate() {
                    let block = &data[i * block_len..(i + 1) * block_len];
                    let expected = Checksum::Md5 { seed_first }.block_sum(seed, block);
                    assert_eq!(
                        *digest, expected,
                        "block {i} of {block_len} bytes, seed {seed}"
                    );
                }
            }
        }
    }
}
