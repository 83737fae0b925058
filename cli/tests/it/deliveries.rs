//! What arrives although something else does not, and what a watch does not do twice.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use testkit::{
    Compare, Daemon, DaemonConf, Direction, Ending, Faults, Module, Relay, Server, TreeSpec,
    require_rsync, wait,
};

use crate::setup::{Mount, Pair, USER, leaves, no_story};

/// The directory is new while a session is open that may have seen it, so it is compared as a whole after the batch that links
/// its file with one elsewhere.
#[test]
fn hard_links_made_while_the_first_comparison_waits() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    TreeSpec::new().file("a", "a").dir("z").build(&pair.source);
    let daemon = pair.daemon(&rsync);
    let relay = Relay::start(daemon.addr());
    relay.set_faults(Faults::none().stall(Direction::ToClient, 0));
    let watch = pair.watch(&["-H", "--delete"], &[&relay.url_as(USER, "mirror")]);
    // The greeting: both halves of the connection are there.
    relay.wait_bytes(1);
    fs::create_dir(pair.source.join("k")).unwrap();
    fs::write(pair.source.join("k/m1"), "m").unwrap();
    fs::hard_link(pair.source.join("k/m1"), pair.source.join("z/m2")).unwrap();
    relay.set_faults(Faults::none());
    relay.cut_all(Ending::Reset);
    watch.wait_output("in sync");
    pair.settles(&watch, &no_story);
    leaves(watch);
}

#[test]
fn a_file_that_does_not_fit_holds_up_no_other() {
    let rsync = require_rsync!();
    for daemon_knows in [true, false] {
        let pair = Pair::new();
        TreeSpec::new()
            .file("a", "a")
            .random_file("m too large", 1, 6_000_000)
            .file("z/z", "z")
            .build(&pair.source);
        let Some(mount) = Mount::tmpfs(&pair.mirror, "2m") else {
            testkit::skipped("a tmpfs cannot be mounted here");
            return;
        };
        // With and without acknowledgements.
        let mut module = Module::as_users_do("mirror", &pair.mirror);
        if !daemon_knows {
            module = module.set("refuse options", "remove-source-files");
        }
        let conf = DaemonConf::new().module(module);
        let daemon = Daemon::start(&Server::Stock(&rsync), conf);
        let url = daemon.url_as(USER, "mirror");
        if daemon_knows {
            let watch = pair.watch(&[], &[&url]);
            watch.wait_line("the failure", |line| {
                line.contains("m too large failed and is tried again")
            });
            wait::until("what comes behind it", || pair.mirror.join("z/z").exists());
            leaves(watch);
        }
        fs::remove_file(pair.source.join("m too large")).unwrap();
        let watch = pair.watch(&[], &[&url]);
        watch.wait_output("in sync");
        // Now in a batch, in the middle of others.
        let names = ["b", "c", "x", "y"];
        fs::create_dir(pair.dir.path().join("new")).unwrap();
        for name in names {
            fs::write(pair.dir.path().join("new").join(name), name).unwrap();
        }
        TreeSpec::new()
            .random_file("m too large", 1, 6_000_000)
            .build(pair.dir.path().join("new"));
        fs::rename(pair.dir.path().join("new"), pair.source.join("new")).unwrap();
        wait::until("the others", || {
            names
                .iter()
                .all(|name| pair.mirror.join("new").join(name).exists())
        });
        watch.wait_line("the failure", |line| {
            line.contains("new/m too large failed and is tried again")
                && line.contains("No space left on device (28)")
        });
        // It keeps failing, and everything else goes on at once.
        fs::write(pair.source.join("late"), "late").unwrap();
        wait::until("a later file", || pair.mirror.join("late").exists());
        assert!(!watch.stderr().contains("trying again in"), "{watch}");
        let file = pair.source.join("new/m too large");
        fs::write(&file, "fits").unwrap();
        pair.settles(&watch, &no_story);
        leaves(watch);
        drop((daemon, mount));
    }
}

