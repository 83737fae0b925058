//! The file list in memory: one arena of names with shared directories, 56 bytes an entry plus its name.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use rsync_proto::flist::{self, DirFlags, Entry, ListName};

use crate::budget::{Budget, Charge};
use crate::error::Error;

/// Entries of one list at most; above it the peer is hostile or the tree wants incremental recursion.
const ENTRIES_MAX: usize = 1 << 28;
/// Bytes of names of one list at most.
const NAMES_MAX: usize = 1 << 31;

/// Bits of [`FileEntry::flags`].
mod bits {
    pub(super) const TOP_DIR: u8 = 1;
    pub(super) const NO_CONTENT: u8 = 2;
    /// Lost against another entry of the same name; its slot stays numbered (02-file-list 8.4).
    pub(super) const CLEARED: u8 = 4;
    /// The receiver has it in place.
    pub(super) const ACKNOWLEDGED: u8 = 8;
}

/// One entry, without what only few entries have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileEntry {
    /// Size in bytes.
    pub(crate) size: u64,
    /// Modification time, seconds since 1970.
    pub(crate) mtime: i64,
    /// Nanoseconds of the modification time; 0 where the protocol does not carry them.
    pub(crate) mtime_nsec: u32,
    /// Full mode with the file type.
    pub(crate) mode: u32,
    /// Owner as the sender has it.
    pub(crate) uid: u32,
    /// Group as the sender has it.
    pub(crate) gid: u32,
    /// Which of the sender's source roots the entry lies below.
    pub(crate) root: u16,
    flags: u8,
    base_len: u16,
    base: u32,
    dir: u32,
    extra: u32,
}

/// What only few entries have.
#[derive(Debug, Clone, Copy)]
struct Extra {
    /// Number of the hard-link group, unique in the session; [`NO_GROUP`] for none.
    group: i64,
    rdev: (u32, u32),
    /// Where the link target begins among the names, and behind it the checksum; empty is none.
    texts: u32,
    target_len: u16,
    checksum_len: u8,
    has_rdev: bool,
}

/// In no hard-link group. Groups have the numbers of entries.
const NO_GROUP: i64 = -1;

/// No extras.
const NO_EXTRA: u32 = u32::MAX;

impl FileEntry {
    /// A directory.
    pub(crate) fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    /// A regular file.
    pub(crate) fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    /// A symlink.
    pub(crate) fn is_symlink(&self) -> bool {
        self.mode & 0o170_000 == 0o120_000
    }

    /// A block or character device.
    pub(crate) fn is_device(&self) -> bool {
        matches!(self.mode & 0o170_000, 0o020_000 | 0o060_000)
    }

    /// A fifo or socket.
    pub(crate) fn is_special(&self) -> bool {
        matches!(self.mode & 0o170_000, 0o010_000 | 0o140_000)
    }

    /// TOP_DIR (02-file-list 5.9).
    pub(crate) fn top_dir(&self) -> bool {
        self.flags & bits::TOP_DIR != 0
    }

    /// A directory whose contents the list does not hold in full (02-file-list 5.9).
    pub(crate) fn no_content(&self) -> bool {
        self.flags & bits::NO_CONTENT != 0
    }

    /// Its slot is numbered but another entry of the same name won.
    pub(crate) fn cleared(&self) -> bool {
        self.flags & bits::CLEARED != 0
    }

    /// Notes that the receiver has it in place.
    pub(crate) fn acknowledge(&mut self) {
        self.flags |= bits::ACKNOWLEDGED;
    }

    /// Whether the receiver said that it has it in place.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.flags & bits::ACKNOWLEDGED != 0
    }
}

/// The directory that a list of an incremental transfer describes.
#[derive(Debug, Clone)]
pub(crate) struct ListOf {
    /// Its name relative to the transfer root.
    pub(crate) path: Box<[u8]>,
    /// Its entry; names and extras belong to the list it came in and are not to be asked for.
    pub(crate) entry: FileEntry,
}

