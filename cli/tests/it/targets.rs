//! Targets, what is deleted at them, what is left out, and how a watch ends.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};

use testkit::{
    Compare, Daemon, DaemonConf, Module, Program, Running, Server, TreeSpec, require_rsync,
    spawned, wait,
};

use crate::setup::{Pair, USER, binary, everyday, leaves, no_story, settles, syncline};

#[test]
fn one_dead_target_does_not_hold_up_the_others() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    TreeSpec::sample(1).build(&pair.source);
    let folders = ["one", "two"].map(|name| pair.dir.path().join(name));
    let daemon = pair.daemon(&rsync);
    // One that refuses, and one that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("rsync://{}/m/", silent.local_addr().unwrap());
    let targets = [
        "rsync://127.0.0.1:1/m/".to_owned(),
        folders[0].display().to_string(),
        silent_url,
        daemon.url_as(USER, "mirror"),
        folders[1].display().to_string(),
    ];
    let targets: Vec<_> = targets.iter().map(String::as_str).collect();
    let watch = pair.watch(&["-H", "--timeout=5"], &targets);
    watch.wait_outputs("in sync", 3);
    let mut mutator = everyday(&pair.source, 1);
    for _ in 0..5 {
        mutator.steps(30);
        pair.settles(&watch, &|| mutator.told());
        for folder in &folders {
            let story = || mutator.told();
            settles(&pair.source, folder, &Compare::exact(), &watch, &story);
        }
    }
    watch.wait_output("rsync://127.0.0.1:1/m/: ");
    leaves(watch);
}

#[test]
fn no_process_is_ever_started() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    TreeSpec::sample(1).build(&pair.source);
    let daemon = pair.daemon(&rsync);
    let folder = pair.dir.path().join("folder").display().to_string();
    let watch = pair.watch(&["-H"], &[&daemon.url_as(USER, "mirror"), &folder]);
    watch.wait_outputs("in sync", 2);
    let mut mutator = everyday(&pair.source, 3);
    for _ in 0..30 {
        mutator.steps(5);
        pair.settles(&watch, &|| mutator.told());
    }
    spawned::assert_none(watch.pid());
    watch.interrupt();
    wait::until("its end", || watch.ended());
    spawned::assert_none(watch.pid());
    watch.wait().assert_code(0);
}

#[test]
fn what_is_deleted_at_the_mirror() {
    let rsync = require_rsync!();
    // Option; whether what the source never had goes, what it loses while watched, what it lost before.
    for (option, strange, watched) in [
        (None, false, true),
        (Some("--delete"), true, true),
        (Some("--no-delete"), false, false),
    ] {
        let pair = Pair::new();
        TreeSpec::new()
            .file("stays", "1")
            .file("goes", "2")
            .file("dir/goes too", "3")
            .build(&pair.source);
        TreeSpec::new()
            .file("strange", "s")
            .file("strange dir/file", "s")
            .build(&pair.mirror);
        let daemon = pair.daemon(&rsync);
        let words: Vec<_> = option.into_iter().collect();
        let watch = pair.watch(&words, &[&daemon.url_as(USER, "mirror")]);
        watch.wait_output("in sync");
        let there = |name: &str| pair.mirror.join(name).symlink_metadata().is_ok();
        assert_eq!(there("strange"), !strange, "{option:?}");
        assert_eq!(there("strange dir/file"), !strange, "{option:?}");
        fs::remove_file(pair.source.join("goes")).unwrap();
        fs::remove_dir_all(pair.source.join("dir")).unwrap();
        fs::rename(pair.source.join("stays"), pair.source.join("renamed")).unwrap();
        fs::write(pair.source.join("last"), "4").unwrap();
        wait::until("the changes", || {
            let gone = !there("goes") && !there("dir") && !there("stays");
            there("renamed") && there("last") && (gone || !watched)
        });
        assert_eq!(there("goes"), !watched, "{option:?}");
        assert_eq!(there("dir/goes too"), !watched, "{option:?}");
        assert_eq!(there("strange"), !strange, "{option:?}");
        leaves(watch);
    }
}

#[test]
fn a_target_that_refuses_deletions_gets_everything_else() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    TreeSpec::new()
        .file("goes", "1")
        .file("d/stays", "2")
        .build(&pair.source);
    let module = Module::as_users_do("mirror", &pair.mirror).set("refuse options", "delete");
    let daemon = Daemon::start(&Server::Stock(&rsync), DaemonConf::new().module(module));
    let watch = pair.watch(&[], &[&daemon.url_as(USER, "mirror")]);
    watch.wait_output("in sync");
    fs::remove_file(pair.source.join("goes")).unwrap();
    watch.wait_output("the target refuses deletions");
    fs::write(pair.source.join("new"), "3").unwrap();
    wait::until("the new file", || pair.mirror.join("new").exists());
    assert!(pair.mirror.join("goes").exists());
    leaves(watch);
}

