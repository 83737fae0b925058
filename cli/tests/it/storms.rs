//! Much at once, and what is nasty about trees: nothing may be missed.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use testkit::{Compare, Program, Relay, TreeSpec, require_rsync, wait};

use crate::setup::{Mount, Pair, USER, binary, leaves, no_story, settles};

#[test]
fn ten_thousand_new_files_in_a_hundred_new_directories() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    let daemon = pair.daemon(&rsync);
    let relay = Relay::start(daemon.addr());
    let watch = pair.watch(&[], &[&relay.url_as(USER, "mirror")]);
    watch.wait_output("in sync");
    for dir in 0..100 {
        let dir = pair.source.join(format!("dir {dir}"));
        fs::create_dir(&dir).unwrap();
        for file in 0..100 {
            fs::write(dir.join(format!("file {file}")), format!("{file}\n")).unwrap();
        }
    }
    pair.settles(&watch, &no_story);
    // The first comparison, a spare or two, and a session for each batch: not one for each directory.
    let sessions = relay.traffic().connections;
    assert!(sessions <= 60, "{sessions} sessions\n{watch}");
    leaves(watch);
}

#[test]
fn deep_directories_with_a_file_at_once() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    let daemon = pair.daemon(&rsync);
    let watch = pair.watch(&[], &[&daemon.url_as(USER, "mirror")]);
    watch.wait_output("in sync");
    for number in 0..1_000 {
        let dir = pair.source.join(format!("{number}/b/c/d"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("f"), b"f\n").unwrap();
    }
    pair.settles(&watch, &no_story);
    // And away again, all in other places; more than a quarter gone at once would be held back.
    for number in 0..1_000 {
        let dir = pair.source.join(number.to_string());
        if number % 10 == 0 {
            fs::remove_dir_all(dir).unwrap();
        } else {
            fs::rename(dir, pair.source.join(format!("moved {number}"))).unwrap();
        }
    }
    pair.settles(&watch, &no_story);
    leaves(watch);
}

#[test]
fn same_size_rewrites_within_a_second() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    let daemon = pair.daemon(&rsync);
    let watch = pair.watch(&[], &[&daemon.url_as(USER, "mirror")]);
    watch.wait_output("in sync");
    // Each version is waited for at the mirror, so that each was sent: many in a second.
    for number in 1_000..1_150 {
        fs::write(pair.source.join("f"), number.to_string()).unwrap();
        if number % 3 != 0 {
            wait::until("this version", || {
                fs::read_to_string(pair.mirror.join("f")).ok() == Some(number.to_string())
            });
        }
    }
    pair.settles(&watch, &no_story);
    leaves(watch);
}

#[test]
fn rename_storms() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    TreeSpec::random(1, 300, 10, 5_000).build(pair.source.join("a"));
    TreeSpec::random(2, 300, 10, 5_000).build(pair.source.join("b"));
    let daemon = pair.daemon(&rsync);
    let watch = pair.watch(&[], &[&daemon.url_as(USER, "mirror")]);
    watch.wait_output("in sync");
    let path = |name: &str| pair.source.join(name);
    let outside = pair.dir.path().join("outside");
    for round in 0..20 {
        // Swap, round trip, a chain, out of the tree and back, into each other.
        fs::rename(path("a"), path("x")).unwrap();
        fs::rename(path("b"), path("a")).unwrap();
        fs::rename(path("x"), path("b")).unwrap();
        fs::rename(path("a"), &outside).unwrap();
        fs::write(outside.join("written outside"), round.to_string()).unwrap();
        fs::rename(&outside, path("a")).unwrap();
        fs::rename(path("a"), path("b/a")).unwrap();
        fs::write(path("b/a/inside"), round.to_string()).unwrap();
        fs::rename(path("b/a"), path("a")).unwrap();
        if round % 5 == 0 {
            pair.settles(&watch, &no_story);
        }
    }
    pair.settles(&watch, &no_story);
    leaves(watch);
}

