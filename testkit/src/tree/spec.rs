//! Trees by declaration.

use super::set_mtime;
use crate::random::Random;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// A tree to build: entries in order, with missing parents added. What sets an attribute ([`TreeSpec::mode`],
/// [`TreeSpec::mtime`], [`TreeSpec::owner`]) means the entry added last.
///
/// Every entry, the root too, has a modification time of its own in the past, with nanoseconds, unless it is given one: so a copy that
/// forgets times shows, and nothing depends on when the test runs.
///
/// ```
/// let dir = testkit::temp_dir();
/// testkit::TreeSpec::new()
///     .file("a/text", "words").mode(0o600).mtime(1_000_000_000, 5)
///     .random_file("a/big", 1, 100_000)
///     .symlink("link", "a/text")
///     .hard_link("second name", "a/text")
///     .build(dir.path());
/// assert_eq!(std::fs::read(dir.path().join("link")).unwrap(), b"words");
/// ```
#[derive(Debug, Clone, Default)]
pub struct TreeSpec {
    entries: Vec<Entry>,
    /// Where in `entries` each path stands.
    known: HashMap<PathBuf, usize>,
    /// What attributes are set for.
    current: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    path: PathBuf,
    what: What,
    mode: Option<u32>,
    mtime: (i64, u32),
    owner: Option<(u32, u32)>,
}

#[derive(Debug, Clone)]
enum What {
    Dir,
    File(Vec<u8>),
    Random {
        seed: u64,
        len: u64,
    },
    Sparse {
        len: u64,
    },
    Symlink(PathBuf),
    HardLink(PathBuf),
    Fifo,
    Socket,
    Device {
        kind: FileType,
        major: u32,
        minor: u32,
    },
}

impl TreeSpec {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A small tree with one of everything that `-aH` keeps: sizes around the block length, modes, times, odd names,
    /// a deep chain, links of both kinds, a fifo, and devices where we are root. `seed` varies contents.
    #[must_use]
    pub fn sample(seed: u64) -> Self {
        let mut spec = Self::new()
            .dir("empty dir")
            .mode(0o700)
            .file("empty", "")
            .file("text", "some words\n")
            .mode(0o640)
            .file("read only", "r")
            .mode(0o444)
            .file("script", "#!/bin/sh\n")
            .mode(0o755)
            .file("set-id", "s")
            .mode(0o6755)
            .file("before 1970", "old")
            .mtime(-1_000_000, 999_999_999)
            .file("after 2038", "new")
            .mtime(5_000_000_000, 1)
            .sparse_file("sparse", 300_000)
            .symlink("link", "text")
            // Not out of the tree: a stock daemon without chroot strips leading "../" unless it munges.
            .symlink("dangling", "nowhere/at all")
            .symlink("dir link", "sub/dir")
            .file("sub/dir/file", "deep")
            .file("sub.txt", "sorts between sub and sub/")
            .hard_link("sub/dir/hard", "text")
            .hard_link("zz hard", "text")
            .fifo("fifo")
            .mode(0o622);
        for (number, len) in [1, 699, 700, 701, 4096, 65_537, 1_000_003]
            .into_iter()
            .enumerate()
        {
            spec = spec.random_file(
                format!("sizes/{len}"),
                seed.wrapping_add(number as u64),
                len,
            );
        }
        spec = spec.odd_names("odd").deep("deep", 40);
        if crate::is_root() {
            spec = spec
                .device("char", FileType::CharacterDevice, 1, 3)
                .device("block", FileType::BlockDevice, 259, 70_000)
                .file("foreign", "owned by others")
                .owner(12_345, 54_321)
                .symlink("foreign link", "text")
                .owner(12_345, 54_321);
        }
        spec
    }

    /// A tree of `files` random files in `dirs` directories, up to `max_size` bytes each.
    #[must_use]
    pub fn random(seed: u64, files: usize, dirs: usize, max_size: u64) -> Self {
        let mut random = Random::new(seed);
        let mut spec = Self::new();
        let mut paths = vec![PathBuf::new()];
        for number in 0..dirs {
            let path = random.pick(&paths).join(format!("d{number}"));
            spec = spec.dir(&path);
            paths.push(path);
        }
        for number in 0..files {
            let path = random.pick(&paths).join(format!("f{number}"));
            let (seed, len) = (random.bits(), random.file_size(max_size));
            spec = spec.random_file(path, seed, len);
        }
        spec
    }

