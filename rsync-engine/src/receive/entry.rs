//! What one entry needs: the tests of 03-transfer 3 in their order.

use std::sync::Arc;

use rsync_proto::item::ItemFlags;

use crate::error::Error;
use crate::event::TextKind;
use crate::fs::{Errno, RelPath, Stat};
use crate::list::{FileEntry, FileList};

use super::Failed;
use super::channel::Basis;
use super::generator::Generator;
use super::hardlink::Step;

/// An entry being handled.
pub(super) struct Subject<'a> {
    pub(super) list: &'a Arc<FileList>,
    pub(super) at: usize,
    pub(super) entry: &'a FileEntry,
    pub(super) ndx: i32,
    /// As reports show it.
    pub(super) name: &'a [u8],
    /// Below the place.
    pub(super) path: RelPath<'a>,
}

impl Generator {
    /// Handles the entry at a position of a list.
    pub(super) fn entry(&mut self, list: &Arc<FileList>, at: usize) -> Result<(), Error> {
        let entry = list.entries()[at];
        if entry.cleared() || (entry.is_dir() && self.inc_recurse()) {
            // With incremental recursion a directory is handled when its own list begins.
            return Ok(());
        }
        self.one_entry(list, at, &entry, false)?;
        match list.group(&entry) {
            Some(group) if self.session.options.hard_links => self.inherit(group, list.ndx(at)),
            _ => Ok(()),
        }
    }

    /// `lead`: of a hard-link group no better member is to be waited for.
    pub(super) fn one_entry(
        &mut self,
        list: &Arc<FileList>,
        at: usize,
        entry: &FileEntry,
        lead: bool,
    ) -> Result<(), Error> {
        let mut name = std::mem::take(&mut self.scratch);
        list.path_into(entry, &mut name);
        let done = self.named_entry(list, at, entry, &name, lead);
        self.scratch = name;
        done
    }

    fn named_entry(
        &mut self,
        list: &Arc<FileList>,
        at: usize,
        entry: &FileEntry,
        name: &[u8],
        lead: bool,
    ) -> Result<(), Error> {
        let path = match self.rel(name) {
            Ok(path) => path,
            Err(errno) => return self.fail_stat(name, errno),
        };
        let path = path.as_path();
        let ndx = list.ndx(at);
        if entry.is_dir() {
            return self.directory(list, entry, name, path, ndx);
        }
        if self.skipped(path) {
            return Ok(());
        }
        if self.deletions.refuses(path, false) {
            return self.tell_refused("file", name);
        }
        let subject = Subject {
            list,
            at,
            entry,
            ndx,
            name,
            path,
        };
        if entry.mode == 0 {
            return self.delete_named(&subject);
        }
        let found = match self.make_parents(path).and_then(|()| self.look(path)) {
            Ok(found) => found,
            Err(_) if self.size_excludes(entry) => return Ok(()),
            Err(errno) => return self.fail_stat(name, errno),
        };
        let options = &self.session.options;
        if (options.existing && found.is_none()) || (options.ignore_existing && found.is_some()) {
            return Ok(());
        }
        if let Some(group) = list.group(entry)
            && self.session.options.hard_links
        {
            // What needs no data is made at once.
            let ready = lead || !entry.is_file() || found.is_some_and(|stat| stat.is_file());
            match self.links.step(group, ndx, !ready) {
                Step::Lead => {}
                Step::Wait => {
                    self.open(ndx);
                    // The directory may be left by the time the link is made.
                    self.changed_parent(path);
                    return Ok(());
                }
                Step::LinkTo {
                    path: leader,
                    name: leader_name,
                } => {
                    return self.link(&subject, found.as_ref(), leader.as_path(), &leader_name);
                }
            }
        }
        self.by_type(&subject, found)
    }

