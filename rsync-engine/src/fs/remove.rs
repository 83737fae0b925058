//! Recursive deletion (03-transfer 8.2, 8.3).

use std::cmp::Ordering;

use rustix::process::geteuid;

use super::{
    Attrs, Dir, Errno, FileId, FileKind, ListBuf, Name, RelPath, RelPathBuf, Result, Stat,
};

/// An entry that is about to be deleted.
#[derive(Clone, Copy, Debug)]
pub struct Doomed<'a> {
    /// The held directory that contains it.
    pub dir: &'a Dir,
    /// Its name there.
    pub name: Name<'a>,
    /// Its path: the one given to [`remove_tree`], and the names below.
    pub path: RelPath<'a>,
    /// Its type.
    pub kind: FileKind,
}

impl Doomed<'_> {
    /// Removes it. One `unlinkat`.
    pub fn remove(&self) -> Result<()> {
        match self.kind {
            FileKind::Directory => self.dir.rmdir(self.name),
            _ => self.dir.unlink(self.name),
        }
    }
}

/// Decides about each entry and learns what became of it.
pub trait Deleter {
    /// True if an entry below the top (and everything below it) stays: protected by a filter. Asked
    /// once, before anything below it is looked at.
    fn protects(&mut self, _entry: &Doomed<'_>) -> bool {
        false
    }

    /// Carries out the removal, of a directory after its contents. `Ok(true)`: gone (in a dry run:
    /// would be); `Ok(false)`: stays. A backup renames here, a limit counts here, reports are
    /// written here.
    fn remove(&mut self, entry: &Doomed<'_>) -> Result<bool> {
        entry.remove().map(|()| true)
    }

    /// Whether the walk may go on; asked before each entry. Otherwise it ends with ECANCELED.
    fn may_go_on(&mut self) -> bool {
        true
    }

    /// The entry stays because of an error: ENOTEMPTY for a directory of which something stays,
    /// EXDEV for a mount point with [`RemoveOptions::one_file_system`]. The walk goes on.
    fn failed(&mut self, entry: &Doomed<'_>, errno: Errno);
}

/// How a deletion walks.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Neither enter nor remove directories on another device (`-x`).
    pub one_file_system: bool,
    /// [`Deleter::remove`] removes nothing; no permission is changed to get into a directory
    /// either.
    pub dry_run: bool,
}

/// Deletes `name` of `dir`: contents before the directory, within a directory in reverse sort order
/// (subdirectories first). `path` is what the reports call `name`. True if it is gone.
///
/// There is no recursion, and at most 32 handles are held at any depth: a parent that was let go is
/// opened again as `..`, and must be the same directory. An error of this function itself is about
/// `name` not being there, ESTALE if directories were moved about meanwhile, or ECANCELED. For a file `statx`
/// and `unlinkat`; for a directory `statx`, `openat2`, `statx`, `getdents64`, `close`, `unlinkat`.
pub fn remove_tree(
    dir: &Dir,
    name: Name<'_>,
    path: RelPath<'_>,
    options: RemoveOptions,
    deleter: &mut dyn Deleter,
) -> Result<bool> {
    let kind = dir.stat(name)?.kind();
    let top = Doomed {
        dir,
        name,
        path,
        kind,
    };
    if kind != FileKind::Directory {
        return Ok(remove_one(deleter, &top));
    }
    let device = if options.one_file_system {
        Some(dir.id()?.dev)
    } else {
        None
    };
    let mut entering = Entering {
        euid: geteuid().as_raw(),
        device,
        dry_run: options.dry_run,
        buf: ListBuf::default(),
    };
    let mut levels = match entering.enter(dir, name) {
        Ok(level) => vec![level],
        Err(errno) => {
            deleter.failed(&top, errno);
            return Ok(false);
        }
    };
    let mut path = path.to_buf();
    while let Some(level) = levels.last_mut() {
        if !deleter.may_go_on() {
            return Err(Errno::CANCELED);
        }
        if let Some(kind) = level.next(&mut path) {
            let entry = level.entry(&path, kind);
            let gone = if deleter.protects(&entry) {
                false
            } else if kind != FileKind::Directory {
                remove_one(deleter, &entry)
            } else {
                match entering.enter(entry.dir, entry.name) {
                    Ok(below) => {
                        levels.push(below);
                        if let Some(far) = levels.len().checked_sub(HELD + 1) {
                            levels[far].dir = None;
                        }
                        continue;
                    }
                    Err(errno) => {
                        deleter.failed(&entry, errno);
                        false
                    }
                }
            };
            level.kept |= !gone;
            path.pop();
            continue;
        }
        let Some(below) = levels.pop() else { break };
        let Some(level) = levels.last_mut() else {
            return Ok(leave(deleter, &below, &top));
        };
        if level.dir.is_none() {
            level.dir = Some(below.dir().open_parent(level.id)?);
        }
        let gone = leave(deleter, &below, &level.entry(&path, FileKind::Directory));
        level.kept |= !gone;
        path.pop();
    }
    Ok(false)
}

