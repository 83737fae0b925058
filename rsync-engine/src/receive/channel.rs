//! What the two threads of the receiving side tell each other.
//!
//! Neither way ever blocks. Bounding either would close a cycle of waits: the generator waits for the socket, the
//! peer's sender waits for us to read, and only the receiver reads. What is in flight is a few small records for
//! each outstanding file.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rsync_proto::Violation;
use rsync_proto::item::ItemFlags;
use rsync_proto::mux::TextKind;

use crate::budget::Charge;
use crate::list::FileList;

/// From the receiver, which alone reads the connection, to the generator, which alone writes it.
#[derive(Debug)]
pub(super) enum ToGenerator {
    /// A list is complete.
    List(Arc<FileList>),
    /// No further lists will come.
    NoMoreLists,
    /// A requested file needs nothing more: it is in place, or it failed for good.
    Settled { ndx: i32, in_place: bool },
    /// A requested file arrived damaged; ask for it once more.
    Redo { ndx: i32 },
    /// The sender's DONE that ends phase `n` was read.
    PhaseEnd(u8),
    /// A text for the client.
    Tell {
        kind: TextKind,
        text: Vec<u8>,
        /// Held until the text is written: a peer that does not read its texts makes us hold them.
        _charge: Charge,
    },
    /// The session's last DONE of the sender was read.
    Finished,
    /// The receiver ended with an error, which it returns itself.
    Broken,
}

/// A transfer request that was written to the sender.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) ndx: i32,
    pub(super) list: Arc<FileList>,
    /// Position in the list.
    pub(super) at: usize,
    pub(super) basis: Basis,
    /// The file did not exist.
    pub(super) is_new: bool,
    /// What the request said.
    pub(super) flags: ItemFlags,
    /// A second try: the last one.
    pub(super) redo: bool,
}

/// What the block sums were made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    /// Nothing.
    None,
    /// The destination file.
    Destination,
}

/// What the generator wrote and the sender has not answered yet, oldest first. The sender answers in this order.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<VecDeque<Slot>>);

#[derive(Debug)]
enum Slot {
    /// A request; `refused` by MSG_NO_SEND, which may overtake the answers before it.
    Request { request: Request, refused: bool },
    /// An NDX_DONE, which the sender answers with its own.
    Done,
}

impl Asked {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        self.lock().capacity() * size_of::<Slot>()
    }

    /// A request is about to be written.
    pub(super) fn request(&self, request: Request) {
        self.lock().push_back(Slot::Request {
            request,
            refused: false,
        });
    }

    /// An NDX_DONE is about to be written.
    pub(super) fn done(&self) {
        self.lock().push_back(Slot::Done);
    }

    /// The sender said that it cannot send `ndx`.
    ///
    /// # Errors
    /// [`Violation::UnrequestedAnswer`] when that was not asked for, or refused already.
    pub(super) fn refuse(&self, ndx: i32) -> Result<(), Violation> {
        let mut slots = self.lock();
        let found = slots.iter_mut().find_map(|slot| match slot {
            Slot::Request { request, refused } if request.ndx == ndx && !*refused => Some(refused),
            _ => None,
        });
        *found.ok_or(Violation::UnrequestedAnswer { ndx })? = true;
        while matches!(slots.front(), Some(Slot::Request { refused: true, .. })) {
            slots.pop_front();
        }
        Ok(())
    }

    /// The request that an answer belongs to. Requests before it got no answer and go to `unanswered`: at protocol
    /// 29 the sender says nothing about files it cannot send.
    ///
    /// # Errors
    /// [`Violation::UnrequestedAnswer`] when it was not asked for.
    pub(super) fn answered(
        &self,
        ndx: i32,
        unanswered: &mut Vec<i32>,
    ) -> Result<Request, Violation> {
        let mut slots = self.lock();
        while let Some(Slot::Request { .. }) = slots.front() {
            match slots.pop_front() {
                Some(Slot::Request { refused: true, .. }) | Some(Slot::Done) | None => {}
                Some(Slot::Request { request, .. }) if request.ndx == ndx => return Ok(request),
                Some(Slot::Request { request, .. }) => unanswered.push(request.ndx),
            }
        }
        Err(Violation::UnrequestedAnswer { ndx })
    }

    /// The sender's answer to the oldest NDX_DONE was read. Requests before that get no answer any more.
    ///
    /// # Errors
    /// [`Violation::IndexOutOfRange`] for an answer to no DONE of ours.
    pub(super) fn done_answered(&self, unanswered: &mut Vec<i32>) -> Result<(), Violation> {
        let mut slots = self.lock();
        while let Some(slot) = slots.pop_front() {
            match slot {
                Slot::Done => return Ok(()),
                Slot::Request { refused: true, .. } => {}
                Slot::Request { request, .. } => unanswered.push(request.ndx),
            }
        }
        Err(Violation::IndexOutOfRange { value: -1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(ndx: i32) -> Request {
        Request {
            ndx,
            list: Arc::default(),
            at: 0,
            basis: Basis::None,
            is_new: true,
            flags: ItemFlags::TRANSFER,
            redo: false,
        }
    }

    #[test]
    fn refusals_may_overtake_answers_but_not_the_requests() {
        let (asked, mut skipped) = (Asked::default(), Vec::new());
        for ndx in [3, 4, 5] {
            asked.request(request(ndx));
        }
        asked.done();
        asked.request(request(6));
        assert!(asked.refuse(4).is_ok());
        assert!(asked.refuse(4).is_err(), "refused twice");
        assert!(asked.refuse(9).is_err(), "never asked for");
        assert_eq!(asked.answered(3, &mut skipped).map(|r| r.ndx), Ok(3));
        assert!(
            asked.answered(6, &mut skipped).is_err(),
            "behind a DONE that is not answered"
        );
        assert_eq!(skipped, [5]);
        assert_eq!(asked.done_answered(&mut skipped), Ok(()));
        assert_eq!(asked.answered(6, &mut skipped).map(|r| r.ndx), Ok(6));
        assert!(asked.done_answered(&mut skipped).is_err(), "one too many");
    }
}
