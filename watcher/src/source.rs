//! The watched directory as the file system has it now: a held handle, and looks at single names below it.

use std::path::{Path, PathBuf};

use crate::path;
use rsync_engine::fs::{Dir, Errno, FileId, Links, Name, RelPath, Stat, Tree, describe};

/// The root: its path, as the user gave it, and its handle.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    path: PathBuf,
    tree: Tree,
    stat: Stat,
}

impl Source {
    /// Opens the directory; links on the way are followed once, here.
    pub(crate) fn open(path: &Path) -> Result<Self, Errno> {
        let tree = Tree::open(path)?;
        let stat = tree.root().self_stat()?;
        Ok(Self {
            path: path.to_owned(),
            tree,
            stat,
        })
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(crate) fn id(&self) -> FileId {
        self.stat.id
    }

    /// Opens a directory below the root for reading its entries.
    pub(crate) fn open_list(&self, path: &[u8]) -> Result<Dir, Errno> {
        self.tree.open_list(relative(path)?, Links::Refuse)
    }

    /// Opens a directory below the root as a place to look from.
    pub(crate) fn open_dir(&self, path: &[u8]) -> Result<Dir, Errno> {
        self.tree.open_dir(relative(path)?, Links::Refuse)
    }

    /// The directory that stands at a path now.
    pub(crate) fn id_at(&self, path: &[u8]) -> Result<FileId, Errno> {
        self.open_dir(path)?.id()
    }

    /// Compares the path with the handle. `Err`: what is there instead.
    pub(crate) fn check(&self) -> Result<(), String> {
        match Self::open(&self.path) {
            Err(errno) => Err(describe(errno)),
            Ok(now) if now.stat.id != self.stat.id => Err("another directory is there".to_owned()),
            // Mounted anew, or a bind mount was laid over it: the same directory, but not through the same mount.
            Ok(now) if now.stat.mnt != self.stat.mnt => Err("it was mounted anew".to_owned()),
            Ok(_) => Ok(()),
        }
    }

    /// Opens the path again, if the same directory is there.
    pub(crate) fn reopen(&self) -> Option<Self> {
        Self::open(&self.path)
            .ok()
            .filter(|now| now.stat.id == self.stat.id)
    }
}

/// What stands at a path.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    /// An object.
    Object(Stat),
    /// Nothing: the first so many bytes of the path are a name that does not exist in a directory that could be opened.
    Missing(usize),
    /// The first so many bytes of the path are an object that is no directory.
    Blocked(usize, Stat),
}

/// Looks at one name after the other, keeping the last directories of the last path open: paths in byte order cost one `statx` each and one open
/// for each new directory.
#[derive(Debug)]
pub(crate) struct Looker<'s> {
    source: &'s Source,
    /// Directories along the last path, with the length of their path.
    open: Vec<(usize, Dir)>,
    last: Vec<u8>,
}

impl<'s> Looker<'s> {
    pub(crate) fn new(source: &'s Source) -> Self {
        Self {
            source,
            open: Vec::new(),
            last: Vec::new(),
        }
    }

    /// Looks at `path`. `Err`: the first so many bytes of the path cannot be examined, for a reason that does not mean that they are gone.
    pub(crate) fn look(&mut self, path: &[u8]) -> Result<Found, (usize, Errno)> {
        if path.is_empty() {
            let stat = self.source.tree.root().self_stat();
            return stat.map(Found::Object).map_err(|errno| (0, errno));
        }
        self.keep_common(path);
        self.go_near(path);
        let mut start = self.open.last().map_or(0, |&(length, _)| length + 1);
        loop {
            let end = path[start..]
                .iter()
                .position(|&b| b == b'/')
                .map_or(path.len(), |at| start + at);
            let name = Name::new(&path[start..end]).map_err(|_| (end, Errno::INVAL))?;
            let dir = self
                .open
                .last()
                .map_or_else(|| self.source.tree.root(), |(_, dir)| dir);
            if end == path.len() {
                return match dir.stat(name) {
                    Ok(stat) => Ok(Found::Object(stat)),
                    Err(Errno::NOENT) => Ok(Found::Missing(end)),
                    Err(errno) => Err((end, errno)),
                };
            }
            match dir.open_dir(name) {
                Ok(dir) => self.hold(&path[..end], dir),
                Err(Errno::NOENT) => return Ok(Found::Missing(end)),
                Err(errno @ (Errno::NOTDIR | Errno::LOOP)) => {
                    return match dir.stat(name) {
                        Ok(stat) if stat.is_dir() => Err((end, errno)),
                        Ok(stat) => Ok(Found::Blocked(end, stat)),
                        Err(Errno::NOENT) => Ok(Found::Missing(end)),
                        Err(errno) => Err((end, errno)),
                    };
                }
                Err(errno) => return Err((end, errno)),
            }
            start = end + 1;
        }
    }

