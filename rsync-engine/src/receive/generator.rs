//! The generator: decides what each entry needs, does what needs no data itself, asks the sender for the rest.
//!
//! It alone writes the connection. This file is the flow through lists and phases (03-transfer 1.4, 1.5); what
//! one entry needs is in `entry.rs`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Instant;

use rsync_delta::{BlockSums, Checksum};
use rsync_proto::item::{ItemFlags, ItemHeader};
use rsync_proto::mux::Message;
use rsync_proto::ndx::{Ndx, NdxWriter};
use rsync_proto::stats::DelStats;
use rsync_proto::{PeerText, Violation};

use crate::budget::Charge;
use crate::error::Error;
use crate::event::{Event, FileFailure, Item, TextKind};
use crate::fs::{DirCache, ListBuf, RelPathBuf};
use crate::list::{FileEntry, FileList};
use crate::options::Delete;
use crate::outcome::TypeCounts;
use crate::session::Session;
use crate::wire_out::WireOut;

use super::LAST_WORDS;
use super::attributes::AttributeRules;
use super::channel::{Asked, ToGenerator};
use super::delete::Deletions;
use super::destination::Place;
use super::directory::OpenDirs;
use super::hardlink::HardLinks;
use super::link_target::LinkTargets;

/// Request bytes collected before the sender gets to see them while we go on scanning.
const REQUESTS_AT: usize = 4 << 10;
/// Entries between two looks at what is remembered of them.
const ACCOUNT_EVERY: usize = 256;

/// A list whose entries are not all settled.
struct Live {
    list: Arc<FileList>,
    /// Requests without answer and hard links that wait.
    open: usize,
    scanned: bool,
}

/// What the generator leaves behind for the outcome.
#[derive(Debug, Default)]
pub(super) struct GeneratorStats {
    pub(super) created: TypeCounts,
    pub(super) deleted: DelStats,
    pub(super) sent: u64,
}

pub(super) struct Generator {
    pub(super) session: Arc<Session>,
    pub(super) out: WireOut,
    pub(super) ndx: NdxWriter,
    pub(super) inbox: Receiver<Vec<ToGenerator>>,
    pub(super) asked: Arc<Asked>,
    pub(super) place: Place,
    /// Handles below the place; `None` when the place does not exist (dry run).
    pub(super) dirs: Option<DirCache>,
    pub(super) rules: AttributeRules,
    pub(super) checksum: Checksum,
    pub(super) list_checksum: Checksum,
    pub(super) root: bool,
    pub(super) link_targets: LinkTargets,
    pub(super) links: HardLinks,
    pub(super) deletions: Deletions,
    pub(super) open_dirs: OpenDirs,
    pub(super) list_buf: ListBuf,
    pub(super) stats: GeneratorStats,
    /// Nothing below this path can be done.
    pub(super) skip_below: Option<RelPathBuf>,
    /// Block sums and basis bytes, reused from file to file.
    pub(super) sums: BlockSums,
    pub(super) window: Vec<u8>,
    pub(super) window_charge: Charge,
    /// Entries are only listed.
    pub(super) listing: bool,
    /// Reused for names.
    pub(super) scratch: Vec<u8>,
    pub(super) flow: Flow,
    /// For requests, hard links and directories that are not settled.
    pub(super) charge: Charge,
}

/// Where the session stands.
pub(super) struct Flow {
    lists: VecDeque<Live>,
    /// Lists in front of it are scanned.
    next: usize,
    more: bool,
    inc_recurse: bool,
    redo: Vec<i32>,
    phase_end: u8,
    finished: bool,
    /// The sender takes no requests any more.
    pub(super) requests_over: bool,
}

impl Flow {
    pub(super) fn new(inc_recurse: bool) -> Self {
        Self {
            lists: VecDeque::new(),
            next: 0,
            more: true,
            inc_recurse,
            redo: Vec::new(),
            phase_end: 0,
            finished: false,
            requests_over: false,
        }
    }

