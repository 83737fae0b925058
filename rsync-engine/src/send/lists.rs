//! The sender's file lists, in the order in which they go out (02-file-list).
//!
//! [`walk`] finds what belongs into a list, [`entries`] puts each object on the wire; here is what lies around them: the start and end of
//! a list, and which comes next.

mod entries;
mod walk;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use rsync_delta::Checksum;
use rsync_proto::flist::{Encoder, EntryOptions, IoErrorPlace};
use rsync_proto::mux::{IoErrors, Message};
use rsync_proto::ndx::{Ndx, NdxWriter};

use crate::budget::{Charge, map_memory};
use crate::error::Error;
use crate::fs::{
    Dir, DirCache, Errno, FileId, Links, ListBuf, NameService, RelPath, RelPathBuf, Tree,
};
use crate::list::{FileEntry, FileList, HELD_AS, ListOf};
use crate::outcome::TypeCounts;
use crate::session::Session;
use crate::wire_out::WireOut;

use self::entries::Marks;
use super::source::{Argument, Picked, PickedAction, Selection, Unopened};

/// List bytes collected before the receiver gets to see them.
const FLUSH_AT: usize = 32 << 10;
/// Directory handles held for each source: lists and requests go directory by directory.
const DIRS_HELD: usize = 16;

/// A directory whose list is still to be sent.
#[derive(Debug)]
struct Pending {
    number: u32,
    path: Box<[u8]>,
    entry: FileEntry,
    /// Further directories of that name, from other arguments: they share the list.
    more: Vec<FileEntry>,
}

/// A place that names are relative to.
struct Root {
    tree: Tree,
    dirs: DirCache,
    /// Device of the argument, for `-x`.
    device: u64,
    /// As the user named it.
    place: Vec<u8>,
    /// The same for messages of failures; empty if names say enough.
    shown: Vec<u8>,
}

/// Builds lists and keeps what must survive from one to the next.
pub(super) struct ListWriter {
    session: Arc<Session>,
    options: EntryOptions,
    encoder: Encoder,
    selection: Box<dyn Selection>,
    names: Box<dyn NameService>,
    munge_links: bool,
    list_checksum: Checksum,
    roots: Vec<Root>,
    next_start: i32,
    next_dir: u32,
    /// Directories in the order in which their lists go out; the next is last.
    pending: Vec<Pending>,
    /// Bytes of their paths.
    pending_bytes: usize,
    /// For `pending` and `inodes`.
    charge: Charge,
    /// Picked directories whose extra entries the receiver may delete.
    content: HashSet<Vec<u8>>,
    inodes: HashMap<FileId, i32>,
    named_users: HashSet<u32>,
    named_groups: HashSet<u32>,
    list_buf: ListBuf,
    /// The place itself, named by a leading "./", was left out, and that was told.
    dot_skipped: bool,
    /// The errors that the lists told of.
    pub(super) io_error_told: u32,
    pub(super) counts: TypeCounts,
    pub(super) total_size: u64,
    pub(super) list_bytes: u64,
    build_ms: u64,
    pub(super) entries: u64,
}

impl ListWriter {
    pub(super) fn new(
        session: Arc<Session>,
        options: EntryOptions,
        list_checksum: Checksum,
        selection: Box<dyn Selection>,
        names: Box<dyn NameService>,
        munge_links: bool,
    ) -> Self {
        Self {
            charge: session.budget.charge(HELD_AS),
            session,
            encoder: Encoder::new(options.clone()),
            next_start: i32::from(options.inc_recurse),
            options,
            selection,
            names,
            munge_links,
            list_checksum,
            roots: Vec::new(),
            next_dir: 0,
            pending: Vec::new(),
            pending_bytes: 0,
            content: HashSet::new(),
            inodes: HashMap::new(),
            named_users: HashSet::new(),
            named_groups: HashSet::new(),
            list_buf: ListBuf::default(),
            dot_skipped: false,
            io_error_told: 0,
            counts: TypeCounts::default(),
            total_size: 0,
            list_bytes: 0,
            build_ms: 0,
            entries: 0,
        }
    }

