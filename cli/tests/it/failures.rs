//! What goes wrong: one clear line, rsync's exit code, and nothing lost.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use testkit::{
    Compare, Daemon, DaemonConf, Direction, Ending, Exit, Faults, Module, Program, Relay,
    ScriptedServer, Server, TreeSpec, assert_same, require_rsync,
};

use crate::setup::{Mount, PASSWORD, Pair, USER, binary, leaves, no_story, syncline, told};

/// Modules that do not do what is asked of them.
fn modules(root: &Path) -> DaemonConf {
    let module = |name: &str| {
        let path = root.join(name);
        TreeSpec::new().file("plain", "text").build(&path);
        Module::new(name, path)
    };
    DaemonConf::new()
        .module(module("open"))
        .module(module("auth").user(USER, PASSWORD))
        .module(module("ro").read_only())
        .module(module("wo").write_only())
        .module(module("refusing").set("refuse options", "delete checksum"))
        .module(module("denied").set("hosts deny", "127.0.0.0/8"))
        .module(Module::new("nowhere", root.join("not there")))
}

/// Arguments, where `%` is a daemon's address with a slash and `local/` a directory here; and the password.
const COMMANDS: &[(&[&str], Option<&str>)] = &[
    (&["-a", "local/", "%auth/"], Some("wrong")),
    (&["-a", "%auth/", "local/"], Some("wrong")),
    (&["-a", "local/", "%unknown/"], None),
    (&["-a", "%unknown/", "local/"], None),
    (&["-a", "local/", "%ro/"], None),
    (&["-a", "%wo/", "local/"], None),
    (&["-a", "--delete", "local/", "%refusing/"], None),
    (&["-ac", "local/", "%refusing/"], None),
    (&["-a", "local/", "%denied/"], None),
    (&["-a", "local/", "%nowhere/"], None),
    (&["-a", "%nowhere/", "local/"], None),
    (&["-a", "missing", "%open/"], None),
    (&["-a", "missing/", "%open/"], None),
    (&["-a", "local/", "missing", "%open/"], None),
    (&["-a", "%open/missing", "local/"], None),
    (&["-a", "%open/missing/", "local/"], None),
    (&["-a", "local/", "%open/deep/er/"], None),
    (&["-a", "local/", "%open/plain/"], None),
    (&["-a", "%open/", "local/file/"], None),
    (&["-a", "%open/", "local/deep/er/"], None),
    (&["-a", "--password-file=no", "local/", "%auth/"], None),
];

