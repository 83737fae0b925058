//! What a user may ask to see while a transfer runs.

use std::fmt;
use std::io;

use rsync_delta::Checksum;
use rsync_proto::PeerText;
use rsync_proto::item::ItemFlags;
pub use rsync_proto::mux::TextKind;

/// Receives the events of a transfer, from any of its threads, as they happen.
///
/// It runs inside the transfer: what it takes long for, the transfer waits for.
pub trait Events: Send + Sync {
    /// One event.
    fn event(&self, event: Event<'_>);

    /// Whether [`Event::Progress`] is wanted; asked once a file.
    fn wants_progress(&self) -> bool {
        false
    }

    /// Whether [`Event::Deleted`] shall have the mode of what was deleted: one more system call for each.
    fn wants_deleted_modes(&self) -> bool {
        false
    }
}

/// Ignores every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEvents;

impl Events for NoEvents {
    fn event(&self, _event: Event<'_>) {}
}

/// One thing that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An entry was created, changed or will be transferred (03-transfer 2.2, 9.1).
    Item(Item<'a>),
    /// The data of a file has gone out, or has come in and is in place.
    Transferred {
        /// The file.
        item: Item<'a>,
        /// Literal bytes.
        literal: u64,
        /// Bytes matched in the basis.
        matched: u64,
        /// What it took on the wire.
        cost: Cost,
    },
    /// A source file changed while it was read: what was sent is consistent with its checksum, but may be a
    /// mixture of old and new.
    ChangedWhileRead {
        /// Name relative to the transfer root.
        name: &'a [u8],
    },
    /// The receiving side has this entry in place (MSG_SUCCESS, 03-transfer 8.8).
    Acknowledged {
        /// Name relative to the transfer root.
        name: &'a [u8],
    },
    /// The receiving side was asked to acknowledge what is in place (`remove_source_files`), and has not done so for this entry,
    /// which is no directory, when its list was done with.
    Unacknowledged {
        /// Name relative to the transfer root.
        name: &'a [u8],
    },
    /// Something was deleted at the destination.
    Deleted {
        /// Name relative to the destination.
        name: &'a [u8],
        /// Whether it was a directory.
        is_dir: bool,
        /// Its full mode, if [`Events::wants_deleted_modes`] and the deletion happened here.
        mode: Option<u32>,
    },
    /// A text from the peer.
    Message {
        /// What kind of text.
        kind: TextKind,
        /// The text; its `Display` is escaped.
        text: PeerText<&'a [u8]>,
    },
    /// A note of our own side for the user, one line without end of line.
    Note {
        /// What kind of text.
        kind: TextKind,
        /// The line; its `Display` is escaped.
        text: PeerText<&'a [u8]>,
    },
    /// One entry failed; the run goes on and ends with code 23 or 24.
    Failed(&'a FileFailure),
    /// Bytes of one file moved.
    Progress(Progress<'a>),
    /// An entry of a listing (no transfer happens).
    Listed(Item<'a>),
    /// A file list is complete: so many entries are known now.
    ListComplete {
        /// Entries known so far.
        entries: u64,
        /// More lists will follow (incremental recursion).
        more: bool,
    },
}

/// An entry as reports show it.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// What differs or happens.
    pub flags: ItemFlags,
    /// Name relative to the transfer root, without a trailing slash.
    pub name: &'a [u8],
    /// Full mode with the file type.
    pub mode: u32,
    /// Size in bytes.
    pub size: u64,
    /// Modification time in seconds since 1970.
    pub mtime: i64,
    /// Owner as the list has it.
    pub uid: u32,
    /// Group as the list has it.
    pub gid: u32,
    /// Target of a symlink.
    pub link_target: Option<&'a [u8]>,
    /// Name of the file a hard link was made to, or of the basis.
    pub xname: Option<&'a [u8]>,
    /// True at the sender.
    pub sending: bool,
    /// The directory that `name` lies below, as the user named it; empty if only the other end knows.
    pub place: &'a [u8],
    /// The sum of its content: if listed (`--checksum`), and of a file that was transferred.
    pub checksum: Option<&'a [u8]>,
    /// The kind of sum.
    pub algorithm: Checksum,
}

impl Item<'_> {
    /// Whether the data of the file goes over.
    #[must_use]
    pub fn is_transfer(&self) -> bool {
        self.flags.contains(ItemFlags::TRANSFER)
    }
}

/// Bytes on the wire for the content of one file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// From sender to receiver: data, matches, sum and heads.
    pub data: u64,
    /// From receiver to sender: sums of the basis. 0 at the receiver, as in rsync.
    pub sums: u64,
}

/// How far one file is, and the run.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Name relative to the transfer root.
    pub name: &'a [u8],
    /// Bytes of the file done.
    pub done: u64,
    /// Size of the file.
    pub total: u64,
    /// The last report for this file.
    pub finished: bool,
    /// Files transferred so far, this one included once finished.
    pub files: u64,
    /// Entries known that were not looked at yet.
    pub to_check: u64,
    /// Entries known.
    pub entries: u64,
    /// More entries may still come (`ir-chk` instead of `to-chk`).
    pub more: bool,
}

/// Why one entry failed.
#[derive(Debug)]
pub struct FileFailure {
    /// The role that met it: `sender`, `generator`, `receiver`.
    pub role: &'static str,
    /// What was tried, in rsync's words (`send_files failed to open`, `mkdir`, ...).
    pub op: &'static str,
    /// Name relative to the transfer root.
    pub name: Vec<u8>,
    /// The system's reason, or none when the text says all.
    pub source: Option<io::Error>,
    /// The entry vanished at the source between listing and reading: a warning, code 24.
    pub vanished: bool,
}

impl FileFailure {
    /// The line that tells of it, with the name's bytes as they are: whoever shows it escapes it.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let (before, after) = match &self.source {
            _ if self.vanished => ("file has vanished: \"".to_owned(), "\"".to_owned()),
            Some(source) => (
                format!("[{}] {} \"", self.role, self.op),
                match self.op.contains("failed to ") || self.op.starts_with("read errors") {
                    true => format!("\": {}", SystemError(source)),
                    false => format!("\" failed: {}", SystemError(source)),
                },
            ),
            None => (format!("[{}] {}: \"", self.role, self.op), "\"".to_owned()),
        };
        [before.as_bytes(), &self.name, after.as_bytes()].concat()
    }
}

impl fmt::Display for FileFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        PeerText(self.line()).fmt(f)
    }
}

/// `No such file or directory (2)`: the form rsync gives a system error.
#[derive(Debug)]
pub struct SystemError<'a>(pub &'a io::Error);

impl fmt::Display for SystemError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match self.0.raw_os_error() {
            Some(code) => {
                let end = text.find(" (os error").unwrap_or(text.len());
                write!(f, "{} ({code})", &text[..end])
            }
            None => f.write_str(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_read_as_rsyncs_do() {
        let failure = FileFailure {
            role: "sender",
            op: "link_stat",
            name: b"a\x01b".to_vec(),
            source: Some(io::Error::from_raw_os_error(2)),
            vanished: false,
        };
        assert_eq!(
            failure.to_string(),
            "[sender] link_stat \"a\\#001b\" failed: No such file or directory (2)"
        );
        let vanished = FileFailure {
            vanished: true,
            ..failure
        };
        assert_eq!(vanished.to_string(), "file has vanished: \"a\\#001b\"");
    }
}