    /// Whether lists are still to come.
    pub(super) fn more(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Milliseconds spent on building lists: at least one, as rsync has it.
    pub(super) fn build_ms(&self) -> u64 {
        self.build_ms.max(1)
    }

    /// The first list of a transfer of arguments; those whose directory is `unopened` are reported.
    pub(super) fn arguments(
        &mut self,
        arguments: Vec<Argument>,
        unopened: Vec<Unopened>,
        out: &mut WireOut,
    ) -> Result<FileList, Error> {
        let started = Instant::now();
        let before = out.sent();
        let mut list = self.start(None)?;
        for Unopened { path, errno } in unopened {
            self.problem("change_dir", &path, errno, out)?;
        }
        for argument in arguments {
            self.session.check()?;
            self.argument(&argument, &mut list, out)?;
        }
        self.finish(list, out, started, before)
    }

    /// The only list of picked names.
    pub(super) fn picked(&mut self, picked: Picked, out: &mut WireOut) -> Result<FileList, Error> {
        let started = Instant::now();
        let before = out.sent();
        let mut list = self.start(None)?;
        self.selection.add_root(&picked.absolute);
        let root = self.root(&picked.tree, Links::Refuse, Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        let mut names = picked.names;
        names.sort_by(|a, b| a.path.cmp(&b.path));
        self.content = picked.content;
        let marks = self.marks_of(b"");
        self.directory_entry(root, b".", marks, &mut list, out)?;
        for name in &names {
            self.session.check()?;
            let parent = Marks::PARENT;
            if !self.parents(root, &name.path, &mut seen, parent, &mut list, out)? {
                // A receiver does not know what to do with a name whose directory is not in the list.
                self.vanished("link_stat", &name.path, Errno::NOENT, out)?;
                continue;
            }
            match name.action {
                PickedAction::Send if seen.contains(&name.path[..]) || name.path.is_empty() => {}
                PickedAction::Send => {
                    self.picked_name(root, &name.path, &mut seen, &mut list, out)?
                }
                PickedAction::Delete => self.missing(&name.path, &mut list, out)?,
            }
        }
        self.finish(list, out, started, before)
    }

    /// The next list of incremental recursion, headed by its marker.
    pub(super) fn next(
        &mut self,
        ndx: &mut NdxWriter,
        out: &mut WireOut,
    ) -> Result<Option<FileList>, Error> {
        let Some(pending) = self.pending.pop() else {
            return Ok(None);
        };
        self.pending_bytes -= pending.path.len();
        let started = Instant::now();
        out.data(|buf| ndx.write(Ndx::sublist(pending.number), buf))?;
        let before = out.sent();
        let (path, entry) = (pending.path.clone(), pending.entry);
        let mut list = self.start(Some(ListOf { path, entry }))?;
        for entry in [entry].iter().chain(&pending.more) {
            if !entry.no_content() {
                let root = self.roots.get(usize::from(entry.root));
                let device = root.map_or(0, |root| root.device);
                self.contents(entry.root, &pending.path, device, &mut list, out)?;
            }
        }
        self.finish(list, out, started, before).map(Some)
    }

    fn start(&mut self, of: Option<ListOf>) -> Result<FileList, Error> {
        self.encoder.start_list(self.next_start);
        FileList::new(self.next_start, of, &self.session.budget)
    }

    /// Charges the directories whose lists are still to be sent, and the inodes of hard links.
    fn account(&mut self) -> Result<(), Error> {
        self.charge.set(
            self.pending.capacity() * size_of::<Pending>()
                + self.pending_bytes
                + map_memory::<FileId, i32>(self.inodes.capacity()),
        )
    }

    /// Ends the list on the wire, sorts it and numbers its directories.
    fn finish(
        &mut self,
        mut list: FileList,
        out: &mut WireOut,
        started: Instant,
        before: u64,
    ) -> Result<FileList, Error> {
        let errors = self.session.trouble.io_error_bits();
        let report = if self.session.options.ignore_errors || errors == self.io_error_told {
            0
        } else {
            errors
        };
        let place = self.options.io_error_place();
        out.data(|buf| self.encoder.end(report.cast_signed(), buf))?;
        if self.options.id_lists() && self.next_start == 0 {
            self.id_lists(&list, out)?;
        }
        match place {
            IoErrorPlace::ListEnd => {}
            IoErrorPlace::AfterIdLists => {
                out.data(|buf| buf.extend_from_slice(&report.to_le_bytes()))?
            }
            IoErrorPlace::Message if report != 0 => {
                out.message(&Message::IoError(IoErrors::from_wire(report.cast_signed())))?;
            }
            IoErrorPlace::Message => {}
        }
        self.io_error_told = errors;
        if self.list_bytes == 0 {
            self.list_bytes = out.sent() - before;
        }
        list.sort()?;
        self.entries += list.len() as u64;
        let count = i32::try_from(list.len()).unwrap_or(i32::MAX);
        let next = list
            .ndx_start
            .checked_add(count)
            .and_then(|next| next.checked_add(1));
        self.next_start = next.ok_or(Error::Limit {
            what: "entries of one session",
            limit: i32::MAX as u64,
        })?;
        if self.options.inc_recurse {
            self.number_directories(&list);
        }
        self.account()?;
        self.build_ms += u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(list)
    }

    /// Numbers the directories of a sorted list and puts them in line, the first one to be the next
    /// (02-file-list 9.3, 9.4).
    fn number_directories(&mut self, list: &FileList) {
        let mut fresh = VecDeque::<Pending>::new();
        for entry in list.entries().iter().filter(|entry| entry.is_dir()) {
            let number = self.next_dir;
            self.next_dir += 1;
            let path = list.path(entry);
            // "." never has a list; of equal names the first one stands for all.
            if path == b"." {
                continue;
            }
            match fresh.front_mut().filter(|pending| *pending.path == path) {
                Some(pending) => pending.more.push(*entry),
                None => {
                    self.pending_bytes += path.len();
                    fresh.push_front(Pending {
                        number,
                        path: path.into(),
                        entry: *entry,
                        more: Vec::new(),
                    });
                }
            }
        }
        self.pending.extend(fresh);
    }

    /// What the names of a root are relative to, as the user named it.
    pub(super) fn place(&self, root: u16) -> &[u8] {
        self.roots
            .get(usize::from(root))
            .map_or(&[][..], |root| &root.place)
    }

    /// A name of a root as messages of failures have it: with the path before it.
    pub(super) fn shown(&self, root: u16, name: &[u8]) -> Vec<u8> {
        let root = self.roots.get(usize::from(root));
        match root.map_or(&b""[..], |root| &root.shown) {
            b"" => name.to_vec(),
            before if name == b"." => before.to_vec(),
            b"/" => [b"/", name].concat(),
            before => [before, b"/", name].concat(),
        }
    }

    fn root(&mut self, tree: &Tree, links: Links, place: Vec<u8>, shown: Vec<u8>) -> u16 {
        let device = tree.root().id().map_or(0, |id| id.dev);
        let dirs = DirCache::new(tree.clone(), RelPathBuf::root(), links, DIRS_HELD);
        self.roots.push(Root {
            tree: tree.clone(),
            dirs,
            device,
            place,
            shown,
        });
        u16::try_from(self.roots.len() - 1).unwrap_or(u16::MAX)
    }

    /// Whether the receiver does not get the data of this file.
    pub(super) fn withholds(&mut self, name: &[u8]) -> bool {
        self.selection.withholds(name)
    }

    /// The held directory of a root.
    pub(super) fn dir(&mut self, root: u16, path: RelPath<'_>) -> Result<Dir, Errno> {
        self.roots
            .get_mut(usize::from(root))
            .ok_or(Errno::NOENT)?
            .dirs
            .get(path)
    }
}
/// The path below the root that a name of the transfer stands for.
pub(super) fn relative(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"/").unwrap_or(name)
}

/// Whether this entry is a candidate for reading.
pub(super) fn readable(entry: &FileEntry) -> bool {
    entry.is_file()
}

/// What stands before `name` in an argument as the user wrote it; empty if that does not end in it.
fn before<'a>(shown: &'a [u8], name: &[u8]) -> &'a [u8] {
    let trim = |path: &'a [u8]| match path.strip_suffix(b"/") {
        Some(trimmed) if !trimmed.is_empty() => trimmed,
        _ => path,
    };
    let shown = trim(shown);
    match shown {
        b"." => return b"",
        shown if name == b"." => return shown,
        _ => {}
    }
    match shown.strip_suffix(name) {
        Some(before) if before.ends_with(b"/") => trim(before),
        _ => b"",
    }
}
