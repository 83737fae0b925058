//! patch(match(sums(basis), new)) == new, whatever the data, the blocks, the checksum and the reads.

use std::num::NonZeroU32;

use proptest::collection::vec;
use proptest::prelude::*;
use rsync_delta::{
    BlockRule, BlockSums, Checksum, Index, Layout, MAX_BLOCK_LEN, Matcher, Pass, Window,
};

use crate::delta::Delta;

/// All matches that a search from left to right has to find.
fn expected_matches(basis: &[u8], new: &[u8], layout: Layout) -> Vec<(usize, usize)> {
    let block_len = layout.block_len() as usize;
    let full: std::collections::HashSet<&[u8]> = (0..layout.full_blocks() as usize)
        .map(|i| &basis[i * block_len..(i + 1) * block_len])
        .collect();
    let mut found = Vec::new();
    let mut at = 0;
    while block_len > 0 && at + block_len <= new.len() {
        if full.contains(&new[at..at + block_len]) {
            found.push((at, block_len));
            at += block_len;
        } else {
            at += 1;
        }
    }
    let free_from = found.last().map_or(0, |(at, len)| at + len);
    if let Some((_, len)) = layout.short_block() {
        let len = len as usize;
        let short = &basis[basis.len() - len..];
        if new.len() >= free_from + len && new.ends_with(short) {
            found.push((new.len() - len, len));
        }
    }
    found
}

fn sums_of(basis: &[u8], layout: Layout, checksum: Checksum, seed: i32) -> BlockSums {
    let mut sums = BlockSums::new(checksum, seed);
    sums.reset(layout);
    sums.push_blocks(basis);
    sums
}

/// Feeds `new` in the given read sizes, over and over.
fn delta(sums: &BlockSums, window: &mut Window, new: &[u8], reads: &[usize]) -> Delta {
    let mut index = Index::new();
    index.build(sums).unwrap();
    let mut matcher = Matcher::new(sums, &index, window);
    let mut delta = Delta::default();
    let mut rest = new;
    for &read in reads.iter().cycle() {
        let space = matcher.space().unwrap();
        let len = read.min(space.len()).min(rest.len());
        let (now, later) = rest.split_at(len);
        space[..len].copy_from_slice(now);
        matcher.filled(len);
        matcher.scan(&mut delta).unwrap();
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    matcher.finish(&mut delta).unwrap();
    delta
}

/// Bytes of every degree of repetition.
fn data(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..max),
        vec(prop_oneof![Just(0u8), Just(0x80), Just(0xff)], 0..max),
        (vec(any::<u8>(), 1..40), 0..max).prop_map(|(unit, len)| unit
            .into_iter()
            .cycle()
            .take(len)
            .collect()),
        (0..max).prop_map(|len| vec![0; len]),
    ]
}

