//! The receiving side: lists come in, the generator decides and asks, the receiver writes.
//!
//! ```text
//!            connection ──> receiver ──(lists, settled, redo, phase ends: never blocks)──> generator ──> connection
//!                              ^                                                              │
//!                              └───────────────(requests, in order: never blocks)─────────────┘
//! ```
//!
//! The cycle of waits that must not close: the generator waits for the socket, the peer's sender waits for us to
//! read, only the receiver reads. So neither channel blocks, and the receiver never writes.

mod attributes;
mod channel;
mod delete;
mod destination;
mod directory;
mod entry;
mod file;
mod generator;
mod hardlink;
mod link_target;
mod linking;
mod lists;
mod node;
mod paths;
mod receiver;
mod request;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rsync_delta::BlockSums;
use rsync_proto::Violation;
use rsync_proto::flist::EntryOptions;
use rsync_proto::ndx::{Ndx, NdxReader, NdxWriter};

use crate::budget::Budget;
use crate::checksums;
use crate::error::Error;
use crate::event::{Event, FileFailure};
use crate::farewell;
use crate::fs::{
    AttrOutcome, DirCache, Errno, IdMapper, Links, ListBuf, RelPath, RelPathBuf, WriteBuffer,
};
use crate::list::FileList;
use crate::outcome::{Outcome, TransferStats};
use crate::session::{Allowance, Note, PeerMessages, Session};
use crate::wire_in::WireIn;
use crate::wire_out::WireOut;

/// Directory handles held by each of the two threads: lists come directory by directory, so that few are in use at
/// a time.
const DIRS_HELD: usize = 64;
/// How long a failing session waits for the peer's last words.
const LAST_WORDS: Duration = Duration::from_secs(10);

use self::attributes::AttributeRules;
use self::channel::{Asked, ToGenerator};
use self::delete::Deletions;
use self::destination::Place;
use self::directory::OpenDirs;
use self::generator::{Flow, Generator, GeneratorStats};
use self::hardlink::HardLinks;
use self::lists::ListReader;
use self::receiver::{Receiver, ReceiverStats};

pub use self::delete::{Protection, Unprotected};
pub use self::destination::Destination;
pub use self::link_target::LinkTargets;
pub use self::lists::{NameCheck, Wanted};

pub(crate) use self::checksum_of_file::digest_of;
pub(crate) use self::generator::{Teller, item_of};

mod checksum_of_file {
    //! The digest of a whole file, for `--checksum`.

    use rsync_delta::{Checksum, Digest};

    use crate::error::Error;
    use crate::fs::{Atime, Dir, Errno, Name};

    /// Reads and hashes the file `name`. `go_on` is asked before each read; its error ends the run.
    pub(crate) fn digest_of(
        dir: &Dir,
        name: Name<'_>,
        checksum: Checksum,
        mut go_on: impl FnMut() -> Result<(), Error>,
    ) -> Result<Result<Digest, Errno>, Error> {
        let mut file = match dir.open_read(name, Atime::Update) {
            Ok(file) => file,
            Err(errno) => return Ok(Err(errno)),
        };
        let mut hasher = checksum.list_hasher();
        let mut buf = vec![0; 256 << 10];
        loop {
            go_on()?;
            match file.read(&mut buf) {
                Ok(0) => return Ok(Ok(hasher.finish())),
                Ok(n) => hasher.update(&buf[..n]),
                Err(errno) => return Ok(Err(errno)),
            }
        }
    }
}

/// Everything the receiving side needs beside the session.
pub struct Receive {
    /// Where entries go; `None` only lists them.
    pub destination: Option<Destination>,
    /// What the sender may list; `None` trusts it, as a server trusts its client.
    pub asked_for: Option<Box<dyn NameCheck>>,
    /// What filters say about names here.
    pub protection: Box<dyn Protection>,
    /// Maps the sender's users and groups to ours.
    pub ids: IdMapper,
    /// We may set owners and make devices.
    pub root: bool,
    /// The umask of this session.
    pub umask: u32,
    /// What becomes of the targets of symlinks.
    pub link_targets: LinkTargets,
}

impl std::fmt::Debug for Receive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receive")
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}

