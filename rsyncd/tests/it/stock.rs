//! The stock rsync client, as far as no files are needed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use rsync_engine::options::Delete;
use rsync_proto::Protocol;
use rsyncd::limits::Limits;
use rsyncd::session::{SessionEnd, SessionRequest};

use crate::harness::{Daemon, Recorder, Run, directory, is_root, said};

fn quick() -> Limits {
    Limits {
        auth_delay: std::time::Duration::ZERO,
        auth_failures: 0,
        ..Limits::default()
    }
}

/// A daemon with a module that asks for a password.
fn with_users(recorder: &Arc<Recorder>) -> Daemon {
    let dir = directory();
    let secrets = dir.path().join("secrets");
    fs::write(&secrets, "alice:apw\nbob:bpw\n").expect("write");
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).expect("chmod");
    fs::write(dir.path().join("motd"), "Hello\n").expect("write");
    let config = "motd file = DIR/motd\n\
        uid = root\ngid = root\nread only = no\n\
        [plain]\npath = DIR/mod\ncomment = for all\n\
        [users]\npath = DIR/mod\nauth users = alice bob:ro\nsecrets file = DIR/secrets\nrefuse options = delete z\n\
        [hidden]\npath = DIR/mod\nlist = no\nhosts allow = 10.0.0.0/8\n\
        [denied]\npath = DIR/mod\nhosts deny = *\n";
    Daemon::start(dir, config, Arc::clone(recorder) as _, quick())
}

#[test]
fn list_and_refusals() {
    let rsync = testkit::require_rsync!();
    if !is_root() {
        testkit::skipped("a daemon that changes its identity needs root");
        return;
    }
    let recorder = Arc::new(Recorder::default());
    let daemon = with_users(&recorder);
    let list = daemon.rsync(&rsync, &["URL/"]);
    assert_eq!(list.code(), Some(0), "{}", said(&list));
    assert_eq!(
        list.out(),
        "Hello\n\nplain          \tfor all\nusers          \t\ndenied         \t\n"
    );
    for (arguments, password, text) in [
        (["-r", "URL/nosuch/"], "", "@ERROR: Unknown module 'nosuch'"),
        (["-r", "URL/hidden/"], "", "@ERROR: Unknown module 'hidden'"),
        (
            ["-r", "URL/denied/"],
            "",
            "@ERROR: access denied to denied from UNDETERMINED (127.0.0.1)",
        ),
        (
            ["-r", "URL/users/"],
            "wrong",
            "@ERROR: auth failed on module users",
        ),
    ] {
        let output = daemon.rsync_as(&rsync, password, &arguments);
        assert_eq!(output.code(), Some(5), "{}", said(&output));
        assert!(said(&output).contains(text), "{text} in {}", said(&output));
    }
    assert!(recorder.take().is_empty());
}

#[test]
fn logins_reach_the_session() {
    let rsync = testkit::require_rsync!();
    if !is_root() {
        testkit::skipped("a daemon that changes its identity needs root");
        return;
    }
    let recorder = Arc::new(Recorder::default());
    let mut daemon = with_users(&recorder);
    for (user, password, ok) in [
        ("alice", "apw", true),
        ("bob", "bpw", true),
        ("alice", "bpw", false),
        ("carol", "apw", false),
    ] {
        for protocol in ["29", "30", "31", "32"] {
            let url = format!("rsync://{user}@{}/users/", daemon.address);
            let output = daemon.rsync_as(
                &rsync,
                password,
                &["-rt", "--protocol", protocol, "/etc/hostname", &url],
            );
            let seen = recorder.take();
            assert_eq!(seen.len(), usize::from(ok), "{user}: {}", said(&output));
            if let [request] = &seen[..] {
                assert_eq!(request.user.as_deref(), Some(user.as_bytes()));
                assert_eq!(request.read_only, user == "bob");
                assert_eq!(
                    request.protocol,
                    Protocol::new(protocol.parse().expect("number")).expect("protocol")
                );
                let wanted = request.request.as_ref().expect("accepted");
                assert!(wanted.options.recursive && wanted.options.times && !wanted.sender);
                assert_eq!(wanted.paths, [b"users/"]);
            }
        }
    }
    let log = daemon.all_log();
    for line in [
        "rsync to users/ from alice@UNDETERMINED (127.0.0.1)",
        "auth failed on module users from UNDETERMINED (127.0.0.1) for alice: password mismatch",
        "auth failed on module users from UNDETERMINED (127.0.0.1) for carol: no matching rule",
    ] {
        assert_eq!(log.iter().filter(|l| *l == line).count(), 4, "{line}");
    }
}

