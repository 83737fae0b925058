use std::convert::Infallible;

use super::*;
use crate::window::MAX_ROOM;
use crate::{Checksum, Layout};

#[derive(Default)]
struct Ops {
    literal: Vec<u8>,
    copies: Vec<u32>,
}

impl OpSink for Ops {
    type Error = Infallible;

    fn literal(&mut self, data: &[u8]) -> Result<(), Infallible> {
        assert!((1..=MAX_LITERAL).contains(&data.len()));
        self.literal.extend_from_slice(data);
        Ok(())
    }

    fn copy(&mut self, block: u32) -> Result<(), Infallible> {
        self.copies.push(block);
        Ok(())
    }
}

const BLOCK: usize = 1000;

fn feed(matcher: &mut Matcher<'_>, ops: &mut Ops, mut data: &[u8]) {
    while !data.is_empty() {
        let space = matcher.space().unwrap();
        let len = space.len().min(data.len());
        let (now, later) = data.split_at(len);
        space[..len].copy_from_slice(now);
        assert_eq!(matcher.filled(len), now);
        matcher.scan(ops).unwrap();
        data = later;
    }
}

/// Weak sums that fit everywhere with strong sums that fit nowhere.
#[test]
fn false_hits_are_hashed_in_proportion_only() {
    let checksum = Checksum::Md5 { seed_first: true };
    let mut sums = BlockSums::new(checksum, 1);
    sums.reset(Layout::from_head(5000, BLOCK as u32, 16, 0).unwrap());
    for _ in 0..4999 {
        sums.push(0, &[0xee; 16]).unwrap();
    }
    let real: Vec<u8> = (0..BLOCK).map(|i| (i % 251) as u8).collect();
    sums.push_blocks(&real);
    let mut index = Index::new();
    index.build(&sums).unwrap();
    let mut window = Window::new();
    let mut matcher = Matcher::new(&sums, &index, &mut window);
    let mut ops = Ops::default();

    let zeros = vec![0; 1 << 20];
    feed(&mut matcher, &mut ops, &zeros);
    let granted = 1024 * BLOCK as i64 + EFFORT_PER_BYTE * zeros.len() as i64;
    let once = BLOCK as i64 + 8 * MAX_CANDIDATES as i64;
    let left = matcher.effort.left;
    assert!((-once..once).contains(&left), "{left} left of {granted}");
    // It comes back with data that causes no false hits.
    feed(&mut matcher, &mut ops, &real.repeat(2));
    matcher.finish(&mut ops).unwrap();
    assert_eq!(ops.literal.len(), zeros.len());
    assert_eq!(ops.copies, [4999, 4999]);
}

#[test]
fn equal_blocks_are_taken_in_sequence() {
    let mut sums = BlockSums::new(Checksum::Xxh128, 7);
    sums.reset(Layout::from_head(40, BLOCK as u32, 16, 0).unwrap());
    sums.push_blocks(&vec![0; 40 * BLOCK]);
    let mut index = Index::new();
    index.build(&sums).unwrap();
    let mut window = Window::new();
    let mut matcher = Matcher::new(&sums, &index, &mut window);
    let mut ops = Ops::default();
    let mut data = vec![0; 40 * BLOCK];
    data[5 * BLOCK + 1] = 9;
    feed(&mut matcher, &mut ops, &data);
    matcher.finish(&mut ops).unwrap();
    // Two bytes into block 5 the zeros go on; one block less fits, the last 998 bytes are left over.
    assert_eq!(ops.copies, (0..39).collect::<Vec<_>>());
    assert_eq!(ops.literal.len(), BLOCK);
}

/// A block length that a peer may name at protocol 29 must not make memory by itself.
#[test]
fn memory_follows_the_file_not_the_block_length() {
    let mut sums = BlockSums::new(Checksum::OldMd4, 7);
    sums.reset(Layout::from_head(2, 1 << 29, 2, 0).unwrap());
    sums.push(0, &[0; 2]).unwrap();
    sums.push(0, &[0; 2]).unwrap();
    let mut index = Index::new();
    index.build(&sums).unwrap();
    let mut window = Window::new();
    let mut matcher = Matcher::new(&sums, &index, &mut window);
    assert!(matcher.space().unwrap().len() <= MAX_ROOM);
    let mut ops = Ops::default();
    feed(&mut matcher, &mut ops, b"short");
    matcher.finish(&mut ops).unwrap();
    assert_eq!(ops.literal, b"short");
}

/// Gives up when asked whether to go on.
#[derive(Default)]
struct Impatient {
    asked: u32,
}

impl OpSink for Impatient {
    type Error = ();

    fn literal(&mut self, _: &[u8]) -> Result<(), ()> {
        Ok(())
    }

    fn copy(&mut self, _: u32) -> Result<(), ()> {
        Ok(())
    }

    fn working(&mut self) -> Result<(), ()> {
        self.asked += 1;
        if self.asked < 3 { Ok(()) } else { Err(()) }
    }
}

/// A long block whose weak sum fits everywhere is hashed at every byte: the sink can end that in the middle.
#[test]
fn the_sink_ends_a_search_that_finds_nothing() {
    let mut sums = BlockSums::new(Checksum::OldMd4, 7);
    let block = 128 * 1024;
    sums.reset(Layout::from_head(1, block, 16, 0).unwrap());
    sums.push(0, &[0xee; 16]).unwrap();
    let mut index = Index::new();
    index.build(&sums).unwrap();
    let mut window = Window::new();
    let mut matcher = Matcher::new(&sums, &index, &mut window);
    let space = matcher.space().unwrap();
    let len = space.len();
    assert!(len > 8 * block as usize, "{len}");
    matcher.filled(len);
    let mut sink = Impatient::default();
    assert_eq!(matcher.scan(&mut sink), Err(()));
    let spent = 1024 * i64::from(block) - matcher.effort.left;
    assert!(
        (2 * EFFORT_STEP..4 * EFFORT_STEP).contains(&spent),
        "{spent} bytes hashed"
    );
}

#[test]
fn effort_does_not_pile_up() {
    for block_len in [1, 700, 1 << 29] {
        let mut effort = Effort::new(block_len);
        assert!(effort.left <= EFFORT_MAX, "{block_len}");
        effort.allow(1 << 40);
        assert_eq!(effort.left, EFFORT_MAX, "{block_len}");
    }
}
