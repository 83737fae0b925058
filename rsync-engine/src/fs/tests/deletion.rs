//! Recursive deletion: order, protection, failures (03-transfer 8.2, 8.3).

use super::*;

/// A deleter that remembers.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) removed: Vec<String>,
    pub(super) failed: Vec<(String, Errno)>,
    protected: Vec<&'static str>,
    limit: Option<usize>,
    /// The walk is ended after so many removals.
    ends_after: Option<usize>,
    pretend: bool,
}

impl Deleter for Report {
    fn protects(&mut self, entry: &Doomed<'_>) -> bool {
        self.protected
            .iter()
            .any(|path| path.as_bytes() == entry.path.as_bytes())
    }

    fn remove(&mut self, entry: &Doomed<'_>) -> Result<bool> {
        if self.limit == Some(self.removed.len()) {
            return Ok(false);
        }
        if !self.pretend {
            entry.remove()?;
        }
        self.removed.push(text(entry.path));
        Ok(true)
    }

    fn may_go_on(&mut self) -> bool {
        self.ends_after != Some(self.removed.len())
    }

    fn failed(&mut self, entry: &Doomed<'_>, errno: Errno) {
        self.failed.push((text(entry.path), errno));
    }
}

fn text(path: RelPath<'_>) -> String {
    String::from_utf8_lossy(path.as_bytes()).into_owned()
}

fn run(site: &Site, report: &mut Report) -> Result<bool> {
    let options = RemoveOptions {
        dry_run: report.pretend,
        ..RemoveOptions::default()
    };
    remove_tree(site.root(), n("t"), p("t"), options, report)
}

fn plant(site: &Site) {
    for dir in ["t/a", "t/a-b", "t/a0", "t/a/deep/deeper"] {
        site.dirs(dir);
    }
    for file in ["t/a.txt", "t/z", "t/a/1", "t/a/2", "t/a/deep/deeper/f"] {
        site.file(file, b"x");
    }
    site.link("t/link", site.out(""));
    site.link("t/a/link", site.out("secret"));
}

#[test]
fn everything_goes_in_reverse_sort_order() {
    both(|site| {
        plant(site);
        let mut report = Report::default();
        assert_eq!(run(site, &mut report), Ok(true));
        // Directories first: `a0/` sorts after `a/`, `a-b/` before it.
        let expected = [
            "t/a0",
            "t/a/deep/deeper/f",
            "t/a/deep/deeper",
            "t/a/deep",
            "t/a/link",
            "t/a/2",
            "t/a/1",
            "t/a",
            "t/a-b",
            "t/z",
            "t/link",
            "t/a.txt",
            "t",
        ];
        assert_eq!(report.removed, expected);
        assert!(report.failed.is_empty());
        assert!(site.names("").is_empty());
    });
}

#[test]
fn files_and_links_at_the_top() {
    both(|site| {
        site.file("f", b"x");
        site.link("l", site.out(""));
        for name in ["f", "l"] {
            let mut report = Report::default();
            let gone = remove_tree(
                site.root(),
                n(name),
                p("x/y"),
                RemoveOptions::default(),
                &mut report,
            );
            assert_eq!((gone, report.removed), (Ok(true), vec!["x/y".to_string()]));
        }
        let gone = remove_tree(
            site.root(),
            n("f"),
            p("f"),
            RemoveOptions::default(),
            &mut Report::default(),
        );
        assert_eq!(gone, Err(Errno::NOENT));
        assert!(site.names("").is_empty());
    });
}

#[test]
fn what_is_protected_stays_with_its_parents() {
    both(|site| {
        plant(site);
        let mut report = Report {
            protected: vec!["t/a/deep", "t/z"],
            ..Report::default()
        };
        assert_eq!(run(site, &mut report), Ok(false));
        assert_eq!(
            report.removed,
            [
                "t/a0", "t/a/link", "t/a/2", "t/a/1", "t/a-b", "t/link", "t/a.txt"
            ]
        );
        assert_eq!(
            report.failed,
            [
                ("t/a".into(), Errno::NOTEMPTY),
                ("t".into(), Errno::NOTEMPTY)
            ]
        );
        assert_eq!(site.names("t"), ["a", "z"]);
        assert!(site.at("t/a/deep/deeper/f").exists());
    });
}

#[test]
fn a_limit_and_a_dry_run() {
    both(|site| {
        plant(site);
        let mut dry = Report {
            pretend: true,
            ..Report::default()
        };
        assert_eq!(run(site, &mut dry), Ok(true));
        assert_eq!(dry.removed.len(), 13);
        assert_eq!(site.names("t").len(), 6);
        let mut report = Report {
            limit: Some(3),
            ..Report::default()
        };
        assert_eq!(run(site, &mut report), Ok(false));
        assert_eq!(report.removed, dry.removed[..3]);
        assert_eq!(site.names("t/a"), ["1", "2", "deep", "link"]);
        assert!(site.names("t/a/deep").is_empty());
    });
}

