//! The names of checksums and compressions, and how two sides come to one (01-session 9.3).

use crate::error::Unsupported;
use crate::names::{self, WireName};

/// A checksum for blocks, files and lists, as the wire names it. Seeds and byte order are not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChecksumName {
    /// XXH3, 128 bits.
    Xxh128,
    /// XXH3, 64 bits.
    Xxh3,
    /// XXH64.
    Xxh64,
    /// MD5: the default without negotiation at protocol 30 and later.
    Md5,
    /// MD4, named or negotiated.
    Md4,
    /// SHA-1.
    Sha1,
    /// No checksum; only by explicit choice.
    None,
    /// MD4 with the seed rules of protocol 29. Has no name of its own.
    OldMd4,
}

impl ChecksumName {
    /// Every checksum that a list can name, in the one order that works with every peer.
    pub const NEGOTIABLE: [Self; 6] = [
        Self::Xxh128,
        Self::Xxh3,
        Self::Xxh64,
        Self::Md5,
        Self::Md4,
        Self::Sha1,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OldMd4 => Self::Md4.wire_name(),
            named => named.wire_name(),
        }
    }

    /// The checksum of that name, in any case.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::from_wire(name)
    }

    /// Bytes of the whole digest on the wire (03-transfer 4.5).
    #[must_use]
    pub fn digest_len(self) -> usize {
        match self {
            Self::Xxh128 | Self::Md5 | Self::Md4 | Self::OldMd4 => 16,
            Self::Xxh3 | Self::Xxh64 => 8,
            Self::Sha1 => 20,
            Self::None => 1,
        }
    }
}

impl WireName for ChecksumName {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("xxh128", Self::Xxh128),
        ("xxh3", Self::Xxh3),
        ("xxh64", Self::Xxh64),
        ("md5", Self::Md5),
        ("md4", Self::Md4),
        ("sha1", Self::Sha1),
        ("none", Self::None),
        ("xxhash", Self::Xxh64),
    ];
}

/// The checksums of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChecksumChoice {
    /// For blocks and transferred files.
    pub transfer: ChecksumName,
    /// For `--checksum`, in the file list.
    pub list: ChecksumName,
}

impl ChecksumChoice {
    /// The value of `--checksum-choice`: one name, or two with a comma between. `None` is `auto`: negotiate.
    ///
    /// # Errors
    /// [`Unsupported::ChecksumName`].
    pub fn parse(value: &[u8]) -> Result<Option<Self>, Unsupported> {
        if value.eq_ignore_ascii_case(b"auto") {
            return Ok(None);
        }
        let mut names = value.splitn(2, |&byte| byte == b',');
        let mut name = || names.next().map(ChecksumName::from_name);
        let transfer = name().flatten().ok_or(Unsupported::ChecksumName)?;
        let list = match name() {
            None => transfer,
            Some(list) => list.ok_or(Unsupported::ChecksumName)?,
        };
        Ok(Some(Self { transfer, list }))
    }

    /// One checksum for everything.
    #[must_use]
    pub fn both(name: ChecksumName) -> Self {
        Self {
            transfer: name,
            list: name,
        }
    }
}

/// A compression of the token stream, as the wire names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// zstd.
    Zstd,
    /// lz4.
    Lz4,
    /// zlib, matched data left out of the dictionary.
    Zlibx,
    /// zlib, as it always was.
    Zlib,
    /// No compression.
    None,
}

impl Compression {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.wire_name()
    }

    /// The compression of that name, in any case.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::from_wire(name)
    }
}

impl WireName for Compression {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("zstd", Self::Zstd),
        ("lz4", Self::Lz4),
        ("zlibx", Self::Zlibx),
        ("zlib", Self::Zlib),
        ("none", Self::None),
    ];
}

/// What the argument vector says about compression. Both sides must conclude the same from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CompressionRequest {
    /// None asked for.
    #[default]
    Off,
    /// `-z` or a level, without a name.
    Negotiate,
    /// This one, by an argument.
    Named(Compression),
}

/// Which side of the negotiation we are: the choice is always the client's first name that the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Our list is the one that is read first to last.
    Client,
    /// The peer's is.
    Server,
}

/// The name that both sides come to, from ours and the peer's list.
pub(super) fn choose<N: WireName>(side: Side, ours: &[N], list: &[u8]) -> Option<N> {
    let theirs = names::parse_list(list);
    match side {
        Side::Client => names::first_common(&names::in_order(ours), &theirs),
        Side::Server => names::first_common(&theirs, ours),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ChecksumName::{Md4, Md5, Sha1, Xxh3, Xxh64, Xxh128};

    #[test]
    fn lists_are_in_rsyncs_order() {
        assert_eq!(
            names::list(&[Sha1, Md4, Md5, Xxh64, Xxh3, Xxh128]),
            "xxh128 xxh3 xxh64 md5 md4 sha1"
        );
        assert_eq!(names::list(&[ChecksumName::None, Xxh64]), "xxh64 none");
        assert_eq!(
            names::list(&[Compression::Zlib, Compression::Zstd]),
            "zstd zlib"
        );
        assert_eq!(names::list::<ChecksumName>(&[]), "");
    }

    #[test]
    fn choices() {
        // Ours, the peer's list, choice as client, choice as server.
        let rows: [(&[ChecksumName], &str, Option<_>, Option<_>); 6] = [
            (
                &ChecksumName::NEGOTIABLE,
                "xxh64 md5 md4 none",
                Some(Xxh64),
                Some(Xxh64),
            ),
            (&[Md5, Xxh128], "md5 xxh128", Some(Xxh128), Some(Md5)),
            (&[Md5], "XXHASH MD5", Some(Md5), Some(Md5)),
            (&[Xxh64], "xxhash", Some(Xxh64), Some(Xxh64)),
            (&[Md5], "sha1", None, None),
            (&[Md5], "", None, None),
        ];
        for (ours, theirs, client, server) in rows {
            assert_eq!(choose(Side::Client, ours, theirs.as_bytes()), client);
            assert_eq!(choose(Side::Server, ours, theirs.as_bytes()), server);
        }
    }

    type Parsed = Result<Option<ChecksumChoice>, Unsupported>;

    #[test]
    fn checksum_choice_option() {
        let both = ChecksumChoice::both;
        let pair = ChecksumChoice {
            transfer: Md5,
            list: Sha1,
        };
        let rows: [(&[u8], Parsed); 8] = [
            (b"auto", Ok(None)),
            (b"MD5", Ok(Some(both(Md5)))),
            (b"none", Ok(Some(both(ChecksumName::None)))),
            (b"md5,sha1", Ok(Some(pair))),
            (b"md5,", Err(Unsupported::ChecksumName)),
            (b"md5,sha1,md4", Err(Unsupported::ChecksumName)),
            (b"blake9", Err(Unsupported::ChecksumName)),
            (b"", Err(Unsupported::ChecksumName)),
        ];
        for (value, choice) in rows {
            assert_eq!(ChecksumChoice::parse(value), choice, "{value:?}");
        }
        assert_eq!(ChecksumName::OldMd4.name(), "md4");
    }
}
