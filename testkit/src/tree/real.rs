//! A big tree of real files.

use super::set_mtime;
use crate::random::Random;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// Fills `root`, which is made if it is missing, with at least `files` regular files and says how many they are.
///
/// They are copies (never hard links) of the sources that cargo has unpacked, as many as are needed, in the order of
/// their names, with their modes and times; where cargo has fewer, or none, generated ones of similar sizes and names
/// make up the rest. The same machine gives the same tree.
///
/// # Panics
/// When it cannot be written.
#[track_caller]
pub fn real_tree(root: impl AsRef<Path>, files: usize) -> usize {
    let root = root.as_ref();
    fs::create_dir_all(root).expect("the root of the tree");
    let mut copy = Copy {
        left: files,
        made: 0,
    };
    for registry in cargo_sources() {
        copy.dir(&registry, &root.join("cargo"))
            .unwrap_or_else(|error| panic!("cannot copy {}: {error}", registry.display()));
    }
    let rest = copy.left;
    generate(&root.join("generated"), rest)
        .unwrap_or_else(|error| panic!("cannot generate files: {error}"));
    copy.made + rest
}

/// Where cargo unpacks what it downloads.
fn cargo_sources() -> Vec<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let Some(sources) = home.map(|home| home.join("registry/src")) else {
        return Vec::new();
    };
    sorted(&sources)
        .unwrap_or_default()
        .into_iter()
        .map(|name| sources.join(name))
        .collect()
}

struct Copy {
    left: usize,
    made: usize,
}

impl Copy {
    fn dir(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        fs::create_dir_all(to)?;
        for name in sorted(from)? {
            let (from, to) = (from.join(&name), to.join(&name));
            let meta = fs::symlink_metadata(&from)?;
            if meta.is_dir() {
                self.dir(&from, &to)?;
                continue;
            }
            if self.left == 0 {
                break;
            }
            if meta.is_file() {
                fs::copy(&from, &to)?;
                self.left -= 1;
                self.made += 1;
            } else if meta.is_symlink() {
                symlink(fs::read_link(&from)?, &to)?;
            } else {
                continue;
            }
            set_mtime(
                &to,
                meta.mtime(),
                u32::try_from(meta.mtime_nsec()).unwrap_or(0),
            );
        }
        Ok(())
    }
}

/// The names in a directory, in order.
fn sorted(dir: &Path) -> io::Result<Vec<OsString>> {
    let mut names = fs::read_dir(dir)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// `count` files of source-like sizes, 20 in a directory, 20 directories in a package.
fn generate(root: &Path, count: usize) -> io::Result<()> {
    let mut random = Random::new(20_000);
    for number in 0..count {
        let dir = root
            .join(format!("package-{}", number / 400))
            .join(format!("module_{}", number / 20 % 20));
        if number % 20 == 0 {
            fs::create_dir_all(&dir)?;
        }
        let size = random.file_size(16_384);
        let content: Vec<_> = random
            .bytes(usize::try_from(size).expect("small"))
            .into_iter()
            .map(|byte| b"etaoin shrdlu(){};_\n"[usize::from(byte) % 20])
            .collect();
        let path = dir.join(format!("file_{number}.rs"));
        fs::write(&path, content)?;
        let nanos = u32::try_from(random.below(1_000_000_000)).expect("below 1e9");
        set_mtime(
            &path,
            1_500_000_000 + i64::try_from(number).expect("small") * 61,
            nanos,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Compare, differences};

    fn count(root: &Path) -> usize {
        sorted(root)
            .unwrap()
            .iter()
            .map(|name| root.join(name))
            .map(|path| match fs::symlink_metadata(&path).unwrap() {
                meta if meta.is_dir() => count(&path),
                meta => usize::from(meta.is_file()),
            })
            .sum()
    }

    #[test]
    fn it_has_the_files_it_says_and_is_the_same_again() {
        let dir = crate::temp_dir();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        assert_eq!(real_tree(&a, 300), 300);
        assert_eq!(real_tree(&b, 300), 300);
        assert_eq!(count(&a), 300);
        let compare = Compare::exact()
            .without_dir_mtimes()
            .without_symlink_mtimes();
        assert_eq!(differences(&a, &b, &compare), [""; 0]);
    }

    #[test]
    fn without_cargo_it_is_generated() {
        let dir = crate::temp_dir();
        generate(dir.path(), 841).unwrap();
        assert_eq!(count(dir.path()), 841);
        assert_eq!(sorted(dir.path()).unwrap().len(), 3);
        assert!(
            fs::read(dir.path().join("package-0/module_0/file_3.rs"))
                .unwrap()
                .is_ascii()
        );
    }
}