/// A list under construction or finished and sorted. Indexes on the wire are `ndx_start` + sorted position.
#[derive(Debug, Default)]
pub(crate) struct FileList {
    /// Index of the first entry.
    pub(crate) ndx_start: i32,
    /// The directory whose contents this list holds; `None` for the first list.
    pub(crate) of: Option<ListOf>,
    entries: Vec<FileEntry>,
    names: Vec<u8>,
    /// Where the names of directories lie among the names. None stands twice.
    dirs: Vec<(u32, u32)>,
    /// The directory of the last entry.
    last_dir: u32,
    /// Directories by the hash of their name, once there are two.
    dirs_by_hash: HashMap<u64, u32>,
    /// Nobody can choose names of one hash.
    hasher: RandomState,
    extras: Vec<Extra>,
    /// How many entries are directories.
    dir_entries: usize,
    budget: Budget,
    charge: Charge,
}

/// What errors call a list.
pub(crate) const HELD_AS: &str = "file list";

impl FileList {
    /// An empty list, whose memory `budget` counts.
    ///
    /// # Errors
    /// [`Error::Budget`].
    pub(crate) fn new(ndx_start: i32, of: Option<ListOf>, budget: &Budget) -> Result<Self, Error> {
        let mut charge = budget.charge(HELD_AS);
        charge.set(size_of::<Self>() + of.as_ref().map_or(0, |of| of.path.len()))?;
        Ok(Self {
            ndx_start,
            of,
            budget: budget.clone(),
            charge,
            ..Self::default()
        })
    }

    /// Number of entries, cleared ones included.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in their present order.
    pub(crate) fn entries(&self) -> &[FileEntry] {
        &self.entries
    }

    /// The entries, to map their ids.
    pub(crate) fn entries_mut(&mut self) -> &mut [FileEntry] {
        &mut self.entries
    }

    /// One entry.
    pub(crate) fn get(&self, at: usize) -> Option<&FileEntry> {
        self.entries.get(at)
    }

    /// Wire index of a position.
    pub(crate) fn ndx(&self, at: usize) -> i32 {
        // `push` keeps the count far below what would overflow.
        self.ndx_start + i32::try_from(at).unwrap_or(i32::MAX - self.ndx_start)
    }

    /// Last component of the name; `.` for the root.
    pub(crate) fn base(&self, entry: &FileEntry) -> &[u8] {
        &self.names[entry.base as usize..entry.base as usize + usize::from(entry.base_len)]
    }

    /// The directory part of the name, without slash; empty at the top.
    pub(crate) fn dir_part(&self, entry: &FileEntry) -> &[u8] {
        let (start, end) = self.dirs[entry.dir as usize];
        &self.names[start as usize..end as usize]
    }

    /// Writes the whole name into `out`.
    pub(crate) fn path_into(&self, entry: &FileEntry, out: &mut Vec<u8>) {
        out.clear();
        let dir = self.dir_part(entry);
        if !dir.is_empty() {
            out.extend_from_slice(dir);
            out.push(b'/');
        }
        out.extend_from_slice(self.base(entry));
    }

    /// The whole name.
    pub(crate) fn path(&self, entry: &FileEntry) -> Vec<u8> {
        let mut out = Vec::new();
        self.path_into(entry, &mut out);
        out
    }

    /// Target of a symlink.
    pub(crate) fn link_target(&self, entry: &FileEntry) -> Option<&[u8]> {
        let extra = self.extra(entry)?;
        self.text(extra.texts, extra.target_len)
    }

    /// Major and minor number of a device.
    pub(crate) fn rdev(&self, entry: &FileEntry) -> Option<(u32, u32)> {
        let extra = self.extra(entry)?;
        extra.has_rdev.then_some(extra.rdev)
    }

    /// Hard-link group.
    pub(crate) fn group(&self, entry: &FileEntry) -> Option<i64> {
        let group = self.extra(entry)?.group;
        (group != NO_GROUP).then_some(group)
    }

    /// Whole-file checksum of `--checksum`.
    pub(crate) fn checksum(&self, entry: &FileEntry) -> Option<&[u8]> {
        let extra = self.extra(entry)?;
        let start = extra.texts + u32::from(extra.target_len);
        self.text(start, extra.checksum_len.into())
    }

    fn text(&self, start: u32, len: u16) -> Option<&[u8]> {
        let start = start as usize;
        (len > 0).then(|| &self.names[start..start + usize::from(len)])
    }

    fn extra(&self, entry: &FileEntry) -> Option<&Extra> {
        self.extras.get(entry.extra as usize)
    }

