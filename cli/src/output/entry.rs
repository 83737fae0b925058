//! What is known about an entry when a line about it is printed.

use rsync_proto::item::ItemFlags;

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
            .filter(|name| !name.is_empty() && !self.flags.contains(ItemFlags::TRANSFER));
        match (hard, self.link_target) {
            (Some(name), _) => [b" => ", name].concat(),
            (None, Some(target)) if self.is_link() => [b" -> ", target].concat(),
            _ => Vec::new(),
        }
    }
}