/// Handles held at once.
const HELD: usize = 32;

fn remove_one(deleter: &mut dyn Deleter, entry: &Doomed<'_>) -> bool {
    match deleter.remove(entry) {
        Ok(gone) => gone,
        Err(Errno::NOENT) => true,
        Err(errno) => {
            deleter.failed(entry, errno);
            false
        }
    }
}

/// Removes a directory whose contents were dealt with.
fn leave(deleter: &mut dyn Deleter, level: &Level, entry: &Doomed<'_>) -> bool {
    let gone = if level.kept {
        deleter.failed(entry, Errno::NOTEMPTY);
        false
    } else {
        remove_one(deleter, entry)
    };
    if let (false, Some(before)) = (gone, &level.opened_up) {
        // Best effort: the directory stays, and so should its permissions.
        let _ = level.dir().set_attrs(
            &Attrs {
                mode: Some(before.permissions()),
                ..Attrs::default()
            },
            &opened_up(before),
        );
    }
    gone
}

/// A directory whose contents are being deleted.
struct Level {
    /// Let go of when the walk is far below.
    dir: Option<Dir>,
    id: FileId,
    /// Something stays.
    kept: bool,
    /// What it was before it was made writable.
    opened_up: Option<Stat>,
    names: Vec<u8>,
    /// Where names start and end, in sort order: the last is deleted first.
    pending: Vec<(usize, usize, FileKind)>,
}

impl Level {
    fn dir(&self) -> &Dir {
        self.dir.as_ref().expect("the last level is held")
    }

    /// Appends the next name to `path`.
    fn next(&mut self, path: &mut RelPathBuf) -> Option<FileKind> {
        let (start, end, kind) = self.pending.pop()?;
        path.push(Name::new(&self.names[start..end]).expect("checked when listed"));
        Some(kind)
    }

    /// The entry that `path` ends in.
    fn entry<'a>(&'a self, path: &'a RelPathBuf, kind: FileKind) -> Doomed<'a> {
        let path = path.as_path();
        let (_, name) = path.split().expect("a name was appended");
        Doomed {
            dir: self.dir(),
            name,
            path,
            kind,
        }
    }
}

/// What is needed to enter directories.
struct Entering {
    euid: u32,
    /// The only device to be on.
    device: Option<u64>,
    dry_run: bool,
    buf: ListBuf,
}

impl Entering {
    fn enter(&mut self, parent: &Dir, name: Name<'_>) -> Result<Level> {
        let mut opened = None;
        // What cannot be read is not opened up: somebody closed it.
        let dir = parent.open_list(name)?;
        let stat = dir.self_stat()?;
        if self.device.is_some_and(|device| device != stat.id.dev) {
            return Err(Errno::XDEV);
        }
        let locked = self.euid != 0 && stat.uid == self.euid && stat.mode & 0o200 == 0;
        if locked && !self.dry_run && dir.set_attrs(&write_access(&stat), &stat).ok().is_ok() {
            opened = Some(stat);
        }
        let mut level = Level {
            dir: None,
            id: stat.id,
            kept: false,
            opened_up: opened,
            names: Vec::new(),
            pending: Vec::new(),
        };
        self.read(&dir, &mut level)?;
        level.dir = Some(dir);
        Ok(level)
    }

    fn read(&mut self, dir: &Dir, level: &mut Level) -> Result<()> {
        let mut listing = dir.list(&mut self.buf)?;
        while let Some(entry) = listing.next() {
            let entry = entry?;
            let Ok(name) = Name::new(entry.name) else {
                level.kept = true;
                continue;
            };
            let kind = match entry.kind {
                Some(kind) => kind,
                None => match dir.stat_opt(name)? {
                    Some(stat) => stat.kind(),
                    None => continue,
                },
            };
            let start = level.names.len();
            level.names.extend_from_slice(entry.name);
            level.pending.push((start, level.names.len(), kind));
        }
        let names = &level.names;
        level
            .pending
            .sort_unstable_by(|a, b| compare((&names[a.0..a.1], a.2), (&names[b.0..b.1], b.2)));
        Ok(())
    }
}

fn write_access(stat: &Stat) -> Attrs {
    Attrs {
        mode: Some(opened_up(stat).permissions()),
        ..Attrs::default()
    }
}

fn opened_up(stat: &Stat) -> Stat {
    Stat {
        mode: stat.mode | 0o200,
        ..*stat
    }
}

/// Sort order within one directory (02-file-list 8.3): directories last, and compared with a slash
/// at their end.
fn compare(a: (&[u8], FileKind), b: (&[u8], FileKind)) -> Ordering {
    let is_dir = |kind| kind == FileKind::Directory;
    match (is_dir(a.1), is_dir(b.1)) {
        (false, true) => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, false) => a.0.cmp(b.0),
        (true, true) => a.0.iter().chain(b"/").cmp(b.0.iter().chain(b"/")),
    }
}
