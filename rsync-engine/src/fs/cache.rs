//! Directory handles by path.

use super::{Dir, Links, RelPath, RelPathBuf, Result, Tree};

/// The least recently used handles below a base directory of a tree. For one thread; no lock.
#[derive(Debug)]
pub struct DirCache {
    tree: Tree,
}

impl DirCache {
    /// Handles that a session holds at most (05-security 18).
    pub const DEFAULT_CAPACITY: usize = 256;

    /// An empty cache of directories below `base`; misses are resolved from the tree's root, following `links`.
    pub fn new(tree: Tree, base: RelPathBuf, links: Links, capacity: usize) -> Self {
        todo!()
    }
    /// The directory `path` below the base. No system call on a hit, one `openat2` on a miss.
    pub fn get(&mut self, path: RelPath<'_>) -> Result<Dir> {
        todo!()
    }
    /// Puts in a handle that the caller just opened or made.
    pub fn insert(&mut self, path: RelPath<'_>, dir: Dir) {
        todo!()
    }
    /// Forgets `path` and everything below it; needed after a directory was removed, replaced or renamed.
    pub fn forget(&mut self, path: RelPath<'_>) {
        todo!()
    }
}
