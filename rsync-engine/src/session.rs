//! What all roles of one session know, and what the peer tells between the data.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rsync_proto::mux::{Message, Tag, TextKind, exit_code_of_peer};
use rsync_proto::setup::Negotiated;
use rsync_proto::{PeerText, Protocol, Violation};

use crate::budget::Budget;
use crate::cancel::Cancel;
use crate::error::Error;
use crate::event::{Event, Events, FileFailure};
use crate::io_clock::IoClock;
use crate::options::{Delete, TransferOptions};
use crate::outcome::{IO_GENERAL, IO_VANISHED};
use crate::wire_in::Messages;

/// Names that a receiving side may report as deleted where no `--max-delete` says less: as many as one list can have.
const DELETED_MAX: u64 = 1 << 28;

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
    /// Memory that the peer may make us hold.
    pub budget: Budget,
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

    /// Whether the session may go on; long work asks this often. Two loads, no system call.
    ///
    /// # Errors
    /// [`Error::Cancelled`], or why the peer is gone ([`IoClock::check_peer`]).
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.cancel.check()?;
        self.clock.check_peer()
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

/// How many messages about entries the peer may send, which follows from what was listed and asked for (01-session
/// 10.7). The indices of MSG_NO_SEND are checked one by one.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    /// Names that it may report as deleted.
    pub(crate) deleted: u64,
    /// Entries that it may call in place: twice as many as it knows of, since a repetition is harmless.
    pub(crate) in_place: Arc<AtomicU64>,
    counted_deleted: u64,
    counted_in_place: u64,
}

impl Allowance {
    /// What a receiving side may report that was asked for this.
    pub(crate) fn of(options: &TransferOptions) -> Self {
        let deletes = options.delete != Delete::Off || options.force || options.delete_missing_args;
        let most = options.max_delete.unwrap_or(DELETED_MAX);
        Self {
            deleted: if deletes { most } else { 0 },
            ..Self::default()
        }
    }

    /// One more name was reported as deleted.
    fn count_deleted(&mut self) -> Result<(), Violation> {
        count(Tag::DELETED, &mut self.counted_deleted, self.deleted)
    }

    /// One more entry was called in place.
    fn count_in_place(&mut self) -> Result<(), Violation> {
        let max = self.in_place.load(Ordering::Relaxed).saturating_mul(2);
        count(Tag::SUCCESS, &mut self.counted_in_place, max)
    }
}

fn count(tag: Tag, counted: &mut u64, max: u64) -> Result<(), Violation> {
    if *counted >= max {
        return Err(Violation::MessageCount { tag: tag.0, max });
    }
    *counted += 1;
    Ok(())
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
    /// Bounds what is repeated for each entry; a sender may send none of these.
    pub(crate) allowance: Allowance,
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
            Message::Success(ndx) => {
                self.allowance.count_in_place()?;
                if self.wants_success {
                    (self.note)(Note::Success(ndx.0))?;
                }
            }
            Message::Deleted { name, is_dir } => {
                self.allowance.count_deleted()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_about_entries_are_as_many_as_was_asked_for() {
        let allowed = |change: fn(&mut TransferOptions)| {
            let mut options = TransferOptions::default();
            change(&mut options);
            Allowance::of(&options).deleted
        };
        assert_eq!(allowed(|_| {}), 0);
        assert_eq!(allowed(|o| o.max_delete = Some(5)), 0);
        assert_eq!(allowed(|o| o.force = true), DELETED_MAX);
        assert_eq!(allowed(|o| o.delete_missing_args = true), DELETED_MAX);
        assert_eq!(allowed(|o| o.delete = Delete::After), DELETED_MAX);
        let few = |o: &mut TransferOptions| (o.delete, o.max_delete) = (Delete::During, Some(2));
        assert_eq!(allowed(few), 2);

        let mut allowance = Allowance {
            deleted: 2,
            ..Allowance::default()
        };
        assert_eq!(allowance.count_deleted(), Ok(()));
        assert_eq!(allowance.count_deleted(), Ok(()));
        assert!(allowance.count_deleted().is_err());
        assert!(allowance.count_in_place().is_err(), "nothing is listed");
        allowance.in_place.store(1, Ordering::Relaxed);
        assert_eq!(allowance.count_in_place(), Ok(()));
        assert_eq!(allowance.count_in_place(), Ok(()), "told twice");
        assert!(allowance.count_in_place().is_err());
    }
}
