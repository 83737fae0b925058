//! Strangers who hold connections, lookups, places and the log.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rsyncd::limits::Limits;
use rsyncd::serve::EngineRunner;
use socket2::{Domain, Socket, Type};

use crate::harness::{Daemon, PATIENCE, Recorder, directory, is_root, read_byte, read_reply, said};

const HELLO: &[u8] = b"@RSYNCD: 31.0 md5\n";

fn config(module: &str) -> String {
    // As root the module is served as root, as anybody else the identity stays.
    let identity = if testkit::is_root() {
        "uid = root\ngid = root\n"
    } else {
        ""
    };
    format!("{identity}[m]\npath = DIR/mod\n{module}")
}

fn recording(config: &str, limits: Limits) -> Daemon {
    Daemon::start(directory(), config, Arc::new(Recorder::default()), limits)
}

/// Connects from an address of the loopback.
fn connect_from(daemon: &Daemon, from: Ipv4Addr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
    socket
        .bind(&SocketAddr::from((from, 0)).into())
        .expect("bind");
    socket.connect(&daemon.address.into()).expect("connect");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream
}

/// Connections that say nothing, each of which got its greeting.
fn silent(daemon: &Daemon, from: Ipv4Addr, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = connect_from(daemon, from);
        read_byte(&mut stream);
        stream
    };
    (0..count).map(connect).collect()
}

fn gets_in(daemon: &Daemon, from: Ipv4Addr) -> bool {
    let mut stream = connect_from(daemon, from);
    let _ = stream.write_all(&[HELLO, b"m\n"].concat());
    read_reply(&mut stream).ends_with("@RSYNCD: OK\n")
}

#[test]
fn silent_connections_keep_nobody_out() {
    let limits = Limits {
        total_handshakes: 24,
        network_handshakes: 20,
        address_handshakes: 16,
        ..Limits::default()
    };
    let daemon = recording(&config(""), limits);
    let mut held = Vec::new();
    for address in [[127, 1, 0, 1], [127, 2, 0, 1]] {
        held.extend(silent(&daemon, address.into(), 32));
        assert!(gets_in(&daemon, [127, 3, 0, 1].into()), "from elsewhere");
        assert!(
            gets_in(&daemon, [127, 1, 0, 2].into()),
            "from the same network"
        );
    }
}

#[test]
fn an_address_that_has_been_silent_for_long_makes_room_for_itself() {
    let limits = Limits {
        address_handshakes: 2,
        grace: Duration::ZERO,
        ..Limits::default()
    };
    let daemon = recording(&config(""), limits);
    let mut held = silent(&daemon, Ipv4Addr::LOCALHOST, 2);
    assert!(gets_in(&daemon, Ipv4Addr::LOCALHOST));
    let last = "\n@ERROR: max connections (2) reached -- try again later\n";
    let told = read_reply(&mut held[0]);
    assert!(told.ends_with(last), "the oldest reads why: {told}");
}

#[test]
fn a_place_is_taken_after_the_login() {
    let dir = directory();
    std::fs::write(dir.path().join("secrets"), "u:p\n").expect("write");
    let module = "auth users = u\nsecrets file = DIR/secrets\nmax connections = 1\n";
    let daemon = Daemon::start(
        dir,
        &config(module),
        Arc::new(Recorder::default()),
        Limits::default(),
    );
    let challenged = |_| {
        let mut stranger = daemon.connect();
        stranger
            .write_all(&[HELLO, b"m\n"].concat())
            .expect("write");
        let mut reply = Vec::new();
        // The greeting, and a second line.
        while reply.iter().filter(|byte| **byte == b'\n').count() < 2 {
            reply.push(read_byte(&mut stranger).expect("a line"));
        }
        let reply = String::from_utf8_lossy(&reply).into_owned();
        assert!(reply.contains("\n@RSYNCD: AUTHREQD "), "{reply}");
        stranger
    };
    // All of them stay.
    let _strangers: Vec<TcpStream> = (0..3).map(challenged).collect();
}

#[test]
fn a_place_that_is_held_in_silence_is_given_to_another() {
    let limits = Limits {
        grace: Duration::ZERO,
        ..Limits::default()
    };
    let mut daemon = recording(&config("max connections = 1\n"), limits);
    let mut stranger = daemon.connect();
    stranger
        .write_all(&[HELLO, b"m\n"].concat())
        .expect("write");
    assert!(read_reply(&mut stranger).ends_with("@RSYNCD: OK\n"));
    assert!(
        gets_in(&daemon, Ipv4Addr::LOCALHOST),
        "{:?}",
        daemon.all_log()
    );
}

