//! Builds the sender's file lists from the sources and puts them on the wire (02-file-list).

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use rsync_delta::Checksum;
use rsync_proto::flist::{Encoder, Entry, EntryOptions, HardLink, IdList, IoErrorPlace};
use rsync_proto::mux::{IoErrors, Message};
use rsync_proto::ndx::{Ndx, NdxWriter};

use crate::error::Error;
use crate::event::{FileFailure, TextKind};
use crate::fs::{
    Dir, DirCache, Errno, FileId, Links, ListBuf, Name, NameService, RelPath, RelPathBuf, Stat,
    Tree,
};
use crate::list::{FileEntry, FileList, ListOf};
use crate::outcome::{IO_GENERAL, TypeCounts};
use crate::session::Session;
use crate::wire_out::WireOut;

use super::source::{Argument, Picked, PickedAction, Selection};

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
    device: u64,
}

/// A place that names are relative to.
struct Root {
    tree: Tree,
    dirs: DirCache,
    /// Device of the argument, for `-x`.
    device: u64,
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
    /// Picked directories whose extra entries the receiver may delete.
    content: HashSet<Vec<u8>>,
    inodes: HashMap<FileId, i32>,
    named_users: HashSet<u32>,
    named_groups: HashSet<u32>,
    list_buf: ListBuf,
    /// The errors that the lists told of.
    pub(super) io_error_told: u32,
    pub(super) counts: TypeCounts,
    pub(super) total_size: u64,
    pub(super) list_bytes: u64,
    pub(super) build_ms: u64,
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
            content: HashSet::new(),
            inodes: HashMap::new(),
            named_users: HashSet::new(),
            named_groups: HashSet::new(),
            list_buf: ListBuf::default(),
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

    /// The first list of a transfer of arguments.
    pub(super) fn arguments(
        &mut self,
        arguments: Vec<Argument>,
        out: &mut WireOut,
    ) -> Result<FileList, Error> {
        let started = Instant::now();
        let before = out.sent();
        let mut list = self.start(None);
        for argument in arguments {
            self.argument(&argument, &mut list, out)?;
        }
        self.finish(list, out, started, before)
    }

