//! The one-shot command beside stock rsync: both do the same to copies of one input, and say the same.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use testkit::tree::Change;
use testkit::{
    Compare, Daemon, DaemonConf, Mix, Module, Mutator, Program, Rsync, Server, TreeSpec,
    differences, require_rsync,
};

use crate::setup::{Mount, binary, syncline, told};

/// Options, and how the source is named: `.` stands for its contents.
const CASES: &[(&[&str], &str)] = &[
    (&["-ai"], "."),
    (&["-aii"], "."),
    (&["-av"], "."),
    (&["-a", "--stats"], "."),
    (&["-a", "--stats", "-h"], "."),
    (&["-ain"], "."),
    (&["-ri"], "."),
    (&["-rli"], "."),
    (&["-rlpi"], "."),
    (&["-rlti"], "."),
    (&["-rlgoDi"], "."),
    (&["-rltOi"], "."),
    (&["-rlptgoDJi"], "."),
    (&["-ri", "--size-only"], "."),
    (&["-aIi"], "."),
    (&["-aci"], "."),
    (&["-aui"], "."),
    (&["-aHi"], "."),
    (&["-aWi"], "."),
    (&["-aRi"], "./sub/./dir"),
    (&["-aRi"], "./sub/dir/file"),
    (&["-aRi", "--no-implied-dirs"], "./sub/dir/file"),
    (&["-Ri"], "./text"),
    (&["-aRi"], "./sub/../text"),
    (&["-di"], "."),
    (&["-ai"], "./sub"),
    (&["-ai"], "./text"),
    (&["-i"], "."),
    (&["-ai", "--delete"], "."),
    (&["-ai", "--delete-before"], "."),
    (&["-ai", "--delete-after"], "."),
    (&["-ai", "--delete-delay"], "."),
    (&["-ai", "--delete", "--max-delete=3"], "."),
    (&["-av", "--delete", "--stats"], "."),
    (
        &["-ai", "--delete", "--exclude=*.txt", "--exclude=/odd/"],
        ".",
    ),
    (
        &[
            "-ai",
            "--delete-excluded",
            "--exclude=*.txt",
            "--exclude=/odd/",
        ],
        ".",
    ),
    (
        &["-ai", "--include=*/", "--include=*.txt", "--exclude=*"],
        ".",
    ),
    (&["-ai", "--filter=- /sizes/[17]*", "--filter=H zz*"], "."),
    (&["-ai", "--exclude-from=EXCLUDES", "--delete"], "."),
    (&["-ai", "--existing"], "."),
    (&["-ai", "--ignore-existing"], "."),
    (&["-ai", "--max-size=1k"], "."),
    (&["-ai", "--min-size=1K"], "."),
    (&["-ai", "--no-i-r", "--delete"], "."),
    (
        &["-ai", "--numeric-ids", "--timeout=30", "--bwlimit=100m"],
        ".",
    ),
    (&["-ai", "--modify-window=-1"], "."),
    (&["-a", "--out-format=%i|%n|%L|%l|%o"], "."),
    (&["-a", "--out-format=%f|%b|%c|%C"], "."),
    (&["-ac", "--out-format=%f|%C"], "./sub"),
    (&["-aq"], "."),
    (&["-ai", "--checksum-choice=md5"], "."),
    (&["-ai", "-B", "1024"], "."),
    (&["-a", "--list-only"], "."),
    (&["-ai"], "missing"),
    (&["-ai"], "missing/"),
    (&["-ai", "--protocol=30", "--delete"], "."),
    (&["-ai", "--protocol=29"], "."),
];

/// A place of a transfer's end: at us, or behind a stock daemon.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Direction {
    Push,
    Pull,
    Local,
}

/// What one client works on: the source is shared, the destination its own.
struct Bench {
    dir: tempfile::TempDir,
    daemon: Option<Daemon>,
    direction: Direction,
}

impl Bench {
    fn new(rsync: &Rsync, direction: Direction, source: &Path) -> Self {
        let dir = testkit::temp_dir();
        let destination = dir.path().join("destination");
        // What was there before: the same tree with other contents, changed here and there.
        TreeSpec::sample(2).build(&destination);
        let mix = Mix::only(&[
            Change::Edit,
            Change::Append,
            Change::Create,
            Change::CreateDir,
            Change::Remove,
            Change::Rename,
            Change::Chmod,
            Change::Touch,
            Change::Symlink,
            Change::Retype,
        ]);
        Mutator::new(&destination, 3).mix(mix).steps(40);
        testkit::tree::settle_times(&destination);
        fs::write(
            dir.path().join("EXCLUDES"),
            "# comment\n*.txt\n+ keep\n/sizes\n",
        )
        .unwrap();
        let module = |path: &Path| DaemonConf::new().module(Module::new("module", path));
        let server = Server::Stock(rsync);
        let daemon = match direction {
            Direction::Push => Some(Daemon::start(&server, module(&destination))),
            Direction::Pull => Some(Daemon::start(&server, module(source))),
            Direction::Local => None,
        };
        Self {
            dir,
            daemon,
            direction,
        }
    }

