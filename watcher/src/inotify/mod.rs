//! The kernel's side: an inotify instance, its watches and its records.

mod reader;
mod record;

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use inotify::{Inotify, WatchDescriptor, WatchMask, Watches};
use rustix::io::Errno;

pub(crate) use reader::{Reader, Receiver, wake};
pub use record::{EventBits, Malformed, Record, Records, records};

/// An inotify instance with the descriptors it gave out.
#[derive(Debug)]
pub(crate) struct Instance {
    inotify: Inotify,
    watches: Mutex<Given>,
}

#[derive(Debug)]
struct Given {
    watches: Watches,
    by_id: HashMap<i32, WatchDescriptor>,
    /// Watches of directories that left the tree, to be removed by the next [`Instance::remove_unused`].
    unused: HashSet<i32>,
    /// Above this the kernel is not asked.
    budget: usize,
}

impl Instance {
    /// A new instance that adds at most `budget` watches.
    pub(crate) fn new(budget: usize) -> std::io::Result<Self> {
        let inotify = Inotify::init()?;
        let watches = Mutex::new(Given {
            watches: inotify.watches(),
            by_id: HashMap::new(),
            unused: HashSet::new(),
            budget,
        });
        Ok(Self { inotify, watches })
    }

    /// Watches the directory behind an open handle. The same directory gives the same number. No disk is touched: the kernel follows
    /// the link of `/proc` to the open file.
    pub(crate) fn watch(&self, dir: BorrowedFd<'_>) -> Result<i32, Errno> {
        let mut given = self.lock();
        let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
        let known = given.by_id.len();
        let wd = match given.watches.add(path, mask()) {
            Ok(wd) => wd,
            Err(error) => {
                return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
            }
        };
        let id = wd.get_watch_descriptor_id();
        given.unused.remove(&id);
        if !given.by_id.contains_key(&id) && known >= given.budget {
            // Adding is the only way to learn whether the directory is watched already.
            let _ = given.watches.remove(wd);
            return Err(Errno::NOSPC);
        }
        given.by_id.insert(id, wd);
        Ok(id)
    }

    /// The kernel removed this watch.
    pub(crate) fn forget(&self, wd: i32) {
        let mut given = self.lock();
        given.by_id.remove(&wd);
        given.unused.remove(&wd);
    }

    /// This watch is of no use any more.
    pub(crate) fn release(&self, wds: impl IntoIterator<Item = i32>) {
        self.lock().unused.extend(wds);
    }

    /// Removes the watches released and not asked for again since.
    pub(crate) fn remove_unused(&self) {
        let mut given = self.lock();
        for id in std::mem::take(&mut given.unused) {
            if let Some(wd) = given.by_id.remove(&id) {
                // The directory itself may be gone: then so is the watch.
                let _ = given.watches.remove(wd);
            }
        }
    }

    /// Watches in use.
    pub(crate) fn used(&self) -> usize {
        self.lock().by_id.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Given> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Instance {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// The kernel's limit of watches of one user, if it can be read.
pub(crate) fn watch_limit() -> Option<usize> {
    std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches")
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Neither OPEN nor ACCESS nor CLOSE_NOWRITE: reading the tree must not feed the queue.
fn mask() -> WatchMask {
    WatchMask::MODIFY
        | WatchMask::ATTRIB
        | WatchMask::CLOSE_WRITE
        | WatchMask::MOVED_FROM
        | WatchMask::MOVED_TO
        | WatchMask::CREATE
        | WatchMask::DELETE
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE_SELF
        | WatchMask::ONLYDIR
        | WatchMask::EXCL_UNLINK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_directory_has_one_watch_and_the_budget_holds() {
        let a = tempfile::tempdir().unwrap();
        let b = tempfile::tempdir().unwrap();
        let open = |dir: &tempfile::TempDir| std::fs::File::open(dir.path()).unwrap();
        let instance = Instance::new(1).unwrap();
        let wd = instance.watch(open(&a).as_fd()).unwrap();
        assert_eq!(instance.watch(open(&a).as_fd()), Ok(wd));
        assert_eq!(instance.watch(open(&b).as_fd()), Err(Errno::NOSPC));
        instance.release([wd]);
        assert_eq!(instance.watch(open(&a).as_fd()), Ok(wd), "asked for again");
        instance.release([wd]);
        instance.remove_unused();
        assert_eq!(instance.used(), 0);
        assert!(instance.watch(open(&b).as_fd()).unwrap() > wd);
    }
}