    /// The only list of picked names.
    pub(super) fn picked(&mut self, picked: Picked, out: &mut WireOut) -> Result<FileList, Error> {
        let started = Instant::now();
        let before = out.sent();
        let mut list = self.start(None);
        let root = self.root(&picked.tree, b"", Links::Refuse);
        let mut seen = HashSet::new();
        let mut names = picked.names;
        names.sort_by(|a, b| a.path.cmp(&b.path));
        self.content = picked.content;
        let marks = self.marks_of(b"");
        self.directory_entry(root, b".", marks, &mut list, out)?;
        for name in &names {
            self.parents(root, &name.path, &mut seen, Marks::PARENT, &mut list, out)?;
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
        let started = Instant::now();
        out.data(|buf| ndx.write(Ndx::sublist(pending.number), buf))?;
        let before = out.sent();
        let (path, entry) = (pending.path.clone(), pending.entry);
        let mut list = self.start(Some(ListOf { path, entry }));
        if !entry.no_content() {
            self.contents(entry.root, &pending.path, pending.device, &mut list, out)?;
        }
        self.finish(list, out, started, before).map(Some)
    }

    fn start(&mut self, of: Option<ListOf>) -> FileList {
        self.encoder.start_list(self.next_start);
        FileList::new(self.next_start, of)
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
        list.sort();
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
        self.build_ms += u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(list)
    }

    /// Numbers the directories of a sorted list and puts them in line, the first one to be the next
    /// (02-file-list 9.3, 9.4).
    fn number_directories(&mut self, list: &FileList) {
        let mut fresh = VecDeque::new();
        let mut previous: Option<Vec<u8>> = None;
        for entry in list.entries().iter().filter(|entry| entry.is_dir()) {
            let number = self.next_dir;
            self.next_dir += 1;
            let path = list.path(entry);
            // "." never has a list; of equal names the first one stands for all.
            if path == b"." || previous.as_ref() == Some(&path) {
                continue;
            }
            fresh.push_front(Pending {
                number,
                path: path.clone().into(),
                entry: *entry,
                device: self
                    .roots
                    .get(usize::from(entry.root))
                    .map_or(0, |root| root.device),
            });
            previous = Some(path);
        }
        self.pending.extend(fresh);
    }

    fn id_lists(&mut self, list: &FileList, out: &mut WireOut) -> Result<(), Error> {
        let (mut users, mut groups) = (HashSet::new(), HashSet::new());
        for entry in list.entries() {
            users.insert(entry.uid);
            groups.insert(entry.gid);
        }
        for (wanted, ids, user) in [
            (self.options.uid, users, true),
            (self.options.gid, groups, false),
        ] {
            if !wanted {
                continue;
            }
            let mut names = IdList::new();
            let zero = self.options.id0_names.then_some(0);
            for id in ids.into_iter().filter(|&id| id != 0).chain(zero) {
                let name = if user {
                    self.names.user_name(id)
                } else {
                    self.names.group_name(id)
                };
                // An id comes once, and a name too long for the wire is not sent.
                let _ = names.insert(id, name.unwrap_or_default());
            }
            out.data(|buf| names.encode(&self.options, buf))?;
        }
        Ok(())
    }

    fn root(&mut self, tree: &Tree, absolute: &[u8], links: Links) -> u16 {
        self.selection.add_root(absolute);
        let device = tree.root().id().map_or(0, |id| id.dev);
        let dirs = DirCache::new(tree.clone(), RelPathBuf::root(), links, DIRS_HELD);
        self.roots.push(Root {
            tree: tree.clone(),
            dirs,
            device,
        });
        u16::try_from(self.roots.len() - 1).unwrap_or(u16::MAX)
    }

    /// The held directory of a root.
    pub(super) fn dir(&mut self, root: u16, path: RelPath<'_>) -> Result<Dir, Errno> {
        self.roots
            .get_mut(usize::from(root))
            .ok_or(Errno::NOENT)?
            .dirs
            .get(path)
    }

    /// Adds one source argument (02-file-list 14).
    fn argument(
        &mut self,
        argument: &Argument,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let root = self.root(&argument.tree, &argument.absolute, argument.links);
        let session = Arc::clone(&self.session);
        let options = &session.options;
        let (recursive, dirs) = (options.recursive, options.dirs);
        // With -R a leading "./" makes the place itself a parent (02-file-list 14.3).
        let (below_dot, name) = match argument.name.strip_prefix(b"./") {
            Some(name) if argument.implied => (true, name),
            _ => (false, &argument.name[..]),
        };
        let path = relative(name);
        let Ok(path) = RelPath::new(path) else {
            return self.problem("link_stat", &argument.shown, Errno::INVAL, out);
        };
        let stat = match self.stat(root, path) {
            Ok(stat) if argument.contents && stat.is_symlink() => {
                argument.tree.stat(path, argument.links)
            }
            other => other,
        };
        let stat = match stat {
            Ok(stat) if argument.contents && !stat.is_dir() => Err(Errno::NOTDIR),
            other => other,
        };
        let stat = match stat {
            Ok(stat) => stat,
            Err(Errno::NOENT) if options.delete_missing_args => {
                return self.missing(name, list, out);
            }
            Err(Errno::NOENT) if options.ignore_missing_args => return Ok(()),
            Err(errno) => {
                return match argument.shown.strip_suffix(b"/") {
                    Some(dir) => self.problem("change_dir", dir, errno, out),
                    None => self.problem("link_stat", &argument.shown, errno, out),
                };
            }
        };
        if stat.is_dir() && !recursive && !dirs {
            let text = [b"skipping directory ", name].concat();
            return self.tell(TextKind::Info, &text, out);
        }
        if let Some(of_root) = self.roots.get_mut(usize::from(root)) {
            of_root.device = stat.id.dev;
        }
        let is_dot = name == b"." || name == b"/";
        if !is_dot && self.selection.hides(root, path, stat.is_dir()) {
            return Ok(());
        }
        if below_dot && (recursive || dirs) {
            self.directory_entry(root, b".", Marks::IMPLIED, list, out)?;
        }
        if argument.implied {
            let mut seen = HashSet::new();
            self.parents(root, name, &mut seen, Marks::IMPLIED, list, out)?;
            // The rules in the directories above the argument are asked last (07-filters 8).
            if let Some((parent, _)) = path.split().filter(|(parent, _)| !parent.is_root())
                && let Ok(dir) = self.dir(root, parent)
            {
                self.enter(root, parent, &dir)?;
                if self.selection.hides(root, path, stat.is_dir()) {
                    return Ok(());
                }
            }
        }
        if !stat.is_dir() {
            return self.entry(root, name, &stat, Marks::NONE, list, out);
        }
        let contents = recursive || argument.contents;
        let marks = if contents { Marks::TOP } else { Marks::EMPTY };
        self.entry(root, name, &stat, marks, list, out)?;
        let now = if self.options.inc_recurse {
            is_dot
        } else {
            contents
        };
        if now {
            self.contents(root, name, stat.id.dev, list, out)?;
        }
        Ok(())
    }

    /// Adds the directories above a name that were not added yet.
    fn parents(
        &mut self,
        root: u16,
        name: &[u8],
        seen: &mut HashSet<Vec<u8>>,
        marks: Marks,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        for slash in name
            .iter()
            .enumerate()
            .filter(|&(at, &byte)| byte == b'/' && at > 0)
            .map(|(at, _)| at)
        {
            let parent = &name[..slash];
            if seen.insert(parent.to_vec()) {
                let marks = if marks.top {
                    marks
                } else {
                    self.marks_of(parent)
                };
                self.directory_entry(root, parent, marks, list, out)?;
            }
        }
        Ok(())
    }

    fn directory_entry(
        &mut self,
        root: u16,
        name: &[u8],
        marks: Marks,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let Ok(path) = RelPath::new(relative(name)) else {
            return Ok(());
        };
        let links = if self.session.options.relative {
            Links::Any
        } else {
            Links::Refuse
        };
        let tree = match self.roots.get(usize::from(root)) {
            Some(root) => root.tree.clone(),
            None => return Ok(()),
        };
        match tree.stat(path, links) {
            Ok(stat) if stat.is_dir() => self.entry(root, name, &stat, marks, list, out),
            // It vanished, or is something else by now: the name below will say so.
            _ => Ok(()),
        }
    }

    /// A picked name as it is now.
    fn picked_name(
        &mut self,
        root: u16,
        name: &[u8],
        seen: &mut HashSet<Vec<u8>>,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let Ok(path) = RelPath::new(name) else {
            return self.problem("link_stat", name, Errno::INVAL, out);
        };
        match self.stat(root, path) {
            Ok(stat) => {
                let marks = if stat.is_dir() {
                    self.marks_of(name)
                } else {
                    Marks::NONE
                };
                if stat.is_dir() {
                    seen.insert(name.to_vec());
                }
                self.entry(root, name, &stat, marks, list, out)
            }
            Err(errno @ (Errno::NOENT | Errno::NOTDIR)) => {
                self.vanished("link_stat", name, errno, out)
            }
            Err(errno) => self.problem("link_stat", name, errno, out),
        }
    }

    /// The flags of a picked directory, or of one above a picked name.
    fn marks_of(&self, path: &[u8]) -> Marks {
        if self.content.contains(path) {
            Marks::NONE
        } else {
            Marks::PARENT
        }
    }

    /// An entry that tells the receiver to delete the name.
    fn missing(
        &mut self,
        name: &[u8],
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let entry = Entry {
            name,
            mode: 0,
            ..Entry::default()
        };
        self.put(&entry, None, 0, list, out)
    }

    /// Adds what lies in a directory, and without incremental recursion what lies below.
    fn contents(
        &mut self,
        root: u16,
        name: &[u8],
        device: u64,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let mut todo = vec![name.to_vec()];
        while let Some(name) = todo.pop() {
            self.session.cancel.check()?;
            let mut below = self.directory_contents(root, &name, device, list, out)?;
            if self.session.options.recursive && !self.options.inc_recurse {
                below.reverse();
                todo.append(&mut below);
            }
        }
        Ok(())
    }

    /// Adds the entries of one directory; returns the subdirectories to walk.
    fn directory_contents(
        &mut self,
        root: u16,
        name: &[u8],
        device: u64,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let mut below = Vec::new();
        let Ok(path) = RelPath::new(relative(name)) else {
            return Ok(below);
        };
        let dir = match self.dir(root, path) {
            Ok(dir) => dir,
            Err(errno) => {
                self.listing_problem("opendir", name, errno, out)?;
                return Ok(below);
            }
        };
        self.enter(root, path, &dir)?;
        let mut buf = std::mem::take(&mut self.list_buf);
        let done = self.listed(root, name, device, &dir, &mut buf, &mut below, list, out);
        self.list_buf = buf;
        done.map(|()| below)
    }

    /// Puts the rules of a directory in force.
    fn enter(&mut self, root: u16, path: RelPath<'_>, dir: &Dir) -> Result<(), Error> {
        if let Some(of_root) = self.roots.get(usize::from(root)) {
            self.selection.enter(root, path, dir, &of_root.tree);
        }
        self.selection.take_fault().map_or(Ok(()), Err)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the body of directory_contents around a borrowed buffer"
    )]
    fn listed(
        &mut self,
        root: u16,
        name: &[u8],
        device: u64,
        dir: &Dir,
        buf: &mut ListBuf,
        below: &mut Vec<Vec<u8>>,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let mut listing = match dir.list(buf) {
            Ok(listing) => listing,
            Err(errno) => return self.listing_problem("opendir", name, errno, out),
        };
        let mut path = if name == b"." {
            Vec::new()
        } else {
            name.to_vec()
        };
        if !path.is_empty() && path != b"/" {
            path.push(b'/');
        }
        let prefix = path.len();
        while let Some(found) = listing.next() {
            out.tick()?;
            let found = match found {
                Ok(found) => found,
                Err(errno) => return self.listing_problem("readdir", name, errno, out),
            };
            path.truncate(prefix);
            path.extend_from_slice(found.name);
            let Ok(base) = Name::new(found.name) else {
                continue;
            };
            let stat = match dir.stat(base) {
                Ok(stat) => stat,
                Err(errno @ Errno::NOENT) => {
                    self.vanished("link_stat", &path, errno, out)?;
                    continue;
                }
                Err(errno) => {
                    self.problem("link_stat", &path, errno, out)?;
                    continue;
                }
            };
            let Ok(rel) = RelPath::new(relative(&path)) else {
                continue;
            };
            if self.selection.hides(root, rel, stat.is_dir()) {
                continue;
            }
            let one_fs = self.session.options.one_file_system;
            let mount = one_fs > 0 && stat.is_dir() && stat.id.dev != device;
            if mount && one_fs > 1 {
                continue;
            }
            let options = &self.session.options;
            let marks = if stat.is_dir() && (mount || !options.recursive) {
                Marks::EMPTY
            } else {
                Marks::NONE
            };
            self.entry_in(root, dir, base, &path, &stat, marks, list, out)?;
            if stat.is_dir() && !mount {
                below.push(path.clone());
            }
        }
        Ok(())
    }

