//! Links and special files that replace something atomically: made under a temporary name, then
//! renamed.

use super::temp::Guard;
use super::{Dir, Errno, Name, Node, Result};

/// What mknod makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// An object under a temporary name: removed on drop unless published.
#[derive(Debug)]
pub struct Staged(Guard);

impl Staged {
    /// Opens it, to set attributes before it is seen. One `openat2`.
    pub fn node(&self) -> Result<Node> {
        self.0.dir().open_node(self.0.name())
    }

    /// Moves it to `name` in `dir`, replacing what is there (EISDIR for a directory). `renameat`;
    /// and `unlinkat`, because renaming one hard link over another of the same file leaves both.
    pub fn publish(mut self, dir: &Dir, name: Name<'_>) -> Result<()> {
        self.0.publish(dir, name)?;
        match self.0.dir().unlink(self.0.name()) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        }
    }

    pub(super) fn create(
        dir: &Dir,
        name: Name<'_>,
        make: impl Fn(Name<'_>) -> Result<()>,
    ) -> Result<Self> {
        Guard::create(dir, name, make).map(Self)
    }
}
