//! Transfers of just the names that were picked.

use std::collections::HashSet;

use rsync_engine::options::TransferOptions;
use rsync_engine::send::{Picked, PickedAction, PickedName, Source};
use testkit::TreeSpec;

use crate::pair::{Pair, into, options, tree};

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
