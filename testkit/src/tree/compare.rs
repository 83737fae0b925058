//! Comparison of trees, with differences a person can read.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What must be the same in two trees for them to be the same; [`Compare::exact`] and exceptions.
#[derive(Debug, Clone)]
pub struct Compare {
    content: bool,
    modes: bool,
    mtimes: Times,
    dir_mtimes: bool,
    symlink_mtimes: bool,
    owners: bool,
    hard_links: bool,
    except: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    Nanos,
    Seconds,
    Any,
}

impl Compare {
    /// Everything: type, content, mode, owner and group, modification time to the nanosecond (directories and
    /// symlinks too), link targets, which names are one file, device numbers. The root itself counts as a directory.
    #[must_use]
    pub const fn exact() -> Self {
        Self {
            content: true,
            modes: true,
            mtimes: Times::Nanos,
            dir_mtimes: true,
            symlink_mtimes: true,
            owners: true,
            hard_links: true,
            except: Vec::new(),
        }
    }

    /// Like `diff -r`: type, content and link targets only.
    #[must_use]
    pub const fn content_only() -> Self {
        let mut compare = Self::exact();
        compare.modes = false;
        compare.mtimes = Times::Any;
        compare.owners = false;
        compare.hard_links = false;
        compare
    }

    /// All but content: for trees so big that reading them twice costs too much.
    #[must_use]
    pub const fn without_content(mut self) -> Self {
        self.content = false;
        self
    }

    /// Times to the second only.
    #[must_use]
    pub const fn mtimes_in_seconds(mut self) -> Self {
        self.mtimes = Times::Seconds;
        self
    }

    /// Times do not count.
    #[must_use]
    pub const fn without_mtimes(mut self) -> Self {
        self.mtimes = Times::Any;
        self
    }

    /// Times of directories do not count.
    #[must_use]
    pub const fn without_dir_mtimes(mut self) -> Self {
        self.dir_mtimes = false;
        self
    }

    /// Times of symlinks do not count.
    #[must_use]
    pub const fn without_symlink_mtimes(mut self) -> Self {
        self.symlink_mtimes = false;
        self
    }

    /// Owners and groups do not count.
    #[must_use]
    pub const fn without_owners(mut self) -> Self {
        self.owners = false;
        self
    }

    /// Permissions do not count.
    #[must_use]
    pub const fn without_modes(mut self) -> Self {
        self.modes = false;
        self
    }

    /// Which names are one file does not count (`-a` without `-H`).
    #[must_use]
    pub const fn without_hard_links(mut self) -> Self {
        self.hard_links = false;
        self
    }

    /// `path` and all below it, relative to the root, does not count.
    #[must_use]
    pub fn except(mut self, path: impl Into<PathBuf>) -> Self {
        self.except.push(path.into());
        self
    }

    fn times(&self, left: &Found, right: &Found) -> Option<(String, String)> {
        let wanted = match left.kind() {
            Kind::Dir => self.dir_mtimes,
            Kind::Symlink => self.symlink_mtimes,
            _ => true,
        };
        let time = |found: &Found| match self.mtimes {
            Times::Nanos => format!("{}.{:09}", found.meta.mtime(), found.meta.mtime_nsec()),
            Times::Seconds => found.meta.mtime().to_string(),
            Times::Any => String::new(),
        };
        wanted.then(|| (time(left), time(right)))
    }
}

/// Whether two trees are the same.
#[must_use]
pub fn same(left: &Path, right: &Path, compare: &Compare) -> bool {
    differences(left, right, compare).is_empty()
}

/// Insists that two trees are the same.
///
/// # Panics
/// When they are not, with the first differences.
#[track_caller]
pub fn assert_same(left: &Path, right: &Path, compare: &Compare) {
    const SHOWN: usize = 40;
    let found = differences(left, right, compare);
    if found.is_empty() {
        return;
    }
    let mut text = String::new();
    for line in found.iter().take(SHOWN) {
        let _ = writeln!(text, "  {line}");
    }
    if found.len() > SHOWN {
        let _ = writeln!(text, "  and {} more", found.len() - SHOWN);
    }
    panic!(
        "{} differs from {}:\n{text}",
        left.display(),
        right.display()
    );
}