/// Runs the receiving side from the first file list to the goodbye. The calling thread is the generator; the
/// receiver is a thread started from it, which inherits whatever identity it was confined to.
///
/// When it fails, the peer is told why as far as the protocol can say it, and [`crate::Cancel::cancel`] of the
/// session is called: that closes the connection.
///
/// # Errors
/// What ends the run; failures of single entries are in the outcome.
pub fn receive(
    session: Session,
    mut input: WireIn,
    mut out: WireOut,
    what: Receive,
) -> Result<Outcome, Error> {
    let protocol = session.protocol();
    let (to_generator, inbox) = channel();
    let asked = Arc::new(Asked::default());
    input.set_messages(Box::new(messages(
        &session,
        to_generator.clone(),
        Arc::clone(&asked),
    )));
    let mut ndx = NdxReader::new(protocol);
    let mut lists = ListReader::new(
        entry_options(&session),
        what.ids,
        session.options.relative,
        what.asked_for,
        &session.budget,
    );
    // A bug of ours must not leave another thread and the peer waiting for ever.
    let begun = catch_unwind(AssertUnwindSafe(|| {
        let destination = what.destination.as_ref();
        begin(&session, &mut input, &mut ndx, &mut lists, destination)
    }))
    .unwrap_or(Err(Error::Internal { role: "generator" }));
    let begun = match begun {
        Ok(Some(begun)) => begun,
        Ok(None) => {
            let stats = TransferStats {
                received: input.received(),
                sent: out.sent(),
                ..TransferStats::default()
            };
            return Ok(outcome(&session, stats));
        }
        Err(error) => {
            let role = farewell::Role {
                name: "Receiver",
                server: !session.client,
                acknowledges: true,
            };
            farewell::send(&mut out, protocol, role, &error);
            hear_out(input, &error);
            session.cancel.cancel();
            return Err(error);
        }
    };
    let Begun {
        first,
        early,
        more,
        place,
    } = begun;
    let listing = what.destination.is_none();
    let checksum = checksums::transfer(&session.negotiated);
    let rules = AttributeRules::new(&session.options, what.root, what.umask);
    let deletions = Deletions::new(
        what.protection,
        &place.absolute,
        session.options.max_delete,
        &session.budget,
    );
    let session = Arc::new(session);
    let mut receiver = Receiver {
        session: Arc::clone(&session),
        input,
        ndx,
        lists,
        to_generator,
        untold: Vec::new(),
        asked: Arc::clone(&asked),
        place: place.clone(),
        dirs: dir_cache(&session, &place),
        rules: rules.clone(),
        checksum,
        buffer: WriteBuffer::new(),
        stats: ReceiverStats::default(),
        entries: 0,
        more,
        repeated_stats: false,
        held: VecDeque::new(),
        fault: None,
    };
    receiver.hold(first);
    if let Some(list) = early {
        receiver.hold(list);
    }
    if !more {
        receiver.no_more_lists();
    }
    let mut generator = Generator {
        session: Arc::clone(&session),
        out,
        ndx: NdxWriter::new(protocol),
        inbox,
        asked,
        dirs: dir_cache(&session, &place),
        link_targets: what.link_targets,
        place,
        rules,
        checksum,
        list_checksum: checksums::list(&session.negotiated),
        root: what.root,
        links: HardLinks::default(),
        deletions,
        open_dirs: OpenDirs::default(),
        list_buf: ListBuf::default(),
        stats: GeneratorStats::default(),
        skip_below: None,
        sums: BlockSums::new(checksum, session.negotiated.seed),
        window: Vec::new(),
        window_charge: session.budget.charge("blocks of the old file"),
        scratch: Vec::new(),
        listing,
        flow: Flow::new(session.negotiated.inc_recurse()),
        charge: session.budget.charge("entries in work"),
    };
    let thread = std::thread::Builder::new()
        .name("receiver".to_owned())
        .stack_size(1 << 20)
        .spawn(move || {
            let done = receiver.run();
            (done, receiver)
        })
        .map_err(|source| Error::Connection {
            op: "start of the receiver thread",
            source,
        })?;
    let generated = catch_unwind(AssertUnwindSafe(|| generator.run()))
        .unwrap_or(Err(Error::Internal { role: "generator" }));
    let role = farewell::Role {
        name: "generator",
        server: !session.client,
        acknowledges: false,
    };
    let receiver_broke = matches!(generated, Err(Error::Internal { role: "receiver" }));
    if let Err(error) = &generated
        && !receiver_broke
    {
        farewell::send(&mut generator.out, protocol, role, error);
        if !matches!(error, Error::Timeout { .. }) {
            generator.last_words();
        }
        session.cancel.cancel();
    }
    let Ok((received, receiver)) = thread.join() else {
        let error = Error::Internal { role: "receiver" };
        farewell::send(&mut generator.out, protocol, role, &error);
        session.cancel.cancel();
        return Err(error);
    };
    if receiver_broke && let Err(error) = received {
        generator.pass_on_texts();
        farewell::send(&mut generator.out, protocol, role, &error);
        hear_out(receiver.input, &error);
        session.cancel.cancel();
        return Err(error);
    }
    judge(generated, received)?;
    Ok(outcome(&session, stats(&receiver, &generator.stats)))
}

