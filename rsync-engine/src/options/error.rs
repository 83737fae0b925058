//! What can be wrong with option words.

use thiserror::Error;

/// A command line or server argument vector that cannot be accepted. The texts are those of rsync
/// (06-client 2.4), without its `rsync: ` prefix. `word` is the whole word, clusters included.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OptionError {
    /// No rsync knows it.
    #[error("{word}: unknown option")]
    Unknown {
        /// The word as it was given.
        word: String,
    },
    /// rsync knows it, Syncline does not do it yet.
    #[error("{name}: not supported yet")]
    Unsupported {
        /// The option's long name with its dashes, or its letter if it has no long name.
        name: String,
    },
    /// An option that no client may send to a daemon (01-session 7.10).
    #[error("{name}: not allowed from a client")]
    Forbidden {
        /// The option's name with its dashes.
        name: String,
    },
    /// The value is missing at the end of the words.
    #[error("{word}: missing argument")]
    MissingArgument {
        /// The word as it was given.
        word: String,
    },
    /// A switch with a value.
    #[error("{word}: option does not take an argument")]
    UnexpectedArgument {
        /// The word as it was given.
        word: String,
    },
    /// Not an integer.
    #[error("{word}: invalid numeric value")]
    InvalidNumber {
        /// The word that holds the number.
        word: String,
    },
    /// An integer beyond 32 bits.
    #[error("{word}: number too large or too small")]
    NumberRange {
        /// The word that holds the number.
        word: String,
    },
    /// A bad SIZE.
    #[error("--{option}={argument} is {error}")]
    Size {
        /// The option's long name.
        option: &'static str,
        /// Its value.
        argument: String,
        /// What is wrong with it.
        error: SizeError,
    },
    /// The sums of `--checksum` cannot be none.
    #[error("Invalid checksum-choice for --checksum: none (0)")]
    NoListChecksum,
    /// A checksum nobody knows.
    #[error("unknown checksum name: {name}")]
    UnknownChecksum {
        /// The name as it was given.
        name: String,
    },
    /// Two moments of deletion that exclude each other.
    #[error("You may not combine multiple --delete-WHEN options.")]
    DeleteWhen,
    /// Deletion without directories in the transfer.
    #[error("--delete does not work without --recursive (-r) or --dirs (-d).")]
    DeleteNeedsDirs,
    /// A server argument vector without `--server`, or without the `.` that ends its options.
    #[error("not a server argument vector: {missing:?} is missing")]
    NotServer {
        /// The word that should be there.
        missing: &'static str,
    },
}

/// What is wrong with a SIZE (06-client 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SizeError {
    /// Not of the form `digits[.digits][unit][+1|-1]`.
    #[error("invalid")]
    Invalid,
    /// Beyond 63 bits, or negative.
    #[error("too large")]
    TooLarge,
    /// Beyond the option's own limit.
    #[error("too large (max: {})", super::size::scaled(*max))]
    TooLargeFor {
        /// The limit in bytes.
        max: u64,
    },
    /// Below the option's own limit.
    #[error("too small (min: {} or 0 for unlimited)", super::size::scaled(*min))]
    TooSmall {
        /// The limit in bytes.
        min: u64,
    },
}

/// Bytes of a command line as text for a message.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