    fn destination(&self) -> PathBuf {
        self.dir.path().join("destination")
    }

    fn run(&self, client: Program, options: &[&str], source: &Path, name: &str) -> String {
        let name = match name {
            "." => "",
            name => name,
        };
        let local = |path: &Path| format!("{}/{name}", path.display());
        let remote =
            |daemon: &Daemon| format!("{}{}", daemon.url("module"), name.trim_start_matches("./"));
        let (from, to) = match (self.direction, &self.daemon) {
            (Direction::Push, Some(daemon)) => (local(source), daemon.url("module")),
            (Direction::Pull, Some(daemon)) => (remote(daemon), "destination/".to_owned()),
            _ => (local(source), "destination/".to_owned()),
        };
        let exit = client
            .args(options)
            .args([&from, &to])
            .current_dir(self.dir.path())
            .run();
        let mut names = vec![
            source.display().to_string(),
            self.dir.path().display().to_string(),
        ];
        names.extend(self.daemon.as_ref().map(|daemon| daemon.addr().to_string()));
        comparable(&told(&exit, &names))
    }
}

/// Without numbers that depend on the clock or on how messages were packed, and in the order of the alphabet: a server's
/// messages overtake its reports, and how far lists run ahead decides between further lines.
fn comparable(told: &str) -> String {
    const VARIABLE: [&str; 5] = [
        "out: sent ",
        "out: Total bytes sent: ",
        "out: Total bytes received: ",
        "out: File list size: ",
        "out: total size is ",
    ];
    let mut lines = Vec::new();
    for line in told.lines() {
        if line.starts_with("out: File list generation time: ")
            || line.starts_with("out: File list transfer time: ")
        {
            continue;
        }
        // How many it would have been is counted a little differently.
        let line = match line.split_once(" --max-delete limit (") {
            Some((start, _)) => start,
            None => line,
        };
        let kept = match VARIABLE.iter().find(|start| line.starts_with(**start)) {
            // The size itself does count; the speedup does not.
            Some(&"out: total size is ") => line.split("  ").next().unwrap_or(line),
            Some(start) => start,
            None => line,
        };
        lines.push(format!("{kept}\n"));
    }
    lines.sort();
    lines.concat()
}

#[track_caller]
fn like_stock(direction: Direction) {
    let rsync = require_rsync!();
    let dir = testkit::temp_dir();
    let source = dir.path().join("source");
    TreeSpec::sample(1).build(&source);
    let mut wrong = Vec::new();
    for (options, name) in CASES {
        if direction == Direction::Pull && name.contains("/./") {
            continue;
        }
        let [stock, ours] = [Program::new(rsync.path()), Program::new(binary())].map(|client| {
            let bench = Bench::new(&rsync, direction, &source);
            let told = bench.run(client, options, &source, name);
            (bench, told)
        });
        let mut found = Vec::new();
        // Owners and times that are not kept are those of the moment.
        let mut compare = Compare::exact();
        let keeps = |letter: char| {
            let short = options.iter().filter(|word| !word.starts_with("--"));
            short.into_iter().any(|word| word.contains(letter))
        };
        if !keeps('a') && !keeps('t') {
            compare = compare.without_mtimes();
        }
        // A directory that keeps what should not be deleted changed just now.
        if keeps('O') || options.contains(&"--max-delete=3") {
            compare = compare.without_dir_mtimes();
        }
        if keeps('J') {
            compare = compare.without_symlink_mtimes();
        }
        for line in differences(&stock.0.destination(), &ours.0.destination(), &compare) {
            found.push(format!("tree (left is stock): {line}"));
        }
        if stock.1 != ours.1 {
            let only = |here: &str, there: &str| -> String {
                let mut rest: Vec<_> = there.lines().collect();
                let lines = here.lines().filter(|line| {
                    let at = rest.iter().position(|other| other == line);
                    at.map(|at| rest.swap_remove(at)).is_none()
                });
                lines.map(|line| format!("  {line}\n")).collect()
            };
            found.push(format!(
                "only of stock\n{}only of ours\n{}",
                only(&stock.1, &ours.1),
                only(&ours.1, &stock.1)
            ));
        }
        if !found.is_empty() {
            wrong.push(format!("{options:?} {name}:\n{}", found.join("\n")));
        }
    }
    assert!(
        wrong.is_empty(),
        "{direction:?}: {} of {} differ\n{}",
        wrong.len(),
        CASES.len(),
        wrong.join("\n\n")
    );
}

