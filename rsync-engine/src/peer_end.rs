//! How the peer ended, for work that neither reads nor writes the connection.
//!
//! A thread that reads ahead sees the end of the stream long before the role whose work it concerns reads so far. What
//! looks at [`PeerEnd`] now and then stops working for a peer that is gone.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// An [`io::Error`] that can be reported more than once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed {
    kind: io::ErrorKind,
    code: Option<i32>,
}

impl From<&io::Error> for Failed {
    fn from(error: &io::Error) -> Self {
        Self {
            kind: error.kind(),
            code: error.raw_os_error(),
        }
    }
}

impl From<Failed> for io::Error {
    fn from(failed: Failed) -> Self {
        match failed.code {
            Some(code) => Self::from_raw_os_error(code),
            None => failed.kind.into(),
        }
    }
}

/// Why nothing more comes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// The peer closed its direction after this many bytes.
    Closed(u64),
    /// Reading failed.
    Failed(Failed),
    /// The receiver, which reads for the generator, ended with an error of its own.
    Receiver,
}

/// Whether the stream from the peer ended, and whether its bytes are used up.
#[derive(Debug, Default)]
pub(crate) struct PeerEnd {
    end: OnceLock<End>,
    /// Bytes of the stream that were used.
    used: AtomicU64,
}

impl PeerEnd {
    /// Notes the end; the first one counts.
    pub(crate) fn set(&self, end: End) {
        // A second end says nothing new.
        let _ = self.end.set(end);
    }

    /// Notes how many bytes of the stream were used so far.
    pub(crate) fn set_used(&self, bytes: u64) {
        self.used.store(bytes, Ordering::Relaxed);
    }

    /// Whether the stream ended, used up or not.
    pub(crate) fn is_set(&self) -> bool {
        self.end.get().is_some()
    }

    /// Why the session cannot reach its end any more. A stream that ended but has bytes to be read may hold everything
    /// that the peer has to say.
    pub(crate) fn reason(&self) -> Option<End> {
        self.end.get().copied().filter(|end| match *end {
            End::Closed(received) => self.used.load(Ordering::Relaxed) >= received,
            End::Failed(_) | End::Receiver => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_stream_is_the_end_once_it_is_used_up() {
        let peer = PeerEnd::default();
        assert!(!peer.is_set() && peer.reason().is_none());
        peer.set_used(3);
        peer.set(End::Closed(5));
        peer.set(End::Receiver);
        assert!(peer.is_set() && peer.reason().is_none());
        peer.set_used(5);
        assert!(matches!(peer.reason(), Some(End::Closed(5))));
    }

    #[test]
    fn after_a_failed_read_there_is_nothing_to_wait_for() {
        let peer = PeerEnd::default();
        let reset = io::Error::from_raw_os_error(104);
        peer.set(End::Failed((&reset).into()));
        let Some(End::Failed(failed)) = peer.reason() else {
            panic!("{peer:?}");
        };
        assert_eq!(io::Error::from(failed).to_string(), reset.to_string());
    }
}
