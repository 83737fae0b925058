//! Watches a tree and keeps rsync targets equal to it.
//!
//! ```text
//! inotify ──> reader ──> node tree ──> dirty set of each target ──> plan ──> Pusher ──> confirmed | back
//!                 overflow, new directory, mount ──> tree worker ──┘
//! ```
//!
//! Events only say where to look. When a batch is made, the source is looked at afresh: what exists is sent, what does not is deleted. A name
//! leaves a target's dirty set only when the target has what was read after the name was taken from the set. So, once writes stop and
//! the target is reachable, the target becomes equal to the source, whatever was lost on the way.
//!
//! [`Watcher`] is the whole; [`Pusher`] is what it needs from outside, and [`mirror::Mirror`] the one that speaks rsync. [`DirtySet`] and
//! [`records`] are pure and can be used, tested and fuzzed alone. What happens is told as [`WatchEvent`]s that nobody has to read.
//!
//! What this crate refuses to be: it prints nothing, ends for no failure of a target, starts no program, and knows nothing of how files are
//! transferred.
//!
//! # Example
//!
//! ```no_run
//! use syncline::{Cancel, Filters, Target, TransferOptions, daemon::Connect};
//! use syncline_watcher::mirror::{Mirror, MirrorTarget};
//! use syncline_watcher::{TargetSpec, WatchEvent, WatchOptions, Watcher};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let target = match "rsync://nas.example/work/".parse()? {
//!     Target::Local(path) => MirrorTarget::Local(path),
//!     Target::Daemon(target) => MirrorTarget::Daemon { target, connect: Connect::default() },
//! };
//! let options = TransferOptions::archive();
//! let mirror = Mirror::new(target, options, Filters::default(), true, Cancel::new());
//! let spec = TargetSpec { pusher: Box::new(mirror), confirmed_until: None, known_names: 0 };
//! let (watcher, events) = Watcher::start("/home/alice/work".as_ref(), vec![spec], WatchOptions::default())?;
//! for event in events {
//!     if let WatchEvent::InSync { .. } = event {
//!         break;
//!     }
//! }
//! watcher.stop();
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod clock;
mod coalesce;
mod dirty;
mod driver;
mod error;
mod event;
mod filesystem;
mod guard;
mod inotify;
pub mod mirror;
mod path;
mod plan;
mod push;
mod sender;
mod shared;
mod source;
mod state;
mod survey;
mod target;
mod tree;
mod worker;

#[cfg(test)]
mod tests;

pub use clock::Moment;
pub use coalesce::{DirtySet, MAX_MARKS, Problem, Taken};
pub use dirty::{Hint, Mark, Present, Subtree, Timing, Wait};
pub use driver::{Status, TargetSpec, TargetStatus, Watcher};
pub use error::WatchError;
pub use event::{BatchSummary, WatchEvent};
pub use guard::DeleteLimit;
pub use inotify::{EventBits, Malformed, Record, Records, records};
pub use path::PathBytes;
pub use push::{
    Batch, BatchEntry, EntryKind, FailureKind, FullSync, Halt, PathFailure, PushEvent, PushResult,
    PushStats, Pusher, RenameHint, Retry, SessionError,
};
pub use shared::{DeletePolicy, WatchOptions};
pub use state::Excludes;
pub use target::Phase;
