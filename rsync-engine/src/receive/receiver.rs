//! The receiver: reads the sender's lists, answers and DONEs, and writes file data. It never writes to the
//! connection; what the peer must learn goes through the generator.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use rsync_delta::Checksum;
use rsync_proto::Violation;
use rsync_proto::item::{ItemFlags, ItemHeader};
use rsync_proto::mux::TextKind;
use rsync_proto::ndx::{Ndx, NdxReader};
use rsync_proto::stats::{DelStats, Stats};
use rsync_proto::sums::SumHead;

use crate::error::Error;
use crate::event::{Event, FileFailure};
use crate::fs::{DirCache, WriteBuffer};
use crate::list::FileList;
use crate::peer_end::End;
use crate::session::Session;
use crate::wire_in::WireIn;

use super::attributes::AttributeRules;
use super::channel::{Asked, Request, ToGenerator};
use super::destination::Place;
use super::file::Received;
use super::generator::{Teller, item_of};
use super::lists::ListReader;

/// Size of a file during which the generator is not left without news.
const LARGE: u64 = 64 << 10;

/// What the receiver leaves behind for the outcome.
#[derive(Debug, Default)]
pub(super) struct ReceiverStats {
    pub(super) transferred: u64,
    pub(super) transferred_size: u64,
    pub(super) literal: u64,
    pub(super) matched: u64,
    pub(super) received: u64,
    /// The server's numbers, on a pull.
    pub(super) server: Option<Stats>,
    pub(super) created: crate::outcome::TypeCounts,
}

pub(super) struct Receiver {
    pub(super) session: Arc<Session>,
    pub(super) input: WireIn,
    pub(super) ndx: NdxReader,
    pub(super) lists: ListReader,
    pub(super) to_generator: Sender<Vec<ToGenerator>>,
    /// What the generator is told before we wait for the peer: waking it for each file would cost more than the file.
    pub(super) untold: Vec<ToGenerator>,
    /// What the generator wrote and the sender has not answered.
    pub(super) asked: Arc<Asked>,
    pub(super) place: Place,
    pub(super) dirs: Option<DirCache>,
    pub(super) rules: AttributeRules,
    pub(super) checksum: Checksum,
    pub(super) buffer: WriteBuffer,
    pub(super) stats: ReceiverStats,
    pub(super) entries: u64,
    pub(super) more: bool,
    /// The server has repeated our statistics of deletions.
    pub(super) repeated_stats: bool,
    /// Lists that the sender still holds; a flat list stays to the end.
    pub(super) held: VecDeque<Arc<FileList>>,
    /// The texts that wait for the client are too many.
    pub(super) fault: Option<Error>,
}

impl Receiver {
    /// Runs to the sender's last DONE.
    pub(super) fn run(&mut self) -> Result<(), Error> {
        let done = self.answers().and_then(|()| self.goodbye());
        self.stats.received = self.input.received();
        let last = if done.is_ok() {
            ToGenerator::Finished
        } else {
            // The generator may be deep in work in which it takes no messages.
            self.session.clock.peer().set(End::Receiver);
            ToGenerator::Broken
        };
        self.tell_generator(last);
        self.tell();
        done
    }

    pub(super) fn tell_generator(&mut self, message: ToGenerator) {
        self.untold.push(message);
    }

    fn tell(&mut self) {
        if !self.untold.is_empty() {
            // A closed channel means that the generator ended; its error is the one that counts.
            let _ = self.to_generator.send(std::mem::take(&mut self.untold));
        }
    }

