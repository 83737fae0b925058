//! What can be wrong with bytes from a peer, and with values that have no form on the wire.

use thiserror::Error;

/// Why a decoder gave no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The input ends inside the value. The decoder's state is untouched: call again with more input. At the
    /// end of the stream this is an unexpected end of file.
    #[error("input ends inside a value")]
    Incomplete,
    /// The peer broke a rule of the protocol.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The peer is honest but wants what we lack.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
}

impl DecodeError {
    /// rsync's exit code for a session that ends with this error (01-session 12.3). An incomplete value counts
    /// as the unexpected end of the stream, 12.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Incomplete => STREAM,
            Self::Violation(v) => v.exit_code(),
            Self::Unsupported(u) => u.exit_code(),
        }
    }
}

/// A rule of the protocol that the peer broke, with the numbers that show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Violation {
    /// A varint or varlong whose first byte announces more bytes than the value can have.
    #[error("integer starts with invalid byte {first:#04x}")]
    IntegerTooLong {
        /// The first byte of the integer.
        first: u8,
    },
    /// A length before a string beyond its cap.
    #[error("string of {len} bytes where at most {max} are allowed")]
    StringTooLong {
        /// Length announced.
        len: usize,
        /// The cap.
        max: usize,
    },
    /// A length that must not be negative is.
    #[error("negative length {len}")]
    NegativeLength {
        /// The length.
        len: i32,
    },
    /// A NUL byte inside a string that may have none.
    #[error("string with a NUL byte inside")]
    NulInside,
    /// An index in the file list that no coding rule allows.
    #[error("invalid file index coding at byte {byte:#04x}")]
    IndexCoding {
        /// The byte that broke the rule.
        byte: u8,
    },
    /// An index outside of 0..=0x7fffffff and the named negative values.
    #[error("invalid file index {value}")]
    IndexOutOfRange {
        /// The value.
        value: i64,
    },

    /// A line longer than its cap, or unfinished when it has that length.
    #[error("line longer than {max} bytes")]
    LineTooLong {
        /// The cap.
        max: usize,
    },
    /// The first line is no greeting.
    #[error("no rsync greeting")]
    NoGreeting,
    /// A greeting for protocol 30 or later without the `.sub` part.
    #[error("greeting without the sub-protocol value")]
    GreetingWithoutSubversion,
    /// A greeting for protocol 32 or later without digests.
    #[error("greeting without the list of digests")]
    GreetingWithoutDigests,
    /// A protocol number that no rsync ever had.
    #[error("protocol number {number} is out of range")]
    ProtocolNumber {
        /// The number.
        number: u32,
    },
    /// More text before the daemon's OK than we read.
    #[error("more than {max} bytes of text before the session")]
    TextFlood {
        /// The cap.
        max: usize,
    },
    /// A length of early input outside of 1..=5120.
    #[error("invalid length of early input")]
    EarlyInputLength,
    /// A second request for the password (01-session 4.7).
    #[error("password asked for a second time")]
    SecondChallenge,
    /// A response of authentication that is not "user response".
    #[error("authentication response without a user name")]
    ResponseWithoutUser,

    /// More arguments than the cap.
    #[error("more than {max} arguments")]
    TooManyArguments {
        /// The cap.
        max: usize,
    },
    /// An argument above the cap.
    #[error("argument longer than {max} bytes")]
    ArgumentTooLong {
        /// The cap.
        max: usize,
    },
    /// Arguments that together exceed the cap.
    #[error("arguments of more than {max} bytes together")]
    ArgumentsTooLong {
        /// The cap.
        max: usize,
    },

    /// Compat flags that the client did not offer (01-session 9.2).
    #[error("compat flags {flags:#x} were not offered")]
    CompatNotOffered {
        /// The flags in excess.
        flags: u32,
    },
    /// Incremental recursion that the client did not offer (01-session 9.2).
    #[error("incremental recursion was not offered")]
    IncRecurseNotOffered,
    /// A negotiation list above the cap.
    #[error("negotiation list of {len} bytes where at most {max} are allowed")]
    NegotiationListTooLong {
        /// Length announced.
        len: usize,
        /// The cap.
        max: usize,
    },

    /// The fourth byte of a frame header below 7.
    #[error("invalid frame tag byte {byte:#04x}")]
    FrameTag {
        /// The byte.
        byte: u8,
    },
    /// A message that this side must not get at this protocol.
    #[error("unexpected message {tag}")]
    UnexpectedMessage {
        /// The tag.
        tag: u8,
    },
    /// A message payload of a length that its tag does not allow.
    #[error("message {tag} with a payload of {len} bytes")]
    MessageLength {
        /// The tag.
        tag: u8,
        /// Length announced.
        len: u32,
    },
    /// An index in a message that is no index of an entry.
    #[error("message {tag} with invalid file index {ndx}")]
    MessageIndex {
        /// The tag.
        tag: u8,
        /// The index.
        ndx: i32,
    },
    /// More message text in one session than the cap.
    #[error("more than {max} bytes of message text")]
    MessageFlood {
        /// The cap.
        max: u64,
    },
    /// More messages of one kind than what was listed and asked for allows (01-session 10.7).
    #[error("more than {max} messages {tag}")]
    MessageCount {
        /// The tag.
        tag: u8,
        /// How many this session allows.
        max: u64,
    },
    /// More reports and requests than the entries of the list explain.
    #[error("more than {max} reports and requests")]
    TooManyItems {
        /// How many this session allows.
        max: u64,
    },
    /// More frames without data of the stream in a row than the cap.
    #[error("more than {max} frames without data")]
    IdleFrames {
        /// The cap.
        max: u32,
    },

    /// A sum head that breaks a rule (03-transfer 4.1).
    #[error("invalid number of blocks {count}")]
    BlockCount {
        /// The number.
        count: i32,
    },
    /// Block length above the cap, negative, or 0 with blocks.
    #[error("invalid block length {len}")]
    BlockLength {
        /// The length.
        len: i32,
    },
    /// Length of the strong sums negative or above the cap.
    #[error("invalid checksum length {len}")]
    StrongSumLength {
        /// The length.
        len: i32,
    },
    /// Last block longer than the others, or negative.
    #[error("invalid remainder length {len}")]
    BlockRemainder {
        /// The length.
        len: i32,
    },
    /// A number of the delete statistics outside of 0..=2^28, or a negative number of the statistics.
    #[error("invalid number {value} in the statistics")]
    Statistics {
        /// The number.
        value: i64,
    },

    /// A filter rule above the cap, or a negative length.
    #[error("filter rule with invalid length {len}")]
    FilterRuleLength {
        /// Length announced.
        len: i32,
    },
    /// More filter rules, or bytes of them, than the cap.
    #[error("filter list too long")]
    FilterListTooLong,

    /// Unknown or forbidden flags of a file-list entry.
    #[error("invalid entry flags {flags:#x}")]
    EntryFlags {
        /// The flags.
        flags: u32,
    },
    /// More bytes shared with the previous name than it has.
    #[error("entry name shares {shared} bytes with a name of {previous}")]
    NamePrefix {
        /// Bytes announced as shared.
        shared: usize,
        /// Length of the previous name.
        previous: usize,
    },
    /// A name that is empty, or too long.
    #[error("entry name of {len} bytes")]
    NameLength {
        /// The length.
        len: usize,
    },
    /// A name that is absolute, climbs by `..` or has a NUL inside.
    #[error("unsafe entry name")]
    UnsafeName,
    /// "." that is no directory.
    #[error("transfer root that is no directory")]
    RootNotDirectory,
    /// Negative size.
    #[error("invalid file size {size}")]
    FileSize {
        /// The size.
        size: i64,
    },
    /// Nanoseconds outside of 0..=999999999.
    #[error("invalid nanoseconds {nsec}")]
    Nanoseconds {
        /// The value.
        nsec: i64,
    },
    /// Mode of an unknown type.
    #[error("invalid mode {mode:#o}")]
    Mode {
        /// The mode.
        mode: u32,
    },
    /// Length of a link target outside of 1..=4095.
    #[error("invalid length {len} of a link target")]
    LinkTargetLength {
        /// The length.
        len: i64,
    },
    /// Hard-link group that does not start at an earlier entry of the same kind.
    #[error("invalid hard-link group {group}")]
    HardLinkGroup {
        /// The group.
        group: i64,
    },
    /// An id list that names an id twice, or is too long.
    #[error("invalid entry {id} in an id list")]
    IdList {
        /// The id.
        id: u32,
    },
    /// More entries, or bytes of names, than the cap.
    #[error("file list too long")]
    FileListTooLong,

    /// A list for a directory that is unknown or had its list already (02-file-list 9.7).
    #[error("file list for invalid directory {dir}")]
    SublistDirectory {
        /// Number of the directory.
        dir: u32,
    },
    /// An entry whose parent directory is not in the list (02-file-list 13.3).
    #[error("entry without its parent directory in the list")]
    OrphanEntry,
    /// A basis that the generator did not propose (03-transfer 2.3).
    #[error("basis that was not proposed")]
    UnexpectedBasis,
    /// Data for a file that was not requested, or not any more (03-transfer 11).
    #[error("data for file index {ndx} that was not requested")]
    UnrequestedAnswer {
        /// The index.
        ndx: i32,
    },
    /// An echo of a report that was not made (03-transfer 2.4).
    #[error("echo of a report about file index {ndx} that was not made")]
    UnrequestedReport {
        /// The index.
        ndx: i32,
    },
    /// A sum head that is not the one of the request (03-transfer 11).
    #[error("sum head for file index {ndx} that was not requested")]
    UnrequestedHead {
        /// The index.
        ndx: i32,
    },
    /// Statistics of deletions that were not awaited, or once more (01-session 11.6).
    #[error("unexpected statistics of deletions")]
    UnexpectedStatistics,
    /// A request for data of something that has none, or too late (03-transfer 2.4).
    #[error("request for the data of file index {ndx}, which cannot be sent")]
    UnexpectedTransfer {
        /// The index.
        ndx: i32,
    },
    /// A match of a block that the basis does not have (03-transfer 5.2).
    #[error("match of block {index} of {count}")]
    BlockIndex {
        /// The block.
        index: u32,
        /// Blocks of the basis.
        count: u32,
    },
    /// A match although there is no basis (03-transfer 5.2).
    #[error("match of a block without a basis")]
    MatchWithoutBasis,
    /// A last DONE of the sender before all requests were answered or refused.
    #[error("end of the session before all requests were answered")]
    EarlyGoodbye,
    /// Stream data after the last DONE (03-transfer 11).
    #[error("data after the end of the session")]
    DataAfterEnd,
    /// A value ended where its buffer ended.
    #[error("value cut short")]
    Truncated,
    /// An entry that does not lie directly in the directory whose list it is in (02-file-list 9.7).
    #[error("entry name outside the directory of its list")]
    NameOutsideList,
    /// An owner or group of all ones, which no file can have (02-file-list 5.5).
    #[error("invalid owner or group id")]
    OwnerId,
}

