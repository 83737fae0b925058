//! Paths that the operator chose: configuration, secrets, message of the day, log, lock, pid file, module roots.
//!
//! The rule (05-security 6): each component is opened without following links; a link is followed only if
//! root or we own it, otherwise the path fails with ELOOP. At most 40 links.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Opens `path` with `flags` (and `O_NOFOLLOW`, `O_CLOEXEC`, `O_NOCTTY`) by the operator rule.
pub(crate) fn open(path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let (dir, leaf) = locate(path)?;
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(rustix::fs::openat(&dir, leaf.as_os_str(), flags, mode)?)
}

/// A regular file's content, at most `cap` bytes of it, and its status. More is an error.
pub(crate) fn read(path: &Path, cap: usize) -> io::Result<(Vec<u8>, Stat)> {
    // A FIFO must not block us before we see that it is one.
    let fd = open(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Errno::ISDIR.into()),
        _ => return Err(Errno::INVAL.into()),
    }
    let mut content = Vec::new();
    File::from(fd)
        .take(cap as u64 + 1)
        .read_to_end(&mut content)?;
    if content.len() > cap {
        return Err(Errno::FBIG.into());
    }
    Ok((content, stat))
}

/// Examines what `path` leads to.
pub(crate) fn stat(path: &Path) -> io::Result<Stat> {
    let fd = open(path, OFlags::PATH, Mode::empty())?;
    Ok(rustix::fs::fstat(fd)?)
}

/// Opens the directory that holds the object `path` leads to, and gives the object's name in it, which is no
/// link at that moment (it may not exist). The name is `.` for a path without a name.
pub(crate) fn locate(path: &Path) -> io::Result<(OwnedFd, OsString)> {
    let ours = rustix::process::geteuid().as_raw();
    let mut todo: VecDeque<OsString> = components(path.as_os_str().as_bytes()).collect();
    if path.as_os_str().is_empty() {
        return Err(Errno::NOENT.into());
    }
    let mut dir = open_start(path.as_os_str().as_bytes())?;
    let mut links = 0;
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            dir = rustix::fs::openat(&dir, "..", DIRECTORY, Mode::empty())?;
            continue;
        }
        let object = match rustix::fs::openat(&dir, name.as_os_str(), OBJECT, Mode::empty()) {
            Err(Errno::NOENT) if todo.is_empty() => return Ok((dir, name)),
            other => other?,
        };
        let stat = rustix::fs::fstat(&object)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                links += 1;
                if links > MAX_LINKS || (stat.st_uid != 0 && stat.st_uid != ours) {
                    return Err(Errno::LOOP.into());
                }
                let target = rustix::fs::readlinkat(&object, "", Vec::new())?.into_bytes();
                for part in components(&target).collect::<Vec<_>>().into_iter().rev() {
                    todo.push_front(part);
                }
                if target.first() == Some(&b'/') {
                    dir = open_start(&target)?;
                }
            }
            _ if todo.is_empty() => return Ok((dir, name)),
            FileType::Directory => dir = object,
            _ => return Err(Errno::NOTDIR.into()),
        }
    }
    Ok((dir, OsString::from(".")))
}

/// Names of the regular files in a directory; `None` if the path is no directory.
pub(crate) fn regular_files(path: &Path) -> io::Result<Option<Vec<Vec<u8>>>> {
    let fd = match open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
        Err(error) if error.raw_os_error() == Some(Errno::NOTDIR.raw_os_error()) => {
            return Ok(None);
        }
        other => other?,
    };
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&fd)? {
        let entry = entry?;
        let name = entry.file_name();
        let regular = rustix::fs::statat(&fd, name, AtFlags::empty())
            .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::RegularFile);
        if regular {
            names.push(name.to_bytes().to_vec());
        }
    }
    Ok(Some(names))
}

fn components(path: &[u8]) -> impl Iterator<Item = OsString> + '_ {
    path.split(|&b| b == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(|part| OsString::from_vec(part.to_vec()))
}

fn open_start(path: &[u8]) -> io::Result<OwnedFd> {
    let start = if path.first() == Some(&b'/') {
        "/"
    } else {
        "."
    };
    Ok(rustix::fs::open(
        OsStr::new(start),
        DIRECTORY,
        Mode::empty(),
    )?)
}

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const OBJECT: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const MAX_LINKS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{lchown, symlink};

    #[test]
    fn own_links_are_followed_and_foreign_ones_are_not() {
        let dir = tempfile::tempdir().expect("temp dir");
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("real/sub")).expect("mkdir");
        std::fs::write(at("real/sub/file"), "x").expect("write");
        symlink("real", at("link")).expect("symlink");
        symlink(at("real/sub/file"), at("leaf")).expect("symlink");
        symlink("loop", at("loop")).expect("symlink");
        symlink("../real/./sub/", at("real/up")).expect("symlink");
        for (path, outcome) in [
            ("real/sub/file", Ok(())),
            ("link/sub/../sub/file", Ok(())),
            ("leaf", Ok(())),
            ("link/up/file", Ok(())),
            ("loop", Err(Errno::LOOP)),
            ("real/none", Err(Errno::NOENT)),
            ("real/none/x", Err(Errno::NOENT)),
            ("leaf/x", Err(Errno::NOTDIR)),
            ("real", Err(Errno::ISDIR)),
            ("", Err(Errno::ISDIR)),
        ] {
            let found = read(&at(path), 10).map(drop).map_err(|e| e.raw_os_error());
            assert_eq!(
                found,
                outcome.map_err(|e: Errno| Some(e.raw_os_error())),
                "{path}"
            );
        }
        assert!(read(&at("leaf"), 0).is_err(), "the cap holds");
        if rustix::process::geteuid().is_root() {
            lchown(at("link"), Some(65534), None).expect("lchown");
            lchown(at("leaf"), Some(65534), None).expect("lchown");
            for path in ["link/sub/file", "leaf"] {
                let error = read(&at(path), 10).expect_err(path);
                assert_eq!(
                    error.raw_os_error(),
                    Some(Errno::LOOP.raw_os_error()),
                    "{path}"
                );
            }
        }
    }
}
