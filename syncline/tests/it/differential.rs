//! The library against the real rsync: the same options on copies of the same trees must give the same tree, the
//! same reports and the same exit code.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rsync_engine::options::Delete;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use testkit::{Compare, Daemon, DaemonConf, Module, Mutator, Random, Rsync, Server, TreeSpec};

use crate::run::{self, Run};

/// A source, a destination that has seen an older state of it, and a daemon over both.
struct Case {
    dir: tempfile::TempDir,
    /// Sets in `dir`: `s` source, `d` destination as it was.
    copies: usize,
}

impl Case {
    fn new(seed: u64, steps: usize) -> Self {
        // Hundreds of transfers: a disk would be asked to write each file that is renamed over another.
        let dir = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| testkit::temp_dir());
        let (source, destination) = (dir.path().join("s"), dir.path().join("d"));
        TreeSpec::sample(seed).build(&source);
        TreeSpec::random(seed, 30, 6, 3000).build(source.join("more"));
        clone_tree(&source, &destination);
        let mut source_changes = Mutator::new(&source, seed).max_size(2000);
        source_changes.steps(steps);
        let mut destination_changes = Mutator::new(&destination, seed + 1).max_size(2000);
        destination_changes.steps(steps / 2);
        // Nothing may have the time of the runs themselves.
        age(&source);
        age(&destination);
        Self { dir, copies: 0 }
    }

    fn source(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    /// A fresh copy of the destination; its name.
    fn destination(&mut self) -> String {
        self.copies += 1;
        let name = format!("d{}", self.copies);
        let copy = self.dir.path().join(&name);
        if self.dir.path().join("d").exists() {
            clone_tree(&self.dir.path().join("d"), &copy);
        }
        name
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Makes what was changed just now a day older.
fn age(path: &Path) {
    const DAY: i64 = 86_400;
    let meta = path.symlink_metadata().expect("it is ours");
    if meta.is_dir() {
        for entry in std::fs::read_dir(path).expect("it is ours") {
            age(&entry.expect("it is ours").path());
        }
    }
    let now = std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |now| now.as_secs() as i64);
    if meta.mtime() < now - DAY / 2 {
        return;
    }
    let time = Timespec {
        tv_sec: meta.mtime() - DAY,
        tv_nsec: meta.mtime_nsec(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("it is ours");
}

fn clone_tree(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp")
        .args(["-a", "--"])
        .args([from, to])
        .status()
        .expect("cp runs");
    assert!(status.success(), "cp -a");
}

/// Everything that `words` promises to keep.
fn comparison(words: &[&str]) -> Compare {
    let options = run::options(words);
    // Where only nanoseconds differ rsync leaves some as they are that we set; tests of our own look at those.
    let mut compare = Compare::exact().mtimes_in_seconds();
    // rsync gives a file that it left in the place of a directory the time of that directory.
    if !options.times || options.ignore_existing {
        compare = compare.without_mtimes();
    }
    // What is left of a directory that was not deleted whole has the time of the run.
    let partly_deleted = options.max_delete.is_some()
        || options.delete != Delete::Off && !options.filter_texts.is_empty();
    if options.omit_dir_times || partly_deleted {
        compare = compare.without_dir_mtimes();
    }
    if options.omit_link_times {
        compare = compare.without_symlink_mtimes();
    }
    compare
}

/// A run without what depends on more than the options.
fn comparable(run: &Run, other: &Run, words: &[&str]) -> Run {
    let mut run = run.clone();
    if words.contains(&"--protocol=29") {
        // Without compat flags rsync's client does not know that its peer can set the times of symlinks.
        for line in run
            .items
            .iter_mut()
            .filter(|line| line.as_bytes()[1] == b'L')
        {
            line.replace_range(4..5, ".");
        }
        run.items.sort();
        // With whole seconds it depends on the second in which something was deleted inside.
        run.items.retain(|line| !line.starts_with(".d..t...... "));
    }
    let options = run::options(words);
    let flat = words.contains(&"--protocol=29")
        || !options.inc_recursive
        || matches!(options.delete, Delete::Before | Delete::After);
    if options.dry_run {
        // rsync compares a new link with whatever is in its place.
        for line in run.items.iter_mut().filter(|line| line.starts_with('h')) {
            line.replace_range(2..11, ".........");
        }
        run.items.sort();
    }
    if options.hard_links && !flat {
        // Which member of a group is sent, and which are only linked, depends on how far the lists have come.
        let linked: HashSet<String> = [run.items.iter(), other.items.iter()]
            .into_iter()
            .flatten()
            .filter(|line| line.starts_with('h'))
            .flat_map(|line| line[12..].split(" => ").map(str::to_owned))
            .collect();
        run.items
            .retain(|line| !line[12..].split(" => ").any(|name| linked.contains(name)));
    }
    run
}

#[track_caller]
fn assert_same_run(what: &str, words: &[&str], stock: &Run, ours: &Run) {
    let (stock, ours) = (
        comparable(stock, ours, words),
        comparable(ours, stock, words),
    );
    if stock.items == ours.items && stock.code == ours.code {
        return;
    }
    let only = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|line| !b.contains(line)).cloned().collect()
    };
    panic!(
        "{what}: exit codes {} and {}\nonly rsync: {:#?}\nonly ours: {:#?}\nrsync said {:#?}\nwe said {:#?}",
        stock.code,
        ours.code,
        only(&stock.items, &ours.items),
        only(&ours.items, &stock.items),
        stock.texts,
        ours.texts
    );
}

fn stock(rsync: &Rsync, words: &[&str], arguments: &[&str], at: &Path) -> Run {
    let exit = rsync
        .client()
        .current_dir(at)
        .env("LC_ALL", "C.UTF-8")
        .args(["-i8"])
        .args(words)
        .args(arguments)
        .run();
    Run::of_stock(&exit)
}

/// Runs rsync and the library as local copies.
fn check_local(rsync: &Rsync, case: &mut Case, words: &[&str]) {
    let source = format!("{}/", case.source().display());
    let (theirs, ours) = (case.destination(), case.destination());
    let their_run = stock(
        rsync,
        words,
        &[&source, &format!("{theirs}/")],
        case.dir.path(),
    );
    let our_words: Vec<&str> = ["-i"].iter().chain(words).copied().collect();
    let our_run = run::copy(&our_words, &[&source], &case.path(&format!("{ours}/")));
    let what = format!("local {words:?}");
    assert_same_run(&what, words, &their_run, &our_run);
    assert_same_trees(&what, case, &theirs, &ours, words);
}

#[track_caller]
fn assert_same_trees(what: &str, case: &Case, theirs: &str, ours: &str, words: &[&str]) {
    let (theirs, ours) = (case.path(theirs), case.path(ours));
    if !theirs.exists() && !ours.exists() {
        return;
    }
    // What is no part of the transfer has the time at which it was made.
    for root in [&theirs, &ours] {
        testkit::tree::settle_times(root);
    }
    let found = testkit::differences(&theirs, &ours, &comparison(words));
    assert!(
        found.is_empty(),
        "{what}: rsync's left, ours right: {found:#?}"
    );
}

fn daemon(rsync: &Rsync, case: &Case) -> Daemon {
    let conf = DaemonConf::new().module(Module::new("m", case.dir.path()));
    Daemon::start(&Server::Stock(rsync), conf)
}

fn check_push(rsync: &Rsync, case: &mut Case, daemon: &Daemon, words: &[&str]) {
    let source = format!("{}/", case.source().display());
    let (theirs, ours) = (case.destination(), case.destination());
    let url = format!("{}/{theirs}/", daemon.url("m").trim_end_matches('/'));
    let their_run = stock(rsync, words, &[&source, &url], case.dir.path());
    let our_words: Vec<&str> = ["-i"].iter().chain(words).copied().collect();
    let our_run = run::push(&our_words, &[&source], daemon, &format!("{ours}/"));
    let what = format!("push {words:?}");
    assert_same_run(&what, words, &their_run, &our_run);
    assert_same_trees(&what, case, &theirs, &ours, words);
}

fn check_pull(rsync: &Rsync, case: &mut Case, daemon: &Daemon, words: &[&str]) {
    let (theirs, ours) = (case.destination(), case.destination());
    let url = format!("{}/s/", daemon.url("m").trim_end_matches('/'));
    let their_run = stock(
        rsync,
        words,
        &[&url, &format!("{theirs}/")],
        case.dir.path(),
    );
    let our_words: Vec<&str> = ["-i"].iter().chain(words).copied().collect();
    let our_run = run::pull(&our_words, daemon, &["s/"], &case.path(&format!("{ours}/")));
    let what = format!("pull {words:?}");
    assert_same_run(&what, words, &their_run, &our_run);
    assert_same_trees(&what, case, &theirs, &ours, words);
}

/// Option sets that differ in what they do.
const SETS: &[&[&str]] = &[
    &["-a"],
    &["-aH"],
    &["-aH", "--delete"],
    &["-aH", "--no-inc-recursive", "--delete-before"],
    &["-aH", "--delete-during"],
    &["-aH", "--delete-delay"],
    &["-aH", "--delete-after"],
    &["-an", "--delete"],
    &["-anH", "--delete"],
    &["-rlpt"],
    &["-r"],
    &["-rl"],
    &["-rlHD", "--no-inc-recursive"],
    &["-rt"],
    &["-rp"],
    &["-rE"],
    &["-rtE", "--delete"],
    &["-ac"],
    &["-acn"],
    &["-aW"],
    &["-a", "--no-W"],
    &["-aI", "--no-W"],
    &["-aI", "-n"],
    &["-a", "--size-only"],
    &["-a", "--modify-window=1"],
    &["-a", "--modify-window=-1"],
    &["-aO"],
    &["-aJ"],
    &["-au"],
    &["-a", "--existing"],
    &["-a", "--existing", "--delete"],
    &["-a", "--ignore-existing"],
    &["-a", "--ignore-existing", "--delete"],
    &["-a", "--existing", "--ignore-existing", "--delete"],
    &["-a", "--force"],
    &["-a", "--max-size=800"],
    &["-a", "--min-size=800"],
    &["-a", "--delete", "--max-delete=3"],
    &["-a", "--delete", "--max-delete=0"],
    &["-d"],
    &["-dlpt", "--delete"],
    &["-aii"],
    &["-aHii", "--delete"],
    &["-a", "--numeric-ids"],
    &["-a", "-B", "500", "--no-W"],
    &["-a", "--checksum-choice=md5", "--no-W"],
    &["-a", "--checksum-choice=xxh64", "--no-W"],
    &["-ac", "--checksum-choice=sha1"],
    &["-a", "--partial", "--no-W"],
    &["-a", "--exclude=*1*", "--delete"],
    &["-a", "--exclude=more/", "--delete-excluded"],
    &["-aHx", "--delete"],
];

#[test]
fn local_copies_match_rsync() {
    let rsync = testkit::require_rsync!();
    for seed in 1..2 {
        let mut case = Case::new(seed, 40);
        for words in SETS {
            check_local(&rsync, &mut case, words);
        }
    }
}

/// Every set at the newest protocol, and at one of the older ones.
fn at_every_protocol() -> impl Iterator<Item = Vec<&'static str>> {
    const OLD: [&str; 3] = ["--protocol=29", "--protocol=30", "--protocol=31"];
    let newest = SETS.iter().map(|words| (*words, "--protocol=32"));
    let old = SETS.iter().zip(OLD.iter().cycle());
    newest
        .chain(old.map(|(words, protocol)| (*words, *protocol)))
        .map(|(words, protocol)| [words, &[protocol]].concat())
}

