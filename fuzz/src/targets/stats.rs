//! The numbers at the end of a session (01-session 11.6, 11.7).

use rsync_proto::stats::{DelStats, Stats};
use rsync_proto::wire::Cursor;

use crate::header::Header;
use crate::incremental::one_of_any_split;

/// Header: protocol. Then statistics of a transfer, which are read as those of deletions too.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let protocol = header.protocol();
    let bytes = header.rest();
    let mut out = Vec::new();
    if let Some(stats) = one_of_any_split(bytes, |cursor| Stats::decode(cursor, protocol)) {
        stats.put(&mut out, protocol);
        assert_eq!(Stats::decode(&mut Cursor::new(&out), protocol), Ok(stats));
    }
    out.clear();
    if let Some(stats) = one_of_any_split(bytes, DelStats::decode) {
        stats.put(&mut out);
        assert_eq!(DelStats::decode(&mut Cursor::new(&out)), Ok(stats));
        assert!(stats.total() >= u64::from(stats.files));
    }
}

/// Numbers of every length.
pub fn seeds() -> Vec<Vec<u8>> {
    let numbers = [0, 1, 127, 128, 1 << 14, 1 << 20, 1 << 31, 1 << 40, 1 << 62, i64::MAX.cast_unsigned()];
    let mut seeds = Vec::new();
    for (byte, protocol) in (0..).zip(rsync_proto::Protocol::ALL) {
        for five in numbers.windows(5) {
            let [total_read, total_written, total_size, flist_build_ms, flist_transfer_ms] = five else {
                continue;
            };
            let mut seed = vec![byte];
            Stats {
                total_read: *total_read,
                total_written: *total_written,
                total_size: *total_size,
                flist_build_ms: *flist_build_ms,
                flist_transfer_ms: *flist_transfer_ms,
            }
            .put(&mut seed, protocol);
            seeds.push(seed);
        }
    }
    let mut seed = vec![2];
    DelStats { files: 5, dirs: 200, symlinks: 70_000, devices: 0, specials: 1 << 28 }.put(&mut seed);
    seeds.push(seed);
    seeds
}
