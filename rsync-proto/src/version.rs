//! The protocol number and everything that depends on nothing but it (01-session 1).

use std::fmt;

/// A negotiated protocol number, 29 to 32.
///
/// Every "since 29, 30, 31" question has a named predicate here, so that the number itself is compared in one
/// place only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(u8);

impl Protocol {
    /// rsync 2.6.4 to 2.6.9.
    pub const V29: Self = Self(29);
    /// rsync 3.0.
    pub const V30: Self = Self(30);
    /// rsync 3.1 to 3.3.
    pub const V31: Self = Self(31);
    /// rsync 3.4 and later.
    pub const V32: Self = Self(32);
    /// The lowest number we speak.
    pub const MIN: Self = Self::V29;
    /// The highest number we speak, the one we offer.
    pub const MAX: Self = Self::V32;
    /// Every number we speak, lowest first.
    pub const ALL: [Self; 4] = [Self::V29, Self::V30, Self::V31, Self::V32];

    /// The protocol of that number, if we speak it.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.number() == number)
    }

    /// The number itself.
    #[must_use]
    pub fn number(self) -> u32 {
        u32::from(self.0)
    }

    /// Integers of the file list, the statistics and the index coding are varints, not fixed ints
    /// (01-session 3).
    #[must_use]
    pub fn has_varints(self) -> bool {
        self >= Self::V30
    }

    /// Compat flags, and with them perhaps negotiation lists, come before the seed (01-session 9.1).
    #[must_use]
    pub fn has_compat_flags(self) -> bool {
        self >= Self::V30
    }

    /// Both directions are framed right after the seed; before, the client's direction is raw unless it pulls
    /// with `--remove-source-files` (01-session 9.6).
    #[must_use]
    pub fn frames_client(self) -> bool {
        self >= Self::V30
    }

    /// Arguments to a daemon end in NUL, not in a newline (01-session 7.1).
    #[must_use]
    pub fn nul_separates_arguments(self) -> bool {
        self >= Self::V30
    }

    /// Without negotiation the checksum is MD5, before it is MD4 (01-session 9.3, 5.2).
    #[must_use]
    pub fn defaults_to_md5(self) -> bool {
        self >= Self::V30
    }

    /// ERROR, WARNING, IO_ERROR, NO_SEND and NOOP messages exist (01-session 10.2).
    #[must_use]
    pub fn has_typed_messages(self) -> bool {
        self >= Self::V30
    }

    /// Incremental recursion may be agreed on (02-file-list 9).
    #[must_use]
    pub fn has_inc_recurse(self) -> bool {
        self >= Self::V30
    }

    /// Hard links travel as list indices, before as device and inode numbers (02-file-list 10).
    #[must_use]
    pub fn has_hard_link_index(self) -> bool {
        self >= Self::V30
    }

    /// The `p` (perishable) modifier of a filter rule exists (02-file-list 2.3).
    #[must_use]
    pub fn has_perishable_rules(self) -> bool {
        self >= Self::V30
    }

    /// The largest block length a sum head may name is 2^17, before it is 2^29 (03-transfer 4.1).
    #[must_use]
    pub fn max_block_len(self) -> u32 {
        if self >= Self::V30 {
            crate::limits::MAX_BLOCK_LEN
        } else {
            crate::limits::MAX_BLOCK_LEN_29
        }
    }

    /// ERROR_EXIT and IO_TIMEOUT messages exist (01-session 10.2).
    #[must_use]
    pub fn has_error_exit(self) -> bool {
        self >= Self::V31
    }

    /// Delete statistics and the extra round of DONEs for phase 3 exist (01-session 11.4 to 11.6).
    #[must_use]
    pub fn has_delete_stats(self) -> bool {
        self >= Self::V31
    }

    /// Names of `--files-from` travel inside data frames, before they are raw (01-session 11.2).
    #[must_use]
    pub fn frames_files_from(self) -> bool {
        self >= Self::V31
    }

    /// The end of a file list always may carry the I/O error, before only with the SAFE_FLIST flag
    /// (01-session 11.3).
    #[must_use]
    pub fn has_safe_flist(self) -> bool {
        self >= Self::V31
    }

    /// Modification times may carry nanoseconds (02-file-list 5.3).
    #[must_use]
    pub fn has_nanoseconds(self) -> bool {
        self >= Self::V31
    }

    /// The greeting must carry a sub-version (01-session 4.1).
    #[must_use]
    pub fn needs_subversion(self) -> bool {
        self >= Self::V30
    }

    /// The greeting must carry a list of digests (01-session 4.1).
    #[must_use]
    pub fn needs_digest_list(self) -> bool {
        self >= Self::V32
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_29_to_32_exist() {
        for number in 0..100 {
            let known = (29..=32).contains(&number);
            assert_eq!(
                Protocol::new(number).map(Protocol::number),
                known.then_some(number)
            );
        }
    }

    type Predicate = fn(Protocol) -> bool;

    #[test]
    fn predicates_switch_where_the_table_says() {
        let rows: [(Predicate, u32); 7] = [
            (Protocol::has_varints, 30),
            (Protocol::frames_client, 30),
            (Protocol::has_typed_messages, 30),
            (Protocol::has_error_exit, 31),
            (Protocol::has_delete_stats, 31),
            (Protocol::frames_files_from, 31),
            (Protocol::needs_digest_list, 32),
        ];
        for (predicate, since) in rows {
            for p in Protocol::ALL {
                assert_eq!(
                    predicate(p),
                    p.number() >= since,
                    "protocol {p}, since {since}"
                );
            }
        }
    }
}
