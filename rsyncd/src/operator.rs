//! Files that the operator chose: configuration, secrets, message of the day, rules, logs, locks. All are
//! opened by the engine's rule for such paths (05-security 6).

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rsync_engine::fs::operator::{Input, Output, Trust, open_dir, open_read, open_write};
use rsync_engine::fs::{Errno, ListBuf, Name, Stat};

/// A regular file's content and status. More than `cap` bytes are an error.
pub(crate) fn read(path: &Path, cap: usize) -> io::Result<(Vec<u8>, Stat)> {
    let (fd, stat) = open_read(path, Trust::OwnLinks, Input::Regular)?;
    let mut content = Vec::new();
    File::from(fd)
        .take(cap as u64 + 1)
        .read_to_end(&mut content)?;
    if content.len() > cap {
        return Err(Errno::FBIG.into());
    }
    Ok((content, stat))
}

/// Opens a file to write at its end; makes it if it is missing.
pub(crate) fn append(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    Ok(open_write(path, Trust::OwnLinks, Output::Append, mode)?)
}

/// Examines the file or directory that `path` leads to.
pub(crate) fn stat(path: &Path) -> io::Result<Stat> {
    match open_read(path, Trust::OwnLinks, Input::Regular) {
        Err(Errno::ISDIR) => Ok(open_dir(path, Trust::OwnLinks)?.self_stat()?),
        other => Ok(other?.1),
    }
}

/// Names of the regular files in a directory; `None` if the path is no directory.
pub(crate) fn regular_files(path: &Path) -> io::Result<Option<Vec<Vec<u8>>>> {
    let dir = match open_dir(path, Trust::OwnLinks) {
        Err(Errno::NOTDIR) => return Ok(None),
        other => other?,
    };
    let mut names = Vec::new();
    let mut buffer = ListBuf::default();
    let mut listing = dir.list(&mut buffer)?;
    while let Some(entry) = listing.next() {
        names.push(entry?.name.to_vec());
    }
    names
        .retain(|name| Name::new(name).is_ok_and(|name| dir.stat(name).is_ok_and(|s| s.is_file())));
    Ok(Some(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_directories() {
        let dir = tempfile::tempdir().expect("temp dir");
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("d")).expect("mkdir");
        std::fs::write(at("f"), "12345").expect("write");
        std::os::unix::fs::symlink("f", at("link")).expect("symlink");
        assert_eq!(read(&at("link"), 5).expect("our own link").0, b"12345");
        let error = read(&at("f"), 4).expect_err("too long");
        assert_eq!(error.raw_os_error(), Some(Errno::FBIG.raw_os_error()));
        assert!(stat(&at("d")).expect("stat").is_dir() && stat(&at("f")).expect("stat").is_file());
        assert_eq!(
            regular_files(dir.path()).expect("list"),
            Some(vec![b"f".to_vec()])
        );
        assert_eq!(regular_files(&at("f")).expect("no directory"), None);
        assert!(regular_files(&at("none")).is_err());
    }
}
