//! What signals do: end a transfer, release deletions, read a daemon's configuration again.

use std::fs;

use rustix::process::Signal;
use testkit::{
    Compare, Daemon, DaemonConf, Module, Running, Server, assert_same, require_rsync, wait,
};

use crate::setup::{PASSWORD, Pair, USER, binary, leaves, settles, syncline};

#[test]
fn ctrl_c_ends_a_transfer_with_20() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    let file = fs::File::create(pair.source.join("big")).unwrap();
    file.set_len(1 << 30).unwrap();
    let daemon = pair.daemon(&rsync);
    let push = syncline()
        .args(["-a", "--bwlimit=1000"])
        .args([pair.contents(), daemon.url_as(USER, "mirror")])
        .spawn();
    let nothing_there = || fs::read_dir(&pair.mirror).unwrap().next().is_none();
    wait::until("the file is being written", || !nothing_there());
    push.interrupt();
    let exit = push.wait();
    exit.assert_code(20);
    assert!(exit.err().contains("(code 20)"), "{exit}");
    wait::until("the daemon has cleaned up", nothing_there);
}

/// A tree that loses almost all it has while it is watched, and how that goes on.
fn much_vanishes(options: &[&str], then: impl FnOnce(&Pair, &Running)) {
    let rsync = require_rsync!();
    let pair = Pair::new();
    let gone = pair.source.join("gone");
    fs::create_dir(&gone).unwrap();
    for n in 0..1_500 {
        fs::write(gone.join(n.to_string()), "").unwrap();
    }
    let daemon = pair.daemon(&rsync);
    let watch = pair.watch(options, &[&daemon.url_as(USER, "mirror")]);
    watch.wait_output("in sync");
    fs::remove_dir_all(&gone).unwrap();
    then(&pair, &watch);
    pair.settles(&watch, &|| "all deletions went".to_owned());
    leaves(watch);
}

#[test]
fn held_deletions_are_released() {
    much_vanishes(&[], |pair, watch| {
        watch.wait_output("deletions are held back");
        fs::write(pair.source.join("later"), "x").unwrap();
        wait::until("the rest goes on", || pair.mirror.join("later").exists());
        assert!(pair.mirror.join("gone/7").exists(), "{watch}");
        watch.signal(Signal::USR1);
    });
}

#[test]
fn deletions_are_not_held_if_that_is_daily_life() {
    much_vanishes(&["--hold-deletions=100"], |_, _| {});
}

/// As after a start of the machine at which the source was not mounted.
#[test]
fn a_source_that_is_empty_all_of_a_sudden_empties_no_mirror() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    fs::write(pair.source.join("file"), "x").unwrap();
    let daemon = pair.daemon(&rsync);
    let watch = || pair.watch(&["--delete"], &[&daemon.url_as(USER, "mirror")]);
    let first = watch();
    first.wait_output("in sync");
    leaves(first);
    fs::rename(&pair.source, pair.dir.path().join("mounted elsewhere")).unwrap();
    fs::create_dir(&pair.source).unwrap();
    // It does not forget by being started again.
    for _ in 0..2 {
        let second = watch();
        second.wait_output("1 of 1 names vanished at once; deletions are held back");
        assert!(pair.mirror.join("file").exists(), "{second}");
        leaves(second);
    }
    let third = watch();
    third.wait_output("deletions are held back");
    third.signal(Signal::USR1);
    pair.settles(&third, &|| "it is right".to_owned());
    leaves(third);
}

#[test]
fn hangup_ends_no_daemon() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    fs::write(pair.source.join("file"), "x").unwrap();
    let conf = DaemonConf::as_users_do("mirror", &pair.mirror);
    let daemon = Daemon::start(&Server::Ours(binary()), conf);
    daemon.running().signal(Signal::HUP);
    let push = rsync
        .client()
        .arg("-a")
        .args([pair.contents(), daemon.url_as(USER, "mirror")]);
    push.password(PASSWORD).run().assert_code(0);
    assert_same(&pair.source, &pair.mirror, &Compare::exact());
}

