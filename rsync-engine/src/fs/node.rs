//! Any object, held without access to its data.

use super::{AttrOutcome, Attrs, Result, Stat};

/// An `O_PATH` handle of any object: metadata is read and set on exactly this inode.
#[derive(Debug)]
pub struct Node(std::os::fd::OwnedFd);

impl Node {
    /// Examines it. `statx`.
    pub fn stat(&self) -> Result<Stat> {
        todo!()
    }
    /// The target, if it is a symbolic link. `readlinkat`.
    pub fn read_link(&self) -> Result<Vec<u8>> {
        todo!()
    }
    /// Sets attributes, given what it has now. A link's permissions are never set. See [`Attrs`].
    pub fn set_attrs(&self, attrs: &Attrs, now: &Stat) -> AttrOutcome {
        todo!()
    }
}