    /// Opens the directory of `path` at once, if several on the way to it are not open. If that does not work, going name by name tells
    /// why.
    fn go_near(&mut self, path: &[u8]) {
        let held = self.open.last().map_or(0, |&(length, _)| length + 1);
        let parent = path::parent(path);
        if path[held..].iter().filter(|&&byte| byte == b'/').count() > 1
            && let Ok(dir) = self.source.open_dir(parent)
        {
            self.hold(parent, dir);
        }
    }

    fn hold(&mut self, path: &[u8], dir: Dir) {
        if self.open.len() >= HELD {
            self.open.remove(0);
        }
        self.open.push((path.len(), dir));
        self.last.clear();
        self.last.extend_from_slice(path);
    }

    fn keep_common(&mut self, path: &[u8]) {
        while let Some(&(length, _)) = self.open.last() {
            let is_on_path = path.len() > length
                && path[length] == b'/'
                && self.last[..length] == path[..length];
            if is_on_path {
                break;
            }
            self.open.pop();
        }
    }
}

/// Directories that a [`Looker`] holds open at most; the deepest count.
const HELD: usize = 64;

fn relative(path: &[u8]) -> Result<RelPath<'_>, Errno> {
    RelPath::new(path).map_err(|_| Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn looks() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("a/b")).unwrap();
        std::fs::write(at("a/b/f"), b"x").unwrap();
        std::fs::write(at("a/file"), b"x").unwrap();
        std::os::unix::fs::symlink("b", at("a/link")).unwrap();
        let source = Source::open(dir.path()).unwrap();
        let mut looker = Looker::new(&source);
        let cases = [
            ("", "object"),
            ("a/b/f", "object"),
            ("a/b/g", "missing a/b/g"),
            ("a/b/x/y", "missing a/b/x"),
            ("a/b", "object"),
            ("a/file", "object"),
            ("a/file/x", "blocked a/file"),
            ("a/link", "object"),
            ("a/link/f", "blocked a/link"),
            ("a/nothing/else/here", "missing a/nothing"),
            ("z", "missing z"),
            ("a/b/f", "object"),
        ];
        for (path, expected) in cases {
            let text = match looker.look(path.as_bytes()) {
                Ok(Found::Object(_)) => "object".to_owned(),
                Ok(Found::Missing(end)) => format!("missing {}", &path[..end]),
                Ok(Found::Blocked(end, _)) => format!("blocked {}", &path[..end]),
                Err((end, errno)) => format!("{errno:?} {end}"),
            };
            assert_eq!(text, expected, "{path}");
        }
    }

    #[test]
    fn the_root_is_known_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let source = Source::open(&root).unwrap();
        assert_eq!(source.check(), Ok(()));
        std::fs::rename(&root, dir.path().join("away")).unwrap();
        assert!(source.check().is_err());
        std::fs::create_dir(&root).unwrap();
        assert_eq!(source.check(), Err("another directory is there".to_owned()));
        assert!(source.reopen().is_none());
        std::fs::remove_dir(&root).unwrap();
        std::fs::rename(dir.path().join("away"), &root).unwrap();
        assert_eq!(source.check(), Ok(()));
        assert!(source.reopen().is_some());
        assert!(Name::new(root.as_os_str().as_bytes()).is_err());
    }
}
