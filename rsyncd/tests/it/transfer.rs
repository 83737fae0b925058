//! Whole transfers with the stock client: identities, fences, refusals and the log around the engine.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::Arc;

use rsyncd::limits::Limits;
use rsyncd::serve::EngineRunner;
use testkit::{Compare, TreeSpec, assert_same};

use crate::harness::{Daemon, directory, is_root, said};

fn start(config: &str) -> Daemon {
    let dir = directory();
    for name in ["mod", "ro"] {
        let path = dir.path().join(name);
        fs::create_dir_all(&path).expect("mkdir");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("chmod");
    }
    fs::write(dir.path().join("ro/readable"), "content").expect("write");
    fs::write(dir.path().join("ro/secret"), "secret").expect("write");
    fs::set_permissions(
        dir.path().join("ro/secret"),
        fs::Permissions::from_mode(0o600),
    )
    .expect("chmod");
    Daemon::start(dir, config, Arc::new(EngineRunner), Limits::default())
}

#[test]
fn a_tree_goes_there_and_back_in_every_regime() {
    let rsync = testkit::require_rsync!();
    if !is_root() {
        testkit::skipped("a daemon that changes its identity needs root");
        return;
    }
    let dir = testkit::temp_dir();
    let source = dir.path().join("source");
    TreeSpec::sample(3).build(&source);
    for parameters in [
        "uid = root\ngid = root\nuse chroot = no\nmunge symlinks = no\n",
        "uid = root\ngid = root\nuse chroot = yes\n",
        "uid = root\ngid = root\nuse chroot = no\n",
    ] {
        for protocol in ["29", "30", "31", "32"] {
            let mut daemon = start(&format!(
                "[m]\npath = DIR/mod\nread only = no\n{parameters}"
            ));
            let from = format!("{}/", source.display());
            let back = dir.path().join("back");
            let option = format!("--protocol={protocol}");
            let push = daemon.rsync(&rsync, &["-aH", "--delete", &option, &from, "URL/m/"]);
            assert_eq!(
                push.code(),
                Some(0),
                "{parameters}{protocol}: {}\n{:?}",
                said(&push),
                daemon.all_log()
            );
            let to = format!("{}/", back.display());
            let pull = daemon.rsync(&rsync, &["-aH", "--delete", &option, "URL/m/", &to]);
            assert_eq!(
                pull.code(),
                Some(0),
                "{parameters}{protocol}: {}\n{:?}",
                said(&pull),
                daemon.all_log()
            );
            let compare = match protocol {
                // Seconds of 32 bits.
                "29" => Compare::exact()
                    .mtimes_in_seconds()
                    .except("after 2038")
                    .except("before 1970"),
                "30" => Compare::exact().mtimes_in_seconds(),
                _ => Compare::exact(),
            };
            assert_same(&source, &back, &compare);
            fs::remove_dir_all(&back).expect("remove");
        }
    }
}

#[test]
fn a_module_of_another_user_owns_what_it_gets() {
    let rsync = testkit::require_rsync!();
    if !is_root() {
        testkit::skipped("a daemon that changes its identity needs root");
        return;
    }
    let config = "uid = 65534\ngid = 65534\n\
        [m]\npath = DIR/mod\nread only = no\n\
        [ro]\npath = DIR/ro\n\
        [wo]\npath = DIR/mod\nread only = no\nwrite only = yes\n\
        [strict]\npath = DIR/mod\nread only = no\nrefuse options = delete checksum\nexclude = /hidden *.tmp\n";
    let mut daemon = start(config);
    let dir = testkit::temp_dir();
    fs::write(dir.path().join("file"), "content").expect("write");
    fs::write(dir.path().join("x.tmp"), "content").expect("write");
    let from = format!("{}/", dir.path().display());
    let to = format!("{from}out/");
    let at = |name: &str| daemon.dir.path().join(name);

    let push = daemon.rsync(&rsync, &["-a", "--exclude=out", &from, "URL/m/sub/"]);
    assert_eq!(push.code(), Some(0), "{}", said(&push));
    let stat = fs::metadata(at("mod/sub/file")).expect("arrived");
    assert_eq!((stat.uid(), stat.gid()), (65534, 65534));

    let pull = daemon.rsync(&rsync, &["-a", "URL/ro/", &to]);
    assert_eq!(
        pull.code(),
        Some(23),
        "a file of root is not read: {}",
        said(&pull)
    );
    assert!(
        said(&pull).contains("Permission denied (13)"),
        "{}",
        said(&pull)
    );
    assert_eq!(
        fs::read_to_string(format!("{to}readable")).expect("pulled"),
        "content"
    );

    for (arguments, code, text) in [
        (["-a", &from, "URL/ro/"], 1, "ERROR: module is read only"),
        (["-a", "URL/wo/", &to], 1, "ERROR: module is write only"),
        (
            ["-ac", &from, "URL/strict/"],
            4,
            "The server is configured to refuse --checksum (-c)",
        ),
        (
            ["-ac", "URL/strict/", &to],
            4,
            "The server is configured to refuse --checksum (-c)",
        ),
        (
            ["-a", &from, "URL/strict/hidden/x/"],
            3,
            "ERROR: daemon has excluded destination",
        ),
    ] {
        let exit = daemon.rsync(&rsync, &arguments);
        assert!(said(&exit).contains(text), "{text}: {}", said(&exit));
        assert_eq!(exit.code(), Some(code), "{text}: {}", said(&exit));
    }
    let filtered = daemon.rsync(&rsync, &["-a", "--exclude=out", &from, "URL/strict/f/"]);
    assert_eq!(filtered.code(), Some(23), "{}", said(&filtered));
    assert!(at("mod/f/file").exists() && !at("mod/f/x.tmp").exists());
    drop(daemon.log());
}

