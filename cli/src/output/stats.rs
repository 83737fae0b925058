//! The `--stats` block and the closing lines (06-client 3.5, 03-transfer 9.3).

use std::fmt::Write as _;
use std::time::Duration;

use super::number;

/// Numbers of entries by type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TypeCounts {
    /// Regular files.
    pub(crate) files: u64,
    /// Directories.
    pub(crate) dirs: u64,
    /// Symlinks.
    pub(crate) links: u64,
    /// Devices.
    pub(crate) devices: u64,
    /// Fifos and sockets.
    pub(crate) specials: u64,
}

impl TypeCounts {
    /// `10 (reg: 4, dir: 4, link: 1, special: 1)`, zero kinds left out.
    fn text(&self, level: u8) -> String {
        let kinds = [
            ("reg", self.files),
            ("dir", self.dirs),
            ("link", self.links),
            ("dev", self.devices),
            ("special", self.specials),
        ];
        let total = kinds.iter().map(|(_, count)| count).sum();
        let mut text = number::count(total, level);
        let mut separator = " (";
        for (kind, count) in kinds.iter().filter(|(_, count)| *count != 0) {
            let _ = write!(text, "{separator}{kind}: {}", number::count(*count, level));
            separator = ", ";
        }
        if total != 0 {
            text.push(')');
        }
        text
    }
}

/// The numbers of a finished run, as the client counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Entries in the list.
    pub(crate) entries: TypeCounts,
    /// Entries created at the destination; known from protocol 29 on.
    pub(crate) created: TypeCounts,
    /// Entries deleted at the destination; `None` below protocol 31.
    pub(crate) deleted: Option<TypeCounts>,
    /// Regular files whose data was exchanged.
    pub(crate) transferred: u64,
    /// Bytes of all listed regular files and symlinks.
    pub(crate) total_size: u64,
    /// Bytes of the transferred files.
    pub(crate) transferred_size: u64,
    /// Bytes that went as they are.
    pub(crate) literal: u64,
    /// Bytes that the receiver had.
    pub(crate) matched: u64,
    /// Bytes of the first list on the wire.
    pub(crate) list_size: u64,
    /// Time it took to build the list.
    pub(crate) list_generation: Duration,
    /// Time it took to move it.
    pub(crate) list_transfer: Duration,
    /// Bytes written to the connection.
    pub(crate) sent: u64,
    /// Bytes read from it.
    pub(crate) received: u64,
    /// From start to end.
    pub(crate) elapsed: Duration,
}

impl Stats {
    /// The block of `--stats`, beginning with its empty line.
    pub(super) fn block(&self, level: u8) -> String {
        let count = |counts: &TypeCounts| counts.text(level);
        let bytes = |value| number::bytes(value, level);
        let mut text = format!(
            "\nNumber of files: {}\nNumber of created files: {}\n",
            count(&self.entries),
            count(&self.created)
        );
        if let Some(deleted) = &self.deleted {
            let _ = writeln!(text, "Number of deleted files: {}", count(deleted));
        }
        let _ = write!(
            text,
            "Number of regular files transferred: {}\nTotal file size: {} bytes\n\
             Total transferred file size: {} bytes\nLiteral data: {} bytes\nMatched data: {} bytes\n\
             File list size: {}\n",
            number::count(self.transferred, level),
            bytes(self.total_size),
            bytes(self.transferred_size),
            bytes(self.literal),
            bytes(self.matched),
            bytes(self.list_size),
        );
        if self.list_generation.as_millis() > 0 {
            let _ = write!(
                text,
                "File list generation time: {:.3} seconds\nFile list transfer time: {:.3} seconds\n",
                self.list_generation.as_secs_f64(),
                self.list_transfer.as_secs_f64()
            );
        }
        let _ = write!(
            text,
            "Total bytes sent: {}\nTotal bytes received: {}\n",
            bytes(self.sent),
            bytes(self.received)
        );
        text
    }

    /// The two closing lines, beginning with an empty one.
    pub(super) fn summary(&self, level: u8, dry_run: bool) -> String {
        let moved = self.sent.saturating_add(self.received) as f64;
        let rate = moved / (0.5 + self.elapsed.as_secs() as f64);
        let speedup = if moved > 0.0 {
            self.total_size as f64 / moved
        } else {
            0.0
        };
        format!(
            "\nsent {} bytes  received {} bytes  {} bytes/sec\ntotal size is {}  speedup is {}{}\n",
            number::bytes(self.sent, level),
            number::bytes(self.received, level),
            number::rate(rate, level),
            number::bytes(self.total_size, level),
            number::decimal(speedup, level),
            if dry_run { " (DRY RUN)" } else { "" },
        )
    }
}
