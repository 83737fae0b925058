//! A held directory and what can be done with a name in it (05-security 14).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, RenameFlags, makedev};

use super::context::Context;
use super::{
    Atime, AttrOutcome, Attrs, Errno, FileId, Links, ListBuf, Listing, Name, Node, Op, ReadFile,
    RelPath, Result, Special, Staged, Stat, Temp, TempPlace, Tree, WriteFile, attrs, list, resolve,
    temp,
};

/// A held directory. Clones are cheap and share the descriptor.
#[derive(Clone, Debug)]
pub struct Dir(Arc<Held>);

#[derive(Debug)]
struct Held {
    fd: OwnedFd,
    /// Opened for reading, not as `O_PATH`.
    readable: bool,
    /// The position of `fd` was given to a listing; another one opens the directory again.
    listed: AtomicBool,
    context: Arc<Context>,
}

impl Dir {
    /// Examines the directory itself. One `statx`.
    pub fn self_stat(&self) -> Result<Stat> {
        Stat::read(self.context(), self.fd(), None)
    }

    /// EACCES if names in it cannot be reached (the permission to search). One system call.
    pub fn check_search(&self) -> Result<()> {
        match rustix::fs::accessat(self.fd(), ".", Access::EXEC_OK, AtFlags::EACCESS) {
            Err(Errno::ACCESS) => Err(Errno::ACCESS),
            // Old kernels and some containers do not let us ask; the first use will tell.
            _ => Ok(()),
        }
    }

    /// Examines `name`, never following a link. One `statx`.
    pub fn stat(&self, name: Name<'_>) -> Result<Stat> {
        Stat::read(self.context(), self.fd(), Some(name))
    }

