//! Links planted at every place, each operation, each kind of target (05-security P-1 to P-12,
//! P-17).

use super::*;

/// Something done with a name in a directory.
type Operation = (&'static str, fn(&Dir, Name<'_>) -> Result<()>);

const OPERATIONS: &[Operation] = &[
    ("stat", |dir, name| dir.stat(name).map(drop)),
    ("open_dir", |dir, name| dir.open_dir(name).map(drop)),
    ("open_list", |dir, name| {
        dir.open_list(name)?.list(&mut ListBuf::default()).map(drop)
    }),
    ("open_read", |dir, name| {
        dir.open_read(name, Atime::Update).map(drop)
    }),
    ("open_write", |dir, name| {
        dir.open_write(name)?.write_at(b"overwritten", 0)
    }),
    ("create", |dir, name| {
        dir.create(name, 0o644)?.write_at(b"overwritten", 0)
    }),
    ("open_node", |dir, name| dir.open_node(name).map(drop)),
    ("read_link", |dir, name| dir.read_link(name).map(drop)),
    ("mkdir", |dir, name| dir.mkdir(name, 0o755)),
    ("rmdir", Dir::rmdir),
    ("unlink", Dir::unlink),
    ("rename away", |dir, name| {
        dir.rename(name, dir, n("renamed"))
    }),
    ("rename onto", |dir, name| {
        dir.symlink(n("other"), b"x")?;
        dir.rename(n("other"), dir, name)
    }),
    ("rename_new", |dir, name| {
        dir.symlink(n("other"), b"x")?;
        dir.rename_new(n("other"), dir, name)
    }),
    ("link from", |dir, name| dir.link(name, dir, n("linked"))),
    ("link to", |dir, name| {
        dir.symlink(n("other"), b"x")?;
        dir.link(n("other"), dir, name)
    }),
    ("symlink", |dir, name| dir.symlink(name, b"x")),
    ("fifo", |dir, name| dir.mknod(name, Special::Fifo, 0o644)),
    ("socket", |dir, name| {
        dir.mknod(name, Special::Socket, 0o644)
    }),
    ("publish", |dir, name| {
        let mut temp = dir.create_temp(name, 0o644, TempPlace::Beside)?;
        temp.file().write_at(b"new", 0)?;
        temp.publish(dir, name)
    }),
    ("stage_symlink", |dir, name| {
        dir.stage_symlink(name, b"x")?.publish(dir, name)
    }),
    ("stage_special", |dir, name| {
        dir.stage_special(name, Special::Fifo, 0o600)?
            .publish(dir, name)
    }),
    ("stage_link", |dir, name| {
        dir.symlink(n("other"), b"x")?;
        dir.stage_link(name, dir, n("other"))?.publish(dir, name)
    }),
    ("attributes", |dir, name| {
        let node = dir.open_node(name)?;
        let attrs = Attrs {
            uid: is_root().then_some(801),
            mode: Some(0o777),
            mtime: Some(Timestamp { secs: 1, nsec: 1 }),
            ..Attrs::default()
        };
        node.set_attrs(&attrs, &node.stat()?).ok()
    }),
    ("remove_tree", |dir, name| {
        let mut report = deletion::Report::default();
        remove_tree(
            dir,
            name,
            name.as_path(),
            RemoveOptions::default(),
            &mut report,
        )
        .map(drop)
    }),
];

/// Targets outside, or inside by a way that must not be taken. They lead to the directory `out`;
/// with `/secret` to a file.
fn targets(site: &Site) -> Vec<PathBuf> {
    let out = site.out("");
    let out = out.to_str().unwrap().trim_end_matches('/');
    vec![
        out.into(),
        format!("/proc/self/root{out}").into(),
        format!("/proc/self/cwd/../../../../../../../..{out}").into(),
        // Every place that is planted below lies one or two levels below the root.
        "../out".into(),
        "../../out".into(),
        "../../../out".into(),
    ]
}

/// What an operation on a link in the place of the name must answer.
fn leaf_answer(operation: &str) -> &'static [Errno] {
    match operation {
        "stat" | "open_node" | "read_link" | "unlink" | "rename away" | "rename onto"
        | "link from" | "publish" | "stage_symlink" | "stage_special" | "stage_link"
        | "attributes" | "remove_tree" => &[],
        "open_dir" | "open_list" | "open_read" | "open_write" => &[Errno::LOOP],
        "rmdir" => &[Errno::NOTDIR],
        _ => &[Errno::EXIST],
    }
}