/// Without chroot and munging, stock and ours store the same targets.
#[test]
fn link_targets_stay_in_the_destination() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    fs::create_dir_all(pair.source.join("sub/below")).unwrap();
    for (link, target) in [
        ("absolute", "/etc/passwd"),
        ("up", "../../x"),
        ("root", "/"),
        ("plain", "sub/./below//"),
        ("sub/up", "../up"),
        ("sub/out", "../../etc"),
        ("sub/below/deep", "a/../../../b/../../c"),
    ] {
        std::os::unix::fs::symlink(target, pair.source.join(link)).unwrap();
    }
    let stored = [Server::Stock(&rsync), Server::Ours(binary())].map(|server| {
        let root = pair.dir.path().join(match server {
            Server::Stock(_) => "stock",
            Server::Ours(_) => "ours",
        });
        fs::create_dir(&root).unwrap();
        let module = Module::as_users_do("m", &root).set("munge symlinks", "no");
        let daemon = Daemon::start(&server, DaemonConf::new().module(module));
        for (from, to) in [("", ""), ("", "in/"), ("sub/out", "in/single")] {
            let push = rsync.client().arg("-a").args([
                format!("{}{from}", pair.contents()),
                format!("{}/{to}", daemon.url_as(USER, "m")),
            ]);
            push.password(PASSWORD).run().assert_code(0);
        }
        root
    });
    let targets = stored.each_ref().map(|root| {
        [
            "absolute",
            "up",
            "root",
            "plain",
            "sub/up",
            "sub/out",
            "sub/below/deep",
        ]
        .iter()
        .flat_map(|name| [name.to_string(), format!("in/{name}")])
        .chain(["in/single".to_owned()])
        .map(|name| (fs::read_link(root.join(&name)).unwrap(), name))
        .collect::<Vec<_>>()
    });
    assert_eq!(targets[0], targets[1]);
    let target = fs::read_link(stored[1].join("in/sub/out")).unwrap();
    assert_eq!(target.to_str(), Some("../etc"));
}

/// The listing of a local tree is the one of stock rsync.
#[test]
fn local_listings() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    testkit::TreeSpec::sample(5).build(&pair.source);
    // Escapes depend on the locale and have tests of their own.
    fs::remove_dir_all(pair.source.join("odd")).unwrap();
    for options in [&["-r"][..], &["-a"], &["-d", "--exclude=*.txt"]] {
        let [ours, stock] = [syncline(), rsync.client()].map(|program| {
            let exit = program.args(options).arg(pair.contents()).run();
            exit.assert_code(0);
            exit.out()
        });
        for (ours, stock) in ours.lines().zip(stock.lines()) {
            assert_eq!(ours, stock, "{options:?}");
        }
        assert_eq!(ours, stock, "{options:?}");
    }
}

/// A change that size and time do not tell, made while no watch ran.
#[test]
fn a_restart_finds_what_size_and_time_do_not_tell() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    let file = pair.source.join("file");
    fs::write(&file, "one").unwrap();
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    let daemon = pair.daemon(&rsync);
    let url = daemon.url_as(USER, "mirror");
    let state = pair.dir.path().join("state");
    let watch = || {
        syncline()
            .env("STATE_DIRECTORY", &state)
            .args(["watch", pair.source.to_str().unwrap(), &url])
            .spawn()
    };
    let first = watch();
    first.wait_output("in sync");
    leaves(first);
    fs::write(&file, "two").unwrap();
    let handle = fs::File::options().write(true).open(&file).unwrap();
    handle.set_modified(time).unwrap();
    drop(handle);
    let second = watch();
    settles(
        &pair.source,
        &pair.mirror,
        &Compare::exact(),
        &second,
        &|| "after the restart".to_owned(),
    );
    leaves(second);
}