    /// Adds files in directory `dir` whose names are allowed and unkind.
    #[must_use]
    pub fn odd_names(self, dir: impl AsRef<Path>) -> Self {
        let long = [b'n'; 255];
        let names: [&[u8]; 24] = [
            b" ",
            b"a b",
            b" lead",
            b"trail ",
            b"new\nline",
            b"tab\t",
            b"back\\slash",
            b"\\#012",
            b"-rf",
            b"--delete",
            b"#x#",
            b"a:b",
            b"::x",
            b"*",
            b"?",
            b"[a]",
            b"~",
            b"...",
            b".hidden",
            b"\xff\xfe",
            b"\x01\x7f",
            "é⌘".as_bytes(),
            b"%41$(x)`'\"",
            &long,
        ];
        names.into_iter().fold(self.dir(&dir), |spec, name| {
            spec.file(dir.as_ref().join(OsStr::from_bytes(name)), name)
        })
    }

    /// Adds a chain of `depth` directories below `dir`, with a file in the last one.
    #[must_use]
    pub fn deep(self, dir: impl AsRef<Path>, depth: usize) -> Self {
        let mut path = dir.as_ref().to_owned();
        path.extend(std::iter::repeat_n("down", depth));
        self.file(path.join("bottom"), "here")
    }

    /// Adds a directory.
    #[must_use]
    pub fn dir(self, path: impl AsRef<Path>) -> Self {
        self.add(path, What::Dir)
    }

    /// Adds a file.
    #[must_use]
    pub fn file(self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Self {
        self.add(path, What::File(content.as_ref().to_vec()))
    }

    /// Adds a file of `len` random bytes.
    #[must_use]
    pub fn random_file(self, path: impl AsRef<Path>, seed: u64, len: u64) -> Self {
        self.add(path, What::Random { seed, len })
    }

    /// Adds a file of `len` zeros that takes no space.
    #[must_use]
    pub fn sparse_file(self, path: impl AsRef<Path>, len: u64) -> Self {
        self.add(path, What::Sparse { len })
    }

    /// Adds a symlink.
    #[must_use]
    pub fn symlink(self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> Self {
        self.add(path, What::Symlink(target.as_ref().to_owned()))
    }

    /// Adds a further name of `of`, an entry added before.
    #[must_use]
    pub fn hard_link(self, path: impl AsRef<Path>, of: impl AsRef<Path>) -> Self {
        self.add(path, What::HardLink(of.as_ref().to_owned()))
    }

    /// Adds a fifo.
    #[must_use]
    pub fn fifo(self, path: impl AsRef<Path>) -> Self {
        self.add(path, What::Fifo)
    }

    /// Adds a socket; its path must be short (108 bytes with the root's).
    #[must_use]
    pub fn socket(self, path: impl AsRef<Path>) -> Self {
        self.add(path, What::Socket)
    }

    /// Adds a device of `kind`; building it needs root.
    #[must_use]
    pub fn device(self, path: impl AsRef<Path>, kind: FileType, major: u32, minor: u32) -> Self {
        self.add(path, What::Device { kind, major, minor })
    }

    /// Sets the mode of the last entry.
    ///
    /// # Panics
    /// Without an entry.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.last().mode = Some(mode);
        self
    }

    /// Sets the modification time of the last entry: seconds since 1970, nanoseconds.
    ///
    /// # Panics
    /// Without an entry.
    #[must_use]
    pub fn mtime(mut self, seconds: i64, nanos: u32) -> Self {
        self.last().mtime = (seconds, nanos);
        self
    }

    /// Sets the owner of the last entry; building it needs root.
    ///
    /// # Panics
    /// Without an entry.
    #[must_use]
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.last().owner = Some((uid, gid));
        self
    }

    /// Builds the tree in `root`, which is made if it is missing.
    ///
    /// # Panics
    /// When something cannot be made, naming it.
    #[track_caller]
    pub fn build(&self, root: impl AsRef<Path>) {
        let root = root.as_ref();
        fs::create_dir_all(root).expect("the root of the tree");
        for entry in &self.entries {
            if let Err(error) = entry.create(root) {
                panic!("cannot make {}: {error}", entry.path.display());
            }
        }
        // Backwards: what is added to a directory after it changes its time again, and a read-only one would refuse it.
        for entry in self.entries.iter().rev() {
            entry.set_attributes(root);
        }
        set_mtime(root, 1_500_000_000, 5);
    }

    fn add(mut self, path: impl AsRef<Path>, what: What) -> Self {
        let path = path.as_ref();
        if let Some(&known) = self.known.get(path) {
            assert!(
                matches!(what, What::Dir),
                "{} stands twice in the tree",
                path.display()
            );
            self.current = known;
            return self;
        }
        if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
            self = self.add(parent, What::Dir);
        }
        let number = self.entries.len();
        let nanos = number * 7_919_017 % 1_000_000_000;
        self.known.insert(path.to_owned(), number);
        self.current = number;
        self.entries.push(Entry {
            path: path.to_owned(),
            what,
            mode: None,
            mtime: (
                1_600_000_000 + number as i64 * 1009,
                u32::try_from(nanos).expect("below 1e9"),
            ),
            owner: None,
        });
        self
    }

    fn last(&mut self) -> &mut Entry {
        self.entries
            .get_mut(self.current)
            .expect("an entry before its attributes")
    }
}

