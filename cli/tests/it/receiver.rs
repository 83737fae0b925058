//! `syncline daemon` for stock clients: it keeps what they send, gives what they ask for, and refuses with the words
//! and codes of the stock daemon.

use std::fs;
use std::path::Path;

use testkit::{
    Compare, Daemon, DaemonConf, Exit, HostileReceiver, Module, Mutator, Rsync, Server, TreeSpec,
    assert_same, require_rsync,
};

use crate::setup::{PASSWORD, Pair, USER, binary, told};

/// What a protocol keeps.
fn compare(protocol: u32) -> Compare {
    match protocol {
        ..=30 => Compare::exact().mtimes_in_seconds(),
        _ => Compare::exact(),
    }
}

/// A tree with one of everything that a protocol can tell of.
fn sample(protocol: u32, root: &Path) {
    TreeSpec::sample(protocol.into()).build(root);
    if protocol < 30 {
        // Times are 32 bits without a sign.
        for name in ["before 1970", "after 2038"] {
            fs::remove_file(root.join(name)).unwrap();
        }
    }
}

/// Fails with the lines in which a client tells something else of our daemon.
///
/// Order does not count: a server's messages overtake its reports. Nor does which name of a hard-linked file is sent and
/// which are linked, which depends on how many lists have come. Up to protocol 30 the reports of directories depend on
/// the second in which something was deleted inside.
#[track_caller]
fn assert_told_alike(protocol: u32, ours: &str, stock: &str, story: &str) {
    let lines = |text: &str| -> Vec<String> {
        let mut lines: Vec<_> = text
            .lines()
            .map(|line| line.split(" => ").next().unwrap_or(line))
            .map(|line| match line.as_bytes() {
                [b'h' | b'<' | b'>', b'f', ..] => format!("?{}", &line[1..]),
                [b'.', b'd', _, _, b't', ..] if protocol <= 30 => {
                    format!("{}.{}", &line[..4], &line[5..])
                }
                _ => line.to_owned(),
            })
            .filter(|line| !line.starts_with(".d......... "))
            .collect();
        lines.sort();
        lines
    };
    let (ours, stock) = (lines(ours), lines(stock));
    let only = |here: &[String], there: &[String]| -> String {
        let lines = here.iter().filter(|line| !there.contains(line)).take(20);
        lines.map(|line| format!("  {line}\n")).collect()
    };
    assert!(
        ours == stock,
        "{story}\nonly of stock:\n{}only of ours:\n{}",
        only(&stock, &ours),
        only(&ours, &stock)
    );
}

fn ours(conf: DaemonConf) -> Daemon {
    Daemon::start(&Server::Ours(binary()), conf)
}

/// A push or a pull by a stock client, with what changes shown.
fn transfer(rsync: &Rsync, protocol: u32, from: &str, to: &str) -> Exit {
    // What changes within a second is only seen by its nanoseconds, or where the wire has none by its content.
    let compare = if protocol < 31 {
        "-c"
    } else {
        "--modify-window=-1"
    };
    let exit = rsync
        .client()
        .arg("-aHi")
        .arg("--delete")
        .arg(compare)
        .arg(format!("--protocol={protocol}"))
        .args([from, to])
        .password(PASSWORD)
        .run();
    exit.assert_code(0);
    exit
}

/// Pushes one tree to our daemon and to a stock one, changes it, and pushes again: the mirrors are equal to it, and the
/// client tells the same.
#[track_caller]
fn pushes(protocol: u32) {
    let rsync = require_rsync!();
    let pair = Pair::new();
    sample(protocol, &pair.source);
    let reference = pair.dir.path().join("reference");
    fs::create_dir(&reference).unwrap();
    let daemon = ours(DaemonConf::as_users_do("mirror", &pair.mirror));
    let stock = Daemon::start(
        &Server::Stock(&rsync),
        DaemonConf::as_users_do("mirror", &reference),
    );
    let mut mutator = Mutator::new(&pair.source, protocol.into());
    for round in 0..4 {
        let told_by = [(&stock, &reference), (&daemon, &pair.mirror)].map(|(daemon, mirror)| {
            let url = daemon.url_as(USER, "mirror");
            let exit = transfer(&rsync, protocol, &pair.contents(), &url);
            assert_same(&pair.source, mirror, &compare(protocol));
            exit.out()
        });
        let story = format!("protocol {protocol}, round {round}");
        assert_told_alike(protocol, &told_by[1], &told_by[0], &story);
        mutator.steps(60);
    }
}

