//! What ends a transfer, and the exit code rsync gives it (01-session 12.3).

use std::io;

use crate::event::SystemError;
use rsync_proto::{DecodeError, PeerText, Unsupported, Violation};

/// A failure that ends the whole run. A failure of one file is an [`crate::Event`] and a flag in the
/// [`crate::Outcome`] instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke the protocol.
    #[error("protocol violation by the peer: {0}")]
    Protocol(#[from] Violation),
    /// The peer is honest but wants what we do not have.
    #[error("{0}")]
    Unsupported(#[from] Unsupported),
    /// The stream ended before its legal end.
    #[error("connection unexpectedly closed ({received} bytes received so far)")]
    Disconnected {
        /// Bytes read from the peer in this session.
        received: u64,
    },
    /// The connection failed.
    #[error("{op} error: {}", SystemError(source))]
    Connection {
        /// `read` or `write`.
        op: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// Nothing came and nothing could be sent for the I/O timeout.
    #[error("no data for {seconds} seconds, giving up")]
    Timeout {
        /// The timeout that ran out.
        seconds: u64,
    },
    /// The peer told us its exit code (MSG_ERROR_EXIT); its texts came before as events.
    #[error("the peer ended the session with code {code}")]
    Remote {
        /// The peer's exit code, never 0.
        code: u8,
    },
    /// [`crate::Cancel::cancel`] was called.
    #[error("cancelled")]
    Cancelled,
    /// A local file operation without which the run cannot go on.
    #[error("{}", file_failure(op, path, source))]
    File {
        /// The operation, in rsync's word for it.
        op: &'static str,
        /// The path as a person may read it.
        path: PeerText<Vec<u8>>,
        /// The system's reason.
        source: io::Error,
        /// rsync's class: 3 for selecting input and output, 11 for file I/O.
        code: u8,
    },
    /// The request cannot be met: options or paths do not fit together.
    #[error("{text}")]
    Request {
        /// One clause for the user.
        text: String,
        /// rsync's exit code for it.
        code: u8,
    },
    /// The sender does not end a file that it listed as a much shorter one.
    #[error("\"{path}\": the data does not end, far beyond the listed size of {listed} bytes")]
    Overgrown {
        /// The name in the file list.
        path: PeerText<Vec<u8>>,
        /// Its size there.
        listed: u64,
    },
    /// A limit of ours against hostile or runaway input was reached.
    #[error("{what} exceeds the limit of {limit}")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The peer makes us hold more memory than [`crate::Budget`] allows.
    #[error("{what}: the memory budget of {scope} ({limit} bytes) is used up")]
    Budget {
        /// What was to be held.
        what: &'static str,
        /// Whose budget it is.
        scope: &'static str,
        /// The budget in bytes.
        limit: u64,
    },
    /// The system has no memory left.
    #[error("{what}: out of memory: {bytes} bytes cannot be allocated")]
    OutOfMemory {
        /// What was to be held.
        what: &'static str,
        /// How much of it.
        bytes: u64,
    },
    /// A bug of ours: a role thread panicked.
    #[error("internal error in the {role}")]
    Internal {
        /// The role whose thread ended.
        role: &'static str,
    },
}

impl Error {
    /// rsync's exit code for this error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Protocol(violation) => violation.exit_code(),
            Self::Unsupported(_) => 4,
            Self::Disconnected { .. } | Self::Overgrown { .. } => 12,
            Self::Connection { .. } => 10,
            Self::Timeout { .. } => 30,
            Self::Remote { code } | Self::File { code, .. } | Self::Request { code, .. } => *code,
            Self::Cancelled => 20,
            Self::Limit { .. } | Self::Budget { .. } | Self::OutOfMemory { .. } => 22,
            Self::Internal { .. } => 14,
        }
    }

    /// A request that cannot be met.
    pub(crate) fn request(code: u8, text: impl Into<String>) -> Self {
        Self::Request {
            text: text.into(),
            code,
        }
    }
}

/// rsync's words for a failed file operation.
fn file_failure(op: &str, path: &PeerText<Vec<u8>>, source: &io::Error) -> String {
    let reason = SystemError(source);
    // An operation is named by its call; anything else is a clause of its own.
    match op.contains(' ') {
        false => format!("{op} \"{path}\" failed: {reason}"),
        true if op.contains("failed") => format!("{op} \"{path}\": {reason}"),
        true => format!("ERROR: {op} \"{path}\": {reason}"),
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        match error {
            // `WireIn` waits for more bytes itself; whoever decodes a whole buffer got a short one.
            DecodeError::Incomplete => Self::Protocol(Violation::Truncated),
            DecodeError::Violation(violation) => Self::Protocol(violation),
            DecodeError::Unsupported(unsupported) => Self::Unsupported(unsupported),
        }
    }
}