    /// Like [`Dir::stat`], with `None` for what does not exist.
    pub fn stat_opt(&self, name: Name<'_>) -> Result<Option<Stat>> {
        match self.stat(name) {
            Err(Errno::NOENT) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Opens a subdirectory as `O_PATH`; a link is ELOOP, anything else ENOTDIR. Needs search
    /// rights only. One `openat2`.
    pub fn open_dir(&self, name: Name<'_>) -> Result<Self> {
        let fd = self.open(name, OFlags::PATH | OFlags::DIRECTORY, 0, Op::OpenDir)?;
        Ok(self.sibling(fd, false))
    }

    /// Opens a subdirectory for reading, so that [`Dir::list`] needs no further open. One
    /// `openat2`.
    pub fn open_list(&self, name: Name<'_>) -> Result<Self> {
        let fd = self.open(name, OFlags::RDONLY | OFlags::DIRECTORY, 0, Op::OpenDir)?;
        Ok(self.sibling(fd, true))
    }

    /// Starts to read the entries. `getdents64`; one `openat2` before if the handle is `O_PATH` or
    /// was listed before.
    pub fn list<'b>(&self, buf: &'b mut ListBuf) -> Result<Listing<'b>> {
        if self.0.readable && !self.0.listed.swap(true, Ordering::Relaxed) {
            return Ok(list::start(self.clone(), buf));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = resolve::open(
            self.context(),
            self.fd(),
            RelPath::ROOT,
            Links::Refuse,
            flags,
            Op::OpenDir,
        )?;
        Ok(list::start(self.sibling(fd, true), buf))
    }

    /// Opens a regular file for reading: ELOOP for a link, EINVAL for anything else that is no
    /// regular file (ENXIO for a socket). Never blocks on a FIFO. `openat2`, `statx`, `fcntl`.
    pub fn open_read(&self, name: Name<'_>, atime: Atime) -> Result<ReadFile> {
        ReadFile::open(self.context(), atime, |flags| {
            self.open(name, flags | OFlags::NOFOLLOW, 0, Op::OpenRead)
        })
    }

    /// Opens an existing regular file for writing in place (reading too); errors as
    /// [`Dir::open_read`]. `openat2`, `statx`, `fcntl`.
    pub fn open_write(&self, name: Name<'_>) -> Result<WriteFile> {
        WriteFile::open(self.context(), |flags| {
            self.open(name, flags, 0, Op::OpenWrite)
        })
    }

    /// Creates a regular file that must not exist (EEXIST, also for a link), for writing and
    /// reading. `mode` is subject to the umask. One `openat2`.
    pub fn create(&self, name: Name<'_>, mode: u32) -> Result<WriteFile> {
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NOCTTY;
        let fd = self.open(name, flags, mode & 0o7777, Op::Create)?;
        Ok(WriteFile::new(fd, Arc::clone(self.context())))
    }

    /// Opens any object as `O_PATH`, a link as itself. One `openat2`.
    pub fn open_node(&self, name: Name<'_>) -> Result<Node> {
        let fd = self.open(name, OFlags::PATH | OFlags::NOFOLLOW, 0, Op::OpenNode)?;
        Ok(Node::new(fd, Arc::clone(self.context())))
    }

    /// The target of a symbolic link; EINVAL if it is none. One `readlinkat` for targets up to 255
    /// bytes.
    pub fn read_link(&self, name: Name<'_>) -> Result<Vec<u8>> {
        self.before(Op::ReadLink)?;
        Ok(rustix::fs::readlinkat(self.fd(), name.as_bytes(), Vec::new())?.into_bytes())
    }

    /// Makes a directory with `mode` (after the umask). One `mkdirat`.
    pub fn mkdir(&self, name: Name<'_>, mode: u32) -> Result<()> {
        self.before(Op::Mkdir)?;
        rustix::fs::mkdirat(
            self.fd(),
            name.as_bytes(),
            Mode::from_raw_mode(mode & 0o7777),
        )
    }

    /// Removes an empty directory. One `unlinkat`.
    pub fn rmdir(&self, name: Name<'_>) -> Result<()> {
        self.before(Op::Rmdir)?;
        rustix::fs::unlinkat(self.fd(), name.as_bytes(), AtFlags::REMOVEDIR)
    }

    /// Removes anything but a directory (EISDIR). One `unlinkat`.
    pub fn unlink(&self, name: Name<'_>) -> Result<()> {
        self.before(Op::Unlink)?;
        rustix::fs::unlinkat(self.fd(), name.as_bytes(), AtFlags::empty())
    }

    /// Renames, replacing what is there. If both are hard links of one file nothing happens. One
    /// `renameat`.
    pub fn rename(&self, from: Name<'_>, to_dir: &Self, to: Name<'_>) -> Result<()> {
        self.before(Op::Rename)?;
        rustix::fs::renameat(self.fd(), from.as_bytes(), to_dir.fd(), to.as_bytes())
    }

    /// Renames; EEXIST if the target exists, EINVAL if the file system cannot tell. One
    /// `renameat2`.
    pub fn rename_new(&self, from: Name<'_>, to_dir: &Self, to: Name<'_>) -> Result<()> {
        self.before(Op::Rename)?;
        let flags = RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(
            self.fd(),
            from.as_bytes(),
            to_dir.fd(),
            to.as_bytes(),
            flags,
        )
    }

    /// Makes `to` in `to_dir` another name of `from`, a link not followed. EEXIST if the target
    /// exists. One `linkat`.
    pub fn link(&self, from: Name<'_>, to_dir: &Self, to: Name<'_>) -> Result<()> {
        self.before(Op::Link)?;
        rustix::fs::linkat(
            self.fd(),
            from.as_bytes(),
            to_dir.fd(),
            to.as_bytes(),
            AtFlags::empty(),
        )
    }

    /// Makes a symbolic link. EEXIST if the name exists. One `symlinkat`.
    pub fn symlink(&self, name: Name<'_>, target: &[u8]) -> Result<()> {
        self.before(Op::Symlink)?;
        rustix::fs::symlinkat(target, self.fd(), name.as_bytes())
    }

    /// Makes a device, FIFO or socket with `mode` (after the umask). EEXIST if the name exists. One
    /// `mknodat`.
    pub fn mknod(&self, name: Name<'_>, special: Special, mode: u32) -> Result<()> {
        self.before(Op::Mknod)?;
        let (kind, dev) = match special {
            Special::Fifo => (FileType::Fifo, 0),
            Special::Socket => (FileType::Socket, 0),
            Special::Char { major, minor } => (FileType::CharacterDevice, makedev(major, minor)),
            Special::Block { major, minor } => (FileType::BlockDevice, makedev(major, minor)),
        };
        rustix::fs::mknodat(
            self.fd(),
            name.as_bytes(),
            kind,
            Mode::from_raw_mode(mode & 0o7777),
            dev,
        )
    }

    /// Creates a temporary file for `name` (03-transfer 7.1), removed on drop unless published.
    /// `mode` is the listed mode; the file gets `(mode | 0200) & 0700`. One `openat2`.
    pub fn create_temp(&self, name: Name<'_>, mode: u32, place: TempPlace) -> Result<Temp> {
        Temp::create(self, name, mode, place)
    }

    /// Makes a symbolic link under a temporary name, to replace `name` atomically. One `symlinkat`.
    pub fn stage_symlink(&self, name: Name<'_>, target: &[u8]) -> Result<Staged> {
        Staged::create(self, name, |temp| self.symlink(temp, target))
    }

    /// Makes a device, FIFO or socket under a temporary name, to replace `name` atomically. One
    /// `mknodat`.
    pub fn stage_special(&self, name: Name<'_>, special: Special, mode: u32) -> Result<Staged> {
        Staged::create(self, name, |temp| self.mknod(temp, special, mode))
    }

    /// Makes a hard link to `from` of `from_dir` under a temporary name, to replace `name`
    /// atomically. One `linkat`.
    pub fn stage_link(&self, name: Name<'_>, from_dir: &Self, from: Name<'_>) -> Result<Staged> {
        Staged::create(self, name, |temp| from_dir.link(from, self, temp))
    }

    /// Renames a running program out of the way, to `.rsyncNNN` (03-transfer 7.2).
    pub(super) fn set_aside(&self, name: Name<'_>) -> Result<()> {
        let aside = temp::busy_name(self.context());
        self.rename(name, self, aside.as_name())
    }

    /// Sets attributes of the directory itself, given what it has now. See [`Attrs`].
    pub fn set_attrs(&self, attrs: &Attrs, now: &Stat) -> AttrOutcome {
        let path_only = !self.0.readable;
        attrs::apply(
            attrs,
            attrs::Target {
                context: self.context(),
                fd: self.fd(),
                path_only,
            },
            Some(now),
        )
    }

    /// Device and inode. One `statx`.
    pub fn id(&self) -> Result<FileId> {
        Ok(self.self_stat()?.id)
    }

    /// The magic number of the file system (`f_type`). One `fstatfs`.
    pub fn fs_magic(&self) -> Result<u64> {
        Ok(rustix::fs::fstatfs(self.fd())?.f_type as u64)
    }

    pub(super) fn from_fd(fd: OwnedFd, context: Arc<Context>) -> Self {
        Self(Arc::new(Held {
            fd,
            readable: false,
            listed: AtomicBool::new(false),
            context,
        }))
    }

    /// Another directory of the same tree.
    pub(super) fn sibling(&self, fd: OwnedFd, readable: bool) -> Self {
        let context = Arc::clone(self.context());
        Self(Arc::new(Held {
            fd,
            readable,
            listed: AtomicBool::new(false),
            context,
        }))
    }

    pub(super) fn with_context(&self, context: Context) -> Result<Tree> {
        let fd = rustix::io::fcntl_dupfd_cloexec(self.fd(), 0)?;
        Ok(Tree::at(Self::from_fd(fd, Arc::new(context))))
    }

    /// The directory that contains this one, if it is the one expected (else ESTALE). `openat2`,
    /// `statx`.
    pub(super) fn open_parent(&self, expected: FileId) -> Result<Self> {
        let parent = self.sibling(resolve::open_dotdot(self.context(), self.fd())?, false);
        if parent.id()? == expected {
            Ok(parent)
        } else {
            Err(Errno::STALE)
        }
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.0.context
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }

    fn before(&self, op: Op) -> Result<()> {
        self.context().before(op)
    }

    fn open(&self, name: Name<'_>, flags: OFlags, mode: u32, op: Op) -> Result<OwnedFd> {
        resolve::open_name(self.context(), self.fd(), name, flags, mode, op)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}
