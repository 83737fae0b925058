//! Compat flags, and the letters by which a client offers them (01-session 7.4, 9.2).

use std::ops::{BitAnd, BitOr};

use crate::error::Violation;

/// What the server says about the session: one number at protocol 30 and later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CompatFlags(pub u32);

impl CompatFlags {
    /// Incremental recursion is on.
    pub const INC_RECURSE: Self = Self(0x001);
    /// The server can set times of symbolic links.
    pub const SYMLINK_TIMES: Self = Self(0x002);
    /// Link targets are converted with `--iconv`.
    pub const SYMLINK_ICONV: Self = Self(0x004);
    /// The end of a file list carries the I/O error.
    pub const SAFE_FLIST: Self = Self(0x008);
    /// No shortcut for extended attributes of hard links.
    pub const AVOID_XATTR_OPTIM: Self = Self(0x010);
    /// MD5 block sums hash the seed before the data.
    pub const CHKSUM_SEED_FIX: Self = Self(0x020);
    /// Files of the partial directory may be updated in place.
    pub const INPLACE_PARTIAL_DIR: Self = Self(0x040);
    /// Entry flags are varints, and the names of checksum and compression are negotiated.
    pub const VARINT_FLIST_FLAGS: Self = Self(0x080);
    /// Id lists may name id 0.
    pub const ID0_NAMES: Self = Self(0x100);
    /// All flags that we know.
    pub const ALL: Self = Self(0x1ff);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags without those of `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for CompatFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for CompatFlags {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// What a client can do: the letters after `e` in its options. Each letter is the offer of one compat flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Capabilities(CompatFlags);

impl Capabilities {
    /// What rsync 3.2.3 and later send: `.iLsfxCIvu` with incremental recursion, `.LsfxCIvu` without.
    #[must_use]
    pub fn current(inc_recurse: bool) -> Self {
        Self(if inc_recurse {
            CompatFlags::ALL
        } else {
            CompatFlags::ALL.without(CompatFlags::INC_RECURSE)
        })
    }

    /// The capabilities that offer exactly these flags.
    #[must_use]
    pub fn offering(flags: CompatFlags) -> Self {
        Self(flags & CompatFlags::ALL)
    }

    /// Parses what follows `e`. Anything but the known letters is skipped, as rsync does.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let offered = LETTERS.iter().filter(|(letter, _)| value.contains(letter));
        Self(offered.fold(CompatFlags::default(), |flags, (_, flag)| flags | *flag))
    }

    /// The text after `e`.
    #[must_use]
    pub fn to_text(self) -> String {
        let offered = LETTERS.iter().filter(|(_, flag)| self.0.contains(*flag));
        let letters = offered.map(|(letter, _)| char::from(*letter));
        std::iter::once('.').chain(letters).collect()
    }

    /// Whether incremental recursion was offered.
    #[must_use]
    pub fn inc_recurse(self) -> bool {
        self.0.contains(CompatFlags::INC_RECURSE)
    }

    /// The flags of a server that implements `supported`, in a session whose options allow incremental
    /// recursion or not.
    #[must_use]
    pub fn answer(self, supported: CompatFlags, inc_recurse: bool) -> CompatFlags {
        let flags = (self.0 | UNOFFERED) & supported;
        if inc_recurse {
            flags
        } else {
            flags.without(CompatFlags::INC_RECURSE)
        }
    }

    /// The flags of a server's answer that we know, if each of them was offered.
    ///
    /// # Errors
    /// [`Violation::IncRecurseNotOffered`], [`Violation::CompatNotOffered`].
    pub fn check_answer(self, flags: CompatFlags) -> Result<CompatFlags, Violation> {
        let known = flags & CompatFlags::ALL;
        let excess = known.without(self.0 | UNOFFERED);
        if excess.contains(CompatFlags::INC_RECURSE) {
            return Err(Violation::IncRecurseNotOffered);
        }
        if excess != CompatFlags::default() {
            return Err(Violation::CompatNotOffered { flags: excess.0 });
        }
        Ok(known)
    }
}

/// Flags that a server sets by itself, whatever the letters say.
const UNOFFERED: CompatFlags =
    CompatFlags(CompatFlags::SYMLINK_TIMES.0 | CompatFlags::SYMLINK_ICONV.0);

/// In the order in which rsync writes them.
const LETTERS: [(u8, CompatFlags); 9] = [
    (b'i', CompatFlags::INC_RECURSE),
    (b'L', CompatFlags::SYMLINK_TIMES),
    (b's', CompatFlags::SYMLINK_ICONV),
    (b'f', CompatFlags::SAFE_FLIST),
    (b'x', CompatFlags::AVOID_XATTR_OPTIM),
    (b'C', CompatFlags::CHKSUM_SEED_FIX),
    (b'I', CompatFlags::INPLACE_PARTIAL_DIR),
    (b'v', CompatFlags::VARINT_FLIST_FLAGS),
    (b'u', CompatFlags::ID0_NAMES),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_every_release() {
        // Letters, and the flags that the releases answered them with (01-session 7.4, 9.2).
        let rows = [
            (".iL", 0x03),
            (".iLs", 0x07),
            (".iLsfxC", 0x3f),
            (".iLsfxCIv", 0xff),
            (".iLsfxCIvu", 0x1ff),
            (".LsfxCIvu", 0x1fe),
        ];
        for (text, flags) in rows {
            let capabilities = Capabilities::parse(text.as_bytes());
            assert_eq!(capabilities.to_text(), text);
            assert_eq!(capabilities, Capabilities::offering(CompatFlags(flags)));
        }
        assert_eq!(Capabilities::current(true).to_text(), ".iLsfxCIvu");
        assert_eq!(Capabilities::current(false).to_text(), ".LsfxCIvu");
        assert_eq!(Capabilities::parse(b"31.14ivQ").to_text(), ".iv");
    }

    #[test]
    fn answers() {
        let all = Capabilities::current(true);
        assert_eq!(all.answer(CompatFlags::ALL, true), CompatFlags::ALL);
        assert_eq!(all.answer(CompatFlags::ALL, false), CompatFlags(0x1fe));
        let old = Capabilities::parse(b".iL");
        assert_eq!(old.answer(CompatFlags::ALL, true), CompatFlags(0x07));
        assert_eq!(
            old.answer(CompatFlags::SYMLINK_TIMES, true),
            CompatFlags(0x02)
        );
    }

    #[test]
    fn answers_that_were_not_offered() {
        let flat = Capabilities::current(false);
        let on = flat.check_answer(CompatFlags(0x1ff));
        assert_eq!(on, Err(Violation::IncRecurseNotOffered));
        let byte_flags = Capabilities::parse(b".LsfxC");
        let varint = byte_flags.check_answer(CompatFlags(0x0bf & !1));
        assert_eq!(varint, Err(Violation::CompatNotOffered { flags: 0x80 }));
        // Bits 1 and 2 need no letter; bits above 8 are unknown.
        let nothing = Capabilities::default().check_answer(CompatFlags(0xfe06));
        assert_eq!(nothing, Ok(CompatFlags(0x06)));
    }
}
