//! Clients that ask for work and go, at each protocol: their sessions end.
//!
//! Files have a terabyte of nothing, so that no work that goes on ends before the test does.

use std::fs::{self, File};
use std::sync::Arc;

use rsyncd::limits::Limits;
use rsyncd::serve::EngineRunner;
use testkit::{HostileReceiver, Peer};

use crate::harness::{Daemon, directory};

const PROTOCOLS: std::ops::RangeInclusive<u32> = 29..=32;

fn start() -> Daemon {
    let dir = directory();
    let file = File::create(dir.path().join("mod/big")).expect("a file of ours");
    file.set_len(1 << 40).expect("a file system with holes");
    let config = "[m]\npath = DIR/mod\n";
    Daemon::start(dir, config, Arc::new(EngineRunner), Limits::default())
}

/// Waits until every session that was started has ended, and gives the lines about their ends.
#[track_caller]
fn ends(mut daemon: Daemon) -> Vec<String> {
    let path = daemon.dir.path().join("log");
    let lines = || fs::read_to_string(&path).unwrap_or_default();
    testkit::wait::until("all sessions to end", || {
        lines().matches("rsync error: ").count() == PROTOCOLS.count()
    });
    let log = daemon.all_log();
    let about = |line: &String| line.starts_with("rsync: ") || line.starts_with("rsync error: ");
    log.into_iter().filter(about).collect()
}

#[track_caller]
fn assert_left(lines: &[String]) {
    for line in lines {
        let known = ["closed", "Broken pipe", "reset", "(code 10)", "(code 12)"];
        assert!(known.iter().any(|text| line.contains(text)), "{lines:#?}");
    }
}

fn client(protocol: u32) -> HostileReceiver {
    HostileReceiver {
        protocol,
        server: false,
    }
}

#[test]
fn a_search_for_blocks_ends_with_its_client() {
    let daemon = start();
    for protocol in PROTOCOLS {
        let client = client(protocol);
        let mut peer = client.pull(daemon.address, "m", &["-r"], &["m/".into()]);
        peer.send(client.costly_request(1));
        // Set-up and list; at protocol 29 data, since blocks that long are not searched for.
        peer.receive(if protocol == 29 { 256 << 10 } else { 20 });
    }
    assert_left(&ends(daemon));
}

#[test]
fn digests_end_with_their_client() {
    let daemon = start();
    let peers: Vec<Peer<_>> = PROTOCOLS
        .map(|protocol| {
            let mut peer = client(protocol).pull(daemon.address, "m", &["-rc"], &["m/".into()]);
            // The seed comes last of the set-up.
            peer.receive(4);
            peer
        })
        .collect();
    drop(peers);
    assert_left(&ends(daemon));
}

#[test]
fn wildcards_end_with_their_client() {
    let daemon = start();
    for number in 0..2000 {
        File::create(daemon.dir.path().join(format!("mod/file{number}"))).expect("a file of ours");
    }
    // More than is ever compared, if the client stays.
    let paths: Vec<String> = (0..3000).map(|number| format!("m/*{number}x")).collect();
    for protocol in PROTOCOLS {
        drop(client(protocol).pull(daemon.address, "m", &["-r"], &paths));
    }
    let lines = ends(daemon);
    assert_left(&lines);
}
