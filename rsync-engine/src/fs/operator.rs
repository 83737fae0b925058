//! Paths that the operator chose: command line of the side at hand, configuration (05-security 6).

use std::path::Path;

use super::{Dir, NameBuf, ReadFile, Result};

/// Which links on an operator's path are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// All: what the user typed at this process (or `--insecure-links`).
    All,
    /// Only links that root or our effective user owns; another's is ELOOP. At most 40.
    OwnLinks,
}

/// Where a path leads: its last component is not resolved.
#[derive(Clone, Debug)]
pub struct Located {
    /// The directory that holds the object; or the object itself, if `name` is `None`.
    pub dir: Dir,
    /// The last component; `None` if the path ends in a slash, `.`, `..` or is `/`.
    pub name: Option<NameBuf>,
}

/// Opens the parent of `path`. Relative paths start at the working directory.
pub fn locate(path: &Path, trust: Trust) -> Result<Located> {
    todo!()
}

/// Opens an input file (secrets, rules, lists of names): a regular file.
pub fn open_read(path: &Path, trust: Trust) -> Result<ReadFile> {
    todo!()
}
