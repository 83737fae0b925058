//! One object of the source as an entry of a list (02-file-list 5), and what is said when it cannot be one.

use std::collections::HashSet;

use rsync_proto::flist::{Entry, HardLink, IdList};

use crate::error::Error;
use crate::event::{FileFailure, TextKind};
use crate::fs::{Dir, Errno, Name, RelPath, Stat};
use crate::list::FileList;
use crate::outcome::IO_GENERAL;
use crate::wire_out::WireOut;

use super::{FLUSH_AT, ListWriter, relative};

impl ListWriter {
    pub(super) fn id_lists(&mut self, list: &FileList, out: &mut WireOut) -> Result<(), Error> {
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

    /// An entry that tells the receiver to delete the name.
    pub(super) fn missing(
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

    /// Adds an entry for a path of a root.
    pub(super) fn entry(
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
            Err(errno) => self.problem("link_stat", &self.shown(root, name), errno, out),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what an entry is made of")]
    pub(super) fn entry_in(
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
                Err(errno @ Errno::NOENT) => {
                    return self.vanished("readlink", &self.shown(root, name), errno, out);
                }
                Err(errno) => {
                    return self.problem("readlink", &self.shown(root, name), errno, out);
                }
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
            let go_on = || self.session.check().and_then(|()| out.tick());
            digest = crate::receive::digest_of(dir, base, self.list_checksum, go_on)?.ok();
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
    pub(super) fn put_stat(
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

    pub(super) fn hard_link(&mut self, stat: &Stat) -> HardLink {
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

    pub(super) fn put(
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
            return self.problem(
                "link_stat",
                &self.shown(root, entry.name),
                Errno::NAMETOOLONG,
                out,
            );
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
    pub(super) fn problem(
        &mut self,
        op: &'static str,
        name: &[u8],
        errno: Errno,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        self.session.trouble.io_error(IO_GENERAL);
        self.absent(op, name, errno, out)
    }

    /// An entry that is not there: reported.
    pub(super) fn absent(
        &mut self,
        op: &'static str,
        name: &[u8],
        errno: Errno,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        self.report(op, name, errno, false, out)
    }

    pub(super) fn listing_problem(
        &mut self,
        op: &'static str,
        root: u16,
        name: &[u8],
        errno: Errno,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let mut shown = self.shown(root, name);
        if name == b"." && !shown.is_empty() {
            // rsync stands in the directory and opens ".".
            shown.extend_from_slice(b"/.");
        }
        // A source that is gone as a whole is no reason to empty its copy.
        if errno == Errno::NOENT && name != b"." {
            self.vanished(op, &shown, errno, out)
        } else {
            self.problem(op, &shown, errno, out)
        }
    }

    /// An entry that was there a moment ago: reported.
    pub(super) fn vanished(
        &mut self,
        op: &'static str,
        name: &[u8],
        errno: Errno,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        self.report(op, name, errno, true, out)
    }

    fn report(
        &mut self,
        op: &'static str,
        name: &[u8],
        errno: Errno,
        vanished: bool,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let failure = FileFailure {
            role: "sender",
            op,
            name: name.to_vec(),
            source: Some(errno.into()),
            vanished,
        };
        crate::send::report(&self.session, &failure, out)
    }

    pub(super) fn tell(
        &mut self,
        kind: TextKind,
        text: &[u8],
        out: &mut WireOut,
    ) -> Result<(), Error> {
        crate::send::tell(&self.session, kind, text, out)
    }
}

/// The directory flags of an entry (02-file-list 5.9).
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    pub(super) top: bool,
    pub(super) no_content: bool,
}

impl Marks {
    /// Found while walking.
    pub(super) const NONE: Self = Self {
        top: false,
        no_content: false,
    };
    /// An argument whose contents follow.
    pub(super) const TOP: Self = Self {
        top: true,
        no_content: false,
    };
    /// A directory without its contents.
    pub(super) const EMPTY: Self = Self {
        top: false,
        no_content: true,
    };
    /// Above an argument, with `-R`.
    pub(super) const IMPLIED: Self = Self {
        top: true,
        no_content: true,
    };
    /// Above a picked name: an ordinary directory in which nothing is deleted.
    pub(super) const PARENT: Self = Self {
        top: false,
        no_content: true,
    };
}
