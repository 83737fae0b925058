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
