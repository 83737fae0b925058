//! Where a transfer goes: the rules that read the destination argument (02-file-list 14.7, 06-client 1.5).

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rsync_proto::PeerText;

use crate::error::Error;
use crate::fs::{Errno, Links, NameBuf, RelPathBuf, Tree, operator};

/// A destination argument, not looked at yet.
#[derive(Debug, Clone)]
pub enum Destination {
    /// A path that the user of this process named.
    Local(PathBuf),
    /// A path inside a module.
    Within {
        /// The module's root.
        tree: Tree,
        /// Which links below the root are followed.
        links: Links,
        /// The path below the root.
        path: RelPathBuf,
        /// The argument ended in a slash, or in a slash and a dot: it names a directory.
        slash: bool,
    },
}

/// The destination once it is open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// Its directory; `None` in a dry run that would have made it.
    pub(crate) tree: Option<Tree>,
    /// The absolute path of that directory as it was named; in a module, the path there.
    pub(crate) absolute: Vec<u8>,
    /// The only entry is stored under this name instead of its own.
    pub(crate) single: Option<NameBuf>,
    /// The directory was just made, or a dry run would have made it.
    pub(crate) fresh: bool,
    /// Its name as it was given, if it is fresh.
    pub(crate) name: Vec<u8>,
}

impl Destination {
    /// Opens it for a first list of `count` entries, of which the first is a directory or not.
    pub(crate) fn resolve(
        &self,
        count: usize,
        first_is_dir: bool,
        dry_run: bool,
    ) -> Result<Place, Error> {
        let mut place = self.find(count, first_is_dir, dry_run)?;
        place.absolute = self.whole();
        if place.single.is_some() {
            // It lies next to the file.
            let slash = place.absolute.iter().rposition(|&byte| byte == b'/');
            place.absolute.truncate(slash.unwrap_or(0));
        }
        Ok(place)
    }

