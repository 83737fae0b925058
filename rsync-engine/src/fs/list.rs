//! Reading a directory.

use super::{FileKind, Result};

/// A buffer for directory entries (64 KiB), to be reused from one directory to the next.
#[derive(Debug, Default)]
pub struct ListBuf(Vec<u8>);

/// One entry of a directory.
#[derive(Clone, Copy, Debug)]
pub struct ListEntry<'a> {
    /// The name; never `.` or `..`.
    pub name: &'a [u8],
    /// The type, if the file system tells.
    pub kind: Option<FileKind>,
    /// The inode number (of a mount point: of the directory beneath the mount).
    pub ino: u64,
}

/// The entries of a directory in the order of the file system.
#[derive(Debug)]
pub struct Listing<'b>(&'b mut ListBuf);

impl Listing<'_> {
    /// The next entry. One `getdents64` for each 64 KiB.
    #[expect(
        clippy::should_implement_trait,
        reason = "the entry borrows the buffer"
    )]
    pub fn next(&mut self) -> Option<Result<ListEntry<'_>>> {
        todo!()
    }
}
