//! A hook before every system call, for tests: it may change the tree (races) or make the call
//! fail (faults).

/// The system calls that a test can stop at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// Opening a directory.
    OpenDir,
    /// Opening an object without access to its data (`O_PATH`).
    OpenNode,
    /// Opening a file for reading.
    OpenRead,
    /// Opening an existing file for writing.
    OpenWrite,
    /// Creating a file.
    Create,
    /// Reading file data.
    Read,
    /// Writing file data.
    Write,
    /// Changing a file's length or reserving space.
    Truncate,
    /// Writing data to the disk.
    Sync,
    /// Examining an object.
    Stat,
    /// Reading directory entries.
    List,
    /// Reading a symbolic link.
    ReadLink,
    /// Making a directory.
    Mkdir,
    /// Removing a directory.
    Rmdir,
    /// Removing anything else.
    Unlink,
    /// Renaming, which includes publishing a temporary.
    Rename,
    /// Making a symbolic link.
    Symlink,
    /// Making a hard link.
    Link,
    /// Making a device, FIFO or socket.
    Mknod,
    /// Changing owner and group.
    Chown,
    /// Changing permissions.
    Chmod,
    /// Changing times.
    Utime,
}

#[cfg(any(test, feature = "fault-injection"))]
pub use injection::{Countdown, Interpose};

#[cfg(any(test, feature = "fault-injection"))]
mod injection {
    use std::fmt;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Op;
    use crate::fs::Errno;

    /// Called before each system call made through a [`Tree`](crate::fs::Tree) that carries it.
    pub trait Interpose: Send + Sync + fmt::Debug {
        /// May change the file system; an error is returned in the place of the call.
        fn before(&self, op: Op) -> Result<(), Errno>;
    }

    /// Makes the n-th call of one operation fail, once.
    #[derive(Debug)]
    pub struct Countdown {
        op: Op,
        left: AtomicU32,
        errno: Errno,
    }

    impl Countdown {
        /// The `nth` call (from 1) of `op` fails with `errno`; the others go through.
        pub fn new(op: Op, nth: u32, errno: Errno) -> Self {
            Self {
                op,
                left: nth.into(),
                errno,
            }
        }
    }

    impl Interpose for Countdown {
        fn before(&self, op: Op) -> Result<(), Errno> {
            let fires = op == self.op
                && self
                    .left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    == Ok(1);
            if fires { Err(self.errno) } else { Ok(()) }
        }
    }
}
