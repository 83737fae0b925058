//! Records of an inotify descriptor, decoded from the bytes that one read returned.
//!
//! The `inotify` crate's own iterator asserts on what it reads; this decoder takes any bytes, so that it can be fuzzed.

/// What happened, the bits of `inotify(7)`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EventBits(pub u32);

impl EventBits {
    /// Content was written.
    pub const MODIFY: Self = Self(0x2);
    /// Attributes changed.
    pub const ATTRIB: Self = Self(0x4);
    /// A writer closed the file.
    pub const CLOSE_WRITE: Self = Self(0x8);
    /// First half of a rename.
    pub const MOVED_FROM: Self = Self(0x40);
    /// Second half of a rename.
    pub const MOVED_TO: Self = Self(0x80);
    /// A name appeared.
    pub const CREATE: Self = Self(0x100);
    /// A name vanished.
    pub const DELETE: Self = Self(0x200);
    /// The watched directory was removed.
    pub const DELETE_SELF: Self = Self(0x400);
    /// The watched directory was moved.
    pub const MOVE_SELF: Self = Self(0x800);
    /// The watched file system was unmounted.
    pub const UNMOUNT: Self = Self(0x2000);
    /// Events were dropped.
    pub const Q_OVERFLOW: Self = Self(0x4000);
    /// The watch is gone.
    pub const IGNORED: Self = Self(0x8000);
    /// The subject is a directory.
    pub const ISDIR: Self = Self(0x4000_0000);

    /// True if one of `bits` is set.
    pub const fn has(self, bits: Self) -> bool {
        self.0 & bits.0 != 0
    }
}

impl std::ops::BitOr for EventBits {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::fmt::Debug for EventBits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventBits({:#x})", self.0)
    }
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Watch descriptor; -1 in an overflow record.
    pub wd: i32,
    /// What happened.
    pub bits: EventBits,
    /// The same number in both halves of a rename, else 0.
    pub cookie: u32,
    /// The name inside the watched directory; empty if the record is about the directory itself.
    pub name: &'a [u8],
}

impl Record<'_> {
    /// Length of a record without its name.
    pub const HEAD: usize = 16;

    /// Appends the record in the kernel's form: the name ended and padded with NUL to a multiple of the head's length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let padded = if self.name.is_empty() {
            0
        } else {
            (self.name.len() + 1).next_multiple_of(Self::HEAD)
        };
        out.extend_from_slice(&self.wd.to_ne_bytes());
        out.extend_from_slice(&self.bits.0.to_ne_bytes());
        out.extend_from_slice(&self.cookie.to_ne_bytes());
        out.extend_from_slice(&u32::try_from(padded).unwrap_or(0).to_ne_bytes());
        out.extend_from_slice(self.name);
        out.resize(out.len() + padded - self.name.len().min(padded), 0);
    }
}

/// Bytes that are no sequence of whole records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("inotify record cut short at byte {at}")]
pub struct Malformed {
    /// Where the bad record starts.
    pub at: usize,
}

/// The records in `bytes`. Ends after the first malformed one; the kernel returns only whole records.
pub fn records(bytes: &[u8]) -> Records<'_> {
    Records { bytes, at: 0 }
}

/// Iterator of [`records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return None;
        }
        let start = self.at;
        let Some((record, len)) = decode(rest) else {
            self.at = self.bytes.len();
            return Some(Err(Malformed { at: start }));
        };
        self.at += len;
        Some(Ok(record))
    }
}

fn decode(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let (head, rest) = bytes.split_first_chunk::<{ Record::HEAD }>()?;
    let word = |i: usize| [head[i], head[i + 1], head[i + 2], head[i + 3]];
    let len = usize::try_from(u32::from_ne_bytes(word(12))).ok()?;
    let padded = rest.get(..len)?;
    let end = padded.iter().position(|&b| b == 0).unwrap_or(len);
    let record = Record {
        wd: i32::from_ne_bytes(word(0)),
        bits: EventBits(u32::from_ne_bytes(word(4))),
        cookie: u32::from_ne_bytes(word(8)),
        name: &padded[..end],
    };
    Some((record, Record::HEAD + len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_captured_from_a_kernel() {
        // `mkdir d` in a directory watched as 1, then an overflow. Little endian, as the machine of the capture.
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&1i32.to_ne_bytes());
        bytes.extend_from_slice(&0x4000_0100u32.to_ne_bytes());
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        bytes.extend_from_slice(&16u32.to_ne_bytes());
        bytes.extend_from_slice(b"d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        bytes.extend_from_slice(&(-1i32).to_ne_bytes());
        bytes.extend_from_slice(&0x4000u32.to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        let found: Vec<_> = records(&bytes).map(Result::unwrap).collect();
        assert_eq!(
            found,
            [
                Record {
                    wd: 1,
                    bits: EventBits::CREATE | EventBits::ISDIR,
                    cookie: 0,
                    name: b"d"
                },
                Record {
                    wd: -1,
                    bits: EventBits::Q_OVERFLOW,
                    cookie: 0,
                    name: b""
                },
            ]
        );
        assert!(
            records(&bytes[..bytes.len() - 1])
                .last()
                .is_some_and(|last| last == Err(Malformed { at: 32 }))
        );
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            parts in prop::collection::vec((any::<i32>(), any::<u32>(), any::<u32>(), prop::collection::vec(1u8..=255, 0..255)), 0..9)
        ) {
            let mut bytes = Vec::new();
            for (wd, bits, cookie, name) in &parts {
                Record { wd: *wd, bits: EventBits(*bits), cookie: *cookie, name }.encode(&mut bytes);
            }
            let found: Vec<_> = records(&bytes).map(Result::unwrap).collect();
            prop_assert_eq!(found.len(), parts.len());
            for (record, (wd, bits, cookie, name)) in found.iter().zip(&parts) {
                prop_assert_eq!((record.wd, record.bits, record.cookie, record.name), (*wd, EventBits(*bits), *cookie, &name[..]));
            }
        }

        #[test]
        fn any_bytes_end_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let found: Vec<_> = records(&bytes).collect();
            prop_assert!(found.len() <= bytes.len() / Record::HEAD + 1);
            prop_assert!(found.iter().rev().skip(1).all(Result::is_ok));
        }
    }
}