#[test]
fn a_session_that_stands_still_ends() {
    let limits = Limits {
        idle: Duration::from_secs(1),
        ..Limits::default()
    };
    let mut daemon = Daemon::start(directory(), &config(""), Arc::new(EngineRunner), limits);
    let mut client = daemon.connect();
    let arguments = b"m\n--server\0--sender\0-r\0.\0m/\0\0";
    client
        .write_all(&[HELLO, arguments].concat())
        .expect("write");
    assert!(read_reply(&mut client).ends_with("@RSYNCD: OK\n"));
    while read_byte(&mut client).is_some() {}
    let log = daemon.all_log();
    let told = |line: &String| line.contains("no data for 1 seconds");
    assert!(log.iter().any(told), "{log:?}");
}

#[test]
fn a_full_house_of_idle_sessions_lets_another_in() {
    let limits = Limits {
        total_connections: 2,
        idle_when_full: Duration::ZERO,
        ..Limits::default()
    };
    let daemon = Daemon::start(directory(), &config(""), Arc::new(EngineRunner), limits);
    let idle = || {
        let mut client = daemon.connect();
        let arguments = b"m\n--server\0--sender\0-r\0.\0m/\0\0";
        client
            .write_all(&[HELLO, arguments].concat())
            .expect("write");
        assert!(read_reply(&mut client).ends_with("@RSYNCD: OK\n"));
        // The seed of the checksums: the session runs.
        for _ in 0..5 {
            read_byte(&mut client);
        }
        client
    };
    let mut held = [idle(), idle()];
    assert!(gets_in(&daemon, Ipv4Addr::LOCALHOST));
    while read_byte(&mut held[0]).is_some() {}
}

#[test]
fn no_control_character_of_a_client_comes_back() {
    let daemon = Daemon::start(
        directory(),
        &config("read only = no\n"),
        Arc::new(EngineRunner),
        Limits::default(),
    );
    let clean = |reply: &str| !reply.contains(['\x1b', '\x7f', '\u{9b}']);
    for request in [
        &b"no\x1b[31msuch\n"[..],
        b"#no\x1b[31mcommand\n",
        b"no\x9bsuch\x7f\n",
    ] {
        let reply = daemon.talk(&[HELLO, request].concat());
        let last = reply.lines().last().expect("a line");
        assert!(
            last.starts_with("@ERROR: Unknown ") && clean(&reply),
            "{reply:?}"
        );
    }
    let reply = daemon.talk(b"@RSYNCD: 31\x1b[31m\n");
    assert!(reply.contains("@ERROR: ") && clean(&reply), "{reply:?}");
    for arguments in [
        &b"--server\0--\x1b[31m\0.\0m/\0\0"[..],
        b"--server\0--sender\0-r\0.\0m/a\x1b[31mb\0\0",
        b"--server\0--sender\0-r\0--block-size=\x1b[31m\0.\0m/\0\0",
        b"--server\0-r\0.\0m/x\x1b[31m/y/\0\0",
    ] {
        let mut client = daemon.connect();
        // No filter rules.
        let rest = [HELLO, b"m\n", arguments, &[4, 0, 0, 7, 0, 0, 0, 0]].concat();
        client.write_all(&rest).expect("write");
        let mut reply = Vec::new();
        let mut answered = false;
        while let Some(byte) = read_byte(&mut client) {
            reply.push(byte);
            // A client that ends before it has its answer gets none.
            if !answered && reply.ends_with(b"[31m") {
                answered = true;
                let _ = client.shutdown(std::net::Shutdown::Write);
            }
        }
        let shown = String::from_utf8_lossy(&reply);
        assert!(shown.contains("\\#033[31m"), "{shown:?}");
        assert!(!shown.contains("\x1b["), "{shown:?}");
    }
}

