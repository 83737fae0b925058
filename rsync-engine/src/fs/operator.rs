//! Paths that the operator chose: command line of the side at hand, configuration (05-security 6).

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};

use super::context::{Context, is_procfs};
use super::walk::{Policy, Walker};
use super::{Dir, Errno, FileKind, Name, NameBuf, Result, Stat};

/// Which links on an operator's path are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// All: what the user typed at this process, or `--insecure-links`.
    All,
    /// Only links that root or our effective user owns; another's is ELOOP. At most 40.
    OwnLinks,
}

/// Where a path leads; its last component is not resolved.
#[derive(Clone, Debug)]
pub struct Located {
    /// The directory that holds the object; or the object itself, if `name` is `None`.
    pub dir: Dir,
    /// The last component; `None` if the path ends in a slash, `.` or `..`, or is `/`.
    pub name: Option<NameBuf>,
}

/// Opens the parent of `path`, or `path` itself where it can only be a directory. Relative paths
/// start at the working directory.
pub fn locate(path: &Path, trust: Trust) -> Result<Located> {
    let bytes = path.as_os_str().as_bytes();
    let split = bytes
        .iter()
        .rposition(|&b| b == b'/')
        .map_or(0, |slash| slash + 1);
    let (parent, last) = bytes.split_at(split);
    let (parent, name) = match last {
        b"" | b"." | b".." => (bytes, None),
        name => (parent, Some(Name::new(name)?.to_buf())),
    };
    if bytes.is_empty() {
        return Err(Errno::NOENT);
    }
    let parent = if parent.is_empty() { b"." } else { parent };
    Ok(Located {
        dir: open_dir(Path::new(OsStr::from_bytes(parent)), trust)?,
        name,
    })
}

/// Opens a directory as `O_PATH`.
pub fn open_dir(path: &Path, trust: Trust) -> Result<Dir> {
    let fd = open(path, trust, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    Ok(Dir::from_fd(fd, Arc::new(Context::new())))
}

/// What an input may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A regular file only (secrets, batch files); else EINVAL.
    Regular,
    /// Also a pipe or a terminal (`--files-from=/dev/stdin`).
    Stream,
}

/// Opens an input: secrets, rules, lists of names. What is to be read is checked on the handle,
/// never by name (05-security O-8).
pub fn open_read(path: &Path, trust: Trust, input: Input) -> Result<(OwnedFd, Stat)> {
    // Opening must not block on a FIFO before its type is known; reading from it may.
    let mut flags = OFlags::RDONLY | OFlags::NOCTTY;
    if input == Input::Regular {
        flags |= OFlags::NONBLOCK;
    }
    let file = open(path, trust, flags, Mode::empty())?;
    let stat = Stat::read(&Context::new(), file.as_fd(), None)?;
    match (input, stat.kind()) {
        (_, FileKind::Directory) => return Err(Errno::ISDIR),
        (_, FileKind::Regular) | (Input::Stream, _) => {}
        (Input::Regular, _) => return Err(Errno::INVAL),
    }
    if input == Input::Regular {
        rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
    }
    Ok((file, stat))
}

/// How an output is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Made if missing, written at its end (log files).
    Append,
    /// Made if missing, emptied otherwise (pid file, batch files).
    Replace,
}

/// Opens an output: log, pid file, batch. Its last component is opened with `O_NOFOLLOW` after the
/// links were judged.
pub fn open_write(path: &Path, trust: Trust, output: Output, mode: u32) -> Result<OwnedFd> {
    let how = match output {
        Output::Append => OFlags::APPEND,
        Output::Replace => OFlags::TRUNC,
    };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOCTTY | how;
    open(path, trust, flags, Mode::from_raw_mode(mode))
}

fn open(path: &Path, trust: Trust, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    if trust == Trust::All {
        return rustix::io::retry_on_intr(|| rustix::fs::openat(CWD, path, flags, mode));
    }
    let context = Context::new();
    let mut walker = Walker::new(&context, CWD, Policy::OwnLinks);
    match walker.walk(path.as_os_str().as_bytes(), true)? {
        None => rustix::fs::openat(walker.here(), c".", flags, mode),
        Some(name) => {
            let flags = if is_magic_link(walker.here(), &name) {
                flags
            } else {
                flags | OFlags::NOFOLLOW
            };
            rustix::io::retry_on_intr(|| {
                rustix::fs::openat(walker.here(), name.as_slice(), flags, mode)
            })
        }
    }
}

/// A last component on procfs that is still a link: the walker left it to the kernel.
fn is_magic_link(dir: BorrowedFd<'_>, name: &[u8]) -> bool {
    is_procfs(dir) && rustix::fs::readlinkat(dir, name, Vec::new()).is_ok()
}