/// What is known once the first list is complete.
struct Begun {
    first: FileList,
    /// The list that had to be read to see whether there is a single file.
    early: Option<FileList>,
    /// More lists will come.
    more: bool,
    place: Place,
}

/// Reads the first list and opens the destination. Nothing when there is nothing to do.
fn begin(
    session: &Session,
    input: &mut WireIn,
    ndx: &mut NdxReader,
    lists: &mut ListReader,
    destination: Option<&Destination>,
) -> Result<Option<Begun>, Error> {
    let inc_recurse = session.negotiated.inc_recurse();
    let first = lists.first(input)?;
    session.trouble.io_error(lists.io_error);
    if first.is_empty() && session.client {
        // A server that has nothing to send closes at once (01-session 11.3).
        if inc_recurse && read_marker(input, ndx)?.is_some() {
            return Err(Violation::SublistDirectory { dir: 0 }.into());
        }
        input.drain()?;
        return Ok(None);
    }
    let (mut early, mut more) = (None, inc_recurse);
    if inc_recurse && first.len() == 1 {
        // The one-entry rule (02-file-list 9.4): is it a single file?
        match read_marker(input, ndx)? {
            None => more = false,
            Some(dir) => {
                early = Some(lists.sub(input, dir)?);
                session.trouble.io_error(lists.io_error);
            }
        }
    }
    let count = first.len() + early.as_ref().map_or(0, FileList::len);
    let first_is_dir = first.get(0).is_some_and(|entry| entry.is_dir());
    let place = match destination {
        Some(destination) => destination.resolve(count, first_is_dir, session.options.dry_run)?,
        None => Place::default(),
    };
    session.events.event(Event::ListComplete {
        entries: count as u64,
        more,
    });
    Ok(Some(Begun {
        first,
        early,
        more,
        place,
    }))
}

/// After a failure of ours: takes what the peer still sends, so that closing does not reset the connection before it
/// has read why.
fn hear_out(mut input: WireIn, error: &Error) {
    let nobody_there = matches!(
        error,
        Error::Disconnected { .. }
            | Error::Connection { .. }
            | Error::Timeout { .. }
            | Error::Remote { .. }
            | Error::Cancelled
    );
    if !nobody_there && input.read_ahead("receiver", &Budget::unlimited()).is_ok() {
        // Our own error is the one that counts.
        let time = match error {
            // A client that was interrupted in the middle of a frame waits for nothing but the end, and a peer that
            // breaks rules, lists what was not asked for or never ends a file may wait for ever.
            Error::Protocol(_)
            | Error::Overgrown { .. }
            | Error::Limit { .. }
            | Error::Request { code: 4, .. } => LAST_WORDS / 10,
            _ => LAST_WORDS,
        };
        let _ = input.last_words(Instant::now() + time);
    }
}

fn outcome(session: &Session, stats: TransferStats) -> Outcome {
    Outcome {
        protocol: Some(session.protocol()),
        stats,
        io_error: session.trouble.io_error_bits(),
        partial: session.trouble.partial(),
    }
}

/// Which of the two errors tells why: the peer's words before the break of the connection they caused.
fn judge(generated: Result<(), Error>, received: Result<(), Error>) -> Result<(), Error> {
    match (generated, received) {
        (Ok(()), received) => received,
        (Err(Error::Connection { .. }), Err(error)) | (Err(error), _) => Err(error),
    }
}

fn stats(receiver: &Receiver, generator: &GeneratorStats) -> TransferStats {
    let lists = &receiver.lists;
    let mut created = generator.created;
    created.add(&receiver.stats.created);
    TransferStats {
        entries: lists.counts,
        created,
        deleted: generator.deleted,
        transferred: receiver.stats.transferred,
        total_size: lists.total_size,
        transferred_size: receiver.stats.transferred_size,
        literal: receiver.stats.literal,
        matched: receiver.stats.matched,
        list_bytes: lists.list_bytes,
        list_build_ms: receiver.stats.server.map_or(0, |s| s.flist_build_ms),
        list_transfer_ms: receiver.stats.server.map_or(0, |s| s.flist_transfer_ms),
        sent: generator.sent,
        received: receiver.stats.received,
    }
}

