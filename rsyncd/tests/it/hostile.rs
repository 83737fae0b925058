//! The daemon against clients that break rules (testkit's tables), from the connection to the end of the session.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use rsyncd::limits::Limits;
use rsyncd::serve::EngineRunner;
use tempfile::TempDir;
use testkit::hostile::{Attack, Options, Outcome, RECEIVERS, SENDERS, client};

use crate::harness::{Daemon, directory};

/// A daemon with the module `m`, served as whoever we are: nothing but the session itself must stop an attack.
fn serving(dir: Arc<TempDir>) -> Daemon {
    let owner = match testkit::is_root() {
        true => "uid = root\ngid = root\n",
        false => "",
    };
    let config = format!("{owner}[m]\npath = DIR/mod\nread only = no\n");
    Daemon::start(dir, &config, Arc::new(EngineRunner), Limits::default())
}

/// Makes every attack that this protocol has the words for, each on a module of its own; the daemon serves them all.
fn attacks(protocol: u32, table: &[Attack], pull: bool) {
    let dir = directory();
    fs::remove_dir(dir.path().join("mod")).expect("an empty module");
    let daemon = serving(dir);
    let root = daemon.dir.path();
    let rows = table.iter().filter(|row| row.protocols.contains(&protocol));
    for attack in rows {
        let outcome = Outcome::prepare(root);
        let all = fs::Permissions::from_mode(0o777);
        fs::set_permissions(outcome.place(), all).expect("chmod");
        let words = attack.arguments(pull);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let story = format!("{} at protocol {protocol}", attack.name);
        let Ok(mut session) = client(daemon.address, protocol, &words, attack.options()) else {
            panic!("{story}: refused");
        };
        // The daemon may close at any byte.
        let _ = (attack.play)(&mut session);
        let texts = session.texts();
        assert!(texts.contains(attack.says), "{story}: {texts}");
        // What fails for one file alone is the client's to add up.
        if !matches!(attack.code, 0 | 23) {
            let code = format!("(code {})", attack.code);
            assert!(texts.contains(&code), "{story}: {texts}");
        }
        outcome.check(&story);
        for dir in [outcome.place(), &root.join("outside")] {
            fs::remove_dir_all(dir).expect("a directory");
        }
    }
}

#[test]
fn pushers_that_break_rules_at_29() {
    attacks(29, SENDERS, false);
}

#[test]
fn pushers_that_break_rules_at_30() {
    attacks(30, SENDERS, false);
}

#[test]
fn pushers_that_break_rules_at_31() {
    attacks(31, SENDERS, false);
}

#[test]
fn pushers_that_break_rules_at_32() {
    attacks(32, SENDERS, false);
}

#[test]
fn pullers_that_break_rules() {
    for protocol in 29..=32 {
        attacks(protocol, RECEIVERS, true);
    }
}

/// What a client asks for comes back in the text about it, and goes to whatever terminal it has.
#[test]
fn the_name_of_what_is_not_there_steers_no_terminal() {
    let dir = directory();
    let daemon = serving(dir);
    for protocol in 29..=32 {
        for (path, said) in [
            ("m/red \x1b[31m\x07", r#"link_stat "red \#033[31m\#007""#),
            ("m/red \x1b[31m/", r#"change_dir "red \#033[31m""#),
        ] {
            let words = ["--server", "--sender", "-r", ".", path];
            let session = client(daemon.address, protocol, &words, Options::default());
            let mut session = session.expect("a session");
            // A client that sends its end first gets no answer.
            session.wait_for_text(said).expect("an answer");
            let texts = session.texts();
            assert!(!texts.contains(['\x1b', '\x07']), "{texts}");
        }
    }
}
