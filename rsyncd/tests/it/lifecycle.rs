//! Deadlines, limits, reload, shutdown.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use rsyncd::limits::Limits;
use rsyncd::session::{SessionEnd, SessionRequest};

use crate::harness::{Daemon, Recorder, Run, directory, read_byte, read_reply, write_config};

const GREETING: &[u8] = b"@RSYNCD: 31.0 md5\n";

/// A user's own daemon needs no root: nothing changes identity.
const CONFIG: &str = "[m]\npath = DIR/mod\ncomment = first\n";

fn own() -> String {
    // As root the module is served as root, as anybody else the identity stays.
    if rustix::process::geteuid().is_root() {
        format!("uid = root\ngid = root\n{CONFIG}")
    } else {
        CONFIG.into()
    }
}

#[test]
fn every_phase_has_a_deadline() {
    let limits = Limits {
        handshake: Duration::from_millis(100),
        ..Limits::default()
    };
    let dir = directory();
    std::fs::write(dir.path().join("secrets"), "u:p\n").expect("write");
    let config = own() + "[auth]\npath = DIR/mod\nauth users = u\nsecrets file = DIR/secrets\n";
    let recorder = Arc::new(Recorder::default());
    let mut daemon = Daemon::start(dir, &config, Arc::clone(&recorder) as _, limits);
    for (sent, last) in [
        (&b""[..], "md4\n"),
        (b"@RSYN", "md4\n"),
        (GREETING, "md4\n"),
        (b"@RSYNCD: 31.0 md5\n#early_input=100\nabc", "md4\n"),
        (b"@RSYNCD: 31.0 md5\nauth\n", "\n"),
        (b"@RSYNCD: 31.0 md5\nm\n--server\0-r\0", "@RSYNCD: OK\n"),
    ] {
        let mut client = daemon.connect();
        client.write_all(sent).expect("write");
        let reply = read_reply(&mut client);
        assert!(reply.ends_with(last), "{reply}");
        assert_eq!(
            read_byte(&mut client),
            None,
            "closed after {}",
            String::from_utf8_lossy(sent)
        );
    }
    assert!(recorder.take().is_empty());
    let log = daemon.log();
    for number in 1..=6 {
        let line = "[Receiver] daemon handshake timeout -- exiting";
        assert_eq!(
            log[&number].last().map(String::as_str),
            Some(line),
            "connection {number}"
        );
    }
}

#[test]
fn a_full_house_says_so() {
    let limits = Limits {
        total_connections: 1,
        ..Limits::default()
    };
    let daemon = Daemon::start(directory(), &own(), Arc::new(Recorder::default()), limits);
    let mut first = daemon.connect();
    assert_eq!(
        read_byte(&mut first),
        Some(b'@'),
        "the greeting begins: the first is counted"
    );
    let reply = daemon.talk(b"@RSYNCD: 31.0 md5\nm\n");
    assert!(reply.starts_with("@RSYNCD: 32.0 "), "{reply}");
    assert!(
        reply.ends_with("\n@ERROR: max connections (1) reached -- try again later\n"),
        "{reply}"
    );
}

#[test]
fn too_many_failures_close_an_address_out() {
    let limits = Limits {
        auth_failures: 2,
        auth_delay: Duration::ZERO,
        ..Limits::default()
    };
    let config = "[m]\npath = DIR/mod\nauth users = u\n";
    let mut daemon = Daemon::start(directory(), config, Arc::new(Recorder::default()), limits);
    for attempt in 0..3 {
        let reply = daemon.talk(b"@RSYNCD: 31.0 md5\nm\nu wrong\n");
        assert!(
            reply.ends_with("@ERROR: auth failed on module m\n"),
            "{reply}"
        );
        assert_eq!(reply.contains("AUTHREQD"), attempt < 2, "attempt {attempt}");
    }
    let log = daemon.all_log();
    assert!(
        log.iter()
            .any(|l| l.ends_with(": too many failures from this address")),
        "{log:?}"
    );
}

#[test]
fn a_weak_digest_is_refused_before_the_challenge() {
    let config = "[m]\npath = DIR/mod\nauth users = u\nauth digest = sha256\n\
                  [n]\npath = DIR/mod\nauth users = u\nauth digest = rot13\n";
    let mut daemon = Daemon::start(
        directory(),
        config,
        Arc::new(Recorder::default()),
        Limits::default(),
    );
    for (greeting, module, asked) in [
        ("31.0 md5", "m", false),
        ("31.0", "m", false),
        ("29", "m", false),
        ("31.0 sha512", "n", false),
        ("31.0 md5 sha256", "m", false),
        ("31.0 sha256 md5", "m", true),
    ] {
        let reply = daemon.talk(format!("@RSYNCD: {greeting}\n{module}\nu x\n").as_bytes());
        assert_eq!(reply.contains("AUTHREQD"), asked, "{greeting}");
        assert!(
            reply.ends_with(&format!("@ERROR: auth failed on module {module}\n")),
            "{reply}"
        );
    }
    let log = daemon.all_log();
    for end in [
        "negotiated auth digest md5 is weaker than the required 'auth digest = sha256'",
        "negotiated auth digest md4 is weaker than the required 'auth digest = sha256'",
        "the configured 'auth digest = rot13' is not a supported digest on this build",
    ] {
        assert!(log.iter().any(|l| l.ends_with(end)), "{end}: {log:?}");
    }
}

