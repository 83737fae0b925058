//! What the watcher asks of whoever talks to a target.

use std::sync::Arc;
use std::time::Duration;

use rsync_engine::fs::{Stat, Tree};

use crate::path::PathBytes;

/// Brings a target up to date. Called by the target's own thread, one call at a time; may block.
pub trait Pusher: Send {
    /// Sends what a batch names and nothing else.
    fn push(&mut self, batch: &Batch, events: &mut dyn FnMut(PushEvent)) -> PushResult;

    /// Compares a whole directory with the target and sends what differs.
    fn full_sync(&mut self, request: &FullSync, events: &mut dyn FnMut(PushEvent)) -> PushResult;

    /// Called when nothing is left to send: a moment to open the next connection in advance. Returns when it wants to be called again if
    /// nothing happens until then.
    fn prepare(&mut self) -> Option<Duration> {
        None
    }

    /// Another pusher to the same target, for large files that are sent beside everything else; asked for once, at the start.
    fn second(&self) -> Option<Box<dyn Pusher>> {
        None
    }

    /// Called before the second pusher is used. False if the target may have no place for two sessions.
    fn holds_a_place(&mut self) -> bool {
        true
    }

    /// Whether the target is no more what the last session left: removed, emptied, or another one. Asked before a batch and when nothing
    /// is left to send; then everything is compared.
    fn was_replaced(&mut self) -> bool {
        false
    }

    /// The handle that ends its sessions from another thread; asked for once, at the start. Without one a stop waits for the session
    /// that runs.
    fn halt(&self) -> Option<Arc<dyn Halt>> {
        None
    }
}

/// Ends the sessions of a [`Pusher`] from another thread.
pub trait Halt: Send + Sync {
    /// From now on no file is begun; the one that is being sent goes on.
    fn wind_down(&self);
    /// How long no byte of a file that is being sent has moved; `None` if none is being sent.
    fn idle(&self) -> Option<Duration>;
    /// Ends the session that runs, and every later one.
    fn cut(&self);
}

/// Names to bring up to date, as they were found just now.
///
/// If the target holds deletions and renames of one batch, renames and contents go first: what is deleted may be the basis of what
/// is new. A file listed by its stat may have changed or vanished when it is opened; that is a [`PathFailure`], never an error of the session.
#[derive(Debug)]
pub struct Batch {
    /// The watched directory.
    pub root: Tree,
    /// Everything to list, in byte order of the paths, each path once. With an entry come all directories above it, the root (an
    /// empty path) included, as [`EntryKind::Parent`] unless they are listed for themselves.
    pub entries: Vec<BatchEntry>,
    /// Where new names came from, if the target most likely still has the old ones. May be ignored.
    pub renames: Vec<RenameHint>,
}

impl Batch {
    /// The number of entries that are sent for themselves.
    pub fn changed(&self) -> usize {
        self.count(EntryKind::Content) + self.count(EntryKind::Attr)
    }

    /// The number of names to delete.
    pub fn deleted(&self) -> usize {
        self.count(EntryKind::Delete)
    }

    /// True if a directory is listed at `path`.
    pub fn has_directory(&self, path: &[u8]) -> bool {
        self.entry(path).is_some_and(BatchEntry::is_directory)
    }

    /// The entry of a path.
    pub fn entry(&self, path: &[u8]) -> Option<&BatchEntry> {
        let found = self
            .entries
            .binary_search_by(|entry| (*entry.path).cmp(path));
        found.ok().map(|at| &self.entries[at])
    }

    fn count(&self, kind: EntryKind) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.kind == kind)
            .count()
    }
}

/// One name of a batch.
#[derive(Clone, Debug)]
pub struct BatchEntry {
    /// Path below the root; empty for the root itself.
    pub path: PathBytes,
    /// What is asked.
    pub kind: EntryKind,
    /// What was found; `None` for a deletion.
    pub stat: Option<Stat>,
}

impl BatchEntry {
    /// True if a directory was found.
    pub fn is_directory(&self) -> bool {
        self.stat.is_some_and(|stat| stat.is_dir())
    }
}

/// What is asked for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A directory on the way to another entry: made if missing, its own attributes set (an entry that came or went changed its mtime).
    Parent,
    /// Attributes; the content of a file only if the receiver's quick check finds a difference.
    Attr,
    /// The content, with the quick check off: size and whole seconds may be equal and the content not. For what is no file, the entry.
    Content,
    /// The name is gone, and its parent is there: delete it with everything below it. Never listed together with something below it.
    Delete,
}

/// Where a new name came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenameHint {
    /// The old name.
    pub from: PathBytes,
    /// The new name.
    pub to: PathBytes,
    /// Whether it is a directory.
    pub directory: bool,
}

/// A comparison of one directory with the target, recursively.
#[derive(Debug)]
pub struct FullSync {
    /// The watched directory.
    pub root: Tree,
    /// The directory to compare; empty for the root.
    pub path: PathBytes,
    /// Whether every file goes past the quick check.
    pub ignore_times: bool,
    /// Whether what the target has below and the source has not is deleted. Excluded names stay. If a directory of the source cannot be read,
    /// nothing may be deleted in it.
    pub delete_extras: bool,
}

/// News from a running push.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushEvent {
    /// How far it is.
    Progress {
        /// Files done.
        files: u64,
        /// Files known so far.
        files_total: u64,
        /// Bytes of file data sent or found equal.
        bytes: u64,
        /// Bytes known so far.
        bytes_total: u64,
    },
    /// A message of the target, not yet escaped.
    Message(String),
}

/// What became of a push.
#[derive(Clone, Debug, Default)]
pub struct PushResult {
    /// The names that did not arrive, though the session went on.
    pub failed: Vec<PathFailure>,
    /// `None`: the session came to its clean end, and everything not in `failed` is at the target. Else nothing is, except `confirmed`.
    pub error: Option<SessionError>,
    /// With an error: the names that the target confirmed one by one before.
    pub confirmed: Vec<PathBytes>,
    /// The names to delete that the target deleted. The others were not there, or its rules keep them.
    pub deleted: Vec<PathBytes>,
    /// Counts for the report.
    pub stats: PushStats,
}

/// Counts of a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushStats {
    /// Files whose content was sent.
    pub files: u64,
    /// Names deleted at the target.
    pub deleted: u64,
    /// Bytes on the wire to the target.
    pub sent: u64,
    /// Bytes on the wire from the target.
    pub received: u64,
}

impl PushStats {
    /// Adds another push of the same cycle.
    pub(crate) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.deleted += other.deleted;
        self.sent += other.sent;
        self.received += other.received;
    }
}

/// A name that did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathFailure {
    /// The name.
    pub path: PathBytes,
    /// Why.
    pub kind: FailureKind,
    /// The words of whoever refused it, not yet escaped.
    pub text: String,
    /// It is a directory, and what is below it may not have arrived either.
    pub below: bool,
}

/// Why a name did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It changed or vanished while it was sent: it is sent again soon.
    Changed,
    /// The source could not be read or the target refused it: it is tried again with growing delays.
    Refused,
}

/// The session failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SessionError {
    /// What failed and what can be done, in one line.
    pub text: String,
    /// When to try again.
    pub retry: Retry,
}

/// When a failed session is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After 1 s, doubling to 60 s.
    Backoff,
    /// Every 60 s: somebody has to change something first (password, module, permission).
    Slow,
    /// At once, and without deletions from now on: the target refuses them.
    WithoutDeletes,
}