#[test]
fn failures_are_told_as_stock_does() {
    let rsync = require_rsync!();
    let root = testkit::temp_dir();
    let daemon = Daemon::start(&Server::Stock(&rsync), modules(root.path()));
    let base = daemon.url_as(USER, "");
    let base = base.trim_end_matches('/');
    let mut wrong = Vec::new();
    for (words, password) in COMMANDS {
        let told = [rsync.path(), binary()].map(|program| {
            let here = testkit::temp_dir();
            TreeSpec::new()
                .file("local/file", "content")
                .build(here.path());
            let words = words
                .iter()
                .map(|word| word.replace('%', &format!("{base}/")));
            let mut client = Program::new(program).args(words).current_dir(here.path());
            if let Some(password) = password {
                client = client.password(password);
            }
            let names = [
                daemon.addr().to_string(),
                here.path().display().to_string(),
                root.path().display().to_string(),
            ];
            told(&client.run(), &names)
        });
        if told[0] != told[1] {
            wrong.push(format!(
                "{words:?}\n--- stock\n{}--- ours\n{}",
                told[0], told[1]
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A push of a small tree to an address.
fn push_to(url: &str) -> Exit {
    let pair = Pair::new();
    TreeSpec::new().file("file", "content").build(&pair.source);
    syncline()
        .args(["-a", "--timeout=20", &pair.contents(), url])
        .run()
}

/// One line that says what is wrong, and the last line with the code.
#[track_caller]
fn assert_one_line(exit: &Exit, code: i32, needle: &str) {
    exit.assert_code(code);
    let err = exit.err();
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), 2, "{exit}");
    assert!(lines[0].contains(needle), "{exit}");
    assert!(lines[1].contains(&format!("(code {code})")), "{exit}");
}

#[test]
fn nobody_listens() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let exit = push_to(&format!("rsync://{addr}/module/"));
    assert_one_line(&exit, 10, "Connection refused (111)");
    let exit = push_to("rsync://no-such-host.invalid/module/");
    assert_one_line(&exit, 10, "no-such-host.invalid");
}

#[test]
fn garbage_from_the_peer() {
    // Not rsync at all, silence, and nonsense at the later steps of the conversation.
    type Deed = fn(&mut testkit::Peer<std::net::TcpStream>);
    let cases: [(&str, i32, Deed); 5] = [
        ("no rsync", 5, |peer| {
            peer.send("HTTP/1.1 400 Bad Request\r\n\r\n")
        }),
        ("an end at once", 5, |_| {}),
        ("an old version", 2, |peer| peer.send("@RSYNCD: 19\n")),
        ("binary", 5, |peer| peer.send([0xff; 5000])),
        ("nonsense instead of the set-up", 12, |peer| {
            peer.send("@RSYNCD: 32.0 sha512 md5\n");
            peer.receive_line();
            peer.receive_line();
            peer.send("@RSYNCD: OK\n");
            peer.send([0x00; 64]);
            peer.send([0xee; 64]);
        }),
    ];
    for (what, code, play) in cases {
        let server = ScriptedServer::start(1, move |_, mut peer| {
            play(&mut peer);
            peer.finish_sending();
            peer.receive_rest();
        });
        let exit = push_to(&server.url("module"));
        let (found, lines) = (exit.code(), exit.err().lines().count());
        assert!(
            found.is_some_and(|found| found == code || (code == 12 && found == 2)),
            "{what}: {exit}"
        );
        assert!((2..=3).contains(&lines), "{what}: {exit}");
        assert!(!exit.err().contains("panicked"), "{what}: {exit}");
    }
}

#[test]
fn garbage_in_the_middle_of_a_transfer() {
    let rsync = require_rsync!();
    for (direction, after) in [
        (Direction::ToClient, 300),
        (Direction::ToClient, 3_000),
        (Direction::ToServer, 3_000),
        (Direction::ToServer, 100_000),
    ] {
        let pair = Pair::new();
        TreeSpec::random(3, 200, 20, 20_000).build(&pair.source);
        let daemon = pair.daemon(&rsync);
        let relay = Relay::start(daemon.addr());
        relay.set_faults(Faults::none().garbage(direction, after, *b"\xee\xdd\xcc\xbb garbage"));
        let exit = syncline()
            .args(["-a", "--timeout=20"])
            .args([&pair.contents(), &relay.url_as(USER, "mirror")])
            .run();
        assert!(
            exit.code()
                .is_some_and(|code| [2, 10, 12, 22, 23].contains(&code)),
            "{direction:?} {after}: {exit}"
        );
        assert!(!exit.err().contains("panicked"), "{exit}");
        // The next run repairs everything.
        relay.set_faults(Faults::none());
        let exit = syncline()
            .args(["-a", &pair.contents(), &relay.url_as(USER, "mirror")])
            .run();
        exit.assert_code(0);
        assert_same(&pair.source, &pair.mirror, &Compare::exact());
    }
}

#[test]
fn a_daemon_killed_in_the_middle() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    TreeSpec::new()
        .random_file("big", 1, 30_000_000)
        .build(&pair.source);
    for push in [true, false] {
        let module = if push { &pair.mirror } else { &pair.source };
        let mut daemon = Daemon::start(
            &Server::Stock(&rsync),
            DaemonConf::as_users_do("module", module),
        );
        let relay = Relay::start(daemon.addr());
        relay.set_faults(Faults::none().rate(20_000_000));
        let url = relay.url_as(USER, "module");
        let words = match push {
            true => [pair.contents(), url],
            false => [url, format!("{}/", pair.mirror.display())],
        };
        let client = syncline().arg("-aW").args(&words).spawn();
        relay.wait_bytes(1_000_000);
        daemon.kill();
        let exit = client.wait();
        // Which of the two depends on whether we were reading or writing, as with stock rsync.
        match exit.code() {
            Some(10) => assert_one_line(&exit, 10, " error: "),
            _ => assert_one_line(&exit, 12, "connection unexpectedly closed"),
        }
        let left: Vec<_> = fs::read_dir(&pair.mirror).unwrap().collect();
        assert!(left.len() <= usize::from(push), "{left:?}");
        for entry in left {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}

#[test]
fn a_connection_that_is_reset() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    TreeSpec::random(3, 200, 20, 20_000).build(&pair.source);
    let daemon = pair.daemon(&rsync);
    let relay = Relay::start(daemon.addr());
    relay.set_faults(Faults::none().cut(Direction::ToServer, 200_000, Ending::Reset));
    let exit = syncline()
        .args(["-a", &pair.contents(), &relay.url_as(USER, "mirror")])
        .run();
    assert!(
        exit.code().is_some_and(|code| code == 10 || code == 12),
        "{exit}"
    );
    assert_eq!(exit.err().lines().count(), 2, "{exit}");
}

#[test]
fn a_full_disk_at_the_target() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    TreeSpec::new()
        .file("a", "fits")
        .random_file("b", 1, 6_000_000)
        .file("c", "fits as well")
        .build(&pair.source);
    let Some(mount) = Mount::tmpfs(&pair.mirror, "2m") else {
        testkit::skipped("a tmpfs cannot be mounted here");
        return;
    };
    let daemon = pair.daemon(&rsync);
    let url = daemon.url_as(USER, "mirror");
    let told = [rsync.path(), binary()].map(|program| {
        let exit = Program::new(program)
            .password(PASSWORD)
            .args(["-a", &pair.contents(), &url])
            .run();
        assert!(
            exit.err().contains("No space left on device (28)"),
            "{exit}"
        );
        exit.code()
    });
    assert_eq!(told[0], told[1], "the exit code is stock's");
    // The watch says so and goes on trying; with space again the file arrives by itself.
    let watch = pair.watch(&[], &[&url]);
    watch.wait_output("No space left on device (28)");
    let grown = Command::new("mount")
        .args(["-o", "remount,size=64m"])
        .arg(&pair.mirror)
        .status();
    assert!(grown.unwrap().success());
    pair.settles(&watch, &no_story);
    leaves(watch);
    drop(daemon);
    drop(mount);
}