impl Entry {
    fn create(&self, root: &Path) -> io::Result<()> {
        let path = root.join(&self.path);
        match &self.what {
            What::Dir => match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                    Ok(())
                }
                result => result,
            },
            What::File(content) => fs::File::create_new(&path)?.write_all(content),
            What::Random { seed, len } => write_random(&path, *seed, *len),
            What::Sparse { len } => fs::File::create_new(&path)?.set_len(*len),
            What::Symlink(target) => symlink(target, &path),
            What::HardLink(of) => fs::hard_link(root.join(of), &path),
            What::Fifo => Ok(mknodat(
                CWD,
                &path,
                FileType::Fifo,
                Mode::from_raw_mode(0o644),
                0,
            )?),
            What::Socket => UnixListener::bind(&path).map(drop),
            What::Device { kind, major, minor } => Ok(mknodat(
                CWD,
                &path,
                *kind,
                Mode::from_raw_mode(0o644),
                makedev(*major, *minor),
            )?),
        }
    }

    #[track_caller]
    fn set_attributes(&self, root: &Path) {
        // A further name shares the attributes of the first one, which are set by it.
        if matches!(self.what, What::HardLink(_)) {
            return;
        }
        let path = root.join(&self.path);
        let set = || {
            // A change of owner takes set-id bits away: the mode comes after it.
            if let Some((uid, gid)) = self.owner {
                lchown(&path, Some(uid), Some(gid))?;
            }
            let default = match self.what {
                What::Symlink(_) => None,
                What::Dir => Some(0o755),
                _ => Some(0o644),
            };
            match self.mode.or(default) {
                Some(mode) => fs::set_permissions(&path, fs::Permissions::from_mode(mode)),
                None => Ok(()),
            }
        };
        if let Err(error) = set() {
            panic!("cannot set mode or owner of {}: {error}", path.display());
        }
        set_mtime(&path, self.mtime.0, self.mtime.1);
    }
}

/// Writes `len` random bytes in pieces, so that big files cost no memory.
fn write_random(path: &Path, seed: u64, len: u64) -> io::Result<()> {
    let mut random = Random::new(seed);
    let mut file = fs::File::create_new(path)?;
    let mut buffer = vec![0; 1 << 16];
    let mut left = len;
    while left > 0 {
        let piece = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        random.fill(&mut buffer[..piece]);
        file.write_all(&buffer[..piece])?;
        left -= piece as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Compare, assert_same};
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    #[test]
    fn entries_are_what_was_declared() {
        let dir = crate::temp_dir();
        TreeSpec::new()
            .file("a/b/text", "words")
            .mode(0o4710)
            .mtime(1_000_000_000, 5)
            .dir("a")
            .mode(0o555)
            .mtime(7, 8)
            .symlink("link", "a/b/text")
            .mtime(9, 10)
            .hard_link("a/hard", "a/b/text")
            .fifo("fifo")
            .socket("s")
            .sparse_file("sparse", 1 << 30)
            .random_file("random", 3, 100_001)
            .build(dir.path());
        let meta = |name: &str| fs::symlink_metadata(dir.path().join(name)).unwrap();
        let text = meta("a/b/text");
        assert_eq!((text.mode(), text.nlink()), (0o104_710, 2));
        assert_eq!((text.mtime(), text.mtime_nsec()), (1_000_000_000, 5));
        assert_eq!(text.ino(), meta("a/hard").ino());
        // Known as a parent before it was named: what is said then counts.
        assert_eq!(
            (
                meta("a").mode() & 0o7777,
                meta("a").mtime(),
                meta("a").mtime_nsec()
            ),
            (0o555, 7, 8)
        );
        assert_eq!((meta("link").mtime(), meta("link").mtime_nsec()), (9, 10));
        assert!(meta("fifo").file_type().is_fifo() && meta("s").file_type().is_socket());
        assert!(meta("sparse").len() == 1 << 30 && meta("sparse").blocks() < 100);
        assert_eq!(
            fs::read(dir.path().join("random")).unwrap(),
            Random::new(3).bytes(100_001)
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_tree() {
        let dir = crate::temp_dir();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        for spec in [
            || TreeSpec::sample(1),
            || TreeSpec::random(5, 100, 20, 100_000),
        ] {
            spec().build(&a);
            spec().build(&b);
            assert_same(&a, &b, &Compare::exact());
            fs::remove_dir_all(&a).unwrap();
            fs::remove_dir_all(&b).unwrap();
        }
    }

    #[test]
    #[should_panic(expected = "stands twice")]
    fn a_name_stands_once() {
        let _ = TreeSpec::new().file("a", "").symlink("a", "b");
    }
}
