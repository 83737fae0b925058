//! Sources that cannot be entered, destinations that do not exist yet, and `-R`: our binary as client and as daemon against real
//! rsync on the same trees.

use std::fs;
use std::os::unix::fs::lchown;
use std::path::Path;

use testkit::{TreeSpec, require_rsync};

use crate::place::{Place, Who, code, lines, mode, to_push, without_totals};

/// A directory that the daemon's user cannot enter, or not read, and a destination that has something to lose.
fn closed(at: &Path, bits: u32) {
    TreeSpec::new()
        .file("top", "t")
        .file("private/f", "secret")
        .file("private/sub/g", "g")
        .file("pub/in/h", "h")
        .file("pub/ok/k", "k")
        .build(at.join("m"));
    for dir in ["private", "pub/in"] {
        lchown(at.join("m").join(dir), Some(12), Some(12)).unwrap();
        mode(at.join("m").join(dir), bits);
        testkit::tree::set_mtime(&at.join("m").join(dir), 1_000_000_007, 0);
    }
    TreeSpec::new()
        .file("old", "old")
        .file("private/old", "old")
        .build(at.join("c/dst"));
    mode(at.join("c/dst"), 0o750);
    testkit::tree::set_mtime(&at.join("c/dst"), 1_000_000_000, 0);
}

#[test]
fn a_directory_that_cannot_be_entered_is_not_sent() {
    let rsync = require_rsync!();
    if !testkit::is_root() {
        testkit::skipped("a daemon that changes its identity needs root");
        return;
    }
    let mut place = Place::new(&rsync, &["m"], |module| {
        module.identity("nobody", "nogroup")
    });
    for (bits, options, sources) in [
        (0o700, &["-a"][..], &["private/"][..]),
        (0o700, &["-a", "--delete"], &["private/"]),
        (0o700, &["-a"], &["private/."]),
        (0o700, &["-a", "--delete"], &["private"]),
        (0o700, &["-a"], &["private/f"]),
        (0o700, &["-a"], &["private/sub/"]),
        (0o700, &["-a"], &["private/*"]),
        (0o700, &["-a"], &["p*/"]),
        (0o700, &["-a", "--delete"], &["top", "private/"]),
        (0o700, &["-a"], &["private/", "pub/ok/"]),
        (0o700, &["-a", "--ignore-missing-args"], &["private/none"]),
        (0o700, &["-aR"], &["private/"]),
        (0o700, &["-aR", "--delete"], &["pub/./in/"]),
        (0o700, &["-aR"], &["private/./sub/"]),
        (0o700, &["-aR"], &["./private/f"]),
        (0o700, &["-d"], &["private/"]),
        (0o700, &["-a", "--protocol=29"], &["private/"]),
        (0o700, &["-a", "--protocol=30"], &["pub/in/"]),
        (0o711, &["-a"], &["private/"]),
        (0o711, &["-a"], &["private/f"]),
        (0o744, &["-a"], &["private/"]),
        (0o744, &["-aR"], &["pub/in/"]),
    ] {
        let sources: Vec<String> = sources.iter().map(|path| format!("URL/m/{path}")).collect();
        let words: Vec<&str> = options
            .iter()
            .copied()
            .chain(sources.iter().map(String::as_str))
            .chain(["dst/"])
            .collect();
        place.same(&rsync, &|at| closed(at, bits), &words, &lines);
    }
}

#[test]
fn every_form_of_a_destination_means_what_it_means_to_rsync() {
    let rsync = require_rsync!();
    let mut place = Place::new(&rsync, &["m"], |module| module);
    for to in [
        "new",
        "new/.",
        "new/./.",
        "new//",
        "a/new/.",
        "dir/new/.",
        "file/.",
        "dangling/.",
        ".",
    ] {
        for sources in [&["f"][..], &["d/"]] {
            let to = format!("URL/m/{to}");
            let words: Vec<&str> = ["-av"]
                .iter()
                .chain(sources)
                .copied()
                .chain([&to[..]])
                .collect();
            place.same(&rsync, &to_push, &words, &without_totals);
        }
    }
    // Here nothing is a directory because of a dot; what it says is compared as well.
    for to in ["new/.", "new/./", "new//", "a/new/", "f/."] {
        for sources in [&["g"][..], &["d/"]] {
            let words: Vec<&str> = ["-av"].iter().chain(sources).copied().chain([to]).collect();
            place.same(&rsync, &to_push, &words, &without_totals);
        }
    }
}