/// How two trees differ, a line each, in the order of their paths; a tree that cannot be read is a difference too.
#[must_use]
pub fn differences(left: &Path, right: &Path, compare: &Compare) -> Vec<String> {
    let (left, right) = match (Listing::of(left, compare), Listing::of(right, compare)) {
        (Ok(left), Ok(right)) => (left, right),
        (Err(error), _) => return vec![format!("left: {error}")],
        (_, Err(error)) => return vec![format!("right: {error}")],
    };
    let mut found = Vec::new();
    for (path, entry) in &left.entries {
        match right.entries.get(path) {
            Some(other) => {
                compare_entry(path, (&left, entry), (&right, other), compare, &mut found)
            }
            None => found.push(format!("{}: {:?} only left", shown(path), entry.kind())),
        }
    }
    for (path, entry) in &right.entries {
        if !left.entries.contains_key(path) {
            found.push(format!("{}: {:?} only right", shown(path), entry.kind()));
        }
    }
    found.sort();
    found
}

fn compare_entry(
    path: &Path,
    (left_tree, left): (&Listing, &Found),
    (right_tree, right): (&Listing, &Found),
    compare: &Compare,
    found: &mut Vec<String>,
) {
    let mut check = |what: &str, left: String, right: String| {
        if left != right {
            found.push(format!(
                "{}: {what}: left {left}, right {right}",
                shown(path)
            ));
        }
    };
    let kind = left.kind();
    if kind != right.kind() {
        return check("type", format!("{kind:?}"), format!("{:?}", right.kind()));
    }
    if compare.modes && kind != Kind::Symlink {
        let mode = |found: &Found| format!("{:04o}", found.meta.mode() & 0o7777);
        check("mode", mode(left), mode(right));
    }
    if compare.owners {
        let owner = |found: &Found| format!("{}:{}", found.meta.uid(), found.meta.gid());
        check("owner", owner(left), owner(right));
    }
    if let Some((left, right)) = compare.times(left, right) {
        check("mtime", left, right);
    }
    if compare.hard_links && kind != Kind::Dir {
        let first = |tree: &Listing, found: &Found| shown(&tree.first_names[&found.inode()]);
        check(
            "one file with",
            first(left_tree, left),
            first(right_tree, right),
        );
    }
    let (left_path, right_path) = (left_tree.root.join(path), right_tree.root.join(path));
    match kind {
        Kind::Symlink => {
            let target = |path: &Path| {
                fs::read_link(path).map_or_else(|error| error.to_string(), |target| shown(&target))
            };
            check("target", target(&left_path), target(&right_path));
        }
        Kind::CharDevice | Kind::BlockDevice => {
            let number = |found: &Found| {
                let device = found.meta.rdev();
                format!(
                    "{}:{}",
                    rustix::fs::major(device),
                    rustix::fs::minor(device)
                )
            };
            check("device", number(left), number(right));
        }
        Kind::File => {
            let (left_size, right_size) = (left.meta.len(), right.meta.len());
            check("size", left_size.to_string(), right_size.to_string());
            if compare.content && left_size == right_size && left_size > 0 {
                match first_difference(&left_path, &right_path) {
                    Ok(None) => {}
                    Ok(Some(at)) => found.push(format!(
                        "{}: content: differs at byte {at} of {left_size}",
                        shown(path)
                    )),
                    Err(error) => found.push(format!("{}: content: {error}", shown(path))),
                }
            }
        }
        Kind::Dir | Kind::Fifo | Kind::Socket | Kind::Other => {}
    }
}

/// Where two files of the same size differ first.
fn first_difference(left: &Path, right: &Path) -> io::Result<Option<u64>> {
    const PIECE: u64 = 1 << 17;
    let (mut left, mut right) = (fs::File::open(left)?, fs::File::open(right)?);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    let mut at = 0;
    loop {
        a.clear();
        b.clear();
        left.by_ref().take(PIECE).read_to_end(&mut a)?;
        right.by_ref().take(PIECE).read_to_end(&mut b)?;
        if a != b {
            let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
            return Ok(Some(at + same as u64));
        }
        if a.is_empty() {
            return Ok(None);
        }
        at += a.len() as u64;
    }
}