#[test]
fn a_directory_replaced_by_a_symlink_and_back() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    let victim = pair.dir.path().join("victim");
    TreeSpec::new()
        .file("precious", "not ours to delete")
        .build(&victim);
    TreeSpec::new()
        .file("d/one", "1")
        .file("d/sub/two", "2")
        .file("other/three", "3")
        .build(&pair.source);
    let daemon = pair.daemon(&rsync);
    let watch = pair.watch(&[], &[&daemon.url_as(USER, "mirror")]);
    watch.wait_output("in sync");
    let d = pair.source.join("d");
    for _ in 0..10 {
        fs::remove_dir_all(&d).unwrap();
        // One that stays inside the tree, and one that leads out.
        symlink("other", &d).unwrap();
        pair.settles(&watch, &no_story);
        fs::remove_file(&d).unwrap();
        symlink(&victim, &d).unwrap();
        fs::remove_file(&d).unwrap();
        fs::create_dir(&d).unwrap();
        fs::write(d.join("one"), "1").unwrap();
        pair.settles(&watch, &no_story);
    }
    assert!(victim.join("precious").exists());
    leaves(watch);
}

/// Runs `sh` in a user namespace of its own, where root may write the limits of inotify; none where that is not allowed.
fn in_namespace(script: &str) -> Option<Program> {
    let allowed = Command::new("unshare")
        .args(["--user", "--map-root-user", "--", "true"])
        .output()
        .is_ok_and(|output| output.status.success());
    allowed.then(|| {
        Program::new("unshare").args(["--user", "--map-root-user", "--", "/bin/sh", "-c", script])
    })
}

#[test]
fn an_overflow_of_the_queue() {
    const LIMIT: &str = "/proc/sys/fs/inotify/max_queued_events";
    let pair = Pair::new();
    // A limit that only a process of ours sees needs a namespace with its own; elsewhere the machine's is lowered.
    let before = fs::read_to_string(LIMIT).unwrap();
    let lowered = fs::OpenOptions::new()
        .write(true)
        .open(LIMIT)
        .and_then(|mut file| file.write_all(b"64"));
    if lowered.is_err() || fs::read_to_string(LIMIT).unwrap().trim() != "64" {
        testkit::skipped("the limit of inotify's queue cannot be lowered here");
        return;
    }
    let at = |dir: usize| pair.source.join(dir.to_string());
    (0..25).for_each(|dir| fs::create_dir(at(dir)).unwrap());
    let watch = pair.watch(&[], &[&pair.mirror.display().to_string()]);
    watch.wait_output("in sync");
    // The queue is made with the limit of that moment.
    fs::write(LIMIT, before.trim()).unwrap();
    watch.signal(Signal::STOP);
    (25..50).for_each(|dir| fs::create_dir(at(dir)).unwrap());
    for dir in 0..50 {
        for file in 0..100 {
            fs::write(at(dir).join(file.to_string()), "text").unwrap();
        }
    }
    watch.signal(Signal::CONT);
    pair.settles(&watch, &no_story);
    watch.wait_output("the kernel dropped events");
    leaves(watch);
}

#[test]
fn too_few_watches() {
    let pair = Pair::new();
    TreeSpec::random(1, 300, 100, 1_000).build(&pair.source);
    let mirror = pair.mirror.display().to_string();
    let script = format!(
        "echo 40 > /proc/sys/user/max_inotify_watches && exec {} watch {} {mirror}",
        binary().display(),
        pair.source.display()
    );
    let Some(program) = in_namespace(&script) else {
        testkit::skipped("no user namespaces here");
        return;
    };
    let watch = program.env("STATE_DIRECTORY", pair.state()).spawn();
    let line = watch.wait_line("what is needed", |line| line.contains("not enough watches"));
    assert!(line.contains("fs.inotify.max_user_watches"), "{line}");
    watch.wait_output("in sync");
    // In the namespace owners cannot be kept.
    let compare = Compare::exact().without_owners();
    settles(&pair.source, &pair.mirror, &compare, &watch, &no_story);
    leaves(watch);
}

