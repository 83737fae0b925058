//! A digest of any of the supported checksums, without heap.

use std::fmt;
use std::ops::Deref;

/// A finished digest in wire order, 1 to [`Digest::MAX`] bytes. Dereferences to its bytes.
#[derive(Clone, Copy)]
pub struct Digest {
    bytes: [u8; Self::MAX],
    len: u8,
}

impl Digest {
    /// Length of the longest supported digest (SHA-1).
    pub const MAX: usize = 20;

    /// A digest of the given bytes; what exceeds [`Digest::MAX`] bytes is cut.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let len = bytes.len().min(Self::MAX);
        let mut digest = Self::default();
        digest.bytes[..len].copy_from_slice(&bytes[..len]);
        digest.len = len as u8;
        digest
    }

    /// The bytes, as sent on the wire (03-transfer 4.5).
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The first `len` bytes, or all of them if there are fewer: a block sum of `s2length` bytes.
    pub fn prefix(&self, len: usize) -> &[u8] {
        let len = len.min(usize::from(self.len));
        &self.bytes[..len]
    }
}

impl Default for Digest {
    /// No bytes at all.
    fn default() -> Self {
        Self {
            bytes: [0; Self::MAX],
            len: 0,
        }
    }
}

impl Deref for Digest {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(")?;
        for byte in self.as_bytes() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}
