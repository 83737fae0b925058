//! Regular files, open for data.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, OFlags};

use super::context::{Context, NOT_REGULAR};
use super::{AttrOutcome, Attrs, Errno, Op, Result, Stat, attrs};

/// Whether reading a file may change its access time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Atime {
    /// As usual.
    Update,
    /// Not (`O_NOATIME`), where we own the file; else as usual.
    Preserve,
}

/// A regular file, open for reading.
#[derive(Debug)]
pub struct ReadFile {
    fd: OwnedFd,
    stat: Stat,
    context: Arc<Context>,
}

/// A regular file, open for writing and reading.
#[derive(Debug)]
pub struct WriteFile {
    fd: OwnedFd,
    context: Arc<Context>,
}

impl ReadFile {
    /// What it was when it was opened. No system call.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// Examines it again. One `statx`.
    pub fn restat(&self) -> Result<Stat> {
        Stat::read(&self.context, self.fd.as_fd(), None)
    }

    /// Reads at the current position; 0 at the end. One `read`.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        self.context.before(Op::Read)?;
        rustix::io::retry_on_intr(|| rustix::io::read(&self.fd, &mut *buf))
    }

    /// Reads at `offset` until `buf` is full or the file ends, and says how much was read.
    /// `pread64`.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        read_at(&self.context, &self.fd, buf, offset)
    }

    #[cfg(test)]
    pub(super) fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Opens by `open` (given the flags), and lets nothing but a regular file through.
    pub(super) fn open(
        context: &Arc<Context>,
        atime: Atime,
        open: impl Fn(OFlags) -> Result<OwnedFd>,
    ) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let (fd, kept) = match atime {
            Atime::Update => (open(flags)?, OFlags::empty()),
            Atime::Preserve => match open(flags | OFlags::NOATIME) {
                Err(Errno::PERM) => (open(flags)?, OFlags::empty()),
                other => (other?, OFlags::NOATIME),
            },
        };
        let stat = regular(context, &fd, kept)?;
        Ok(Self {
            fd,
            stat,
            context: Arc::clone(context),
        })
    }
}

impl io::Read for ReadFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(Self::read(self, buf)?)
    }
}

impl WriteFile {
    /// Examines it. One `statx`.
    pub fn stat(&self) -> Result<Stat> {
        Stat::read(&self.context, self.fd.as_fd(), None)
    }

    /// Reads at `offset` until `buf` is full or the file ends, and says how much was read.
    /// `pread64`.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        read_at(&self.context, &self.fd, buf, offset)
    }

    /// Writes all of `data` at `offset`. `pwrite64`.
    pub fn write_at(&self, mut data: &[u8], mut offset: u64) -> Result<()> {
        while !data.is_empty() {
            self.context.before(Op::Write)?;
            let written = rustix::io::retry_on_intr(|| rustix::io::pwrite(&self.fd, data, offset))?;
            if written == 0 {
                return Err(Errno::IO);
            }
            data = &data[written..];
            offset += written as u64;
        }
        Ok(())
    }

    /// Cuts or extends to `len` bytes. One `ftruncate`.
    pub fn set_len(&self, len: u64) -> Result<()> {
        self.context.before(Op::Truncate)?;
        rustix::io::retry_on_intr(|| rustix::fs::ftruncate(&self.fd, len))
    }

    /// Reserves room for `len` bytes without changing the length; that the file system cannot is no
    /// error. One `fallocate`.
    pub fn reserve(&self, len: u64) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        self.context.before(Op::Truncate)?;
        let reserve = || rustix::fs::fallocate(&self.fd, FallocateFlags::KEEP_SIZE, 0, len);
        match rustix::io::retry_on_intr(reserve) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            other => other,
        }
    }

    /// Brings data and length to the disk. One `fdatasync`.
    pub fn sync(&self) -> Result<()> {
        self.context.before(Op::Sync)?;
        rustix::io::retry_on_intr(|| rustix::fs::fdatasync(&self.fd))
    }

    /// Sets attributes in the order of 03-transfer 7.3. Without `now` (a file just made) times and
    /// permissions are set unseen, and one `statx` is made if an owner or group is wanted. See
    /// [`Attrs`].
    pub fn set_attrs(&self, attrs: &Attrs, now: Option<&Stat>) -> AttrOutcome {
        let target = attrs::Target {
            context: &self.context,
            fd: self.fd.as_fd(),
            path_only: false,
        };
        attrs::apply(attrs, target, now)
    }

    pub(super) fn new(fd: OwnedFd, context: Arc<Context>) -> Self {
        Self { fd, context }
    }

    /// Opens by `open` (given the flags), and lets nothing but a regular file through.
    pub(super) fn open(
        context: &Arc<Context>,
        open: impl Fn(OFlags) -> Result<OwnedFd>,
    ) -> Result<Self> {
        let fd = open(OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        regular(context, &fd, OFlags::empty())?;
        Ok(Self::new(fd, Arc::clone(context)))
    }
}

/// Checks that `fd`, opened with `O_NONBLOCK`, is a regular file, and clears that flag (`statx`,
/// `fcntl`).
fn regular(context: &Context, fd: &OwnedFd, kept: OFlags) -> Result<Stat> {
    let stat = Stat::read(context, fd.as_fd(), None)?;
    if !stat.is_file() {
        return Err(NOT_REGULAR);
    }
    rustix::fs::fcntl_setfl(fd, kept)?;
    Ok(stat)
}

fn read_at(context: &Context, fd: &OwnedFd, buf: &mut [u8], offset: u64) -> Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        context.before(Op::Read)?;
        let at = offset.checked_add(done as u64).ok_or(Errno::INVAL)?;
        match rustix::io::retry_on_intr(|| rustix::io::pread(fd, &mut buf[done..], at))? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}