#[test]
fn a_directory_without_write_permission_is_emptied_by_its_owner() {
    if !root_or_skip("a_directory_without_write_permission_is_emptied_by_its_owner") {
        return;
    }
    use std::os::unix::fs::{PermissionsExt as _, chown};
    both(|site| {
        fs::set_permissions(site.tmp.path(), fs::Permissions::from_mode(0o755)).unwrap();
        chown(site.at(""), Some(801), None).unwrap();
        for (dir, mode) in [
            ("t/unwritable", 0o555),
            ("t/closed", 0o000),
            ("t/kept", 0o500),
            ("t", 0o755),
        ] {
            site.dirs(dir);
            site.file(&format!("{dir}/f"), b"x");
            chown(site.at(dir), Some(801), None).unwrap();
            fs::set_permissions(site.at(dir), fs::Permissions::from_mode(mode)).unwrap();
        }
        site.dirs("t/foreign");
        site.file("t/foreign/f", b"x");
        as_user(801, || {
            let mut dry = Report {
                pretend: true,
                ..Report::default()
            };
            assert_eq!(run(site, &mut dry), Ok(false));
            assert_eq!(dry.failed[0], ("t/closed".into(), Errno::ACCESS));
            let mut report = Report {
                protected: vec!["t/kept/f"],
                ..Report::default()
            };
            assert_eq!(run(site, &mut report), Ok(false));
            assert_eq!(report.removed, ["t/unwritable/f", "t/unwritable", "t/f"]);
            // What cannot be read was closed by somebody, and stays.
            assert!(report.failed.contains(&("t/closed".into(), Errno::ACCESS)));
        });
        assert_eq!(site.names("t"), ["closed", "foreign", "kept"]);
        // It stays, and is as it was.
        assert_eq!(
            fs::metadata(site.at("t/kept"))
                .unwrap()
                .permissions()
                .mode()
                & 0o7777,
            0o500
        );
    });
}

#[test]
fn another_device_is_left_alone() {
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    if !root_or_skip("another_device_is_left_alone") {
        return;
    }
    both(|site| {
        site.dirs("t/mounted");
        site.file("t/f", b"x");
        let point = site.at("t/mounted");
        if let Err(errno) = mount("none", &point, "tmpfs", MountFlags::empty(), None) {
            eprintln!("SKIPPED for lack of mount rights ({errno}): another_device_is_left_alone");
            return;
        }
        site.file("t/mounted/inside", b"x");
        let mut report = Report::default();
        let options = RemoveOptions {
            one_file_system: true,
            ..RemoveOptions::default()
        };
        let gone = remove_tree(site.root(), n("t"), p("t"), options, &mut report);
        let kept = site.names("t/mounted");
        let mut without = Report::default();
        let emptied = run(site, &mut without);
        unmount(&point, UnmountFlags::empty()).unwrap();
        assert_eq!(gone, Ok(false));
        assert_eq!(report.removed, ["t/f"]);
        assert_eq!(
            report.failed,
            [
                ("t/mounted".into(), Errno::XDEV),
                ("t".into(), Errno::NOTEMPTY)
            ]
        );
        assert_eq!(kept, ["inside"]);
        // Without the option the file system is emptied, but is in use.
        assert_eq!(emptied, Ok(false));
        assert_eq!(
            without.failed,
            [
                ("t/mounted".into(), Errno::BUSY),
                ("t".into(), Errno::NOTEMPTY)
            ]
        );
    });
}

/// Moves a directory elsewhere while the walk is deeper than the handles it holds.
#[test]
fn a_moved_directory_ends_the_walk() {
    struct Mover<'s>(&'s Site, Report);
    impl Deleter for Mover<'_> {
        fn remove(&mut self, entry: &Doomed<'_>) -> Result<bool> {
            if entry.name == n("bottom") {
                fs::create_dir(self.0.at("elsewhere")).unwrap();
                fs::rename(self.0.at("t/d/d/d"), self.0.at("elsewhere/d")).unwrap();
                fs::write(self.0.at("elsewhere/not ours"), b"x").unwrap();
            }
            self.1.remove(entry)
        }
        fn failed(&mut self, entry: &Doomed<'_>, errno: Errno) {
            self.1.failed(entry, errno);
        }
    }
    both(|site| {
        site.dirs(&format!("t{}", "/d".repeat(100)));
        site.file(&format!("t{}/bottom", "/d".repeat(100)), b"x");
        let mut mover = Mover(site, Report::default());
        let gone = remove_tree(
            site.root(),
            n("t"),
            p("t"),
            RemoveOptions::default(),
            &mut mover,
        );
        assert_eq!(gone, Err(Errno::STALE));
        assert_eq!(site.names("elsewhere"), ["d", "not ours"]);
    });
}

#[test]
fn a_walk_can_be_ended_at_any_entry() {
    both(|site| {
        plant(site);
        for removals in [0, 1, 4] {
            let mut report = Report {
                ends_after: Some(removals),
                ..Report::default()
            };
            assert_eq!(run(site, &mut report), Err(Errno::CANCELED));
            assert_eq!((report.removed.len(), report.failed), (removals, vec![]));
        }
    });
}