    /// Appends an entry that was decoded from the wire or is about to be encoded. `group` is the number of its
    /// hard-link group, `root` the sender's source root.
    ///
    /// # Errors
    /// When the list grows beyond our limits.
    pub(crate) fn push(
        &mut self,
        entry: &Entry<'_>,
        group: Option<i64>,
        root: u16,
    ) -> Result<(), Error> {
        if self.entries.len() >= ENTRIES_MAX {
            return Err(Error::Limit {
                what: "entries of one file list",
                limit: ENTRIES_MAX as u64,
            });
        }
        let target = entry.link_target.unwrap_or_default();
        let checksum = entry.checksum.unwrap_or_default();
        let texts = entry.name.len() + target.len() + checksum.len();
        if self.names.len() + texts >= NAMES_MAX {
            return Err(Error::Limit {
                what: "bytes of names of one file list",
                limit: NAMES_MAX as u64,
            });
        }
        let (dir, base) = match entry.name.iter().rposition(|&b| b == b'/') {
            // An empty directory part would lose the slash of `/name`.
            Some(0) | None => (&entry.name[..0], entry.name),
            Some(slash) => (&entry.name[..slash], &entry.name[slash + 1..]),
        };
        let (Ok(base_len), Ok(target_len), Ok(checksum_len)) = (
            u16::try_from(base.len()),
            u16::try_from(target.len()),
            u8::try_from(checksum.len()),
        ) else {
            return Err(Error::Limit {
                what: "length of one path component, link target or checksum",
                limit: u16::MAX.into(),
            });
        };
        self.charge.reserve(&mut self.entries, 1)?;
        self.charge.reserve(&mut self.names, texts)?;
        let dir = self.dir_number(dir)?;
        let base_at = self.names.len() as u32;
        self.names.extend_from_slice(base);
        let has_extra = texts > entry.name.len() || entry.rdev.is_some() || group.is_some();
        let extra_at = if has_extra {
            self.charge.reserve(&mut self.extras, 1)?;
            self.extras.push(Extra {
                group: group.unwrap_or(NO_GROUP),
                rdev: entry.rdev.unwrap_or_default(),
                texts: self.names.len() as u32,
                target_len,
                checksum_len,
                has_rdev: entry.rdev.is_some(),
            });
            self.names.extend_from_slice(target);
            self.names.extend_from_slice(checksum);
            self.extras.len() as u32 - 1
        } else {
            NO_EXTRA
        };
        let mut flags = 0;
        if entry.top_dir {
            flags |= bits::TOP_DIR;
        }
        if entry.no_content {
            flags |= bits::NO_CONTENT;
        }
        self.entries.push(FileEntry {
            size: entry.size,
            mtime: entry.mtime,
            mtime_nsec: entry.mtime_nsec,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            root,
            flags,
            base_len,
            base: base_at,
            dir,
            extra: extra_at,
        });
        self.dir_entries += usize::from(entry.is_dir());
        Ok(())
    }

    /// The number of a directory, whose name is kept once. The names have room for it.
    fn dir_number(&mut self, dir: &[u8]) -> Result<u32, Error> {
        // Entries of one directory come in a row, nearly always.
        if self.dir_is(self.last_dir, dir) {
            return Ok(self.last_dir);
        }
        if self.dirs.len() == 1 {
            self.charge.reserve_key(&self.dirs_by_hash)?;
            let (start, end) = self.dirs[0];
            let hash = self
                .hasher
                .hash_one(&self.names[start as usize..end as usize]);
            self.dirs_by_hash.insert(hash, 0);
        }
        let hash = self.hasher.hash_one(dir);
        if let Some(&known) = self.dirs_by_hash.get(&hash)
            && self.dir_is(known, dir)
        {
            self.last_dir = known;
            return Ok(known);
        }
        self.charge.reserve(&mut self.dirs, 1)?;
        let number = self.dirs.len() as u32;
        if number > 0 {
            self.charge.reserve_key(&self.dirs_by_hash)?;
            self.dirs_by_hash.insert(hash, number);
        }
        let start = self.names.len() as u32;
        self.names.extend_from_slice(dir);
        self.dirs.push((start, self.names.len() as u32));
        self.last_dir = number;
        Ok(number)
    }

    fn dir_is(&self, number: u32, dir: &[u8]) -> bool {
        let found = self.dirs.get(number as usize);
        found.is_some_and(|&(start, end)| &self.names[start as usize..end as usize] == dir)
    }

