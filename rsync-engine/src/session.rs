//! What all roles of one session know, and what the peer tells between the data.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rsync_proto::PeerText;
use rsync_proto::Protocol;
use rsync_proto::mux::{Message, TextKind, exit_code_of_peer};
use rsync_proto::setup::Negotiated;

use crate::cancel::Cancel;
use crate::error::Error;
use crate::event::{Event, Events, FileFailure};
use crate::io_clock::IoClock;
use crate::options::TransferOptions;
use crate::outcome::{IO_GENERAL, IO_VANISHED};
use crate::wire_in::Messages;

/// What is fixed once the set-up is done.
pub struct Session {
    /// What the transfer is asked to do, as both ends understood it.
    pub options: TransferOptions,
    /// Protocol, checksums, seed.
    pub negotiated: Negotiated,
    /// We opened the connection and own the terminal; the other end is the server.
    pub client: bool,
    /// Where events go.
    pub events: Arc<dyn Events>,
    /// The handle that ends the run.
    pub cancel: Cancel,
    /// I/O timeout.
    pub clock: Arc<IoClock>,
    /// What went wrong so far, on either side.
    pub trouble: Arc<Trouble>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("negotiated", &self.negotiated)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// The negotiated protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.negotiated.protocol
    }

    /// How long to wait for the peer before a keep-alive is due.
    #[must_use]
    pub fn keep_alive_wait(&self) -> Option<Duration> {
        self.clock.timeout().map(|timeout| timeout / 2)
    }

    /// Notes a failed entry and reports it here. What the peer is told is the caller's.
    pub(crate) fn failed(&self, failure: &FileFailure) {
        if failure.vanished {
            self.trouble.io_error(IO_VANISHED);
        } else {
            self.trouble.note_partial();
        }
        self.events.event(Event::Failed(failure));
    }
}

/// The flags that decide the exit code of a run that reached its end.
#[derive(Debug, Default)]
pub struct Trouble {
    io_error: AtomicU32,
    partial: AtomicBool,
}

impl Trouble {
    /// Adds I/O error bits (01-session 12.1); unknown bits are dropped.
    pub fn io_error(&self, bits: u32) {
        self.io_error.fetch_or(bits & 7, Ordering::Relaxed);
    }

    /// The I/O error bits so far.
    #[must_use]
    pub fn io_error_bits(&self) -> u32 {
        self.io_error.load(Ordering::Relaxed)
    }

    /// Whether the general bit forbids deletions.
    #[must_use]
    pub fn forbids_deletion(&self) -> bool {
        self.io_error_bits() & IO_GENERAL != 0
    }

    /// Some entry failed.
    pub fn note_partial(&self) {
        self.partial.store(true, Ordering::Relaxed);
    }

    /// Whether some entry failed.
    #[must_use]
    pub fn partial(&self) -> bool {
        self.partial.load(Ordering::Relaxed)
    }
}

/// What a role has to do about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// The entry is in place at the receiving side.
    Success(i32),
    /// The request will get no reply.
    NoSend(i32),
}

/// The rules for messages of 01-session 10.3, for one end of one session.
pub(crate) struct PeerMessages {
    /// We are the client, so texts are for our user.
    pub(crate) client: bool,
    /// Whether MSG_SUCCESS was asked for.
    pub(crate) wants_success: bool,
    /// The timeout of our own; MSG_IO_TIMEOUT may only shorten it.
    pub(crate) clock: Arc<IoClock>,
    /// Where texts go.
    pub(crate) events: Arc<dyn Events>,
    /// Flags.
    pub(crate) trouble: Arc<Trouble>,
    /// The rest is for the role.
    pub(crate) note: Box<dyn FnMut(Note) -> Result<(), Error> + Send>,
}

impl Messages for PeerMessages {
    fn message(&mut self, message: Message<'_>) -> Result<(), Error> {
        match message {
            Message::Text { kind, text } => self.text(kind, text),
            Message::IoError(bits) => {
                self.trouble.io_error(bits.0.into());
            }
            Message::IoTimeout(Some(seconds)) => {
                let wanted = Duration::from_secs(u64::from(seconds));
                if self.client && self.clock.timeout().is_none_or(|own| own > wanted) {
                    self.clock.set_timeout(Some(wanted));
                }
            }
            Message::IoTimeout(None) | Message::Noop => {}
            Message::ErrorExit(code) => {
                return Err(Error::Remote {
                    code: exit_code_of_peer(code),
                });
            }
            Message::Success(ndx) if self.wants_success => (self.note)(Note::Success(ndx.0))?,
            Message::Success(_) => {}
            Message::Deleted { name, is_dir } => {
                self.events.event(Event::Deleted {
                    name: name.as_bytes(),
                    is_dir,
                    mode: None,
                });
            }
            Message::NoSend(ndx) => (self.note)(Note::NoSend(ndx.0))?,
        }
        Ok(())
    }
}

impl PeerMessages {
    fn text(&self, kind: TextKind, text: PeerText<&[u8]>) {
        if kind == TextKind::ErrorXfer {
            self.trouble.note_partial();
        }
        self.events.event(Event::Message { kind, text });
    }
}
