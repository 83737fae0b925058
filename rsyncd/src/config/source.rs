//! Where configuration text comes from.

use std::io;
use std::path::Path;

use crate::operator;

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    size: i64,
    changed: (i64, u64),
}

/// Files and directories as the loader needs them.
pub(super) trait Files {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The names of the regular files in a directory; `None` if the path is no directory.
    fn directory(&self, path: &Path) -> io::Result<Option<Vec<Vec<u8>>>>;
    /// `None` if it cannot be examined.
    fn stamp(&self, path: &Path) -> Option<Stamp>;
}

/// The file system, under the operator rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct System;

impl Files for System {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        operator::read(path, crate::limits::CONFIG_FILE).map(|(content, _)| content)
    }

    fn directory(&self, path: &Path) -> io::Result<Option<Vec<Vec<u8>>>> {
        operator::regular_files(path)
    }

    fn stamp(&self, path: &Path) -> Option<Stamp> {
        let stat = operator::stat(path).ok()?;
        Some(Stamp {
            inode: stat.st_ino,
            size: stat.st_size,
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        })
    }
}
