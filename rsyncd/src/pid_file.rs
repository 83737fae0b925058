//! The pid file: locked while we listen, removed at the end (04-daemon 19).

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};
use rsync_engine::fs::operator::{Trust, locate};
use rsync_engine::fs::{Dir, NameBuf};
use rustix::fs::{Mode, OFlags};

/// A held pid file.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    _locked: File,
}

impl PidFile {
    /// Takes the file, and writes our number into it. What is no regular file is replaced.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let (dir, name) = parent(path)?;
        if dir.stat(name.as_name()).is_ok_and(|stat| !stat.is_file()) {
            dir.unlink(name.as_name())?;
        }
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mut file = File::from(rustix::fs::openat(
            &dir,
            name.as_name().as_bytes(),
            flags,
            Mode::from_raw_mode(0o664),
        )?);
        let lock = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 4,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).map_err(io::Error::from)?;
        if file.metadata()?.len() > MAX_LEN {
            return Err(rustix::io::Errno::FBIG.into());
        }
        file.set_len(0)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(Self {
            path: path.to_owned(),
            _locked: file,
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Nobody is left to hear that it failed.
        if let Ok((dir, name)) = parent(&self.path) {
            let _ = dir.unlink(name.as_name());
        }
    }
}

/// The directory of the file, and the name in it, which may be a link.
fn parent(path: &Path) -> io::Result<(Dir, NameBuf)> {
    let found = locate(path, Trust::OwnLinks)?;
    Ok((found.dir, found.name.ok_or(rustix::io::Errno::ISDIR)?))
}

/// A file that is larger is not a pid file.
const MAX_LEN: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_ours_while_we_run() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (path, target) = (dir.path().join("pid"), dir.path().join("target"));
        std::fs::write(&target, "untouched").expect("write");
        std::os::unix::fs::symlink("target", &path).expect("symlink");
        let held = PidFile::create(&path).expect("created");
        let content = std::fs::read_to_string(&path).expect("content");
        assert_eq!(content, format!("{}\n", std::process::id()));
        assert_eq!(
            std::fs::read_to_string(&target).expect("content"),
            "untouched"
        );
        let error = PidFile::create(&path).expect_err("locked");
        assert_eq!(
            crate::config::describe(&error),
            "Resource temporarily unavailable (11)"
        );
        drop(held);
        assert!(!path.exists());
        std::fs::write(&path, "x".repeat(33)).expect("write");
        assert!(PidFile::create(&path).is_err(), "not a pid file");
    }
}
