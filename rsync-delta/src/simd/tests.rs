use super::*;
use crate::md5_serial::INITIAL;
use crate::rolling;

fn bytes(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

#[test]
fn weak_sums_equal_the_plain_ones() {
    let Some(avx2) = Avx2::detect() else { return };
    for len in (0..200).chain([700, 4096, 131_072]) {
        for block in [bytes(len), vec![0x80; len], vec![0x7f; len]] {
            assert_eq!(
                avx2.weak(&block),
                rolling::plain_sums(&block),
                "{len} bytes"
            );
        }
    }
}

/// One chunk and more, in both widths, against the `md-5` crate's block function.
#[test]
fn md5_states_equal_the_plain_ones() {
    type Compress = unsafe fn(&mut md5x16::State, md5x16::Chunks<'_>);
    let kernels: [(bool, Compress); 2] = [
        (is_x86_feature_detected!("avx2"), md5x16::avx2::compress),
        (
            is_x86_feature_detected!("avx512f"),
            md5x16::avx512::compress,
        ),
    ];
    for (_, compress) in kernels.into_iter().filter(|(present, _)| *present) {
        for count in [0, 1, 2, 11] {
            let data = bytes(count * 64 * LANES);
            let (all, _) = data.as_chunks::<64>();
            let chunks: md5x16::Chunks<'_> =
                std::array::from_fn(|lane| &all[lane * count..][..count]);
            let mut state: md5x16::State = INITIAL.map(|word| [word; LANES]);
            // SAFETY: the processor was found to have what this function needs.
            unsafe { compress(&mut state, chunks) };
            for (lane, chunks) in chunks.into_iter().enumerate() {
                let mut plain = INITIAL;
                md5::block_api::compress(&mut plain, chunks);
                assert_eq!(
                    state.map(|words| words[lane]),
                    plain,
                    "{count} chunks, lane {lane}"
                );
            }
        }
    }
}