    /// The held list with this index; the index before its first stands for its directory.
    fn find(&self, ndx: i32) -> Option<usize> {
        let at = self
            .lists
            .partition_point(|live| live.list.ndx_start <= ndx)
            .checked_sub(1)?;
        let list = &self.lists[at].list;
        (i64::from(ndx) < i64::from(list.ndx_start) + list.len() as i64).then_some(at)
    }
}

impl Generator {
    /// Runs the session to its end.
    pub(super) fn run(&mut self) -> Result<(), Error> {
        let protocol = self.session.protocol();
        let options = &self.session.options;
        let delete = options.delete.resolved(protocol.number());
        if self.place.fresh && options.tells_made_directory() {
            let text = [b"created directory ", &self.place.name[..]].concat();
            self.tell(TextKind::Info, &text)?;
        }
        if delete == Delete::Before {
            self.wait_for_list()?;
            self.delete_pass()?;
        }
        self.scan_lists()?;
        if self.flow.inc_recurse {
            while !self.flow.lists.is_empty() {
                self.close_lists()?;
                if !self.flow.lists.is_empty() {
                    self.wait()?;
                }
            }
        } else {
            self.done()?;
        }
        // All damaged files of phase 0 are known once the sender's answer was read.
        while self.flow.phase_end < 1 {
            self.wait()?;
        }
        let redo = std::mem::take(&mut self.flow.redo);
        for &ndx in &redo {
            self.redo(ndx)?;
        }
        // A hard link whose leader fails may become a request itself, which must come before the end of phase 1. At
        // protocol 29 the sender does not say that it failed.
        while self.links.waiting() > 0 && protocol.has_typed_messages() {
            self.wait()?;
        }
        let late = !redo.is_empty() || self.links.waiting() > 0;
        self.flow.requests_over = true;
        self.done()?;
        if late {
            // Links to these files are reported before phase 2 ends (03-transfer 1.4).
            while self.flow.phase_end < 2 {
                self.wait()?;
            }
        }
        self.done()?;
        if matches!(delete, Delete::After | Delete::Delay) {
            while self.flow.phase_end < 3 {
                self.wait()?;
            }
            if delete == Delete::After {
                self.delete_pass()?
            } else {
                self.delete_delayed()?
            }
        }
        if protocol.has_delete_stats() {
            if delete != Delete::Off || self.session.options.force {
                let stats = self.stats.deleted;
                self.write_ndx(Ndx::DEL_STATS)?;
                self.out.data(|buf| stats.put(buf))?;
            }
            self.done()?;
        }
        while !self.flow.finished {
            self.wait()?;
        }
        self.report_delete_limit()?;
        self.touch_up(i32::MAX)?;
        self.write_ndx(Ndx::DONE)?;
        self.out.flush()?;
        self.stats.sent = self.out.sent();
        Ok(())
    }

