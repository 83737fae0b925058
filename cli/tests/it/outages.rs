//! Daemons that go and come back, and ourselves killed: the mirror converges with no hand on it.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Compare, Faults, Random, Relay, TreeSpec, require_rsync, wait};

use crate::setup::{Pair, USER, everyday, leaves, no_story, settles, syncline};

/// Names that look like rsync's temporary files, `.NAME.XXXXXX`, and are not in the source.
fn temporaries(mirror: &Path, source: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(mirror.join(&dir)).unwrap() {
            let entry = entry.unwrap();
            let path = dir.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                pending.push(path);
            } else if entry.file_name().as_encoded_bytes().starts_with(b".")
                && source.join(&path).symlink_metadata().is_err()
            {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn a_daemon_killed_in_mid_transfer_and_started_again() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    TreeSpec::random(1, 400, 30, 100_000)
        .random_file("big", 2, 20_000_000)
        .build(&pair.source);
    let mut daemon = pair.daemon(&rsync);
    let relay = Relay::start(daemon.addr());
    relay.set_faults(Faults::none().rate(8_000_000));
    let watch = pair.watch(&[], &[&relay.url_as(USER, "mirror")]);
    for round in 1..=3 {
        relay.wait_bytes(relay.traffic().bytes() + 1_500_000);
        daemon.kill();
        watch.wait_outputs("trying again in", round);
        daemon.restart();
    }
    relay.set_faults(Faults::none());
    relay.cut_all(testkit::Ending::Reset);
    watch.wait_output("in sync");
    let compare = Compare::exact();
    // The daemon, killed with its sessions, could not remove what it was writing; nothing of ours may be there.
    let left = temporaries(&pair.mirror, &pair.source);
    assert!(left.len() <= 4, "{left:?}");
    for path in &left {
        fs::remove_file(pair.mirror.join(path)).unwrap();
    }
    settles(
        &pair.source,
        &pair.mirror,
        &compare.without_dir_mtimes(),
        &watch,
        &no_story,
    );
    leaves(watch);
}

#[test]
fn ourselves_killed_at_random_points() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    TreeSpec::random(1, 300, 30, 50_000).build(&pair.source);
    let daemon = pair.daemon(&rsync);
    let relay = Relay::start(daemon.addr());
    let url = relay.url_as(USER, "mirror");
    let mut random = Random::new(9);
    let mut mutator = everyday(&pair.source, 9);
    for _ in 0..12 {
        let watch = pair.watch(&["-H"], &[&url]);
        let start = relay.traffic().bytes();
        mutator.steps(20);
        // A moment somewhere in the first comparison, or among the batches after it.
        let until = start + random.below(400_000);
        wait::until("traffic, or a mirror in sync", || {
            relay.traffic().bytes() >= until || watch.stdout().contains("in sync")
        });
        mutator.steps(5);
        watch.kill();
    }
    let watch = pair.watch(&["-H", "--delete"], &[&url]);
    pair.settles(&watch, &|| mutator.told());
    leaves(watch);
}

#[test]
fn a_mirror_folder_keeps_no_temporary_files_of_a_killed_watch() {
    let pair = Pair::new();
    TreeSpec::random(1, 200, 20, 200_000).build(&pair.source);
    let mirror = pair.mirror.display().to_string();
    let mut random = Random::new(4);
    for _ in 0..10 {
        let watch = pair.watch(&[], &[&mirror]);
        let wanted = usize::try_from(random.below(200)).unwrap();
        wait::until("some files", || {
            count(&pair.mirror) >= wanted || watch.stdout().contains("in sync")
        });
        watch.kill();
        let left = temporaries(&pair.mirror, &pair.source);
        assert!(left.len() <= 1, "more than the one in flight: {left:?}");
        for path in left {
            fs::remove_file(pair.mirror.join(path)).unwrap();
        }
    }
    let watch = pair.watch(&[], &[&mirror]);
    pair.settles(&watch, &no_story);
    leaves(watch);
}

fn count(root: &Path) -> usize {
    let mut found = 0;
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        found += 1;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found += count(&entry.path());
        }
    }
    found
}

#[test]
fn a_daemon_away_for_a_while_and_a_second_target_unaffected() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    TreeSpec::sample(1).build(&pair.source);
    let second = pair.dir.path().join("second");
    let mut daemon = pair.daemon(&rsync);
    let url = daemon.url_as(USER, "mirror");
    let watch = pair.watch(&["-H"], &[&url, &second.display().to_string()]);
    watch.wait_outputs("in sync", 2);
    daemon.kill();
    let mut mutator = everyday(&pair.source, 5);
    for _ in 0..5 {
        mutator.steps(30);
        settles(&pair.source, &second, &Compare::exact(), &watch, &|| {
            mutator.told()
        });
    }
    watch.wait_output("trying again in");
    daemon.restart();
    pair.settles(&watch, &|| mutator.told());
    watch.wait_output("back after");
    mutator.steps(30);
    pair.settles(&watch, &|| mutator.told());
    settles(&pair.source, &second, &Compare::exact(), &watch, &|| {
        mutator.told()
    });
    leaves(watch);
}

#[test]
fn wrong_password_unknown_module_read_only_say_so_and_go_on_when_repaired() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    TreeSpec::new().file("f", "content").build(&pair.source);
    let good = testkit::Module::as_users_do("mirror", &pair.mirror);
    let conf = |module: testkit::Module| testkit::DaemonConf::new().module(module);
    let cases = [
        (
            testkit::Module::new("mirror", &pair.mirror).user(USER, "another"),
            "@ERROR: auth failed on module mirror",
        ),
        (
            testkit::Module::new("other", &pair.mirror),
            "@ERROR: Unknown module 'mirror'",
        ),
        (good.clone().read_only(), "module is read only"),
    ];
    for (broken, says) in cases {
        let daemon = testkit::Daemon::start(&testkit::Server::Stock(&rsync), conf(broken));
        let url = daemon.url_as(USER, "mirror");
        let watch = pair.watch(&[], &[&url]);
        let line = watch.wait_line(says, |line| line.contains(says));
        assert!(line.contains("trying again in"), "{line}");
        fs::write(pair.source.join("g"), says).unwrap();
        daemon.configure(&conf(good.clone()));
        pair.settles(&watch, &no_story);
        leaves(watch);
        for name in ["f", "g"] {
            fs::remove_file(pair.mirror.join(name)).unwrap();
        }
    }
}

#[test]
fn nobody_there_at_the_start() {
    let pair = Pair::new();
    let watch = pair.watch(&[], &["rsync://127.0.0.1:1/module/"]);
    watch.wait_output("Connection refused (111); trying again in");
    leaves(watch);
    let exit = syncline()
        .args(["watch", "/nonexistent/source", "/nonexistent/mirror"])
        .run();
    assert!(exit.code() != Some(0), "{exit}");
    assert!(exit.err().contains("/nonexistent/source"), "{exit}");
}
