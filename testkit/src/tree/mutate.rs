//! Random changes of a tree, as people, editors and programs make them.

use super::set_mtime;
use crate::random::Random;
use std::fs;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Overwrites some bytes of a file; the size stays, and often the second of its time.
    Edit,
    /// Adds to the end of a file.
    Append,
    /// Shortens a file, often to nothing, or lengthens it by a hole.
    Truncate,
    /// A new file.
    Create,
    /// A new directory with files in it.
    CreateDir,
    /// A file, symlink or special file goes.
    Remove,
    /// A directory goes with all that is in it.
    RemoveDir,
    /// A file or symlink gets another name, sometimes one that exists.
    Rename,
    /// A directory gets another name or another parent.
    RenameDir,
    /// Another mode for a file or directory.
    Chmod,
    /// A new symlink, or another target for one.
    Symlink,
    /// A file is written beside its name and renamed over it, as careful editors save.
    Replace,
    /// A second name for a file.
    HardLink,
    /// Another modification time, with nanoseconds.
    Touch,
    /// A file becomes a directory, a symlink a file, and the like.
    Retype,
    /// A fifo.
    Fifo,
}

/// How often each kind of change is made.
#[derive(Debug, Clone)]
pub struct Mix(Vec<(Change, u64)>);

impl Default for Mix {
    /// Everything, the everyday changes more often.
    fn default() -> Self {
        Self(vec![
            (Change::Edit, 20),
            (Change::Append, 10),
            (Change::Truncate, 5),
            (Change::Create, 20),
            (Change::CreateDir, 6),
            (Change::Remove, 10),
            (Change::RemoveDir, 2),
            (Change::Rename, 10),
            (Change::RenameDir, 4),
            (Change::Chmod, 6),
            (Change::Symlink, 5),
            (Change::Replace, 10),
            (Change::HardLink, 4),
            (Change::Touch, 5),
            (Change::Retype, 3),
            (Change::Fifo, 1),
        ])
    }
}

impl Mix {
    /// Only these kinds, each equally often.
    #[must_use]
    pub fn only(kinds: &[Change]) -> Self {
        Self(kinds.iter().map(|&kind| (kind, 1)).collect())
    }

    /// All but this kind.
    #[must_use]
    pub fn without(mut self, kind: Change) -> Self {
        self.0.retain(|&(known, _)| known != kind);
        self
    }

    fn draw(&self, random: &mut Random) -> Change {
        let mut at = random.below(self.0.iter().map(|&(_, weight)| weight).sum());
        for &(kind, weight) in &self.0 {
            match at.checked_sub(weight) {
                Some(rest) => at = rest,
                None => return kind,
            }
        }
        unreachable!("the weights add up")
    }
}

/// Changes a tree at random; the same seed makes the same changes to the same tree.
///
/// Nobody else may change the tree meanwhile. Owners stay as they are, and directories keep `rwx` for their owner, so
/// that it works without root.
#[derive(Debug)]
pub struct Mutator {
    root: PathBuf,
    random: Random,
    mix: Mix,
    max_size: u64,
    /// Every directory below the root.
    dirs: Vec<PathBuf>,
    /// Everything else.
    leaves: Vec<(PathBuf, Leaf)>,
    names: u64,
    history: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaf {
    File,
    Symlink,
    Special,
}

impl Mutator {
    /// For the tree at `root`, which is read once.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, seed: u64) -> Self {
        let mut mutator = Self {
            root: root.into(),
            random: Random::new(seed),
            mix: Mix::default(),
            max_size: 200_000,
            dirs: Vec::new(),
            leaves: Vec::new(),
            names: seed << 32,
            history: Vec::new(),
        };
        mutator.scan(PathBuf::new());
        mutator
    }

    /// Another mix of changes.
    #[must_use]
    pub fn mix(mut self, mix: Mix) -> Self {
        self.mix = mix;
        self
    }

    /// The largest size of a new file, in bytes.
    #[must_use]
    pub const fn max_size(mut self, max_size: u64) -> Self {
        self.max_size = max_size;
        self
    }

    /// Makes one change and says which.
    ///
    /// # Panics
    /// When the tree was changed by others.
    #[track_caller]
    pub fn step(&mut self) -> &str {
        loop {
            let kind = self.mix.draw(&mut self.random);
            match self.try_change(kind) {
                Ok(Some(told)) => {
                    self.history.push(told);
                    return self.history.last().expect("just added");
                }
                // Nothing there to do it to; something is created sooner or later.
                Ok(None) if self.leaves.is_empty() => {
                    self.create(PathBuf::from("first"))
                        .expect("a file in the root");
                }
                Ok(None) => {}
                Err(error) => panic!(
                    "{kind:?} in {}: {error}\n{}",
                    self.root.display(),
                    self.told()
                ),
            }
        }
    }