    /// Asks which names of one directory this sorted list has. `dir`: the directory part, without slash.
    pub(crate) fn lookup_in(&self, dir: &[u8]) -> Lookup<'_> {
        let mut wanted = dir.to_vec();
        if !dir.is_empty() {
            wanted.push(b'/');
        }
        Lookup {
            list: self,
            // The names of one directory sort as their last components do.
            whole: !matches!(
                self.dirs[..],
                [(start, end)] if self.names[start as usize..end as usize] == *dir
            ),
            dir_len: wanted.len(),
            wanted,
            probe: Vec::new(),
        }
    }

    /// Sorts by 02-file-list 8.3. Both ends do this, so that positions are the same.
    ///
    /// # Errors
    /// [`Error::Budget`] when that takes too much memory.
    pub(crate) fn sort(&mut self) -> Result<(), Error> {
        let folders = self.dirs.len() + self.dir_entries;
        let mut passing = self.budget.charge(HELD_AS);
        passing.set(
            self.entries.len() * flist::SORT_ENTRY_BYTES + folders * flist::SORT_FOLDER_BYTES,
        )?;
        let order = flist::sort(self.entries.len(), |at| self.sort_name(at));
        permute(&mut self.entries, order);
        Ok(())
    }

    /// Name and "is a directory" of the entry at a position.
    fn sort_name(&self, at: usize) -> (ListName<'_>, bool) {
        let entry = &self.entries[at];
        let (dir, base) = (self.dir_part(entry), self.base(entry));
        let name = match dir {
            b"" => ListName::from(base),
            dir => ListName::numbered(dir, base, entry.dir),
        };
        (name, entry.is_dir())
    }

    /// Marks what lost against another entry of the same name (02-file-list 8.4). The list is sorted. Only the
    /// receiving side does this.
    ///
    /// # Errors
    /// [`Error::Budget`] when there are too many of them.
    pub(crate) fn clear_duplicates(&mut self) -> Result<(), Error> {
        let mut passing = self.budget.charge(HELD_AS);
        let (mut losers, mut room) = (Vec::<(u32, u32)>::new(), Ok(()));
        flist::find_duplicates(
            self.entries.len(),
            |at| self.sort_name(at),
            |loser, winner| {
                if room.is_ok() {
                    room = passing.reserve(&mut losers, 1);
                }
                if room.is_ok() {
                    losers.push((loser as u32, winner as u32));
                }
            },
        );
        room?;
        for (loser, winner) in losers {
            let (loser, winner) = (loser as usize, winner as usize);
            let (a, b) = (self.entries[winner], self.entries[loser]);
            if a.is_dir() && b.is_dir() {
                let flags = |entry: FileEntry| DirFlags {
                    top_dir: entry.top_dir(),
                    no_content: entry.no_content(),
                };
                let merged = flags(a).merge(flags(b));
                let kept = &mut self.entries[winner].flags;
                *kept &= !(bits::TOP_DIR | bits::NO_CONTENT);
                *kept |= if merged.top_dir { bits::TOP_DIR } else { 0 };
                *kept |= if merged.no_content {
                    bits::NO_CONTENT
                } else {
                    0
                };
            }
            self.entries[loser].flags |= bits::CLEARED;
        }
        Ok(())
    }

    /// Whether an entry's parent directory is missing from this flat list (02-file-list 13.3). A deletion
    /// (mode 0) may lack its parents: there is nothing to write through then.
    pub(crate) fn has_orphan(&self) -> bool {
        let mut found = false;
        flist::find_orphans(
            self.entries.len(),
            |at| self.sort_name(at),
            |at| {
                found |= self.entries[at].mode != 0 && !self.entries[at].cleared();
            },
        );
        found
    }
}

/// Puts `entries[order[n]]` at each place `n`, without a second list.
fn permute(entries: &mut [FileEntry], mut order: Vec<u32>) {
    for start in 0..order.len() {
        let first = entries[start];
        let mut at = start;
        loop {
            let from = std::mem::replace(&mut order[at], at as u32) as usize;
            if from == start {
                entries[at] = first;
                break;
            }
            entries[at] = entries[from];
            at = from;
        }
    }
}

/// Looks names of one directory up in a sorted list (02-file-list 8.5).
#[derive(Debug)]
pub(crate) struct Lookup<'a> {
    list: &'a FileList,
    whole: bool,
    /// Directory part with a slash, then the name that is looked up.
    wanted: Vec<u8>,
    dir_len: usize,
    probe: Vec<u8>,
}

