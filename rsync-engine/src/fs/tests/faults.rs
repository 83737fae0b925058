//! Calls that fail: temporaries vanish, targets stay.

use std::sync::Arc;

use super::*;

fn receive(tree: &Tree) -> Result<()> {
    let dir = tree.open_dir(p("d"), Links::Refuse)?;
    let mut temp = dir.create_temp(n("f"), 0o644, TempPlace::Beside)?;
    let mut buffer = WriteBuffer::new();
    buffer.put(temp.file(), &[b'x'; 300_000])?;
    buffer.put(temp.file(), b"end")?;
    buffer.flush(temp.file())?;
    let attrs = Attrs {
        mode: Some(0o644),
        mtime: Some(Timestamp { secs: 9, nsec: 0 }),
        ..Attrs::default()
    };
    temp.file().set_attrs(&attrs, None).ok()?;
    temp.publish(&dir, n("f"))
}

#[test]
fn a_failed_file_leaves_the_old_one_and_no_temporary() {
    for (op, nth, errno) in [
        (Op::OpenDir, 1, Errno::MFILE),
        (Op::Create, 1, Errno::NOSPC),
        (Op::Create, 1, Errno::DQUOT),
        (Op::Write, 1, Errno::NOSPC),
        (Op::Write, 2, Errno::DQUOT),
        (Op::Utime, 1, Errno::IO),
        (Op::Chmod, 1, Errno::PERM),
        (Op::Rename, 1, Errno::IO),
    ] {
        both(|site| {
            site.dirs("d");
            site.file("d/f", b"old");
            let tree = site
                .tree
                .with_hook(Arc::new(Countdown::new(op, nth, errno)))
                .unwrap();
            assert_eq!(receive(&tree), Err(errno), "{op:?}");
            assert_eq!(fs::read(site.at("d/f")).unwrap(), b"old");
            assert_eq!(site.names("d"), ["f"]);
            // The countdown is over.
            assert_eq!(receive(&tree), Ok(()));
            assert_eq!(fs::metadata(site.at("d/f")).unwrap().len(), 300_003);
            assert_eq!(site.names("d"), ["f"]);
        });
    }
}

#[test]
fn a_taken_temporary_name_is_not_the_end() {
    both(|site| {
        site.dirs("d");
        let tree = site
            .tree
            .with_hook(Arc::new(Countdown::new(Op::Create, 1, Errno::EXIST)))
            .unwrap();
        assert_eq!(receive(&tree), Ok(()));
        let tree = site
            .tree
            .with_hook(Arc::new(Countdown::new(Op::Symlink, 1, Errno::EXIST)))
            .unwrap();
        tree.root()
            .stage_symlink(n("l"), b"x")
            .unwrap()
            .publish(tree.root(), n("l"))
            .unwrap();
        assert_eq!(site.names(""), ["d", "l"]);
    });
}

#[test]
fn a_busy_target_is_put_aside() {
    both(|site| {
        site.dirs("d");
        site.file("d/f", b"running");
        let tree = site
            .tree
            .with_hook(Arc::new(Countdown::new(Op::Rename, 1, Errno::TXTBSY)))
            .unwrap();
        assert_eq!(receive(&tree), Ok(()));
        let names = site.names("d");
        assert_eq!(names.len(), 2, "{names:?}");
        let aside = names
            .iter()
            .find(|name| name.starts_with(".rsync"))
            .unwrap();
        assert_eq!(aside.len(), ".rsync000".len());
        assert_eq!(fs::read(site.at("d").join(aside)).unwrap(), b"running");
    });
}

#[test]
fn what_cannot_be_renamed_is_copied() {
    both(|site| {
        site.dirs("temps");
        site.dirs("d");
        let tree = site
            .tree
            .with_hook(Arc::new(Countdown::new(Op::Rename, 1, Errno::XDEV)))
            .unwrap();
        let (temps, dir) = (
            tree.open_dir(p("temps"), Links::Refuse).unwrap(),
            tree.open_dir(p("d"), Links::Refuse).unwrap(),
        );
        let mut temp = temps
            .create_temp(n("f"), 0o600, TempPlace::TempDir)
            .unwrap();
        let data: Vec<u8> = (0..600_000u32).map(|i| i as u8).collect();
        temp.file().write_at(&data, 0).unwrap();
        assert_eq!(temp.publish(&dir, n("f")), Err(Errno::XDEV));
        let mut copy = temp.copy_to(&dir, n("f"), 0o600).unwrap();
        drop(temp);
        copy.publish(&dir, n("f")).unwrap();
        assert_eq!(fs::read(site.at("d/f")).unwrap(), data);
        assert!(site.names("temps").is_empty());
        assert_eq!(site.names("d"), ["f"]);
    });
}

#[test]
fn errors_while_deleting_are_reported_and_the_rest_goes() {
    both(|site| {
        site.dirs("t/a");
        site.dirs("t/b");
        site.file("t/a/f", b"");
        site.file("t/g", b"");
        let tree = site
            .tree
            .with_hook(Arc::new(Countdown::new(Op::Unlink, 1, Errno::IO)))
            .unwrap();
        let mut report = deletion::Report::default();
        let gone = remove_tree(
            tree.root(),
            n("t"),
            p("t"),
            RemoveOptions::default(),
            &mut report,
        );
        assert_eq!(gone, Ok(false));
        assert_eq!(report.removed, ["t/b", "t/g"]);
        assert_eq!(
            report.failed,
            [
                ("t/a/f".into(), Errno::IO),
                ("t/a".into(), Errno::NOTEMPTY),
                ("t".into(), Errno::NOTEMPTY)
            ]
        );
    });
}
