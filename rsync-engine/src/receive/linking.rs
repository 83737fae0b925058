//! The members of a hard-link group at the receiver: which one is asked for, and what becomes of the others (03-transfer 3.4).

use rsync_proto::item::ItemFlags;

use crate::error::Error;
use crate::fs::{RelPath, RelPathBuf, Stat};

use super::entry::{Subject, same_type};
use super::generator::Generator;

impl Generator {
    /// Makes a further name of a file that is in place (03-transfer 3.4).
    pub(super) fn link(
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
    pub(super) fn group_ready(
        &mut self,
        group: i64,
        path: RelPathBuf,
        name: Vec<u8>,
    ) -> Result<(), Error> {
        for ndx in self.links.ready(group, path, name) {
            self.waited(ndx, false)?;
        }
        self.account()
    }

    /// If no member of a group is in place or on its way and none behind `ndx` is known, those that waited try it.
    pub(super) fn inherit(&mut self, group: i64, ndx: i32) -> Result<(), Error> {
        while let Some(heir) = self.links.heir(group, ndx) {
            self.waited(heir, true)?;
        }
        Ok(())
    }

    pub(super) fn waited(&mut self, ndx: i32, lead: bool) -> Result<(), Error> {
        if let Some((list, at)) = self.locate(ndx) {
            let entry = list.entries()[at];
            self.one_entry(&list, at, &entry, lead)?;
        }
        self.close(ndx);
        Ok(())
    }

    pub(super) fn leader_path(&self, ndx: i32) -> Result<Option<(RelPathBuf, Vec<u8>)>, Error> {
        let Some((list, at)) = self.locate(ndx) else {
            return Ok(None);
        };
        let name = list.path(&list.entries()[at]);
        Ok(self.rel(&name).ok().map(|path| (path, name)))
    }
}
