//! From a held directory and a path below it to a descriptor, without leaving the directory
//! (05-security 13).

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};

use super::context::Context;
use super::walk::{Policy, Walker};
use super::{Errno, Links, Name, Op, RelPath, Result};

/// How often EAGAIN (a rename or mount at the same moment) is tried again.
const RETRIES: usize = 32;

/// The longest path the kernel takes, with its NUL.
const PATH_MAX: usize = 4096;

/// Opens `path` below `dir`. With `O_NOFOLLOW` in `flags` a link at the end is not followed
/// whatever `links` says. One `openat2`.
pub(super) fn open(
    context: &Context,
    dir: BorrowedFd<'_>,
    path: RelPath<'_>,
    links: Links,
    flags: OFlags,
    op: Op,
) -> Result<OwnedFd> {
    context.before(op)?;
    let text = if path.is_root() {
        b"."
    } else {
        path.as_bytes()
    };
    if !context.walks()
        && text.len() < PATH_MAX
        && let Some(result) = try_openat2(context, dir, text, flags, Mode::empty(), scope(links))
    {
        return result;
    }
    let policy = match links {
        Links::Any => return openat(dir, text, flags, Mode::empty()),
        Links::Refuse => Policy::Refuse,
        Links::Beneath => Policy::Beneath,
        Links::InRoot => Policy::InRoot,
    };
    let mut walker = Walker::new(context, dir, policy);
    let leaf = walker.walk(text, !flags.contains(OFlags::NOFOLLOW))?;
    match leaf {
        Some(name) => openat_link_aware(walker.here(), &name, flags, Mode::empty()),
        None => openat(walker.here(), b".", flags, Mode::empty()),
    }
}

/// Opens or creates `name` in `dir`, never following a link. One `openat2`.
pub(super) fn open_name(
    context: &Context,
    dir: BorrowedFd<'_>,
    name: Name<'_>,
    flags: OFlags,
    mode: u32,
    op: Op,
) -> Result<OwnedFd> {
    context.before(op)?;
    let (text, mode) = (name.as_bytes(), Mode::from_raw_mode(mode));
    if !context.walks()
        && let Some(result) = try_openat2(context, dir, text, flags, mode, scope(Links::Refuse))
    {
        return result;
    }
    openat_link_aware(dir, text, flags, mode)
}

/// Opens the parent directory of `dir`, wherever that is; the caller compares its identity. One
/// `openat2`.
pub(super) fn open_dotdot(context: &Context, dir: BorrowedFd<'_>) -> Result<OwnedFd> {
    context.before(Op::OpenDir)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    if !context.walks() {
        let scope = ResolveFlags::empty();
        if let Some(result) = try_openat2(context, dir, b"..", flags, Mode::empty(), scope) {
            return result;
        }
    }
    openat(dir, b"..", flags, Mode::empty())
}

/// `None` if there is no openat2.
fn try_openat2(
    context: &Context,
    dir: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
    scope: ResolveFlags,
) -> Option<Result<OwnedFd>> {
    let flags = flags | OFlags::CLOEXEC;
    let mut result = Err(Errno::AGAIN);
    for _ in 0..RETRIES {
        result = rustix::fs::openat2(dir, path, flags, mode, scope);
        if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    match result {
        // EPERM is also the file system's own answer (O_NOATIME, immutable files): ask about
        // something harmless.
        Err(Errno::NOSYS | Errno::PERM) if !openat2_works(dir) => {
            context.give_up_openat2();
            None
        }
        other => Some(other),
    }
}

fn openat2_works(dir: BorrowedFd<'_>) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let probe = rustix::fs::openat2(dir, c".", flags, Mode::empty(), ResolveFlags::empty());
    !matches!(probe, Err(Errno::NOSYS | Errno::PERM))
}

fn openat(dir: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    rustix::io::retry_on_intr(|| rustix::fs::openat(dir, path, flags | OFlags::CLOEXEC, mode))
}

/// Opens one component with `O_NOFOLLOW`; a link is ELOOP also where plain openat says ENOTDIR.
fn openat_link_aware(
    dir: BorrowedFd<'_>,
    name: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd> {
    let result = openat(dir, name, flags | OFlags::NOFOLLOW, mode);
    if result.as_ref().err() == Some(&Errno::NOTDIR) {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
        if stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink) {
            return Err(Errno::LOOP);
        }
    }
    result
}

fn scope(links: Links) -> ResolveFlags {
    match links {
        Links::Refuse => {
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS
        }
        Links::Beneath => ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        Links::InRoot => ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        Links::Any => ResolveFlags::empty(),
    }
}
