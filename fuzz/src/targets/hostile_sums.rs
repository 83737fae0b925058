//! A match search with sums that a peer made up, and block numbers that it made up (03-transfer 4.1, 5).

use rsync_delta::{BlockRuns, BlockSums, Layout};
use rsync_proto::sums::{BlockSum, SumHead};
use rsync_proto::wire::Cursor;

use super::delta::{checksum, search};
use crate::header::Header;
use crate::recording;

/// Header: checksum, protocol. Then a sum head, its sums, and a file.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let checksum = checksum(header.byte());
    let protocol = header.protocol();
    let mut cursor = Cursor::new(header.rest());
    let Ok(head) = SumHead::decode(&mut cursor, protocol) else {
        return;
    };
    let layout = Layout::from_head(head.count, head.block_len, head.strong_len, head.remainder)
        .expect("a head that was checked");
    assert_eq!(layout.file_len(), head.file_len());
    let mut sums = BlockSums::new(checksum, 7);
    sums.reset(layout);
    for _ in 0..head.count {
        let Ok(BlockSum { weak, strong }) = BlockSum::decode(&mut cursor, &head) else {
            break;
        };
        sums.push(weak, strong).expect("memory");
    }
    runs(layout, cursor.rest());
    if sums.len() < head.count as usize {
        return;
    }
    let file = cursor.rest();
    let delta = search(&sums, file, file.len().max(1));
    assert_eq!(delta.len(layout), file.len() as u64);
    assert_eq!(search(&sums, file, 1 + file.len() / 3), delta);
}

/// Blocks that exist give ranges within the basis, in order; others are refused.
fn runs(layout: Layout, numbers: &[u8]) {
    let mut runs = BlockRuns::new(layout);
    let mut wanted = 0;
    let mut given = 0;
    for number in numbers.as_chunks::<4>().0 {
        let block = u32::from_le_bytes(*number);
        let exists = layout.block(block);
        assert_eq!(exists.is_some(), block < layout.count());
        wanted += exists.map_or(0, |(_, len)| u64::from(len));
        match runs.push(block) {
            Ok(run) => given += run.map_or(0, |run| run.len),
            Err(_) => assert_eq!(exists, None),
        }
    }
    given += runs.take().map_or(0, |run| run.len);
    assert_eq!(given, wanted);
}

/// The requests of the recordings, from the first one with sums on, and heads at the caps.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = recording::seeds(|recording| {
        let stream = &recording.generator[..];
        // Blocks of 700 bytes are what all small files have.
        let head = stream.windows(8).position(|bytes| bytes[1..4] == [0; 3] && bytes[4..] == 700_u32.to_le_bytes());
        ([0, 2], head.map_or(&[][..], |at| &stream[at..]))
    });
    let head = |fields: [u32; 4]| fields.map(u32::to_le_bytes).concat();
    for fields in [
        [0, 0, 0, 0],
        [1, 1, 0, 0],
        [3, 4, 2, 1],
        [2, 1 << 17, 16, 1 << 17],
        [2, 1 << 29, 2, 5],
        [0x7fff_ffff, 1, 0, 0],
    ] {
        for protocol in [0, 3] {
            let body = [head(fields), vec![0; 64], b"abcdabcdabcd".to_vec()].concat();
            seeds.push([&[protocol, protocol][..], &body].concat());
        }
    }
    // Three blocks of four bytes with the sums of all zeros and a strong sum that fits everything.
    let zeros = [head([3, 4, 0, 2]), vec![0; 12], vec![0; 40]].concat();
    seeds.push([&[1, 3][..], &zeros].concat());
    seeds
}
