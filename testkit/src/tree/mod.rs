//! Trees: built by declaration ([`TreeSpec`]), changed at random ([`Mutator`]), compared ([`Compare`]); and a big one
//! of real files ([`real_tree`]).

mod compare;
mod mutate;
mod real;
mod spec;

pub use compare::{Compare, assert_same, differences, same};
pub use mutate::{Change, Mix, Mutator};
pub use real::real_tree;
pub use spec::TreeSpec;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};
use std::fs;
use std::path::Path;

/// Sets the modification time of what is at `path`, a symlink itself included; seconds since 1970 and nanoseconds.
///
/// # Panics
/// When that cannot be done.
#[track_caller]
pub fn set_mtime(path: &Path, seconds: i64, nanos: u32) {
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: seconds,
            tv_nsec: nanos.into(),
        },
    };
    if let Err(error) = utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW) {
        panic!("cannot set the time of {}: {error}", path.display());
    }
}

/// Gives everything below `root` that was changed within the last hour one and the same time, so that trees which were made at
/// different moments can be compared.
///
/// # Panics
/// When that cannot be done.
#[track_caller]
pub fn settle_times(root: &Path) {
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let meta = fs::symlink_metadata(&path).expect("it was listed");
        if meta.is_dir() {
            let listing = fs::read_dir(&path).expect("a directory of the tests can be read");
            pending.extend(
                listing.map(|entry| entry.expect("a directory of the tests can be read").path()),
            );
        }
        let modified = meta.modified().expect("every file system has it");
        if modified.elapsed().is_ok_and(|age| age.as_secs() < 3600) {
            set_mtime(&path, 1_700_000_000, 123_456_789);
        }
    }
}
