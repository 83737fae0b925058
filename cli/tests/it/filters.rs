//! Filter rules beside stock rsync: what is sent, what is deleted and how it ends, with our client and with our daemon.

use std::fs;
use std::path::Path;

use testkit::{
    Compare, Daemon, DaemonConf, Module, Program, Rsync, Server, differences, require_rsync,
};

use crate::setup::{binary, syncline, told};

/// Below the directory of a run, which is the module of its daemon as well. A file without a text here holds its name.
const TREE: &[(&str, &str)] = &[
    (".rsync-filter", "- above\n. plain\n"),
    (".f", "- above\n- /src/d/anchored\n- /d/anchored-too\n"),
    ("plain", "- by-plain-above\n"),
    // The source.
    ("src/.rsync-filter", "- hidden\n- /anchored\n"),
    ("src/.f", "- hidden\n- /anchored\nP later\n"),
    ("src/.cvsignore", "ignored\n"),
    ("src/plain", "- by-plain\n- /d/e/from-root\n- /x\n"),
    ("src/a", ""),
    ("src/a.o", ""),
    ("src/above", ""),
    ("src/anchored", ""),
    ("src/by-plain-above", ""),
    ("src/core", ""),
    ("src/env", ""),
    ("src/hidden", ""),
    ("src/home", ""),
    ("src/ignored", ""),
    ("src/d/.rsync-filter", "+ hidden\n- b\n"),
    ("src/d/.f", ": .g\n- b\n"),
    ("src/d/a", ""),
    ("src/d/above", ""),
    ("src/d/anchored", ""),
    ("src/d/anchored-too", ""),
    ("src/d/b", ""),
    ("src/d/hidden", ""),
    ("src/d/ignored", ""),
    ("src/d/x", ""),
    ("src/d/slashed", "- by-slash\n"),
    ("src/d/e/.f", ". plain\n. ./slashed\n. ../slashed\n"),
    ("src/d/e/.g", "- deep\n"),
    ("src/d/e/slashed", "- by-own-slash\n"),
    ("src/d/e/a", ""),
    ("src/d/e/b", ""),
    ("src/d/e/by-own-slash", ""),
    ("src/d/e/by-plain", ""),
    ("src/d/e/by-slash", ""),
    ("src/d/e/deep", ""),
    ("src/d/e/from-root", ""),
    ("src/d/e/hidden", ""),
    ("src/d/e/x", ""),
    // The destination, old, with merge files of its own.
    ("dst/.rsync-filter", "P kept\n"),
    ("dst/.f", "- kept\n-p perishable\n"),
    ("dst/.cvsignore", "cvs-kept\n"),
    ("dst/a.o", ""),
    ("dst/above", ""),
    ("dst/cvs-kept", ""),
    ("dst/gone", ""),
    ("dst/kept", ""),
    ("dst/later", ""),
    ("dst/d/.f", "- kept-in-d\n"),
    ("dst/d/gone", ""),
    ("dst/d/kept", ""),
    ("dst/d/kept-in-d", ""),
    ("dst/d/old/kept-in-d", ""),
    ("dst/old/.f", "- kept-in-old\n: .g\n"),
    ("dst/old/.rsync-filter", "R kept\n"),
    ("dst/old/gone", ""),
    ("dst/old/kept", ""),
    ("dst/old/kept-in-old", ""),
    ("dst/old/x/.g", "- kept-by-g\n"),
    ("dst/old/x/gone", ""),
    ("dst/old/x/kept-in-old", ""),
    ("dst/old/x/kept-by-g", ""),
    ("dst/older/gone", ""),
    ("dst/older/perishable", ""),
    ("dst/older/x/.f", "- kept-by-x\n"),
    ("dst/older/x/y/kept-by-x", ""),
    ("dst/oldest/gone", ""),
    ("home/.cvsignore", "home\n"),
];

type Case = (
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
);