/// The same the other way.
#[track_caller]
fn pulls(protocol: u32) {
    let rsync = require_rsync!();
    let pair = Pair::new();
    sample(protocol, &pair.source);
    let reference = pair.dir.path().join("reference");
    fs::create_dir(&reference).unwrap();
    let conf = || DaemonConf::as_users_do("source", &pair.source);
    let daemon = ours(conf());
    let stock = Daemon::start(&Server::Stock(&rsync), conf());
    let mut mutator = Mutator::new(&pair.source, protocol.into());
    for round in 0..4 {
        let told_by = [(&stock, &reference), (&daemon, &pair.mirror)].map(|(daemon, mirror)| {
            let url = daemon.url_as(USER, "source");
            let exit = transfer(&rsync, protocol, &url, &format!("{}/", mirror.display()));
            assert_same(&pair.source, mirror, &compare(protocol));
            exit.out()
        });
        let story = format!("protocol {protocol}, round {round}");
        assert_told_alike(protocol, &told_by[1], &told_by[0], &story);
        mutator.steps(60);
    }
}

#[test]
fn pushes_at_29() {
    pushes(29);
}

#[test]
fn pushes_at_30() {
    pushes(30);
}

#[test]
fn pushes_at_31() {
    pushes(31);
}

#[test]
fn pushes_at_32() {
    pushes(32);
}

#[test]
fn pulls_at_29() {
    pulls(29);
}

#[test]
fn pulls_at_30() {
    pulls(30);
}

#[test]
fn pulls_at_31() {
    pulls(31);
}

#[test]
fn pulls_at_32() {
    pulls(32);
}

/// Modules that refuse something, each over a tree of its own.
fn refusing(root: &Path) -> DaemonConf {
    let tree = |name: &str| {
        let path = root.join(name);
        TreeSpec::new()
            .file("plain", "text")
            .file("a.secret", "hidden")
            .file("private/file", "hidden as well")
            .file("sub/b.secret", "too")
            .build(&path);
        path
    };
    let module = |name: &str| Module::new(name, tree(name)).set("comment", format!("the {name}"));
    DaemonConf::new()
        .module(module("open"))
        .module(module("ro").read_only())
        .module(module("wo").write_only())
        .module(module("hidden").unlisted())
        .module(module("auth").user(USER, PASSWORD))
        .module(module("denied").set("hosts deny", "127.0.0.0/8"))
        .module(
            module("denied-hidden")
                .set("hosts deny", "*")
                .set("hosts allow", "192.0.2.1")
                .unlisted(),
        )
        .module(module("excluding").set("exclude", "*.secret /private"))
        .module(Module::new("nowhere", root.join("not there")))
        .module(module("refusing").set("refuse options", "delete checksum"))
        .module(module("strange").identity("no-such-user", "root"))
}