#[test]
fn what_a_module_hides_does_not_exist() {
    let rsync = testkit::require_rsync!();
    if !is_root() {
        testkit::skipped("a daemon that changes its identity needs root");
        return;
    }
    let config = "uid = 65534\ngid = 65534\n\
        [m]\npath = DIR/ro\nexclude from = DIR/rules\nexclude = /secret\n";
    let daemon = start(config);
    let at = |name: &str| daemon.dir.path().join(name);
    fs::write(at("rules"), "# comment\n/sub/private/\n*.bak\n").expect("write");
    for name in ["ro/sub/private/deep", "ro/sub/open", "ro/private"] {
        fs::create_dir_all(at(name)).expect("mkdir");
        fs::write(at(name).join("file"), name).expect("write");
        fs::write(at(name).join("old.bak"), name).expect("write");
    }
    let dir = testkit::temp_dir();
    for (sources, visible, code) in [
        (
            &["URL/m/"][..],
            &["private/file", "readable", "sub/open/file"][..],
            0,
        ),
        (&["URL/m/sub/"], &["open/file"], 0),
        (&["URL/m/sub"], &["sub/open/file"], 0),
        (&["URL/m/sub/private/"], &[], 23),
        (&["URL/m/sub/private/deep/file"], &[], 23),
        (&["URL/m/secret"], &[], 23),
        (&["URL/m/none/"], &[], 23),
        (&["URL/m/none/none"], &[], 23),
        (&["URL/m/sub/*/file"], &["file"], 0),
        (
            &["URL/m/private/", "URL/m/sub/private/", "URL/m/readable"],
            &["file", "readable"],
            23,
        ),
        (
            &["-R", "URL/m/sub/./open", "URL/m/sub/./private"],
            &["open/file"],
            23,
        ),
    ] {
        let target = dir.path().join("target");
        fs::create_dir(&target).expect("mkdir");
        let to = format!("{}/", target.display());
        let arguments = [&["-r"][..], sources, &[to.as_str()]].concat();
        let exit = daemon.rsync(&rsync, &arguments);
        assert_eq!(exit.code(), Some(code), "{sources:?}: {}", said(&exit));
        if code == 23 {
            assert!(
                said(&exit).contains("failed: No such file or directory (2)"),
                "{}",
                said(&exit)
            );
        }
        let mut found = files(&target);
        found.sort();
        assert_eq!(found, visible, "{sources:?}: {}", said(&exit));
        fs::remove_dir_all(&target).expect("remove");
    }
}

/// The regular files of a tree.
fn files(tree: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![tree.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).expect("readable") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                todo.push(path);
            } else {
                found.push(
                    path.strip_prefix(tree)
                        .expect("below")
                        .to_str()
                        .expect("text")
                        .to_owned(),
                );
            }
        }
    }
    found
}

#[test]
fn the_log_of_a_transfer() {
    let rsync = testkit::require_rsync!();
    if !is_root() {
        testkit::skipped("a daemon that changes its identity needs root");
        return;
    }
    let config =
        "uid = root\ngid = root\ntransfer logging = yes\n[m]\npath = DIR/mod\nread only = no\n";
    let mut daemon = start(config);
    let dir = testkit::temp_dir();
    fs::create_dir(dir.path().join("d")).expect("mkdir");
    fs::write(dir.path().join("d/two"), "2").expect("write");
    fs::write(dir.path().join("odd\n\x1b"), "odd").expect("write");
    let from = format!("{}/", dir.path().display());
    let to = format!("{from}out/");
    assert_eq!(
        daemon.rsync(&rsync, &["-a", &from, "URL/m/"]).code(),
        Some(0)
    );
    assert_eq!(
        daemon.rsync(&rsync, &["-a", "URL/m/d/", &to]).code(),
        Some(0)
    );
    fs::remove_file(dir.path().join("d/two")).expect("remove");
    let delete = format!("{from}d/");
    assert_eq!(
        daemon
            .rsync(&rsync, &["-a", "--delete", &delete, "URL/m/d/"])
            .code(),
        Some(0)
    );
    let log = daemon.log();
    let lines = |number: u32| -> Vec<String> {
        let shorten = |line: &String| match line.split_once(" bytes  received ") {
            Some(_) => "totals".to_owned(),
            None => line
                .replace("UNDETERMINED [127.0.0.1] ", "")
                .replace("UNDETERMINED (127.0.0.1)", "H"),
        };
        log[&number].iter().map(shorten).collect()
    };
    assert_eq!(
        lines(1),
        [
            "connect from H",
            "rsync allowed access on module m from H",
            "rsync to m/ from H",
            "receiving file list",
            "recv m () odd\\#012\\#033 3",
            "recv m () d/two 1",
            "totals",
        ]
    );
    assert_eq!(
        lines(2)[2..],
        [
            "rsync on m/d/ from H",
            "building file list",
            "send m () d/two 1",
            "totals"
        ]
    );
    assert_eq!(
        lines(3)[2..],
        [
            "rsync to m/d/ from H",
            "receiving file list",
            "del. m () d/two 0",
            "totals"
        ]
    );
}
