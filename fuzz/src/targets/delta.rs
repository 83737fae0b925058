//! The match search: patch(match(sums(basis), new)) is new (03-transfer 4, 5).

use std::convert::Infallible;
use std::num::NonZeroU32;

use rsync_delta::{
    BlockRule, BlockRuns, BlockSums, Checksum, Index, Layout, MAX_BLOCK_LEN, MAX_LITERAL, Matcher, OpSink, Pass, Run,
    Window,
};

use crate::header::Header;
use crate::vectors;

/// Header: checksum, block length, how the new file is read, where it begins. Then the basis and the new file.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let checksum = checksum(header.byte());
    let rule = match NonZeroU32::new(header.byte().into()) {
        Some(len) => BlockRule::Fixed(len),
        None => BlockRule::Derived { max: MAX_BLOCK_LEN },
    };
    let read = 1 + usize::from(header.word());
    let split = usize::from(header.word());
    let files = header.rest();
    let (basis, new) = files.split_at(split.min(files.len()));
    let pass = if read.is_multiple_of(2) { Pass::Redo } else { Pass::First };
    let layout = Layout::plan(basis.len() as u64, rule, checksum.digest_len(), pass).expect("a short file");
    assert_eq!(layout.file_len(), basis.len() as u64);
    let mut sums = BlockSums::new(checksum, 7);
    sums.reset(layout);
    sums.push_blocks(basis);
    assert_eq!(sums.len(), layout.count() as usize);

    let delta = search(&sums, new, new.len().max(1));
    // Cut short, the sums can be those of other data too: only in full they prove anything.
    if pass == Pass::Redo && checksum != Checksum::None {
        assert_eq!(delta.apply(basis, layout), new);
    }
    assert_eq!(delta.len(layout), new.len() as u64);
    assert_eq!(search(&sums, new, read), delta, "read {read} bytes at a time");
    if basis == new && checksum != Checksum::None {
        assert_eq!(delta.literal, 0, "a file against itself");
    }
}

/// One of the checksums.
pub(super) fn checksum(number: u8) -> Checksum {
    let all = [
        Checksum::Xxh128,
        Checksum::Md5 { seed_first: true },
        Checksum::Md5 { seed_first: false },
        Checksum::OldMd4,
        Checksum::Md4,
        Checksum::Sha1,
        Checksum::Xxh64,
        Checksum::Xxh3,
        Checksum::None,
    ];
    all[usize::from(number) % all.len()]
}

/// What a search found: literals joined, and matches.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Delta {
    ops: Vec<Op>,
    literal: u64,
}

#[derive(Debug, PartialEq)]
enum Op {
    Literal(Vec<u8>),
    Copy(u32),
}

impl OpSink for Delta {
    type Error = Infallible;

    fn literal(&mut self, data: &[u8]) -> Result<(), Infallible> {
        assert!((1..=MAX_LITERAL).contains(&data.len()));
        self.literal += data.len() as u64;
        match self.ops.last_mut() {
            Some(Op::Literal(literal)) => literal.extend_from_slice(data),
            _ => self.ops.push(Op::Literal(data.to_vec())),
        }
        Ok(())
    }

    fn copy(&mut self, block: u32) -> Result<(), Infallible> {
        self.ops.push(Op::Copy(block));
        Ok(())
    }
}

impl Delta {
    /// Bytes of the file that it makes.
    pub(super) fn len(&self, layout: Layout) -> u64 {
        let matched: u64 = self.blocks().map(|block| u64::from(layout.block(block).expect("a block").1)).sum();
        self.literal + matched
    }

    fn blocks(&self) -> impl Iterator<Item = u32> {
        self.ops.iter().filter_map(|op| match op {
            Op::Literal(_) => None,
            Op::Copy(block) => Some(*block),
        })
    }

    fn apply(&self, basis: &[u8], layout: Layout) -> Vec<u8> {
        let (mut out, mut runs) = (Vec::new(), BlockRuns::new(layout));
        let copy = |out: &mut Vec<u8>, run: Option<Run>| {
            if let Some(Run { offset, len }) = run {
                let from = usize::try_from(offset).expect("a short file");
                out.extend_from_slice(&basis[from..][..usize::try_from(len).expect("a short file")]);
            }
        };
        for op in &self.ops {
            match op {
                Op::Literal(data) => {
                    copy(&mut out, runs.take());
                    out.extend_from_slice(data);
                }
                Op::Copy(block) => copy(&mut out, runs.push(*block).expect("a block")),
            }
        }
        copy(&mut out, runs.take());
        out
    }
}

/// Searches `new`, fed in pieces of `read` bytes.
pub(super) fn search(sums: &BlockSums, new: &[u8], read: usize) -> Delta {
    let mut index = Index::new();
    index.build(sums).expect("memory");
    let (mut window, mut delta) = (Window::new(), Delta::default());
    let mut matcher = Matcher::new(sums, &index, &mut window);
    let mut rest = new;
    while !rest.is_empty() {
        let space = matcher.space().expect("memory");
        let len = read.min(space.len()).min(rest.len());
        let (now, later) = rest.split_at(len);
        space[..len].copy_from_slice(now);
        assert_eq!(matcher.filled(len), now);
        let Ok(()) = matcher.scan(&mut delta);
        rest = later;
    }
    let Ok(()) = matcher.finish(&mut delta);
    delta
}

/// The files of the transfer vectors, and data that repeats.
pub fn seeds() -> Vec<Vec<u8>> {
    let seed = |checksum: u8, block_len: u8, read: u16, basis: &[u8], new: &[u8]| {
        let split = u16::try_from(basis.len()).unwrap_or(u16::MAX);
        let [a, b] = read.to_le_bytes();
        let [c, d] = split.to_le_bytes();
        [&[checksum, block_len, a, b, c, d], basis, new].concat()
    };
    let file = |name: &str| vectors::bytes(&format!("transfer/inputs/{name}"));
    let pairs = [
        (file("old.bin"), file("new.bin")),
        (file("told.txt"), file("tnew.txt")),
        (b"abcabcabcabcabcabcabc".to_vec(), b"xabcabcabcyabcabc".to_vec()),
        (vec![0; 700], vec![0; 2100]),
        (Vec::new(), b"new".to_vec()),
        (b"old".to_vec(), Vec::new()),
    ];
    let mut seeds = Vec::new();
    for (number, (basis, new)) in (0..).zip(&pairs) {
        for checksum in 0..9 {
            let read = [0, 1, 2, 12, 99, 4095, 5000][usize::from(checksum) % 7];
            seeds.push(seed(checksum, [0, 1, 3, 16, 100][usize::from(checksum + number) % 5], read, basis, new));
        }
        seeds.push(seed(0, 7, 1, basis, basis));
    }
    seeds
}
