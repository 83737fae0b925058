//! How a transfer ended that ran to its end, and its statistics.

use rsync_proto::Protocol;
use rsync_proto::stats::DelStats;

/// The general bit of the I/O error flags (01-session 12.1): something could not be read or written.
pub const IO_GENERAL: u32 = 1;
/// A source file vanished.
pub const IO_VANISHED: u32 = 2;
/// The deletion limit stopped deletions.
pub const IO_DELETE_LIMIT: u32 = 4;

/// A run that reached its end; single entries may have failed.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What was spoken.
    pub protocol: Option<Protocol>,
    /// Counters.
    pub stats: TransferStats,
    /// The I/O error flags of both sides.
    pub io_error: u32,
    /// An entry failed here, or the peer reported one (MSG_ERROR_XFER).
    pub partial: bool,
}

impl Outcome {
    /// rsync's exit code: 0, 23, 24 or 25 (01-session 12.1).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.partial || self.io_error & IO_GENERAL != 0 {
            23
        } else if self.io_error & IO_VANISHED != 0 {
            24
        } else if self.io_error & IO_DELETE_LIMIT != 0 {
            25
        } else {
            0
        }
    }
}

/// Counts of entries by type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TypeCounts {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub dirs: u64,
    /// Symlinks.
    pub links: u64,
    /// Block and character devices.
    pub devices: u64,
    /// Fifos and sockets.
    pub specials: u64,
}

impl TypeCounts {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.files + self.dirs + self.links + self.devices + self.specials
    }

    /// Adds the counts of another.
    pub fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.dirs += other.dirs;
        self.links += other.links;
        self.devices += other.devices;
        self.specials += other.specials;
    }

    /// Counts one entry of this mode.
    pub fn count(&mut self, mode: u32) {
        match mode & 0o170_000 {
            0o040_000 => self.dirs += 1,
            0o120_000 => self.links += 1,
            0o020_000 | 0o060_000 => self.devices += 1,
            0o010_000 | 0o140_000 => self.specials += 1,
            _ => self.files += 1,
        }
    }
}

/// The numbers of `--stats` (03-transfer 9.3).
#[derive(Debug, Clone, Default)]
pub struct TransferStats {
    /// Entries in the list.
    pub entries: TypeCounts,
    /// Entries created at the destination.
    pub created: TypeCounts,
    /// Entries deleted at the destination.
    pub deleted: DelStats,
    /// Files whose data was exchanged (in a dry run: would be).
    pub transferred: u64,
    /// Sum of the sizes of listed regular files and symlinks.
    pub total_size: u64,
    /// Sum of the listed sizes of transferred files.
    pub transferred_size: u64,
    /// Bytes that went as literal data.
    pub literal: u64,
    /// Bytes found in bases.
    pub matched: u64,
    /// Bytes of the first file list on the wire.
    pub list_bytes: u64,
    /// Milliseconds to build the list.
    pub list_build_ms: u64,
    /// Milliseconds to send or receive the list.
    pub list_transfer_ms: u64,
    /// Bytes we sent.
    pub sent: u64,
    /// Bytes we received.
    pub received: u64,
}
