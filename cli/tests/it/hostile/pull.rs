//! A client that pulls from a daemon that breaks rules.

use std::net::{Ipv6Addr, TcpListener};

use testkit::hostile::{HostileDaemon, Outcome, SENDERS};
use testkit::{Program, ScriptedServer};

use super::{PROTOCOLS, transfer};
use crate::setup::binary;

/// Makes every attack that this protocol has the words for.
fn attacks(protocol: u32) {
    let rows = SENDERS
        .iter()
        .filter(|row| row.protocols.contains(&protocol));
    for attack in rows {
        let daemon = HostileDaemon::with(protocol, attack.options(), attack.play);
        let dir = testkit::temp_dir();
        let outcome = Outcome::prepare(dir.path());
        let options = [attack.client_word()];
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let client = Program::new(binary());
        let exit = transfer(client, daemon, protocol, &options, &["m/"], outcome.place());
        let story = format!("{} at protocol {protocol}: {exit}", attack.name);
        assert_eq!(exit.code(), Some(attack.code.into()), "{story}");
        let text = exit.out() + &exit.err();
        assert!(text.contains(attack.says), "{story}");
        outcome.check(&story);
    }
}

#[test]
fn daemons_that_break_rules_at_29() {
    attacks(29);
}

#[test]
fn daemons_that_break_rules_at_30() {
    attacks(30);
}

#[test]
fn daemons_that_break_rules_at_31() {
    attacks(31);
}

#[test]
fn daemons_that_break_rules_at_32() {
    attacks(32);
}

#[test]
fn an_address_of_ipv6_changes_nothing() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        testkit::skipped("this machine has no IPv6");
        return;
    }
    for (protocol, attack) in PROTOCOLS.into_iter().zip(SENDERS) {
        let options = attack.options();
        let address = Ipv6Addr::LOCALHOST.into();
        let daemon = HostileDaemon::at(address, protocol, options, attack.play);
        let dir = testkit::temp_dir();
        let outcome = Outcome::prepare(dir.path());
        let word = attack.client_word();
        let client = Program::new(binary());
        let exit = transfer(client, daemon, protocol, &[&word], &["m/"], outcome.place());
        assert_eq!(exit.code(), Some(attack.code.into()), "{exit}");
        outcome.check(attack.name);
    }
}

/// A daemon chooses among the checksums that the client lists, never below them.
#[test]
fn a_checksum_that_was_not_offered_is_refused() {
    for choice in ["none", "rot13", "MD4x", ""] {
        let server = ScriptedServer::start(1, move |_, mut peer| {
            peer.send("@RSYNCD: 31.0 md5\n");
            peer.receive_line();
            peer.receive_line();
            peer.send("@RSYNCD: OK\n");
            while !peer.receive_until(0).is_empty() {}
            // The compat flag that brings the negotiation.
            peer.send([0x80, 0x80, choice.len() as u8]);
            peer.send(choice);
            let len = peer.receive(1)[0];
            peer.receive(len.into());
            peer.finish_sending();
            peer.receive_rest();
        });
        let dir = testkit::temp_dir();
        let exit = Program::new(binary())
            .args(["-r", &server.url("m"), &dir.path().display().to_string()])
            .run();
        assert_eq!(exit.code(), Some(4), "{choice}: {exit}");
        server.finish();
    }
}
