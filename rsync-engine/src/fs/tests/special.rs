//! Links, devices, FIFOs, sockets: made, and put in the place of something else.

use super::*;

#[test]
fn everything_replaces_everything_but_directories() {
    both(|site| {
        let root = site.root();
        site.file("source", b"linked");
        let kinds = |site: &Site, name: &str| {
            fs::remove_file(site.at("target")).unwrap_or(());
            match name {
                "file" => site.file("target", b"old"),
                "link" => site.link("target", site.out("secret")),
                "fifo" => site
                    .root()
                    .mknod(n("target"), Special::Fifo, 0o600)
                    .unwrap(),
                _ => {}
            }
        };
        for before in ["nothing", "file", "link", "fifo"] {
            kinds(site, before);
            root.stage_symlink(n("target"), b"to")
                .unwrap()
                .publish(root, n("target"))
                .unwrap();
            assert_eq!(root.read_link(n("target")).unwrap(), b"to");
            kinds(site, before);
            for (special, kind) in [
                (Special::Fifo, FileKind::Fifo),
                (Special::Socket, FileKind::Socket),
            ] {
                root.stage_special(n("target"), special, 0o600)
                    .unwrap()
                    .publish(root, n("target"))
                    .unwrap();
                assert_eq!(root.stat(n("target")).unwrap().kind(), kind);
            }
            kinds(site, before);
            root.stage_link(n("target"), root, n("source"))
                .unwrap()
                .publish(root, n("target"))
                .unwrap();
            assert_eq!(
                root.stat(n("target")).unwrap().id,
                root.stat(n("source")).unwrap().id
            );
            assert_eq!(site.names(""), ["source", "target"], "no temporary is left");
        }
        site.dirs("dir");
        let staged = root.stage_symlink(n("dir"), b"to").unwrap();
        assert_eq!(staged.publish(root, n("dir")), Err(Errno::ISDIR));
        drop(root.stage_symlink(n("unused"), b"to").unwrap());
        assert_eq!(site.names(""), ["dir", "source", "target"]);
    });
}

/// rename does nothing if both names are links of one file: the temporary must go all the same.
#[test]
fn a_hard_link_onto_itself_leaves_no_temporary() {
    both(|site| {
        site.file("a", b"x");
        fs::hard_link(site.at("a"), site.at("b")).unwrap();
        let root = site.root();
        root.stage_link(n("b"), root, n("a"))
            .unwrap()
            .publish(root, n("b"))
            .unwrap();
        assert_eq!(site.names(""), ["a", "b"]);
        assert_eq!(root.stat(n("a")).unwrap().nlink, 2);
    });
}

#[test]
fn a_hard_link_to_a_symbolic_link_links_the_link() {
    both(|site| {
        site.link("l", site.out("secret"));
        site.root().link(n("l"), site.root(), n("m")).unwrap();
        assert_eq!(site.root().stat(n("m")).unwrap().kind(), FileKind::Symlink);
    });
}

#[test]
fn staged_names_end_in_a_number() {
    both(|site| {
        let _staged = site.root().stage_symlink(n(".hidden"), b"x").unwrap();
        let names = site.names("");
        let number = names[0].strip_prefix(".hidden.").unwrap();
        assert!(
            number.len() <= 6 && number.bytes().all(|b| b.is_ascii_digit()),
            "{number}"
        );
    });
}

#[test]
fn devices_keep_their_numbers() {
    if !root_or_skip("devices_keep_their_numbers") {
        return;
    }
    both(|site| {
        for (major, minor) in [(0, 0), (1, 3), (255, 255), (4095, 1_048_575)] {
            for special in [
                Special::Char { major, minor },
                Special::Block { major, minor },
            ] {
                site.root()
                    .stage_special(n("dev"), special, 0o600)
                    .unwrap()
                    .publish(site.root(), n("dev"))
                    .unwrap();
                assert_eq!(site.root().stat(n("dev")).unwrap().rdev, (major, minor));
            }
        }
    });
}

#[test]
fn targets_of_links_are_bytes_of_any_length() {
    both(|site| {
        for target in [
            b"x".to_vec(),
            b"\xff\n\x01 ".to_vec(),
            vec![b'y'; 300],
            vec![b'z'; 4095],
        ] {
            let root = site.root();
            root.stage_symlink(n("l"), &target)
                .unwrap()
                .publish(root, n("l"))
                .unwrap();
            assert_eq!(root.read_link(n("l")).unwrap(), target);
            assert_eq!(root.open_node(n("l")).unwrap().read_link().unwrap(), target);
            assert_eq!(root.stat(n("l")).unwrap().size, target.len() as u64);
        }
    });
}
