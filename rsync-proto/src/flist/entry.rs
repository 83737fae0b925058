//! One entry of the list as values.

/// An entry: what the sender says of one file. Names, targets and digests are borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry<'a> {
    /// Path below the transfer root, `/` separated, no trailing slash; "." is the root itself. A decoded name
    /// is clean: no empty, "." or ".." component, except for a leading slash under `-R`, which counts for
    /// the order and is to be removed before use.
    pub name: &'a [u8],
    /// Bytes of a file, length of a link's target; 0 for devices, FIFOs and sockets.
    pub size: u64,
    /// Modification time, seconds since 1970. Protocol 29 carries the low 32 bits, read as unsigned.
    pub mtime: i64,
    /// Nanoseconds of the modification time, below 10^9; protocol 31 and later.
    pub mtime_nsec: u32,
    /// Type and permission bits as in `st_mode`. 0 is an argument that the sender lacks
    /// (`--delete-missing-args`).
    pub mode: u32,
    /// Owner, 0 without `-o`.
    pub uid: u32,
    /// Group, 0 without `-g`.
    pub gid: u32,
    /// Name of the owner, in incremental recursion with the first entry that has this owner. 1 to 255 bytes.
    pub user_name: Option<&'a [u8]>,
    /// Name of the group, as the user's.
    pub group_name: Option<&'a [u8]>,
    /// Major and minor number of a device, if devices are preserved.
    pub rdev: Option<(u32, u32)>,
    /// Target of a symbolic link, if links are preserved. 1 to 4095 bytes.
    pub link_target: Option<&'a [u8]>,
    /// Place in a group of hard links, if they are preserved.
    pub hard_link: HardLink,
    /// List checksum of a regular file under `-c`. All zero is what a sender gives for a file that it cannot
    /// read, and what the encoder writes for none.
    pub checksum: Option<&'a [u8]>,
    /// Directory that an argument names, or with `no_content` one that `-R` implies (02-file-list 5.9).
    pub top_dir: bool,
    /// Directory whose contents the list does not hold, so that nothing in it may be deleted. At protocol 29
    /// the decoder derives it.
    pub no_content: bool,
}

impl Entry<'_> {
    /// The type that the mode names; `None` for a mode that is none.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        Kind::of(self.mode)
    }

    /// Whether this is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.kind() == Some(Kind::Directory)
    }
}

/// How an entry takes part in a group of hard links (02-file-list 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HardLink {
    /// Not at all.
    #[default]
    None,
    /// Protocol 30 and later: the first of its group, whose number is the arrival index of this entry.
    First,
    /// Protocol 30 and later: a later member of the group of this number. If the first came in the same list,
    /// a decoded entry has its fields.
    Follower(i32),
    /// Protocol 29: equal pairs are one file.
    DevIno {
        /// `st_dev`. (On the wire one more, so that it is never 0.)
        dev: u64,
        /// `st_ino`.
        ino: u64,
    },
}

/// Type of an entry (02-file-list 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// FIFO.
    Fifo,
    /// Socket.
    Socket,
    /// Mode 0: the sender lacks what its argument names.
    Missing,
}

impl Kind {
    /// The type in the bits of `st_mode`; `None` if there is no such type or a bit above the lower 16 is set.
    #[must_use]
    pub fn of(mode: u32) -> Option<Self> {
        Some(match mode & !0o7777 {
            0o100_000 => Self::Regular,
            0o040_000 => Self::Directory,
            0o120_000 => Self::Symlink,
            0o020_000 => Self::CharDevice,
            0o060_000 => Self::BlockDevice,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            0 if mode == 0 => Self::Missing,
            _ => return None,
        })
    }

    /// Character and block devices.
    #[must_use]
    pub fn is_device(self) -> bool {
        matches!(self, Self::CharDevice | Self::BlockDevice)
    }

    /// FIFOs and sockets.
    #[must_use]
    pub fn is_special(self) -> bool {
        matches!(self, Self::Fifo | Self::Socket)
    }
}
