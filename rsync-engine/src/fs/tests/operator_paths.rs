//! Paths of the operator: links of root and our own are followed, others are not (05-security 6).

use std::io::Read as _;

use super::operator::{Input, Output, Trust, locate, open_dir, open_read, open_write};
use super::*;

/// Runs `body` as uid 801 with links owned by 801, by root and by 802.
fn as_operator(body: impl Fn(&Site) + Sync) {
    use std::os::unix::fs::{PermissionsExt as _, chown, lchown};
    let site = Site::new(Resolver::Kernel);
    fs::set_permissions(site.tmp.path(), fs::Permissions::from_mode(0o755)).unwrap();
    site.dirs("real/sub");
    site.file("real/f", b"input");
    chown(site.at("real"), Some(801), None).unwrap();
    for (name, owner) in [("own", 801), ("roots", 0), ("foreign", 802)] {
        for (suffix, target) in [("", "real"), ("-file", "real/f"), ("-missing", "real/new")] {
            let link = format!("{name}{suffix}");
            site.link(&link, site.at(target));
            lchown(site.at(&link), Some(owner), None).unwrap();
        }
    }
    as_user(801, || body(&site));
}

#[test]
fn directories() {
    if !root_or_skip("directories") {
        return;
    }
    as_operator(|site| {
        let real = Tree::open(&site.at("real")).unwrap().root().id();
        for (path, own) in [
            ("real", real),
            ("own", real),
            ("own/", real),
            ("own/.", real),
            ("own/sub/..", real),
            ("roots", real),
            ("roots/../real", real),
            ("foreign", Err(Errno::LOOP)),
            ("foreign/", Err(Errno::LOOP)),
            ("foreign/sub/..", Err(Errno::LOOP)),
            ("real/f", Err(Errno::NOTDIR)),
            ("real/none", Err(Errno::NOENT)),
            ("real/f/x", Err(Errno::NOTDIR)),
        ] {
            let id = |trust| open_dir(&site.at(path), trust).and_then(|dir| dir.id());
            assert_eq!(id(Trust::OwnLinks), own, "{path}");
            assert_eq!(
                id(Trust::All),
                if own == Err(Errno::LOOP) { real } else { own },
                "{path}"
            );
        }
        assert_eq!(
            Tree::open_operator(&site.at("own")).unwrap().root().id(),
            real
        );
        assert_eq!(
            Tree::open_operator(&site.at("foreign")).err(),
            Some(Errno::LOOP)
        );
        assert!(open_dir(Path::new("/"), Trust::OwnLinks).is_ok());
        assert_eq!(
            open_dir(Path::new(""), Trust::OwnLinks).err(),
            Some(Errno::NOENT)
        );
        assert_eq!(
            open_dir(Path::new("."), Trust::OwnLinks).unwrap().id(),
            open_dir(Path::new("."), Trust::All).unwrap().id()
        );
    });
}

#[test]
fn inputs() {
    if !root_or_skip("inputs") {
        return;
    }
    as_operator(|site| {
        let read = |path: &str, trust| -> Result<String> {
            let (fd, stat) = open_read(&site.at(path), trust, Input::Regular)?;
            let mut text = String::new();
            fs::File::from(fd).read_to_string(&mut text).unwrap();
            assert_eq!(stat.size, text.len() as u64);
            Ok(text)
        };
        let input = Ok("input".to_string());
        for (path, own, all) in [
            ("real/f", &input, &input),
            ("own/f", &input, &input),
            ("own-file", &input, &input),
            ("roots-file", &input, &input),
            ("foreign-file", &Err(Errno::LOOP), &input),
            ("foreign/f", &Err(Errno::LOOP), &input),
            ("real", &Err(Errno::ISDIR), &Err(Errno::ISDIR)),
            ("own-missing", &Err(Errno::NOENT), &Err(Errno::NOENT)),
        ] {
            assert_eq!(read(path, Trust::OwnLinks), *own, "{path}");
            assert_eq!(read(path, Trust::All), *all, "{path}");
        }
    });
}

#[test]
fn outputs() {
    if !root_or_skip("outputs") {
        return;
    }
    as_operator(|site| {
        let write = |path: &str, output| {
            let fd = open_write(&site.at(path), Trust::OwnLinks, output, 0o644)?;
            rustix::io::write(fd, b"+").map(drop)
        };
        assert_eq!(write("foreign-file", Output::Replace), Err(Errno::LOOP));
        assert_eq!(write("foreign-missing", Output::Append), Err(Errno::LOOP));
        assert_eq!(write("foreign/new", Output::Append), Err(Errno::LOOP));
        assert_eq!(site.names("real"), ["f", "sub"]);
        assert_eq!(write("own-missing", Output::Append), Ok(()));
        assert_eq!(write("own/new", Output::Append), Ok(()));
        assert_eq!(fs::read(site.at("real/new")).unwrap(), b"++");
        assert_eq!(write("real/new", Output::Replace), Ok(()));
        assert_eq!(fs::read(site.at("real/new")).unwrap(), b"+");
    });
}

#[test]
fn a_stream_of_our_own_may_be_an_input() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    rustix::io::write(&writer, b"piped").unwrap();
    drop(writer);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
    let regular = open_read(Path::new(&path), Trust::OwnLinks, Input::Regular);
    assert_eq!(regular.err(), Some(Errno::INVAL));
    let (fd, stat) = open_read(Path::new(&path), Trust::OwnLinks, Input::Stream).unwrap();
    assert_eq!(stat.kind(), FileKind::Fifo);
    let mut text = String::new();
    fs::File::from(fd).read_to_string(&mut text).unwrap();
    assert_eq!(text, "piped");
}

#[test]
fn located_paths() {
    let site = Site::new(Resolver::Kernel);
    site.dirs("a/b");
    let dir = |path: &str| site.dir(path).id();
    for trust in [Trust::All, Trust::OwnLinks] {
        for (path, parent, name) in [
            ("a/b", dir("a"), Some("b")),
            ("a/none", dir("a"), Some("none")),
            ("a/b/", dir("a/b"), None),
            ("a/b/.", dir("a/b"), None),
            ("a/b/..", dir("a"), None),
        ] {
            let located = locate(&site.at(path), trust).unwrap();
            assert_eq!(located.dir.id(), parent, "{path}");
            assert_eq!(
                located.name.as_ref().map(NameBuf::as_name),
                name.map(n),
                "{path}"
            );
        }
        let here = open_dir(Path::new("."), trust).unwrap().id();
        let located = locate(Path::new("Cargo.toml"), trust).unwrap();
        assert_eq!(
            (located.dir.id(), located.name.unwrap().as_name()),
            (here, n("Cargo.toml"))
        );
        assert_eq!(locate(Path::new("."), trust).unwrap().dir.id(), here);
        assert!(locate(Path::new("/"), trust).unwrap().name.is_none());
        assert_eq!(locate(Path::new(""), trust).err(), Some(Errno::NOENT));
        assert_eq!(locate(&site.at("none/x"), trust).err(), Some(Errno::NOENT));
    }
}
