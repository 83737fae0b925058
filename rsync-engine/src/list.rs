//! The file list in memory: one arena of names with shared directories, about 64 bytes an entry plus its name.

use std::cmp::Ordering;
use std::collections::HashSet;

use rsync_proto::flist::{self, Entry, HardLink};

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
    pub(super) const LEADER: u8 = 8;
}

/// One entry, without what only few entries have.
#[derive(Debug, Clone, Copy)]
pub struct FileEntry {
    /// Size in bytes.
    pub size: u64,
    /// Modification time, seconds since 1970.
    pub mtime: i64,
    /// Nanoseconds of the modification time; 0 where the protocol does not carry them.
    pub mtime_nsec: u32,
    /// Full mode with the file type.
    pub mode: u32,
    /// Owner as the sender has it.
    pub uid: u32,
    /// Group as the sender has it.
    pub gid: u32,
    /// Which of the sender's source roots the entry lies below.
    pub root: u16,
    flags: u8,
    base_len: u16,
    base: u32,
    dir: u32,
    extra: u32,
}

/// What only few entries have.
#[derive(Debug, Clone, Default)]
struct Extra {
    link_target: Option<Box<[u8]>>,
    rdev: Option<(u32, u32)>,
    /// Number of the hard-link group, unique in the session.
    group: Option<i64>,
    checksum: Option<Box<[u8]>>,
}

/// No extras.
const NO_EXTRA: u32 = u32::MAX;

impl FileEntry {
    /// A directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    /// A regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    /// A symlink.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.mode & 0o170_000 == 0o120_000
    }

    /// A block or character device.
    #[must_use]
    pub fn is_device(&self) -> bool {
        matches!(self.mode & 0o170_000, 0o020_000 | 0o060_000)
    }

    /// A fifo or socket.
    #[must_use]
    pub fn is_special(&self) -> bool {
        matches!(self.mode & 0o170_000, 0o010_000 | 0o140_000)
    }

    /// TOP_DIR (02-file-list 5.9).
    #[must_use]
    pub fn top_dir(&self) -> bool {
        self.flags & bits::TOP_DIR != 0
    }

    /// A directory whose contents the list does not hold in full (02-file-list 5.9).
    #[must_use]
    pub fn no_content(&self) -> bool {
        self.flags & bits::NO_CONTENT != 0
    }

    /// Its slot is numbered but another entry of the same name won.
    #[must_use]
    pub fn cleared(&self) -> bool {
        self.flags & bits::CLEARED != 0
    }

    /// First member of its hard-link group that was sent.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.flags & bits::LEADER != 0
    }
}

/// The directory that a list of an incremental transfer describes.
#[derive(Debug, Clone)]
pub struct ListOf {
    /// Its name relative to the transfer root.
    pub path: Box<[u8]>,
    /// Its entry; names and extras belong to the list it came in and are not to be asked for.
    pub entry: FileEntry,
}

/// A list under construction or finished and sorted. Indexes on the wire are `ndx_start` + sorted position.
#[derive(Debug, Default)]
pub struct FileList {
    /// Index of the first entry.
    pub ndx_start: i32,
    /// The directory whose contents this list holds; `None` for the first list.
    pub of: Option<ListOf>,
    entries: Vec<FileEntry>,
    names: Vec<u8>,
    dirs: Vec<(u32, u32)>,
    extras: Vec<Extra>,
}

impl FileList {
    /// An empty list.
    #[must_use]
    pub fn new(ndx_start: i32, of: Option<ListOf>) -> Self {
        Self { ndx_start, of, ..Self::default() }
    }

    /// Number of entries, cleared ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in their present order.
    #[must_use]
    pub fn entries(&self) -> &[FileEntry] {
        &self.entries
    }

    /// The entries, to map their ids.
    pub(crate) fn entries_mut(&mut self) -> &mut [FileEntry] {
        &mut self.entries
    }

