//! Names and lives of temporary files (03-transfer 7.1).

use super::*;

fn temp_name_of(name: &[u8], place: TempPlace) -> Vec<u8> {
    let site = Site::new(Resolver::Kernel);
    let temp = site
        .root()
        .create_temp(Name::new(name).unwrap(), 0o644, place)
        .unwrap();
    temp.name().as_bytes().to_vec()
}

#[test]
fn names_follow_the_file() {
    let x = |count: usize| "x".repeat(count);
    for (name, beside, temp_dir) in [
        ("f".to_string(), ".f.".to_string(), "f.".to_string()),
        (".f".into(), ".f.".into(), ".f.".into()),
        ("..f".into(), "..f.".into(), "..f.".into()),
        ("a.b".into(), ".a.b.".into(), "a.b.".into()),
        ("f.".into(), ".f.".into(), "f.".into()),
        ("f..".into(), ".f..".into(), "f..".into()),
        (x(246), format!(".{}.", x(246)), format!("{}.", x(246))),
        (x(255), format!(".{}.", x(246)), format!("{}.", x(246))),
        // Cut before a character of two, three or four bytes that would not fit.
        (
            x(245) + "é more",
            format!(".{}.", x(245)),
            format!("{}.", x(245)),
        ),
        (
            x(244) + "€ more",
            format!(".{}.", x(244)),
            format!("{}.", x(244)),
        ),
        (
            x(243) + "𝄞 more",
            format!(".{}.", x(243)),
            format!("{}.", x(243)),
        ),
        // A character that ends there exactly.
        (
            x(244) + "é more",
            format!(".{}é.", x(244)),
            format!("{}é.", x(244)),
        ),
        // A dot at the cut.
        (
            x(245) + ". more",
            format!(".{}.", x(245)),
            format!("{}.", x(245)),
        ),
    ] {
        for (place, expected) in [(TempPlace::Beside, beside), (TempPlace::TempDir, temp_dir)] {
            let temp = temp_name_of(name.as_bytes(), place);
            let (stem, random) = temp.split_at(temp.len() - 6);
            assert_eq!(stem, expected.as_bytes(), "{name}");
            assert!(
                random.iter().all(u8::is_ascii_alphanumeric),
                "{}",
                temp.escape_ascii()
            );
        }
    }
    // No text at all: any cut will do, as long as it fits.
    assert_eq!(
        temp_name_of(&[0x80; 255], TempPlace::Beside).len(),
        1 + 246 + 7
    );
}

#[test]
fn a_dropped_temporary_is_gone_a_kept_or_published_one_is_not() {
    both(|site| {
        use std::os::unix::fs::PermissionsExt as _;
        let temp = site
            .root()
            .create_temp(n("f"), 0o444, TempPlace::Beside)
            .unwrap();
        let path = site.at(std::str::from_utf8(temp.name().as_bytes()).unwrap());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        drop(temp);
        assert!(!path.exists());

        let temp = site
            .root()
            .create_temp(n("f"), 0o6755, TempPlace::Beside)
            .unwrap();
        let path = site.at(std::str::from_utf8(temp.name().as_bytes()).unwrap());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o700
        );
        temp.keep();
        assert!(path.exists());
        fs::remove_file(path).unwrap();

        let mut temp = site
            .root()
            .create_temp(n("f"), 0o644, TempPlace::Beside)
            .unwrap();
        temp.file().write_at(b"data", 0).unwrap();
        temp.publish(site.root(), n("f")).unwrap();
        drop(temp);
        assert_eq!(site.names(""), ["f"]);

        site.dirs("dir");
        let mut temp = site
            .root()
            .create_temp(n("dir"), 0o644, TempPlace::Beside)
            .unwrap();
        assert_eq!(temp.publish(site.root(), n("dir")), Err(Errno::ISDIR));
        drop(temp);
        assert_eq!(site.names(""), ["dir", "f"]);
    });
}

#[test]
fn a_temporary_is_not_somebody_elses_file() {
    both(|site| {
        let mut names = std::collections::HashSet::new();
        let temps: Vec<_> = (0..200)
            .map(|_| {
                site.root()
                    .create_temp(n("f"), 0o600, TempPlace::Beside)
                    .unwrap()
            })
            .collect();
        for temp in &temps {
            assert!(names.insert(temp.name().as_bytes().to_vec()));
        }
    });
}

#[test]
fn a_mount_boundary_is_xdev() {
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("SKIPPED without /dev/shm: a_mount_boundary_is_xdev");
        return;
    };
    both(|site| {
        let other = Tree::open(elsewhere.path()).unwrap();
        if other.root().id().unwrap().dev == site.root().id().unwrap().dev {
            eprintln!(
                "SKIPPED, /dev/shm is not a file system of its own: a_mount_boundary_is_xdev"
            );
            return;
        }
        let mut temp = other
            .root()
            .create_temp(n("f"), 0o600, TempPlace::TempDir)
            .unwrap();
        assert_eq!(temp.publish(site.root(), n("f")), Err(Errno::XDEV));
    });
}
