//! Why a watcher does not start. Nothing else ends it.

use std::path::PathBuf;

use rsync_engine::fs::Errno;

/// Why a watcher does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The directory cannot be opened or watched.
    #[error("cannot watch {}: {text}", .path.as_os_str().as_encoded_bytes().escape_ascii())]
    Root {
        /// The directory.
        path: PathBuf,
        /// The system's words.
        text: String,
    },
    /// No inotify instance could be had; with EMFILE all of `fs.inotify.max_user_instances` are in use.
    #[error("cannot set up inotify (see fs.inotify.max_user_instances)")]
    Inotify(#[source] std::io::Error),
    /// The reader's wake-up descriptor could not be made.
    #[error("cannot make an event descriptor")]
    Wake(#[source] Errno),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}