fn messages(
    session: &Session,
    to_generator: std::sync::mpsc::Sender<Vec<ToGenerator>>,
    asked: Arc<Asked>,
) -> PeerMessages {
    PeerMessages {
        client: session.client,
        wants_success: false,
        clock: Arc::clone(&session.clock),
        events: Arc::clone(&session.events),
        trouble: Arc::clone(&session.trouble),
        allowance: Allowance::default(),
        note: Box::new(move |note| {
            if let Note::NoSend(ndx) = note {
                asked.refuse(ndx)?;
                // A closed channel means that the generator ended already.
                let _ = to_generator.send(vec![ToGenerator::Settled {
                    ndx,
                    in_place: false,
                }]);
            }
            Ok(())
        }),
    }
}

/// The index behind a first list of at most one entry: a further list, or none for the end of lists.
fn read_marker(input: &mut WireIn, ndx: &mut NdxReader) -> Result<Option<u32>, Error> {
    let found = input.record(|cursor| ndx.read(cursor))?;
    match (found, found.as_sublist()) {
        (Ndx::FLIST_EOF, _) => Ok(None),
        (_, Some(dir)) => Ok(Some(dir)),
        _ => Err(Violation::IndexOutOfRange {
            value: found.0.into(),
        }
        .into()),
    }
}

/// What of the options decides about the parts of an entry.
pub(crate) fn entry_options(session: &Session) -> EntryOptions {
    let (options, negotiated) = (&session.options, &session.negotiated);
    EntryOptions {
        uid: options.owner,
        gid: options.group,
        links: options.links,
        devices: options.devices,
        specials: options.specials,
        hard_links: options.hard_links,
        checksum_len: options
            .checksum
            .then(|| checksums::list(negotiated).digest_len()),
        varint_flags: negotiated.varint_flist_flags(),
        inc_recurse: negotiated.inc_recurse(),
        safe_flist: negotiated.safe_flist(),
        id0_names: negotiated.id0_names(),
        numeric_ids: options.numeric_ids,
        recurse: options.recursive,
        relative: options.relative,
        missing_args: options.delete_missing_args,
        ..EntryOptions::new(negotiated.protocol)
    }
}

/// Handles of directories at the place, for one thread.
fn dir_cache(session: &Session, place: &Place) -> Option<DirCache> {
    let tree = place.tree.clone()?;
    let options = &session.options;
    // Parents that the transfer does not own may be links (05-security 15).
    let links = if options.relative && !options.implied_dirs {
        Links::Beneath
    } else {
        Links::Refuse
    };
    Some(DirCache::new(tree, RelPathBuf::root(), links, DIRS_HELD))
}

/// The path below the place for a name of the list. The decoder let only clean names through; a component that is too
/// long fails here, for its entry alone.
fn place_path(place: &Place, name: &[u8]) -> Result<RelPathBuf, Errno> {
    if let Some(single) = &place.single {
        let mut path = RelPathBuf::root();
        path.push(single.as_name());
        return Ok(path);
    }
    let name = name.strip_prefix(b"/").unwrap_or(name);
    RelPath::new(name)
        .map(RelPath::to_buf)
        .map_err(|_| Errno::NAMETOOLONG)
}

fn failure(role: &'static str, op: &'static str, name: &[u8], errno: Errno) -> FileFailure {
    FileFailure {
        role,
        op,
        name: name.to_vec(),
        source: Some(errno.into()),
        vanished: false,
    }
}

/// What was tried, in rsync's words, and why it failed.
type Failed = (&'static str, Errno);

/// The first of the three attribute settings that failed.
fn first_error(outcome: AttrOutcome) -> Result<(), Failed> {
    outcome.owner.map_err(|errno| ("chown", errno))?;
    outcome
        .times
        .map_err(|errno| ("failed to set times on", errno))?;
    outcome
        .mode
        .map_err(|errno| ("failed to set permissions on", errno))?;
    Ok(())
}

/// An object whose attributes cannot be set, because it cannot be opened for that.
fn cannot_open(errno: Errno) -> Failed {
    ("failed to set attributes on", errno)
}