/// What stands in a tree.
struct Listing {
    root: PathBuf,
    entries: BTreeMap<PathBuf, Found>,
    /// The first name of each file, by device and inode.
    first_names: HashMap<(u64, u64), PathBuf>,
}

struct Found {
    meta: fs::Metadata,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Dir,
    Symlink,
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
    Other,
}

impl Found {
    fn kind(&self) -> Kind {
        match self.meta.mode() & 0o170_000 {
            0o100_000 => Kind::File,
            0o040_000 => Kind::Dir,
            0o120_000 => Kind::Symlink,
            0o010_000 => Kind::Fifo,
            0o140_000 => Kind::Socket,
            0o020_000 => Kind::CharDevice,
            0o060_000 => Kind::BlockDevice,
            _ => Kind::Other,
        }
    }

    fn inode(&self) -> (u64, u64) {
        (self.meta.dev(), self.meta.ino())
    }
}

impl Listing {
    fn of(root: &Path, compare: &Compare) -> Result<Self, String> {
        let named = |path: &Path, error: io::Error| format!("{}: {error}", shown(path));
        let mut entries = BTreeMap::new();
        let mut pending = vec![PathBuf::new()];
        while let Some(path) = pending.pop() {
            if compare.except.contains(&path) {
                continue;
            }
            // An empty path joined would end in a slash, and so follow a root that is a symlink; so it may.
            let full = root.join(&path);
            let meta = fs::symlink_metadata(&full).map_err(|error| named(&full, error))?;
            if meta.is_dir() {
                for entry in fs::read_dir(&full).map_err(|error| named(&full, error))? {
                    let entry = entry.map_err(|error| named(&full, error))?;
                    pending.push(path.join(entry.file_name()));
                }
            }
            entries.insert(path, Found { meta });
        }
        let mut first_names = HashMap::new();
        for (path, found) in &entries {
            first_names
                .entry(found.inode())
                .or_insert_with(|| path.clone());
        }
        Ok(Self {
            root: root.to_owned(),
            entries,
            first_names,
        })
    }
}

