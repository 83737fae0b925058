//! Reading and writing.

use std::time::Duration;

use super::*;

#[test]
fn only_regular_files_are_opened() {
    both(|site| {
        let root = site.root();
        root.mknod(n("fifo"), Special::Fifo, 0o600).unwrap();
        root.mknod(n("socket"), Special::Socket, 0o600).unwrap();
        site.dirs("dir");
        site.link("to fifo", "fifo");
        for (name, read, write) in [
            ("fifo", Errno::INVAL, Errno::INVAL),
            ("socket", Errno::NXIO, Errno::NXIO),
            ("dir", Errno::INVAL, Errno::ISDIR),
            ("to fifo", Errno::LOOP, Errno::LOOP),
            ("none", Errno::NOENT, Errno::NOENT),
        ] {
            assert_eq!(
                root.open_read(n(name), Atime::Update).err(),
                Some(read),
                "{name}"
            );
            assert_eq!(root.open_write(n(name)).err(), Some(write), "{name}");
        }
        assert_eq!(
            site.tree
                .open_read(p("to fifo"), Links::Beneath, Atime::Update)
                .err(),
            Some(Errno::INVAL)
        );
    });
}

#[test]
fn reading_and_writing_by_position() {
    both(|site| {
        let file = site.root().create(n("f"), 0o600).unwrap();
        file.reserve(1 << 20).unwrap();
        assert_eq!(file.stat().unwrap().size, 0);
        file.write_at(b"world", 6).unwrap();
        file.write_at(b"hello ", 0).unwrap();
        file.set_len(11).unwrap();
        file.sync().unwrap();
        let mut buf = [0; 20];
        assert_eq!(file.read_at(&mut buf, 0), Ok(11));
        let mut read = site.root().open_read(n("f"), Atime::Update).unwrap();
        assert_eq!(read.stat().size, 11);
        assert_eq!(read.read_at(&mut buf[..5], 6), Ok(5));
        assert_eq!(&buf[..5], b"world");
        assert_eq!(read.read(&mut buf[..6]), Ok(6));
        assert_eq!(&buf[..6], b"hello ");
        assert_eq!(read.read_at(&mut buf, 11), Ok(0));
        let written = site.root().open_write(n("f")).unwrap();
        written.write_at(b"H", 0).unwrap();
        assert_eq!(fs::read(site.at("f")).unwrap(), b"Hello world");
        assert_eq!(read.restat().unwrap().size, 11);
    });
}

#[test]
fn a_file_for_reading_blocks_again() {
    both(|site| {
        site.file("f", b"x");
        for (atime, expected) in [(Atime::Update, false), (Atime::Preserve, true)] {
            let file = site.root().open_read(n("f"), atime).unwrap();
            let flags = rustix::fs::fcntl_getfl(file.fd()).unwrap();
            assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
            assert_eq!(flags.contains(rustix::fs::OFlags::NOATIME), expected);
        }
    });
}

#[test]
fn reading_can_leave_the_access_time() {
    both(|site| {
        site.file("f", b"x");
        let old = Timestamp {
            secs: 1_000_000_000,
            nsec: 0,
        };
        let set = Attrs {
            atime: Some(old),
            ..Attrs::default()
        };
        assert!(
            site.root()
                .open_write(n("f"))
                .unwrap()
                .set_attrs(&set, None)
                .ok()
                .is_ok()
        );
        read_all(site.root().open_read(n("f"), Atime::Preserve).unwrap());
        assert_eq!(site.root().stat(n("f")).unwrap().atime, old);
    });
}

#[test]
fn somebody_elses_file_is_read_as_usual() {
    if !root_or_skip("somebody_elses_file_is_read_as_usual") {
        return;
    }
    use std::os::unix::fs::PermissionsExt as _;
    both(|site| {
        site.file("f", b"shared");
        fs::set_permissions(site.tmp.path(), fs::Permissions::from_mode(0o755)).unwrap();
        as_user(801, || {
            let file = site.root().open_read(n("f"), Atime::Preserve).unwrap();
            assert_eq!(read_all(file), b"shared");
        });
        // The file system's EPERM was not taken for a missing openat2.
        assert_eq!(
            site.root().context().walks(),
            site.tree.root().context().walks()
        );
    });
}

