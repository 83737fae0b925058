//! Texts of a daemon on their way to the terminal.

use testkit::hostile::{DIR, Entry, HostileDaemon, tag};
use testkit::{Program, ScriptedServer};

use super::transfer;
use crate::setup::binary;

/// Turns everything after it red, beeps, overwrites the line.
const STEERS: &[u8] = b"red \x1b[31m beep \x07 over\r";

/// What is printed of it.
const SHOWN: &str = r"red \#033[31m beep \#007 over\#015";

#[test]
fn texts_before_the_session_steer_no_terminal() {
    for (module, lines) in [
        ("", vec![STEERS.to_vec(), b"@RSYNCD: EXIT".to_vec()]),
        ("m/", vec![STEERS.to_vec(), b"@ERROR: no".to_vec()]),
        ("m/", vec![[b"@ERROR: ", STEERS].concat()]),
        ("m/", vec![[b"@ERROR ", STEERS].concat()]),
    ] {
        let server = ScriptedServer::start(1, move |_, mut peer| {
            peer.send("@RSYNCD: 31.0 md5\n");
            peer.receive_line();
            peer.receive_line();
            for line in &lines {
                peer.send(line);
                peer.send("\n");
            }
        });
        let url = format!("rsync://{}/{module}", server.addr());
        let exit = Program::new(binary()).arg(url).run();
        let text = exit.out() + &exit.err();
        // A carriage return ends a line of the text phase no matter where it stands.
        let shown = SHOWN.trim_end_matches(r"\#015");
        assert!(text.contains(shown), "{text}");
        assert!(!text.contains(['\x1b', '\x07', '\r']), "{text}");
        server.finish();
    }
}

#[test]
fn messages_and_names_steer_no_terminal() {
    for protocol in super::PROTOCOLS {
        for kind in [tag::ERROR_XFER, tag::INFO, tag::ERROR, tag::WARNING] {
            if protocol < 30 && kind > tag::INFO {
                continue;
            }
            let daemon = HostileDaemon::start(protocol, move |session| {
                session.out.message(kind, [STEERS, b"\n"].concat());
                session.out.entry(&Entry::new(STEERS, DIR));
                session.end_list()?;
                session.finish()
            });
            let dir = testkit::temp_dir();
            let client = Program::new(binary());
            let options = ["-r", "-v"];
            let exit = transfer(client, daemon, protocol, &options, &["m/"], dir.path());
            let text = exit.out() + &exit.err();
            assert!(text.contains(SHOWN), "{text}");
            assert!(!text.contains(['\x1b', '\x07', '\r']), "{text}");
        }
    }
}