#[test]
fn a_link_in_the_place_of_the_name_is_never_followed() {
    for leaf in ["", "/secret"] {
        for (operation, run) in OPERATIONS {
            both(|site| {
                site.dirs("d");
                for target in targets(site) {
                    let target = format!("{}{leaf}", target.display());
                    site.link("d/name", &target);
                    let result = run(&site.dir("d"), n("name"));
                    let expected = leaf_answer(operation);
                    match result {
                        Ok(()) => assert!(expected.is_empty(), "{operation} of {target}"),
                        Err(errno) => assert!(
                            expected.contains(&errno),
                            "{operation} of {target}: {errno}"
                        ),
                    }
                    site.assert_canary();
                    fs::remove_dir_all(site.at("d")).unwrap();
                    site.dirs("d");
                }
            });
        }
    }
}

#[test]
fn a_link_in_the_place_of_a_parent_is_never_followed() {
    for place in ["d", "d/e", "d/e/f"] {
        both(|site| {
            for target in targets(site) {
                site.tree
                    .make_dirs(p(place).split().unwrap().0, Links::Refuse, 0o755)
                    .unwrap();
                site.link(place, &target);
                for below in ["", "/sub", "/sub/none"] {
                    let path = format!("{place}{below}");
                    let (tree, path) = (&site.tree, p(&path));
                    assert_eq!(
                        tree.open_dir(path, Links::Refuse).err(),
                        Some(Errno::LOOP),
                        "{path:?}"
                    );
                    assert_eq!(tree.open_list(path, Links::Refuse).err(), Some(Errno::LOOP));
                    assert_eq!(
                        tree.make_dirs(path, Links::Refuse, 0o755).err(),
                        Some(Errno::LOOP)
                    );
                    assert_eq!(tree.subtree(path, Links::Refuse).err(), Some(Errno::LOOP));
                    for links in [Links::Beneath, Links::InRoot] {
                        let answers = [
                            tree.open_dir(path, links).err(),
                            tree.stat(path, links).err(),
                            tree.open_node(path, links).err(),
                            tree.open_read(path, links, Atime::Update).err(),
                        ];
                        for answer in answers {
                            let refused = [Errno::XDEV, Errno::NOENT];
                            let refused = answer.is_some_and(|errno| refused.contains(&errno));
                            assert!(refused, "{path:?} to {target:?}, {links:?}: {answer:?}");
                        }
                    }
                    let made = tree.make_dirs(path, Links::Beneath, 0o755).err();
                    assert!(made.is_some(), "{path:?} to {target:?}");
                }
                fs::remove_file(site.at(place)).unwrap();
                site.assert_canary();
            }
        });
    }
}

