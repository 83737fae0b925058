//! Why a client could not do what it was asked.

use std::fmt;
use std::io;
use std::net::IpAddr;

use rsync_engine::SystemError;
use rsync_proto::{DecodeError, EncodeError, PeerText};

/// A failed connection, handshake or transfer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No address of the host could be reached.
    #[error("failed to connect to {host} ({}): {}", Tried(address.as_ref(), *port), SystemError(source))]
    Connect {
        /// The host as it was named.
        host: String,
        /// The address tried last; none if the name has none.
        address: Option<IpAddr>,
        /// The port.
        port: u16,
        /// The system's reason for the last address tried.
        source: io::Error,
    },
    /// The connection was not there in time.
    #[error("timeout waiting for daemon connection to {host} ({port})")]
    ConnectTimeout {
        /// The host as it was named.
        host: String,
        /// The port.
        port: u16,
    },
    /// The connection broke before the session began.
    #[error("connection to the daemon failed: {}", SystemError(.0))]
    Handshake(#[source] io::Error),
    /// The daemon closed the connection before the session began.
    #[error("the daemon closed the connection during {during}")]
    Closed {
        /// What was being waited for.
        during: &'static str,
    },
    /// The daemon said no: an unknown module, no access, a wrong password, too many connections. Its words.
    #[error("{0}")]
    Refused(PeerText<Vec<u8>>),
    /// The daemon asks for a password and there is none.
    #[error("the daemon asks for a password and there is none: {0}")]
    Password(String),
    /// Something else than an rsync daemon listens there. Its first line.
    #[error("server sent \"{0}\" rather than greeting")]
    NoDaemon(PeerText<Vec<u8>>),
    /// The daemon's lines before the session broke a rule.
    #[error("{0}")]
    Greeting(DecodeError),
    /// A word of the request has no form on the wire.
    #[error("{0}")]
    Encode(#[from] EncodeError),
    /// A source or destination that makes no sense.
    #[error("{0}")]
    Target(#[from] crate::TargetError),
    /// A source that cannot be opened.
    #[error("link_stat \"{path}\" failed: {}", SystemError(source))]
    Source {
        /// The path.
        path: PeerText<Vec<u8>>,
        /// The system's reason.
        source: io::Error,
    },
    /// A filter rule that cannot be used.
    #[error("{text}")]
    Filter {
        /// What is wrong with it.
        text: String,
        /// rsync's exit code for it.
        code: u8,
    },
    /// The session itself failed.
    #[error(transparent)]
    Session(#[from] rsync_engine::Error),
    /// A thread of the transfer could not be started or ended by a bug of ours.
    #[error("the transfer's thread failed: {0}")]
    Thread(String),
}

impl Error {
    /// rsync's exit code (01-session 12.3).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Connect { .. } => 10,
            Self::ConnectTimeout { .. } => 35,
            Self::Handshake(source) if source.kind() == io::ErrorKind::TimedOut => 30,
            Self::Handshake(_) => 10,
            Self::Closed { .. } | Self::Refused(_) | Self::Password(_) | Self::NoDaemon(_) => 5,
            Self::Greeting(error) => match error.exit_code() {
                // A broken text phase is a failed start, whatever the rule.
                12 => 5,
                code => code,
            },
            Self::Encode(_) | Self::Target(_) => 1,
            Self::Source { .. } => 23,
            Self::Filter { code, .. } => *code,
            Self::Session(error) => error.exit_code(),
            Self::Thread(_) => 14,
        }
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::Greeting(error)
    }
}

/// What a connection was tried to, as rsync tells it: the address, or the port of a name without one.
struct Tried<'a>(Option<&'a IpAddr>, u16);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(Some(address), _) => address.fmt(f),
            Self(None, port) => port.fmt(f),
        }
    }
}
