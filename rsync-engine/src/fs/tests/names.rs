//! Every byte that a name may hold, and trees deeper than a path may be long.

use std::os::unix::ffi::OsStrExt as _;

use super::*;

#[test]
fn names_are_bytes() {
    both_in_memory(|site| {
        for byte in (1..=255u8).filter(|&byte| byte != b'/') {
            for bytes in [vec![byte, b'x'], vec![b'x', byte]] {
                let name = Name::new(&bytes).unwrap();
                let mut temp = site
                    .root()
                    .create_temp(name, 0o644, TempPlace::Beside)
                    .unwrap();
                temp.file().write_at(&bytes, 0).unwrap();
                temp.publish(site.root(), name).unwrap();
                let path = site.at("").join(std::ffi::OsStr::from_bytes(&bytes));
                assert_eq!(fs::read(&path).unwrap(), bytes);
                assert_eq!(
                    read_all(site.root().open_read(name, Atime::Update).unwrap()),
                    bytes
                );
                site.root().unlink(name).unwrap();
                assert!(!path.exists());
            }
        }
    });
}

#[test]
fn a_tree_deeper_than_any_path() {
    both_in_memory(|site| {
        let mut path = RelPathBuf::root();
        let mut dir = site.root().clone();
        for _ in 0..1000 {
            dir.mkdir(n("a directory"), 0o755).unwrap();
            dir = dir.open_dir(n("a directory")).unwrap();
            path.push(n("a directory"));
        }
        assert!(path.as_path().as_bytes().len() > 2 * 4096);
        assert_eq!(
            site.tree
                .open_dir(path.as_path(), Links::Refuse)
                .unwrap()
                .id(),
            dir.id(),
        );
        dir.symlink(n("link"), b"nowhere").unwrap();
        path.push(n("link"));
        for links in [Links::Refuse, Links::Beneath] {
            let node = site.tree.open_dir(path.as_path(), links);
            assert!(matches!(node, Err(Errno::LOOP | Errno::NOENT)), "{node:?}");
        }
        path.pop();
        path.push(n("deeper"));
        assert_eq!(
            site.tree
                .make_dirs(path.as_path(), Links::Refuse, 0o755)
                .unwrap()
                .1,
            1
        );
        drop(dir);
        let mut seen = deletion::Report::default();
        let gone = remove_tree(
            site.root(),
            n("a directory"),
            p("top"),
            RemoveOptions::default(),
            &mut seen,
        );
        assert_eq!((gone, seen.failed.len()), (Ok(true), 0));
        assert_eq!(seen.removed.len(), 1002);
        assert!(site.names("").is_empty());
    });
}
