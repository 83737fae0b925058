//! The sender: puts the file lists on the wire and answers requests, strictly in their order.

mod file;
mod lists;
mod path;
mod source;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rsync_delta::{BlockSums, Checksum, Index, Window};
use rsync_proto::item::{ItemFlags, ItemHeader};
use rsync_proto::mux::{IoErrors, Message};
use rsync_proto::ndx::{Ndx, NdxReader, NdxWriter};
use rsync_proto::stats::{DelStats, Stats};
use rsync_proto::wire::Cursor;
use rsync_proto::{DecodeError, PeerText, Violation};

use crate::budget::Charge;
use crate::checksums;
use crate::error::Error;
use crate::event::{Event, FileFailure, TextKind};
use crate::farewell;
use crate::list::{FileEntry, FileList};
use crate::outcome::{Outcome, TransferStats, TypeCounts};
use crate::receive::{Teller, entry_options, item_of};
use crate::session::{Allowance, Note, PeerMessages, Session};
use crate::wire_in::WireIn;
use crate::wire_out::WireOut;

use self::lists::ListWriter;

pub use self::path::{LeadsUpwards, SourcePath};
pub use self::source::{
    Argument, Everything, Picked, PickedAction, PickedName, Selection, Send, Source, Unopened,
};

/// Entries known to the receiver beyond the list in progress before we wait for requests.
const AHEAD: u64 = 1_000;
/// Entries known to the receiver before we stop listing although no request waits.
const AHEAD_IDLE: u64 = 10_000;
/// Reports and requests about one entry: each an answer, and perhaps a line for the user or the log.
const ITEMS_OF_ENTRY: u64 = 4;
/// How many more there may be: the keep-alives of protocol 29 look like them.
const ITEMS_AT_LEAST: u64 = 10_000;
/// How long a failing session waits for the peer's last words.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Runs the sending side from the first file list to the goodbye.
///
/// When it fails, the peer is told why as far as the protocol can say it, and [`crate::Cancel::cancel`] of the
/// session is called: that closes the connection. After a success the connection is the caller's to close, which
/// ends the thread that reads it.
///
/// # Errors
/// What ends the run; failures of single entries are in the outcome.
pub fn send(
    session: Session,
    mut input: WireIn,
    out: WireOut,
    what: Send,
) -> Result<Outcome, Error> {
    let (notes, noted) = channel();
    let allowance = Allowance::of(&session.options);
    let listed = Arc::clone(&allowance.in_place);
    input.set_messages(Box::new(PeerMessages {
        client: session.client,
        wants_success: session.options.remove_source_files,
        clock: Arc::clone(&session.clock),
        events: Arc::clone(&session.events),
        trouble: Arc::clone(&session.trouble),
        allowance,
        note: Box::new(move |note| {
            // The receiving end lives as long as the sender.
            let _ = notes.send(note);
            Ok(())
        }),
    }));
    input.read_ahead("sender", &session.budget)?;
    let protocol = session.protocol();
    let session = Arc::new(session);
    let list_checksum = checksums::list(&session.negotiated);
    let checksum = checksums::transfer(&session.negotiated);
    let lists = ListWriter::new(
        Arc::clone(&session),
        entry_options(&session),
        list_checksum,
        what.selection,
        what.names,
        what.munge_links,
    );
    let mut sender = Sender {
        input,
        out,
        ndx_in: NdxReader::new(protocol),
        ndx_out: NdxWriter::new(protocol),
        lists,
        held: VecDeque::new(),
        ahead: 0,
        listed,
        noted,
        checksum,
        list_checksum,
        sums: BlockSums::new(checksum, session.negotiated.seed),
        index: Index::new(),
        sums_charge: session.budget.charge("block sums"),
        window: Window::new(),
        window_charge: session.budget.charge("blocks of the file"),
        stats: SenderStats::default(),
        items: 0,
        session,
    };
    // A bug of ours must not leave the peer waiting for ever.
    let done = catch_unwind(AssertUnwindSafe(|| sender.run(what.source)))
        .unwrap_or(Err(Error::Internal { role: "sender" }));
    match done {
        Ok(()) => {
            sender.done_with_lists();
            Ok(sender.outcome())
        }
        Err(error) => {
            let error = sender.end_with(error);
            sender.session.cancel.cancel();
            Err(error)
        }
    }
}