/// Options, sources and destination. `SRC` and `DST` stand for the directory of that end as its rules see it: absolute
/// for a client, empty for a daemon, whose module it is.
const CASES: &[Case] = &[
    // Compared with the absolute path.
    (&["-r", "-f-/ SRC/src/a"], &["src/"], "dst/"),
    (&["-r", "-f-/ SRC/src/d/a"], &["src"], "dst/"),
    (&["-r", "-f-/ SRC/src/d/a"], &["./src/./"], "dst/"),
    (&["-r", "-f-/ src/d/a"], &["src/d/"], "dst/"),
    (&["-rR", "-f-/ SRC/src/d/a"], &["src/./d"], "dst/"),
    (
        &["-r", "--delete", "-f-/ DST/dst/old/gone", "-f-/ dst/gone"],
        &["src/"],
        "dst/",
    ),
    (
        &["-r", "--delete-after", "-f-/ DST/dst/d/gone"],
        &["src/d"],
        "dst/",
    ),
    (&["-r", "-f:/ .f"], &["src/"], "dst/"),
    // Merge files above the transfer, of implied directories, and those that name others.
    (&["-r", "-f: /.f"], &["src/"], "dst/"),
    (&["-r", "-f: ../.f"], &["src/d/"], "dst/"),
    (&["-rR", "-f: .f"], &["src/d/e"], "dst/"),
    (&["-rR", "-f: .f"], &["src/d/b", "src/d/a"], "dst/"),
    (
        &["-rR", "-f: .f", "--no-implied-dirs"],
        &["src/d/e"],
        "dst/",
    ),
    (&["-rR", "-f: .f", "--delete"], &["src/./d/e"], "dst/"),
    (&["-rR", "-f: .f", "--delete"], &["src/./d"], "dst/"),
    (&["-rR", "-f-s a"], &["src/d/a"], "dst/"),
    (&["-r", "-f: .f"], &["src/d"], "dst/"),
    (&["-r", "-f: .f"], &["src/d/e/"], "dst/"),
    (&["-r", "-f: .f", "-f:e .f"], &["src/"], "dst/"),
    (&["-r", "-f:n .f"], &["src/"], "dst/"),
    // No directory, whatever the slash says.
    (&["-r"], &["src/a/"], "dst/"),
    // What merge files of the destination protect.
    (&["-r", "--delete-before", "-f: .f"], &["src/"], "dst/"),
    (&["-r", "--delete-during", "-f:e .f"], &["src/"], "dst/"),
    (&["-r", "--delete-after", "-f: .f"], &["src/"], "dst/"),
    (&["-r", "--delete-after", "-f:e .f"], &["src/"], "dst/"),
    (&["-r", "--delete", "-f:n .f"], &["src/"], "dst/"),
    (&["-r", "--delete-excluded", "-f:e .f"], &["src/"], "dst/"),
    (&["-r", "--delete-excluded", "-f: .f"], &["src/"], "dst/"),
    // -F
    (&["-r", "-F"], &["src/"], "dst/"),
    (&["-r", "-F"], &["src"], "dst/"),
    (&["-rFF"], &["src/d"], "dst/"),
    (&["-rFF", "--delete"], &["src/"], "dst/"),
    (&["-rFFF", "--delete-before"], &["src/"], "dst/"),
    (&["-rRF", "--delete-after"], &["src/./d"], "dst/"),
    (
        &["-r", "-F", "--delete", "-F", "-f+ hidden"],
        &["src/"],
        "dst/",
    ),
    // -C
    (&["-rC"], &["src/"], "dst/"),
    (&["-rC", "--delete"], &["src/"], "dst/"),
    (&["-rC", "--delete-excluded"], &["src/"], "dst/"),
    (
        &["-r", "--cvs-exclude", "--delete-after", "-f+ core"],
        &["src"],
        "dst/",
    ),
    (
        &["-r", "-f+ env", "-f+ home", "-f-C", "--delete"],
        &["src/"],
        "dst/",
    ),
    (&["-r", "-f:C"], &["src/"], "dst/"),
    (&["-rC", "--protocol=29", "--delete"], &["src/"], "dst/"),
    (&["-rC", "-F", "--delete-excluded"], &["src/"], "dst/"),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Direction {
    Local,
    Push,
    Pull,
}

/// What is ours: the client, or the daemon of a stock client.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ours {
    Client,
    Daemon,
}

/// One case in a directory of its own; the exit code.
fn run(dir: &Path, client: Program, server: &Server<'_>, direction: Direction, case: &Case) -> i32 {
    let (options, sources, destination) = *case;
    for (path, text) in TREE {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = match *text {
            "" => path
                .display()
                .to_string()
                .replace(&dir.display().to_string(), ""),
            text => text.to_owned(),
        };
        fs::write(&path, text).unwrap();
        testkit::tree::set_mtime(&path, 1_700_000_000, 0);
    }
    let daemon = (direction != Direction::Local).then(|| {
        let module = Module::new("module", dir).set("use chroot", "yes");
        Daemon::start(server, DaemonConf::new().module(module))
    });
    let url = daemon.as_ref().map(|daemon| daemon.url("module"));
    let place = |wanted: Direction, path: &str| match &url {
        Some(url) if wanted == direction => format!("{url}{path}"),
        _ => path.to_owned(),
    };
    let seen = |wanted: Direction| match direction == wanted {
        true => String::new(),
        false => dir.display().to_string(),
    };
    let options = options.iter().map(|option| {
        let option = option.replace("SRC", &seen(Direction::Pull));
        option.replace("DST", &seen(Direction::Push))
    });
    let exit = client
        .args(options)
        // Every file goes, whatever its time: only rules decide.
        .arg("-I")
        .args(sources.iter().map(|path| place(Direction::Pull, path)))
        .arg(place(Direction::Push, destination))
        .env("HOME", dir.join("home"))
        .env("CVSIGNORE", "env")
        .current_dir(dir)
        .run();
    exit.code().unwrap_or(-1)
}