#[derive(Clone, Debug)]
enum Edit {
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Change(usize, u8),
    Move(usize, usize, usize),
    Repeat(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = || 0..10_000usize;
    prop_oneof![
        (at(), data(60)).prop_map(|(at, data)| Edit::Insert(at, data)),
        (at(), 0..500usize).prop_map(|(at, len)| Edit::Remove(at, len)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Change(at, byte)),
        (at(), 0..500usize, at()).prop_map(|(from, len, to)| Edit::Move(from, len, to)),
        (at(), 0..500usize).prop_map(|(at, len)| Edit::Repeat(at, len)),
    ]
}

fn edited(basis: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut new = basis.to_vec();
    for edit in edits {
        let place = |at: usize, new: &[u8]| at % (new.len() + 1);
        let range = |at: usize, len: usize, new: &[u8]| {
            let start = place(at, new);
            start..(start + len).min(new.len())
        };
        match edit {
            Edit::Insert(at, data) => {
                let at = place(*at, &new);
                new.splice(at..at, data.iter().copied());
            }
            Edit::Remove(at, len) => {
                let range = range(*at, *len, &new);
                new.drain(range);
            }
            Edit::Change(at, byte) => {
                if !new.is_empty() {
                    let at = at % new.len();
                    new[at] = *byte;
                }
            }
            Edit::Move(from, len, to) => {
                let range = range(*from, *len, &new);
                let taken: Vec<u8> = new.drain(range).collect();
                let at = place(*to, &new);
                new.splice(at..at, taken);
            }
            Edit::Repeat(at, len) => {
                let range = range(*at, *len, &new);
                let again = new[range.clone()].to_vec();
                new.splice(range.start..range.start, again);
            }
        }
    }
    new
}

fn checksum() -> impl Strategy<Value = Checksum> {
    proptest::sample::select(vec![
        Checksum::OldMd4,
        Checksum::Md4,
        Checksum::Md5 { seed_first: true },
        Checksum::Md5 { seed_first: false },
        Checksum::Sha1,
        Checksum::Xxh64,
        Checksum::Xxh3,
        Checksum::Xxh128,
    ])
}

fn block_rule() -> impl Strategy<Value = BlockRule> {
    prop_oneof![
        3 => (1..100u32).prop_map(|len| BlockRule::Fixed(NonZeroU32::new(len).unwrap())),
        1 => Just(BlockRule::Derived { max: MAX_BLOCK_LEN }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// With full strong sums the delta also has every match that is to be found.
    #[test]
    fn edited_files(
        basis in data(4000),
        edits in vec(edit(), 0..6),
        rule in block_rule(),
        checksum in checksum(),
        seed in any::<i32>(),
        reads in vec(1..3000usize, 1..4),
    ) {
        let new = edited(&basis, &edits);
        let layout = Layout::plan(basis.len() as u64, rule, checksum.digest_len(), Pass::Redo).unwrap();
        let sums = sums_of(&basis, layout, checksum, seed);
        prop_assert_eq!(sums.len(), layout.count() as usize);
        let mut window = Window::new();
        let whole = delta(&sums, &mut window, &new, &[usize::MAX]);
        prop_assert_eq!(&whole.apply(&basis, layout), &new);
        prop_assert_eq!(whole.matches(layout), expected_matches(&basis, &new, layout));
        let pieces = delta(&sums, &mut window, &new, &reads);
        prop_assert_eq!(pieces, whole);
    }

    /// Unrelated files, with as few bytes of strong sum as a peer may ask for: a wrong match is possible then, but the
    /// delta stays within the basis and has the right length.
    #[test]
    fn unrelated_files(
        basis in data(2000),
        new in data(2000),
        block_len in 1..40u32,
        strong_len in 0..3u32,
        remainder in 0..40u32,
        checksum in checksum(),
    ) {
        let count = basis.len() as u32 / block_len;
        let layout = Layout::from_head(count, block_len, strong_len, remainder.min(block_len)).unwrap();
        let basis = &basis[..layout.file_len() as usize];
        let sums = sums_of(basis, layout, checksum, 3);
        let delta = delta(&sums, &mut Window::new(), &new, &[100]);
        prop_assert_eq!(delta.apply(basis, layout).len(), new.len());
    }

    /// The sums of a file do not depend on how many blocks are summed at once.
    #[test]
    fn sums_block_by_block(
        basis in data(4000),
        rule in block_rule(),
        checksum in checksum(),
        seed in any::<i32>(),
    ) {
        let layout = Layout::plan(basis.len() as u64, rule, checksum.digest_len(), Pass::Redo).unwrap();
        let together = sums_of(&basis, layout, checksum, seed);
        let mut single = BlockSums::new(checksum, seed);
        single.reset(layout);
        for block in basis.chunks(layout.block_len() as usize) {
            single.push_blocks(block);
        }
        prop_assert!(together.iter().eq(single.iter()));
        let mut pushed = BlockSums::new(checksum, seed);
        pushed.reset(layout);
        for (weak, strong) in single.iter() {
            pushed.push(weak, strong).unwrap();
        }
        prop_assert!(together.iter().eq(pushed.iter()));
    }
}

#[test]
fn every_two_way_split_gives_the_same_delta() {
    let basis: Vec<u8> = (0..600u32).map(|i| (i * i / 7) as u8).collect();
    let edits = [
        Edit::Insert(180, vec![7; 5]),
        Edit::Remove(300, 60),
        Edit::Repeat(20, 90),
    ];
    let new = edited(&basis, &edits);
    let checksum = Checksum::Md5 { seed_first: true };
    for block_len in [1, 16, 100, 599, 600, 1000] {
        let rule = BlockRule::Fixed(NonZeroU32::new(block_len).unwrap());
        let layout = Layout::plan(basis.len() as u64, rule, 16, Pass::First).unwrap();
        let sums = sums_of(&basis, layout, checksum, 5);
        let mut window = Window::new();
        let whole = delta(&sums, &mut window, &new, &[new.len()]);
        for split in 1..new.len() {
            let two = delta(&sums, &mut window, &new, &[split, new.len() - split]);
            assert_eq!(two, whole, "blocks of {block_len}, split at {split}");
        }
    }
}

#[test]
fn long_files_pass_through_the_window() {
    let mut state = 1u32;
    let basis: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(3_000_000)
    .collect();
    let mut new = basis.clone();
    new.splice(1_000_000..1_000_000, vec![1; 400_000]);
    new[2_900_000] ^= 1;
    let rule = BlockRule::Derived { max: MAX_BLOCK_LEN };
    for checksum in [Checksum::Md5 { seed_first: true }, Checksum::Xxh128] {
        let layout = Layout::plan(basis.len() as u64, rule, 16, Pass::First).unwrap();
        let sums = sums_of(&basis, layout, checksum, 5);
        for read in [usize::MAX, 9_999] {
            let delta = delta(&sums, &mut Window::new(), &new, &[read]);
            assert_eq!(
                delta.matches(layout),
                expected_matches(&basis, &new, layout)
            );
            assert!(delta.apply(&basis, layout) == new);
        }
    }
}