/// What is asked of a daemon: `%` stands for its address with a slash, `local/` is a directory of the client.
const QUESTIONS: &[(&[&str], &str)] = &[
    (&["%"], PASSWORD),
    (&["--list-only", "%open"], PASSWORD),
    (&["-r", "--list-only", "%open/"], PASSWORD),
    (&["-r", "--list-only", "%hidden/"], PASSWORD),
    (&["-r", "--list-only", "%wo/"], PASSWORD),
    (&["-r", "--list-only", "%excluding/"], PASSWORD),
    (&["-a", "%nothing/", "local/"], PASSWORD),
    (&["-a", "%nothing/plain", "local/"], PASSWORD),
    (&["-a", "local/", "%nothing/"], PASSWORD),
    (&["-a", "%wo/", "local/"], PASSWORD),
    (&["-a", "local/", "%ro/"], PASSWORD),
    (&["-an", "local/", "%ro/"], PASSWORD),
    (&["-a", "%auth/", "local/"], "wrong"),
    (&["-a", "local/", "%auth/"], "wrong"),
    (&["-a", "%denied/", "local/"], PASSWORD),
    (&["-a", "local/", "%denied/"], PASSWORD),
    (&["-a", "%denied-hidden/", "local/"], PASSWORD),
    (&["-ai", "%excluding/", "local/"], PASSWORD),
    (&["-ai", "%excluding/a.secret", "local/"], PASSWORD),
    (&["-ai", "local/", "%excluding/"], PASSWORD),
    (&["-ai", "local/", "%excluding/private/"], PASSWORD),
    (&["-ai", "--delete", "local/", "%excluding/"], PASSWORD),
    (&["-a", "%nowhere/", "local/"], PASSWORD),
    (&["-a", "local/", "%nowhere/"], PASSWORD),
    (&["-a", "--delete", "local/", "%refusing/"], PASSWORD),
    (&["-ac", "local/", "%refusing/"], PASSWORD),
    (&["-ai", "local/", "%refusing/"], PASSWORD),
    (&["-a", "%strange/", "local/"], PASSWORD),
    (&["-a", "%open/missing", "local/"], PASSWORD),
    (&["-a", "%open/missing/", "local/"], PASSWORD),
    (&["-a", "%open/plain", "%open/missing", "local/"], PASSWORD),
    (&["-a", "%open/../ro/", "local/"], PASSWORD),
    (&["-a", "local/", "%open/new/"], PASSWORD),
    (&["-a", "local/", "%open/deep/er/"], PASSWORD),
    (&["-ai", "local/file", "%open/sub"], PASSWORD),
    (&["-ai", "local/", "%open/plain/"], PASSWORD),
    (&["-n", "-ai", "--delete", "local/", "%open/"], PASSWORD),
];

