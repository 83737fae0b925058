//! Directory handles by path.

use std::collections::HashMap;

use super::{Dir, Links, RelPath, RelPathBuf, Result, Tree};

/// The least recently used handles below a base directory of a tree. For one thread; no lock.
///
/// A handle stays with its directory when that is renamed or removed: whoever does so calls
/// [`DirCache::forget`].
#[derive(Debug)]
pub struct DirCache {
    tree: Tree,
    base: RelPathBuf,
    links: Links,
    capacity: usize,
    held: HashMap<Box<[u8]>, (Dir, u64)>,
    clock: u64,
}

impl DirCache {
    /// Handles that a session holds at most (05-security 18).
    pub const DEFAULT_CAPACITY: usize = 256;

    /// An empty cache of directories below `base`; misses are resolved from the tree's root,
    /// following `links`.
    pub fn new(tree: Tree, base: RelPathBuf, links: Links, capacity: usize) -> Self {
        Self {
            tree,
            base,
            links,
            capacity: capacity.max(1),
            held: HashMap::new(),
            clock: 0,
        }
    }

    /// The directory `path` below the base. No system call on a hit, one `openat2` on a miss.
    pub fn get(&mut self, path: RelPath<'_>) -> Result<Dir> {
        self.clock += 1;
        if let Some((dir, used)) = self.held.get_mut(path.as_bytes()) {
            *used = self.clock;
            return Ok(dir.clone());
        }
        let dir = if self.base.as_path().is_root() {
            self.tree.open_dir(path, self.links)?
        } else {
            let mut full = self.base.clone();
            full.push_path(path);
            self.tree.open_dir(full.as_path(), self.links)?
        };
        self.insert(path, dir.clone());
        Ok(dir)
    }

    /// Puts in a handle that the caller just opened or made.
    pub fn insert(&mut self, path: RelPath<'_>, dir: Dir) {
        self.clock += 1;
        if self.held.len() >= self.capacity && !self.held.contains_key(path.as_bytes()) {
            let oldest = self.held.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.held.remove(&key);
            }
        }
        self.held.insert(path.as_bytes().into(), (dir, self.clock));
    }

    /// Forgets `path` and everything below it; needed after a directory was removed, replaced or
    /// renamed.
    pub fn forget(&mut self, path: RelPath<'_>) {
        self.held
            .retain(|key, _| match key.strip_prefix(path.as_bytes()) {
                Some(rest) => !(path.is_root() || rest.is_empty() || rest[0] == b'/'),
                None => true,
            });
    }
}