#[test]
fn strangers_do_not_fill_the_log() {
    let limits = Limits {
        log_rate: 1,
        auth_failures: 0,
        auth_delay: Duration::ZERO,
        ..Limits::default()
    };
    let dir = directory();
    std::fs::write(dir.path().join("secrets"), "u:p\n").expect("write");
    let module = "auth users = u\nsecrets file = DIR/secrets\n";
    let mut daemon = Daemon::start(dir, &config(module), Arc::new(Recorder::default()), limits);
    for _ in 0..60 {
        let reply = daemon.talk(&[HELLO, b"m\nu wrong\n"].concat());
        assert!(
            reply.ends_with("@ERROR: auth failed on module m\n"),
            "{reply}"
        );
    }
    let log = daemon.all_log();
    // Three lines a try; a few may have come in the time that this takes.
    assert!(log.len() < 60, "{} lines", log.len());
    let left_out =
        |line: &&String| line.ends_with(" lines of clients that had not logged in were left out");
    assert_eq!(log.iter().filter(left_out).count(), 1, "{log:?}");
    let failed = |line: &&String| {
        line.starts_with("among them failed logins: ") && line.ends_with(" from 127.0.0.1")
    };
    assert_eq!(log.iter().filter(failed).count(), 1, "{log:?}");
}

#[test]
fn limits_stand_in_the_configuration() {
    let parameters = format!(
        "total connections = 1\naddress handshakes = 0\nlog rate = 0\n{}",
        config("idle timeout = 7\n")
    );
    let daemon = recording(&parameters, Limits::default());
    let mut first = daemon.connect();
    assert_eq!(read_byte(&mut first), Some(b'@'));
    let reply = daemon.talk(&[HELLO, b"m\n"].concat());
    let last = "\n@ERROR: max connections (1) reached -- try again later\n";
    assert!(reply.ends_with(last), "{reply}");
    for wrong in [
        "total handshakes = many",
        "log rate = -1",
        "[m]\nidle timeout = 1h",
    ] {
        let error = rsyncd::config::Config::parse(wrong.as_bytes()).expect_err(wrong);
        assert!(
            error.to_string().contains("must be a number from 0 on"),
            "{error}"
        );
    }
}

#[test]
fn the_name_of_the_greeting_counts_whatever_the_module_says() {
    let rsync = testkit::require_rsync!();
    if !is_root() {
        return;
    }
    let (deny, allow) = ("hosts deny = *host", "hosts allow = *host");
    for (global, module, list, expected) in [
        ("yes", "no", deny, false),
        (
            "yes",
            "no",
            "hosts deny = localhost\nforward lookup = no",
            false,
        ),
        ("yes", "no", allow, true),
        ("yes", "yes", deny, false),
        ("yes", "yes", allow, true),
        ("no", "yes", deny, false),
        ("no", "yes", allow, true),
        ("no", "no", deny, true),
        ("no", "no", allow, false),
        (
            "no",
            "no",
            "hosts deny = localhost\nforward lookup = no",
            true,
        ),
        ("no", "no", "hosts deny = localhost", false),
        ("no", "no", "hosts allow = localhost", true),
    ] {
        // The second module makes the daemon look names up early in any case.
        let text = format!(
            "reverse lookup = {global}\nuid = root\ngid = root\n[m]\npath = DIR/mod\nreverse lookup = {module}\n{list}\n\
             [other]\npath = DIR/mod\nreverse lookup = yes\n"
        );
        let daemon = Daemon::start(
            directory(),
            &text,
            Arc::new(EngineRunner),
            Limits::default(),
        );
        let stock = testkit::DaemonConf::new().global("reverse lookup", global);
        let mut stock_module =
            testkit::Module::new("m", daemon.dir.path()).set("reverse lookup", module);
        for line in list.lines() {
            let (name, value) = line.split_once(" = ").expect("a parameter");
            stock_module = stock_module.set(name, value);
        }
        let stock = stock
            .module(stock_module)
            .module(testkit::Module::new("other", daemon.dir.path()).set("reverse lookup", "yes"));
        let stock = testkit::Daemon::start(&testkit::Server::Stock(&rsync), stock);
        for protocol in ["29", "30", "31", "32"] {
            let option = format!("--protocol={protocol}");
            let ours = daemon.rsync(&rsync, &[&option, "URL/m/"]);
            let theirs = rsync.client().args([&option, &stock.url("m")]).run();
            let what = format!(
                "{global} {module} {list} {protocol}: {} {}",
                said(&ours),
                said(&theirs)
            );
            assert_eq!(ours.code() == Some(0), expected, "{what}");
            assert_eq!(theirs.code(), ours.code(), "{what}");
        }
    }
}
