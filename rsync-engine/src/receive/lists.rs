//! Reads the sender's file lists, the first one and those of incremental recursion.

use std::collections::HashMap;

use rsync_proto::Violation;
use rsync_proto::flist::{Decoder, EntryOptions, HardLink, IdList, Item};

use crate::budget::{Budget, Charge};
use crate::error::Error;
use crate::fs::{IdKind, IdMapper};
use crate::list::{FileList, HELD_AS, ListOf};
use crate::outcome::TypeCounts;
use crate::wire_in::WireIn;

/// The value of an entry's uid or gid that must not be set at this side.
pub(crate) const KEEP_ID: u32 = u32::MAX;

/// Directories of a session at most: each is remembered until its list came.
const DIRS_MAX: usize = 1 << 26;

/// Entries between two looks at what is held beside the lists.
const ACCOUNT_EVERY: usize = 256;

/// What the allocator adds to each piece of memory, about.
const HEAP_HEADER: usize = 16;

/// What a listed name is to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It was asked for; a directory with everything in it, so that what the list lacks may be deleted.
    Whole,
    /// It was asked for, but not what is in the directory.
    Alone,
    /// Only as a directory above something that was: nothing in it is ours to delete.
    AsParent,
}

/// Decides whether a sender may list a name (02-file-list 13.4, 13.5).
pub trait NameCheck: Send {
    /// What the name is to us. `mode`: the listed one with the file type; 0 for a name that the sender wants deleted.
    ///
    /// # Errors
    /// A name that was not asked for, or is excluded: the sender cannot be trusted.
    fn check(&self, name: &[u8], mode: u32) -> Result<Wanted, Error>;
}

/// Decodes lists and keeps what must survive from one to the next.
pub(super) struct ListReader {
    options: EntryOptions,
    decoder: Decoder,
    mapper: IdMapper,
    inc_recurse: bool,
    relative: bool,
    asked_for: Option<Box<dyn NameCheck>>,
    next_start: i32,
    /// Directories by number (02-file-list 9.3); `None` once their list came.
    dirs: Vec<Option<Box<ListOf>>>,
    /// Hard-link groups of protocol 29 by device and inode.
    inodes: HashMap<(u64, u64), i64>,
    budget: Budget,
    /// For `dirs` and `inodes`.
    charge: Charge,
    /// For what the decoder remembers.
    decoder_charge: Charge,
    id_charge: Charge,
    /// I/O error bits found at list ends.
    pub(super) io_error: u32,
    /// Entries by type, and the sum of sizes.
    pub(super) counts: TypeCounts,
    pub(super) total_size: u64,
    /// Bytes of the first list on the wire.
    pub(super) list_bytes: u64,
}

impl ListReader {
    pub(super) fn new(
        options: EntryOptions,
        mapper: IdMapper,
        relative: bool,
        asked_for: Option<Box<dyn NameCheck>>,
        budget: &Budget,
    ) -> Self {
        let inc_recurse = options.inc_recurse;
        Self {
            budget: budget.clone(),
            charge: budget.charge(HELD_AS),
            decoder_charge: budget.charge(HELD_AS),
            id_charge: budget.charge("user and group ids"),
            decoder: Decoder::new(options.clone()),
            options,
            mapper,
            inc_recurse,
            relative,
            asked_for,
            next_start: i32::from(inc_recurse),
            dirs: Vec::new(),
            inodes: HashMap::new(),
            io_error: 0,
            counts: TypeCounts::default(),
            total_size: 0,
            list_bytes: 0,
        }
    }

    /// The first list with everything that belongs to it: id lists and, at protocol 29, the I/O error.
    pub(super) fn first(&mut self, input: &mut WireIn) -> Result<FileList, Error> {
        let before = input.received();
        let mut list = self.read(input, None)?;
        self.list_bytes = input.received() - before;
        if !self.inc_recurse {
            self.read_ids(input)?;
            if !self.options.protocol.has_varints() {
                let bits = input.record(|cursor| cursor.int())?;
                self.io_error |= bits.cast_unsigned();
            }
            self.map_ids(&mut list);
            self.account()?;
        }
        self.finish(&mut list)?;
        Ok(list)
    }

    /// The list of one directory.
    pub(super) fn sub(&mut self, input: &mut WireIn, dir: u32) -> Result<FileList, Error> {
        let known = usize::try_from(dir)
            .ok()
            .and_then(|dir| self.dirs.get_mut(dir));
        let of = known
            .and_then(Option::take)
            .ok_or(Violation::SublistDirectory { dir })?;
        self.charge.sub(pending_memory(&of));
        let mut list = self.read(input, Some(*of))?;
        self.finish(&mut list)?;
        Ok(list)
    }