#[test]
fn what_a_target_refuses_is_done_another_way_or_left() {
    let rsync = require_rsync!();
    // What it refuses, and whether deletions get there all the same.
    let cases = [
        ("delete-missing-args", true),
        ("force", true),
        ("force delete-missing-args", true),
        ("delete", false),
        ("delete force", false),
        ("delete*", false),
        ("delete-during delete-missing-args", false),
    ];
    for option in [None, Some("--delete")] {
        for (refused, deletes) in cases {
            refuses(&rsync, option, refused, deletes);
        }
    }
}

fn refuses(rsync: &testkit::Rsync, option: Option<&str>, refused: &str, deletes: bool) {
    let pair = Pair::new();
    TreeSpec::new()
        .file("goes", "1")
        .file("d/goes too", "2")
        .file("d/stays", "3")
        .file("whole/of/it", "4")
        .file("becomes a file/f", "5")
        .build(&pair.source);
    let module = Module::as_users_do("mirror", &pair.mirror).set("refuse options", refused);
    let daemon = Daemon::start(&Server::Stock(rsync), DaemonConf::new().module(module));
    let words: Vec<_> = option.into_iter().collect();
    let watch = pair.watch(&words, &[&daemon.url_as(USER, "mirror")]);
    watch.wait_output("in sync");
    let at = |name: &str| pair.source.join(name);
    fs::remove_file(at("goes")).unwrap();
    fs::remove_file(at("d/goes too")).unwrap();
    fs::remove_dir_all(at("whole")).unwrap();
    fs::write(at("d/new"), "6").unwrap();
    let there = |name: &str| pair.mirror.join(name).symlink_metadata().is_ok();
    wait::until(&format!("the changes, {refused} refused\n{watch}"), || {
        there("d/new") && (!deletes || !there("goes") && !there("whole"))
    });
    if deletes {
        fs::remove_dir_all(at("becomes a file")).unwrap();
        fs::write(at("becomes a file"), "7").unwrap();
        pair.settles(&watch, &|| format!("{option:?}, {refused} refused"));
    } else {
        watch.wait_output("the target refuses deletions");
        for name in ["goes", "d/goes too", "whole/of/it"] {
            assert!(there(name), "{name}, {refused} refused\n{watch}");
        }
    }
    fs::write(at("last"), "8").unwrap();
    wait::until("the last file", || there("last"));
    assert!(
        !watch.stderr().contains("trying again"),
        "{refused}\n{watch}"
    );
    leaves(watch);
}

#[test]
fn a_module_with_one_place_is_followed() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    TreeSpec::new()
        .file("small", "1")
        .random_file("big", 1, 3_000_000)
        .build(&pair.source);
    let module = Module::as_users_do("mirror", &pair.mirror).set("max connections", 1);
    let mut daemon = Daemon::start(&Server::Stock(&rsync), DaemonConf::new().module(module));
    // Somebody has the place, from the name of the module on.
    let guest = Guest::take_place(&daemon);
    let watch = pair.watch(&["--delete"], &[&daemon.url_as(USER, "mirror")]);
    let full = "max connections (1) reached";
    let line = watch.wait_line(full, |line| line.contains(full));
    assert!(line.contains("trying again in"), "{line}");
    drop(guest);
    watch.wait_output("in sync");
    pair.settles(&watch, &no_story);
    let troubles = watch.stderr().lines().count();
    // Sessions of other options than the spare one, and two of them for one batch.
    for round in 0..10 {
        let mode = if round % 2 == 0 { 0o600 } else { 0o644 };
        fs::set_permissions(pair.source.join("big"), fs::Permissions::from_mode(mode)).unwrap();
        if round % 3 > 0 {
            fs::write(pair.source.join("small"), format!("round {round}")).unwrap();
        }
        pair.settles(&watch, &no_story);
    }
    assert_eq!(
        watch.stderr().lines().count(),
        troubles,
        "nobody else was there\n{watch}"
    );
    // Somebody is quicker when the daemon comes back.
    daemon.kill();
    daemon.restart();
    let guest = Guest::take_place(&daemon);
    fs::write(pair.source.join("small"), "at last").unwrap();
    watch.wait_line(full, |line| line.contains(full) && line.contains("waiting"));
    drop(guest);
    pair.settles(&watch, &no_story);
    leaves(watch);
}

/// Another client, which has named the module and goes no further.
struct Guest(
    #[expect(dead_code, reason = "the connection is open as long as this is there")] TcpStream,
);

