//! What the two threads of the receiving side tell each other.
//!
//! Neither way ever blocks. Bounding either would close a cycle of waits: the generator waits for the socket, the
//! peer's sender waits for us to read, and only the receiver reads. What is in flight is a few small records for
//! each outstanding file.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rsync_delta::Layout;
use rsync_proto::Violation;
use rsync_proto::item::ItemFlags;
use rsync_proto::mux::TextKind;
use rsync_proto::sums::SumHead;

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
    /// How its basis was cut, [`Layout::EMPTY`] without one: the answer repeats it.
    pub(super) layout: Layout,
    /// What the request said.
    pub(super) flags: ItemFlags,
    /// A second try: the last one.
    pub(super) redo: bool,
}

impl Request {
    /// Whether the sum head of an answer is that of the request: by the sender's own number and length of blocks a
    /// few bytes of the wire would become any amount of data.
    pub(super) fn check_head(&self, head: &SumHead) -> Result<(), Violation> {
        let asked = &self.layout;
        // Without blocks there is no length to repeat; the sums' own length may be cut (03-transfer 4.3).
        let equal = head.count == asked.count()
            && (head.count == 0
                || (head.block_len, head.remainder) == (asked.block_len(), asked.remainder()));
        match equal {
            true => Ok(()),
            false => Err(Violation::UnrequestedHead { ndx: self.ndx }),
        }
    }
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
pub(super) struct Asked(Mutex<Outstanding>);

#[derive(Debug, Default)]
struct Outstanding {
    slots: VecDeque<Slot>,
    /// Where the request for an index is, counted from the session's first slot: a sender may refuse a hundred
    /// thousand of them, in any order.
    places: HashMap<i32, u64>,
    /// The place of the first slot.
    first: u64,
    /// Reports that the sender has not echoed.
    reports: u64,
}

#[derive(Debug)]
enum Slot {
    /// A request; `refused` by MSG_NO_SEND, which may overtake the answers before it.
    Request { request: Request, refused: bool },
    /// An NDX_DONE, which the sender answers with its own.
    Done,
}

impl Outstanding {
    fn push(&mut self, slot: Slot) {
        if let Slot::Request { request, .. } = &slot {
            let place = self.first + self.slots.len() as u64;
            self.places.insert(request.ndx, place);
        }
        self.slots.push_back(slot);
    }

    fn pop(&mut self) -> Option<Slot> {
        let slot = self.slots.pop_front()?;
        if let Slot::Request { request, .. } = &slot {
            self.places.remove(&request.ndx);
        }
        self.first += 1;
        Some(slot)
    }
}

impl Asked {
    fn lock(&self) -> MutexGuard<'_, Outstanding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        let outstanding = self.lock();
        let places = outstanding.places.capacity() * (size_of::<(i32, u64)>() + 1);
        outstanding.slots.capacity() * size_of::<Slot>() + places
    }

    /// A request is about to be written.
    pub(super) fn request(&self, request: Request) {
        self.lock().push(Slot::Request {
            request,
            refused: false,
        });
    }

    /// An NDX_DONE is about to be written.
    pub(super) fn done(&self) {
        self.lock().push(Slot::Done);
    }

    /// A report without a request is about to be written.
    pub(super) fn report(&self) {
        self.lock().reports += 1;
    }

    /// The sender echoed a report about `ndx`.
    ///
    /// # Errors
    /// [`Violation::UnrequestedReport`] for more echoes than reports.
    pub(super) fn echoed(&self, ndx: i32) -> Result<(), Violation> {
        let mut outstanding = self.lock();
        let left = outstanding.reports.checked_sub(1);
        outstanding.reports = left.ok_or(Violation::UnrequestedReport { ndx })?;
        Ok(())
    }

    /// The sender said that it cannot send `ndx`.
    ///
    /// # Errors
    /// [`Violation::UnrequestedAnswer`] when that was not asked for, or refused already.
    pub(super) fn refuse(&self, ndx: i32) -> Result<(), Violation> {
        let mut outstanding = self.lock();
        let place = outstanding.places.remove(&ndx);
        let at = place.and_then(|place| usize::try_from(place - outstanding.first).ok());
        match at.and_then(|at| outstanding.slots.get_mut(at)) {
            Some(Slot::Request { refused, .. }) => *refused = true,
            _ => return Err(Violation::UnrequestedAnswer { ndx }),
        }
        while matches!(
            outstanding.slots.front(),
            Some(Slot::Request { refused: true, .. })
        ) {
            outstanding.pop();
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
        let mut outstanding = self.lock();
        while let Some(Slot::Request { .. }) = outstanding.slots.front() {
            match outstanding.pop() {
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
        let mut outstanding = self.lock();
        while let Some(slot) = outstanding.pop() {
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
            layout: Layout::EMPTY,
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

    #[test]
    fn echoes_are_as_many_as_reports() {
        let asked = Asked::default();
        asked.report();
        assert_eq!(asked.echoed(3), Ok(()));
        assert_eq!(
            asked.echoed(3),
            Err(Violation::UnrequestedReport { ndx: 3 })
        );
    }

    /// In reverse order the oldest request stays to the last: one that looked for each from the front would take
    /// twenty thousand million steps here, and no test waits that long.
    #[test]
    fn refusals_in_any_order_cost_the_same() {
        const COUNT: i32 = 200_000;
        let asked = Asked::default();
        for ndx in 0..COUNT {
            asked.request(request(ndx));
        }
        for ndx in (0..COUNT).rev() {
            assert_eq!(asked.refuse(ndx), Ok(()), "{ndx}");
        }
        let outstanding = asked.lock();
        assert!(outstanding.slots.is_empty() && outstanding.places.is_empty());
    }
}