#[derive(Debug, Default)]
struct SenderStats {
    created: TypeCounts,
    deleted: DelStats,
    /// The receiver has sent them.
    deleted_known: bool,
    transferred: u64,
    transferred_size: u64,
    literal: u64,
    matched: u64,
    checked: u64,
}

struct Sender {
    session: Arc<Session>,
    input: WireIn,
    out: WireOut,
    ndx_in: NdxReader,
    ndx_out: NdxWriter,
    lists: ListWriter,
    /// Lists that the receiver may still ask about.
    held: VecDeque<FileList>,
    /// Entries of all held lists but the oldest.
    ahead: u64,
    /// How many entries the receiver knows of.
    listed: Arc<AtomicU64>,
    noted: Receiver<Note>,
    checksum: Checksum,
    list_checksum: Checksum,
    /// Reused from file to file.
    sums: BlockSums,
    index: Index,
    /// For `sums` and `index`.
    sums_charge: Charge,
    window: Window,
    window_charge: Charge,
    stats: SenderStats,
    /// Reports and requests that came.
    items: u64,
}

impl Sender {
    fn run(&mut self, source: Source) -> Result<(), Error> {
        let first = match source {
            Source::Arguments(arguments) => {
                self.lists.arguments(arguments, Vec::new(), &mut self.out)?
            }
            Source::Partial {
                arguments,
                unopened,
            } => self.lists.arguments(arguments, unopened, &mut self.out)?,
            Source::Picked(picked) => self.lists.picked(picked, &mut self.out)?,
        };
        let inc_recurse = self.session.negotiated.inc_recurse();
        let empty = first.is_empty();
        let single = first.len() == 1;
        self.held.push_back(first);
        if inc_recurse && !self.lists.more() {
            self.end_of_lists()?;
        } else if inc_recurse && single {
            // The receiver reads on before it asks for anything (02-file-list 9.4).
            self.next_list()?;
        }
        self.out.flush()?;
        self.tell_listed();
        if empty && !self.session.client {
            // A server with nothing to send closes at once (01-session 11.3).
            return Ok(());
        }
        self.requests()?;
        self.goodbye()
    }

    /// Answers everything up to the receiver's DONE that ends phase 2.
    fn requests(&mut self) -> Result<(), Error> {
        let mut phase = 0;
        loop {
            self.session.check()?;
            self.look_ahead()?;
            let ndx = self.read_ndx()?;
            self.acknowledgements();
            match ndx {
                Ndx::DONE => {
                    if self.held.len() > 1 {
                        if let Some(list) = self.held.pop_front() {
                            self.unacknowledged(&list);
                        }
                        self.ahead -= self.held.front().map_or(0, FileList::len) as u64;
                    } else {
                        // Links to files of a flat list are reported after its DONE (03-transfer 1.4).
                        if self.session.negotiated.inc_recurse() {
                            self.done_with_lists();
                        }
                        phase += 1;
                        if phase > 2 {
                            break;
                        }
                    }
                    self.write_ndx(Ndx::DONE)?;
                }
                Ndx::DEL_STATS => self.del_stats()?,
                _ => match ndx.as_entry() {
                    Some(_) => self.request(ndx.0, phase)?,
                    None => {
                        return Err(Violation::IndexOutOfRange {
                            value: ndx.0.into(),
                        }
                        .into());
                    }
                },
            }
        }
        let errors = self.session.trouble.io_error_bits();
        if errors != self.lists.io_error_told
            && self.session.protocol().has_typed_messages()
            && !self.session.options.ignore_errors
        {
            self.out
                .message(&Message::IoError(IoErrors::from_wire(errors.cast_signed())))?;
        }
        self.write_ndx(Ndx::DONE)
    }

    /// Lists further directories while the receiver has less than enough to look at.
    fn look_ahead(&mut self) -> Result<(), Error> {
        while self.lists.more() {
            let enough = if self.input.ready() {
                AHEAD
            } else {
                AHEAD_IDLE
            };
            if self.ahead >= enough {
                break;
            }
            self.next_list()?;
        }
        Ok(())
    }

    fn next_list(&mut self) -> Result<(), Error> {
        if let Some(list) = self.lists.next(&mut self.ndx_out, &mut self.out)? {
            if !self.held.is_empty() {
                self.ahead += list.len() as u64;
            }
            self.held.push_back(list);
            self.tell_listed();
        }
        if !self.lists.more() {
            self.end_of_lists()?;
        }
        Ok(())
    }

