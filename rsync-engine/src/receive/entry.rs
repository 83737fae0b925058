//! What one entry needs: the tests of 03-transfer 3 in their order.

use std::sync::Arc;

use rsync_proto::item::ItemFlags;

use crate::error::Error;
use crate::event::TextKind;
use crate::fs::{Attrs, Dir, Errno, Links, Name, RelPath, RelPathBuf, Special, Stat};
use crate::list::{FileEntry, FileList};

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
    fn one_entry(
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
            if !self.set_existing(subject, &stat, differing)? {
                return Ok(());
            }
            self.item(
                subject.ndx,
                differing,
                None,
                subject.list,
                entry,
                subject.name,
            )?;
            return self.in_place(subject);
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
            let own = self.parent(subject.path).and_then(|(dir, name)| {
                let (cancel, out) = (&self.session.cancel, &mut self.out);
                // A connection that fails here fails again at the next write.
                let go_on = || !cancel.is_cancelled() && out.tick().is_ok();
                super::digest_of(&dir, name, self.list_checksum, go_on)
            });
            return Ok(own.is_ok_and(|own| own.as_ref() == listed));
        }
        if options.size_only {
            return Ok(true);
        }
        Ok(!options.ignore_times && self.rules.same_time(subject.entry, stat))
    }

    fn symlink(&mut self, subject: &Subject<'_>, found: Option<Stat>) -> Result<(), Error> {
        let target = subject.list.link_target(subject.entry).unwrap_or_default();
        let target = self.link_targets.stored(target, subject.path.as_bytes());
        let target = &*target;
        let present = found.filter(Stat::is_symlink);
        if let Some(stat) = present {
            let same = self
                .parent(subject.path)
                .and_then(|(dir, name)| dir.read_link(name))
                .is_ok_and(|present| present == target);
            if same {
                let differing = self.rules.differing(subject.entry, &stat);
                if !self.set_existing(subject, &stat, differing)? {
                    return Ok(());
                }
                self.item(
                    subject.ndx,
                    differing,
                    None,
                    subject.list,
                    subject.entry,
                    subject.name,
                )?;
                return self.in_place(subject);
            }
        }
        if !self.make_way(subject, found, "symlink")? {
            return Ok(());
        }
        let made = self.create(subject, found.as_ref(), |dir, name, replace| {
            if replace {
                let staged = dir.stage_symlink(name, target)?;
                return Ok(Some((
                    staged.node()?,
                    Some(Box::new(move |dir: &Dir, name: Name<'_>| {
                        staged.publish(dir, name)
                    })),
                )));
            }
            dir.symlink(name, target)?;
            Ok(Some((dir.open_node(name)?, None)))
        });
        self.created(subject, present.as_ref(), "symlink", made)
    }

    fn special(&mut self, subject: &Subject<'_>, found: Option<Stat>) -> Result<(), Error> {
        let entry = subject.entry;
        let (major, minor) = subject.list.rdev(entry).unwrap_or((0, 0));
        let wanted = match entry.mode & 0o170_000 {
            0o020_000 => Special::Char { major, minor },
            0o060_000 => Special::Block { major, minor },
            0o010_000 => Special::Fifo,
            _ => Special::Socket,
        };
        let present = found.filter(|stat| {
            stat.mode & 0o170_000 == entry.mode & 0o170_000
                && (entry.is_special() || stat.rdev == (major, minor))
        });
        if let Some(stat) = present {
            let differing = self.rules.differing(entry, &stat);
            if !self.set_existing(subject, &stat, differing)? {
                return Ok(());
            }
            self.item(
                subject.ndx,
                differing,
                None,
                subject.list,
                entry,
                subject.name,
            )?;
            return self.in_place(subject);
        }
        let kind = if entry.is_device() {
            "device file"
        } else {
            "special file"
        };
        if !self.make_way(subject, found, kind)? {
            return Ok(());
        }
        let mode = entry.mode & 0o7777;
        let made = self.create(subject, found.as_ref(), |dir, name, replace| {
            if replace {
                let staged = dir.stage_special(name, wanted, mode)?;
                return Ok(Some((
                    staged.node()?,
                    Some(Box::new(move |dir: &Dir, name: Name<'_>| {
                        staged.publish(dir, name)
                    })),
                )));
            }
            dir.mknod(name, wanted, mode)?;
            Ok(Some((dir.open_node(name)?, None)))
        });
        self.created(subject, None, "mknod", made)
    }

    /// Makes a further name of a file that is in place (03-transfer 3.4).
    fn link(
        &mut self,
        subject: &Subject<'_>,
        found: Option<&Stat>,
        leader: RelPath<'_>,
        leader_name: &[u8],
    ) -> Result<(), Error> {
        let mut flags = ItemFlags::LOCAL_CHANGE | ItemFlags::XNAME_FOLLOWS;
        match found.filter(|stat| same_type(subject.entry, stat)) {
            Some(stat) => {
                flags |= self.rules.differing(subject.entry, stat);
                if stat.is_file() && stat.size != subject.entry.size {
                    flags |= ItemFlags::REPORT_SIZE;
                }
            }
            None => flags |= ItemFlags::IS_NEW,
        }
        let leader_stat = self.look(leader).ok().flatten();
        if let (Some(stat), Some(leader)) = (found, leader_stat)
            && stat.id == leader.id
        {
            // An empty name says that they are one already.
            self.item(
                subject.ndx,
                flags,
                Some(b""),
                subject.list,
                subject.entry,
                subject.name,
            )?;
            return self.acknowledge(subject.ndx);
        }
        if !flags.contains(ItemFlags::IS_NEW) && !self.rules.keeps_time(subject.entry) {
            // The time will be that of the leader.
            flags |= ItemFlags::REPORT_TIME;
        }
        if !self.session.options.dry_run {
            if !self.make_way(subject, found.copied(), "hard link")? {
                return Ok(());
            }
            let made = self.parent(leader).and_then(|(from_dir, from)| {
                let (dir, name) = self.parent(subject.path)?;
                if found.is_none_or(Stat::is_dir) {
                    return from_dir.link(from, &dir, name);
                }
                dir.stage_link(name, &from_dir, from)?.publish(&dir, name)
            });
            if let Err(errno) = made {
                return self.fail(&super::failure("generator", "link", subject.name, errno));
            }
            self.changed_parent(subject.path);
        }
        self.item(
            subject.ndx,
            flags,
            Some(leader_name),
            subject.list,
            subject.entry,
            subject.name,
        )?;
        self.acknowledge(subject.ndx)
    }

    /// The request that a hard-link group waited for is settled.
    pub(super) fn leader_settled(
        &mut self,
        group: i64,
        ndx: i32,
        in_place: bool,
    ) -> Result<(), Error> {
        // The leader's list is held until its last request is settled, and this call precedes that.
        if in_place && let Some((path, name)) = self.leader_path(ndx)? {
            return self.group_ready(group, path, name);
        }
        self.links.failed(group);
        self.inherit(group, i32::MAX)
    }

    /// A member of a group is in place: the others are linked to it.
    fn group_ready(&mut self, group: i64, path: RelPathBuf, name: Vec<u8>) -> Result<(), Error> {
        for ndx in self.links.ready(group, path, name) {
            self.waited(ndx, false)?;
        }
        Ok(())
    }

    /// If no member of a group is in place or on its way and none behind `ndx` is known, those that waited try it.
    fn inherit(&mut self, group: i64, ndx: i32) -> Result<(), Error> {
        while let Some(heir) = self.links.heir(group, ndx) {
            self.waited(heir, true)?;
        }
        Ok(())
    }

    fn waited(&mut self, ndx: i32, lead: bool) -> Result<(), Error> {
        if let Some((list, at)) = self.locate(ndx) {
            let entry = list.entries()[at];
            self.one_entry(&list, at, &entry, lead)?;
        }
        self.close(ndx);
        Ok(())
    }

    fn leader_path(&self, ndx: i32) -> Result<Option<(RelPathBuf, Vec<u8>)>, Error> {
        let Some((list, at)) = self.locate(ndx) else {
            return Ok(None);
        };
        let name = list.path(&list.entries()[at]);
        Ok(self.rel(&name).ok().map(|path| (path, name)))
    }

    /// An entry needs nothing more: hard links may use it, the sender may be told.
    fn in_place(&mut self, subject: &Subject<'_>) -> Result<(), Error> {
        if let Some(group) = subject.list.group(subject.entry)
            && self.session.options.hard_links
        {
            let (path, name) = (subject.path.to_buf(), subject.name.to_vec());
            self.acknowledge(subject.ndx)?;
            return self.group_ready(group, path, name);
        }
        self.acknowledge(subject.ndx)
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
        let set = self.parent(subject.path).and_then(|(dir, name)| {
            super::first_error(dir.open_node(name)?.set_attrs(&attrs, stat))
        });
        match set {
            Ok(()) => Ok(true),
            Err(errno) => {
                self.fail(&super::failure(
                    "generator",
                    "failed to set attributes on",
                    subject.name,
                    errno,
                ))?;
                Ok(false)
            }
        }
    }

    /// Removes what cannot be replaced by a rename: a directory (03-transfer 8.3). False when it stays.
    fn make_way(
        &mut self,
        subject: &Subject<'_>,
        found: Option<Stat>,
        kind: &str,
    ) -> Result<bool, Error> {
        if !found.is_some_and(|stat| stat.is_dir()) {
            return Ok(true);
        }
        if self.remove_directory(subject.path, subject.name)? {
            self.changed_parent(subject.path);
            return Ok(true);
        }
        self.session.trouble.note_partial();
        let text = [
            format!("could not make way for new {kind}: ").as_bytes(),
            subject.name,
        ]
        .concat();
        self.tell(TextKind::ErrorXfer, &text)?;
        Ok(false)
    }

    /// Makes a link or node, under a temporary name when something else is in its place, and sets its
    /// attributes before it is seen.
    fn create(
        &mut self,
        subject: &Subject<'_>,
        found: Option<&Stat>,
        make: impl FnOnce(&Dir, Name<'_>, bool) -> Result<Made, Errno>,
    ) -> Result<(), Errno> {
        if self.session.options.dry_run {
            return Ok(());
        }
        let attrs: Attrs = self.rules.for_new(subject.entry, None);
        let (dir, name) = self.parent(subject.path)?;
        let replace = found.is_some_and(|stat| !stat.is_dir());
        if let Some((node, publish)) = make(&dir, name, replace)? {
            let now = node.stat()?;
            super::first_error(node.set_attrs(&attrs, &now))?;
            if let Some(publish) = publish {
                publish(&dir, name)?;
            }
        }
        self.changed_parent(subject.path);
        Ok(())
    }

    /// Reports what [`Generator::create`] did. `same_type` is the object of the same type that it replaced.
    fn created(
        &mut self,
        subject: &Subject<'_>,
        same_type: Option<&Stat>,
        op: &'static str,
        made: Result<(), Errno>,
    ) -> Result<(), Error> {
        if let Err(errno) = made {
            return self.fail(&super::failure("generator", op, subject.name, errno));
        }
        let mut flags = ItemFlags::LOCAL_CHANGE | ItemFlags::REPORT_CHANGE;
        match same_type {
            Some(stat) => {
                flags |= self.rules.differing(subject.entry, stat);
                if !self.rules.keeps_time(subject.entry) {
                    flags |= ItemFlags::REPORT_TIME;
                }
            }
            None => flags |= ItemFlags::IS_NEW,
        }
        self.item(
            subject.ndx,
            flags,
            None,
            subject.list,
            subject.entry,
            subject.name,
        )?;
        self.in_place(subject)
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

    /// With `-R` and without the attributes of parents, those that are missing are made (03-transfer 3, 4.).
    pub(super) fn make_parents(&mut self, path: RelPath<'_>) -> Result<(), Errno> {
        let options = &self.session.options;
        if !options.relative || options.implied_dirs || options.dry_run {
            return Ok(());
        }
        let Some((parent, _)) = path.split() else {
            return Ok(());
        };
        match (self.dir(parent), &self.place.tree) {
            (Err(Errno::NOENT), Some(tree)) => {
                tree.make_dirs(parent, Links::Beneath, 0o777).map(|_| ())
            }
            (found, _) => found.map(|_| ()),
        }
    }

    /// What lies at a path; `None` for nothing.
    pub(super) fn look(&mut self, path: RelPath<'_>) -> Result<Option<Stat>, Errno> {
        let Some(tree) = &self.place.tree else {
            return Ok(None);
        };
        let Some((parent, name)) = path.split() else {
            return tree.root().self_stat().map(Some);
        };
        match self.dir(parent) {
            Ok(dir) => dir.stat_opt(name),
            Err(Errno::NOENT) => Ok(None),
            // A dry run did not replace what is in the way.
            Err(Errno::NOTDIR | Errno::LOOP)
                if self.session.options.dry_run && !self.session.options.ignore_existing =>
            {
                Ok(None)
            }
            Err(errno) => Err(errno),
        }
    }

    /// The held parent directory and the last name.
    pub(super) fn parent<'p>(&mut self, path: RelPath<'p>) -> Result<(Dir, Name<'p>), Errno> {
        let (parent, name) = path.split().ok_or(Errno::INVAL)?;
        Ok((self.dir(parent)?, name))
    }

    pub(super) fn changed_parent(&mut self, path: RelPath<'_>) {
        if let Some((parent, _)) = path.split() {
            self.open_dirs.changed(parent);
        }
    }

    /// Whether the entry lies below a directory that could not be made.
    pub(super) fn skipped(&self, path: RelPath<'_>) -> bool {
        self.skip_below
            .as_ref()
            .is_some_and(|top| path.is_within(top.as_path()))
    }

    /// The path below the place for a name of the list.
    pub(super) fn rel(&self, name: &[u8]) -> Result<RelPathBuf, Errno> {
        super::place_path(&self.place, name)
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

fn same_type(entry: &FileEntry, stat: &Stat) -> bool {
    (stat.mode ^ entry.mode) & 0o170_000 == 0
}

type Publish = Box<dyn FnOnce(&Dir, Name<'_>) -> Result<(), Errno>>;

/// A new object and, if it has a temporary name, how to move it to its own.
type Made = Option<(crate::fs::Node, Option<Publish>)>;