    fn read(&mut self, input: &mut WireIn, of: Option<ListOf>) -> Result<FileList, Error> {
        let mut list = FileList::new(self.next_start, of, &self.budget)?;
        match &list.of {
            Some(of) => self.decoder.start_sublist(list.ndx_start, &of.path),
            None => self.decoder.start_list(list.ndx_start),
        }
        loop {
            match input.record(|cursor| self.decoder.decode(cursor))? {
                Item::Entry => {
                    self.take(&mut list)?;
                    if list.len() % ACCOUNT_EVERY == 0 {
                        self.account()?;
                    }
                }
                Item::End { io_error } => {
                    self.io_error |= io_error.cast_unsigned();
                    self.account()?;
                    return Ok(list);
                }
            }
        }
    }

    /// Charges what the decoder and the mapper of ids remember by now.
    fn account(&mut self) -> Result<(), Error> {
        self.decoder_charge.set(self.decoder.memory())?;
        self.id_charge.set(self.mapper.memory())
    }

    fn take(&mut self, list: &mut FileList) -> Result<(), Error> {
        let mut entry = self.decoder.entry();
        if let Some(asked_for) = &self.asked_for {
            // Which directories are listed in full follows from what was asked for: a sender that claims more would
            // have everything deleted that it leaves out.
            match asked_for.check(entry.name, entry.mode)? {
                Wanted::Whole => {}
                Wanted::Alone => (entry.top_dir, entry.no_content) = (false, true),
                Wanted::AsParent => (entry.top_dir, entry.no_content) = (true, true),
            }
        }
        if self.inc_recurse {
            if let Some(name) = entry.user_name {
                self.mapper.learn(IdKind::User, entry.uid, name);
            }
            if let Some(name) = entry.group_name {
                self.mapper.learn(IdKind::Group, entry.gid, name);
            }
            entry.uid = self.mapper.user(entry.uid).unwrap_or(KEEP_ID);
            entry.gid = self.mapper.group(entry.gid).unwrap_or(KEEP_ID);
        }
        let arrival = i64::from(list.ndx_start) + list.len() as i64;
        let group = match entry.hard_link {
            HardLink::None => None,
            HardLink::First => Some(arrival),
            HardLink::Follower(group) => Some(i64::from(group)),
            HardLink::DevIno { dev, ino } => {
                self.charge.reserve_key(&self.inodes)?;
                Some(*self.inodes.entry((dev, ino)).or_insert(arrival))
            }
        };
        self.counts.count(entry.mode);
        if matches!(entry.mode & 0o170_000, 0o100_000 | 0o120_000) {
            self.total_size = self.total_size.saturating_add(entry.size);
        }
        list.push(&entry, group, 0)
    }

    fn read_ids(&mut self, input: &mut WireIn) -> Result<(), Error> {
        let options = &self.options;
        if !options.id_lists() {
            return Ok(());
        }
        for (present, kind) in [(options.uid, IdKind::User), (options.gid, IdKind::Group)] {
            let (mut names, mut charge) = (IdList::new(), self.budget.charge("user and group ids"));
            while present && input.record(|cursor| names.decode_next(options, cursor))? {
                charge.set(names.memory())?;
            }
            for (id, name) in names.iter() {
                self.mapper.learn(kind, id, name);
            }
            self.id_charge.set(self.mapper.memory())?;
        }
        Ok(())
    }

    fn map_ids(&mut self, list: &mut FileList) {
        for entry in list.entries_mut() {
            entry.uid = self.mapper.user(entry.uid).unwrap_or(KEEP_ID);
            entry.gid = self.mapper.group(entry.gid).unwrap_or(KEEP_ID);
        }
    }

    /// Sorts, numbers the directories, and makes room for the next list.
    fn finish(&mut self, list: &mut FileList) -> Result<(), Error> {
        list.sort()?;
        list.clear_duplicates()?;
        if !self.inc_recurse && list.has_orphan() {
            return Err(Violation::OrphanEntry.into());
        }
        let count = i32::try_from(list.len()).map_err(|_| Violation::FileListTooLong)?;
        // One index is left out before each further list: it stands for the directory itself.
        self.next_start = list
            .ndx_start
            .checked_add(count)
            .and_then(|next| next.checked_add(1))
            .ok_or(Violation::FileListTooLong)?;
        if self.inc_recurse {
            for entry in list.entries().iter().filter(|entry| entry.is_dir()) {
                if self.dirs.len() >= DIRS_MAX {
                    return Err(Error::Limit {
                        what: "directories of one session",
                        limit: DIRS_MAX as u64,
                    });
                }
                self.charge.reserve(&mut self.dirs, 1)?;
                let path = list.path(entry);
                // "." never gets a list of its own, nor does the loser of two equal names.
                let listable =
                    !entry.cleared() && path != b"." && !(self.relative && path == b"/.");
                let pending = listable.then(|| ListOf {
                    path: path.into(),
                    entry: *entry,
                });
                self.charge
                    .add(pending.as_ref().map_or(0, pending_memory))?;
                self.dirs.push(pending.map(Box::new));
            }
        }
        Ok(())
    }
}

/// Bytes on the heap of a directory whose list is awaited.
fn pending_memory(of: &ListOf) -> usize {
    size_of::<ListOf>() + of.path.len() + 2 * HEAP_HEADER
}
