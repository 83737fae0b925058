//! Throughput of rsync-delta: sums, signatures, and the match search on kind and unkind data.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rsync_delta::{
    BlockRule, BlockSums, Checksum, Index, Layout, MAX_BLOCK_LEN, Matcher, OpSink, Pass, Rolling,
    Window,
};

const FILE_LEN: usize = 16 << 20;
const SEED: i32 = 0x1234_5678;
const MD5: Checksum = Checksum::Md5 { seed_first: true };

/// Reproducible noise.
fn random(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
    .take(len)
    .collect()
}

#[derive(Default)]
struct Count {
    literal: usize,
    copies: usize,
}

impl OpSink for Count {
    type Error = Infallible;

    fn literal(&mut self, data: &[u8]) -> Result<(), Infallible> {
        self.literal += black_box(data).len();
        Ok(())
    }

    fn copy(&mut self, _: u32) -> Result<(), Infallible> {
        self.copies += 1;
        Ok(())
    }
}

/// Sums and index of one basis.
struct Basis {
    sums: BlockSums,
    index: Index,
}

impl Basis {
    fn new(data: &[u8], checksum: Checksum) -> Self {
        let rule = BlockRule::Derived { max: MAX_BLOCK_LEN };
        let digest_len = checksum.digest_len();
        let layout = Layout::plan(data.len() as u64, rule, digest_len, Pass::First)
            .expect("blocks of 700 bytes and more are few enough");
        let mut sums = BlockSums::new(checksum, SEED);
        sums.reset(layout);
        sums.push_blocks(data);
        let mut index = Index::new();
        index.build(&sums).expect("memory");
        Self { sums, index }
    }

    /// The reads of a file are stood in for by copies, which are part of the measured time.
    fn search(&self, window: &mut Window, mut new: &[u8]) -> Count {
        let mut matcher = Matcher::new(&self.sums, &self.index, window);
        let mut count = Count::default();
        while !new.is_empty() {
            let space = matcher.space().expect("memory");
            let len = space.len().min(new.len());
            let (now, later) = new.split_at(len);
            space[..len].copy_from_slice(now);
            matcher.filled(len);
            let Ok(()) = matcher.scan(&mut count);
            new = later;
        }
        let Ok(()) = matcher.finish(&mut count);
        count
    }
}

fn rolling(c: &mut Criterion) {
    let mut group = c.benchmark_group("weak sum");
    for len in [700, 4096, 131_072] {
        let block = random(len, 1);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_with_input(BenchmarkId::from_parameter(len), &block, |b, block| {
            b.iter(|| Rolling::new(black_box(block)));
        });
    }
    group.finish();
}

fn checksums() -> [(&'static str, Checksum); 6] {
    [
        ("md4", Checksum::Md4),
        ("md5", MD5),
        ("sha1", Checksum::Sha1),
        ("xxh64", Checksum::Xxh64),
        ("xxh3", Checksum::Xxh3),
        ("xxh128", Checksum::Xxh128),
    ]
}

fn strong(c: &mut Criterion) {
    let data = random(1 << 20, 2);
    let mut group = c.benchmark_group("file sum");
    group.throughput(Throughput::Bytes(data.len() as u64));
    for (name, checksum) in checksums() {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut hasher = checksum.file_hasher(SEED);
                hasher.update(black_box(&data));
                hasher.finish()
            });
        });
    }
    group.finish();
}

fn signature(c: &mut Criterion) {
    let data = random(FILE_LEN, 3);
    for (title, file_len) in [
        ("sums, 700 byte blocks", 448_000),
        ("sums, 4096 byte blocks", FILE_LEN),
    ] {
        let data = &data[..file_len];
        let mut group = c.benchmark_group(title);
        group.throughput(Throughput::Bytes(data.len() as u64));
        for (name, checksum) in checksums() {
            let rule = BlockRule::Derived { max: MAX_BLOCK_LEN };
            let layout = Layout::plan(data.len() as u64, rule, checksum.digest_len(), Pass::First)
                .expect("blocks of 700 bytes and more are few enough");
            let mut sums = BlockSums::new(checksum, SEED);
            group.bench_function(name, |b| {
                b.iter(|| {
                    sums.reset(layout);
                    sums.push_blocks(black_box(data));
                });
            });
        }
        group.finish();
    }
}

fn matcher(c: &mut Criterion) {
    let basis = random(FILE_LEN, 4);
    let mut edited = basis.clone();
    for i in 1..=32 {
        let at = i * (FILE_LEN / 33);
        edited.splice(at..at + 100, random(150, i as u64));
    }
    let other = random(FILE_LEN, 5);
    let zeros = vec![0; FILE_LEN];
    let mut one_off = zeros.clone();
    for at in (2048..FILE_LEN).step_by(1 << 16) {
        one_off[at] = 1;
    }
    let pattern: Vec<u8> = random(4095, 6).into_iter().cycle().take(FILE_LEN).collect();
    let mut broken = pattern.clone();
    for at in (2048..FILE_LEN).step_by(1 << 16) {
        broken[at] ^= 1;
    }
    let cases = [
        ("identical", &basis, &basis),
        ("32 edits", &basis, &edited),
        ("unrelated", &basis, &other),
        ("zero basis, one byte off per 64 KiB", &zeros, &one_off),
        ("one byte off per 64 KiB, zeros", &one_off, &zeros),
        ("period 4095, one byte off per 64 KiB", &pattern, &broken),
    ];
    for (title, checksum) in [("match md5", MD5), ("match xxh128", Checksum::Xxh128)] {
        let mut group = c.benchmark_group(title);
        group.throughput(Throughput::Bytes(FILE_LEN as u64));
        for (name, old, new) in cases {
            let basis = Basis::new(old, checksum);
            let mut window = Window::new();
            group.bench_function(name, |b| {
                b.iter(|| basis.search(&mut window, black_box(new)));
            });
        }
        group.finish();
    }
}

/// Weak sums that fit at every offset with strong sums that never do, as a hostile peer may send them.
fn hostile(c: &mut Criterion) {
    let layout = Layout::from_head(4096, 4096, 2, 0).expect("consistent");
    let mut sums = BlockSums::new(MD5, SEED);
    sums.reset(layout);
    let digest = MD5.block_sum(SEED, &[0; 4096]);
    for _ in 0..layout.count() {
        sums.push(0, &[!digest[0], 0]).expect("memory");
    }
    let mut index = Index::new();
    index.build(&sums).expect("memory");
    let basis = Basis { sums, index };
    let zeros = vec![0; FILE_LEN];
    let mut window = Window::new();
    let mut group = c.benchmark_group("match md5");
    group.throughput(Throughput::Bytes(FILE_LEN as u64));
    group.bench_function("weak sums that fit everywhere", |b| {
        b.iter(|| basis.search(&mut window, black_box(&zeros)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = rolling, strong, signature, matcher, hostile
}
criterion_main!(benches);
