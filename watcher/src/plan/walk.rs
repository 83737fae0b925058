//! Reading the tree below a marked directory.

use rsync_engine::fs::{Errno, ListBuf, Name, Stat, Timestamp};

use super::Context;
use crate::path::{self, PathBytes};

/// Directories that are still to be read.
pub(super) struct Walk<'c> {
    context: &'c Context<'c>,
    since: Option<Timestamp>,
    directories: Vec<PathBytes>,
}

impl<'c> Walk<'c> {
    /// Everything below `top`, or what has a ctime from `since` on.
    pub(super) fn new(context: &'c Context<'c>, top: &PathBytes, since: Option<Timestamp>) -> Self {
        Self {
            context,
            since,
            directories: vec![top.clone()],
        }
    }

    /// Reads one more directory; `None` after the last. `Err`: it cannot be read, for a reason that does not mean that it is gone.
    pub(super) fn next(
        &mut self,
        list: &mut ListBuf,
        seen: &mut Vec<(PathBytes, Stat)>,
    ) -> Option<Result<(), (PathBytes, Errno)>> {
        let dir = self.directories.pop()?;
        Some(match self.read(&dir, list, seen) {
            // A directory that vanished has its own mark by now.
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(errno) => Err((dir, errno)),
        })
    }

    fn read(
        &mut self,
        dir: &PathBytes,
        list: &mut ListBuf,
        seen: &mut Vec<(PathBytes, Stat)>,
    ) -> Result<(), Errno> {
        let handle = self.context.source.open_list(dir)?;
        // What is in a directory that has no watch yet may vanish without an event. It has a mark of its own when it has its watch.
        if !(self.context.is_attached)(dir, handle.id()?) {
            return Ok(());
        }
        let mut listing = handle.list(list)?;
        while let Some(entry) = listing.next() {
            let name = entry?.name;
            let path = path::join(dir, name);
            let Ok(name) = Name::new(name) else { continue };
            let stat = match handle.stat(name) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno),
            };
            if self.context.excludes.has(&path, stat.is_dir()) {
                continue;
            }
            if stat.is_dir() && path.len() <= path::LONGEST {
                self.directories.push(path.clone());
            }
            if self.since.is_none_or(|since| stat.ctime >= since) {
                seen.push((path, stat));
            }
        }
        Ok(())
    }
}