#[test]
fn local_copies_match_rsync_at_every_protocol() {
    let rsync = testkit::require_rsync!();
    let mut case = Case::new(11, 40);
    for words in at_every_protocol() {
        check_local(&rsync, &mut case, &words);
    }
}

#[test]
fn pushes_match_rsync_at_every_protocol() {
    let rsync = testkit::require_rsync!();
    let mut case = Case::new(21, 40);
    let daemon = daemon(&rsync, &case);
    for words in at_every_protocol() {
        check_push(&rsync, &mut case, &daemon, &words);
    }
}

#[test]
fn pulls_match_rsync_at_every_protocol() {
    let rsync = testkit::require_rsync!();
    let mut case = Case::new(31, 40);
    let daemon = daemon(&rsync, &case);
    for words in at_every_protocol() {
        check_pull(&rsync, &mut case, &daemon, &words);
    }
}

#[test]
fn a_destination_that_is_missing() {
    let rsync = testkit::require_rsync!();
    let mut case = Case::new(5, 0);
    std::fs::remove_dir_all(case.path("d")).expect("it is ours");
    for words in [&["-a"][..], &["-an"], &["-aH", "--delete"], &["-r"]] {
        check_local(&rsync, &mut case, words);
    }
}

#[test]
fn relative_names_match_rsync() {
    let rsync = testkit::require_rsync!();
    let mut case = Case::new(41, 20);
    let daemon = daemon(&rsync, &case);
    let source = case.source().display().to_string();
    let sets: &[&[&str]] = &[
        &["-aR"],
        &["-aR", "--delete"],
        &["-aR", "--no-implied-dirs"],
        &["-R"],
        &["-dlptR"],
        &["-aRn"],
        &["-aR", "--protocol=29"],
        &["-aR", "--protocol=30"],
    ];
    for words in sets {
        for sources in [
            &["/./more"][..],
            &["/./sub/dir", "/./more/d0"],
            &["/././sizes/"],
            &[""],
        ] {
            let sources: Vec<String> = sources
                .iter()
                .map(|path| format!("{source}{path}"))
                .collect();
            let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
            check_sources(&rsync, &mut case, &daemon, words, &sources);
        }
    }
}

