//! `syncline watch` against a stock daemon set up as users do: the first sync, then whatever changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use testkit::tree::Change;
use testkit::{Compare, Mix, TreeSpec, real_tree, require_rsync};

use crate::setup::{Pair, USER, everyday, leaves, no_story, settles, without_hard_links};

/// First sync of `source`'s tree, then rounds of random changes; after each the mirror becomes equal.
#[track_caller]
fn follows(pair: &Pair, words: &[&str], compare: &Compare, seed: u64, rounds: usize, steps: usize) {
    let rsync = require_rsync!();
    let daemon = pair.daemon(&rsync);
    let words = [&["-H"], words].concat();
    let watch = pair.watch(&words, &[&daemon.url_as(USER, "mirror")]);
    watch.wait_output("in sync");
    let settles = |story: &dyn Fn() -> String| {
        settles(&pair.source, &pair.mirror, compare, &watch, story);
    };
    settles(&|| "the first sync".to_owned());
    let mut mutator = everyday(&pair.source, seed);
    for _ in 0..rounds {
        mutator.steps(steps);
        settles(&|| mutator.told());
        // Alone: a link that is written through and gone before anybody looked leaves no trace of the file it was.
        mutator = mutator.mix(Mix::only(&[Change::HardLink]));
        mutator.steps(5);
        settles(&|| mutator.told());
        mutator = mutator.mix(without_hard_links());
    }
    leaves(watch);
}

/// A real tree of 20,000 names and a sample of every kind of them.
fn big_tree(seed: u64) -> Pair {
    let pair = Pair::new();
    assert!(real_tree(&pair.source, 20_000) >= 20_000);
    TreeSpec::sample(seed).build(pair.source.join("sample"));
    pair
}

#[test]
fn a_big_real_tree_and_then_changes() {
    follows(&big_tree(1), &[], &Compare::exact(), 1, 4, 250);
}

#[test]
fn protocol_30() {
    // Protocol 30 knows whole seconds only.
    let compare = Compare::exact().mtimes_in_seconds();
    follows(&big_tree(30), &["--protocol=30"], &compare, 30, 4, 100);
}

#[test]
fn protocol_31() {
    follows(
        &big_tree(31),
        &["--protocol=31"],
        &Compare::exact(),
        31,
        4,
        100,
    );
}

#[test]
fn protocol_32() {
    let pair = Pair::new();
    TreeSpec::sample(32).build(&pair.source);
    follows(&pair, &["--protocol=32"], &Compare::exact(), 32, 10, 40);
}

#[test]
fn hard_links_are_followed() {
    let rsync = require_rsync!();
    let pair = Pair::new();
    TreeSpec::new()
        .file("one", "1")
        .hard_link("two", "one")
        .hard_link("dir/three", "one")
        .file("single", "s")
        .build(&pair.source);
    let daemon = pair.daemon(&rsync);
    let watch = pair.watch(&["-H"], &[&daemon.url_as(USER, "mirror")]);
    let path = |name: &str| pair.source.join(name);
    let outside = tempfile::tempdir_in(pair.source.parent().unwrap()).unwrap();
    let changes: [&dyn Fn(); 16] = [
        &|| fs::write(path("two"), "written through the second").unwrap(),
        &|| fs::hard_link(path("single"), path("dir/link")).unwrap(),
        &|| fs::write(path("dir/link"), "through the new link").unwrap(),
        &|| fs::remove_file(path("one")).unwrap(),
        &|| fs::write(path("dir/three"), "with two names left").unwrap(),
        &|| fs::rename(path("two"), path("dir/two")).unwrap(),
        &|| fs::rename(path("dir"), path("renamed")).unwrap(),
        &|| {
            // The only name that has an event is gone when it is looked at.
            fs::write(path("renamed/two"), "written, then removed").unwrap();
            fs::remove_file(path("renamed/two")).unwrap();
        },
        &|| {
            fs::write(path("renamed/link"), "written, then replaced").unwrap();
            fs::write(path("other"), "replaces the link").unwrap();
            fs::rename(path("other"), path("renamed/link")).unwrap();
        },
        &|| {
            // One link is broken by a careful editor.
            fs::write(path("new"), "no link any more").unwrap();
            fs::rename(path("new"), path("renamed/three")).unwrap();
        },
        // What has no content has links, too.
        &|| {
            let mode = rustix::fs::Mode::from(0o640);
            let fifo = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), fifo, mode, 0).unwrap();
        },
        &|| fs::hard_link(path("fifo"), path("renamed/fifo")).unwrap(),
        &|| fs::set_permissions(path("fifo"), PermissionsExt::from_mode(0o600)).unwrap(),
        &|| {
            fs::hard_link(path("single"), path("leaves")).unwrap();
            fs::hard_link(path("single"), path("renamed/leaves")).unwrap();
        },
        &|| {
            // The only name that has an event leaves the tree, alone or with its directory.
            fs::write(path("leaves"), "through a name that leaves").unwrap();
            fs::rename(path("leaves"), outside.path().join("file")).unwrap();
        },
        &|| {
            fs::write(path("renamed/leaves"), "by a name in a directory").unwrap();
            fs::rename(path("renamed"), outside.path().join("directory")).unwrap();
        },
    ];
    pair.settles(&watch, &no_story);
    for (number, change) in changes.iter().enumerate() {
        change();
        pair.settles(&watch, &|| format!("change {number}"));
    }
    leaves(watch);
}
