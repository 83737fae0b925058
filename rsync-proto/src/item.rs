//! The header of an item: what follows an index (03-transfer 2.2).

use std::ops::{BitOr, BitOrAssign};

use crate::error::{DecodeError, EncodeError};
use crate::limits;
use crate::wire::{Cursor, put_short, put_vstring};

/// What an item is about: which attributes differ and what follows on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ItemFlags(pub u16);

impl ItemFlags {
    /// Access time differs.
    pub const REPORT_ATIME: Self = Self(0x0001);
    /// Content or value differs.
    pub const REPORT_CHANGE: Self = Self(0x0002);
    /// Size of a regular file differs.
    pub const REPORT_SIZE: Self = Self(0x0004);
    /// Modification time of a symbolic link could not be set.
    pub const REPORT_TIMEFAIL: Self = Self(0x0004);
    /// Modification time differs.
    pub const REPORT_TIME: Self = Self(0x0008);
    /// Permissions differ.
    pub const REPORT_PERMS: Self = Self(0x0010);
    /// Owner differs.
    pub const REPORT_OWNER: Self = Self(0x0020);
    /// Group differs.
    pub const REPORT_GROUP: Self = Self(0x0040);
    /// Access control list differs.
    pub const REPORT_ACL: Self = Self(0x0080);
    /// Extended attributes differ.
    pub const REPORT_XATTR: Self = Self(0x0100);
    /// Creation time differs.
    pub const REPORT_CRTIME: Self = Self(0x0400);
    /// A byte of basis type follows.
    pub const BASIS_TYPE_FOLLOWS: Self = Self(0x0800);
    /// A name follows.
    pub const XNAME_FOLLOWS: Self = Self(0x1000);
    /// Did not exist on the receiving side.
    pub const IS_NEW: Self = Self(0x2000);
    /// The generator created or changed it by itself.
    pub const LOCAL_CHANGE: Self = Self(0x4000);
    /// A sum head and data follow.
    pub const TRANSFER: Self = Self(0x8000);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any bit of `other` is set.
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These flags without those of `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl ItemFlags {
    /// Whether something about the entry differs or happens, beyond how it is brought about (06-client 3.3).
    #[must_use]
    pub fn is_significant(self) -> bool {
        let how = Self::BASIS_TYPE_FOLLOWS | Self::XNAME_FOLLOWS | Self::LOCAL_CHANGE;
        self.without(how) != Self::default()
    }

    /// The eleven characters of an itemized line (06-client 3.3). `mode`: with the file type. `away`: data goes to another
    /// machine. `times`: modification times are set.
    #[must_use]
    pub fn itemized(self, mode: u32, away: bool, times: bool) -> String {
        let link = mode & 0o170_000 == 0o120_000;
        let kind = match mode & 0o170_000 {
            0o040_000 => 'd',
            0o120_000 => 'L',
            0o020_000 | 0o060_000 => 'D',
            0o010_000 | 0o140_000 => 'S',
            _ => 'f',
        };
        let action = match () {
            () if self.contains(Self::LOCAL_CHANGE | Self::XNAME_FOLLOWS) => 'h',
            () if self.contains(Self::LOCAL_CHANGE) => 'c',
            () if !self.contains(Self::TRANSFER) => '.',
            () if away => '<',
            () => '>',
        };
        let mut text = String::with_capacity(11);
        text.push(action);
        text.push(kind);
        if self.contains(Self::IS_NEW) {
            text.push_str("+++++++++");
            return text;
        }
        let column = |bit: Self, letter: char| if self.contains(bit) { letter } else { '.' };
        let time_kept = times && !(link && self.contains(Self::REPORT_TIMEFAIL));
        let access = match (
            self.contains(Self::REPORT_ATIME),
            self.contains(Self::REPORT_CRTIME),
        ) {
            (true, true) => 'b',
            (true, false) => 'u',
            (false, true) => 'n',
            (false, false) => '.',
        };
        let columns = [
            column(Self::REPORT_CHANGE, 'c'),
            if link {
                '.'
            } else {
                column(Self::REPORT_SIZE, 's')
            },
            column(Self::REPORT_TIME, if time_kept { 't' } else { 'T' }),
            column(Self::REPORT_PERMS, 'p'),
            column(Self::REPORT_OWNER, 'o'),
            column(Self::REPORT_GROUP, 'g'),
            access,
            column(Self::REPORT_ACL, 'a'),
            column(Self::REPORT_XATTR, 'x'),
        ];
        let unchanged = action != '<' && action != '>' && columns == ['.'; 9];
        text.extend(columns.map(|letter| if unchanged { ' ' } else { letter }));
        text
    }
}

impl BitOr for ItemFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for ItemFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Basis types of an item header (03-transfer 2.3). Values below 0x80 number the alternate directories.
pub mod basis {
    /// The destination file itself; implied without a basis type.
    pub const DESTINATION: u8 = 0x80;
    /// The file in the partial directory.
    pub const PARTIAL_DIR: u8 = 0x81;
    /// The backup copy.
    pub const BACKUP: u8 = 0x82;
    /// Another file of the directory, named by the extra name. Values above name it in an alternate directory.
    pub const FUZZY: u8 = 0x83;
}

/// An item header without its index: flags, basis type and extra name. The sender repeats it as it got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ItemHeader<'a> {
    /// The flags. Those that say what follows are set by [`put`](Self::put) from the two other fields.
    pub flags: ItemFlags,
    /// The basis type, one of [`basis`], as sent: nothing here says that the basis was ever proposed.
    pub basis_type: Option<u8>,
    /// A name, at most 4095 bytes, as sent: it may hold any byte.
    pub xname: Option<&'a [u8]>,
}

impl<'a> ItemHeader<'a> {
    /// Reads the header that follows an index.
    ///
    /// # Errors
    /// Incomplete; [`Violation::StringTooLong`](crate::Violation::StringTooLong) for the extra name.
    pub fn decode(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let mut probe = cursor.clone();
        let flags = ItemFlags(probe.short()?);
        let basis_type = flags
            .contains(ItemFlags::BASIS_TYPE_FOLLOWS)
            .then(|| probe.byte())
            .transpose()?;
        let xname = flags
            .contains(ItemFlags::XNAME_FOLLOWS)
            .then(|| probe.vstring(limits::XNAME))
            .transpose()?;
        *cursor = probe;
        Ok(Self {
            flags,
            basis_type,
            xname,
        })
    }

    /// Appends the header.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] for the extra name; nothing is appended then.
    pub fn put(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut flags = self
            .flags
            .without(ItemFlags::BASIS_TYPE_FOLLOWS | ItemFlags::XNAME_FOLLOWS);
        if self.basis_type.is_some() {
            flags |= ItemFlags::BASIS_TYPE_FOLLOWS;
        }
        if let Some(xname) = self.xname {
            flags |= ItemFlags::XNAME_FOLLOWS;
            if xname.len() > limits::XNAME {
                return Err(EncodeError::TooLong {
                    what: "extra name",
                    len: xname.len(),
                    max: limits::XNAME,
                });
            }
        }
        put_short(out, flags.0);
        out.extend(self.basis_type);
        if let Some(xname) = self.xname {
            put_vstring(out, xname)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row for each column of the itemize string (03-transfer 2.2, itemize.txt).
    #[test]
    fn itemize_columns() {
        let (file, dir, link, device, fifo) =
            (0o100_644, 0o040_755, 0o120_777, 0o020_644, 0o010_644);
        let cases: &[(u16, u32, bool, &str)] = &[
            (0xa000, file, true, ">f+++++++++"),
            (0x6000, dir, true, "cd+++++++++"),
            (0x6002, link, true, "cL+++++++++"),
            (0x6002, device, true, "cD+++++++++"),
            (0x6002, fifo, true, "cS+++++++++"),
            (0x0000, dir, true, ".d         "),
            (0x0000, link, true, ".L         "),
            (0x8000, file, true, ">f........."),
            (0x8004, file, true, ">f.s......."),
            (0x8008, file, true, ">f..t......"),
            (0x800c, file, true, ">f.st......"),
            (0x800c, file, false, ">f.sT......"),
            (0x8002, file, true, ">fc........"),
            (0x0008, file, true, ".f..t......"),
            (0x0010, file, true, ".f...p....."),
            (0x0060, file, true, ".f....og..."),
            (0x400a, link, true, "cLc.t......"),
            (0x0008, link, true, ".L..t......"),
            (0x000c, link, true, ".L..T......"),
            (0x400a, device, true, "cDc.t......"),
            (0x7000, file, true, "hf+++++++++"),
            (0x5000, file, true, "hf         "),
            (0x4000, file, true, "cf         "),
            (0x4010, file, true, "cf...p....."),
            (0x0100, file, true, ".f........x"),
            (0x0080, file, true, ".f.......a."),
            (0x0001, file, true, ".f......u.."),
            (0x0401, file, true, ".f......b.."),
        ];
        for &(flags, mode, times, expected) in cases {
            let text = ItemFlags(flags).itemized(mode, false, times);
            assert_eq!(text, expected, "{flags:#06x} {mode:o}");
        }
        let sent = ItemFlags::IS_NEW | ItemFlags::TRANSFER;
        assert_eq!(sent.itemized(file, true, true), "<f+++++++++");
        assert_eq!(sent.itemized(file, false, true), ">f+++++++++");
    }
    use crate::error::Violation;
    use proptest::prelude::*;

    #[test]
    fn captured_headers() {
        // A new file; a fuzzy basis; a hard link (03-transfer 2.2).
        let rows: [(&[u8], ItemHeader<'_>); 3] = [
            (
                &[0x00, 0xa0],
                ItemHeader {
                    flags: ItemFlags::TRANSFER | ItemFlags::IS_NEW,
                    ..ItemHeader::default()
                },
            ),
            (
                b"\x00\xb8\x83\x03old",
                ItemHeader {
                    flags: ItemFlags(0xb800),
                    basis_type: Some(basis::FUZZY),
                    xname: Some(b"old"),
                },
            ),
            (
                b"\x00\x70\x01a",
                ItemHeader {
                    flags: ItemFlags(0x7000),
                    basis_type: None,
                    xname: Some(b"a"),
                },
            ),
        ];
        for (bytes, header) in rows {
            assert_eq!(ItemHeader::decode(&mut Cursor::new(bytes)), Ok(header));
            let mut out = Vec::new();
            header.put(&mut out).unwrap();
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn long_names_are_refused() {
        let got = ItemHeader::decode(&mut Cursor::new(&[0x00, 0x10, 0x90, 0x00]));
        assert_eq!(
            got,
            Err(Violation::StringTooLong {
                len: 4096,
                max: 4095
            }
            .into())
        );
        let header = ItemHeader {
            xname: Some(&[b'x'; 4096]),
            ..ItemHeader::default()
        };
        let mut out = Vec::new();
        assert!(header.put(&mut out).is_err() && out.is_empty());
    }

    proptest! {
        #[test]
        fn headers_round_trip(
            flags: u16,
            basis_type: Option<u8>,
            xname in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
        ) {
            let header = ItemHeader { flags: ItemFlags(flags), basis_type, xname: xname.as_deref() };
            let mut bytes = Vec::new();
            header.put(&mut bytes).unwrap();
            let got = ItemHeader::decode(&mut Cursor::new(&bytes)).unwrap();
            prop_assert_eq!((got.basis_type, got.xname), (basis_type, header.xname));
            let follows = ItemFlags::BASIS_TYPE_FOLLOWS | ItemFlags::XNAME_FOLLOWS;
            prop_assert_eq!(got.flags.without(follows), header.flags.without(follows));
            for cut in 0..bytes.len() {
                let mut cursor = Cursor::new(&bytes[..cut]);
                prop_assert_eq!(ItemHeader::decode(&mut cursor), Err(DecodeError::Incomplete));
                prop_assert_eq!(cursor.position(), 0);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..32)) {
            let _ = ItemHeader::decode(&mut Cursor::new(&bytes));
        }
    }
}
