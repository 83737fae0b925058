//! The order of a list and the questions about it (02-file-list 8).

use std::cmp::Ordering;

use rsync_proto::flist::{DirFlags, compare, find, find_duplicates, find_orphans, sort};

use crate::vectors;

/// Lines of a list: a byte whose lowest bit tells a directory, then the name.
pub fn run(data: &[u8]) {
    let names: Vec<(&[u8], bool)> = data.split(|&byte| byte == b'\n').take(MOST).filter_map(entry).collect();
    let name_of = |slot: usize| names[slot];
    let order = sort(names.len(), name_of);

    let mut naive: Vec<u32> = (0..).take(names.len()).collect();
    naive.sort_by(|&a, &b| compare_entries(names[a as usize], names[b as usize]));
    assert_eq!(order, naive, "stable, and the order of compare");

    let sorted: Vec<(&[u8], bool)> = order.iter().map(|&position| names[position as usize]).collect();
    total_order(&sorted);
    let sorted_name = |slot: usize| sorted[slot];
    duplicates(&sorted);
    let mut orphans = Vec::new();
    find_orphans(sorted.len(), sorted_name, |slot| orphans.push(slot));
    let is_orphan = |&(name, _): &(&[u8], bool)| {
        let parent = name.iter().rposition(|&byte| byte == b'/').map(|at| &name[..at]);
        parent.is_some_and(|parent| !sorted.contains(&(parent, true)))
    };
    let naive: Vec<usize> = (0..sorted.len()).filter(|&slot| is_orphan(&sorted[slot])).collect();
    assert_eq!(orphans, naive);
}

/// Clean names only: that is what the functions are told.
fn entry(line: &[u8]) -> Option<(&[u8], bool)> {
    let (&kind, name) = line.split_first()?;
    let is_dir = kind & 1 != 0;
    let component = |component: &[u8]| !matches!(component, b"" | b"." | b"..") && !component.contains(&0);
    let clean = name.split(|&byte| byte == b'/').all(component) || (name == b"." && is_dir);
    clean.then_some((name, is_dir))
}

fn compare_entries(a: (&[u8], bool), b: (&[u8], bool)) -> Ordering {
    compare(a.0, a.1, b.0, b.1)
}

fn total_order(sorted: &[(&[u8], bool)]) {
    let start = sorted.len().saturating_sub(FEW);
    for (slot, &a) in sorted.iter().enumerate().skip(start) {
        for (other, &b) in sorted.iter().enumerate().skip(start) {
            let order = compare_entries(a, b);
            assert_eq!(order, compare_entries(b, a).reverse());
            assert_eq!(order == Ordering::Equal, a == b);
            assert!(order != Ordering::Greater || slot > other, "{a:?} {b:?}");
        }
    }
}

fn duplicates(sorted: &[(&[u8], bool)]) {
    let name_of = |slot: usize| sorted[slot];
    let mut lost = vec![None; sorted.len()];
    find_duplicates(sorted.len(), name_of, |loser, winner| {
        assert_eq!(lost[loser], None, "told twice");
        lost[loser] = Some(winner);
    });
    for (slot, &(name, is_dir)) in sorted.iter().enumerate() {
        let first = sorted.iter().position(|other| *other == (name, is_dir)).expect("itself");
        assert_eq!(find(sorted.len(), name_of, name, is_dir), Some(first));
        let directory = sorted.iter().position(|other| *other == (name, true));
        let winner = if is_dir || directory.is_none() { Some(first).filter(|first| *first != slot) } else { directory };
        assert_eq!(lost[slot].is_some(), winner.is_some(), "{name:?}");
        if is_dir || first == slot {
            assert_eq!(lost[slot], winner);
        }
    }
    let flags = |bits: usize| DirFlags { top_dir: bits & 1 != 0, no_content: bits & 2 != 0 };
    assert_eq!(flags(sorted.len()).merge(flags(lost.len() / 4)), flags(lost.len() / 4).merge(flags(sorted.len())));
}

/// Names looked at; the naive counterparts are quadratic.
const MOST: usize = 200;
/// Entries compared each with each.
const FEW: usize = 24;

/// Parts of the captured orders.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![b"1.\n0a\n1a\n0a/b\n1a\n0a\n0b/c/d\n1b\n1a.b\n0a/b.c\n0a-b\n1a/b".to_vec()];
    for number in 100..103 {
        let list = vectors::text(&format!("flist/sort-{number}-p29plus.txt"));
        let line = |line: &str| {
            let (kind, name) = line.split_once(' ')?;
            let digit = if kind == "d" { b"1" } else { b"0" };
            Some([&digit[..], &vectors::hex(name)].concat())
        };
        let lines: Vec<Vec<u8>> = list.lines().filter_map(line).collect();
        seeds.extend(lines.chunks(40).take(12).map(|chunk| chunk.join(&b'\n')));
    }
    seeds
}