/// Several sources, copied and pushed.
fn check_sources(
    rsync: &Rsync,
    case: &mut Case,
    daemon: &Daemon,
    words: &[&str],
    sources: &[&str],
) {
    let our_words: Vec<&str> = ["-i"].iter().chain(words).copied().collect();
    let (theirs, ours) = (case.destination(), case.destination());
    let to = format!("{theirs}/");
    let arguments: Vec<&str> = sources.iter().copied().chain([&to[..]]).collect();
    let their_run = stock(rsync, words, &arguments, case.dir.path());
    let our_run = run::copy(&our_words, sources, &case.path(&format!("{ours}/")));
    let what = format!("local {words:?} {sources:?}");
    assert_same_run(&what, words, &their_run, &our_run);
    assert_same_trees(&what, case, &theirs, &ours, words);

    let (theirs, ours) = (case.destination(), case.destination());
    let to = format!("{}/{theirs}/", daemon.url("m").trim_end_matches('/'));
    let arguments: Vec<&str> = sources.iter().copied().chain([&to[..]]).collect();
    let their_run = stock(rsync, words, &arguments, case.dir.path());
    let our_run = run::push(&our_words, sources, daemon, &format!("{ours}/"));
    let what = format!("push {words:?} {sources:?}");
    assert_same_run(&what, words, &their_run, &our_run);
    assert_same_trees(&what, case, &theirs, &ours, words);
}

