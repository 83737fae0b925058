//! A hook before every system call, for tests: it may change the tree (races) or make the call fail (faults).

#[cfg(any(test, feature = "fault-injection"))]
use super::Errno;

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

/// Called before each system call of a [`Tree`](super::Tree) that carries it.
#[cfg(any(test, feature = "fault-injection"))]
pub trait Interpose: Send + Sync + std::fmt::Debug {
    /// May change the file system; an error is returned in the place of the call.
    fn before(&self, op: Op) -> Result<(), Errno>;
}

/// Makes the n-th call of one operation fail, once.
#[cfg(any(test, feature = "fault-injection"))]
#[derive(Debug)]
pub struct Countdown {
    op: Op,
    left: std::sync::atomic::AtomicU32,
    errno: Errno,
}

#[cfg(any(test, feature = "fault-injection"))]
impl Countdown {
    /// The `nth` (from 1) call of `op` fails with `errno`.
    pub fn new(op: Op, nth: u32, errno: Errno) -> Self {
        Self {
            op,
            left: nth.into(),
            errno,
        }
    }
}
