//! Deletion at the receiving side (03-transfer 8).

use std::sync::Arc;

use rsync_proto::PeerText;
use rsync_proto::mux::Message;
use rsync_proto::stats::DelStats;

use crate::budget::{Budget, Charge};
use crate::error::Error;
use crate::event::{Event, TextKind};
use crate::fs::{
    self, Deleter, Dir, Doomed, Errno, FileKind, Name, RelPath, RelPathBuf, RemoveOptions, Tree,
};
use crate::list::{FileEntry, FileList};
use crate::options::Delete;
use crate::outcome::{IO_DELETE_LIMIT, IO_GENERAL};
use crate::session::Session;
use crate::wire_out::WireOut;

use super::attributes::time_of;
use super::entry::Subject;
use super::generator::Generator;

/// What filters say about names at the receiving side. Paths are relative to the destination.
pub trait Protection: Send {
    /// Called once, before anything else, with the absolute path of the destination as it was named; of a daemon,
    /// within the module.
    fn set_root(&mut self, absolute: &[u8]);
    /// Called before names of this directory are asked about, so that per-directory rule files can be read.
    fn enter(&mut self, dir: RelPath<'_>, tree: &Tree);
    /// Whether a name is excluded from deletion. `whole`: its directory is itself being deleted.
    fn protects(&mut self, path: RelPath<'_>, is_dir: bool, whole: bool) -> bool;
    /// Whether the module's own rules forbid to receive this name.
    fn refuses(&mut self, path: RelPath<'_>, is_dir: bool) -> bool;
    /// A rule file that cannot be used, found since the last call: it ends the run.
    fn take_fault(&mut self) -> Option<Error>;
    /// What else is to be said about rule files since the last call, a line each.
    fn take_notices(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// No rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unprotected;

impl Protection for Unprotected {
    fn set_root(&mut self, _absolute: &[u8]) {}
    fn enter(&mut self, _dir: RelPath<'_>, _tree: &Tree) {}
    fn protects(&mut self, _path: RelPath<'_>, _is_dir: bool, _whole: bool) -> bool {
        false
    }
    fn refuses(&mut self, _path: RelPath<'_>, _is_dir: bool) -> bool {
        false
    }
    fn take_fault(&mut self) -> Option<Error> {
        None
    }
}

/// The state of deletions in one session.
pub(super) struct Deletions {
    protection: Box<dyn Protection>,
    limit: Option<u64>,
    done: u64,
    skipped: u64,
    io_error_told: bool,
    /// Of the last top directory of the transfer, with `-x`.
    device: Option<u64>,
    /// Found while scanning, to be deleted at the end (`--delete-delay`).
    delayed: Vec<(RelPathBuf, bool)>,
    /// For `delayed`.
    charge: Charge,
}

impl Deletions {
    /// `root`: absolute path of the destination.
    pub(super) fn new(
        mut protection: Box<dyn Protection>,
        root: &[u8],
        limit: Option<u64>,
        budget: &Budget,
    ) -> Self {
        protection.set_root(root);
        Self {
            protection,
            limit,
            done: 0,
            skipped: 0,
            io_error_told: false,
            device: None,
            delayed: Vec::new(),
            charge: budget.charge("delayed deletions"),
        }
    }

    /// Notes a path to be deleted at the end.
    fn delay(&mut self, path: RelPathBuf, is_dir: bool) -> Result<(), Error> {
        self.charge.reserve(&mut self.delayed, 1)?;
        self.charge.add(path.as_path().as_bytes().len())?;
        self.delayed.push((path, is_dir));
        Ok(())
    }

    pub(super) fn refuses(&mut self, path: RelPath<'_>, is_dir: bool) -> bool {
        self.protection.refuses(path, is_dir)
    }
}

/// Carries out one deletion, and gathers what is to be said about it once the walk is over.
struct Reaper<'a> {
    deletions: &'a mut Deletions,
    /// The topmost entry is deleted because it is in the way: it is neither reported nor counted.
    silent_top: Option<RelPath<'a>>,
    /// Filters were asked about the topmost entry already.
    top: RelPath<'a>,
    tree: Option<&'a Tree>,
    dry_run: bool,
    session: &'a Session,
    out: &'a mut WireOut,
    /// Why the walk was ended.
    ended: Option<Error>,
    /// Their modes are wanted.
    modes: bool,
    reports: Vec<(Vec<u8>, FileKind, Option<u32>)>,
    failures: Vec<(Vec<u8>, FileKind, Errno)>,
}

impl Deleter for Reaper<'_> {
    fn protects(&mut self, entry: &Doomed<'_>) -> bool {
        if entry.path == self.top {
            return false;
        }
        let protection = &mut self.deletions.protection;
        if let (Some(tree), Some((parent, _))) = (self.tree, entry.path.split()) {
            protection.enter(parent, tree);
        }
        protection.protects(entry.path, entry.kind == FileKind::Directory, true)
    }

    fn remove(&mut self, entry: &Doomed<'_>) -> fs::Result<bool> {
        let silent = self.silent_top.is_some_and(|top| top == entry.path);
        if !silent
            && self
                .deletions
                .limit
                .is_some_and(|limit| self.deletions.done >= limit)
        {
            self.deletions.skipped += 1;
            return Ok(false);
        }
        let mode = match self.modes && !silent {
            true => entry.dir.stat(entry.name).ok().map(|stat| stat.mode),
            false => None,
        };
        if !self.dry_run {
            match entry.remove() {
                Ok(()) => {}
                // Somebody else was faster.
                Err(Errno::NOENT) => return Ok(true),
                Err(errno) => return Err(errno),
            }
        }
        if !silent {
            self.deletions.done += 1;
            self.reports
                .push((entry.path.as_bytes().to_vec(), entry.kind, mode));
        }
        Ok(true)
    }

    fn may_go_on(&mut self) -> bool {
        let goes_on = self.session.check().and_then(|()| self.out.tick());
        self.ended = goes_on.err();
        self.ended.is_none()
    }

    fn failed(&mut self, entry: &Doomed<'_>, errno: Errno) {
        self.failures
            .push((entry.path.as_bytes().to_vec(), entry.kind, errno));
    }
}

impl Generator {
    /// Deletes, or notes for later, what a content directory has beyond the list. True if there was anything.
    pub(super) fn delete_in(
        &mut self,
        list: &Arc<FileList>,
        entry: &FileEntry,
        name: &[u8],
        path: RelPath<'_>,
    ) -> Result<bool, Error> {
        if self.deletions_stopped()? || !self.on_file_system(entry, path) {
            return Ok(false);
        }
        let extras = match self.extras(list, name, path) {
            Ok(extras) => extras,
            Err(Errno::CANCELED) => return self.session.check().map(|()| false),
            Err(errno) => {
                self.session.trouble.io_error(IO_GENERAL);
                self.fail(&super::failure("generator", "opendir", name, errno))?;
                return Ok(false);
            }
        };
        self.hear_rules()?;
        let delay = self
            .session
            .options
            .delete
            .resolved(self.session.protocol().number())
            == Delete::Delay;
        let found = !extras.is_empty();
        if found {
            self.open_dirs.changed(path);
        }
        for (extra, is_dir) in extras {
            if delay {
                self.deletions.delay(extra, is_dir)?;
            } else {
                self.delete_path(extra.as_path())?;
            }
        }
        Ok(found)
    }

    /// With `-x`: whether a directory is on the file system of the top directory above it, which came before.
    fn on_file_system(&mut self, entry: &FileEntry, path: RelPath<'_>) -> bool {
        if self.session.options.one_file_system == 0 {
            return true;
        }
        let Ok(Some(stat)) = self.look(path) else {
            return true;
        };
        if entry.top_dir() {
            self.deletions.device = Some(stat.id.dev);
        }
        *self.deletions.device.get_or_insert(stat.id.dev) == stat.id.dev
    }

    /// What lies in the directory and is neither listed nor protected, in the order of deletion. ECANCELED if the session
    /// is at its end.
    fn extras(
        &mut self,
        list: &FileList,
        name: &[u8],
        path: RelPath<'_>,
    ) -> fs::Result<Vec<(RelPathBuf, bool)>> {
        let dir_name = match name {
            b"." | b"/." => &b""[..],
            name => name,
        };
        let mut lookup = list.lookup_in(dir_name);
        let mut extras = Vec::new();
        let dir = self.dir(path)?;
        if let Some(tree) = &self.place.tree {
            self.deletions.protection.enter(path, tree);
        }
        let mut listing = dir.list(&mut self.list_buf)?;
        while let Some(found) = listing.next() {
            if self.session.check().is_err() {
                return Err(Errno::CANCELED);
            }
            let found = found?;
            let Ok(found_name) = Name::new(found.name) else {
                continue;
            };
            let is_dir = match found.kind {
                Some(kind) => kind == FileKind::Directory,
                None => dir.stat(found_name).is_ok_and(|stat| stat.is_dir()),
            };
            if lookup.has(found.name, is_dir) {
                continue;
            }
            let mut extra = path.to_buf();
            extra.push(found_name);
            if !self
                .deletions
                .protection
                .protects(extra.as_path(), is_dir, false)
            {
                extras.push((extra, is_dir));
            }
        }
        // Reverse sort order: directories first (03-transfer 8.2).
        extras.sort_by(|a, b| {
            rsync_proto::flist::compare(
                b.0.as_path().as_bytes(),
                b.1,
                a.0.as_path().as_bytes(),
                a.1,
            )
        });
        Ok(extras)
    }

    /// Says what there is to say about the rule files that were read; one that cannot be used ends the run.
    fn hear_rules(&mut self) -> Result<(), Error> {
        for notice in self.deletions.protection.take_notices() {
            self.tell(TextKind::Warning, notice.as_bytes())?;
        }
        self.deletions.protection.take_fault().map_or(Ok(()), Err)
    }

    /// Whether the sender's I/O errors forbid deletions; says so once (03-transfer 8.3).
    pub(super) fn deletions_stopped(&mut self) -> Result<bool, Error> {
        if !self.session.trouble.forbids_deletion() || self.session.options.ignore_errors {
            return Ok(false);
        }
        if !std::mem::replace(&mut self.deletions.io_error_told, true) {
            self.tell(
                TextKind::Info,
                b"IO error encountered -- skipping file deletion",
            )?;
        }
        Ok(true)
    }

    /// A pass over all listed directories (`--delete-before`, `--delete-after`); the list is flat.
    pub(super) fn delete_pass(&mut self) -> Result<(), Error> {
        let Some(list) = self.first_list() else {
            return Ok(());
        };
        for entry in list.entries() {
            self.session.check()?;
            if !entry.is_dir() || entry.cleared() || entry.no_content() {
                continue;
            }
            let name = list.path(entry);
            let Ok(path) = self.rel(&name) else {
                continue;
            };
            let is_dir = matches!(self.look(path.as_path()), Ok(Some(stat)) if stat.is_dir());
            if is_dir
                && !self.skipped(path.as_path())
                && self.delete_in(&list, entry, &name, path.as_path())?
                && self.rules.keeps_time(entry)
                && !self.session.options.dry_run
            {
                self.open_dirs.changed_late(path.as_path(), time_of(entry));
            }
        }
        Ok(())
    }

    /// Carries out what `--delete-delay` found.
    pub(super) fn delete_delayed(&mut self) -> Result<(), Error> {
        for (path, _) in std::mem::take(&mut self.deletions.delayed) {
            self.session.check()?;
            self.delete_path(path.as_path())?;
        }
        Ok(())
    }

    fn delete_path(&mut self, path: RelPath<'_>) -> Result<(), Error> {
        let Ok((dir, name)) = self.parent(path) else {
            return Ok(());
        };
        self.reap(&dir, name, path, None)?;
        self.changed_parent(path);
        Ok(())
    }

    /// Deletes the path that a mode-0 entry names (03-transfer 8.5).
    pub(super) fn delete_named(&mut self, subject: &Subject<'_>) -> Result<(), Error> {
        let options = &self.session.options;
        let whole = options.force || options.delete != Delete::Off;
        let Ok((dir, name)) = self.parent(subject.path) else {
            return Ok(());
        };
        let Ok(Some(stat)) = dir.stat_opt(name) else {
            return Ok(());
        };
        if self.is_protected(subject.path) {
            return Ok(());
        }
        if stat.is_dir() && !whole && !self.is_empty(&dir, name) {
            return self.tell_not_empty(subject.name);
        }
        self.reap(&dir, name, subject.path, None)?;
        self.changed_parent(subject.path);
        Ok(())
    }

    /// Whether the rules keep a name that the sender asked to delete; rsync takes it for that of a file.
    fn is_protected(&mut self, path: RelPath<'_>) -> bool {
        let protection = &mut self.deletions.protection;
        if let (Some(tree), Some((parent, _))) = (&self.place.tree, path.split()) {
            protection.enter(parent, tree);
        }
        protection.protects(path, false, false)
    }

    /// Removes a directory that is in the way of something else; without `--force` or `--delete` only an
    /// empty one. True when it is gone.
    pub(super) fn remove_directory(
        &mut self,
        path: RelPath<'_>,
        name: &[u8],
    ) -> Result<bool, Error> {
        let options = &self.session.options;
        let whole = options.force || options.delete != Delete::Off;
        let Ok((dir, base)) = self.parent(path) else {
            return Ok(false);
        };
        if !whole && !self.is_empty(&dir, base) {
            self.tell_not_empty(name)?;
            return Ok(false);
        }
        self.reap(&dir, base, path, Some(path))
    }

    fn is_empty(&mut self, dir: &Dir, name: Name<'_>) -> bool {
        let Ok(dir) = dir.open_list(name) else {
            return false;
        };
        dir.list(&mut self.list_buf)
            .is_ok_and(|mut listing| listing.next().is_none())
    }

    fn forget(&mut self, path: RelPath<'_>) {
        if let Some(dirs) = &mut self.dirs {
            dirs.forget(path);
        }
    }

    fn reap(
        &mut self,
        dir: &Dir,
        name: Name<'_>,
        path: RelPath<'_>,
        silent_top: Option<RelPath<'_>>,
    ) -> Result<bool, Error> {
        self.forget(path);
        let mut reaper = Reaper {
            deletions: &mut self.deletions,
            silent_top,
            top: path,
            tree: self.place.tree.as_ref(),
            dry_run: self.session.options.dry_run,
            session: &self.session,
            modes: self.session.events.wants_deleted_modes(),
            out: &mut self.out,
            ended: None,
            reports: Vec::new(),
            failures: Vec::new(),
        };
        let options = RemoveOptions {
            one_file_system: self.session.options.one_file_system > 0,
            dry_run: self.session.options.dry_run,
        };
        let gone = fs::remove_tree(dir, name, path, options, &mut reaper);
        let (reports, failures, ended) = (reaper.reports, reaper.failures, reaper.ended);
        let mut told = self.hear_rules();
        // What is gone is in the log, whatever became of the connection.
        for (path, kind, mode) in reports {
            let reported = self.report(&path, kind, mode);
            told = told.and(reported);
        }
        told?;
        for (path, kind, errno) in failures {
            // What is mounted there stays, as `-x` asks.
            if errno == Errno::XDEV && options.one_file_system {
                continue;
            }
            if kind == FileKind::Directory && errno == Errno::NOTEMPTY {
                self.tell_not_empty(&path)?;
            } else if kind == FileKind::Directory && errno == Errno::ACCESS {
                self.fail(&super::failure("generator", "opendir", &path, errno))?;
                self.tell_not_empty(&path)?;
            } else {
                let op = if kind == FileKind::Directory {
                    "delete_file: rmdir"
                } else {
                    "delete_file: unlink"
                };
                self.fail(&super::failure("generator", op, &path, errno))?;
            }
        }
        if let Some(error) = ended {
            return Err(error);
        }
        match gone {
            Ok(gone) => Ok(gone),
            Err(Errno::NOENT) => Ok(true),
            Err(errno) => {
                self.fail(&super::failure(
                    "generator",
                    "delete_file: unlink",
                    path.as_bytes(),
                    errno,
                ))?;
                Ok(false)
            }
        }
    }

    fn tell_not_empty(&mut self, name: &[u8]) -> Result<(), Error> {
        self.tell(
            TextKind::Info,
            &[b"cannot delete non-empty directory: ", name].concat(),
        )
    }

    /// Counts and reports one deletion (03-transfer 8.4).
    fn report(&mut self, path: &[u8], kind: FileKind, mode: Option<u32>) -> Result<(), Error> {
        count(&mut self.stats.deleted, kind);
        let is_dir = kind == FileKind::Directory;
        self.session.events.event(Event::Deleted {
            name: path,
            is_dir,
            mode,
        });
        if self.session.client {
            return Ok(());
        }
        self.out.message(&Message::Deleted {
            name: PeerText(path),
            is_dir,
        })
    }

    /// The closing line about `--max-delete`.
    pub(super) fn report_delete_limit(&mut self) -> Result<(), Error> {
        let skipped = self.deletions.skipped;
        if skipped == 0 {
            return Ok(());
        }
        self.session.trouble.io_error(IO_DELETE_LIMIT);
        let text = format!("Deletions stopped due to --max-delete limit ({skipped} skipped)");
        self.tell(TextKind::Warning, text.as_bytes())
    }
}

fn count(stats: &mut DelStats, kind: FileKind) {
    let field = match kind {
        FileKind::Directory => &mut stats.dirs,
        FileKind::Symlink => &mut stats.symlinks,
        FileKind::CharDevice | FileKind::BlockDevice => &mut stats.devices,
        FileKind::Fifo | FileKind::Socket => &mut stats.specials,
        FileKind::Regular => &mut stats.files,
    };
    *field = field.saturating_add(1);
}
