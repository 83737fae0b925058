//! What is known of an object.

/// A point in time as the kernel and the wire have it: seconds since 1970, any 64-bit value, and 0..=999_999_999 nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub secs: i64,
    /// Nanoseconds after `secs`.
    pub nsec: u32,
}

/// The type of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the seven types that a file system has")]
pub enum FileKind {
    Regular,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
}

/// Which object it is, on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
}

/// Everything that one statx call tells.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Type and permission bits, as on the wire (02-file-list 5.4).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes; of a symbolic link, of its target.
    pub size: u64,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Device and inode number.
    pub id: FileId,
    /// Number of hard links.
    pub nlink: u32,
    /// Major and minor number of a device node.
    pub rdev: (u32, u32),
    /// Mount id (0 where the kernel does not tell).
    pub mnt: u64,
}

impl Stat {
    /// The type.
    pub fn kind(&self) -> FileKind {
        todo!()
    }
    /// True for a directory.
    pub fn is_dir(&self) -> bool {
        self.kind() == FileKind::Directory
    }
    /// True for a regular file.
    pub fn is_file(&self) -> bool {
        self.kind() == FileKind::Regular
    }
    /// True for a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.kind() == FileKind::Symlink
    }
    /// The twelve permission bits.
    pub fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }
}