/// A source that cannot be opened is no reason to delete what came from it; one that is gone is.
#[test]
fn a_missing_source_deletes_nothing() {
    let rsync = require_rsync!();
    for (missing, kept) in [
        ("missing/", true),
        ("missing/file", true),
        ("missing", false),
    ] {
        let dir = testkit::temp_dir();
        TreeSpec::new()
            .file("file", "x")
            .build(dir.path().join("there"));
        let told = [("theirs", rsync.client()), ("ours", syncline())].map(|(name, program)| {
            let destination = dir.path().join(name);
            TreeSpec::new()
                .file("from/the/other", "x")
                .build(&destination);
            let exit = program
                .args(["-ri", "--delete"])
                .args(["there/", missing].map(|source| dir.path().join(source)))
                .arg(&destination)
                .run();
            exit.assert_code(23);
            let found = destination.join("from/the/other").exists();
            assert_eq!(found, kept, "{missing}: {exit}");
            assert!(destination.join("file").exists(), "{exit}");
            told(&exit, &[])
        });
        assert_eq!(told[0], told[1], "{missing}");
    }
}

/// A single entry takes the name that does not exist yet, a directory too.
#[test]
fn what_does_not_exist_yet_is_named_as_asked() {
    let rsync = require_rsync!();
    let source = testkit::temp_dir();
    TreeSpec::new()
        .dir("empty")
        .dir("full/empty")
        .symlink("link", "nowhere")
        .file("file", "x")
        .build(source.path());
    fs::set_permissions(
        source.path().join("empty"),
        PermissionsExt::from_mode(0o700),
    )
    .unwrap();
    testkit::tree::set_mtime(&source.path().join("empty"), 1_000_000_000, 0);
    for (options, from, to) in [
        ("-ai", "empty/", "new"),
        ("-ai", "empty", "new"),
        ("-ai", "full/", "new"),
        ("-ai", "full/empty", "new"),
        ("-ain", "empty/", "new"),
        ("-di", "empty/", "new"),
        ("-di", "empty", "new"),
        ("-ai", "link", "new"),
        ("-ai", "file", "new"),
        ("-ai", "empty/", "dangling"),
        ("-ai", "empty", "dangling"),
        ("-ai", "empty/", "new/"),
    ] {
        let made = [rsync.client(), syncline()].map(|program| {
            let dir = testkit::temp_dir();
            let place = dir.path().join("place");
            fs::create_dir(&place).unwrap();
            std::os::unix::fs::symlink("nowhere", place.join("dangling")).unwrap();
            let exit = program
                .arg(options)
                .arg(source.path().join(from))
                .arg(place.join(to))
                .run();
            testkit::tree::settle_times(dir.path());
            (dir, told(&exit, &[place.display().to_string()]))
        });
        let [(theirs, told), (ours, we_told)] = made;
        assert_eq!(told, we_told, "{options} {from} {to}");
        let found = differences(theirs.path(), ours.path(), &Compare::exact());
        let found: Vec<_> = found
            .iter()
            .filter(|line| !line.starts_with(": "))
            .collect();
        assert!(found.is_empty(), "{options} {from} {to}: {found:#?}");
    }
}

/// What is mounted at the destination is not deleted, nor what lies in it.
#[test]
fn one_file_system_holds_at_the_destination() {
    let rsync = require_rsync!();
    let dir = testkit::temp_dir();
    fs::create_dir_all(dir.path().join("source/mount")).unwrap();
    let mut told_by = Vec::new();
    for (name, program) in [("theirs", rsync.client()), ("ours", syncline())] {
        let destination = dir.path().join(name);
        let mounts = ["mount", "gone/mount"].map(|mount| destination.join(mount));
        for mount in &mounts {
            fs::create_dir_all(mount).unwrap();
        }
        let mounted = mounts.each_ref().map(|at| Mount::tmpfs(at, "1m"));
        if mounted.iter().any(Option::is_none) {
            testkit::skipped("nothing can be mounted here");
            return;
        }
        for mount in &mounts {
            fs::create_dir(mount.join("directory")).unwrap();
            fs::write(mount.join("file"), "kept").unwrap();
        }
        let exit = program
            .args(["-rix", "--delete"])
            .args([&dir.path().join("source/"), &destination])
            .run();
        for mount in &mounts {
            assert!(
                mount.join("directory").exists() && mount.join("file").exists(),
                "{exit}"
            );
        }
        told_by.push(told(&exit, &[]));
    }
    assert_eq!(told_by[0], told_by[1]);
}

#[test]
fn pushes_are_like_stock() {
    like_stock(Direction::Push);
}

#[test]
fn pulls_are_like_stock() {
    like_stock(Direction::Pull);
}

#[test]
fn local_copies_are_like_stock() {
    like_stock(Direction::Local);
}