    /// A list is complete.
    fn tell_listed(&self) {
        let (entries, more) = (self.lists.entries, self.lists.more());
        self.listed.store(entries, Ordering::Relaxed);
        self.session
            .events
            .event(Event::ListComplete { entries, more });
    }

    fn end_of_lists(&mut self) -> Result<(), Error> {
        self.write_ndx(Ndx::FLIST_EOF)
    }

    fn read_ndx(&mut self) -> Result<Ndx, Error> {
        let Self {
            ndx_in,
            input,
            out,
            session,
            ..
        } = self;
        record(session, input, out, |cursor| ndx_in.read(cursor))
    }

    fn write_ndx(&mut self, ndx: Ndx) -> Result<(), Error> {
        let writer = &mut self.ndx_out;
        self.out.data(|buf| writer.write(ndx, buf))
    }

    fn del_stats(&mut self) -> Result<(), Error> {
        let first = !std::mem::replace(&mut self.stats.deleted_known, true);
        if !(first && self.session.protocol().has_delete_stats()) {
            return Err(Violation::UnexpectedStatistics.into());
        }
        let stats = self.input.record(DelStats::decode)?;
        self.stats.deleted = stats;
        if !self.session.client {
            self.write_ndx(Ndx::DEL_STATS)?;
            self.out.data(|buf| stats.put(buf))?;
        }
        Ok(())
    }

    /// Passes on what the receiver has confirmed.
    fn acknowledgements(&mut self) {
        while let Ok(note) = self.noted.try_recv() {
            if let Note::Success(ndx) = note
                && let Some((at, position)) = self.find(ndx)
            {
                let list = &mut self.held[at];
                list.entries_mut()[position].acknowledge();
                let name = list.path(&list.entries()[position]);
                self.session
                    .events
                    .event(Event::Acknowledged { name: &name });
            }
        }
    }

    /// Reports what the receiver should have acknowledged in a list that it is done with, and has not.
    fn unacknowledged(&self, list: &FileList) {
        if !self.session.options.remove_source_files {
            return;
        }
        let missing = |entry: &&FileEntry| {
            // An entry of mode 0 asks for a deletion (03-transfer 8.5).
            !(entry.is_dir() || entry.mode == 0 || entry.cleared() || entry.is_acknowledged())
        };
        for entry in list.entries().iter().filter(missing) {
            let name = list.path(entry);
            self.session
                .events
                .event(Event::Unacknowledged { name: &name });
        }
    }

    /// The receiver asks about no list any more.
    fn done_with_lists(&mut self) {
        for list in std::mem::take(&mut self.held) {
            self.unacknowledged(&list);
        }
    }

    /// The held list and position of an index.
    fn find(&self, ndx: i32) -> Option<(usize, usize)> {
        let at = self
            .held
            .partition_point(|list| list.ndx_start <= ndx)
            .checked_sub(1)?;
        let position = usize::try_from(i64::from(ndx) - i64::from(self.held[at].ndx_start)).ok()?;
        (position < self.held[at].len()).then_some((at, position))
    }

    /// One request or report.
    fn request(&mut self, ndx: i32, phase: u8) -> Result<(), Error> {
        let (session, out) = (&self.session, &mut self.out);
        let (flags, basis_type, xname) = record(session, &mut self.input, out, |cursor| {
            let header = ItemHeader::decode(cursor)?;
            Ok((
                header.flags,
                header.basis_type,
                header.xname.map(<[u8]>::to_vec),
            ))
        })?;
        let header = ItemHeader {
            flags,
            basis_type,
            xname: xname.as_deref(),
        };
        self.count_item()?;
        let found = self.find(ndx);
        if found.is_none() && flags == ItemFlags::IS_NEW && self.is_old_keep_alive(ndx) {
            return Ok(());
        }
        if !flags.contains(ItemFlags::TRANSFER) {
            match found {
                Some((at, position)) => self.report_item(at, position, &header),
                None => self.report_directory(ndx, &header)?,
            }
            return self.echo(ndx, &header);
        }
        let Some((at, position)) = found else {
            return Err(Violation::IndexOutOfRange { value: ndx.into() }.into());
        };
        let entry = self.held[at].entries()[position];
        if !lists::readable(&entry) || phase > 1 {
            return Err(Violation::UnexpectedTransfer { ndx }.into());
        }
        if self.lists.withholds(&self.held[at].path(&entry)) {
            return self.decline(ndx);
        }
        self.stats.transferred += 1;
        self.stats.transferred_size += entry.size;
        if flags.contains(ItemFlags::IS_NEW) {
            self.stats.created.count(entry.mode);
        }
        if self.session.options.dry_run {
            self.report_item(at, position, &header);
            return self.echo(ndx, &header);
        }
        self.answer(ndx, &header, at, position)
    }