    /// One entry.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&FileEntry> {
        self.entries.get(at)
    }

    /// Wire index of a position.
    #[must_use]
    pub fn ndx(&self, at: usize) -> i32 {
        // `push` keeps the count far below what would overflow.
        self.ndx_start + i32::try_from(at).unwrap_or(i32::MAX - self.ndx_start)
    }

    /// Last component of the name; `.` for the root.
    #[must_use]
    pub fn base(&self, entry: &FileEntry) -> &[u8] {
        &self.names[entry.base as usize..entry.base as usize + usize::from(entry.base_len)]
    }

    /// The directory part of the name, without slash; empty at the top.
    #[must_use]
    pub fn dir_part(&self, entry: &FileEntry) -> &[u8] {
        let (start, end) = self.dirs[entry.dir as usize];
        &self.names[start as usize..end as usize]
    }

    /// Number of the directory part, equal for entries of one directory (as far as they came in a row).
    #[must_use]
    pub fn dir_id(&self, entry: &FileEntry) -> u32 {
        entry.dir
    }

    /// Writes the whole name into `out`.
    pub fn path_into(&self, entry: &FileEntry, out: &mut Vec<u8>) {
        out.clear();
        let dir = self.dir_part(entry);
        if !dir.is_empty() {
            out.extend_from_slice(dir);
            out.push(b'/');
        }
        out.extend_from_slice(self.base(entry));
    }

    /// The whole name.
    #[must_use]
    pub fn path(&self, entry: &FileEntry) -> Vec<u8> {
        let mut out = Vec::new();
        self.path_into(entry, &mut out);
        out
    }

    /// Target of a symlink.
    #[must_use]
    pub fn link_target(&self, entry: &FileEntry) -> Option<&[u8]> {
        self.extra(entry)?.link_target.as_deref()
    }

    /// Major and minor number of a device.
    #[must_use]
    pub fn rdev(&self, entry: &FileEntry) -> Option<(u32, u32)> {
        self.extra(entry)?.rdev
    }

    /// Hard-link group.
    #[must_use]
    pub fn group(&self, entry: &FileEntry) -> Option<i64> {
        self.extra(entry)?.group
    }

    /// Whole-file checksum of `--checksum`.
    #[must_use]
    pub fn checksum(&self, entry: &FileEntry) -> Option<&[u8]> {
        self.extra(entry)?.checksum.as_deref()
    }

    fn extra(&self, entry: &FileEntry) -> Option<&Extra> {
        self.extras.get(entry.extra as usize)
    }

    /// Appends an entry that was decoded from the wire or is about to be encoded. `group` is the number of its
    /// hard-link group, `root` the sender's source root.
    ///
    /// # Errors
    /// When the list grows beyond our limits.
    pub fn push(&mut self, entry: &Entry<'_>, group: Option<i64>, root: u16) -> Result<(), Error> {
        if self.entries.len() >= ENTRIES_MAX {
            return Err(Error::Limit { what: "entries of one file list", limit: ENTRIES_MAX as u64 });
        }
        if self.names.len() + entry.name.len() >= NAMES_MAX {
            return Err(Error::Limit { what: "bytes of names of one file list", limit: NAMES_MAX as u64 });
        }
        let (dir, base) = match entry.name.iter().rposition(|&b| b == b'/') {
            // `/name` keeps its slash as an empty directory would lose it.
            Some(slash) => (&entry.name[..slash], &entry.name[slash + 1..]),
            None => (&entry.name[..0], entry.name),
        };
        let Ok(base_len) = u16::try_from(base.len()) else {
            return Err(Error::Limit { what: "length of one path component", limit: u16::MAX.into() });
        };
        let dir = self.dir_number(dir);
        let base_at = self.names.len() as u32;
        self.names.extend_from_slice(base);
        let extra = Extra {
            link_target: entry.link_target.map(Into::into),
            rdev: entry.rdev,
            group,
            checksum: entry.checksum.map(Into::into),
        };
        let has_extra =
            extra.link_target.is_some() || extra.rdev.is_some() || group.is_some() || extra.checksum.is_some();
        let extra_at = if has_extra {
            self.extras.push(extra);
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
        if matches!(entry.hard_link, HardLink::First) {
            flags |= bits::LEADER;
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
        Ok(())
    }

    fn dir_number(&mut self, dir: &[u8]) -> u32 {
        // Entries of one directory come in a row, nearly always.
        if let Some(&(start, end)) = self.dirs.last()
            && &self.names[start as usize..end as usize] == dir
        {
            return self.dirs.len() as u32 - 1;
        }
        let start = self.names.len() as u32;
        self.names.extend_from_slice(dir);
        self.dirs.push((start, self.names.len() as u32));
        self.dirs.len() as u32 - 1
    }

    /// Sorts by 02-file-list 8.3 and resolves duplicates by 8.4 (`clear`: the receiving side only). Both ends do this,
    /// so that positions are the same.
    pub fn sort(&mut self, clear: bool) {
        let mut entries = std::mem::take(&mut self.entries);
        let mut paths = (Vec::new(), Vec::new());
        entries.sort_by(|a, b| self.compare(a, b, &mut paths));
        self.entries = entries;
        if clear {
            self.clear_duplicates();
        }
    }

    fn compare(&self, a: &FileEntry, b: &FileEntry, paths: &mut (Vec<u8>, Vec<u8>)) -> Ordering {
        if a.dir == b.dir {
            return flist::compare(self.base(a), a.is_dir(), self.base(b), b.is_dir());
        }
        self.path_into(a, &mut paths.0);
        self.path_into(b, &mut paths.1);
        flist::compare(&paths.0, a.is_dir(), &paths.1, b.is_dir())
    }

    /// 02-file-list 8.4: of equal names the first stays, of directories with their flags merged; a directory
    /// beats a non-directory of its name.
    fn clear_duplicates(&mut self) {
        let mut paths = (Vec::new(), Vec::new());
        let mut kept: Option<usize> = None;
        let clash_possible = self.entries.iter().any(FileEntry::is_dir) && self.entries.iter().any(|e| !e.is_dir());
        for at in 0..self.entries.len() {
            if let Some(first) = kept {
                let (a, b) = (self.entries[first], self.entries[at]);
                if self.compare(&a, &b, &mut paths) == Ordering::Equal {
                    if a.is_dir() {
                        let merged = &mut self.entries[first].flags;
                        // "Implied" stays only when every one of them was implied.
                        let implied = bits::TOP_DIR | bits::NO_CONTENT;
                        let both_implied = a.flags & b.flags & implied == implied;
                        *merged |= b.flags & bits::TOP_DIR;
                        if !(both_implied || a.flags & b.flags & bits::NO_CONTENT != 0) {
                            *merged &= !bits::NO_CONTENT;
                        }
                    }
                    self.entries[at].flags |= bits::CLEARED;
                    continue;
                }
            }
            kept = Some(at);
        }
        if !clash_possible {
            return;
        }
        // A file and a directory of one name sort apart. Only directories need a look-up, and there are few.
        let dirs: HashSet<Vec<u8>> =
            self.entries.iter().filter(|e| e.is_dir() && !e.cleared()).map(|e| self.path(e)).collect();
        for at in 0..self.entries.len() {
            let entry = self.entries[at];
            if !entry.is_dir() && !entry.cleared() {
                self.path_into(&entry, &mut paths.0);
                if dirs.contains(paths.0.as_slice()) {
                    self.entries[at].flags |= bits::CLEARED;
                }
            }
        }
    }

    /// The entry in its wire form.
    #[must_use]
    pub fn wire<'a>(&'a self, entry: &FileEntry, name: &'a [u8], hard_link: HardLink) -> Entry<'a> {
        Entry {
            name,
            size: entry.size,
            mtime: entry.mtime,
            mtime_nsec: entry.mtime_nsec,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            user_name: None,
            group_name: None,
            rdev: self.rdev(entry),
            link_target: self.link_target(entry),
            hard_link,
            checksum: self.checksum(entry),
            top_dir: entry.top_dir(),
            no_content: entry.no_content(),
        }
    }
}