impl Violation {
    /// rsync's exit code for a session that ends with this violation (01-session 12.3, 02-file-list 15).
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::IncRecurseNotOffered => SYNTAX,
            Self::NegotiationListTooLong { .. }
            | Self::UnsafeName
            | Self::NameOutsideList
            | Self::FileSize { .. } => UNSUPPORTED,
            Self::LineTooLong { .. }
            | Self::NoGreeting
            | Self::GreetingWithoutSubversion
            | Self::GreetingWithoutDigests
            | Self::TextFlood { .. }
            | Self::EarlyInputLength
            | Self::SecondChallenge
            | Self::ResponseWithoutUser => START,
            Self::IntegerTooLong { .. }
            | Self::FrameTag { .. }
            | Self::UnexpectedMessage { .. }
            | Self::MessageLength { .. }
            | Self::MessageFlood { .. }
            | Self::MessageCount { .. }
            | Self::TooManyItems { .. }
            | Self::IdleFrames { .. } => STREAM,
            Self::FilterRuleLength { .. }
            | Self::FilterListTooLong
            | Self::LinkTargetLength { .. }
            | Self::NameLength { .. }
            | Self::FileListTooLong => MEMORY,
            _ => PROTOCOL,
        }
    }
}

/// What an honest peer wants and we lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// The negotiated protocol is one we do not speak.
    #[error("protocol {number} is not supported, 29 to 32 are")]
    Protocol {
        /// The negotiated number.
        number: u32,
    },
    /// No digest for the password that both sides know (01-session 5.2).
    #[error("no common digest for authentication")]
    NoCommonDigest,
    /// No checksum that both sides know (01-session 9.3).
    #[error("failed to negotiate a checksum")]
    NoCommonChecksum,
    /// A checksum named by an option that nobody here knows (01-session 9.3).
    #[error("unknown checksum name")]
    ChecksumName,
    /// No compression that both sides know (01-session 9.3).
    #[error("failed to negotiate a compression")]
    NoCommonCompression,
}