    /// After a failure: waits until the receiver has read the peer's last words, within reason.
    pub(super) fn last_words(&self) {
        if self.flow.finished {
            return;
        }
        let until = Instant::now() + LAST_WORDS;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.inbox.recv_timeout(left) {
                Ok(messages) => {
                    let last = |it: &ToGenerator| {
                        matches!(it, ToGenerator::Finished | ToGenerator::Broken)
                    };
                    if messages.iter().any(last) {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// After the receiver broke: passes on the texts that it left behind.
    pub(super) fn pass_on_texts(&mut self) {
        for message in self.inbox.try_iter().flatten() {
            if let ToGenerator::Tell { kind, text, .. } = message {
                let text = PeerText(&text[..]);
                // A connection that fails here is what broke the receiver, or fails again at the farewell.
                let _ = self.out.message(&Message::Text { kind, text });
            }
        }
    }

    /// Handles the entries of all lists in the order they came.
    fn scan_lists(&mut self) -> Result<(), Error> {
        loop {
            while let Some(live) = self.flow.lists.get(self.flow.next) {
                let list = Arc::clone(&live.list);
                self.scan(&list)?;
                if let Some(at) = self.flow.find_list(&list) {
                    self.flow.lists[at].scanned = true;
                    self.flow.next = at + 1;
                }
                self.close_lists()?;
            }
            if !self.flow.more {
                return Ok(());
            }
            self.wait()?;
            self.close_lists()?;
        }
    }

    fn scan(&mut self, list: &Arc<FileList>) -> Result<(), Error> {
        if self.listing {
            self.show(list);
            return Ok(());
        }
        self.begin_list(list)?;
        for at in 0..list.len() {
            self.session.cancel.check()?;
            if at % ACCOUNT_EVERY == 0 {
                self.account()?;
            }
            self.entry(list, at)?;
            if self.out.pending() >= REQUESTS_AT {
                self.out.flush()?;
            } else {
                self.out.tick()?;
            }
            self.poll()?;
        }
        Ok(())
    }

    /// Charges what is remembered of entries in work.
    pub(super) fn account(&mut self) -> Result<(), Error> {
        let bytes = self.asked.memory() + self.links.memory() + self.open_dirs.memory();
        self.charge.set(bytes)
    }

    fn show(&mut self, list: &FileList) {
        for entry in list.entries().iter().filter(|entry| !entry.cleared()) {
            let name = list.path(entry);
            let teller = Teller::receiving(self.list_checksum);
            let item = item_of(list, entry, &name, ItemFlags::default(), None, teller);
            self.session.events.event(Event::Listed(item));
        }
    }

    /// Tells the sender which lists are settled, oldest first (03-transfer 1.5).
    fn close_lists(&mut self) -> Result<(), Error> {
        if !self.flow.inc_recurse {
            return Ok(());
        }
        while let Some(front) = self.flow.lists.front() {
            let last = self.flow.lists.len() == 1;
            if !front.scanned || front.open > 0 || (last && self.flow.more) {
                break;
            }
            self.flow.lists.pop_front();
            self.flow.next -= 1;
            self.done()?;
            let settled = self.flow.lists.front().map(|next| next.list.ndx_start);
            if let Some(settled) = settled {
                self.touch_up(settled)?;
            }
        }
        Ok(())
    }

    /// Writes an NDX_DONE that the sender answers.
    fn done(&mut self) -> Result<(), Error> {
        self.asked.done();
        self.write_ndx(Ndx::DONE)
    }

    fn wait_for_list(&mut self) -> Result<(), Error> {
        while self.flow.lists.is_empty() && self.flow.more {
            self.wait()?;
        }
        Ok(())
    }

    /// The first list, while it is held.
    pub(super) fn first_list(&self) -> Option<Arc<FileList>> {
        self.flow.lists.front().map(|live| Arc::clone(&live.list))
    }

    /// Whether every list lists the contents of one directory.
    pub(super) fn inc_recurse(&self) -> bool {
        self.flow.inc_recurse
    }

    /// Lets the sender have everything and waits for one thing from the receiver.
    fn wait(&mut self) -> Result<(), Error> {
        self.out.flush()?;
        if self.flow.finished {
            // The receiver has ended: what is still awaited cannot come.
            return Err(Violation::EarlyGoodbye.into());
        }
        loop {
            self.session.cancel.check()?;
            let got = match self.session.keep_alive_wait() {
                Some(wait) => self.inbox.recv_timeout(wait),
                None => self
                    .inbox
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
            };
            match got {
                Ok(messages) => return self.handle(messages),
                Err(RecvTimeoutError::Timeout) => self.out.keep_alive()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Internal { role: "receiver" });
                }
            }
        }
    }

    /// Takes what the receiver has to say without waiting.
    fn poll(&mut self) -> Result<(), Error> {
        loop {
            match self.inbox.try_recv() {
                Ok(messages) => self.handle(messages)?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => {
                    return Err(Error::Internal { role: "receiver" });
                }
            }
        }
    }

    fn handle(&mut self, messages: Vec<ToGenerator>) -> Result<(), Error> {
        messages
            .into_iter()
            .try_for_each(|message| self.handle_one(message))
    }

    fn handle_one(&mut self, message: ToGenerator) -> Result<(), Error> {
        match message {
            ToGenerator::List(list) => {
                if self.session.options.hard_links {
                    self.links.learn(&list);
                    self.account()?;
                }
                self.flow.lists.push_back(Live {
                    list,
                    open: 0,
                    scanned: false,
                });
            }
            ToGenerator::NoMoreLists => self.flow.more = false,
            ToGenerator::Settled { ndx, in_place } => self.settled(ndx, in_place)?,
            ToGenerator::Redo { ndx } if self.flow.inc_recurse => self.redo(ndx)?,
            ToGenerator::Redo { ndx } => self.flow.redo.push(ndx),
            ToGenerator::PhaseEnd(phase) => self.flow.phase_end = phase,
            ToGenerator::Tell { kind, text, .. } => self.out.message(&Message::Text {
                kind,
                text: PeerText(&text),
            })?,
            ToGenerator::Finished => self.flow.finished = true,
            // The receiver's own error says why.
            ToGenerator::Broken => {
                self.flow.finished = true;
                return Err(Error::Internal { role: "receiver" });
            }
        }
        Ok(())
    }

    fn settled(&mut self, ndx: i32, in_place: bool) -> Result<(), Error> {
        if in_place {
            self.acknowledge(ndx)?;
        }
        self.close(ndx);
        if let Some(group) = self.links.led_by(ndx) {
            self.leader_settled(group, ndx, in_place)?;
        }
        self.close_lists()
    }

    /// MSG_SUCCESS for an entry that is in place (03-transfer 2.6).
    pub(super) fn acknowledge(&mut self, ndx: i32) -> Result<(), Error> {
        if self.session.options.remove_source_files && !self.session.options.dry_run {
            self.out.message(&Message::Success(Ndx(ndx)))?;
        }
        Ok(())
    }

    /// Something of the list that holds `ndx` is outstanding.
    pub(super) fn open(&mut self, ndx: i32) {
        if let Some(at) = self.flow.find(ndx) {
            self.flow.lists[at].open += 1;
        }
    }

    /// The outstanding thing is settled.
    pub(super) fn close(&mut self, ndx: i32) {
        if let Some(at) = self.flow.find(ndx) {
            let open = &mut self.flow.lists[at].open;
            *open = open.saturating_sub(1);
        }
    }

    /// The list and position of an index.
    pub(super) fn locate(&self, ndx: i32) -> Option<(Arc<FileList>, usize)> {
        let list = &self.flow.lists[self.flow.find(ndx)?].list;
        let at = usize::try_from(i64::from(ndx) - i64::from(list.ndx_start)).ok()?;
        Some((Arc::clone(list), at))
    }

    pub(super) fn write_ndx(&mut self, ndx: Ndx) -> Result<(), Error> {
        let writer = &mut self.ndx;
        self.out.data(|buf| writer.write(ndx, buf))
    }

    /// Reports an entry to the sender and to our user (03-transfer 2.2).
    pub(super) fn item(
        &mut self,
        ndx: i32,
        flags: ItemFlags,
        xname: Option<&[u8]>,
        list: &FileList,
        entry: &FileEntry,
        name: &[u8],
    ) -> Result<(), Error> {
        if flags.contains(ItemFlags::IS_NEW) && !flags.contains(ItemFlags::TRANSFER) {
            self.stats.created.count(entry.mode);
        }
        let silent =
            ItemFlags::BASIS_TYPE_FOLLOWS | ItemFlags::XNAME_FOLLOWS | ItemFlags::LOCAL_CHANGE;
        let significant = flags.without(silent) != ItemFlags::default()
            || xname.is_some_and(|name| !name.is_empty())
            || self.session.options.itemize >= 2
            || self.session.options.verbose >= 2;
        if !significant {
            return Ok(());
        }
        let is_report = !flags.contains(ItemFlags::TRANSFER);
        if is_report {
            self.asked.report();
        }
        self.write_ndx(Ndx(ndx))?;
        self.put_header(flags, xname)?;
        if is_report {
            let teller = Teller::receiving(self.shown_checksum());
            let item = item_of(list, entry, name, flags, xname, teller);
            self.session.events.event(Event::Item(item));
        }
        Ok(())
    }

    pub(super) fn put_header(
        &mut self,
        flags: ItemFlags,
        xname: Option<&[u8]>,
    ) -> Result<(), Error> {
        let header = ItemHeader {
            flags,
            basis_type: None,
            xname,
        };
        let mut put = Ok(());
        self.out.data(|buf| put = header.put(buf))?;
        put.map_err(|error| Error::request(2, error.to_string()))
    }

    /// One entry failed: our user and the client learn of it, the run goes on.
    pub(super) fn fail(&mut self, failure: &FileFailure) -> Result<(), Error> {
        self.session.failed(failure);
        if !self.session.client {
            let text = [b"rsync: ", &failure.line()[..], b"\n"].concat();
            self.out.message(&Message::Text {
                kind: TextKind::ErrorXfer,
                text: PeerText(&text),
            })?;
        }
        Ok(())
    }

    /// The kind of sum that reports show.
    fn shown_checksum(&self) -> Checksum {
        match self.session.options.checksum {
            true => self.list_checksum,
            false => self.checksum,
        }
    }

    /// A line for the user, wherever that one is.
    pub(super) fn tell(&mut self, kind: TextKind, text: &[u8]) -> Result<(), Error> {
        if self.session.client {
            self.session.events.event(Event::Note {
                kind,
                text: PeerText(text),
            });
            return Ok(());
        }
        let text = [text, b"\n"].concat();
        self.out.message(&Message::Text {
            kind,
            text: PeerText(&text),
        })
    }
}

impl Flow {
    fn find_list(&self, list: &Arc<FileList>) -> Option<usize> {
        let at = self
            .lists
            .partition_point(|live| live.list.ndx_start < list.ndx_start);
        self.lists
            .get(at)
            .is_some_and(|live| Arc::ptr_eq(&live.list, list))
            .then_some(at)
    }
}

/// Who tells of an item, and what it knows beyond the list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Teller<'a> {
    pub(crate) sending: bool,
    /// What names are relative to, as the user named it.
    pub(crate) place: &'a [u8],
    /// The kind of sum that a list or a transfer has.
    pub(crate) algorithm: Checksum,
}

impl Teller<'_> {
    /// The receiving side of a session.
    pub(crate) fn receiving(algorithm: Checksum) -> Self {
        Self {
            sending: false,
            place: b"",
            algorithm,
        }
    }
}

/// An entry as reports show it. With `-R` names may start with a slash, which is shown where they come from
/// (02-file-list 14.3).
pub(crate) fn item_of<'a>(
    list: &'a FileList,
    entry: &FileEntry,
    name: &'a [u8],
    flags: ItemFlags,
    xname: Option<&'a [u8]>,
    teller: Teller<'a>,
) -> Item<'a> {
    let shown = |name: &'a [u8]| match teller.sending {
        true => name,
        false => name.strip_prefix(b"/").unwrap_or(name),
    };
    Item {
        flags,
        name: shown(name),
        mode: entry.mode,
        size: entry.size,
        mtime: entry.mtime,
        uid: entry.uid,
        gid: entry.gid,
        link_target: if entry.is_symlink() {
            list.link_target(entry)
        } else {
            None
        },
        xname: xname.map(shown),
        sending: teller.sending,
        place: teller.place,
        checksum: list.checksum(entry),
        algorithm: teller.algorithm,
    }
}
