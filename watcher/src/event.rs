//! What the watcher tells.

use std::time::Duration;

use crate::path::PathBytes;
use crate::push::PushEvent;

/// News. Paths and texts are as they came: escape them before a person sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchEvent {
    /// The tree is being read for the first time.
    Scanning,
    /// Every directory has its watch (or is polled): from now on no change is missed.
    Watching {
        /// Directories.
        directories: usize,
        /// Everything else.
        names: usize,
        /// How long it took.
        took: Duration,
    },
    /// Not every directory could get a watch; the rest is looked at from time to time.
    WatchLimit {
        /// Watches this process uses.
        used: usize,
        /// The limit of one user, if known (`fs.inotify.max_user_watches`).
        limit: Option<usize>,
        /// Directories of the tree.
        needed: usize,
        /// The line that raises the limit.
        advice: String,
        /// How often the rest is looked at.
        interval: Duration,
    },
    /// A file system in the tree does not tell what changes on it elsewhere; it is looked at from time to time.
    NotWatchable {
        /// Where it begins.
        path: PathBytes,
        /// Its name.
        file_system: &'static str,
        /// How often it is looked at.
        interval: Duration,
    },
    /// A directory must not be read, or its file system was unmounted: nothing below it is sent or deleted.
    Unreadable {
        /// The directory.
        path: PathBytes,
        /// The system's words.
        text: String,
    },
    /// The kernel dropped events; the tree is compared with what is known of it.
    Overflow,
    /// The comparison after an overflow is done.
    Rescanned {
        /// How long it took.
        took: Duration,
    },
    /// The watched directory is not where it was: nothing is sent or deleted until it is back.
    SourceLost {
        /// What was found instead.
        text: String,
    },
    /// It is back; everything is compared.
    SourceBack,
    /// Events can be read no more: the watcher has to be started anew.
    ReaderFailed {
        /// The system's words.
        text: String,
    },
    /// A comparison with a target begins.
    Comparing {
        /// The target.
        target: usize,
    },
    /// News from a push that runs.
    Push {
        /// The target.
        target: usize,
        /// What.
        event: PushEvent,
    },
    /// A batch or comparison is done.
    BatchDone {
        /// The target.
        target: usize,
        /// What was in it.
        summary: BatchSummary,
    },
    /// A target has everything.
    InSync {
        /// The target.
        target: usize,
    },
    /// A target cannot be reached or ended the session; changes wait for it.
    TargetDown {
        /// The target.
        target: usize,
        /// Why.
        text: String,
        /// When it is tried again.
        retry_in: Duration,
        /// Names that wait.
        waiting: usize,
    },
    /// It is back.
    TargetUp {
        /// The target.
        target: usize,
        /// How long it was away.
        away: Duration,
    },
    /// The target refuses deletions: everything else goes on.
    DeletesRefused {
        /// The target.
        target: usize,
        /// Its words.
        text: String,
    },
    /// So much vanished at once that nothing is deleted until somebody releases it.
    DeletesHeld {
        /// The target.
        target: usize,
        /// Names that vanished within the last minute.
        vanished: usize,
        /// Names known before.
        known: usize,
    },
    /// A name failed; it is tried again.
    PathFailed {
        /// The target.
        target: usize,
        /// The name.
        path: PathBytes,
        /// The reason.
        text: String,
        /// How many names of this target fail now.
        failing: usize,
    },
}

/// What a batch did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchSummary {
    /// Some of the names, for the line of a log.
    pub examples: Vec<PathBytes>,
    /// Names sent.
    pub changed: usize,
    /// Names that vanished and that the target deleted, each with all below it.
    pub deleted: usize,
    /// True for a comparison of a whole directory.
    pub full: bool,
    /// Counts of the session.
    pub stats: crate::push::PushStats,
    /// From the look at the source to the end of the session.
    pub took: Duration,
    /// From the oldest change in the batch to the end of the session.
    pub lag: Duration,
    /// Names that did not arrive.
    pub failed: usize,
}
