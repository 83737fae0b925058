//! Links and special files that replace something atomically: made under a temporary name, then renamed.

use super::{Dir, Name, Node, Result};

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
pub struct Staged;

impl Staged {
    /// Opens it, to set attributes before it is seen. One `openat2`.
    pub fn node(&self) -> Result<Node> {
        todo!()
    }
    /// Moves it to `name` in `dir`, replacing what is there (EISDIR for a directory). One `renameat`.
    pub fn publish(&mut self, dir: &Dir, name: Name<'_>) -> Result<()> {
        todo!()
    }
}