#[test]
fn a_changed_configuration_is_used_and_a_broken_one_is_not() {
    let mut daemon = Daemon::start(
        directory(),
        &own(),
        Arc::new(Recorder::default()),
        Limits::default(),
    );
    let list = |daemon: &Daemon| {
        daemon
            .talk(b"@RSYNCD: 31.0 md5\n\n")
            .split_once('\n')
            .expect("greeting")
            .1
            .to_owned()
    };
    assert_eq!(list(&daemon), "m              \tfirst\n@RSYNCD: EXIT\n");
    write_config(&daemon.dir, &own().replace("first", "second"));
    assert_eq!(list(&daemon), "m              \tsecond\n@RSYNCD: EXIT\n");
    write_config(&daemon.dir, "[m]\npath = DIR/mod\n[broken\n");
    for _ in 0..2 {
        assert_eq!(list(&daemon), "m              \tsecond\n@RSYNCD: EXIT\n");
    }
    let log = daemon.all_log();
    let said = log
        .iter()
        .filter(|l| l.contains("Badly formed line in config file: broken"))
        .count();
    assert_eq!(said, 1, "{log:?}");
}

#[test]
fn a_closed_module_and_secluded_garbage() {
    let config = own() + "[shut]\npath = DIR/mod\nread only = maybe\n";
    let recorder = Arc::new(Recorder::default());
    let mut daemon = Daemon::start(
        directory(),
        &config,
        Arc::clone(&recorder) as _,
        Limits::default(),
    );
    let reply = daemon.talk(b"@RSYNCD: 31.0 md5\nshut\n");
    assert!(
        reply.ends_with("@ERROR: daemon configuration error -- contact admin\n"),
        "{reply}"
    );
    for arguments in [
        &b"--daemon\0--config=/x\0.\0m/\0\0"[..],
        b"\0",
        b"--server\0-s\0\0\0",
    ] {
        let reply = daemon.talk(&[GREETING, b"m\n", arguments].concat());
        assert!(reply.ends_with("@RSYNCD: OK\n"), "{reply}");
    }
    daemon.stop();
    let seen = recorder.take();
    assert_eq!(seen.len(), 3);
    assert!(
        seen.iter().all(|request| request.request.is_err()),
        "{seen:?}"
    );
}

#[test]
fn shutdown_lets_sessions_end_and_cuts_off_the_others() {
    let limits = Limits {
        drain: Duration::from_millis(50),
        ..Limits::default()
    };
    let (seen, sessions) = channel();
    let seen = std::sync::Mutex::new(seen);
    let run = move |mut request: SessionRequest| {
        seen.lock().expect("lock").send(()).expect("test waits");
        // Nobody writes: only the end of the connection lets this return.
        assert_eq!(read_byte(&mut request.stream), None);
        SessionEnd::default()
    };
    let mut daemon = Daemon::start(directory(), &own(), Arc::new(Run(run)), limits);
    let mut client = daemon.connect();
    client
        .write_all(b"@RSYNCD: 31.0 md5\nm\n--server\0-r\0.\0m/\0\0")
        .expect("write");
    sessions.recv().expect("session");
    let _handshake = daemon.connect();
    daemon.stop();
    assert!(read_reply(&mut client).ends_with("@RSYNCD: OK\n"));
    let log = daemon.all_log();
    assert_eq!(
        log.iter().filter(|l| l.starts_with("sent 0 bytes")).count(),
        2,
        "session and daemon: {log:?}"
    );
}

#[test]
fn a_panic_ends_one_session() {
    let run = |_: SessionRequest| -> SessionEnd { panic!("a bug of a session, on purpose") };
    let mut daemon = Daemon::start(directory(), &own(), Arc::new(Run(run)), Limits::default());
    for _ in 0..2 {
        let mut client = daemon.connect();
        client
            .write_all(b"@RSYNCD: 31.0 md5\nm\n--server\0-r\0.\0m/\0\0")
            .expect("write");
        assert!(read_reply(&mut client).ends_with("@RSYNCD: OK\n"));
        assert_eq!(read_byte(&mut client), None);
    }
    let log = daemon.all_log();
    assert_eq!(
        log.iter().filter(|l| l.contains("panic")).count(),
        2,
        "{log:?}"
    );
}