/// Trees that share names of directories and files are merged; the first one wins.
#[test]
fn several_sources_are_merged_as_rsync_does() {
    let rsync = testkit::require_rsync!();
    let mut case = Case::new(43, 20);
    let daemon = daemon(&rsync, &case);
    for (name, seed) in [("second", 44), ("third", 45)] {
        TreeSpec::sample(seed).build(case.path(name));
    }
    let first = case.source().display().to_string();
    let (second, third) = (case.path("second"), case.path("third"));
    let (second, third) = (second.display(), third.display());
    // The same names in each, and one that is no directory everywhere.
    for (tree, text) in [
        (&first, "1"),
        (&second.to_string(), "2"),
        (&third.to_string(), "3"),
    ] {
        let deep = Path::new(tree).join("shared/deep/deeper");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("both"), text).unwrap();
        std::fs::write(deep.join(format!("only{text}")), text).unwrap();
        std::fs::write(Path::new(tree).join("shared/file"), text).unwrap();
    }
    std::fs::write(Path::new(&third.to_string()).join("shared/clash"), "a file").unwrap();
    std::fs::create_dir(Path::new(&first).join("shared/clash")).unwrap();
    for words in [
        &["-a"][..],
        &["-a", "--delete"],
        &["-a", "--delete", "--no-i-r"],
        &["-a", "--delete-after", "--protocol=29"],
        &["-r", "--protocol=30"],
        &["-d"],
    ] {
        for sources in [
            [
                format!("{first}/"),
                format!("{second}/"),
                format!("{third}/"),
            ],
            [
                format!("{first}/shared"),
                format!("{second}/shared"),
                format!("{third}/shared/"),
            ],
            [
                format!("{third}/."),
                format!("{first}/shared/"),
                format!("{second}"),
            ],
        ] {
            let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
            check_sources(&rsync, &mut case, &daemon, words, &sources);
        }
    }
}

/// Random option sets on random trees.
#[test]
fn random_options_match_rsync() {
    const SWITCHES: &[&str] = &[
        "-l",
        "-p",
        "-t",
        "-g",
        "-o",
        "-D",
        "-H",
        "-c",
        "-W",
        "--no-W",
        "-n",
        "-O",
        "-J",
        "-u",
        "-I",
        "--size-only",
        "--existing",
        "--ignore-existing",
        "--force",
        "-E",
        "-ii",
        "--delete",
        "--delete-excluded",
        "--numeric-ids",
        "--exclude=*2*",
        "--include=*3*",
        "--max-size=1k",
        "--min-size=10",
        "--max-delete=2",
        "--no-inc-recursive",
        "--modify-window=-1",
        "-x",
        "--partial",
    ];
    let rsync = testkit::require_rsync!();
    let rounds = std::env::var("SYNCLINE_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok());
    for seed in 0..rounds.unwrap_or(6) {
        let mut random = Random::new(seed);
        let mut case = Case::new(100 + seed, 60);
        let daemon = daemon(&rsync, &case);
        for _ in 0..4 {
            let mut words = vec!["-r"];
            for switch in SWITCHES {
                if random.one_in(4) {
                    words.push(switch);
                }
            }
            if words.contains(&"--ignore-existing") {
                // A file that is left in the place of a directory keeps rsync from further deletions.
                words.retain(|word| !word.starts_with("--delete"));
            }
            if words.contains(&"-H") {
                // rsync 3.5.0 waits for itself when incremental lists skip the member of a group that others wait for.
                words.push("--no-inc-recursive");
            }
            check_local(&rsync, &mut case, &words);
            check_push(&rsync, &mut case, &daemon, &words);
            check_pull(&rsync, &mut case, &daemon, &words);
        }
    }
}