    fn by_type(&mut self, subject: &Subject<'_>, found: Option<Stat>) -> Result<(), Error> {
        let options = &self.session.options;
        let entry = subject.entry;
        if entry.is_symlink() && subject.list.link_target(entry).is_some() {
            self.symlink(subject, found)
        } else if (entry.is_device() && options.devices && self.root)
            || (entry.is_special() && options.specials)
        {
            self.special(subject, found)
        } else if entry.is_file() {
            self.regular(subject, found)
        } else {
            let text = [b"skipping non-regular file \"", subject.name, b"\""].concat();
            self.tell(TextKind::Info, &text)
        }
    }

    fn regular(&mut self, subject: &Subject<'_>, found: Option<Stat>) -> Result<(), Error> {
        let (entry, options) = (subject.entry, &self.session.options);
        if self.size_excludes(entry) {
            return Ok(());
        }
        let Some(stat) = found.filter(Stat::is_file) else {
            if !self.make_way(subject, found, "regular file")? {
                return Ok(());
            }
            return self.request(
                subject,
                ItemFlags::IS_NEW | ItemFlags::TRANSFER,
                None,
                false,
            );
        };
        if options.update && stat.mtime.secs > entry.mtime {
            return Ok(());
        }
        let differing = self.rules.differing(entry, &stat);
        if self.unchanged(subject, &stat)? {
            return self.keep(subject, &stat, differing);
        }
        let mut flags = differing | ItemFlags::TRANSFER;
        if stat.size != entry.size {
            flags |= ItemFlags::REPORT_SIZE;
        }
        if self.session.options.checksum {
            flags |= ItemFlags::REPORT_CHANGE;
        }
        if !self.rules.keeps_time(entry) {
            // The time will be that of the transfer.
            flags |= ItemFlags::REPORT_TIME;
        }
        self.request(subject, flags, Some(&stat), false)
    }

    /// Whether `--max-size` or `--min-size` keeps a regular file out.
    fn size_excludes(&self, entry: &FileEntry) -> bool {
        let options = &self.session.options;
        entry.is_file()
            && (options.max_size.is_some_and(|max| entry.size > max)
                || options.min_size.is_some_and(|min| entry.size < min))
    }

    /// The quick check (03-transfer 3).
    fn unchanged(&mut self, subject: &Subject<'_>, stat: &Stat) -> Result<bool, Error> {
        let options = &self.session.options;
        if stat.size != subject.entry.size {
            return Ok(false);
        }
        if options.checksum {
            let Some(listed) = subject.list.checksum(subject.entry) else {
                return Ok(false);
            };
            let Ok((dir, name)) = self.parent(subject.path) else {
                return Ok(false);
            };
            let (session, out) = (&self.session, &mut self.out);
            let go_on = || session.check().and_then(|()| out.tick());
            let own = super::digest_of(&dir, name, self.list_checksum, go_on)?;
            return Ok(own.is_ok_and(|own| own.as_ref() == listed));
        }
        if options.size_only {
            return Ok(true);
        }
        Ok(!options.ignore_times && self.rules.same_time(subject.entry, stat))
    }

    /// An entry is at its place: hard links may use it. `complete`: it needs nothing more, and the sender may know.
    pub(super) fn in_place(&mut self, subject: &Subject<'_>, complete: bool) -> Result<(), Error> {
        if complete {
            self.acknowledge(subject.ndx)?;
        }
        match subject.list.group(subject.entry) {
            Some(group) if self.session.options.hard_links => {
                self.group_ready(group, subject.path.to_buf(), subject.name.to_vec())
            }
            _ => Ok(()),
        }
    }

    /// An object stays as it is but for what differs of its attributes.
    pub(super) fn keep(
        &mut self,
        subject: &Subject<'_>,
        stat: &Stat,
        differing: ItemFlags,
    ) -> Result<(), Error> {
        let complete = self.set_existing(subject, stat, differing)?;
        self.item(
            subject.ndx,
            differing,
            None,
            subject.list,
            subject.entry,
            subject.name,
        )?;
        self.in_place(subject, complete)
    }

