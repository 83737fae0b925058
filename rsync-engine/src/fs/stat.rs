//! What is known of an object.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, StatxTimestamp, makedev};

use super::{Name, Op, Result, context::Context};

/// A point in time as the kernel and the wire have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 00:00 UTC; any value.
    pub secs: i64,
    /// Nanoseconds after `secs`, 0..=999_999_999.
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
    /// Mount id (0 before Linux 5.8).
    pub mnt: u64,
}

impl FileKind {
    /// The type in the mode of [`Stat::mode`]; `None` for a value that no file system has.
    pub fn of_mode(mode: u32) -> Option<Self> {
        Self::of_type(FileType::from_raw_mode(mode))
    }

    /// The type as bits of a mode.
    pub fn mode_bits(self) -> u32 {
        match self {
            Self::Fifo => 0o010_000,
            Self::CharDevice => 0o020_000,
            Self::Directory => 0o040_000,
            Self::BlockDevice => 0o060_000,
            Self::Regular => 0o100_000,
            Self::Symlink => 0o120_000,
            Self::Socket => 0o140_000,
        }
    }

    pub(super) fn of_type(kind: FileType) -> Option<Self> {
        Some(match kind {
            FileType::RegularFile => Self::Regular,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::CharacterDevice => Self::CharDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::Unknown => return None,
        })
    }
}

impl Stat {
    /// The type. What has none of the seven (some entries of procfs-like systems) counts as a
    /// socket: never opened, never sent as data.
    pub fn kind(&self) -> FileKind {
        FileKind::of_mode(self.mode).unwrap_or(FileKind::Socket)
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

    /// Examines `name` in `dir`, or `dir` itself (of any type, `O_PATH` too). One `statx`.
    pub(super) fn read(
        context: &Context,
        dir: BorrowedFd<'_>,
        name: Option<Name<'_>>,
    ) -> Result<Self> {
        context.before(Op::Stat)?;
        let (path, flags) = match name {
            Some(name) => (name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW),
            None => (&b""[..], AtFlags::EMPTY_PATH),
        };
        let mask = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        rustix::fs::statx(dir, path, flags | AtFlags::NO_AUTOMOUNT, mask).map(Self::from)
    }
}

impl From<Statx> for Stat {
    fn from(raw: Statx) -> Self {
        let mnt_known = StatxFlags::from_bits_retain(raw.stx_mask).contains(StatxFlags::MNT_ID);
        Self {
            mode: u32::from(raw.stx_mode),
            uid: raw.stx_uid,
            gid: raw.stx_gid,
            size: raw.stx_size,
            mtime: raw.stx_mtime.into(),
            atime: raw.stx_atime.into(),
            ctime: raw.stx_ctime.into(),
            id: FileId {
                dev: makedev(raw.stx_dev_major, raw.stx_dev_minor),
                ino: raw.stx_ino,
            },
            nlink: raw.stx_nlink,
            rdev: (raw.stx_rdev_major, raw.stx_rdev_minor),
            mnt: if mnt_known { raw.stx_mnt_id } else { 0 },
        }
    }
}

impl From<StatxTimestamp> for Timestamp {
    fn from(raw: StatxTimestamp) -> Self {
        Self {
            secs: raw.tv_sec,
            nsec: raw.tv_nsec,
        }
    }
}
