//! Golden values of the specification: testkit/vectors/transfer.

use std::fs;

use rsync_delta::{
    BlockRule, BlockSums, Checksum, Index, Layout, MAX_BLOCK_LEN, MAX_BLOCK_LEN_OLD, Matcher, Pass,
    Window, weak_sum,
};
use serde_json::Value;

use crate::delta::{Delta, Op};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/vectors/transfer/");

fn checksums() -> Value {
    let text = fs::read(format!("{VECTORS}checksums.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn input(name: &str) -> Vec<u8> {
    fs::read(format!("{VECTORS}inputs/{name}")).unwrap()
}

fn data_set(name: &str) -> Vec<u8> {
    match name {
        "empty" => Vec::new(),
        "a" => b"a".to_vec(),
        "abc" => b"abc".to_vec(),
        "bytes_0_255" => (0..=255).collect(),
        "ff_x_700" => vec![0xff; 700],
        "zero_x_700" => vec![0; 700],
        "old_block0_700" => input("old.bin")[..700].to_vec(),
        "old_block4_200" => input("old.bin")[2800..3000].to_vec(),
        "old_whole_3000" => input("old.bin"),
        "64_x_Q" => vec![b'Q'; 64],
        other => panic!("unknown data set {other}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const SEED_FIRST: Checksum = Checksum::Md5 { seed_first: true };
const SEED_LAST: Checksum = Checksum::Md5 { seed_first: false };

fn sets() -> Vec<(String, Vec<u8>, Value)> {
    let all = checksums();
    let sets = all["sets"].as_object().unwrap();
    assert_eq!(sets.len(), 10);
    sets.iter()
        .map(|(name, set)| {
            let data = data_set(name);
            assert_eq!(data.len() as u64, set["len"]);
            (name.clone(), data, set.clone())
        })
        .collect()
}

#[test]
fn weak_sums() {
    for (name, data, set) in sets() {
        let sum = weak_sum(&data);
        assert_eq!(format!("{sum:08x}"), set["weak"]["int"], "{name}");
        assert_eq!(hex(&sum.to_le_bytes()), set["weak"]["wire"], "{name}");
    }
}

#[test]
fn block_sums() {
    let rows = [
        (SEED_FIRST, "md5_seed_first"),
        (SEED_LAST, "md5_seed_last"),
        (Checksum::OldMd4, "md4_seed_last"),
        (Checksum::Md4, "md4_seed_last"),
        (Checksum::Sha1, "sha1_seed_first"),
        (Checksum::Xxh64, "xxh64"),
        (Checksum::Xxh3, "xxh3"),
        (Checksum::Xxh128, "xxh128"),
    ];
    for (name, data, set) in sets() {
        let seeds = set["block"].as_object().unwrap();
        assert_eq!(seeds.len(), 4);
        for (seed, expected) in seeds {
            for (checksum, row) in rows {
                let sum = checksum.block_sum(seed.parse().unwrap(), &data);
                assert_eq!(hex(&sum), expected[row], "{name} {row} seed {seed}");
                assert_eq!(sum.len(), checksum.digest_len());
            }
        }
    }
}

#[test]
fn whole_file_and_list_sums() {
    let rows = [
        (SEED_FIRST, "md5"),
        (SEED_LAST, "md5"),
        (Checksum::Md4, "md4"),
        (Checksum::Sha1, "sha1"),
        (Checksum::Xxh64, "xxh64"),
        (Checksum::Xxh3, "xxh3"),
        (Checksum::Xxh128, "xxh128"),
    ];
    for (name, data, set) in sets() {
        for (checksum, row) in rows {
            for pieces in [data.len().max(1), 64, 7] {
                let mut whole = checksum.file_hasher(305_419_896);
                let mut list = checksum.list_hasher();
                for piece in data.chunks(pieces) {
                    whole.update(piece);
                    list.update(piece);
                }
                assert_eq!(hex(&whole.finish()), set["whole"][row], "{name} {row}");
                assert_eq!(hex(&list.finish()), set["flist"][row], "{name} {row}");
            }
        }
        for seed in [1, 305_419_896] {
            let mut whole = Checksum::OldMd4.file_hasher(seed);
            whole.update(&data);
            let row = format!("md4old_seed_{seed}");
            assert_eq!(hex(&whole.finish()), set["whole"][row.as_str()], "{name}");
        }
        let mut list = Checksum::OldMd4.list_hasher();
        list.update(&data);
        assert_eq!(hex(&list.finish()), set["flist"]["md4"], "{name}");
        let mut none = Checksum::None.file_hasher(1);
        none.update(&data);
        assert_eq!(hex(&none.finish()), set["whole"]["none"], "{name}");
    }
}

#[test]
fn sum_heads() {
    let all = checksums();
    let rows = all["sum_head"].as_array().unwrap();
    assert_eq!(rows.len(), 35);
    for row in rows {
        let size = row["size"].as_u64().unwrap();
        for (max, key) in [
            (MAX_BLOCK_LEN, "p30up_16byte_sum"),
            (MAX_BLOCK_LEN_OLD, "p27_29"),
        ] {
            let layout = Layout::plan(size, BlockRule::Derived { max }, 16, Pass::First).unwrap();
            let expected = &row[key];
            assert_eq!(layout.count(), expected["count"], "{size} {key}");
            assert_eq!(layout.block_len(), expected["blength"], "{size} {key}");
            assert_eq!(layout.strong_len(), expected["s2length"], "{size} {key}");
            assert_eq!(layout.remainder(), expected["remainder"], "{size} {key}");
        }
    }
}

/// The delta of the capture `delta-p31-plain-md5` (03-transfer 1.2), a short last block included.
#[test]
fn delta_of_the_captures() {
    let (old, new) = (input("old.bin"), input("new.bin"));
    let rule = BlockRule::Derived { max: MAX_BLOCK_LEN };
    let layout = Layout::plan(old.len() as u64, rule, 16, Pass::First).unwrap();
    let mut sums = BlockSums::new(SEED_FIRST, 1);
    sums.reset(layout);
    sums.push_blocks(&old);
    let (weak, strong) = sums.iter().next().unwrap();
    assert_eq!((weak, strong.len()), (0xf78e_078b, 2));
    let mut index = Index::new();
    index.build(&sums).unwrap();
    let mut window = Window::new();
    let mut matcher = Matcher::new(&sums, &index, &mut window);
    matcher.space().unwrap()[..new.len()].copy_from_slice(&new);
    matcher.filled(new.len());
    let mut ops = Delta::default();
    matcher.finish(&mut ops).unwrap();
    let expected = [
        Op::Copy(0),
        Op::Literal(new[700..1405].to_vec()),
        Op::Copy(2),
        Op::Copy(3),
        Op::Copy(4),
    ];
    assert_eq!(ops.0, expected);
}
