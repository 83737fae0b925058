//! A big file of which little changed costs little.

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use testkit::{
    Compare, Daemon, DaemonConf, Random, Relay, Server, TreeSpec, assert_same, require_rsync,
};

use crate::setup::{Pair, USER, leaves, no_story, syncline};

const SIZE: u64 = 200_000_000;
/// Both directions together.
const MOST: u64 = 200_000;
/// A debug build on a busy machine reads and hashes 200 MB in this.
const PATIENCE: Duration = Duration::from_secs(240);

/// 200 MB here and at the mirror, then 4 KiB of ours changed.
fn changed_pair() -> Pair {
    let pair = Pair::new();
    TreeSpec::new()
        .random_file("big", 1, SIZE)
        .mtime(1_600_000_000, 0)
        .build(&pair.source);
    fs::copy(pair.source.join("big"), pair.mirror.join("big")).unwrap();
    testkit::tree::set_mtime(&pair.mirror.join("big"), 1_600_000_000, 0);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(pair.source.join("big"))
        .unwrap();
    file.write_all_at(&Random::new(2).bytes(4096), SIZE / 3)
        .unwrap();
    pair
}

#[test]
fn pushed() {
    let rsync = require_rsync!();
    let pair = changed_pair();
    let daemon = pair.daemon(&rsync);
    let relay = Relay::start(daemon.addr());
    let exit = syncline()
        .args(["-a", &pair.contents(), &relay.url_as(USER, "mirror")])
        .run_for(PATIENCE);
    exit.assert_code(0);
    assert!(relay.traffic().bytes() < MOST, "{:?}", relay.traffic());
    assert_same(&pair.source, &pair.mirror, &Compare::exact());
}

#[test]
fn pulled() {
    let rsync = require_rsync!();
    let pair = changed_pair();
    let daemon = Daemon::start(
        &Server::Stock(&rsync),
        DaemonConf::as_users_do("source", &pair.source),
    );
    let relay = Relay::start(daemon.addr());
    let mirror = format!("{}/", pair.mirror.display());
    let exit = syncline()
        .args(["-a", &relay.url_as(USER, "source"), &mirror])
        .run_for(PATIENCE);
    exit.assert_code(0);
    assert!(relay.traffic().bytes() < MOST, "{:?}", relay.traffic());
    assert_same(&pair.source, &pair.mirror, &Compare::exact());
}

#[test]
fn watched() {
    let rsync = require_rsync!();
    let pair = changed_pair();
    let daemon = pair.daemon(&rsync);
    let relay = Relay::start(daemon.addr());
    let watch = pair.watch(&["--timeout=200"], &[&relay.url_as(USER, "mirror")]);
    pair.settles(&watch, &no_story);
    watch.wait_output("in sync");
    assert!(relay.traffic().bytes() < MOST, "{:?}", relay.traffic());
    // The same again, in a batch.
    let before = relay.traffic().bytes();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(pair.source.join("big"))
        .unwrap();
    file.write_all_at(&Random::new(3).bytes(4096), SIZE / 2)
        .unwrap();
    drop(file);
    pair.settles(&watch, &no_story);
    assert!(
        relay.traffic().bytes() - before < MOST,
        "{:?}",
        relay.traffic()
    );
    leaves(watch);
}
