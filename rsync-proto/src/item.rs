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
