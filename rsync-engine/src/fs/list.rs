//! Reading a directory.

use std::fmt;

use rustix::fs::RawDir;

use super::{Dir, FileKind, Op, Result};

/// A buffer for directory entries (64 KiB), to be reused from one directory to the next.
#[derive(Debug, Default)]
pub struct ListBuf(Vec<u8>);

/// One entry of a directory.
#[derive(Clone, Copy, Debug)]
pub struct ListEntry<'a> {
    /// The name; never `.` or `..`. It is a [`Name`](super::Name) except on file systems with names
    /// beyond 255 bytes.
    pub name: &'a [u8],
    /// The type, if the file system tells.
    pub kind: Option<FileKind>,
    /// The inode number (of a mount point: of the directory beneath the mount).
    pub ino: u64,
}

/// The entries of a directory in the order of the file system.
pub struct Listing<'b> {
    raw: RawDir<'b, Dir>,
    dir: Dir,
    name: Vec<u8>,
}

/// Bytes asked of one `getdents64`.
const LIST_BUFFER: usize = 64 << 10;

/// Starts a listing at the position of a readable `dir`.
pub(super) fn start(dir: Dir, buf: &mut ListBuf) -> Listing<'_> {
    buf.0.reserve(LIST_BUFFER);
    Listing {
        raw: RawDir::new(dir.clone(), buf.0.spare_capacity_mut()),
        dir,
        name: Vec::new(),
    }
}

impl Listing<'_> {
    /// The next entry. One `getdents64` for each 64 KiB of entries, and one to learn of the end.
    #[expect(
        clippy::should_implement_trait,
        reason = "the entry borrows from the listing"
    )]
    pub fn next(&mut self) -> Option<Result<ListEntry<'_>>> {
        loop {
            if self.raw.is_buffer_empty()
                && let Err(errno) = self.dir.context().before(Op::List)
            {
                return Some(Err(errno));
            }
            let (kind, ino) = match self.raw.next()? {
                Err(errno) => return Some(Err(errno)),
                Ok(entry) => match entry.file_name().to_bytes() {
                    b"." | b".." => continue,
                    name => {
                        self.name.clear();
                        self.name.extend_from_slice(name);
                        (FileKind::of_type(entry.file_type()), entry.ino())
                    }
                },
            };
            return Some(Ok(ListEntry {
                name: &self.name,
                kind,
                ino,
            }));
        }
    }
}

impl fmt::Debug for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}