impl Guest {
    fn take_place(daemon: &Daemon) -> Self {
        loop {
            let stream = TcpStream::connect(daemon.addr()).unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            assert!(lines.next().unwrap().unwrap().starts_with("@RSYNCD: "));
            (&stream)
                .write_all(b"@RSYNCD: 31.0 sha512 sha256 sha1 md5 md4\nmirror\n")
                .unwrap();
            let answer = lines.next().unwrap().unwrap();
            // The daemon may not be done with the session before.
            if !answer.contains("max connections") {
                return Self(stream);
            }
        }
    }
}

#[test]
fn a_name_that_the_target_cannot_write_is_tried_again() {
    let rsync = require_rsync!();
    if !testkit::is_root() {
        testkit::skipped("a module of another user needs root");
        return;
    }
    let pair = Pair::new();
    TreeSpec::new().file("locked/h", "1").build(&pair.source);
    let nobody = 65_534;
    chown(&pair.mirror, Some(nobody), Some(nobody)).unwrap();
    fs::set_permissions(pair.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let module = Module::as_users_do("mirror", &pair.mirror).identity("65534", "65534");
    let daemon = Daemon::start(&Server::Stock(&rsync), DaemonConf::new().module(module));
    let watch = pair.watch(&[], &[&daemon.url_as(USER, "mirror")]);
    watch.wait_output("in sync");
    let locked = pair.mirror.join("locked");
    chown(&locked, Some(0), Some(0)).unwrap();
    // The other name is in every word that the daemon says about the first.
    fs::write(pair.source.join("locked/h"), "2").unwrap();
    fs::write(pair.source.join("e"), "3").unwrap();
    watch.wait_line("the failure", |line| {
        line.contains("locked/h failed and is tried again")
    });
    chown(&locked, Some(nobody), Some(nobody)).unwrap();
    wait::until("the second version", || {
        fs::read(pair.mirror.join("locked/h")).is_ok_and(|content| content == b"2")
    });
    watch.wait_output("what failed has arrived");
    leaves(watch);
}

#[test]
fn what_is_protected_is_sent_and_not_deleted() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    for name in ["kept", "gone", "sub/kept"] {
        TreeSpec::new().file(name, name).build(&pair.source);
    }
    let daemon = pair.daemon(&rsync);
    let watch = pair.watch(&["-f", "P kept"], &[&daemon.url_as(USER, "mirror")]);
    watch.wait_output("in sync");
    assert!(pair.mirror.join("sub/kept").exists(), "{watch}");
    for name in ["kept", "sub/kept", "gone"] {
        fs::remove_file(pair.source.join(name)).unwrap();
    }
    wait::until("the deletion", || !pair.mirror.join("gone").exists());
    assert!(pair.mirror.join("kept").exists(), "{watch}");
    assert!(pair.mirror.join("sub/kept").exists(), "{watch}");
    leaves(watch);
}

#[test]
fn what_is_excluded_is_neither_sent_nor_deleted() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    let tree = |root| {
        TreeSpec::new()
            .file("kept.txt", "1")
            .file("left.log", "2")
            .file("cache/inside", "3")
            .file("sub/cache/inside", "4")
            .build(root);
    };
    tree(&pair.source);
    TreeSpec::new()
        .file("own.log", "of the mirror")
        .file("cache/own", "of the mirror")
        .build(&pair.mirror);
    let daemon = pair.daemon(&rsync);
    let words = ["--delete", "--exclude=*.log", "--exclude=/cache"];
    let watch = pair.watch(&words, &[&daemon.url_as(USER, "mirror")]);
    watch.wait_output("in sync");
    fs::write(pair.source.join("more.log"), "5").unwrap();
    fs::write(pair.source.join("cache/more"), "5").unwrap();
    fs::remove_file(pair.source.join("left.log")).unwrap();
    fs::create_dir(pair.source.join("new")).unwrap();
    fs::write(pair.source.join("new/a.log"), "6").unwrap();
    fs::write(pair.source.join("new/a.txt"), "6").unwrap();
    wait::until("what is not excluded", || {
        pair.mirror.join("new/a.txt").exists()
    });
    let there = |name: &str| pair.mirror.join(name).exists();
    for name in ["kept.txt", "sub/cache/inside", "own.log", "cache/own"] {
        assert!(there(name), "{name}\n{watch}");
    }
    for name in [
        "left.log",
        "more.log",
        "cache/inside",
        "cache/more",
        "new/a.log",
    ] {
        assert!(!there(name), "{name}\n{watch}");
    }
    leaves(watch);
}