    fn find(&self, count: usize, first_is_dir: bool, dry_run: bool) -> Result<Place, Error> {
        match self.open() {
            Ok(tree) => {
                tree.root()
                    .check_search()
                    .map_err(|errno| self.failed("change_dir#1", errno, 3))?;
                return Ok(Place {
                    tree: Some(tree),
                    ..Place::default()
                });
            }
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR) => match self.parent() {
                Ok(Some((parent, name)))
                    if !self.slash() && parent.root().stat(name.as_name()).is_ok() =>
                {
                    if count > 1 {
                        let text =
                            "ERROR: destination must be a directory when copying more than 1 file";
                        return Err(Error::request(3, text));
                    }
                    if first_is_dir {
                        return Err(Error::request(
                            3,
                            "ERROR: cannot overwrite non-directory with a directory",
                        ));
                    }
                    return Ok(Place {
                        tree: Some(parent),
                        single: Some(name),
                        ..Place::default()
                    });
                }
                _ => return Err(self.cannot_stat(Errno::NOTDIR)),
            },
            Err(errno) => return Err(self.cannot_stat(errno)),
        }
        if count > 1 || self.slash() {
            if dry_run {
                return Ok(Place {
                    fresh: true,
                    name: without_slashes(&self.shown()).to_vec(),
                    ..Place::default()
                });
            }
            self.mkdir()
                .map_err(|errno| self.failed("mkdir", errno, 11))?;
            let tree = self
                .open()
                .map_err(|errno| self.failed("change_dir", errno, 3))?;
            return Ok(Place {
                tree: Some(tree),
                fresh: true,
                name: without_slashes(&self.shown()).to_vec(),
                ..Place::default()
            });
        }
        match self.parent() {
            Ok(Some((parent, name))) => Ok(Place {
                tree: Some(parent),
                single: Some(name),
                ..Place::default()
            }),
            Ok(None) => Err(self.no_parent(Errno::NOENT)),
            Err(errno) => Err(self.no_parent(errno)),
        }
    }

    /// The directory in which the destination is to be made cannot be opened.
    fn no_parent(&self, errno: Errno) -> Error {
        let mut path = self.as_given();
        if let Some(slash) = path.iter().rposition(|&byte| byte == b'/') {
            path.truncate(slash.max(1));
        }
        Error::File {
            op: "change_dir#3",
            path: PeerText(path),
            source: errno.into(),
            code: 3,
        }
    }

    fn failed(&self, op: &'static str, errno: Errno, code: u8) -> Error {
        let path = without_slashes(&self.as_given()).to_vec();
        Error::File {
            op,
            path: PeerText(path),
            source: errno.into(),
            code,
        }
    }

    fn cannot_stat(&self, errno: Errno) -> Error {
        let mut path = self.as_given();
        if self.slash() && !path.ends_with(b"/") {
            path.push(b'/');
        }
        Error::File {
            op: "cannot stat destination",
            path: PeerText(path),
            source: errno.into(),
            code: 3,
        }
    }

    /// The path as messages of failures have it: as it was given, but from the root of the file system or of the module.
    fn as_given(&self) -> Vec<u8> {
        match self {
            Self::Local(path) if path.is_relative() => {
                let here = std::env::current_dir().unwrap_or_default();
                [here.as_os_str().as_bytes(), b"/", &self.shown()].concat()
            }
            _ => self.shown(),
        }
    }

    /// The path from the root of the file system or of the module, in its shortest form.
    fn whole(&self) -> Vec<u8> {
        match self {
            Self::Local(path) => {
                let whole = std::path::absolute(path);
                whole.map_or_else(|_| self.shown(), |path| path.into_os_string().into_vec())
            }
            Self::Within { .. } => self.shown(),
        }
    }

    fn shown(&self) -> Vec<u8> {
        match self {
            Self::Local(path) => path.as_os_str().as_bytes().to_vec(),
            Self::Within { path, .. } => path.as_path().as_bytes().to_vec(),
        }
    }

    fn slash(&self) -> bool {
        match self {
            Self::Local(path) => path.as_os_str().as_bytes().ends_with(b"/"),
            Self::Within { slash, .. } => *slash,
        }
    }

    fn open(&self) -> Result<Tree, Errno> {
        match self {
            Self::Local(path) => Tree::open(path),
            Self::Within {
                tree, links, path, ..
            } => tree.subtree(path.as_path(), *links),
        }
    }

    fn parent(&self) -> Result<Option<(Tree, NameBuf)>, Errno> {
        match self {
            Self::Local(path) => {
                let bytes = path.as_os_str().as_bytes();
                let path = Path::new(std::ffi::OsStr::from_bytes(without_slashes(bytes)));
                let located = operator::locate(path, operator::Trust::All)?;
                let Some(name) = located.name else {
                    return Ok(None);
                };
                let parent = match path.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent,
                    _ => Path::new("."),
                };
                Ok(Some((Tree::open(parent)?, name)))
            }
            Self::Within {
                tree, links, path, ..
            } => {
                let Some((parent, name)) = path.as_path().split() else {
                    return Ok(None);
                };
                Ok(Some((tree.subtree(parent, *links)?, name.to_buf())))
            }
        }
    }

    fn mkdir(&self) -> Result<(), Errno> {
        match self.parent()? {
            Some((parent, name)) => parent.root().mkdir(name.as_name(), 0o777),
            None => Err(Errno::NOENT),
        }
    }
}

/// A path without the slashes at its end; the root keeps one.
fn without_slashes(path: &[u8]) -> &[u8] {
    let slashes = path.iter().rev().take_while(|&&byte| byte == b'/').count();
    &path[..(path.len() - slashes).max(path.len().min(1))]
}

impl From<Vec<u8>> for Destination {
    fn from(path: Vec<u8>) -> Self {
        Self::Local(PathBuf::from(std::ffi::OsString::from_vec(path)))
    }
}