    fn answers(&mut self) -> Result<(), Error> {
        let inc_recurse = self.session.negotiated.inc_recurse();
        let mut phase = 0;
        loop {
            self.session.cancel.check()?;
            self.fault.take().map_or(Ok(()), Err)?;
            let ndx = self.read_ndx()?;
            match ndx {
                Ndx::DONE => {
                    self.done_answered()?;
                    if inc_recurse && self.held.len() > 1 {
                        self.held.pop_front();
                        continue;
                    }
                    if inc_recurse {
                        self.held.clear();
                    }
                    phase += 1;
                    self.tell_generator(ToGenerator::PhaseEnd(phase));
                    if phase > 2 {
                        return Ok(());
                    }
                }
                Ndx::FLIST_EOF if inc_recurse && self.more => self.no_more_lists(),
                Ndx::DEL_STATS => self.delete_stats()?,
                _ => match (ndx.as_sublist(), ndx.as_entry()) {
                    (Some(dir), _) if inc_recurse && self.more => self.sublist(dir)?,
                    (_, Some(_)) => self.answer(ndx.0)?,
                    _ => {
                        return Err(Violation::IndexOutOfRange {
                            value: ndx.0.into(),
                        }
                        .into());
                    }
                },
            }
        }
    }

    pub(super) fn read_ndx(&mut self) -> Result<Ndx, Error> {
        loop {
            let reader = &mut self.ndx;
            if let Some(ndx) = self.input.try_record(|cursor| reader.read(cursor))? {
                return Ok(ndx);
            }
            self.tell();
            self.input.fill()?;
        }
    }

    pub(super) fn no_more_lists(&mut self) {
        self.more = false;
        self.tell_generator(ToGenerator::NoMoreLists);
    }

    pub(super) fn sublist(&mut self, dir: u32) -> Result<(), Error> {
        self.tell();
        let list = self.lists.sub(&mut self.input, dir)?;
        self.session.trouble.io_error(self.lists.io_error);
        self.hold(list);
        Ok(())
    }

    pub(super) fn hold(&mut self, list: FileList) {
        self.entries += list.len() as u64;
        let list = Arc::new(list);
        self.held.push_back(Arc::clone(&list));
        self.tell_generator(ToGenerator::List(list));
    }

    /// One answer: an echoed report, or the data of a requested file.
    fn answer(&mut self, ndx: i32) -> Result<(), Error> {
        let (flags, basis_type) = self.input.record(|cursor| {
            let header = ItemHeader::decode(cursor)?;
            Ok((header.flags, header.basis_type))
        })?;
        if !flags.contains(ItemFlags::TRANSFER) {
            self.asked.echoed(ndx)?;
            return self.check_held(ndx);
        }
        // Only the destination itself was ever proposed as a basis.
        if basis_type.is_some_and(|basis| basis != rsync_proto::item::basis::DESTINATION) {
            return Err(Violation::UnexpectedBasis.into());
        }
        let request = self.requested(ndx)?;
        self.stats.transferred += u64::from(!request.redo);
        let entry = request.list.entries()[request.at];
        let name = request.list.path(&entry);
        if !request.redo {
            let size = self.stats.transferred_size.saturating_add(entry.size);
            self.stats.transferred_size = size;
            if request.is_new {
                self.stats.created.count(entry.mode);
            }
            let teller = Teller::receiving(self.checksum);
            let item = item_of(&request.list, &entry, &name, request.flags, None, teller);
            self.session.events.event(Event::Item(item));
        }
        if self.session.options.dry_run {
            self.tell_generator(ToGenerator::Settled {
                ndx,
                in_place: true,
            });
            return Ok(());
        }
        let protocol = self.session.protocol();
        let before = self.input.used();
        let head = self
            .input
            .record(|cursor| SumHead::decode(cursor, protocol))?;
        request.check_head(&head)?;
        if entry.size >= LARGE {
            self.tell();
        }
        let received = self.receive_file(&request, &entry, &name, &head, before)?;
        let message = match received {
            Received::InPlace => ToGenerator::Settled {
                ndx,
                in_place: true,
            },
            Received::Failed => ToGenerator::Settled {
                ndx,
                in_place: false,
            },
            Received::Damaged if request.redo => {
                self.discard(&name);
                ToGenerator::Settled {
                    ndx,
                    in_place: false,
                }
            }
            Received::Damaged => ToGenerator::Redo { ndx },
        };
        self.tell_generator(message);
        Ok(())
    }

