use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;

use rustix::fs::{Mode, OFlags};

use super::*;

const NOBODY: u32 = 65534;

fn cell(path: &Path, uid: u32) -> Cell {
    Cell {
        chroot: None,
        path: path.to_owned(),
        identity: Some(Identity {
            uid,
            gid: NOBODY,
            groups: vec![NOBODY, 12345],
        }),
        writable: true,
        munge: false,
        fences: Fences::default(),
    }
}

/// Runs `check` on a thread confined to `cell`, or gives the error.
fn confined<T: Send + 'static>(
    cell: Cell,
    check: impl FnOnce(Tree) -> T + Send + 'static,
) -> Result<T, ConfineError> {
    std::thread::spawn(move || enter(&cell).map(|entered| check(entered.root)))
        .join()
        .expect("no panic")
}

fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

/// A directory that everybody may use, with a file that only root may read.
fn module() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("temp dir");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("chmod");
    fs::write(dir.path().join("secret"), "secret").expect("write");
    fs::set_permissions(dir.path().join("secret"), fs::Permissions::from_mode(0o600))
        .expect("chmod");
    dir
}

fn open_at(tree: &Tree, name: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(tree.root(), name, flags, Mode::from_raw_mode(0o644))
}

#[test]
fn the_thread_changes_and_the_process_does_not() {
    if !root() {
        return;
    }
    let dir = module();
    let status = confined(cell(dir.path(), NOBODY), |root| {
        assert!(
            open_at(&root, "secret", OFlags::RDONLY).is_err(),
            "a file of root"
        );
        let made = open_at(&root, "made", OFlags::CREATE | OFlags::WRONLY).expect("create");
        let stat = rustix::fs::fstat(&made).expect("stat");
        assert_eq!((stat.st_uid, stat.st_gid), (NOBODY, NOBODY));
        // A thread born here is the same.
        std::thread::spawn(|| {
            let groups = rustix::process::getgroups().expect("groups").len();
            (
                rustix::process::geteuid().as_raw(),
                rustix::process::getegid().as_raw(),
                groups,
            )
        })
        .join()
        .expect("no panic")
    });
    assert_eq!(status.expect("confined"), (NOBODY, NOBODY, 2));
    assert!(rustix::process::geteuid().is_root());
    assert_eq!(
        fs::read(dir.path().join("secret")).expect("the process is root still"),
        b"secret"
    );
}

#[test]
fn there_is_no_way_back() {
    if !root() {
        return;
    }
    let dir = module();
    confined(cell(dir.path(), NOBODY), |_| {
        let root = Uid::ROOT;
        assert!(rustix::thread::set_thread_res_uid(root, root, root).is_err());
        let all = CapabilitySets {
            effective: CapabilitySet::all(),
            permitted: CapabilitySet::all(),
            inheritable: CapabilitySet::empty(),
        };
        assert!(rustix::thread::set_capabilities(None, all).is_err());
        assert!(rustix::process::chroot("/").is_err());
        assert!(unshare_fs().is_err());
        assert!(std::process::Command::new("/bin/true").status().is_err());
        assert_eq!(rustix::process::geteuid().as_raw(), NOBODY);
    })
    .expect("confined");
}

#[test]
fn landlock_keeps_the_thread_in_the_module() {
    if !root() {
        return;
    }
    let outside = module();
    fs::write(outside.path().join("public"), "x").expect("write");
    let dir = module();
    fs::create_dir(dir.path().join("sub")).expect("mkdir");
    let public = outside.path().join("public");
    let reads = move |landlock: bool| {
        let public = public.clone();
        let fences = Fences {
            landlock,
            seccomp: true,
        };
        let cell = Cell {
            fences,
            ..cell(dir.path(), 0)
        };
        confined(cell, move |root| {
            // Renames between directories of the module must go on.
            open_at(&root, "f", OFlags::CREATE | OFlags::WRONLY).expect("create");
            rustix::fs::renameat(root.root(), "f", root.root(), "sub/f").expect("rename");
            rustix::fs::open(&public, OFlags::RDONLY, Mode::empty()).is_ok()
        })
        .expect("confined")
    };
    assert!(reads(false), "without Landlock the file is readable");
    if Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)
        .is_ok()
    {
        assert!(!reads(true));
    }
}

#[test]
fn root_sessions_keep_only_what_a_transfer_needs() {
    if !root() {
        return;
    }
    let dir = module();
    for writable in [false, true] {
        let cell = Cell {
            writable,
            ..cell(dir.path(), 0)
        };
        let found = confined(cell, |root| {
            assert!(open_at(&root, "secret", OFlags::RDONLY).is_ok());
            rustix::thread::capabilities(None)
                .expect("capget")
                .effective
        })
        .expect("confined");
        assert!(!found.contains(CapabilitySet::SYS_ADMIN));
        assert_eq!(found.contains(CapabilitySet::CHOWN), writable);
    }
}

#[test]
fn a_new_root_directory() {
    if !root() {
        return;
    }
    let dir = module();
    fs::create_dir(dir.path().join("inner")).expect("mkdir");
    let outer = Cell {
        chroot: Some(dir.path().to_owned()),
        path: "/inner".into(),
        ..cell(dir.path(), NOBODY)
    };
    let landlock_off = Fences {
        landlock: false,
        seccomp: true,
    };
    let mut names = confined(
        Cell {
            fences: landlock_off,
            ..outer
        },
        |_| {
            let entries = fs::read_dir("/").expect("readable");
            entries
                .map(|e| e.expect("entry").file_name().into_string().expect("text"))
                .collect::<Vec<_>>()
        },
    )
    .expect("confined");
    names.sort();
    assert_eq!(names, ["inner", "secret"]);
}

#[test]
fn what_is_wrong_is_said() {
    if !root() {
        return;
    }
    let dir = module();
    let missing = dir.path().join("none");
    let text = |cell| match confined(cell, drop) {
        Err(error) => (error.to_string(), error.log_line()),
        Ok(()) => panic!("confined"),
    };
    let path = missing.display();
    assert_eq!(
        text(cell(&missing, NOBODY)),
        (
            "chdir failed".into(),
            format!("rsync: [Receiver] chdir {path} failed: No such file or directory (2)")
        )
    );
    assert_eq!(
        text(Cell {
            chroot: Some(missing.clone()),
            ..cell(Path::new("/"), NOBODY)
        }),
        (
            "chroot failed".into(),
            format!("rsync: [Receiver] chroot(\"{path}\") failed: No such file or directory (2)")
        )
    );
    fs::create_dir(dir.path().join("rsyncd-munged")).expect("mkdir");
    let munged = Cell {
        chroot: Some(dir.path().to_owned()),
        path: "/".into(),
        munge: true,
        ..cell(dir.path(), NOBODY)
    };
    assert_eq!(text(munged).0, "daemon security issue -- contact admin");
}