#[test]
fn refusals_are_the_stock_daemons() {
    if !testkit::is_root() {
        testkit::skipped("needs root: modules with an identity");
        return;
    }
    let rsync = require_rsync!();
    let ask = |server: &Server<'_>| -> Vec<String> {
        let dir = testkit::temp_dir();
        let daemon = Daemon::start(server, refusing(dir.path()));
        let base = daemon.url_as(USER, "");
        let base = base.trim_end_matches('/');
        let ask = |(words, password): &(&[&str], &str)| {
            let local = testkit::temp_dir();
            TreeSpec::new()
                .file("local/file", "content")
                .file("local/c.secret", "content")
                .file("local/private/inside", "content")
                .build(local.path());
            let words = words
                .iter()
                .map(|word| word.replace('%', &format!("{base}/")));
            let exit = rsync
                .client()
                .args(words)
                .password(password)
                .current_dir(local.path())
                .run();
            told(
                &exit,
                &[daemon.addr().to_string(), dir.path().display().to_string()],
            )
        };
        QUESTIONS.iter().map(ask).collect()
    };
    let (stock, ours) = (ask(&Server::Stock(&rsync)), ask(&Server::Ours(binary())));
    let mut wrong = Vec::new();
    for ((question, stock), ours) in QUESTIONS.iter().zip(stock).zip(ours) {
        if stock != ours {
            wrong.push(format!("{question:?}\n--- stock\n{stock}--- ours\n{ours}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn compression_is_refused_by_name() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    fs::write(pair.source.join("f"), "text").unwrap();
    let daemon = ours(DaemonConf::new().module(Module::new("m", &pair.mirror)));
    let exit = rsync
        .client()
        .args(["-az", &pair.contents(), &daemon.url("m")])
        .run();
    exit.assert_code(4);
    assert!(
        exit.err().contains("--compress: not supported yet"),
        "{exit}"
    );
    assert!(!pair.mirror.join("f").exists());
}

#[test]
fn a_push_that_only_lists_is_refused_and_writes_nothing() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    fs::write(pair.source.join("f"), "text").unwrap();
    let daemon = ours(DaemonConf::new().module(Module::new("m", &pair.mirror)));
    for options in ["-d", "-r", "-a"] {
        let exit = rsync
            .client()
            .args([options, "--list-only", &pair.contents(), &daemon.url("m")])
            .run();
        exit.assert_code(1);
        assert!(
            exit.err().contains("--list-only of what is pushed"),
            "{exit}"
        );
    }
    assert_eq!(fs::read_dir(&pair.mirror).unwrap().count(), 0);
}

#[test]
fn a_client_that_fails_before_its_rules_are_sent_is_let_go() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    fs::write(pair.source.join("f"), "text").unwrap();
    fs::write(pair.source.join(".rules"), "no such rule").unwrap();
    let daemon = ours(DaemonConf::new().module(Module::new("m", &pair.mirror)));
    // With deletion the rules go to the daemon, behind the word that the client fails.
    for options in [&["-a"][..], &["-a", "--delete"]] {
        let exit = rsync
            .client()
            .args(options)
            .args(["-f", ": .rules", &pair.contents(), &daemon.url("m")])
            .run();
        exit.assert_code(1);
    }
    assert_eq!(fs::read_dir(&pair.mirror).unwrap().count(), 0);
}

/// Both daemons write the same about the same transfers.
#[test]
fn transfer_logs_are_the_stock_daemons() {
    let rsync = require_rsync!();
    let source = testkit::temp_dir();
    TreeSpec::new()
        .file("file", "text")
        .hard_link("hard", "file")
        .file("directory/deep", "deep")
        .build(source.path());
    let logs = [Server::Stock(&rsync), Server::Ours(binary())].map(|server| {
        let pair = Pair::new();
        TreeSpec::new().file("gone/x", "").build(&pair.mirror);
        let conf = DaemonConf::new()
            .global("transfer logging", "yes")
            .global("log format", "item %o %i %f %l %b %c %L")
            .module(Module::new("m", &pair.mirror));
        let daemon = Daemon::start(&server, conf);
        let from = format!("{}/", source.path().display());
        let run = |args: &[&str]| {
            rsync.client().args(["-aH"]).args(args).run().assert_code(0);
        };
        let url = daemon.url("m");
        run(&["--delete", &from, &url]);
        run(&["--chmod=D700", &from, &url]);
        run(&[
            &format!("{url}directory"),
            &format!("{url}hard"),
            &pair.dir.path().join("o").display().to_string(),
        ]);
        daemon.wait_log("item send cd+++++++++ directory");
        daemon.wait_log("item send <f+++++++++ hard");
        let log = daemon.log();
        let items = log
            .lines()
            .filter_map(|line| line.split_once("] item ").map(|(_, item)| item));
        let mut items: Vec<_> = items.map(str::to_owned).collect();
        items.sort();
        items
    });
    assert!(logs[0].len() > 10, "{logs:#?}");
    assert_eq!(logs[0], logs[1]);
}

#[test]
fn sources_that_share_directories_are_merged() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    for file in ["a/b/one", "c/b/two", "c/b/deep/three", "a/b/deep/four"] {
        let path = pair.source.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    let daemon = ours(DaemonConf::new().module(Module::new("m", &pair.source)));
    let url = daemon.url("m");
    let exit = rsync
        .client()
        .args(["-a", &format!("{url}a/"), &format!("{url}c/")])
        .arg(&pair.mirror)
        .run();
    exit.assert_code(0);
    for file in ["b/one", "b/two", "b/deep/three", "b/deep/four"] {
        assert!(pair.mirror.join(file).exists(), "{file}");
    }
}

#[test]
fn connections_above_the_limit_are_turned_away_until_one_ends() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    fs::write(pair.source.join("f"), "text").unwrap();
    let daemon =
        ours(DaemonConf::new().module(Module::new("m", &pair.mirror).set("max connections", 1)));
    // A client that has sent its arguments holds a place.
    let receiver = HostileReceiver {
        protocol: 31,
        server: false,
    };
    let holder = receiver.pull(daemon.addr(), "m", &["-r"], &["m/".to_owned()]);
    let push = || {
        rsync
            .client()
            .args(["-a", &pair.contents(), &daemon.url("m")])
            .run()
    };
    let exit = push();
    exit.assert_code(5);
    assert!(
        exit.err()
            .starts_with("@ERROR: max connections (1) reached -- try again later\n"),
        "{exit}"
    );
    drop(holder);
    testkit::wait::until("the slot to be free again", || push().code() == Some(0));
    assert_same(&pair.source, &pair.mirror, &Compare::exact());
}