impl Unsupported {
    /// rsync's exit code for a session that ends with this error (01-session 12.3).
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Protocol { .. } => PROTOCOL,
            Self::NoCommonDigest
            | Self::NoCommonChecksum
            | Self::NoCommonCompression
            | Self::ChecksumName => UNSUPPORTED,
        }
    }
}

/// A value of ours that has no form on the wire. A mistake of the caller or an input of its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Longer than the wire form allows.
    #[error("{what} of {len} bytes where at most {max} are allowed")]
    TooLong {
        /// The value.
        what: &'static str,
        /// Its length.
        len: usize,
        /// The most the peer takes.
        max: usize,
    },
    /// More of them than the peer takes.
    #[error("more than {max} {what}")]
    TooMany {
        /// The values.
        what: &'static str,
        /// The most the peer takes.
        max: usize,
    },
    /// Empty where that ends a list.
    #[error("empty {what}")]
    Empty {
        /// The value.
        what: &'static str,
    },
    /// With the byte that separates values, or one the reader drops.
    #[error("{what} with byte {byte:#04x} inside")]
    ForbiddenByte {
        /// The value.
        what: &'static str,
        /// The byte.
        byte: u8,
    },
    /// Without a form at the session's protocol.
    #[error("{what} cannot be sent at protocol {protocol}")]
    NotAtProtocol {
        /// The value.
        what: &'static str,
        /// The protocol number.
        protocol: u32,
    },
    /// A hard link to a group that did not begin.
    #[error("hard-link group {group} did not begin")]
    HardLinkGroup {
        /// The group.
        group: i32,
    },
}

