//! What differs between an entry and what lies at the destination, and what to set (03-transfer 3, 7.3, 7.4).

use rsync_proto::item::ItemFlags;

use crate::fs::{Attrs, Stat, Timestamp};
use crate::list::FileEntry;
use crate::options::TransferOptions;

use super::lists::KEEP_ID;

/// The rules of one session.
#[derive(Debug, Clone)]
pub(super) struct AttributeRules {
    perms: bool,
    executability: bool,
    owner: bool,
    group: bool,
    times: bool,
    dir_times: bool,
    link_times: bool,
    window: i32,
    umask: u32,
}

impl AttributeRules {
    /// `root`: we may set owners. `umask`: of this session's thread.
    pub(super) fn new(options: &TransferOptions, root: bool, umask: u32) -> Self {
        Self {
            perms: options.perms,
            executability: options.executability,
            owner: options.owner && root,
            group: options.group,
            times: options.times,
            dir_times: options.times && !options.omit_dir_times,
            link_times: options.times && !options.omit_link_times,
            window: options.modify_window.unwrap_or(0),
            umask,
        }
    }

    /// Whether times of this kind of entry are kept.
    pub(super) fn keeps_time(&self, entry: &FileEntry) -> bool {
        if entry.is_dir() {
            self.dir_times
        } else if entry.is_symlink() {
            self.link_times
        } else {
            self.times
        }
    }

    /// The quick check's comparison of times (03-transfer 3).
    pub(super) fn same_time(&self, entry: &FileEntry, stat: &Stat) -> bool {
        let (a, b) = (entry.mtime, stat.mtime.secs);
        match self.window {
            0 => a == b,
            window if window > 0 => a.abs_diff(b) <= u64::from(window.unsigned_abs()),
            _ => a == b && entry.mtime_nsec == stat.mtime.nsec,
        }
    }

    /// The report bits for an existing object that stays.
    pub(super) fn differing(&self, entry: &FileEntry, stat: &Stat) -> ItemFlags {
        let mut flags = ItemFlags::default();
        if self.keeps_time(entry) && !self.same_time(entry, stat) {
            flags |= ItemFlags::REPORT_TIME;
        }
        if self
            .mode_for(entry, Some(stat))
            .is_some_and(|mode| mode != stat.permissions())
        {
            flags |= ItemFlags::REPORT_PERMS;
        }
        if self.owner && entry.uid != KEEP_ID && entry.uid != stat.uid {
            flags |= ItemFlags::REPORT_OWNER;
        }
        if self.group && entry.gid != KEEP_ID && entry.gid != stat.gid {
            flags |= ItemFlags::REPORT_GROUP;
        }
        flags
    }

    /// The permission bits an entry shall have; `None` leaves them. `stat` is what was there before, if
    /// anything was.
    pub(super) fn mode_for(&self, entry: &FileEntry, stat: Option<&Stat>) -> Option<u32> {
        if entry.is_symlink() {
            return None;
        }
        let listed = entry.mode & 0o7777;
        if self.perms {
            return Some(listed);
        }
        match stat {
            None => Some(listed & 0o777 & !self.umask),
            Some(stat) if self.executability && entry.is_file() => {
                let now = stat.permissions();
                let wanted = listed & 0o111 != 0;
                Some(match (wanted, now & 0o111 != 0) {
                    (false, true) => now & !0o111,
                    (true, false) => now | (now & 0o444) >> 2,
                    _ => now,
                })
            }
            Some(_) => None,
        }
    }

    /// Everything to set on an object that was just made. `before` is what it replaces: without `-p` a
    /// replaced file keeps its mode.
    pub(super) fn for_new(&self, entry: &FileEntry, before: Option<&Stat>) -> Attrs {
        Attrs {
            uid: (self.owner && entry.uid != KEEP_ID).then_some(entry.uid),
            gid: (self.group && entry.gid != KEEP_ID).then_some(entry.gid),
            mode: self
                .mode_for(entry, before)
                .or_else(|| before.map(Stat::permissions)),
            mtime: self.keeps_time(entry).then(|| time_of(entry)),
            atime: None,
        }
    }

    /// What to set on an existing object that stays, given what differs.
    pub(super) fn for_existing(
        &self,
        entry: &FileEntry,
        stat: &Stat,
        differing: ItemFlags,
    ) -> Attrs {
        Attrs {
            uid: differing
                .contains(ItemFlags::REPORT_OWNER)
                .then_some(entry.uid),
            gid: differing
                .contains(ItemFlags::REPORT_GROUP)
                .then_some(entry.gid),
            mode: differing
                .contains(ItemFlags::REPORT_PERMS)
                .then(|| self.mode_for(entry, Some(stat)))
                .flatten(),
            mtime: differing
                .contains(ItemFlags::REPORT_TIME)
                .then(|| time_of(entry)),
            atime: None,
        }
    }
}

/// The listed modification time.
pub(super) fn time_of(entry: &FileEntry) -> Timestamp {
    Timestamp {
        secs: entry.mtime,
        nsec: entry.mtime_nsec,
    }
}
