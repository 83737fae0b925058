//! Symlinks, devices and other objects without data: made under their name, or beside it and renamed (03-transfer 3).

use rsync_proto::item::ItemFlags;

use crate::error::Error;
use crate::event::TextKind;
use crate::fs::{Attrs, Dir, Errno, Name, Node, Special, Stat};

use super::Failed;
use super::entry::Subject;
use super::generator::Generator;

impl Generator {
    pub(super) fn symlink(
        &mut self,
        subject: &Subject<'_>,
        found: Option<Stat>,
    ) -> Result<(), Error> {
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
                return self.keep(subject, &stat, differing);
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

    pub(super) fn special(
        &mut self,
        subject: &Subject<'_>,
        found: Option<Stat>,
    ) -> Result<(), Error> {
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
            return self.keep(subject, &stat, differing);
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

    /// Removes what cannot be replaced by a rename: a directory (03-transfer 8.3). False when it stays.
    pub(super) fn make_way(
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
    /// attributes before it is seen. Attributes that cannot be set are the inner error.
    pub(super) fn create(
        &mut self,
        subject: &Subject<'_>,
        found: Option<&Stat>,
        make: impl FnOnce(&Dir, Name<'_>, bool) -> Result<Made, Errno>,
    ) -> Result<Result<(), Failed>, Errno> {
        if self.session.options.dry_run {
            return Ok(Ok(()));
        }
        let mut set = Ok(());
        let attrs: Attrs = self.rules.for_new(subject.entry, None);
        let (dir, name) = self.parent(subject.path)?;
        let replace = found.is_some_and(|stat| !stat.is_dir());
        if let Some((node, publish)) = make(&dir, name, replace)? {
            let now = node.stat()?;
            set = super::first_error(node.set_attrs(&attrs, &now));
            if let Some(publish) = publish {
                publish(&dir, name)?;
            }
        }
        self.changed_parent(subject.path);
        Ok(set)
    }

    /// Reports what [`Generator::create`] did. `same_type` is the object of the same type that it replaced.
    pub(super) fn created(
        &mut self,
        subject: &Subject<'_>,
        same_type: Option<&Stat>,
        op: &'static str,
        made: Result<Result<(), Failed>, Errno>,
    ) -> Result<(), Error> {
        let set = match made {
            Ok(set) => set,
            Err(errno) => {
                return self.fail(&super::failure("generator", op, subject.name, errno));
            }
        };
        let complete = self.attributes_set(set, subject.name)?;
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
        self.in_place(subject, complete)
    }
}

type Publish = Box<dyn FnOnce(&Dir, Name<'_>) -> Result<(), Errno>>;

/// A new object and, if it has a temporary name, how to move it to its own.
type Made = Option<(Node, Option<Publish>)>;