#[test]
fn an_unreadable_directory_is_reported_and_kept() {
    if testkit::is_root() && in_namespace("true").is_none() {
        testkit::skipped("root reads everything");
        return;
    }
    let pair = Pair::new();
    TreeSpec::new()
        .file("open/file", "1")
        .file("secret/file", "2")
        .build(&pair.source);
    TreeSpec::new().file("secret/file", "2").build(&pair.mirror);
    fs::set_permissions(pair.dir.path(), PermissionsOf::mode(0o755)).unwrap();
    let mirror = pair.mirror.display().to_string();
    let everybody = |path: &Path| {
        let chown = Command::new("chown")
            .args(["-R", "65534:65534"])
            .arg(path)
            .status();
        assert!(chown.unwrap().success());
    };
    let program = match testkit::is_root() {
        true => {
            everybody(&pair.source);
            everybody(&pair.mirror);
            Program::new("setpriv")
                .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
                .arg(binary())
        }
        false => Program::new(binary()),
    };
    let secret = pair.source.join("secret");
    fs::set_permissions(&secret, PermissionsOf::mode(0o000)).unwrap();
    let state = pair.state();
    fs::create_dir(&state).unwrap();
    if testkit::is_root() {
        everybody(&state);
    }
    let watch = program
        .env("STATE_DIRECTORY", state)
        .args(["watch", "--delete"])
        .arg(&pair.source)
        .arg(&mirror)
        .spawn();
    watch.wait_output("secret: Permission denied (13); nothing below it is sent or deleted");
    wait::until("the file beside it", || {
        pair.mirror.join("open/file").exists()
    });
    fs::write(pair.source.join("open/new"), "3").unwrap();
    wait::until("the new file", || pair.mirror.join("open/new").exists());
    assert_eq!(fs::read(pair.mirror.join("secret/file")).unwrap(), b"2");
    fs::set_permissions(&secret, PermissionsOf::mode(0o755)).unwrap();
    fs::write(secret.join("file"), "changed").unwrap();
    let compare = Compare::exact().without_owners();
    settles(&pair.source, &pair.mirror, &compare, &watch, &no_story);
    leaves(watch);
}

/// Permissions by their number.
struct PermissionsOf;

impl PermissionsOf {
    fn mode(mode: u32) -> fs::Permissions {
        std::os::unix::fs::PermissionsExt::from_mode(mode)
    }
}

#[test]
fn a_source_that_is_renamed_away_deletes_nothing() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    TreeSpec::random(1, 50, 5, 1_000).build(&pair.source);
    let daemon = pair.daemon(&rsync);
    let watch = pair.watch(&["--delete"], &[&daemon.url_as(USER, "mirror")]);
    pair.settles(&watch, &no_story);
    let away = pair.dir.path().join("away");
    fs::rename(&pair.source, &away).unwrap();
    watch.wait_output("the watched directory is gone");
    settles(&away, &pair.mirror, &Compare::exact(), &watch, &no_story);
    fs::rename(&away, &pair.source).unwrap();
    watch.wait_output("the watched directory is back");
    fs::write(pair.source.join("new"), "text").unwrap();
    pair.settles(&watch, &no_story);
    leaves(watch);
}

#[test]
fn a_source_that_is_unmounted_deletes_nothing() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    let Some(mount) = Mount::tmpfs(&pair.source, "10m") else {
        testkit::skipped("a tmpfs cannot be mounted here");
        return;
    };
    TreeSpec::random(1, 50, 5, 1_000).build(&pair.source);
    let copy = pair.dir.path().join("copy");
    TreeSpec::random(1, 50, 5, 1_000).build(&copy);
    let daemon = pair.daemon(&rsync);
    let watch = pair.watch(&["--delete"], &[&daemon.url_as(USER, "mirror")]);
    pair.settles(&watch, &no_story);
    drop(mount);
    watch.wait_output("the watched directory is gone");
    let content = Compare::content_only();
    settles(&copy, &pair.mirror, &content, &watch, &no_story);
    leaves(watch);
}
