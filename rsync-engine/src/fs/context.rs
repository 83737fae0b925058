//! What all handles of one tree share.

use std::hash::{BuildHasher as _, RandomState};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, FsWord, Mode, OFlags, PROC_SUPER_MAGIC};

use super::{Errno, Op, Result, sys};

/// Shared by a tree and every handle opened below it. Holds no state of a session.
#[derive(Debug)]
pub(super) struct Context {
    /// The kernel (or an outer seccomp filter) has no openat2: resolve by hand.
    walk: AtomicBool,
    /// `/proc`, held where the kernel has no fchmodat2, so that it is at hand inside a chroot.
    proc: Option<OwnedFd>,
    random: RandomState,
    drawn: AtomicU64,
    #[cfg(any(test, feature = "fault-injection"))]
    hook: Option<std::sync::Arc<dyn super::Interpose>>,
}

impl Context {
    /// Asks the kernel what it has: one `fchmodat2`; where that is missing also an `openat` and an
    /// `fstatfs` of `/proc`.
    pub(super) fn new() -> Self {
        Self::with_proc((!sys::has_fchmodat2()).then(open_proc).flatten(), false)
    }

    /// As on a kernel before 5.6.
    pub(super) fn legacy() -> Self {
        Self::with_proc(open_proc(), true)
    }

    fn with_proc(proc: Option<OwnedFd>, walk: bool) -> Self {
        Self {
            walk: walk.into(),
            proc,
            random: RandomState::new(),
            drawn: AtomicU64::new(0),
            #[cfg(any(test, feature = "fault-injection"))]
            hook: None,
        }
    }

    /// The same with a hook.
    #[cfg(any(test, feature = "fault-injection"))]
    pub(super) fn hooked(&self, hook: std::sync::Arc<dyn super::Interpose>) -> Self {
        let proc = self.proc.as_ref().and_then(|proc| proc.try_clone().ok());
        Self {
            hook: Some(hook),
            ..Self::with_proc(proc, self.walks())
        }
    }

    /// To be called before each system call.
    #[inline]
    pub(super) fn before(&self, op: Op) -> Result<()> {
        #[cfg(any(test, feature = "fault-injection"))]
        if let Some(hook) = &self.hook {
            return hook.before(op);
        }
        let _ = op;
        Ok(())
    }

    /// True if paths are resolved by hand.
    pub(super) fn walks(&self) -> bool {
        self.walk.load(Ordering::Relaxed)
    }

    /// From now on paths are resolved by hand.
    pub(super) fn give_up_openat2(&self) {
        self.walk.store(true, Ordering::Relaxed);
    }

    /// An unpredictable number, without a system call.
    pub(super) fn random(&self) -> u64 {
        self.random
            .hash_one(self.drawn.fetch_add(1, Ordering::Relaxed))
    }

    /// chmod of an `O_PATH` descriptor: `fchmodat2`, or `fchmodat` of the descriptor's entry in the
    /// held `/proc`.
    pub(super) fn chmod_path_handle(&self, fd: BorrowedFd<'_>, mode: u32) -> Result<()> {
        match &self.proc {
            None => sys::fchmodat2(fd, mode),
            Some(proc) => {
                let entry = format!("thread-self/fd/{}", fd.as_raw_fd());
                rustix::fs::chmodat(proc, entry, Mode::from_raw_mode(mode), AtFlags::empty())
            }
        }
    }
}

/// `/proc` if it is a procfs.
fn open_proc() -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let proc = rustix::fs::openat(CWD, c"/proc", flags, Mode::empty()).ok()?;
    is_procfs(proc.as_fd()).then_some(proc)
}

/// True if `fd` is on a procfs. `fstatfs`.
pub(super) fn is_procfs(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(fd).is_ok_and(|fs| fs.f_type as FsWord == PROC_SUPER_MAGIC)
}

/// The error where something is not a regular file but has to be.
pub(super) const NOT_REGULAR: Errno = Errno::INVAL;