/// A path as it is shown: escaped, the root as a dot.
fn shown(path: &Path) -> String {
    match path.as_os_str().as_bytes() {
        b"" => ".".to_owned(),
        bytes => bytes.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{TreeSpec, set_mtime};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn base() -> TreeSpec {
        TreeSpec::new()
            .file("d/f", "same size")
            .file("g", "x")
            .hard_link("h", "g")
            .symlink("l", "g")
            .fifo("p")
    }

    /// Two trees that differ by what `change` does to the second one.
    fn changed(change: impl FnOnce(&Path)) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = crate::temp_dir();
        let (left, right) = (dir.path().join("left"), dir.path().join("right"));
        base().build(&left);
        base().build(&right);
        change(&right);
        (dir, left, right)
    }

    #[test]
    fn every_difference_is_found_and_told() {
        fn mtimes_as_before(root: &Path) {
            let (left, right) = (root.with_file_name("left"), root);
            for path in ["", "d", "d/f", "g", "h", "l", "p"] {
                if let (Ok(meta), true) = (
                    fs::symlink_metadata(left.join(path)),
                    right.join(path).symlink_metadata().is_ok(),
                ) {
                    set_mtime(
                        &right.join(path),
                        meta.mtime(),
                        u32::try_from(meta.mtime_nsec()).unwrap(),
                    );
                }
            }
        }
        type Change = fn(&Path);
        let table: [(Change, &str); 10] = [
            (
                |root| fs::write(root.join("d/f"), "same sizf").unwrap(),
                "d/f: content: differs at byte 8 of 9",
            ),
            (
                |root| fs::write(root.join("d/f"), "longer than it").unwrap(),
                "d/f: size: left 9, right 14",
            ),
            (
                |root| fs::remove_file(root.join("d/f")).unwrap(),
                "d/f: File only left",
            ),
            (
                |root| fs::write(root.join("new\n"), "").unwrap(),
                r"new\n: File only right",
            ),
            (
                |root| {
                    fs::remove_file(root.join("l")).unwrap();
                    symlink("h", root.join("l")).unwrap();
                },
                "l: target: left g, right h",
            ),
            (
                |root| {
                    fs::remove_file(root.join("l")).unwrap();
                    fs::create_dir(root.join("l")).unwrap();
                },
                "l: type: left Symlink, right Dir",
            ),
            (
                |root| {
                    fs::set_permissions(root.join("d"), fs::Permissions::from_mode(0o2700)).unwrap()
                },
                "d: mode: left 0755, right 2700",
            ),
            (
                |root| {
                    fs::remove_file(root.join("h")).unwrap();
                    fs::write(root.join("h"), "x").unwrap();
                },
                "h: one file with: left g, right h",
            ),
            (
                |root| {
                    fs::remove_file(root.join("g")).unwrap();
                    fs::copy(root.join("h"), root.join("g")).unwrap();
                },
                "h: one file with: left g, right h",
            ),
            (|_| (), ""),
        ];
        for (change, expected) in table {
            let (_dir, left, right) = changed(change);
            mtimes_as_before(&right);
            let found = differences(&left, &right, &Compare::exact());
            assert_eq!(found.join("|"), expected);
        }
    }

    #[test]
    fn times_count_as_asked() {
        let (_dir, left, right) = changed(|root| {
            let meta = fs::metadata(root.join("g")).unwrap();
            set_mtime(&root.join("g"), meta.mtime(), 999_999_999);
            set_mtime(&root.join("d"), 5, 0);
            set_mtime(&root.join("l"), 5, 0);
        });
        let found = |compare: Compare| {
            let lines = differences(&left, &right, &compare);
            lines
                .iter()
                .map(|line| line[..1].to_owned())
                .collect::<String>()
        };
        assert_eq!(found(Compare::exact()), "dghl");
        assert_eq!(found(Compare::exact().mtimes_in_seconds()), "dl");
        assert_eq!(found(Compare::exact().without_dir_mtimes()), "ghl");
        assert_eq!(
            found(
                Compare::exact()
                    .without_dir_mtimes()
                    .without_symlink_mtimes()
            ),
            "gh"
        );
        assert_eq!(found(Compare::exact().except("d").except("l")), "gh");
        assert_eq!(found(Compare::exact().without_mtimes()), "");
        assert_eq!(found(Compare::content_only()), "");
    }

    #[test]
    fn what_does_not_count_is_not_reported() {
        let (_dir, left, right) = changed(|root| {
            fs::remove_file(root.join("h")).unwrap();
            fs::write(root.join("h"), "x").unwrap();
            fs::set_permissions(root.join("d"), fs::Permissions::from_mode(0o700)).unwrap();
            fs::write(root.join("d/f"), "same sizf").unwrap();
        });
        let compare = Compare::exact()
            .without_mtimes()
            .without_modes()
            .without_owners()
            .without_hard_links();
        assert_eq!(differences(&left, &right, &compare).len(), 1);
        assert!(same(&left, &right, &compare.without_content()));
    }

    #[test]
    fn owners_and_devices_count() {
        crate::require_root!();
        let dir = crate::temp_dir();
        let (left, right) = (dir.path().join("left"), dir.path().join("right"));
        let device =
            |minor| TreeSpec::new().device("c", rustix::fs::FileType::CharacterDevice, 1, minor);
        device(3).build(&left);
        device(5).owner(7, 8).build(&right);
        let found = differences(&left, &right, &Compare::exact().without_dir_mtimes());
        assert_eq!(
            found,
            [
                "c: device: left 1:3, right 1:5",
                "c: owner: left 0:0, right 7:8"
            ]
        );
    }

    #[test]
    fn a_missing_tree_is_a_difference() {
        let dir = crate::temp_dir();
        let found = differences(dir.path(), &dir.path().join("none"), &Compare::exact());
        assert!(
            found.len() == 1 && found[0].starts_with("right: "),
            "{found:?}"
        );
    }
}
