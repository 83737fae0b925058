//! The root of everything a session may touch, and the resolver of paths below it.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};

use super::context::Context;
use super::{
    Atime, Dir, Errno, Name, Node, Op, ReadFile, RelPath, Result, Stat, operator, resolve,
};

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
    /// By openat2; [`Resolver::Walk`] takes over if the kernel or a seccomp filter does not have
    /// it.
    Kernel,
    /// Component by component with `O_PATH|O_NOFOLLOW`, and without other calls younger than
    /// openat2.
    Walk,
}

/// A held root directory. Clones are cheap and share the handle.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Dir,
}

impl Tree {
    /// Opens a directory that the user of this process named; links are followed as usual.
    /// `openat`, and what [`Tree::from_fd`] needs.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self::from_fd(rustix::fs::openat(
            CWD,
            path,
            flags,
            Mode::empty(),
        )?))
    }

    /// Opens a directory by the operator rule (05-security 6): a link is followed only if root or
    /// we own it, else ELOOP.
    pub fn open_operator(path: &Path) -> Result<Self> {
        Ok(Self {
            root: operator::open_dir(path, operator::Trust::OwnLinks)?,
        })
    }

    /// A tree whose root is an open directory, `O_PATH` or readable (a detached mount, for
    /// example). One system call to learn what the kernel has.
    pub fn from_fd(root: OwnedFd) -> Self {
        Self {
            root: Dir::from_fd(root, Arc::new(Context::new())),
        }
    }

    /// A tree of its own that starts at a held directory.
    pub fn at(root: Dir) -> Self {
        Self { root }
    }

    /// The same root with another resolver, for tests. Duplicates the descriptor.
    pub fn with_resolver(&self, resolver: Resolver) -> Result<Self> {
        self.root.with_context(match resolver {
            Resolver::Kernel => Context::new(),
            Resolver::Walk => Context::legacy(),
        })
    }

    /// The same root with a hook before each system call made through it or through handles opened
    /// below it. Duplicates the descriptor.
    #[cfg(any(test, feature = "fault-injection"))]
    pub fn with_hook(&self, hook: Arc<dyn super::Interpose>) -> Result<Self> {
        self.root.with_context(self.root.context().hooked(hook))
    }

    /// The root directory.
    pub fn root(&self) -> &Dir {
        &self.root
    }

    /// A tree that starts at a directory of this one; the boundary of its resolutions is there. One
    /// `openat2`.
    pub fn subtree(&self, path: RelPath<'_>, links: Links) -> Result<Self> {
        Ok(Self {
            root: self.open_dir(path, links)?,
        })
    }

    /// Opens a directory without reading rights (`O_PATH`). One `openat2`; none for the root.
    pub fn open_dir(&self, path: RelPath<'_>, links: Links) -> Result<Dir> {
        if path.is_root() {
            return Ok(self.root.clone());
        }
        let fd = self.resolve(path, links, OFlags::PATH | OFlags::DIRECTORY, Op::OpenDir)?;
        Ok(self.root.sibling(fd, false))
    }

    /// Opens a directory for reading, so that [`Dir::list`] needs no further open. One `openat2`.
    pub fn open_list(&self, path: RelPath<'_>, links: Links) -> Result<Dir> {
        let fd = self.resolve(path, links, OFlags::RDONLY | OFlags::DIRECTORY, Op::OpenDir)?;
        Ok(self.root.sibling(fd, true))
    }

    /// Opens the parent of `path` and gives the last name; `None` for the root. One `openat2` at
    /// most.
    pub fn open_parent<'p>(
        &self,
        path: RelPath<'p>,
        links: Links,
    ) -> Result<Option<(Dir, Name<'p>)>> {
        let Some((parent, name)) = path.split() else {
            return Ok(None);
        };
        Ok(Some((self.open_dir(parent, links)?, name)))
    }

    /// Makes all missing directories of `path` with `mode` (after the umask), opens the last, and
    /// says how many were made. One `openat2` if nothing is missing; else two more for each missing
    /// one, and its `mkdirat`.
    pub fn make_dirs(&self, path: RelPath<'_>, links: Links, mode: u32) -> Result<(Dir, usize)> {
        let mut missing = Vec::new();
        let mut present = path;
        let mut dir = loop {
            match (self.open_dir(present, links), present.split()) {
                (Err(Errno::NOENT), Some((parent, name))) => {
                    missing.push(name);
                    present = parent;
                }
                (result, _) => break result?,
            }
        };
        let mut made = 0;
        for name in missing.into_iter().rev() {
            match dir.mkdir(name, mode) {
                Err(Errno::EXIST) => {}
                other => {
                    other?;
                    made += 1;
                }
            }
            dir = dir.open_dir(name)?;
        }
        Ok((dir, made))
    }

    /// Examines what `path` leads to, following links also at the end (as far as `links` allows).
    /// `openat2`, `statx`, `close`.
    pub fn stat(&self, path: RelPath<'_>, links: Links) -> Result<Stat> {
        self.open_node(path, links)?.stat()
    }

    /// Opens what `path` leads to as `O_PATH`, following links also at the end. One `openat2`.
    pub fn open_node(&self, path: RelPath<'_>, links: Links) -> Result<Node> {
        let fd = self.resolve(path, links, OFlags::PATH, Op::OpenNode)?;
        Ok(Node::new(fd, Arc::clone(self.root.context())))
    }

    /// Opens the regular file that `path` leads to, following links also at the end. See
    /// [`Dir::open_read`].
    pub fn open_read(&self, path: RelPath<'_>, links: Links, atime: Atime) -> Result<ReadFile> {
        ReadFile::open(self.root.context(), atime, |flags| {
            self.resolve(path, links, flags, Op::OpenRead)
        })
    }

    fn resolve(&self, path: RelPath<'_>, links: Links, flags: OFlags, op: Op) -> Result<OwnedFd> {
        resolve::open(self.root.context(), self.root.fd(), path, links, flags, op)
    }
}