#[test]
fn links_that_stay_inside_are_followed_where_allowed() {
    both(|site| {
        site.dirs("real/sub");
        site.file("real/f", b"inside");
        site.dirs("other");
        site.link("direct", "real");
        site.link("other/up", "../real");
        site.link("twice", "other/up");
        site.link("file", "other/../direct/f");
        site.link("self", "self");
        site.link("absolute", site.at("real"));
        site.link("rooted", "/real");
        site.link("over", "../../../../real");
        site.dirs("x/y/z");
        site.link("x/y/z/winding", "../../y/./z/../../../other/../x/../real");
        let id = |path: &str, links| site.tree.open_dir(p(path), links).and_then(|dir| dir.id());
        let real = site.dir("real").id();
        let sub = site.dir("real/sub").id();
        for (path, refuse, beneath, in_root) in [
            ("real", real, real, real),
            ("direct", Err(Errno::LOOP), real, real),
            ("other/up", Err(Errno::LOOP), real, real),
            ("twice", Err(Errno::LOOP), real, real),
            ("x/y/z/winding", Err(Errno::LOOP), real, real),
            ("twice/sub", Err(Errno::LOOP), sub, sub),
            ("self", Err(Errno::LOOP), Err(Errno::LOOP), Err(Errno::LOOP)),
            (
                "absolute",
                Err(Errno::LOOP),
                Err(Errno::XDEV),
                Err(Errno::NOENT),
            ),
            ("rooted", Err(Errno::LOOP), Err(Errno::XDEV), real),
            ("over", Err(Errno::LOOP), Err(Errno::XDEV), real),
            (
                "real/f",
                Err(Errno::NOTDIR),
                Err(Errno::NOTDIR),
                Err(Errno::NOTDIR),
            ),
            (
                "real/f/x",
                Err(Errno::NOTDIR),
                Err(Errno::NOTDIR),
                Err(Errno::NOTDIR),
            ),
            (
                "none",
                Err(Errno::NOENT),
                Err(Errno::NOENT),
                Err(Errno::NOENT),
            ),
        ] {
            assert_eq!(id(path, Links::Refuse), refuse, "{path}");
            assert_eq!(id(path, Links::Beneath), beneath, "{path}");
            assert_eq!(id(path, Links::InRoot), in_root, "{path}");
        }
        assert_eq!(id("absolute", Links::Any), real);
        let content = |links| {
            Ok(read_all(site.tree.open_read(
                p("file"),
                links,
                Atime::Update,
            )?))
        };
        assert_eq!(content(Links::Beneath), Ok(b"inside".to_vec()));
        assert_eq!(content(Links::Refuse), Err(Errno::LOOP));
        assert_eq!(site.tree.stat(p("file"), Links::Beneath).unwrap().size, 6);
        let (parent, name) = site
            .tree
            .open_parent(p("twice/f"), Links::Beneath)
            .unwrap()
            .unwrap();
        assert_eq!((parent.id(), name), (real, n("f")));
        let (made, count) = site
            .tree
            .make_dirs(p("direct/a/b"), Links::Beneath, 0o755)
            .unwrap();
        assert_eq!(count, 2);
        assert_eq!(made.id(), site.dir("real/a/b").id());
    });
}

#[test]
fn a_subtree_has_its_own_boundary() {
    both(|site| {
        site.dirs("inner/deep");
        site.dirs("sibling");
        site.link("inner/l", "../sibling");
        let inner = site.tree.subtree(p("inner"), Links::Refuse).unwrap();
        assert_eq!(
            inner.open_dir(p("l"), Links::Beneath).err(),
            Some(Errno::XDEV)
        );
        assert_eq!(
            inner.open_dir(p("l"), Links::InRoot).err(),
            Some(Errno::NOENT)
        );
        assert!(site.tree.open_dir(p("inner/l"), Links::Beneath).is_ok());
    });
}

#[test]
fn forty_links_and_no_more() {
    both(|site| {
        site.dirs("end");
        let mut target = "end".to_string();
        for hop in 1..=41 {
            let name = format!("l{hop}");
            site.link(&name, &target);
            target = name;
        }
        assert!(site.tree.open_dir(p("l40"), Links::Beneath).is_ok());
        assert_eq!(
            site.tree.open_dir(p("l41"), Links::Beneath).err(),
            Some(Errno::LOOP)
        );
    });
}

#[test]
fn search_permission_is_enough_to_pass() {
    if !root_or_skip("search_permission_is_enough_to_pass") {
        return;
    }
    both(|site| {
        use std::os::unix::fs::PermissionsExt as _;
        site.dirs("gate/inside");
        fs::set_permissions(site.at("gate"), fs::Permissions::from_mode(0o711)).unwrap();
        fs::set_permissions(site.tmp.path(), fs::Permissions::from_mode(0o755)).unwrap();
        as_user(801, || {
            site.tree.open_dir(p("gate/inside"), Links::Refuse).unwrap();
            let gate = site.dir("gate");
            gate.open_dir(n("inside")).unwrap();
            assert_eq!(
                gate.list(&mut ListBuf::default()).err(),
                Some(Errno::ACCESS)
            );
        });
    });
}

/// Generator and receiver are two threads.
#[test]
fn handles_go_from_thread_to_thread() {
    fn movable<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    shared::<(Tree, Dir, Temp, ReadFile, WriteFile, Node, Staged)>();
    movable::<(DirCache, IdMapper, WriteBuffer, Listing<'_>)>();
}
