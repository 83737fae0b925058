//! A client that pushes to a daemon that breaks rules.

use testkit::Program;
use testkit::hostile::{Gone, HostileDaemon, Options, Outcome, RECEIVERS, Session, tag};

use super::PROTOCOLS;
use crate::setup::binary;

/// A push to a daemon with a script; the exit, and what it was about.
#[track_caller]
fn push(
    protocol: u32,
    options: Options,
    words: &[&str],
    play: fn(&mut Session) -> Result<(), Gone>,
) -> testkit::Exit {
    let daemon = HostileDaemon::with(protocol, options, play);
    let dir = testkit::temp_dir();
    let outcome = Outcome::prepare(dir.path());
    let exit = Program::new(binary())
        .arg(format!("--protocol={protocol}"))
        .args(words)
        .arg(format!("{}/", outcome.place().display()))
        .arg(daemon.url("m/"))
        .run();
    daemon.finish();
    outcome.check(&exit.to_string());
    exit
}

#[test]
fn daemons_that_break_rules() {
    for protocol in PROTOCOLS {
        let rows = RECEIVERS
            .iter()
            .filter(|row| row.protocols.contains(&protocol));
        for attack in rows {
            let word = attack.client_word();
            let exit = push(protocol, attack.options(), &[&word], attack.play);
            let story = format!("{} at protocol {protocol}: {exit}", attack.name);
            assert_eq!(exit.code(), Some(attack.code.into()), "{story}");
            assert!(exit.err().contains(attack.says), "{story}");
        }
    }
}

/// A daemon may report as many deletions as it was asked for.
#[test]
fn deletions_that_nobody_asked_for_are_not_shown() {
    let play = |session: &mut Session| {
        for number in 0..100 {
            session.out.message(tag::DELETED, format!("name {number}"));
        }
        session.send()
    };
    for protocol in PROTOCOLS {
        for (words, shown) in [
            (&["-rv"][..], 0),
            (&["-rv", "--max-delete=5"], 0),
            (&["-rv", "--delete", "--max-delete=0"], 0),
            (&["-rv", "--delete", "--max-delete=5"], 5),
        ] {
            let exit = push(protocol, Options::default(), words, play);
            let story = format!("{words:?} at protocol {protocol}: {exit}");
            assert_eq!(exit.code(), Some(12), "{story}");
            let expected = format!("more than {shown} messages 101");
            assert!(exit.err().contains(&expected), "{story}");
            assert_eq!(exit.out().matches("deleting").count(), shown, "{story}");
        }
        // No limit was given: the end of the connection is what is wrong then.
        let exit = push(protocol, Options::default(), &["-rv", "--delete"], play);
        assert_eq!(exit.out().matches("deleting").count(), 100, "{exit}");
        assert_eq!(exit.code(), Some(12), "{exit}");
    }
}