impl Lookup<'_> {
    /// Whether there is an entry of that name, of any type. `is_dir` is what it is here, and the first guess. With `-R`
    /// the same name may be listed with a slash in front (02-file-list 14.3).
    pub(crate) fn has(&mut self, base: &[u8], is_dir: bool) -> bool {
        self.wanted.truncate(self.dir_len);
        self.wanted.extend_from_slice(base);
        if self.finds(is_dir) || self.finds(!is_dir) {
            return true;
        }
        // In a list of one directory other than the top all names have that directory's form.
        if !self.whole && self.dir_len > 0 {
            return false;
        }
        let slash = self.wanted.starts_with(b"/");
        self.respell(slash);
        let found = self.finds(is_dir) || self.finds(!is_dir);
        self.respell(!slash);
        found
    }

    /// Takes the slash in front away, or puts one there.
    fn respell(&mut self, slash: bool) {
        if slash {
            self.wanted.remove(0);
        } else {
            self.wanted.insert(0, b'/');
        }
    }

    fn finds(&mut self, is_dir: bool) -> bool {
        let list = self.list;
        let (mut low, mut high) = (0, list.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = &list.entries[middle];
            let order = if self.whole {
                list.path_into(entry, &mut self.probe);
                flist::compare(&self.probe, entry.is_dir(), &self.wanted, is_dir)
            } else {
                let base = &self.wanted[self.dir_len..];
                flist::compare(list.base(entry), entry.is_dir(), base, is_dir)
            };
            match order {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return true,
                Ordering::Greater => high = middle,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list of these names, of which some are directories and the others files.
    fn sorted(names: &[&str], directories: &[&str]) -> FileList {
        let mut list = FileList::new(0, None, &Budget::unlimited()).expect("no limit");
        for name in names {
            let entry = Entry {
                name: name.as_bytes(),
                mode: match directories.contains(name) {
                    true => 0o040_755,
                    false => 0o100_644,
                },
                ..Entry::default()
            };
            list.push(&entry, None, 0).expect("few entries");
        }
        list.sort().expect("no limit");
        list
    }

    #[test]
    fn a_directory_of_the_list_is_no_name_in_itself() {
        let list = sorted(&["n"], &["n"]);
        assert!(list.lookup_in(b"").has(b"n", true));
        assert!(!list.lookup_in(b"n").has(b"n", true));
    }

    #[test]
    fn a_slash_in_front_makes_no_other_name() {
        for names in [
            &["/.", "/a", "/d"][..],
            &["/.", "/a", "/d", "/d/x"],
            &["b", "/a", "/d", "d/x", "/d/y"],
        ] {
            let list = sorted(names, &["/.", "/d"]);
            for name in names.iter().filter(|name| **name != "/.") {
                let name = name.trim_start_matches('/');
                let (dir, base) = name.rsplit_once('/').unwrap_or(("", name));
                let mut dirs = vec![dir.to_owned()];
                if !dir.is_empty() {
                    dirs.push(format!("/{dir}"));
                }
                for dir in dirs {
                    let mut lookup = list.lookup_in(dir.as_bytes());
                    assert!(
                        lookup.has(base.as_bytes(), false),
                        "{dir} {base} in {names:?}"
                    );
                    assert!(!lookup.has(b"none", false));
                    assert!(
                        lookup.has(base.as_bytes(), true),
                        "{dir} {base} in {names:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn sorting_permutes_in_place_and_lookups_find_every_type() {
        let list = sorted(&["b", "d/z", "d", "a", "d/a", "dd", "."], &["d", "."]);
        let names: Vec<_> = list
            .entries()
            .iter()
            .map(|entry| String::from_utf8(list.path(entry)).expect("letters"))
            .collect();
        assert_eq!(names, [".", "a", "b", "dd", "d", "d/a", "d/z"]);
        let mut top = list.lookup_in(b"");
        for (name, is_dir, found) in [
            ("a", false, true),
            ("a", true, true),
            ("d", true, true),
            ("d", false, true),
            ("z", false, false),
            ("c", true, false),
        ] {
            assert_eq!(top.has(name.as_bytes(), is_dir), found, "{name}");
        }
        let mut inner = list.lookup_in(b"d");
        assert!(inner.has(b"z", false) && !inner.has(b"b", false));
    }
}
