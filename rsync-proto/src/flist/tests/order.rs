//! The order: captured, by the rule as it is written, and fast.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;

/// 02-file-list 8.3 to the letter.
fn components(name: &[u8], is_dir: bool) -> Vec<(u8, Vec<u8>)> {
    let parts: Vec<&[u8]> = name.split(|&b| b == b'/').collect();
    let last = parts.len() - 1;
    parts
        .iter()
        .enumerate()
        .map(|(i, part)| {
            if i == last && is_dir && *part == b"." {
                (0, Vec::new())
            } else if i == last && !is_dir {
                (0, part.to_vec())
            } else {
                (1, [part, b"/".as_slice()].concat())
            }
        })
        .collect()
}

#[test]
fn captured_orders() {
    for seed in [100, 101, 102] {
        let file = vector_file(&format!("flist/sort-{seed}-p29plus.txt"));
        let names: Vec<(Vec<u8>, bool)> = file
            .lines()
            .map(|line| match line.split_once(' ') {
                Some(("d", hex)) => (unhex(hex), true),
                Some(("f", hex)) => (unhex(hex), false),
                _ => panic!("line {line}"),
            })
            .collect();
        assert!(names.len() > 100, "{seed}");
        for pair in names.windows(2) {
            let [(a, a_dir), (b, b_dir)] = pair else {
                unreachable!()
            };
            assert_eq!(compare(a, *a_dir, b, *b_dir), Ordering::Less);
            assert_eq!(compare(b, *b_dir, a, *a_dir), Ordering::Greater);
        }
        // From other orders back to this one.
        for step in [1, 7, 13, 101] {
            let len = names.len();
            let mut shuffled: Vec<usize> = (0..len).collect();
            shuffled.sort_by_key(|i| (i * step) % 127);
            let order = sort(len, |i| (&*names[shuffled[i]].0, names[shuffled[i]].1));
            let back: Vec<usize> = order.iter().map(|&i| shuffled[i as usize]).collect();
            assert!(back.into_iter().eq(0..len), "seed {seed}, step {step}");
        }
    }
}

#[test]
fn consequences() {
    // name (a slash at the end: directory), in order
    let ordered = [
        "./", "-", "a", "a-b", "b", "\u{ff}", "a-b/", "a-b/z", "a/", "a/z", "a/b/", "a/b/c", "a0/",
        "b/",
    ];
    let key = |name: &'static str| match name.strip_suffix('/') {
        Some(dir) => (dir.as_bytes(), true),
        None => (name.as_bytes(), false),
    };
    for (i, a) in ordered.iter().enumerate() {
        for (k, b) in ordered.iter().enumerate() {
            let ((a, a_dir), (b, b_dir)) = (key(a), key(b));
            assert_eq!(compare(a, a_dir, b, b_dir), i.cmp(&k), "{a:?} {b:?}");
        }
    }
    assert!(sort(0, |_| -> (&[u8], bool) { unreachable!() }).is_empty());
}

/// Clean names as a list may have them, many of them close to each other.
fn name() -> impl Strategy<Value = (Vec<u8>, bool)> {
    let component = prop_oneof![
        "[-.a/0]{1,3}",
        "file_[0-9]{1,3}",
        "[a-c]{1,2}",
        Just("\u{e9}x".to_owned())
    ];
    let path = proptest::collection::vec(component, 1..4);
    (path, any::<bool>(), 0..20_u8).prop_filter_map("dots", |(parts, is_dir, special)| {
        let parts: Vec<String> = parts.into_iter().map(|p| p.replace('/', "_")).collect();
        let name = match special {
            0 => ".".to_owned(),
            1 => "/.".to_owned(),
            2 => format!("/{}", parts.join("/")),
            _ => parts.join("/"),
        };
        let dots = parts.iter().any(|p| p == "." || p == "..");
        (!dots).then_some((name.into_bytes(), is_dir || special < 2))
    })
}

/// A name in two pieces, with its directory's number in the sorted table.
fn numbered<'a>(dirs: &'a [Vec<u8>], name: &'a [u8]) -> ListName<'a> {
    match name.iter().rposition(|&b| b == b'/').filter(|&at| at > 0) {
        None => name.into(),
        Some(at) => {
            let number = dirs.partition_point(|dir| **dir < name[..at]);
            let base = &name[at + 1..];
            ListName::numbered(&dirs[number], base, u32::try_from(number).expect("few"))
        }
    }
}

proptest! {
    #[test]
    fn compare_is_the_rule((a, a_dir) in name(), (b, b_dir) in name()) {
        let rule = components(&a, a_dir).cmp(&components(&b, b_dir));
        prop_assert_eq!(compare(&a, a_dir, &b, b_dir), rule);
    }

    #[test]
    fn sort_is_stable_and_by_compare(names in proptest::collection::vec(name(), 0..60)) {
        let mut expected: Vec<u32> = (0..u32::try_from(names.len()).expect("few")).collect();
        expected.sort_by(|&i, &k| {
            let ((a, a_dir), (b, b_dir)) = (&names[i as usize], &names[k as usize]);
            compare(a, *a_dir, b, *b_dir)
        });
        prop_assert_eq!(sort(names.len(), |i| (&*names[i].0, names[i].1)), expected);
    }

    /// Names whose directories are known by number have the order, the duplicates and the orphans of whole names.
    #[test]
    fn pieces_are_as_good_as_whole_names(names in proptest::collection::vec(name(), 0..60)) {
        let mut names = names;
        let dir_len = |name: &[u8]| name.iter().rposition(|&b| b == b'/').filter(|&at| at > 0);
        let dirs = names.iter().filter_map(|(name, _)| Some(name[..dir_len(name)?].to_vec()));
        let dirs: Vec<Vec<u8>> = std::collections::BTreeSet::from_iter(dirs).into_iter().collect();
        let order = sort(names.len(), |i| (&*names[i].0, names[i].1));
        let pieces = sort(names.len(), |i| (numbered(&dirs, &names[i].0), names[i].1));
        prop_assert_eq!(&pieces, &order);
        names = order.iter().map(|&i| names[i as usize].clone()).collect();
        let whole = |i: usize| (&*names[i].0, names[i].1);
        let piece = |i: usize| (numbered(&dirs, &names[i].0), names[i].1);
        let (mut lost, mut lost_pieces) = (Vec::new(), Vec::new());
        find_duplicates(names.len(), whole, |loser, winner| lost.push((loser, winner)));
        find_duplicates(names.len(), piece, |loser, winner| lost_pieces.push((loser, winner)));
        prop_assert_eq!(lost, lost_pieces);
        let (mut orphans, mut orphan_pieces) = (Vec::new(), Vec::new());
        find_orphans(names.len(), whole, |slot| orphans.push(slot));
        find_orphans(names.len(), piece, |slot| orphan_pieces.push(slot));
        prop_assert_eq!(orphans, orphan_pieces);
    }

    /// Whatever the bytes: a permutation, no panic.
    #[test]
    fn sort_takes_any_bytes(names in proptest::collection::vec(any::<(Vec<u8>, bool)>(), 0..20)) {
        let mut order = sort(names.len(), |i| (&*names[i].0, names[i].1));
        order.sort_unstable();
        prop_assert!(order.into_iter().eq(0..u32::try_from(names.len()).expect("few")));
    }
}