// rsync's exit codes as far as the wire decides them (01-session 12.3).
const SYNTAX: u8 = 1;
const PROTOCOL: u8 = 2;
const UNSUPPORTED: u8 = 4;
const START: u8 = 5;
const STREAM: u8 = 12;
const MEMORY: u8 = 22;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_rsyncs() {
        let rows: [(DecodeError, u8); 13] = [
            (DecodeError::Incomplete, 12),
            (Violation::IntegerTooLong { first: 0xff }.into(), 12),
            (
                Violation::StringTooLong {
                    len: 5000,
                    max: 4095,
                }
                .into(),
                2,
            ),
            (
                Violation::NegotiationListTooLong { len: 300, max: 255 }.into(),
                4,
            ),
            (Violation::NoGreeting.into(), 5),
            (Violation::ProtocolNumber { number: 41 }.into(), 2),
            (Violation::IncRecurseNotOffered.into(), 1),
            (Violation::UnexpectedMessage { tag: 9 }.into(), 12),
            (Violation::StrongSumLength { len: 17 }.into(), 2),
            (Violation::FilterRuleLength { len: -1 }.into(), 22),
            (Violation::UnsafeName.into(), 4),
            (Unsupported::Protocol { number: 27 }.into(), 2),
            (Unsupported::NoCommonChecksum.into(), 4),
        ];
        for (error, code) in rows {
            assert_eq!(error.exit_code(), code, "{error}");
            let text = error.to_string();
            assert!(
                text.starts_with(char::is_lowercase) && !text.ends_with('.'),
                "{text}"
            );
        }
    }
}
