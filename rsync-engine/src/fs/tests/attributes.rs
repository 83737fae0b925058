//! Owner, permissions and times of every type of object.

use super::*;

const TIME: Timestamp = Timestamp {
    secs: 1_234_567_890,
    nsec: 123_456_789,
};

const ALL: Attrs = Attrs {
    uid: Some(801),
    gid: Some(802),
    mode: Some(0o6751),
    mtime: Some(TIME),
    atime: Some(TIME),
};

const CHANGED: AttrOutcome = AttrOutcome {
    owner: Ok(true),
    times: Ok(true),
    mode: Ok(true),
};

const UNCHANGED: AttrOutcome = AttrOutcome {
    owner: Ok(false),
    times: Ok(false),
    mode: Ok(false),
};

#[track_caller]
fn assert_all(stat: &Stat) {
    assert_eq!(
        (stat.uid, stat.gid, stat.mtime, stat.atime),
        (801, 802, TIME, TIME)
    );
    if !stat.is_symlink() {
        assert_eq!(stat.permissions(), 0o6751, "{:o}", stat.mode);
    }
}

#[test]
fn attributes_of_every_type() {
    if !root_or_skip("attributes_of_every_type") {
        return;
    }
    both(|site| {
        let root = site.root();
        site.file("regular", b"x");
        site.dirs("directory");
        site.link("symlink", site.out("secret"));
        root.mknod(n("fifo"), Special::Fifo, 0o600).unwrap();
        root.mknod(n("socket"), Special::Socket, 0o600).unwrap();
        root.mknod(n("char"), Special::Char { major: 1, minor: 3 }, 0o600)
            .unwrap();
        root.mknod(
            n("block"),
            Special::Block {
                major: 259,
                minor: 70_000,
            },
            0o600,
        )
        .unwrap();
        for (name, kind) in [
            ("regular", FileKind::Regular),
            ("directory", FileKind::Directory),
            ("symlink", FileKind::Symlink),
            ("fifo", FileKind::Fifo),
            ("socket", FileKind::Socket),
            ("char", FileKind::CharDevice),
            ("block", FileKind::BlockDevice),
        ] {
            let node = root.open_node(n(name)).unwrap();
            let now = node.stat().unwrap();
            assert_eq!(now.kind(), kind);
            let expected = AttrOutcome {
                mode: Ok(kind != FileKind::Symlink),
                ..CHANGED
            };
            assert_eq!(node.set_attrs(&ALL, &now), expected, "{name}");
            let after = root.stat(n(name)).unwrap();
            assert_all(&after);
            assert_eq!(after.id, now.id);
            assert_eq!(node.set_attrs(&ALL, &after), UNCHANGED, "{name}");
        }
        assert_eq!(root.stat(n("block")).unwrap().rdev, (259, 70_000));
        assert_eq!(root.stat(n("char")).unwrap().rdev, (1, 3));
    });
}

#[test]
fn attributes_of_files_and_directories_at_hand() {
    if !root_or_skip("attributes_of_files_and_directories_at_hand") {
        return;
    }
    both(|site| {
        let file = site.root().create(n("new"), 0o600).unwrap();
        assert_eq!(file.set_attrs(&ALL, None), CHANGED);
        assert_all(&file.stat().unwrap());
        assert_eq!(file.set_attrs(&ALL, Some(&file.stat().unwrap())), UNCHANGED);
        site.dirs("d/e");
        for (name, dir) in [
            ("d", site.root().open_dir(n("d")).unwrap()),
            ("d/e", site.dir("d").open_list(n("e")).unwrap()),
        ] {
            assert_eq!(dir.set_attrs(&ALL, &dir.self_stat().unwrap()), CHANGED);
            assert_all(&site.tree.stat(p(name), Links::Refuse).unwrap());
        }
    });
}

#[test]
fn a_change_of_owner_does_not_lose_set_id_bits() {
    if !root_or_skip("a_change_of_owner_does_not_lose_set_id_bits") {
        return;
    }
    both(|site| {
        let file = site.root().create(n("f"), 0o600).unwrap();
        let mode = Attrs {
            mode: Some(0o4755),
            ..Attrs::default()
        };
        assert!(file.set_attrs(&mode, None).ok().is_ok());
        // The mode seems to be right already, but the kernel clears set-id bits with the change of
        // owner.
        let both = Attrs {
            uid: Some(801),
            ..mode
        };
        let outcome = file.set_attrs(&both, Some(&file.stat().unwrap()));
        assert_eq!(
            outcome,
            AttrOutcome {
                times: Ok(false),
                ..CHANGED
            }
        );
        assert_eq!(file.stat().unwrap().permissions(), 0o4755);
    });
}

