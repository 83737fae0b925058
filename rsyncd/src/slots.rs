//! `max connections`: places in the lock file (04-daemon 16).
//!
//! Place i is the bytes 4i to 4i+3 of the file. A stock rsyncd that shares the file takes them with POSIX locks,
//! which belong to a process; we have many sessions in one process, so ours are locks of the open file
//! description. The two kinds conflict with each other.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::operator;

/// A place that a session holds until this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _lock: Option<OwnedFd>,
}

/// Why there is no place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SlotError {
    #[error("max connections reached")]
    Full,
    #[error("failed to open lock file")]
    Open(#[source] io::Error),
}

/// Takes a place. A maximum of 0 needs none, and below 0 there is none.
pub(crate) fn take(lock_file: &Path, max: i32) -> Result<Slot, SlotError> {
    if max == 0 {
        return Ok(Slot { _lock: None });
    }
    let file = operator::append(lock_file, 0o600).map_err(SlotError::Open)?;
    for i in 0..i64::from(max) {
        let range = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: i * SLOT_LEN,
            l_len: SLOT_LEN,
            l_pid: 0,
        };
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&range)) {
            Ok(_) => return Ok(Slot { _lock: Some(file) }),
            Err(Errno::EAGAIN | Errno::EACCES) => {}
            Err(error) => return Err(SlotError::Open(error.into())),
        }
    }
    Err(SlotError::Full)
}

const SLOT_LEN: i64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_share_the_places_of_a_file() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("lock");
        let full = |max| matches!(take(&path, max), Err(SlotError::Full));
        let first = take(&path, 2).expect("first");
        let second = take(&path, 2).expect("second");
        assert!(full(2), "both places are taken");
        let third = take(&path, 3).expect("a module with more places gets in");
        assert!(full(3));
        assert!(take(&path, 0).is_ok(), "0 is not counted");
        drop(first);
        let _again = take(&path, 2).expect("a place became free");
        assert!(full(-1), "a negative maximum has no place");
        drop((second, third));
        assert!(matches!(
            take(&dir.path().join("no/lock"), 1),
            Err(SlotError::Open(_))
        ));
    }
}
