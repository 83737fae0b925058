//! The root of everything a session may touch, and the resolver of paths below it.

use std::os::fd::OwnedFd;
use std::path::Path;

use super::{Atime, Dir, NameBuf, Node, ReadFile, RelPath, Result, Stat};

/// Which symbolic links a resolution follows (05-security 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// None: a link anywhere is ELOOP.
    Refuse,
    /// Those that stay below the root; a link that leads out, and an absolute one, is EXDEV.
    Beneath,
    /// All, but `/` and `..` end at the root as in a chroot.
    InRoot,
    /// All, wherever they lead. Only for a client's own source arguments.
    Any,
}

/// How paths are resolved below a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// By openat2; [`Resolver::Walk`] takes over if the kernel or a seccomp filter does not have it.
    Kernel,
    /// Component by component with `O_PATH|O_NOFOLLOW`.
    Walk,
}

/// A held root directory. Clones are cheap and share the handle.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Dir,
}

impl Tree {
    /// Opens a directory that the user of this process named; links are followed as usual. `openat`.
    pub fn open(path: &Path) -> Result<Self> {
        todo!()
    }
    /// Opens a directory by the operator rule (05-security 6): a link is followed only if root or we own it.
    pub fn open_operator(path: &Path) -> Result<Self> {
        todo!()
    }
    /// A tree whose root is an open directory, `O_PATH` or readable (a detached mount, for example).
    pub fn from_fd(root: OwnedFd) -> Self {
        todo!()
    }
    /// The same root as a tree of its own with another resolver; for tests and for kernels that are known to lack openat2.
    pub fn with_resolver(self, resolver: Resolver) -> Self {
        todo!()
    }
    /// The same root with a hook before each system call made through it or through handles opened below it.
    #[cfg(any(test, feature = "fault-injection"))]
    pub fn with_hook(self, hook: std::sync::Arc<dyn super::Interpose>) -> Self {
        todo!()
    }
    /// The root directory.
    pub fn root(&self) -> &Dir {
        &self.root
    }
    /// A tree that starts at a directory of this one; the boundary of its resolutions is there.
    pub fn subtree(&self, path: RelPath<'_>, links: Links) -> Result<Self> {
        todo!()
    }
    /// Opens a directory without reading rights (`O_PATH`). One `openat2`.
    pub fn open_dir(&self, path: RelPath<'_>, links: Links) -> Result<Dir> {
        todo!()
    }
    /// Opens the parent of `path` and gives the last name; `None` for the root.
    pub fn open_parent(&self, path: RelPath<'_>, links: Links) -> Result<Option<(Dir, NameBuf)>> {
        todo!()
    }
    /// Makes all missing directories of `path` with `mode` (after the umask) and opens the last; says how many were made.
    pub fn make_dirs(&self, path: RelPath<'_>, links: Links, mode: u32) -> Result<(Dir, usize)> {
        todo!()
    }
    /// Examines what `path` leads to, following links also at the end (as far as `links` allows). `openat2`, `statx`, `close`.
    pub fn stat(&self, path: RelPath<'_>, links: Links) -> Result<Stat> {
        todo!()
    }
    /// Opens what `path` leads to as `O_PATH`, following links also at the end.
    pub fn open_node(&self, path: RelPath<'_>, links: Links) -> Result<Node> {
        todo!()
    }
    /// Opens the regular file that `path` leads to, following links also at the end. See [`Dir::open_read`].
    pub fn open_read(&self, path: RelPath<'_>, links: Links, atime: Atime) -> Result<ReadFile> {
        todo!()
    }
}