    /// An echoed report concerns an entry of a list that is held, or with incremental recursion the directory of
    /// one.
    fn check_held(&self, ndx: i32) -> Result<(), Error> {
        let gap = i32::from(self.session.negotiated.inc_recurse());
        let at = self
            .held
            .partition_point(|list| list.ndx_start - gap <= ndx)
            .checked_sub(1);
        let known = at.is_some_and(|at| {
            let list = &self.held[at];
            match usize::try_from(i64::from(ndx) - i64::from(list.ndx_start)) {
                Ok(position) => list.get(position).is_some_and(|entry| !entry.cleared()),
                Err(_) => true,
            }
        });
        if known {
            Ok(())
        } else {
            Err(Violation::IndexOutOfRange { value: ndx.into() }.into())
        }
    }

    fn discard(&mut self, name: &[u8]) {
        let (word, op) = if self.session.options.partial {
            ("retained", "failed verification -- update retained")
        } else {
            ("discarded", "failed verification -- update discarded")
        };
        let text = format!(
            "ERROR: {} failed verification -- update {word}.",
            rsync_proto::PeerText(name)
        );
        let failure = FileFailure {
            role: "receiver",
            op,
            name: name.to_vec(),
            source: None,
            vanished: false,
        };
        self.session.failed(&failure);
        self.tell_client(format!("{text}\n").into_bytes());
    }

    /// A text of an error for the client, if that is the peer.
    fn tell_client(&mut self, text: Vec<u8>) {
        if self.session.client {
            return;
        }
        let mut charge = self.session.budget.charge("messages to the client");
        match charge.set(text.len()) {
            Ok(()) => self.tell_generator(ToGenerator::Tell {
                kind: TextKind::ErrorXfer,
                text,
                _charge: charge,
            }),
            Err(error) => self.fault = Some(error),
        }
    }

    fn requested(&mut self, ndx: i32) -> Result<Request, Error> {
        let mut unanswered = Vec::new();
        let request = self.asked.answered(ndx, &mut unanswered);
        self.unanswered(unanswered);
        Ok(request?)
    }

    fn done_answered(&mut self) -> Result<(), Error> {
        let mut unanswered = Vec::new();
        let done = self.asked.done_answered(&mut unanswered);
        self.unanswered(unanswered);
        Ok(done?)
    }

    /// The sender could not send what was asked for and had no way to say so (protocol 29).
    fn unanswered(&mut self, indexes: Vec<i32>) {
        for ndx in indexes {
            self.session.trouble.note_partial();
            self.tell_generator(ToGenerator::Settled {
                ndx,
                in_place: false,
            });
        }
    }

    /// Reports a failed file here and to the client.
    pub(super) fn fail(&mut self, failure: &FileFailure) {
        self.session.failed(failure);
        self.tell_client([b"rsync: ", &failure.line()[..], b"\n"].concat());
    }

    /// A server repeats the statistics of deletions that we sent it, once (01-session 11.6).
    fn delete_stats(&mut self) -> Result<(), Error> {
        let first = !std::mem::replace(&mut self.repeated_stats, true);
        if !(first && self.session.protocol().has_delete_stats()) {
            return Err(Violation::UnexpectedStatistics.into());
        }
        self.input.record(DelStats::decode)?;
        Ok(())
    }

    /// What follows the sender's last phase DONE (01-session 11.5).
    fn goodbye(&mut self) -> Result<(), Error> {
        self.tell();
        let protocol = self.session.protocol();
        if self.session.client {
            self.stats.server = Some(
                self.input
                    .record(|cursor| Stats::decode(cursor, protocol))?,
            );
        }
        if protocol.has_delete_stats() {
            loop {
                match self.read_ndx()? {
                    Ndx::DONE => break,
                    Ndx::DEL_STATS => self.delete_stats()?,
                    other => {
                        return Err(Violation::IndexOutOfRange {
                            value: other.0.into(),
                        }
                        .into());
                    }
                }
            }
        }
        Ok(())
    }
}
