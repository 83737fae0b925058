//! Resolution by hand, one component at a time: for kernels without openat2, for paths longer than
//! the kernel takes, and for the operator's paths, whose links are judged by their owner
//! (05-security 6, 13).

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::geteuid;

use super::context::{Context, is_procfs};
use super::{Errno, FileId, Op, Result, Stat};

/// Links followed in one resolution at most, as in the kernel.
const MAX_HOPS: usize = 40;

/// Which links the walk follows, and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// No link; nothing above the start.
    Refuse,
    /// Links and `..` that stay below the start.
    Beneath,
    /// The start is `/`, and `..` ends there.
    InRoot,
    /// No boundary; links of root and of our effective user.
    OwnLinks,
}

/// A walk in progress.
pub(super) struct Walker<'a> {
    context: &'a Context,
    start: BorrowedFd<'a>,
    policy: Policy,
    /// The directory reached, if it is not the start.
    reached: Option<OwnedFd>,
    /// Which directories were entered, from the start down to the one reached: `..` leads back to
    /// the one we came from, or nowhere.
    entered: Vec<FileId>,
    hops: usize,
}

impl<'a> Walker<'a> {
    pub(super) fn new(context: &'a Context, start: BorrowedFd<'a>, policy: Policy) -> Self {
        Self {
            context,
            start,
            policy,
            reached: None,
            entered: Vec::new(),
            hops: 0,
        }
    }

    /// The directory reached.
    pub(super) fn here(&self) -> BorrowedFd<'_> {
        self.reached.as_ref().map_or(self.start, OwnedFd::as_fd)
    }

    /// Goes along `path`. The result is the last component, to be opened in [`Walker::here`] with
    /// `O_NOFOLLOW`; it is no link if `follow_last`, and may not exist. `None`: the path ends in
    /// the directory reached.
    pub(super) fn walk(&mut self, path: &[u8], follow_last: bool) -> Result<Option<Vec<u8>>> {
        let mut pending = Vec::new();
        self.enqueue(&mut pending, path)?;
        let mut ends_in_dir = is_dir_text(path);
        while let Some(name) = pending.pop() {
            if name == b".." {
                self.up()?;
                continue;
            }
            let last = pending.is_empty() && !ends_in_dir;
            if last && !follow_last {
                return Ok(Some(name));
            }
            let node = match self.open(&name, OFlags::PATH | OFlags::NOFOLLOW) {
                Err(Errno::NOENT) if last => return Ok(Some(name)),
                other => other?,
            };
            let stat = Stat::read(self.context, node.as_fd(), None)?;
            if stat.is_symlink() {
                self.check_link(&stat)?;
                if last && self.policy == Policy::OwnLinks && is_procfs(node.as_fd()) {
                    // /dev/stdin, /dev/fd/N and the like: only the kernel can follow them.
                    return Ok(Some(name));
                }
                let target = rustix::fs::readlinkat(&node, c"", Vec::new())?.into_bytes();
                ends_in_dir |= pending.is_empty() && is_dir_text(&target);
                self.enqueue(&mut pending, &target)?;
            } else if last {
                return Ok(Some(name));
            } else if stat.is_dir() {
                self.reached = Some(node);
                self.entered.push(stat.id);
            } else {
                return Err(Errno::NOTDIR);
            }
        }
        Ok(None)
    }

    /// Puts the components of `path` on top of the stack, the first uppermost, and goes to the root
    /// if it is absolute.
    fn enqueue(&mut self, pending: &mut Vec<Vec<u8>>, path: &[u8]) -> Result<()> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        if path[0] == b'/' {
            match self.policy {
                Policy::Refuse | Policy::Beneath => return Err(Errno::XDEV),
                Policy::InRoot => {
                    self.reached = None;
                    self.entered.clear();
                }
                Policy::OwnLinks => {
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    self.reached = Some(rustix::fs::openat(CWD, c"/", flags, Mode::empty())?);
                }
            }
        }
        let names = path
            .split(|&b| b == b'/')
            .filter(|name| !matches!(*name, b"" | b"."));
        pending.extend(names.rev().map(<[u8]>::to_vec));
        Ok(())
    }

    fn check_link(&mut self, link: &Stat) -> Result<()> {
        self.hops += 1;
        let allowed = match self.policy {
            Policy::Refuse => false,
            Policy::Beneath | Policy::InRoot => true,
            Policy::OwnLinks => link.uid == 0 || link.uid == geteuid().as_raw(),
        };
        if allowed && self.hops <= MAX_HOPS {
            Ok(())
        } else {
            Err(Errno::LOOP)
        }
    }

    fn up(&mut self) -> Result<()> {
        let parent = |walk: &Self| walk.open(b"..", OFlags::PATH | OFlags::DIRECTORY);
        if self.policy == Policy::OwnLinks {
            self.reached = Some(parent(self)?);
            return Ok(());
        }
        if self.entered.pop().is_none() && self.policy != Policy::InRoot {
            return Err(Errno::XDEV);
        }
        self.reached = match self.entered.last() {
            None => None,
            Some(&expected) => {
                let parent = parent(self)?;
                if Stat::read(self.context, parent.as_fd(), None)?.id != expected {
                    return Err(Errno::STALE);
                }
                Some(parent)
            }
        };
        Ok(())
    }

    fn open(&self, name: &[u8], flags: OFlags) -> Result<OwnedFd> {
        self.context.before(Op::OpenNode)?;
        rustix::fs::openat(self.here(), name, flags | OFlags::CLOEXEC, Mode::empty())
    }
}

/// True if the text can only name a directory.
fn is_dir_text(path: &[u8]) -> bool {
    matches!(path.rsplit(|&b| b == b'/').next(), Some(b"" | b"." | b".."))
}
