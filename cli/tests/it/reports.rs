//! What a run says and logs about what it did, would do or was refused: ours against real rsync on the same trees.

use std::path::Path;

use testkit::{TreeSpec, require_rsync};

use crate::place::{Place, Who, lines, mode, output, to_push};

/// `created directory`, and formats that need figures which a dry run does not have.
#[test]
fn dry_runs_and_new_directories_are_reported_as_rsync_does() {
    let rsync = require_rsync!();
    let mut place = Place::new(&rsync, &["m"], |module| module);
    let build = |at: &Path| {
        to_push(at);
        TreeSpec::new()
            .file("x", "x")
            .symlink("l", "x")
            .fifo("p")
            .build(at.join("c/d"));
        TreeSpec::new().file("x", "old").build(at.join("m/dir"));
    };
    for options in [
        &["--out-format=%n %b"][..],
        &["--out-format=%n %c", "-n"],
        &["--out-format=%n %b", "-n"],
        &["--out-format=%i %n %C", "-n"],
        &["--out-format=%n %C", "-nc", "--protocol=30"],
        &["--out-format=%o %n"],
        &["--out-format=%-12i%n"],
        &["--out-format=%%i %n"],
        &["-ii", "--out-format=%n"],
        &["-i"],
        &["-ni"],
        &["-iq"],
        &["-n", "--progress"],
        &["--progress", "--out-format=%n"],
        &[],
    ] {
        for to in ["../m/new//", "URL/m/dir/"] {
            if to.ends_with("//") && options.iter().any(|option| option.starts_with("-n")) {
                // rsync shows one of the slashes then.
                continue;
            }
            let words: Vec<&str> = ["-rlpDt"]
                .iter()
                .chain(options)
                .copied()
                .chain(["d/", to])
                .collect();
            place.same(&rsync, &build, &words, &output);
        }
    }
}

/// The lines of a daemon's log about files.
fn logged(log: &str) -> Vec<String> {
    let mut lines: Vec<String> = log
        .lines()
        .filter_map(|line| line.split_once("] ").map(|(_, line)| line.to_owned()))
        .filter(|line| line.contains('|') || line.starts_with("deleting "))
        .collect();
    lines.sort();
    lines
}

#[test]
fn a_daemons_log_of_dry_runs_deletions_and_without_a_format() {
    let rsync = require_rsync!();
    let build = |at: &Path| {
        TreeSpec::new()
            .file("f", "f")
            .symlink("l", "f")
            .fifo("p")
            .dir("d")
            .build(at.join("c/s"));
        TreeSpec::new()
            .file("gone/file", "x")
            .mode(0o640)
            .symlink("gone/link", "x")
            .file("f", "old")
            .build(at.join("m"));
    };
    for format in ["|%o|%i|%n|%M|%B|%G", ""] {
        let mut place = Place::new(&rsync, &["m"], |module| {
            module
                .set("transfer logging", "yes")
                .set("log format", format)
        });
        for options in [
            &["-rlptD"][..],
            &["-a", "--delete"],
            &["--delete", "-an"],
            &["-rlD", "-n"],
        ] {
            let words: Vec<&str> = options.iter().copied().chain(["s/", "URL/m/"]).collect();
            let stock = place.log_of(&rsync, Who::Stock, &build, &words);
            let ours = place.log_of(&rsync, Who::OurDaemon, &build, &words);
            let times = |lines: Vec<String>| -> Vec<String> {
                // Directories have the time at which they were made.
                let lines = lines.into_iter().map(|line| match line.contains("/|20") {
                    true => line.split("/|20").next().unwrap_or_default().to_owned(),
                    false => line,
                });
                lines.collect()
            };
            assert_eq!(
                times(logged(&stock)),
                times(logged(&ours)),
                "{format:?} {words:?}: rsync's left, ours right"
            );
            let silent = options.iter().any(|option| option.contains('n'));
            let silent = silent || format.is_empty() && !words.contains(&"--delete");
            assert_eq!(logged(&ours).is_empty(), silent, "{format:?} {words:?}");
        }
    }
}

/// Attributes of another user's files: told once each, by name, and the entries are reported.
#[test]
fn refused_attributes_are_reported_and_itemized() {
    let rsync = require_rsync!();
    if !testkit::is_root() {
        testkit::skipped("a daemon that changes its identity needs root");
        return;
    }
    let build = |at: &Path| {
        let tree = TreeSpec::new()
            .file("mode", "x")
            .mode(0o640)
            .file("time", "xx")
            .mtime(1_000_000_000, 0)
            .symlink("link", "mode")
            .mtime(1_000_000_000, 0)
            .dir("dir");
        tree.build(at.join("c/s"));
        mode(at.join("c/s"), 0o775);
        testkit::tree::set_mtime(&at.join("c/s"), 1_000_000_009, 0);
        testkit::tree::set_mtime(&at.join("c/s/dir"), 1_000_000_009, 0);
        tree.build(at.join("m"));
        mode(at.join("m"), 0o777);
        mode(at.join("m/mode"), 0o644);
        mode(at.join("m/dir"), 0o777);
        for name in ["", "dir", "link"] {
            testkit::tree::set_mtime(&at.join("m").join(name), 1_000_000_001, 0);
        }
    };
    let mut place = Place::new(&rsync, &["m"], |module| {
        module.identity("nobody", "nogroup")
    });
    // Ours name paths from the destination on.
    let view = |told: &str| {
        let lines = lines(told).into_iter();
        lines.map(|line| line.replace("dst/", "")).collect()
    };
    for options in ["-rlpti", "-rlpt", "-rlptiO", "-rlptin"] {
        place.same(&rsync, &build, &[options, "s/", "URL/m/"], &view);
    }
}