/// The daemon's second line about it names nothing.
#[test]
fn what_a_module_refuses_blames_nothing_else() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    TreeSpec::new()
        .file("private/at the start", "1")
        .file("f", "2")
        .build(&pair.source);
    let module = Module::as_users_do("mirror", &pair.mirror).set("exclude", "/private");
    let daemon = Daemon::start(&Server::Stock(&rsync), DaemonConf::new().module(module));
    let watch = pair.watch(&["--delete"], &[&daemon.url_as(USER, "mirror")]);
    watch.wait_line("the failure", |line| {
        line.contains("private failed and is tried again")
    });
    let odd = std::ffi::OsStr::from_bytes(b"odd \xff\\ \x01");
    fs::write(pair.source.join("private").join(odd), "3").unwrap();
    let new = pair.dir.path().join("new");
    fs::create_dir(&new).unwrap();
    for number in 0..100 {
        fs::write(new.join(number.to_string()), "4").unwrap();
    }
    fs::rename(&new, pair.source.join("new")).unwrap();
    wait::until("what is not refused", || {
        pair.mirror.join("f").exists() && pair.mirror.join("new/99").exists()
    });
    fs::write(pair.source.join("new/last"), "5").unwrap();
    wait::until("the last", || pair.mirror.join("new/last").exists());
    let failures: Vec<String> = watch
        .stderr()
        .lines()
        .filter(|line| line.contains("failed and is") && !line.contains("private"))
        .map(str::to_owned)
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
    leaves(watch);
}

/// What goes by name, what goes by rules and what the rules keep, in sessions that ask for acknowledgements, with a target that deletes by
/// name and with one that does not.
#[test]
fn rules_and_refusals_in_one_batch() {
    let rsync = require_rsync!();
    for refused in ["", "delete-missing-args"] {
        let pair = Pair::new();
        TreeSpec::new()
            .file("private/f", "1")
            .file("old/logs/kept", "2")
            .file("old/f", "3")
            .file("d/logs", "a file")
            .file("gone", "4")
            .build(&pair.source);
        let module = Module::as_users_do("mirror", &pair.mirror)
            .set("exclude", "/private")
            .set("refuse options", refused);
        let daemon = Daemon::start(&Server::Stock(&rsync), DaemonConf::new().module(module));
        let watch = pair.watch(&["--filter=P logs/"], &[&daemon.url_as(USER, "mirror")]);
        watch.wait_line("the failure", |line| {
            line.contains("private failed and is tried again")
        });
        wait::until("the rest", || pair.mirror.join("old/logs/kept").exists());
        for round in 0..3 {
            // A file here, at the target a directory that holds what is protected.
            let is_kept = round == 1;
            if is_kept {
                fs::create_dir_all(pair.mirror.join("e/x/logs")).unwrap();
                fs::create_dir(pair.source.join("e")).unwrap();
                fs::write(pair.source.join("e/x"), "never arrives").unwrap();
                watch.wait_line("the failure", |line| line.contains("e/x failed"));
                fs::remove_file(pair.source.join("e/x")).unwrap();
            }
            fs::write(pair.source.join("private/f"), round.to_string()).unwrap();
            fs::write(pair.source.join("new"), "5".repeat(round)).unwrap();
            fs::remove_file(pair.source.join("d/logs")).unwrap();
            let _ = fs::remove_file(pair.source.join("gone"));
            let _ = fs::remove_dir_all(pair.source.join("old"));
            wait::until("the deletions", || {
                let gone = ["d/logs", "gone", "old/f"];
                gone.iter().all(|path| !pair.mirror.join(path).exists())
            });
            fs::write(pair.source.join("d/logs"), round.to_string()).unwrap();
            wait::until("what is new", || {
                fs::read(pair.mirror.join("d/logs"))
                    .is_ok_and(|there| there == round.to_string().as_bytes())
                    && fs::read(pair.mirror.join("new")).is_ok_and(|there| there.len() == round)
            });
        }
        assert!(pair.mirror.join("e/x/logs").is_dir(), "{watch}");
        assert!(pair.mirror.join("old/logs/kept").exists(), "{watch}");
        let stderr = watch.stderr();
        let failures = stderr
            .lines()
            .filter(|line| line.contains(" failed and is "));
        let other: Vec<_> = failures
            .filter(|line| !line.contains("private") && !line.contains("e/x"))
            .collect();
        assert!(other.is_empty(), "{other:#?}");
        leaves(watch);
    }
}