    fn stat(&mut self, root: u16, path: RelPath<'_>) -> Result<Stat, Errno> {
        match path.split() {
            None => self.dir(root, path)?.self_stat(),
            Some((parent, name)) => self.dir(root, parent)?.stat(name),
        }
    }

    /// Adds an entry for a path of a root.
    fn entry(
        &mut self,
        root: u16,
        name: &[u8],
        stat: &Stat,
        marks: Marks,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let Ok(path) = RelPath::new(relative(name)) else {
            return Ok(());
        };
        let Some((parent, base)) = path.split() else {
            return self.put_stat(root, name, stat, None, None, marks, list, out);
        };
        match self.dir(root, parent) {
            Ok(dir) => self.entry_in(root, &dir, base, name, stat, marks, list, out),
            Err(errno) => self.problem("link_stat", name, errno, out),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what an entry is made of")]
    fn entry_in(
        &mut self,
        root: u16,
        dir: &Dir,
        base: Name<'_>,
        name: &[u8],
        stat: &Stat,
        marks: Marks,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let mut target = None;
        if stat.is_symlink() && self.options.links {
            match dir.read_link(base) {
                Ok(link) if !link.is_empty() => target = Some(link),
                Ok(_) => return Ok(()),
                Err(errno @ Errno::NOENT) => return self.vanished("readlink", name, errno, out),
                Err(errno) => return self.problem("readlink", name, errno, out),
            }
            if self.munge_links
                && let Some(link) = &target
                && let Some(plain) = link.strip_prefix(b"/rsyncd-munged/")
            {
                target = Some(plain.to_vec());
            }
        }
        let mut digest = None;
        if self.session.options.checksum && stat.is_file() {
            let cancel = &self.session.cancel;
            // A connection that fails here fails again at the next write.
            let go_on = || !cancel.is_cancelled() && out.tick().is_ok();
            digest = crate::receive::digest_of(dir, base, self.list_checksum, go_on).ok();
        }
        let digest = digest.as_deref();
        self.put_stat(
            root,
            name,
            stat,
            target.as_deref(),
            digest,
            marks,
            list,
            out,
        )
    }

    #[expect(clippy::too_many_arguments, reason = "what an entry is made of")]
    fn put_stat(
        &mut self,
        root: u16,
        name: &[u8],
        stat: &Stat,
        link_target: Option<&[u8]>,
        checksum: Option<&[u8]>,
        marks: Marks,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let hard_link = self.hard_link(stat);
        let size = match stat.mode & 0o170_000 {
            0o100_000 | 0o040_000 => stat.size,
            0o120_000 => link_target.map_or(stat.size, |target| target.len() as u64),
            _ => 0,
        };
        let (uid, gid) = (stat.uid, stat.gid);
        let inline = self.options.inline_names();
        let new_user = inline && self.options.uid && self.named_users.insert(uid);
        let new_group = inline && self.options.gid && self.named_groups.insert(gid);
        let owned = |name: Option<&[u8]>| name.filter(|name| !name.is_empty()).map(<[u8]>::to_vec);
        let user_name = if new_user {
            owned(self.names.user_name(uid))
        } else {
            None
        };
        let group_name = if new_group {
            owned(self.names.group_name(gid))
        } else {
            None
        };
        let device = matches!(stat.mode & 0o170_000, 0o020_000 | 0o060_000);
        let nanoseconds = self.options.protocol.has_nanoseconds();
        let entry = Entry {
            name,
            size,
            mtime: stat.mtime.secs,
            mtime_nsec: if nanoseconds { stat.mtime.nsec } else { 0 },
            mode: stat.mode,
            uid: if self.options.uid { uid } else { 0 },
            gid: if self.options.gid { gid } else { 0 },
            user_name: user_name.as_deref(),
            group_name: group_name.as_deref(),
            rdev: (device && self.options.devices).then_some(stat.rdev),
            link_target,
            hard_link,
            checksum,
            top_dir: marks.top,
            no_content: marks.no_content,
        };
        self.put(&entry, Some(stat), root, list, out)
    }

    fn hard_link(&mut self, stat: &Stat) -> HardLink {
        if !self.options.hard_links || stat.nlink < 2 || stat.is_dir() {
            return HardLink::None;
        }
        if !self.options.protocol.has_hard_link_index() {
            return HardLink::DevIno {
                dev: stat.id.dev,
                ino: stat.id.ino,
            };
        }
        match self.inodes.get(&stat.id) {
            Some(&group) => HardLink::Follower(group),
            None => HardLink::First,
        }
    }

    fn put(
        &mut self,
        entry: &Entry<'_>,
        stat: Option<&Stat>,
        root: u16,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let arrival = self.encoder.next_index();
        let mut put = Ok(());
        out.data(|buf| put = self.encoder.encode(entry, buf))?;
        if put.is_err() {
            // Only names and targets beyond what the protocol can say; the receiver never hears of them.
            return self.problem("link_stat", entry.name, Errno::NAMETOOLONG, out);
        }
        if let (HardLink::First, Some(stat)) = (entry.hard_link, stat) {
            self.inodes.insert(stat.id, arrival);
        }
        self.counts.count(entry.mode);
        if matches!(entry.mode & 0o170_000, 0o100_000 | 0o120_000) {
            self.total_size += entry.size;
        }
        let group = match entry.hard_link {
            HardLink::Follower(group) => Some(i64::from(group)),
            HardLink::First => Some(i64::from(arrival)),
            _ => None,
        };
        list.push(entry, group, root)?;
        if out.pending() >= FLUSH_AT {
            out.flush()
        } else {
            Ok(())
        }
    }

    /// An entry that cannot be sent: reported, and deletions at the receiver are off.
    fn problem(
        &mut self,
        op: &'static str,
        name: &[u8],
        errno: Errno,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        self.session.trouble.io_error(IO_GENERAL);
        self.report(
            FileFailure {
                role: "sender",
                op,
                name: name.to_vec(),
                source: Some(errno.into()),
                vanished: false,
            },
            out,
        )
    }

    fn listing_problem(
        &mut self,
        op: &'static str,
        name: &[u8],
        errno: Errno,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        // A source that is gone as a whole is no reason to empty its copy.
        if errno == Errno::NOENT && name != b"." {
            self.vanished(op, name, errno, out)
        } else {
            self.problem(op, name, errno, out)
        }
    }

    fn vanished(
        &mut self,
        op: &'static str,
        name: &[u8],
        errno: Errno,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        self.report(
            FileFailure {
                role: "sender",
                op,
                name: name.to_vec(),
                source: Some(errno.into()),
                vanished: true,
            },
            out,
        )
    }

    fn report(&mut self, failure: FileFailure, out: &mut WireOut) -> Result<(), Error> {
        super::report(&self.session, &failure, out)
    }

    fn tell(&mut self, kind: TextKind, text: &[u8], out: &mut WireOut) -> Result<(), Error> {
        super::tell(&self.session, kind, text, out)
    }
}

/// The directory flags of an entry (02-file-list 5.9).
#[derive(Debug, Clone, Copy)]
struct Marks {
    top: bool,
    no_content: bool,
}

impl Marks {
    /// Found while walking.
    const NONE: Self = Self {
        top: false,
        no_content: false,
    };
    /// An argument whose contents follow.
    const TOP: Self = Self {
        top: true,
        no_content: false,
    };
    /// A directory without its contents.
    const EMPTY: Self = Self {
        top: false,
        no_content: true,
    };
    /// Above an argument, with `-R`.
    const IMPLIED: Self = Self {
        top: true,
        no_content: true,
    };
    /// Above a picked name: an ordinary directory in which nothing is deleted.
    const PARENT: Self = Self {
        top: false,
        no_content: true,
    };
}

/// The path below the root that a name of the transfer stands for.
pub(super) fn relative(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"/").unwrap_or(name)
}

/// Whether this entry is a candidate for reading.
pub(super) fn readable(entry: &FileEntry) -> bool {
    entry.is_file()
}
