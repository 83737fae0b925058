//! Transfers of just the names that were picked.

use std::collections::HashSet;

use rsync_engine::fs::Name;
use rsync_engine::options::TransferOptions;
use rsync_engine::send::{Picked, PickedAction, PickedName, Source};
use testkit::TreeSpec;

use crate::pair::{Pair, contents, into, options, tree};

/// A receiver has no place for a name whose directory is not in the list: it is told of as gone, and tried again by
/// whoever picked it.
#[test]
fn what_lost_its_directory_is_told_and_not_sent() {
    let dir = testkit::temp_dir();
    let (source, destination) = (dir.path().join("s"), dir.path().join("d"));
    TreeSpec::new()
        .file("kept/new", "new")
        .file("now/file", "in the place of a directory")
        .build(&source);
    TreeSpec::new()
        .file("kept/old", "old")
        .file("gone/deep/x", "x")
        .build(&destination);
    let pick = |path: &str, action| PickedName {
        path: path.as_bytes().to_vec(),
        action,
    };
    let picked = Picked {
        tree: tree(&source),
        absolute: Vec::new(),
        names: vec![
            pick("kept/new", PickedAction::Send),
            pick("kept/old", PickedAction::Delete),
            pick("gone/deep/x", PickedAction::Delete),
            pick("gone/y", PickedAction::Send),
            pick("now/file/z", PickedAction::Send),
        ],
        content: HashSet::new(),
    };
    let options = TransferOptions {
        delete_missing_args: true,
        force: true,
        ..options(&["-lptgoD"])
    };
    let ends = Pair::new(options).run(Source::Picked(picked), into(&destination));
    let vanished: Vec<_> = ends
        .events
        .iter()
        .filter(|event| event.contains("file has vanished"))
        .collect();
    assert_eq!(vanished.len(), 3, "{:#?}", ends.events);
    assert!(destination.join("kept/new").exists() && !destination.join("kept/old").exists());
    assert!(destination.join("gone/deep/x").exists() && !destination.join("gone/y").exists());
}

/// The way to a directory whose name is too long for the wire grows with each level: nothing below it is looked at.
#[test]
fn what_lies_below_a_name_that_is_too_long_is_not_listed() {
    let dir = testkit::temp_dir();
    let (source, destination) = (dir.path().join("s"), dir.path().join("d"));
    std::fs::create_dir(&source).unwrap();
    std::fs::create_dir(&destination).unwrap();
    let long = "n".repeat(255);
    let name = Name::new(long.as_bytes()).unwrap();
    let mut at = tree(&source).root().clone();
    for _ in 0..24 {
        at.mkdir(name, 0o755).unwrap();
        at = at.open_dir(name).unwrap();
    }
    for flat in [&["-r"][..], &["-r", "--no-inc-recursive"]] {
        let ends = Pair::new(options(flat)).run(contents(&tree(&source)), into(&destination));
        let events = ends.events.iter();
        let told = events.filter(|event| event.contains("too long"));
        // The sixteenth has a name of 4,095 bytes.
        assert_eq!(told.count(), 1, "{flat:?}: {:#?}", ends.events);
    }
}
