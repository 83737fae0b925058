//! What is known about an entry when a line about it is printed.

/// The item flags of 03-transfer 2.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ItemFlags(pub(crate) u16);

impl ItemFlags {
    pub(super) const REPORT_ATIME: u16 = 0x0001;
    pub(super) const REPORT_CHANGE: u16 = 0x0002;
    /// Size of a regular file; for a symlink: its time could not be set.
    pub(super) const REPORT_SIZE: u16 = 0x0004;
    pub(super) const REPORT_TIME: u16 = 0x0008;
    pub(super) const REPORT_PERMS: u16 = 0x0010;
    pub(super) const REPORT_OWNER: u16 = 0x0020;
    pub(super) const REPORT_GROUP: u16 = 0x0040;
    pub(super) const REPORT_ACL: u16 = 0x0080;
    pub(super) const REPORT_XATTR: u16 = 0x0100;
    pub(super) const REPORT_CRTIME: u16 = 0x0400;
    pub(super) const BASIS_TYPE_FOLLOWS: u16 = 0x0800;
    pub(super) const XNAME_FOLLOWS: u16 = 0x1000;
    pub(super) const IS_NEW: u16 = 0x2000;
    pub(super) const LOCAL_CHANGE: u16 = 0x4000;
    pub(super) const TRANSFER: u16 = 0x8000;

    /// Whether any of `bits` is set.
    pub(super) fn any(self, bits: u16) -> bool {
        self.0 & bits != 0
    }

    /// Whether something about the entry differs or happens, beyond how it is brought about (06-client 3.3).
    pub(super) fn is_significant(self) -> bool {
        self.any(!(Self::BASIS_TYPE_FOLLOWS | Self::XNAME_FOLLOWS | Self::LOCAL_CHANGE))
    }
}

/// An entry as lines show it. Names are bytes, relative to the root of the transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// What differs or happens.
    pub(crate) flags: ItemFlags,
    /// Without a trailing slash; the root is `.`.
    pub(crate) name: &'a [u8],
    /// For `%f`: on a push as given on the command line, without a leading slash.
    pub(crate) long_name: Option<&'a [u8]>,
    /// Mode with the file type.
    pub(crate) mode: u32,
    /// Bytes.
    pub(crate) size: u64,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Target of a symlink.
    pub(crate) link_target: Option<&'a [u8]>,
    /// What a hard link was made to, or the name of the basis; may be empty.
    pub(crate) xname: Option<&'a [u8]>,
    /// True at the sender.
    pub(crate) sending: bool,
    /// The entry was deleted; the flags mean nothing.
    pub(crate) deleted: bool,
    /// Bytes of data moved for it.
    pub(crate) moved: u64,
    /// Bytes of checksums moved the other way.
    pub(crate) sums: u64,
    /// Its checksum in hex, if it was computed.
    pub(crate) checksum: Option<&'a str>,
    /// The width of a checksum in hex digits.
    pub(crate) checksum_width: usize,
}

impl<'a> Entry<'a> {
    /// A deleted entry: nothing but its name and whether it was a directory.
    pub(crate) fn deleted(name: &'a [u8], is_dir: bool, sending: bool) -> Self {
        Self {
            flags: ItemFlags::default(),
            name,
            long_name: None,
            mode: if is_dir { 0o040_000 } else { 0o100_000 },
            size: 0,
            mtime: 0,
            uid: 0,
            gid: 0,
            link_target: None,
            xname: None,
            sending,
            deleted: true,
            moved: 0,
            sums: 0,
            checksum: None,
            checksum_width: 0,
        }
    }

    /// The type letter of `ls`.
    pub(super) fn type_letter(&self) -> char {
        match self.mode & 0o170_000 {
            0o040_000 => 'd',
            0o120_000 => 'l',
            0o060_000 => 'b',
            0o020_000 => 'c',
            0o010_000 => 'p',
            0o140_000 => 's',
            _ => '-',
        }
    }

    pub(super) fn is_dir(&self) -> bool {
        self.type_letter() == 'd'
    }

    pub(super) fn is_link(&self) -> bool {
        self.type_letter() == 'l'
    }

    /// `rwxr-xr-x`, with `s`, `S`, `t` and `T` as in ls.
    pub(super) fn permissions(&self) -> String {
        let mut letters: Vec<u8> = (0..9)
            .map(|bit| {
                if self.mode >> (8 - bit) & 1 == 1 {
                    b"rwx"[bit % 3]
                } else {
                    b'-'
                }
            })
            .collect();
        for (bit, at, set) in [(0o4000, 2, b's'), (0o2000, 5, b's'), (0o1000, 8, b't')] {
            if self.mode & bit != 0 {
                letters[at] = if letters[at] == b'x' {
                    set
                } else {
                    set.to_ascii_uppercase()
                };
            }
        }
        letters.into_iter().map(char::from).collect()
    }

    /// The name with the slash of a directory.
    pub(super) fn display_name(&self) -> Vec<u8> {
        let slash: &[u8] = if self.is_dir() { b"/" } else { b"" };
        [self.name, slash].concat()
    }

    /// ` => NAME` of a hard link, ` -> TARGET` of a symlink, or nothing.
    pub(super) fn link_suffix(&self) -> Vec<u8> {
        let hard = self
            .xname
            .filter(|name| !name.is_empty() && !self.flags.any(ItemFlags::TRANSFER));
        match (hard, self.link_target) {
            (Some(name), _) => [b" => ", name].concat(),
            (None, Some(target)) if self.is_link() => [b" -> ", target].concat(),
            _ => Vec::new(),
        }
    }
}