    /// Makes `count` changes.
    ///
    /// # Panics
    /// When the tree was changed by others.
    #[track_caller]
    pub fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.step();
        }
    }

    /// All changes up to now, a line each: for the message of a failing test.
    #[must_use]
    pub fn told(&self) -> String {
        self.history.join("\n")
    }

    fn try_change(&mut self, kind: Change) -> io::Result<Option<String>> {
        let told = match kind {
            Change::Create => {
                let path = self.new_path();
                self.create(path.clone())?;
                format!("create {path:?}")
            }
            Change::CreateDir => self.create_dir()?,
            Change::Fifo => {
                let path = self.new_path();
                let mode = rustix::fs::Mode::from_raw_mode(0o644);
                rustix::fs::mknodat(
                    rustix::fs::CWD,
                    self.root.join(&path),
                    rustix::fs::FileType::Fifo,
                    mode,
                    0,
                )?;
                self.leaves.push((path.clone(), Leaf::Special));
                format!("fifo {path:?}")
            }
            Change::Symlink => self.symlink()?,
            Change::RemoveDir => return self.remove_dir(),
            Change::RenameDir => return self.rename_dir(),
            Change::Remove | Change::Rename | Change::Retype => {
                if self.leaves.is_empty() {
                    return Ok(None);
                }
                let index = self.random.index(self.leaves.len());
                match kind {
                    Change::Remove => self.remove(index)?,
                    Change::Rename => self.rename(index)?,
                    _ => self.retype(index)?,
                }
            }
            Change::Chmod | Change::Touch if self.random.one_in(4) && !self.dirs.is_empty() => {
                let path = self.random.pick(&self.dirs).clone();
                self.change_attribute(kind, &path, 0o700)?
            }
            Change::Edit
            | Change::Append
            | Change::Truncate
            | Change::Replace
            | Change::HardLink
            | Change::Chmod
            | Change::Touch => {
                let files: Vec<_> = self
                    .leaves
                    .iter()
                    .filter(|(_, leaf)| *leaf == Leaf::File)
                    .collect();
                if files.is_empty() {
                    return Ok(None);
                }
                let path = self.random.pick(&files).0.clone();
                match kind {
                    Change::Chmod | Change::Touch => self.change_attribute(kind, &path, 0o600)?,
                    Change::HardLink => {
                        let link = self.new_path();
                        fs::hard_link(self.root.join(&path), self.root.join(&link))?;
                        self.leaves.push((link.clone(), Leaf::File));
                        format!("hard link {link:?} to {path:?}")
                    }
                    _ => self.change_content(kind, &path)?,
                }
            }
        };
        Ok(Some(told))
    }

    fn change_content(&mut self, kind: Change, path: &Path) -> io::Result<String> {
        let full = self.root.join(path);
        let len = fs::metadata(&full)?.len();
        if kind == Change::Replace {
            let temporary = full.with_file_name(format!(".save{}~", self.next_name()));
            let mut content = fs::read(&full)?;
            let more = self.random.below(200);
            content.extend(self.random.bytes(usize::try_from(more).expect("small")));
            fs::write(&temporary, content)?;
            fs::set_permissions(&temporary, fs::metadata(&full)?.permissions())?;
            fs::rename(&temporary, &full)?;
            return Ok(format!("replace {path:?}"));
        }
        // Made writable for us first: a mode without it would only be in the way of a test that is not root.
        let mut file = match fs::OpenOptions::new().write(true).open(&full) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                fs::set_permissions(&full, fs::Permissions::from_mode(0o600))?;
                fs::OpenOptions::new().write(true).open(&full)?
            }
            other => other?,
        };
        match kind {
            Change::Truncate => {
                let to = match self.random.below(4) {
                    0 => 0,
                    1 => len + self.random.below(10_000),
                    _ => self.random.below(len + 1),
                };
                file.set_len(to)?;
                Ok(format!("truncate {path:?} from {len} to {to}"))
            }
            Change::Edit if len > 0 => {
                let at = self.random.below(len);
                let most = (len - at).min(100);
                let count = 1 + self.random.below(most);
                let bytes = self.random.bytes(usize::try_from(count).expect("small"));
                file.seek(SeekFrom::Start(at))?;
                file.write_all(&bytes)?;
                Ok(format!("edit {count} bytes at {at} of {path:?}"))
            }
            _ => {
                let count = 1 + self.random.below(1000);
                let bytes = self.random.bytes(usize::try_from(count).expect("small"));
                file.seek(SeekFrom::End(0))?;
                file.write_all(&bytes)?;
                Ok(format!("append {count} bytes to {path:?}"))
            }
        }
    }

    fn change_attribute(&mut self, kind: Change, path: &Path, least: u32) -> io::Result<String> {
        let full = self.root.join(path);
        if kind == Change::Touch {
            let seconds = i64::try_from(self.random.below(2_000_000_000)).expect("in range");
            let nanos = u32::try_from(self.random.below(1_000_000_000)).expect("in range");
            set_mtime(&full, seconds, nanos);
            return Ok(format!("touch {path:?}"));
        }
        let mode = least | u32::try_from(self.random.below(0o1000)).expect("in range");
        fs::set_permissions(&full, fs::Permissions::from_mode(mode))?;
        Ok(format!("chmod {mode:04o} {path:?}"))
    }

    fn create(&mut self, path: PathBuf) -> io::Result<()> {
        let len = self.random.file_size(self.max_size);
        let content = self.random.bytes(usize::try_from(len).expect("fits"));
        fs::write(self.root.join(&path), content)?;
        self.leaves.push((path, Leaf::File));
        Ok(())
    }

    fn create_dir(&mut self) -> io::Result<String> {
        let dir = self.new_path();
        fs::create_dir(self.root.join(&dir))?;
        self.dirs.push(dir.clone());
        let files = self.random.below(5);
        for _ in 0..files {
            let name = self.new_name();
            self.create(dir.join(name))?;
        }
        Ok(format!("create directory {dir:?} with {files} files"))
    }

    fn symlink(&mut self) -> io::Result<String> {
        let target = match self.leaves.is_empty() {
            true => PathBuf::from("nowhere"),
            false => self.random.pick(&self.leaves).0.clone(),
        };
        let links: Vec<_> = self
            .leaves
            .iter()
            .filter(|(_, leaf)| *leaf == Leaf::Symlink)
            .collect();
        if links.is_empty() || self.random.one_in(2) {
            let link = self.new_path();
            symlink(&target, self.root.join(&link))?;
            self.leaves.push((link.clone(), Leaf::Symlink));
            return Ok(format!("symlink {link:?} to {target:?}"));
        }
        let link = self.random.pick(&links).0.clone();
        let full = self.root.join(&link);
        let temporary = full.with_file_name(format!(".link{}", self.next_name()));
        symlink(&target, &temporary)?;
        fs::rename(&temporary, &full)?;
        Ok(format!("point symlink {link:?} to {target:?}"))
    }

    fn remove(&mut self, index: usize) -> io::Result<String> {
        let (path, _) = self.leaves.swap_remove(index);
        fs::remove_file(self.root.join(&path))?;
        Ok(format!("remove {path:?}"))
    }

    fn rename(&mut self, index: usize) -> io::Result<String> {
        let (from, leaf) = self.leaves.swap_remove(index);
        let to = if self.random.one_in(4) && !self.leaves.is_empty() {
            let over = self.random.index(self.leaves.len());
            self.leaves.swap_remove(over).0
        } else {
            self.new_path()
        };
        fs::rename(self.root.join(&from), self.root.join(&to))?;
        // rename(2) does nothing when both are names of one file.
        if self.root.join(&from).symlink_metadata().is_ok() {
            self.leaves.push((from.clone(), leaf));
        }
        self.leaves.push((to.clone(), leaf));
        Ok(format!("rename {from:?} to {to:?}"))
    }

    fn retype(&mut self, index: usize) -> io::Result<String> {
        let (path, leaf) = self.leaves.swap_remove(index);
        let full = self.root.join(&path);
        fs::remove_file(&full)?;
        match leaf {
            Leaf::File if self.random.one_in(2) => {
                symlink("was/a/file", &full)?;
                self.leaves.push((path.clone(), Leaf::Symlink));
                Ok(format!("file {path:?} becomes a symlink"))
            }
            Leaf::File => {
                fs::create_dir(&full)?;
                self.create(path.join("inside"))?;
                self.dirs.push(path.clone());
                Ok(format!("file {path:?} becomes a directory"))
            }
            Leaf::Symlink | Leaf::Special => {
                self.create(path.clone())?;
                Ok(format!("{leaf:?} {path:?} becomes a file"))
            }
        }
    }

    fn remove_dir(&mut self) -> io::Result<Option<String>> {
        if self.dirs.is_empty() {
            return Ok(None);
        }
        let dir = self.random.pick(&self.dirs).clone();
        let before = self.dirs.len() + self.leaves.len();
        let inside = |path: &Path| path.starts_with(&dir);
        let affected = self.dirs.iter().filter(|path| inside(path)).count()
            + self.leaves.iter().filter(|(path, _)| inside(path)).count();
        // A tree that has shrunk to nothing tests nothing.
        if affected > before / 3 {
            return Ok(None);
        }
        fs::remove_dir_all(self.root.join(&dir))?;
        self.dirs.retain(|path| !path.starts_with(&dir));
        self.leaves.retain(|(path, _)| !path.starts_with(&dir));
        Ok(Some(format!(
            "remove directory {dir:?} with {} entries",
            affected - 1
        )))
    }

    fn rename_dir(&mut self) -> io::Result<Option<String>> {
        if self.dirs.is_empty() {
            return Ok(None);
        }
        let from = self.random.pick(&self.dirs).clone();
        let to = self.new_path();
        if to.starts_with(&from) {
            return Ok(None);
        }
        fs::rename(self.root.join(&from), self.root.join(&to))?;
        for path in self
            .dirs
            .iter_mut()
            .chain(self.leaves.iter_mut().map(|(path, _)| path))
        {
            if let Ok(rest) = path.strip_prefix(&from) {
                // Joining an empty rest would leave a slash at the end.
                *path = match rest.as_os_str().is_empty() {
                    true => to.clone(),
                    false => to.join(rest),
                };
            }
        }
        Ok(Some(format!("rename directory {from:?} to {to:?}")))
    }

    /// A path that is free, in any directory.
    fn new_path(&mut self) -> PathBuf {
        let name = self.new_name();
        match self.random.index(self.dirs.len() + 1) {
            0 => PathBuf::from(name),
            index => self.dirs[index - 1].join(name),
        }
    }

    /// A name that is used once; now and then an odd one.
    fn new_name(&mut self) -> String {
        let number = self.next_name();
        match self.random.below(12) {
            0 => format!(" n {number} "),
            1 => format!("-n{number}\n*"),
            2 => format!(".n{number}é"),
            _ => format!("n{number}"),
        }
    }

    const fn next_name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    fn scan(&mut self, dir: PathBuf) {
        let mut pending = vec![dir];
        while let Some(dir) = pending.pop() {
            let mut entries: Vec<_> = fs::read_dir(self.root.join(&dir))
                .expect("the tree can be read")
                .map(|entry| entry.expect("the tree can be read"))
                .collect();
            // The order of a directory is the file system's whim; changes must depend on the seed alone.
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let path = dir.join(entry.file_name());
                let kind = entry.file_type().expect("the tree can be read");
                if kind.is_dir() {
                    self.dirs.push(path.clone());
                    pending.push(path);
                } else if kind.is_file() {
                    self.leaves.push((path, Leaf::File));
                } else if kind.is_symlink() {
                    self.leaves.push((path, Leaf::Symlink));
                } else {
                    self.leaves.push((path, Leaf::Special));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Compare, TreeSpec, differences};

    #[test]
    fn the_same_seed_makes_the_same_changes() {
        let dir = crate::temp_dir();
        let told = ["a", "b"].map(|name| {
            let root = dir.path().join(name);
            TreeSpec::random(1, 50, 10, 10_000).build(&root);
            let mut mutator = Mutator::new(&root, 42);
            mutator.steps(500);
            mutator.told()
        });
        assert_eq!(told[0], told[1]);
        let compare = Compare::exact().without_mtimes();
        assert_eq!(
            differences(&dir.path().join("a"), &dir.path().join("b"), &compare),
            [""; 0]
        );
    }

    #[test]
    fn what_it_believes_is_what_is_there() {
        let dir = crate::temp_dir();
        TreeSpec::sample(1).build(dir.path());
        for seed in 0..5 {
            let mut mutator = Mutator::new(dir.path(), seed);
            mutator.steps(300);
            let mut seen = Mutator::new(dir.path(), seed);
            for list in [&mut mutator.dirs, &mut seen.dirs] {
                list.sort();
            }
            for list in [&mut mutator.leaves, &mut seen.leaves] {
                list.sort_by(|a, b| a.0.cmp(&b.0));
            }
            assert_eq!(mutator.dirs, seen.dirs);
            assert_eq!(mutator.leaves, seen.leaves);
        }
    }

    #[test]
    fn every_kind_of_change_can_be_made_alone_from_nothing() {
        let kinds: Vec<_> = Mix::default().0.iter().map(|&(kind, _)| kind).collect();
        for kind in kinds {
            let dir = crate::temp_dir();
            TreeSpec::random(1, 30, 10, 1000)
                .symlink("l", "x")
                .build(dir.path());
            let mut mutator = Mutator::new(dir.path(), 1).mix(Mix::only(&[kind]));
            assert!(!mutator.step().is_empty());
        }
        let dir = crate::temp_dir();
        let mut mutator = Mutator::new(dir.path(), 1)
            .mix(Mix::default().without(Change::CreateDir))
            .max_size(10);
        mutator.steps(50);
        assert!(!mutator.told().contains("create directory"));
    }
}
