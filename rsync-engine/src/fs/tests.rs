//! Trees with planted links, and what must hold for each operation. Everything that resolves names
//! runs twice: with openat2 and by hand.

mod attributes;
mod confinement;
mod deletion;
mod faults;
mod files;
mod ids;
mod listing;
mod names;
mod operator_paths;
mod planted_links;
mod races;
mod special;
mod temporaries;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::*;

/// A root `w` and, beside it, `out` with things that nobody may read or change.
struct Site {
    tmp: tempfile::TempDir,
    tree: Tree,
    canary: Canary,
}

/// What `out` looked like.
#[derive(Debug, PartialEq)]
struct Canary(Vec<(PathBuf, u32, u32, u64, i64, Vec<u8>)>);

const CANARY_TEXT: &[u8] = b"CANARY\n";

impl Site {
    fn new(resolver: Resolver) -> Self {
        Self::within(tempfile::tempdir().unwrap(), resolver)
    }

    fn within(tmp: tempfile::TempDir, resolver: Resolver) -> Self {
        let out = tmp.path().join("out");
        fs::create_dir_all(out.join("sub")).unwrap();
        for file in ["secret", "sub/s2"] {
            fs::write(out.join(file), CANARY_TEXT).unwrap();
            fs::set_permissions(out.join(file), fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::create_dir(tmp.path().join("w")).unwrap();
        let tree = Tree::open(&tmp.path().join("w"))
            .unwrap()
            .with_resolver(resolver)
            .unwrap();
        let canary = Canary::of(&out);
        Self { tmp, tree, canary }
    }

    fn root(&self) -> &Dir {
        self.tree.root()
    }

    /// The path of something below the root.
    fn at(&self, path: &str) -> PathBuf {
        self.tmp.path().join("w").join(path)
    }

    fn out(&self, path: &str) -> PathBuf {
        self.tmp.path().join("out").join(path)
    }

    fn dirs(&self, path: &str) {
        fs::create_dir_all(self.at(path)).unwrap();
    }

    fn file(&self, path: &str, content: &[u8]) {
        fs::write(self.at(path), content).unwrap();
    }

    fn link(&self, path: &str, target: impl AsRef<Path>) {
        std::os::unix::fs::symlink(target, self.at(path)).unwrap();
    }

    fn dir(&self, path: &str) -> Dir {
        self.tree.open_dir(p(path), Links::Refuse).unwrap()
    }

    fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(path)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[track_caller]
    fn assert_canary(&self) {
        assert_eq!(
            Canary::of(&self.out("")),
            self.canary,
            "something outside was touched"
        );
    }
}

impl Canary {
    fn of(dir: &Path) -> Self {
        let mut all = Vec::new();
        let mut pending = vec![dir.to_path_buf()];
        while let Some(path) = pending.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            let mut content = Vec::new();
            if meta.is_dir() {
                pending.extend(
                    fs::read_dir(&path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
            } else {
                content = fs::read(&path).unwrap();
            }
            all.push((
                path,
                meta.mode(),
                meta.uid(),
                meta.nlink(),
                meta.mtime_nsec() + meta.mtime(),
                content,
            ));
        }
        all.sort();
        Self(all)
    }
}

/// As [`both`], but without waiting for a disk where that is possible: for tests with thousands of
/// trees.
fn both_in_memory(mut test: impl FnMut(&Site)) {
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        let tmp = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let site = Site::within(tmp, resolver);
        test(&site);
        site.assert_canary();
    }
}

/// Runs a test with both resolvers.
fn both(mut test: impl FnMut(&Site)) {
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        let site = Site::new(resolver);
        test(&site);
        site.assert_canary();
    }
}

fn n(name: &str) -> Name<'_> {
    Name::new(name.as_bytes()).unwrap()
}

fn p(path: &str) -> RelPath<'_> {
    RelPath::new(path.as_bytes()).unwrap()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says so if a test cannot run without root.
fn root_or_skip(test: &str) -> bool {
    if !is_root() {
        eprintln!("SKIPPED for lack of root: {test}");
    }
    is_root()
}

fn read_all(mut file: ReadFile) -> Vec<u8> {
    let mut data = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut data).unwrap();
    data
}

/// Runs `body` on a thread of its own whose user and group are `id`, the rest of the process
/// keeping theirs.
fn as_user(id: u32, body: impl FnOnce() + Send) {
    let become_user = || {
        use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        set_thread_groups(&[]).unwrap();
        set_thread_res_gid(gid, gid, gid).unwrap();
        set_thread_res_uid(uid, uid, uid).unwrap();
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, || {
            become_user();
            body();
        });
        if let Err(panic) = thread.unwrap().join() {
            std::panic::resume_unwind(panic);
        }
    });
}