#[track_caller]
fn like_stock(ours: Ours, direction: Direction) {
    let rsync: Rsync = require_rsync!();
    let mut wrong = Vec::new();
    for case in CASES {
        let stock = Server::Stock(&rsync);
        let (client, server) = match ours {
            Ours::Client => (Program::new(binary()), Server::Stock(&rsync)),
            Ours::Daemon => (Program::new(rsync.path()), Server::Ours(binary())),
        };
        let (theirs, own) = (testkit::temp_dir(), testkit::temp_dir());
        let expected = run(
            theirs.path(),
            Program::new(rsync.path()),
            &stock,
            direction,
            case,
        );
        let got = run(own.path(), client, &server, direction, case);
        let mut found = Vec::new();
        if expected != got {
            found.push(format!("stock ends with {expected}, we with {got}"));
        }
        let compare = Compare::exact().without_mtimes();
        let (left, right) = (theirs.path().join("dst"), own.path().join("dst"));
        for line in differences(&left, &right, &compare) {
            found.push(format!("tree (left is stock): {line}"));
        }
        if !found.is_empty() {
            wrong.push(format!("{case:?}:\n{}", found.join("\n")));
        }
    }
    assert!(
        wrong.is_empty(),
        "{ours:?} {direction:?}: {} of {} differ\n{}",
        wrong.len(),
        CASES.len(),
        wrong.join("\n\n")
    );
}

#[test]
fn local_copies_are_like_stock() {
    like_stock(Ours::Client, Direction::Local);
}

#[test]
fn pushes_are_like_stock() {
    like_stock(Ours::Client, Direction::Push);
}

#[test]
fn pulls_are_like_stock() {
    like_stock(Ours::Client, Direction::Pull);
}

#[test]
fn our_daemon_receives_like_stock() {
    like_stock(Ours::Daemon, Direction::Push);
}

#[test]
fn our_daemon_sends_like_stock() {
    like_stock(Ours::Daemon, Direction::Pull);
}

/// A rule that is left out is said, wherever it stands.
#[test]
fn over_long_rules_are_told() {
    let rsync = require_rsync!();
    let long = format!("- {}\n- *.o\n", "x".repeat(5000));
    let told = [rsync.client(), syncline()].map(|program| {
        let dir = testkit::temp_dir();
        for place in ["src/d", "dst/d"] {
            fs::create_dir_all(dir.path().join(place)).unwrap();
            fs::write(dir.path().join(place).join(".rules"), &long).unwrap();
            fs::write(dir.path().join(place).join("a.o"), place).unwrap();
        }
        fs::write(dir.path().join("options"), &long).unwrap();
        let exit = program
            .current_dir(dir.path())
            .args(["-ri", "--delete", "-f: .rules", "--exclude-from=options"])
            .args(["src/", "dst/"])
            .run();
        let found = fs::read(dir.path().join("dst/d/a.o")).unwrap();
        assert_eq!(found, b"dst/d", "the rule behind it holds: {exit}");
        told(&exit, &[dir.path().display().to_string()])
    });
    assert_eq!(told[0].matches("discarding over-long filter").count(), 3);
    assert_eq!(told[0], told[1]);
}

/// What is deleted by name is still hidden and protected by rules, and its directory must be there.
#[test]
fn named_deletions_are_like_stock() {
    let rsync = require_rsync!();
    let cases: &[(&[&str], &str)] = &[
        (&[], "./b"),
        (&["--exclude=b"], "./b"),
        (&["--exclude=b/"], "./b"),
        (&["-fP b"], "./b"),
        (&["-fP b/"], "./b"),
        (&["-fP k"], "./b"),
        (&["-fH b"], "./b"),
        (&["-fno rule"], "./b"),
        (&["-R"], "b"),
        (&["-R"], "b/f"),
        (&["-R"], "nosuch/./b"),
        (&[], "nosuch/b"),
        (&[], "b/"),
        (&["--ignore-missing-args"], "nosuch/"),
        (&["--ignore-missing-args"], "nosuch"),
    ];
    for (options, missing) in cases {
        let told = [rsync.client(), syncline()].map(|program| {
            let dir = testkit::temp_dir();
            for file in ["src/a", "dst/b/k", "dst/b/f"] {
                let path = dir.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, file).unwrap();
            }
            let exit = program
                .current_dir(dir.path())
                .args(["-ri", "--delete-missing-args", "--force"])
                .args(*options)
                .args([missing, "src/a", "dst/"])
                .run();
            let left = fs::read_dir(dir.path().join("dst")).unwrap();
            let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
            left.sort();
            let told = told(&exit, &[dir.path().display().to_string()]);
            let mut lines: Vec<_> = told.lines().map(str::to_owned).collect();
            lines.sort();
            (lines, left)
        });
        assert_eq!(told[0], told[1], "{options:?} {missing}");
    }
}