/// In a chroot rsync fails with these; ours does as without one, and never makes a file.
#[test]
fn a_destination_with_a_dot_is_a_directory_in_a_chroot_too() {
    let rsync = require_rsync!();
    if !testkit::is_root() {
        testkit::skipped("a chroot needs root");
        return;
    }
    let mut place = Place::new(&rsync, &["m"], |module| module.set("use chroot", "yes"));
    for to in ["new/.", "new/./", "dir/new/./."] {
        let url = format!("URL/m/{to}");
        let run = place.run(&rsync, Who::OurDaemon, &to_push, &["-a", "f", &url]);
        assert_eq!(code(&run.told), ["code Some(0)"], "{to}: {}", run.told);
        assert!(run.tree.join("m").join(to).join("f").is_file(), "{to}");
    }
    let run = place.run(
        &rsync,
        Who::OurDaemon,
        &to_push,
        &["-a", "f", "URL/m/file/."],
    );
    assert_eq!(code(&run.told), ["code Some(3)"], "{}", run.told);
    assert_eq!(fs::read(run.tree.join("m/file")).unwrap(), b"old");
}

/// Sources with attributes of their own, in `m` for a pull and in `c` for a push, and destinations that differ.
fn nested(at: &Path, from: &str, to: &str) {
    let source = at.join(from);
    TreeSpec::new()
        .file("d1/f", "1")
        .dir("d1/s")
        .file("a/b/c/g", "2")
        .file("a/o/p", "3")
        .file("top", "4")
        .symlink("la", "a")
        .build(&source);
    for (dir, bits, time) in [
        ("", 0o751, 1),
        ("d1", 0o710, 2),
        ("a", 0o705, 3),
        ("a/b", 0o750, 4),
    ] {
        let dir = source.join(dir);
        mode(&dir, bits);
        testkit::tree::set_mtime(&dir, 1_000_000_000 + time, 0);
    }
    TreeSpec::new()
        .file("a/old", "old")
        .file("d1/old", "old")
        .file("old", "old")
        .file("top", "kept")
        .build(at.join(to).join("dst"));
    testkit::tree::set_mtime(&at.join(to).join("dst"), 1_000_000_000, 0);
}

const RELATIVE: &[&[&str]] = &[
    &["./d1"],
    &["./d1/"],
    &["a/b/c"],
    &["a/./b/c"],
    &["./a/./b"],
    &["././d1"],
    &["a/b/./"],
    &["."],
    &["./nope"],
    &["./d1", "a/b/c/g"],
    &["./la/b"],
    &["a/b/c/g", "a/o/p"],
];

#[test]
fn implied_directories_of_a_pull() {
    let rsync = require_rsync!();
    let build = |at: &Path| nested(at, "m", "c");
    for chroot in ["no", "yes"] {
        if chroot == "yes" && !testkit::is_root() {
            testkit::skipped("a chroot needs root");
            continue;
        }
        let mut place = Place::new(&rsync, &["m"], |module| module.set("use chroot", chroot));
        for (at, paths) in RELATIVE.iter().enumerate() {
            if chroot == "yes" && paths[0].starts_with("./a/./") {
                // rsync's client refuses what its own daemon makes of it.
                continue;
            }
            let sources: Vec<String> = paths.iter().map(|path| format!("URL/m/{path}")).collect();
            let sources = sources.iter().map(String::as_str).chain(["dst/"]);
            const OPTIONS: [&str; 5] = [
                "--delete",
                "--protocol=29",
                "--protocol=30",
                "--no-implied-dirs",
                "--delete-after",
            ];
            let option = OPTIONS[at % OPTIONS.len()];
            let words: Vec<&str> = ["-aRi", option].into_iter().chain(sources).collect();
            place.same(&rsync, &build, &words, &lines);
        }
    }
}

#[test]
fn implied_directories_of_a_push() {
    let rsync = require_rsync!();
    let build = |at: &Path| nested(at, "c", "m");
    let mut place = Place::new(&rsync, &["m"], |module| module);
    for (at, paths) in RELATIVE.iter().enumerate() {
        for to in ["URL/m/dst/", "../m/dst/"] {
            const OPTIONS: [&str; 4] = [
                "--exclude=d1",
                "--protocol=29",
                "-n",
                "--delete-missing-args",
            ];
            let option = OPTIONS[at % OPTIONS.len()];
            let words: Vec<&str> = ["-aRi", option]
                .iter()
                .chain(*paths)
                .copied()
                .chain([to])
                .collect();
            place.same(&rsync, &build, &words, &lines);
        }
    }
}

/// A daemon in a chroot lists the whole module with `-R` as `/.`, `/a`, ...: that is what is there, and not to be deleted.
#[test]
fn a_whole_module_with_slashes_in_front_deletes_only_what_is_gone() {
    let rsync = require_rsync!();
    if !testkit::is_root() {
        testkit::skipped("a chroot needs root");
        return;
    }
    let build = |at: &Path| nested(at, "m", "c");
    let mut place = Place::new(&rsync, &["m"], |module| module.set("use chroot", "yes"));
    for (option, protocol) in [
        ("--delete-before", "--protocol=32"),
        ("--delete-during", "--protocol=32"),
        ("--delete-during", "--protocol=29"),
        ("--delete-delay", "--protocol=30"),
        ("--delete-after", "--protocol=32"),
        ("--delete-after", "--protocol=29"),
    ] {
        let words = ["-aRi", option, protocol, "URL/m/", "dst/"];
        place.same(&rsync, &build, &words, &lines);
    }
}