    /// Sets what differs on an existing object that stays. False when that failed and was reported.
    fn set_existing(
        &mut self,
        subject: &Subject<'_>,
        stat: &Stat,
        differing: ItemFlags,
    ) -> Result<bool, Error> {
        if differing == ItemFlags::default() || self.session.options.dry_run {
            return Ok(true);
        }
        let attrs = self.rules.for_existing(subject.entry, stat, differing);
        let node = self
            .parent(subject.path)
            .and_then(|(dir, name)| dir.open_node(name));
        let set = node
            .map_err(super::cannot_open)
            .and_then(|node| super::first_error(node.set_attrs(&attrs, stat)));
        self.attributes_set(set, subject.name)
    }

    /// Reports attributes that could not be set; the entry stays. True if all were.
    pub(super) fn attributes_set(
        &mut self,
        set: Result<(), Failed>,
        name: &[u8],
    ) -> Result<bool, Error> {
        match set {
            Ok(()) => Ok(true),
            Err((op, errno)) => {
                self.fail(&super::failure("generator", op, name, errno))?;
                Ok(false)
            }
        }
    }

    /// Asks for the file's data.
    fn request(
        &mut self,
        subject: &Subject<'_>,
        flags: ItemFlags,
        stat: Option<&Stat>,
        redo: bool,
    ) -> Result<(), Error> {
        if self.flow.requests_over {
            // Only a hard link whose leader could not be sent comes this late, and that was reported.
            return Ok(());
        }
        if let Some(group) = subject.list.group(subject.entry)
            && self.session.options.hard_links
            && !redo
        {
            self.links.requested(group, subject.ndx);
        }
        if !self.session.options.dry_run {
            self.changed_parent(subject.path);
        }
        if !redo {
            self.open(subject.ndx);
        }
        self.write_request(subject, flags, stat, redo)
    }

    /// Asks once more for a file that arrived damaged (03-transfer 1.6).
    pub(super) fn redo(&mut self, ndx: i32) -> Result<(), Error> {
        let Some((list, at)) = self.locate(ndx) else {
            return Ok(());
        };
        let entry = list.entries()[at];
        let name = list.path(&entry);
        let Ok(path) = self.rel(&name) else {
            return Ok(());
        };
        let subject = Subject {
            list: &list,
            at,
            entry: &entry,
            ndx,
            name: &name,
            path: path.as_path(),
        };
        let stat = self.look(subject.path).ok().flatten().filter(Stat::is_file);
        let mut flags = ItemFlags::TRANSFER;
        if stat.is_none() {
            flags |= ItemFlags::IS_NEW;
        }
        self.request(&subject, flags, stat.as_ref(), true)
    }

    pub(super) fn fail_stat(&mut self, name: &[u8], errno: Errno) -> Result<(), Error> {
        let op = "recv_generator: failed to stat";
        self.fail(&super::failure("generator", op, name, errno))
    }

    /// `kind`: file or directory.
    pub(super) fn tell_refused(&mut self, kind: &str, name: &[u8]) -> Result<(), Error> {
        self.session.trouble.note_partial();
        let text = format!("ERROR: daemon refused to receive {kind} \"");
        let text = [text.as_bytes(), name, b"\""].concat();
        self.tell(TextKind::ErrorXfer, &text)
    }

    /// The basis that a request names.
    pub(super) fn basis_of(&self, stat: Option<&Stat>) -> Basis {
        let whole = self.session.options.whole_file.unwrap_or(false)
            || self.checksum == rsync_delta::Checksum::None;
        match stat {
            Some(stat) if !whole && stat.size > 0 => Basis::Destination,
            _ => Basis::None,
        }
    }
}

pub(super) fn same_type(entry: &FileEntry, stat: &Stat) -> bool {
    (stat.mode ^ entry.mode) & 0o170_000 == 0
}