#[test]
fn two_watches_that_face_each_other_come_to_rest() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    let conf = |path| DaemonConf::as_users_do("mirror", path);
    let there = Daemon::start(&Server::Stock(&rsync), conf(&pair.mirror));
    let back = Daemon::start(&Server::Stock(&rsync), conf(&pair.source));
    let watches = [
        (&pair.source, there.url_as(USER, "mirror"), "state-1"),
        (&pair.mirror, back.url_as(USER, "mirror"), "state-2"),
    ]
    .map(|(source, url, state)| {
        crate::setup::syncline()
            .args(["watch", "-H"])
            .env("STATE_DIRECTORY", pair.dir.path().join(state))
            .arg(source)
            .arg(url)
            .spawn()
    });
    watches
        .iter()
        .for_each(|watch| watch.wait_output("in sync"));
    let lines = || {
        let lines = watches.iter().map(|watch| watch.stdout().lines().count());
        lines.sum::<usize>()
    };
    // Small and large, on both sides, new and again with the size of before.
    for round in 0..4_u8 {
        let (side, other) = match round % 2 {
            0 => (&pair.source, &pair.mirror),
            _ => (&pair.mirror, &pair.source),
        };
        let contents = [
            ("small", vec![round; 10]),
            ("large", vec![round; 1_500_000]),
        ];
        for (name, content) in &contents {
            fs::write(side.join(name), content).unwrap();
        }
        wait::until("the other side", || {
            let arrived = |(name, content): &(&str, Vec<u8>)| {
                fs::read(other.join(name)).is_ok_and(|there| there == *content)
            };
            contents.iter().all(arrived)
        });
        // Who writes before both have come to rest may lose what was written: there is no telling which is newer.
        let mut before = 0;
        wait::until("rest", || {
            std::thread::sleep(Duration::from_millis(300));
            std::mem::replace(&mut before, lines()) == lines()
        });
    }
    // Each side sends what it wrote, and once what came; what is equal stays as it is. A loop makes hundreds.
    assert!(
        lines() < 60,
        "{} lines\n{}\n{}",
        lines(),
        watches[0],
        watches[1]
    );
    testkit::assert_same(&pair.source, &pair.mirror, &Compare::exact());
    watches.into_iter().for_each(leaves);
}

/// One that takes connections and says nothing, one that goes silent after its greeting, and one that stops in the middle of a file.
#[test]
fn a_stop_waits_for_no_target_that_hangs() {
    let rsync = require_rsync!();
    for after in [0, 30, 400] {
        let pair = Pair::new();
        TreeSpec::new()
            .random_file("f", 1, 5_000_000)
            .build(&pair.source);
        let daemon = pair.daemon(&rsync);
        let relay = Relay::start(daemon.addr());
        let to = match after {
            400 => Direction::ToServer,
            _ => Direction::ToClient,
        };
        relay.set_faults(Faults::none().stall(to, after));
        let watch = pair.watch(&["--timeout=600"], &[&relay.url_as(USER, "mirror")]);
        wait::until("the session", || relay.traffic().connections > 0);
        if after > 0 {
            relay.wait_bytes(after);
        }
        leaves(watch);
    }
}

#[test]
fn a_folder_that_is_emptied_or_removed_is_filled_again() {
    let pair = Pair::new();
    TreeSpec::new()
        .file("a", "1")
        .file("d/b", "2")
        .build(&pair.source);
    let watch = pair.watch(&[], &[&pair.mirror.display().to_string()]);
    watch.wait_output("in sync");
    pair.settles(&watch, &no_story);
    // With and without a change at the source.
    fs::remove_dir_all(&pair.mirror).unwrap();
    fs::write(pair.source.join("c"), "3").unwrap();
    pair.settles(&watch, &no_story);
    watch.wait_outputs("compared", 2);
    fs::remove_dir_all(&pair.mirror).unwrap();
    pair.settles(&watch, &no_story);
    watch.wait_outputs("compared", 3);
    for entry in fs::read_dir(&pair.mirror).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }
    fs::write(pair.source.join("d/b"), "4").unwrap();
    pair.settles(&watch, &no_story);
    leaves(watch);
}

/// A large file goes in a session of its own where the target has a place for one, and behind the others where it has not.
#[test]
fn a_small_file_does_not_wait_for_a_large_one() {
    let rsync = require_rsync!();
    for places in [0, 1] {
        let pair = Pair::new();
        TreeSpec::new().file("f", "1").build(&pair.source);
        let module = Module::as_users_do("mirror", &pair.mirror).set("max connections", places);
        let daemon = Daemon::start(&Server::Stock(&rsync), DaemonConf::new().module(module));
        let relay = Relay::start(daemon.addr());
        let watch = pair.watch(&[], &[&relay.url_as(USER, "mirror")]);
        watch.wait_output("in sync");
        let rate = if places == 0 { 1_000_000 } else { 20_000_000 };
        relay.set_faults(Faults::none().rate(rate));
        relay.cut_all(Ending::Close);
        let before = relay.traffic().bytes();
        TreeSpec::new()
            .random_file("large", 1, 8_000_000)
            .build(&pair.source);
        relay.wait_bytes(before + 500_000);
        fs::write(pair.source.join("small"), "2").unwrap();
        wait::until("the small file", || pair.mirror.join("small").exists());
        if places == 0 {
            assert!(!pair.mirror.join("large").exists(), "{watch}");
            relay.set_faults(Faults::none());
            relay.cut_all(Ending::Close);
        }
        pair.settles(&watch, &no_story);
        assert!(!watch.stderr().contains("max connections"), "{watch}");
        leaves(watch);
    }
}
