//! Owner, permissions and times, set by descriptor in the order of 03-transfer 7.3.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid};

use super::context::Context;
use super::{Errno, Op, Result, Stat, Timestamp};

/// What shall be set; `None` leaves a thing as it is.
///
/// Only what differs is set: owner and group with one `fchown`, times with one `utimensat`, then
/// permissions with one `fchmod` (last, because a change of owner clears set-id bits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attrs {
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// The twelve permission bits. Set-id bits are dropped if a wanted change of owner or group
    /// failed (05-security N-12).
    pub mode: Option<u32>,
    /// Last change of the content.
    pub mtime: Option<Timestamp>,
    /// Last access.
    pub atime: Option<Timestamp>,
}

/// What became of it: each part is `Ok(true)` if it was changed, `Ok(false)` if there was nothing
/// to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct AttrOutcome {
    /// Owner and group.
    pub owner: Result<bool, Errno>,
    /// Times.
    pub times: Result<bool, Errno>,
    /// Permissions.
    pub mode: Result<bool, Errno>,
}

impl AttrOutcome {
    /// True if anything was changed.
    pub fn changed(&self) -> bool {
        [self.owner, self.times, self.mode].contains(&Ok(true))
    }

    /// The first failure, in the order in which things are set.
    pub fn ok(&self) -> Result<()> {
        self.owner.and(self.times).and(self.mode).map(|_| ())
    }
}

/// The umask of this thread, from `/proc/thread-self/status`; 022 if that cannot be read.
///
/// For a session before it confines itself. The system call that tells the umask would also change
/// it.
pub fn umask() -> u32 {
    use rustix::fs::{CWD, OFlags};
    let read = || -> Option<u32> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat(CWD, c"/proc/thread-self/status", flags, Mode::empty()).ok()?;
        let mut text = [0; 512];
        let len = rustix::io::read(file, &mut text).ok()?;
        let text = String::from_utf8_lossy(&text[..len]);
        let digits = text.lines().find_map(|line| line.strip_prefix("Umask:"))?;
        u32::from_str_radix(digits.trim(), 8).ok()
    };
    read().unwrap_or(0o022)
}

/// What attributes are set on.
pub(super) struct Target<'a> {
    pub(super) context: &'a Context,
    pub(super) fd: BorrowedFd<'a>,
    /// An `O_PATH` descriptor.
    pub(super) path_only: bool,
}

/// Sets what differs from `now`; without it (a file just made) times and permissions are set in any
/// case.
pub(super) fn apply(attrs: &Attrs, target: Target<'_>, now: Option<&Stat>) -> AttrOutcome {
    let owner = apply_owner(attrs, &target, now);
    let times = apply_times(attrs, &target, now);
    let mode = apply_mode(attrs, &target, now, owner);
    AttrOutcome { owner, times, mode }
}

fn apply_owner(attrs: &Attrs, target: &Target<'_>, now: Option<&Stat>) -> Result<bool> {
    if attrs.uid.is_none() && attrs.gid.is_none() {
        return Ok(false);
    }
    let seen;
    let now = match now {
        Some(now) => now,
        None => {
            seen = Stat::read(target.context, target.fd, None)?;
            &seen
        }
    };
    let uid = attrs.uid.filter(|&uid| uid != now.uid).map(Uid::from_raw);
    let gid = attrs.gid.filter(|&gid| gid != now.gid).map(Gid::from_raw);
    if uid.is_none() && gid.is_none() {
        return Ok(false);
    }
    target.context.before(Op::Chown)?;
    if target.path_only {
        rustix::fs::chownat(target.fd, c"", uid, gid, AtFlags::EMPTY_PATH)?;
    } else {
        rustix::fs::fchown(target.fd, uid, gid)?;
    }
    Ok(true)
}

fn apply_times(attrs: &Attrs, target: &Target<'_>, now: Option<&Stat>) -> Result<bool> {
    let mtime = attrs
        .mtime
        .filter(|&time| now.is_none_or(|now| now.mtime != time));
    let atime = attrs
        .atime
        .filter(|&time| now.is_none_or(|now| now.atime != time));
    if mtime.is_none() && atime.is_none() {
        return Ok(false);
    }
    let times = Timestamps {
        last_access: timespec(atime)?,
        last_modification: timespec(mtime)?,
    };
    target.context.before(Op::Utime)?;
    if target.path_only {
        rustix::fs::utimensat(target.fd, c"", &times, AtFlags::EMPTY_PATH)?;
    } else {
        rustix::fs::futimens(target.fd, &times)?;
    }
    Ok(true)
}

fn apply_mode(
    attrs: &Attrs,
    target: &Target<'_>,
    now: Option<&Stat>,
    owner: Result<bool>,
) -> Result<bool> {
    let Some(mode) = attrs.mode else {
        return Ok(false);
    };
    if now.is_some_and(Stat::is_symlink) {
        return Ok(false);
    }
    let mode = if owner.is_err() {
        mode & 0o1777
    } else {
        mode & 0o7777
    };
    // A change of owner may have cleared set-id bits that `now` still shows.
    let cleared = owner == Ok(true) && mode & 0o6000 != 0;
    if now.is_some_and(|now| now.permissions() == mode) && !cleared {
        return Ok(false);
    }
    target.context.before(Op::Chmod)?;
    if target.path_only {
        target.context.chmod_path_handle(target.fd, mode)?;
    } else {
        rustix::fs::fchmod(target.fd, Mode::from_raw_mode(mode))?;
    }
    Ok(true)
}

/// `None` leaves the time as it is. Nanoseconds out of range are EINVAL: the kernel gives some of
/// them a meaning.
fn timespec(time: Option<Timestamp>) -> Result<Timespec> {
    match time {
        None => Ok(Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        }),
        Some(time) if time.nsec < 1_000_000_000 => Ok(Timespec {
            tv_sec: time.secs,
            tv_nsec: time.nsec.into(),
        }),
        Some(_) => Err(Errno::INVAL),
    }
}
