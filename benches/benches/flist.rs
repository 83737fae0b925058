//! The file list: encode, decode and sort of 100,000 entries.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rsync_proto::Protocol;
use rsync_proto::flist::{Decoder, Encoder, Entry, EntryOptions, Item, compare, sort};
use rsync_proto::wire::Cursor;

const ENTRIES: usize = 100_000;

/// A file of the made-up tree.
struct File {
    name: String,
    mode: u32,
    size: u64,
    mtime: i64,
    nsec: u32,
}

/// A tree of about `ENTRIES` entries in the order of a directory walk: files of a directory in hash order,
/// then each subdirectory. Names share long fronts, as those of photographs or object files do.
fn tree() -> Vec<File> {
    let mut files = vec![file(".".to_owned(), true, 0)];
    let mut number = 0_u64;
    'all: for project in 0..100 {
        files.push(file(format!("project-{project:03}"), true, number));
        for module in 0..20 {
            let dir = format!("project-{project:03}/module_{module:02}");
            files.push(file(dir.clone(), true, number));
            for _ in 0..50 {
                number += 1;
                let hashed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
                files.push(file(
                    format!("{dir}/IMG_2024_{hashed:07}.jpeg"),
                    false,
                    number,
                ));
                if files.len() == ENTRIES {
                    break 'all;
                }
            }
        }
    }
    files
}

fn file(name: String, is_dir: bool, number: u64) -> File {
    File {
        name,
        mode: if is_dir { 0o040_755 } else { 0o100_644 },
        size: number.wrapping_mul(7919) % 5_000_000,
        mtime: 1_700_000_000 + i64::try_from(number / 3).expect("small"),
        nsec: u32::try_from(number.wrapping_mul(7_654_321) % 1_000_000_000).expect("small"),
    }
}

impl File {
    fn entry(&self) -> Entry<'_> {
        Entry {
            name: self.name.as_bytes(),
            size: self.size,
            mtime: self.mtime,
            mtime_nsec: self.nsec,
            mode: self.mode,
            uid: 1000,
            gid: 1000,
            ..Entry::default()
        }
    }

    fn key(&self) -> (&[u8], bool) {
        (self.name.as_bytes(), self.mode & 0o040_000 != 0)
    }
}

fn options() -> EntryOptions {
    EntryOptions {
        uid: true,
        gid: true,
        links: true,
        devices: true,
        specials: true,
        varint_flags: true,
        ..EntryOptions::new(Protocol::MAX)
    }
}

fn encode(files: &[File], out: &mut Vec<u8>) {
    let mut encoder = Encoder::new(options());
    encoder.start_list(0);
    for file in files {
        encoder.encode(&file.entry(), out).expect("has a form");
    }
    encoder.end(0, out);
}

fn decode(bytes: &[u8]) -> u64 {
    let mut decoder = Decoder::new(options());
    decoder.start_list(0);
    let mut cursor = Cursor::new(bytes);
    let mut total = 0;
    while decoder.decode(&mut cursor) == Ok(Item::Entry) {
        total += decoder.entry().size;
    }
    total
}

fn benches(c: &mut Criterion) {
    let files = tree();
    let mut bytes = Vec::new();
    encode(&files, &mut bytes);
    let total: u64 = files.iter().map(|file| file.size).sum();
    assert_eq!(decode(&bytes), total);

    let mut group = c.benchmark_group("flist");
    group.throughput(Throughput::Elements(files.len() as u64));
    group.bench_function("encode", |b| {
        let mut out = Vec::with_capacity(bytes.len());
        b.iter(|| {
            out.clear();
            encode(black_box(&files), &mut out);
        });
    });
    group.bench_function("decode", |b| b.iter(|| decode(black_box(&bytes))));
    group.bench_function("sort", |b| {
        b.iter(|| sort(files.len(), |i| black_box(&files)[i].key()));
    });
    group.bench_function("sort by compare", |b| {
        b.iter(|| {
            let mut order: Vec<usize> = (0..files.len()).collect();
            order.sort_by(|&i, &k| {
                let ((a, a_dir), (b, b_dir)) = (files[i].key(), files[k].key());
                compare(a, a_dir, b, b_dir)
            });
            order
        });
    });
    group.finish();
}

criterion_group!(flist, benches);
criterion_main!(flist);
