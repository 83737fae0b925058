//! Random changes of a small tree, with few names, so that several writers get into each other's way.

use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, Timespec, Timestamps};

use super::random::Random;

/// Somebody who changes the tree.
pub(super) struct Writer {
    root: PathBuf,
    random: Random,
    written: u64,
    /// Sometimes takes away permissions of its own.
    user: bool,
}

const NAMES: [&[u8]; 9] = [
    b"a",
    b"b",
    b"c",
    b"d e",
    b"new\nline",
    b"\xff\xfe",
    b"-x",
    b"[*]?\\",
    b"zz",
];

impl Writer {
    pub(super) fn new(root: &Path, seed: u64, user: bool) -> Self {
        Self {
            root: root.to_owned(),
            random: Random::new(seed),
            written: seed,
            user,
        }
    }

    fn path(&mut self) -> PathBuf {
        let mut path = self.root.clone();
        for _ in 0..1 + self.random.below(3) {
            let name = *self.random.pick(&NAMES);
            path.push(std::ffi::OsStr::from_bytes(name));
        }
        path
    }

    fn content(&mut self) -> Vec<u8> {
        self.written += 1;
        // Few sizes, so that the quick check is fooled where it can be.
        let mut content = self.written.to_le_bytes().to_vec();
        content.resize(*self.random.pick(&[8, 8, 40, 9_000]), b'.');
        content
    }

    /// Does one thing; that it fails because of another writer is fine.
    pub(super) fn act(&mut self) {
        let path = self.path();
        let _ = match self.random.below(29) {
            0..=4 => write(&path, self.content()),
            5 => self.append_slowly(&path),
            6 => self.same_size_and_time(&path),
            7 => self.truncate(&path),
            8 | 9 => self.safe_save(&path),
            10 | 11 => fs::rename(&path, self.path()),
            12 => self.exchange(&path),
            13 => fs::create_dir(&path),
            14 => fs::create_dir_all(&path).and_then(|()| write(path.join("f"), self.content())),
            15 => self.populate(&path),
            16 => fs::remove_file(&path),
            17 => fs::remove_dir_all(&path),
            18 => fs::remove_dir(&path),
            19 => self.out_and_back(&path),
            20 => self.move_in(&path),
            21 => std::os::unix::fs::symlink(self.path(), &path),
            22 => fs::hard_link(&path, self.path()),
            23 => self.chmod(&path),
            24 => self.touch(&path),
            25 => self.tmpfile(&path),
            26 => rustix::fs::mknodat(
                CWD,
                &path,
                rustix::fs::FileType::Fifo,
                Mode::from_raw_mode(0o600),
                0,
            )
            .map_err(Into::into),
            27 => self.replace_by_other_type(&path),
            _ => self.rotate(&path),
        };
    }

    fn append_slowly(&mut self, path: &Path) -> std::io::Result<()> {
        let content = self.content();
        let mut file = open_options().append(true).open(path)?;
        for part in content.chunks(4_000) {
            file.write_all(part)?;
            std::thread::sleep(Duration::from_micros(self.random.below(2_000)));
        }
        Ok(())
    }

    fn same_size_and_time(&mut self, path: &Path) -> std::io::Result<()> {
        let meta = fs::symlink_metadata(path)?;
        if !meta.is_file() || meta.len() < 8 {
            return Ok(());
        }
        let content = self.content();
        let mut file = open_options().write(true).open(path)?;
        file.write_all(&content[..8])?;
        drop(file);
        set_mtime(path, meta.mtime(), meta.mtime_nsec())
    }

    fn truncate(&mut self, path: &Path) -> std::io::Result<()> {
        let meta = fs::symlink_metadata(path)?;
        if !meta.is_file() {
            return Ok(());
        }
        open_options()
            .write(true)
            .open(path)?
            .set_len(self.random.below(50))
    }

    fn safe_save(&mut self, path: &Path) -> std::io::Result<()> {
        let temp = path.with_file_name(format!(".save-{}", self.written));
        write(&temp, self.content())?;
        fs::rename(&temp, path).inspect_err(|_| {
            let _ = fs::remove_file(&temp);
        })
    }