#[test]
fn arguments_reach_the_session() {
    let rsync = testkit::require_rsync!();
    if !is_root() {
        testkit::skipped("a daemon that changes its identity needs root");
        return;
    }
    let recorder = Arc::new(Recorder::default());
    let daemon = with_users(&recorder);
    let one = |arguments: &[&str]| -> SessionRequest {
        let output = daemon.rsync_as(&rsync, "apw", arguments);
        let mut seen = recorder.take();
        assert_eq!(seen.len(), 1, "{}", said(&output));
        seen.pop().expect("one")
    };
    let users = format!("rsync://alice@{}/users/", daemon.address);

    let pull = one(&["-aH", "-s", "--timeout=7", "URL/plain/a b", "/nonexistent"]);
    let wanted = pull.request.as_ref().expect("accepted");
    assert!(wanted.sender && wanted.secluded && wanted.options.hard_links);
    assert_eq!(wanted.paths, [b"plain/a b"]);
    assert_eq!(pull.timeout, Some(std::time::Duration::from_secs(7)));

    let delete = one(&["-r", "--delete", "/etc/default", "URL/plain/"]);
    assert_eq!(
        delete.request.expect("accepted").options.delete,
        Delete::Default
    );

    for (options, text) in [
        (
            "-r --delete",
            "rsync: The server is configured to refuse --delete",
        ),
        (
            "-rz",
            "rsync: The server is configured to refuse --compress (-z)",
        ),
    ] {
        let (first, rest) = options.split_once(' ').unwrap_or((options, "-v"));
        let refused = one(&[first, rest, "/etc/default", &users]);
        let rejection = refused.request.expect_err("refused");
        assert_eq!(
            (&rejection.text[..], rejection.exit_code, rejection.sender),
            (text, 4, false)
        );
        assert!(
            rejection
                .capabilities
                .is_some_and(|letters| letters.starts_with(b"i"))
        );
    }
    let unsupported = one(&["-r", "-M--fake-super", "/etc/default", "URL/plain/"]);
    let rejection = unsupported.request.expect_err("unsupported");
    assert_eq!(
        (&rejection.text[..], rejection.exit_code),
        ("rsync: --fake-super: not supported yet", 4)
    );
}

/// A runner whose sessions wait until they are let go.
fn waiting_runner() -> (
    impl Fn(SessionRequest) -> SessionEnd + Send + Sync,
    Receiver<()>,
    Sender<()>,
) {
    let (started, is_started) = channel();
    let (let_go, go) = channel::<()>();
    let (started, go) = (Mutex::new(started), Mutex::new(go));
    let run = move |_request: SessionRequest| {
        started.lock().expect("lock").send(()).expect("test waits");
        let _ = go.lock().expect("lock").recv();
        SessionEnd::default()
    };
    (run, is_started, let_go)
}

#[test]
fn max_connections() {
    let rsync = testkit::require_rsync!();
    if !is_root() {
        testkit::skipped("a daemon that changes its identity needs root");
        return;
    }
    let (run, started, let_go) = waiting_runner();
    let config = "uid = root\ngid = root\n\
        [one]\npath = DIR/mod\nmax connections = 1\n\
        [two]\npath = DIR/mod\nmax connections = 2\n\
        [closed]\npath = DIR/mod\nmax connections = -1\n";
    let mut daemon = Daemon::start(directory(), config, Arc::new(Run(run)), quick());
    let first = rsync
        .client()
        .args(["-r".to_owned(), format!("rsync://{}/one/", daemon.address)])
        .spawn();
    started.recv().expect("session");
    let refusal = |module: &str| {
        let output = daemon.rsync(&rsync, &["-r", &format!("URL/{module}/")]);
        assert_eq!(output.code(), Some(5), "{}", said(&output));
        said(&output)
    };
    let text = "@ERROR: max connections (1) reached -- try again later";
    assert!(refusal("one").contains(text));
    assert!(refusal("closed").contains("@ERROR: max connections (-1) reached -- try again later"));
    assert!(
        daemon.rsync(&rsync, &["URL/"]).code() == Some(0),
        "a list takes no place"
    );
    let second = daemon.talk(b"@RSYNCD: 31.0 md5\ntwo\n");
    assert!(second.ends_with("@RSYNCD: OK\n"), "{second}");
    drop(let_go);
    first.wait();
    assert!(
        daemon
            .all_log()
            .iter()
            .any(|line| line == "max connections (1) reached")
    );
}