    /// One more report or request: a receiver asks twice for a file that arrived damaged, and has no reason to say
    /// anything a third time.
    fn count_item(&mut self) -> Result<(), Violation> {
        let max = ITEMS_AT_LEAST + ITEMS_OF_ENTRY * self.lists.entries;
        if self.items >= max {
            return Err(Violation::TooManyItems { max });
        }
        self.items += 1;
        Ok(())
    }

    /// The keep-alive of receivers at protocol 29: the index behind the list, and an item flag alone
    /// (03-transfer 2.4).
    fn is_old_keep_alive(&self, ndx: i32) -> bool {
        !self.session.protocol().frames_client()
            && self
                .held
                .front()
                .is_some_and(|list| ndx == list.ndx(list.len()))
    }

    /// Indexes between lists stand for the directory that the next list describes.
    fn report_directory(&mut self, ndx: i32, header: &ItemHeader<'_>) -> Result<(), Error> {
        let at = self.held.partition_point(|list| list.ndx_start <= ndx);
        let list = self.held.get(at).filter(|list| list.ndx_start - 1 == ndx);
        match list.map(|list| (list.of.clone(), list.get(0).copied())) {
            Some((Some(of), _)) if self.session.negotiated.inc_recurse() => {
                self.report_named(at, &of.entry, &of.path, header);
                Ok(())
            }
            // The first list's is its first entry, ".".
            Some((None, Some(first)))
                if self.session.negotiated.inc_recurse() && first.is_dir() =>
            {
                let name = self.held[at].path(&first);
                self.report_named(at, &first, &name, header);
                Ok(())
            }
            _ => Err(Violation::IndexOutOfRange { value: ndx.into() }.into()),
        }
    }

    fn report_item(&mut self, at: usize, position: usize, header: &ItemHeader<'_>) {
        let list = &self.held[at];
        let entry = list.entries()[position];
        let name = list.path(&entry);
        self.report_named(at, &entry, &name, header);
    }

    fn report_named(&mut self, at: usize, entry: &FileEntry, name: &[u8], header: &ItemHeader<'_>) {
        let made = header.flags.contains(ItemFlags::IS_NEW);
        // What is transferred was counted when it was asked for.
        if made && !header.flags.contains(ItemFlags::TRANSFER) {
            self.stats.created.count(entry.mode);
        }
        self.stats.checked += 1;
        // A directory has no extras, so that of another list is not looked for in this one.
        let list = &self.held[at];
        let teller = self.teller(entry.root);
        let item = item_of(list, entry, name, header.flags, header.xname, teller);
        self.session.events.event(Event::Item(item));
    }