#[test]
fn pieces_are_gathered() {
    #[derive(Debug, PartialEq)]
    struct Failed;
    impl From<Errno> for Failed {
        fn from(_: Errno) -> Self {
            Self
        }
    }
    both(|site| {
        let file = site.root().create(n("f"), 0o600).unwrap();
        let mut buffer = WriteBuffer::new();
        let mut expected = Vec::new();
        for length in [
            1, 1000, 262_143, 262_144, 262_145, 7, 0, 900_000, 131_072, 131_072, 1,
        ] {
            let piece: Vec<u8> = (0..length).map(|i: u32| (i ^ i >> 8) as u8).collect();
            buffer.put(&file, &piece).unwrap();
            expected.extend_from_slice(&piece);
            assert_eq!(buffer.position(), expected.len() as u64);
        }
        buffer
            .put_with(&file, 5, |space| -> Result<()> {
                space.copy_from_slice(b"basis");
                Ok(())
            })
            .unwrap();
        expected.extend_from_slice(b"basis");
        assert_eq!(
            buffer.put_with(&file, 5, |_| Err::<(), _>(Failed)),
            Err(Failed)
        );
        let too_much = WriteBuffer::CAPACITY + 1;
        assert_eq!(
            buffer.put_with(&file, too_much, |_| Ok::<(), Errno>(())),
            Err(Errno::INVAL)
        );
        buffer.flush(&file).unwrap();
        assert!(fs::read(site.at("f")).unwrap() == expected);
        // In place: what is skipped stays.
        buffer.start(2);
        buffer.put(&file, b"AB").unwrap();
        buffer.skip(&file, 3).unwrap();
        buffer.put(&file, b"CD").unwrap();
        buffer.flush(&file).unwrap();
        expected[2..4].copy_from_slice(b"AB");
        expected[7..9].copy_from_slice(b"CD");
        assert!(fs::read(site.at("f")).unwrap() == expected);
        assert_eq!(buffer.position(), 9);
        assert_eq!(buffer.skip(&file, u64::MAX), Err(Errno::FBIG));
    });
}

/// Opening a FIFO that somebody put in the place of a file returns at once.
#[test]
fn a_fifo_does_not_hang_us() {
    let (done, finished) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().spawn(move || {
        both(|site| {
            site.root().mknod(n("fifo"), Special::Fifo, 0o600).unwrap();
            assert!(site.root().open_read(n("fifo"), Atime::Update).is_err());
            assert!(site.root().open_write(n("fifo")).is_err());
            assert!(
                operator::open_read(
                    &site.at("fifo"),
                    operator::Trust::OwnLinks,
                    operator::Input::Regular
                )
                .is_err()
            );
        });
        done.send(()).unwrap();
    });
    finished
        .recv_timeout(Duration::from_secs(60))
        .expect("blocked on a FIFO");
    thread.unwrap().join().unwrap();
}

#[test]
fn identities_and_file_systems() {
    both(|site| {
        site.dirs("d");
        let dir = site.dir("d");
        let stat = site.root().stat(n("d")).unwrap();
        assert_eq!(dir.id(), Ok(stat.id));
        assert_ne!(dir.id(), site.root().id());
        assert_eq!(stat.mnt, dir.self_stat().unwrap().mnt);
        let proc = Tree::open(Path::new("/proc")).unwrap();
        assert_eq!(proc.root().fs_magic(), Ok(0x9fa0));
        assert_ne!(dir.fs_magic(), Ok(0x9fa0));
        assert_eq!(
            site.root().stat_opt(n("none")).map(|stat| stat.is_none()),
            Ok(true)
        );
        assert_eq!(
            site.root().rename_new(n("none"), site.root(), n("x")),
            Err(Errno::NOENT)
        );
    });
}

#[test]
fn directories_are_cached_by_path() {
    both(|site| {
        for dir in ["base/a/b", "base/ab", "base/c"] {
            site.dirs(dir);
        }
        let base = p("base").to_buf();
        let mut cache = DirCache::new(site.tree.clone(), base, Links::Refuse, 2);
        let a = cache.get(p("a")).unwrap().id();
        assert_eq!(
            cache.get(RelPath::ROOT).unwrap().id(),
            site.dir("base").id()
        );
        assert_eq!(a, site.dir("base/a").id());
        // A hit does not look at the file system, a forgotten path does.
        fs::rename(site.at("base/a"), site.at("base/moved")).unwrap();
        assert_eq!(cache.get(p("a")).unwrap().id(), a);
        cache.forget(p("b"));
        assert_eq!(cache.get(p("a")).unwrap().id(), a);
        cache.forget(p("a"));
        assert_eq!(cache.get(p("a")).err(), Some(Errno::NOENT));
        // The least recently used goes first.
        fs::rename(site.at("base/moved"), site.at("base/a")).unwrap();
        cache.get(p("a")).unwrap();
        cache.get(p("a/b")).unwrap();
        cache.get(p("a")).unwrap();
        cache.get(p("c")).unwrap();
        fs::rename(site.at("base/a"), site.at("base/moved")).unwrap();
        assert!(cache.get(p("a")).is_ok());
        assert_eq!(cache.get(p("a/b")).err(), Some(Errno::NOENT));
        // Below `a` is not `ab`.
        let mut cache = DirCache::new(site.tree.clone(), RelPathBuf::root(), Links::Refuse, 10);
        cache.insert(p("a"), site.dir("base/moved"));
        cache.insert(p("a/b"), site.dir("base/moved/b"));
        cache.insert(p("ab"), site.dir("base/ab"));
        cache.forget(p("a"));
        assert!(cache.get(p("ab")).is_ok());
        assert_eq!(cache.get(p("a/b")).err(), Some(Errno::NOENT));
        cache.forget(RelPath::ROOT);
        assert_eq!(cache.get(p("ab")).err(), Some(Errno::NOENT));
    });
}