    fn exchange(&mut self, path: &Path) -> std::io::Result<()> {
        let other = self.path();
        rustix::fs::renameat_with(CWD, path, CWD, &other, RenameFlags::EXCHANGE)?;
        Ok(())
    }

    fn populate(&mut self, path: &Path) -> std::io::Result<()> {
        for i in 0..self.random.below(20) {
            let dir = path.join(format!("p{}", i % 4));
            fs::create_dir_all(&dir)?;
            write(dir.join(format!("{i}")), self.content())?;
        }
        Ok(())
    }

    fn outside(&self) -> PathBuf {
        self.root.parent().unwrap().join("outside")
    }

    fn out_and_back(&mut self, path: &Path) -> std::io::Result<()> {
        self.written += 1;
        let away = self.outside().join(format!("{}", self.written));
        fs::rename(path, &away)?;
        if self.random.one_in(2) {
            std::thread::sleep(Duration::from_millis(self.random.below(80)));
        }
        if away.is_dir() {
            write(away.join("b"), self.content())?;
        }
        if self.random.one_in(3) {
            return Ok(());
        }
        let back = self.path();
        fs::rename(&away, if self.random.one_in(2) { path } else { &back })
    }

    /// A directory from elsewhere, with old time stamps.
    fn move_in(&mut self, path: &Path) -> std::io::Result<()> {
        self.written += 1;
        let made = self.outside().join(format!("in-{}", self.written));
        fs::create_dir_all(made.join("a"))?;
        for name in ["a/b", "c", "f"] {
            write(made.join(name), self.content())?;
            set_mtime(&made.join(name), 1_000_000_000, 0)?;
        }
        fs::rename(&made, path)
    }

    fn chmod(&mut self, path: &Path) -> std::io::Result<()> {
        if fs::symlink_metadata(path)?.is_symlink() {
            return Ok(());
        }
        let mut modes = vec![0o700, 0o755, 0o744, 0o711];
        if self.user {
            modes.extend([0, 0o500, 0o300, 0o600]);
        }
        let mode = *self.random.pick(&modes);
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    fn touch(&mut self, path: &Path) -> std::io::Result<()> {
        set_mtime(path, 1_200_000_000 + self.random.below(4) as i64, 5)
    }

    fn tmpfile(&mut self, path: &Path) -> std::io::Result<()> {
        let parent = path.parent().unwrap();
        let fd = rustix::fs::openat(
            CWD,
            parent,
            OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::from_raw_mode(0o600),
        )?;
        let mut file = fs::File::from(fd);
        file.write_all(&self.content())?;
        let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        rustix::fs::linkat(CWD, link, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
        Ok(())
    }

    fn replace_by_other_type(&mut self, path: &Path) -> std::io::Result<()> {
        let meta = fs::symlink_metadata(path)?;
        if meta.is_dir() {
            fs::remove_dir_all(path)?;
            if self.random.one_in(2) {
                write(path, self.content())
            } else {
                std::os::unix::fs::symlink("a", path)
            }
        } else {
            fs::remove_file(path)?;
            fs::create_dir(path)?;
            write(path.join("a"), self.content())
        }
    }

    fn rotate(&mut self, path: &Path) -> std::io::Result<()> {
        let (b, c) = (self.path(), self.path());
        self.written += 1;
        let spare = self.root.join(format!("spare-{}", self.written));
        fs::rename(&c, &spare)?;
        let _ = fs::rename(&b, &c);
        let _ = fs::rename(path, &b);
        fs::rename(&spare, path)
    }
}

/// A FIFO without a reader must not stop the writer.
fn open_options() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.custom_flags(OFlags::NONBLOCK.bits() as i32);
    options
}

fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> std::io::Result<()> {
    open_options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?
        .write_all(content.as_ref())
}

fn set_mtime(path: &Path, secs: i64, nsec: i64) -> std::io::Result<()> {
    let time = Timespec {
        tv_sec: secs,
        tv_nsec: nsec,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}