    /// What reports say beyond the list of entries of this root.
    fn teller(&self, root: u16) -> Teller<'_> {
        Teller {
            sending: true,
            place: self.lists.place(root),
            algorithm: match self.session.options.checksum {
                true => self.list_checksum,
                false => self.checksum,
            },
        }
    }

    fn echo(&mut self, ndx: i32, header: &ItemHeader<'_>) -> Result<(), Error> {
        self.write_ndx(Ndx(ndx))?;
        let mut put = Ok(());
        self.out.data(|buf| put = header.put(buf))?;
        put.map_err(|error| Error::request(2, error.to_string()))
    }

    /// What follows our last phase DONE (01-session 11.5).
    fn goodbye(&mut self) -> Result<(), Error> {
        let protocol = self.session.protocol();
        if !self.session.client {
            let stats = Stats {
                total_read: self.input.received(),
                total_written: self.out.sent(),
                total_size: self.lists.total_size,
                flist_build_ms: self.lists.build_ms(),
                flist_transfer_ms: 0,
            };
            self.out.data(|buf| stats.put(buf, protocol))?;
        }
        self.final_done()?;
        if protocol.has_delete_stats() {
            self.write_ndx(Ndx::DONE)?;
            self.final_done()?;
        }
        self.out.flush()
    }

    fn final_done(&mut self) -> Result<(), Error> {
        loop {
            let ndx = self.read_ndx()?;
            self.acknowledgements();
            match ndx {
                Ndx::DONE => return Ok(()),
                Ndx::DEL_STATS => self.del_stats()?,
                other if self.is_old_keep_alive(other.0) => {
                    self.count_item()?;
                    self.input
                        .record(|cursor| ItemHeader::decode(cursor).map(|_| ()))?;
                }
                other => {
                    return Err(Violation::IndexOutOfRange {
                        value: other.0.into(),
                    }
                    .into());
                }
            }
        }
    }

    /// Says farewell and reads the peer's last words, which may tell more than our error.
    fn end_with(&mut self, error: Error) -> Error {
        let role = farewell::Role {
            name: "sender",
            server: !self.session.client,
            acknowledges: true,
        };
        farewell::send(&mut self.out, self.session.protocol(), role, &error);
        if matches!(
            error,
            Error::Cancelled | Error::Remote { .. } | Error::Timeout { .. }
        ) {
            return error;
        }
        let time = match error {
            // A peer that breaks rules may go on for as long as we read.
            Error::Protocol(_) => LAST_WORDS / 10,
            _ => LAST_WORDS,
        };
        let told = self.input.last_words(Instant::now() + time);
        match (error, told) {
            // The peer knows why the connection broke.
            (Error::Connection { .. } | Error::Disconnected { .. }, Err(remote)) => remote,
            (error, _) => error,
        }
    }

    fn outcome(&self) -> Outcome {
        let stats = TransferStats {
            entries: self.lists.counts,
            created: self.stats.created,
            deleted: self.stats.deleted,
            transferred: self.stats.transferred,
            total_size: self.lists.total_size,
            transferred_size: self.stats.transferred_size,
            literal: self.stats.literal,
            matched: self.stats.matched,
            list_bytes: self.lists.list_bytes,
            list_build_ms: self.lists.build_ms(),
            list_transfer_ms: 0,
            sent: self.out.sent(),
            received: self.input.received(),
        };
        Outcome {
            protocol: Some(self.session.protocol()),
            stats,
            io_error: self.session.trouble.io_error_bits(),
            partial: self.session.trouble.partial(),
        }
    }
}

/// Reads one record; whatever waits to be written goes out before we wait for its bytes.
fn record<T>(
    session: &Session,
    input: &mut WireIn,
    out: &mut WireOut,
    mut decode: impl FnMut(&mut Cursor<'_>) -> Result<T, DecodeError>,
) -> Result<T, Error> {
    loop {
        if let Some(value) = input.try_record(&mut decode)? {
            return Ok(value);
        }
        out.flush()?;
        let began = Instant::now();
        while !input.wait(session.keep_alive_wait())? {
            // The thread that reads began its wait before a timeout that the peer announced since.
            if session.clock.expired()
                && let Some(timeout) = session.clock.timeout()
                && began.elapsed() >= timeout
            {
                let seconds = timeout.as_secs();
                return Err(Error::Timeout { seconds });
            }
            out.keep_alive()?;
        }
    }
}

/// Reports a failed entry here and to the client.
fn report(session: &Session, failure: &FileFailure, out: &mut WireOut) -> Result<(), Error> {
    session.failed(failure);
    if session.client {
        return Ok(());
    }
    let (kind, start) = match failure.vanished {
        true => (TextKind::Warning, &b""[..]),
        false => (TextKind::ErrorXfer, &b"rsync: "[..]),
    };
    let line = PeerText(failure.line());
    // The name of what is not there is whatever was asked for.
    let line = match failure.op {
        "link_stat" | "change_dir" => line.without_controls(),
        _ => Cow::Borrowed(line.as_bytes()),
    };
    let text = [start, &line, b"\n"].concat();
    out.message(&Message::Text {
        kind,
        text: PeerText(&text),
    })
}

/// A line for the user, wherever that one is.
fn tell(session: &Session, kind: TextKind, text: &[u8], out: &mut WireOut) -> Result<(), Error> {
    if session.client {
        session.events.event(Event::Note {
            kind,
            text: PeerText(text),
        });
        return Ok(());
    }
    let text = [text, b"\n"].concat();
    out.message(&Message::Text {
        kind,
        text: PeerText(&text),
    })
}