/// Else it would be copied into itself until the disk is full.
#[test]
fn a_target_in_the_source_is_refused() {
    let pair = Pair::new();
    fs::create_dir_all(pair.source.join("sub")).unwrap();
    let link = pair.dir.path().join("link");
    std::os::unix::fs::symlink(pair.source.join("sub"), &link).unwrap();
    let source = pair.source.display().to_string();
    let inside = "lies in the source";
    let holds = "holds the source";
    for (options, target, told) in [
        (&[][..], pair.source.clone(), inside),
        (&[], pair.source.join("sub"), inside),
        (&[], pair.source.join("sub/not/there/yet"), inside),
        (&[], link, inside),
        (&["--delete"], pair.dir.path().to_owned(), holds),
    ] {
        let exit = syncline()
            .arg("watch")
            .args(options)
            .args([&source, &target.display().to_string()])
            .run();
        exit.assert_code(1);
        assert!(exit.err().contains(told), "{target:?}: {exit}");
    }
    let outer = pair.mirror.join("outer").display().to_string();
    for (first, second) in [(&outer, &outer), (&outer, &format!("{outer}/in/it"))] {
        let exit = syncline().args(["watch", &source, first, second]).run();
        exit.assert_code(1);
        assert!(exit.err().contains("overlap"), "{exit}");
    }
    // What is excluded is not copied.
    let sub = pair.source.join("sub").display().to_string();
    fs::write(pair.source.join("file"), "x").unwrap();
    let watch = pair.watch(&["--exclude=/sub"], &[&sub]);
    watch.wait_output("in sync");
    assert!(pair.source.join("sub/file").exists(), "{watch}");
    leaves(watch);
}

/// The mirror becomes equal after each of some rounds of random changes.
fn follows_changes(pair: &Pair, watch: Running) {
    watch.wait_output("in sync");
    let mut mutator = everyday(&pair.source, 2);
    for _ in 0..10 {
        mutator.steps(30);
        pair.settles(&watch, &|| mutator.told());
    }
    leaves(watch);
}

#[test]
fn a_local_folder_is_made_and_followed() {
    let pair = Pair::new();
    TreeSpec::sample(1).build(&pair.source);
    fs::remove_dir(&pair.mirror).unwrap();
    let watch = pair.watch(&["-H"], &[&pair.mirror.display().to_string()]);
    follows_changes(&pair, watch);
}

#[test]
fn our_own_daemon_is_followed_too() {
    let pair = Pair::new();
    TreeSpec::sample(1).build(&pair.source);
    let conf = DaemonConf::as_users_do("mirror", &pair.mirror);
    let daemon = Daemon::start(&Server::Ours(binary()), conf);
    let watch = pair.watch(&["-H"], &[&daemon.url_as(USER, "mirror")]);
    follows_changes(&pair, watch);
}

#[test]
fn a_signal_finishes_what_is_being_sent() {
    let rsync = require_rsync!();
    for signal in ["INT", "TERM", "HUP"] {
        let pair = Pair::new();
        TreeSpec::new()
            .random_file("big", 1, 30_000_000)
            .build(&pair.source);
        let daemon = pair.daemon(&rsync);
        let relay = testkit::Relay::start(daemon.addr());
        relay.set_faults(testkit::Faults::none().rate(20_000_000));
        let watch = pair.watch(&[], &[&relay.url_as(USER, "mirror")]);
        relay.wait_bytes(1_000_000);
        Program::new("/bin/kill")
            .args([format!("-{signal}"), watch.pid().to_string()])
            .run()
            .assert_code(0);
        watch.wait_output("stopping");
        watch.wait().assert_code(0);
        testkit::assert_same(&pair.source, &pair.mirror, &Compare::exact());
    }
}

#[test]
fn an_interrupted_transfer_ends_with_20_and_leaves_no_temporary_file() {
    let pair = Pair::new();
    TreeSpec::new()
        .random_file("big", 1, 100_000_000)
        .build(&pair.source);
    let daemon = Daemon::start(
        &Server::Ours(binary()),
        DaemonConf::as_users_do("source", &pair.source),
    );
    let relay = testkit::Relay::start(daemon.addr());
    relay.set_faults(testkit::Faults::none().rate(10_000_000));
    let mirror = format!("{}/", pair.mirror.display());
    let pull = syncline()
        .args(["-a", &relay.url_as(USER, "source"), &mirror])
        .spawn();
    wait::until("a file in flight", || {
        fs::read_dir(&pair.mirror).unwrap().count() == 1
    });
    pull.interrupt();
    let exit = pull.wait();
    exit.assert_code(20);
    let left: Vec<_> = fs::read_dir(&pair.mirror).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn names_of_every_kind() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    let daemon = pair.daemon(&rsync);
    let watch = pair.watch(&[], &[&daemon.url_as(USER, "mirror")]);
    watch.wait_output("in sync");
    TreeSpec::new()
        .odd_names("odd")
        .odd_names("odd/er")
        .build(pair.source.join("new"));
    for byte in (1..=255_u8).filter(|byte| *byte != b'/') {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(&[b'x', byte]).to_owned();
        fs::write(pair.source.join(name), [byte]).unwrap();
    }
    pair.settles(&watch, &no_story);
    leaves(watch);
}
