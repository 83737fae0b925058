//! What a read of an inotify descriptor returns.

use syncline_watcher::{EventBits, Malformed, Record, records};

use crate::incremental::cuts;

/// A buffer of records.
pub fn run(data: &[u8]) {
    let all: Vec<Result<Record<'_>, Malformed>> = records(data).collect();
    let whole: Vec<Record<'_>> = all.iter().filter_map(|record| record.ok()).collect();
    // Only the last one can be broken.
    assert!(all.len() - whole.len() <= 1);
    assert!(all.iter().rev().skip(1).all(Result::is_ok));
    let mut written = Vec::new();
    for record in &whole {
        assert!(!record.name.contains(&0));
        record.encode(&mut written);
    }
    let again: Result<Vec<Record<'_>>, Malformed> = records(&written).collect();
    assert_eq!(again.as_ref(), Ok(&whole));
    // A shorter read holds the same records up to its end.
    for at in cuts(data) {
        let front: Vec<Result<Record<'_>, Malformed>> = records(&data[..at]).collect();
        let intact = front.iter().take_while(|record| record.is_ok()).count();
        assert!(front.len() - intact <= 1);
        assert!(all.starts_with(&front[..intact]));
        if let Some(Err(Malformed { at: start })) = front.last() {
            assert!(*start < at);
        }
    }
}

/// Records of every kind, alone and together.
pub fn seeds() -> Vec<Vec<u8>> {
    let record = |wd, bits: EventBits, cookie, name: &str| {
        let mut out = Vec::new();
        Record { wd, bits, cookie, name: name.as_bytes() }.encode(&mut out);
        out
    };
    let mut seeds = vec![
        record(1, EventBits::CREATE, 0, "file"),
        record(1, EventBits::CREATE | EventBits::ISDIR, 0, "directory of sixteen and more"),
        record(2, EventBits::MODIFY, 0, "exactly15 bytes"),
        record(2, EventBits::CLOSE_WRITE, 0, "exactly 16 bytes"),
        [record(1, EventBits::MOVED_FROM, 77, "old"), record(2, EventBits::MOVED_TO, 77, "new")].concat(),
        [record(3, EventBits::DELETE_SELF, 0, ""), record(3, EventBits::IGNORED, 0, "")].concat(),
        record(-1, EventBits::Q_OVERFLOW, 0, ""),
        record(4, EventBits::UNMOUNT | EventBits::ATTRIB, 0, ""),
    ];
    seeds.push(seeds.concat());
    seeds
}
