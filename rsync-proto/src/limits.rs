//! Every cap on what a peer may send, with why (05-security 18).
//!
//! A number from the wire meets one of these before it sizes a buffer or bounds a loop.

/// Greeting and module line, in bytes without the newline. rsync reads 1023 into its buffer.
pub const GREETING_LINE: usize = 1022;

/// Digest list of a greeting. rsync keeps 255 bytes (01-session 4.1).
pub const DIGEST_LIST: usize = 255;

/// Any line between the module line and OK, and the response of authentication: rsync's 5120-byte line buffer
/// less CR and NUL (01-session 4.7, 4.9).
pub const TEXT_LINE: usize = 5118;

/// Bytes of lines from a daemon before its OK: a message of the day may be long, not endless (01-session 4.7).
pub const TEXT_BEFORE_OK: usize = 1 << 20;

/// Bytes of early input (01-session 4.5).
pub const EARLY_INPUT: usize = 5120;

/// Number of arguments. rsync 3.5.0 takes 15999 with its own first one.
pub const ARGUMENTS: usize = 15_998;

/// One argument. rsync cuts here without a word; we refuse.
pub const ARGUMENT_LEN: usize = 5119;

/// All arguments of a vector together, terminators included.
pub const ARGUMENT_BYTES: usize = 4 << 20;

/// One list of names in the checksum or compression negotiation (01-session 9.3).
pub const NEGOTIATION_LIST: usize = 255;

/// Payload of one frame: 24 bits of length (01-session 10.1).
pub const FRAME_LEN: u32 = 0x00ff_ffff;

/// Payload of the data frames we write. Large enough to make the header free, and what rsync writes at most
/// is 65532; smaller keeps a message from waiting long.
pub const DATA_FRAME_SENT: usize = 32 * 1024;

/// Text of one message. rsync fails at 5120.
pub const MESSAGE_TEXT: usize = 5119;

/// Text of all messages of one session (01-session 10.7).
pub const MESSAGE_TEXT_TOTAL: u64 = 64 << 20;

/// Frames in a row that carry no data of the stream (01-session 10.7).
pub const IDLE_FRAMES: u32 = 10_000;

/// Longest time-out, in seconds, that a daemon may suggest by IO_TIMEOUT (01-session 10.3).
pub const IO_TIMEOUT_SECS: u32 = 86_400;

/// Extra name in an item header (01-session 3.3).
pub const XNAME: usize = 4095;

/// Name of an entry, and any other path: below rsync's MAXPATHLEN of 4096.
pub const PATH: usize = 4095;

/// Target of a symbolic link (02-file-list 5.7).
pub const LINK_TARGET: usize = 4095;

/// One filter rule (02-file-list 2.2).
pub const FILTER_RULE: usize = 5119;

/// Rules of one filter list.
pub const FILTER_RULES: usize = 65_536;

/// Bytes of all rules of one filter list.
pub const FILTER_BYTES: usize = 16 << 20;

/// Longest block at protocol 30 and later (03-transfer 4.1).
pub const MAX_BLOCK_LEN: u32 = 1 << 17;

/// Longest block at protocol 29 (03-transfer 4.1).
pub const MAX_BLOCK_LEN_29: u32 = 1 << 29;

/// Strong sum of a block in a sum head. Digests are cut to 16 bytes; generators of rsync up to 3.4.3 announce
/// 16 even for an 8-byte digest (03-transfer 4.3).
pub const STRONG_SUM: u32 = 16;

/// Each number of the delete statistics (01-session 11.6).
pub const DELETE_COUNT: i32 = 1 << 28;

/// Bytes that one restartable record may need before it decodes: the caller's buffer for undecoded input.
pub const RECORD: usize = 1 << 20;

/// Indices of list entries stay below this, which leaves room for the codes of directory lists, -101 - n
/// (02-file-list 9.4). What a list may take in memory is the caller's budget.
pub const NDX_END: i32 = 1 << 30;

/// The bits of an I/O error: general, vanished, delete limit (02-file-list 6).
pub const IO_ERROR_BITS: i32 = 7;

/// Names of one id list, or of the users or groups of one incremental transfer.
pub const ID_NAMES: usize = 1 << 18;
