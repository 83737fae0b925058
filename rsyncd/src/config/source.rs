//! Where configuration text comes from.

use std::io;
use std::path::Path;

use rsync_engine::fs::{FileId, Timestamp};

use crate::operator;

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    id: FileId,
    size: u64,
    changed: Timestamp,
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
            id: stat.id,
            size: stat.size,
            changed: stat.ctime,
        })
    }
}

/// A single file in memory.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl Text<'_> {
    /// What the file is called in messages.
    pub(super) const NAME: &'static str = "rsyncd.conf";
}

impl Files for Text<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new(Self::NAME) {
            Ok(self.0.to_vec())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn directory(&self, _: &Path) -> io::Result<Option<Vec<Vec<u8>>>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn stamp(&self, _: &Path) -> Option<Stamp> {
        None
    }
}