#[test]
fn no_set_id_bits_without_the_owner_that_was_wanted() {
    use std::sync::Arc;
    both(|site| {
        let hook = Arc::new(Countdown::new(Op::Chown, 1, Errno::PERM));
        let tree = site.tree.with_hook(hook).unwrap();
        let file = tree.root().create(n("f"), 0o600).unwrap();
        let attrs = Attrs {
            uid: Some(4_000_000),
            mode: Some(0o7755),
            mtime: Some(TIME),
            ..Attrs::default()
        };
        let outcome = file.set_attrs(&attrs, None);
        assert_eq!(
            outcome,
            AttrOutcome {
                owner: Err(Errno::PERM),
                ..CHANGED
            }
        );
        assert_eq!(outcome.ok(), Err(Errno::PERM));
        let stat = file.stat().unwrap();
        assert_eq!((stat.permissions(), stat.mtime), (0o1755, TIME));
    });
}

#[test]
fn only_what_is_asked_for() {
    both(|site| {
        let file = site.root().create(n("f"), 0o640).unwrap();
        let before = file.stat().unwrap();
        assert_eq!(file.set_attrs(&Attrs::default(), None), UNCHANGED);
        let mtime = Attrs {
            mtime: Some(TIME),
            ..Attrs::default()
        };
        assert_eq!(
            file.set_attrs(&mtime, Some(&before)),
            AttrOutcome {
                times: Ok(true),
                ..UNCHANGED
            }
        );
        let after = file.stat().unwrap();
        assert_eq!(
            (after.mtime, after.atime, after.mode),
            (TIME, before.atime, before.mode)
        );
    });
}

#[test]
fn any_time_is_taken_or_refused_but_never_special() {
    both(|site| {
        let file = site.root().create(n("f"), 0o640).unwrap();
        for secs in [i64::MIN, -1 << 31, -1, 0, 1 << 33, i64::MAX] {
            // The file system clamps what it cannot store.
            let times = Attrs {
                mtime: Some(Timestamp { secs, nsec: 0 }),
                ..Attrs::default()
            };
            assert_eq!(file.set_attrs(&times, None).times, Ok(true), "{secs}");
        }
        // UTIME_NOW and UTIME_OMIT of the kernel.
        for nsec in [1_000_000_000, 0x3fff_ffff, 0x3fff_fffe, u32::MAX] {
            let times = Attrs {
                mtime: Some(Timestamp { secs: 1, nsec }),
                ..Attrs::default()
            };
            assert_eq!(file.set_attrs(&times, None).times, Err(Errno::INVAL));
        }
    });
}

#[test]
fn the_umask_is_that_of_this_thread() {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, || {
            // A private umask, so that other tests keep theirs.
            #[expect(unsafe_code, reason = "of a thread that only runs this test")]
            // SAFETY: only the file-system context is unshared, no descriptors.
            unsafe {
                rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS).unwrap();
            }
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o027));
            assert_eq!(umask(), 0o027);
        });
        thread.unwrap().join().unwrap();
    });
}

#[test]
fn an_unreadable_file_of_ours_can_be_changed() {
    if !root_or_skip("an_unreadable_file_of_ours_can_be_changed") {
        return;
    }
    use std::os::unix::fs::PermissionsExt as _;
    both(|site| {
        site.file("f", b"x");
        fs::set_permissions(site.at("f"), fs::Permissions::from_mode(0o000)).unwrap();
        std::os::unix::fs::chown(site.at("f"), Some(801), Some(801)).unwrap();
        fs::set_permissions(site.tmp.path(), fs::Permissions::from_mode(0o755)).unwrap();
        as_user(801, || {
            let node = site.root().open_node(n("f")).unwrap();
            let attrs = Attrs {
                mode: Some(0o600),
                mtime: Some(TIME),
                ..Attrs::default()
            };
            let outcome = node.set_attrs(&attrs, &node.stat().unwrap());
            assert_eq!(
                outcome,
                AttrOutcome {
                    owner: Ok(false),
                    ..CHANGED
                }
            );
            assert_eq!(site.root().stat(n("f")).unwrap().permissions(), 0o600);
        });
    });
}
