//! Per-directory merge files.

use std::collections::HashMap;
use std::io;

use super::{excluded, rules};
use crate::filter::{Chain, FilterError, Notice, Place, Role, RuleList, RuleSettings};
use crate::options::FilterText;

/// Files of a tree by path, read as merge files.
struct Files(HashMap<String, &'static str>, usize);

impl Files {
    fn new(files: &[(&str, &'static str)]) -> Self {
        Self(
            files
                .iter()
                .map(|&(path, text)| (path.to_owned(), text))
                .collect(),
            0,
        )
    }

    fn enter(&mut self, chain: &mut Chain, dir: &str) {
        self.try_enter(chain, dir).unwrap();
    }

    fn try_enter(&mut self, chain: &mut Chain, dir: &str) -> Result<(), FilterError> {
        chain.enter_dir(dir.as_bytes(), &mut |place: Place<'_>, name: &[u8]| {
            self.1 += 1;
            let name = std::str::from_utf8(name).unwrap();
            let path = match place {
                Place::Transfer(b"") => name.to_owned(),
                Place::Transfer(dir) => format!("{}/{name}", std::str::from_utf8(dir).unwrap()),
                Place::Outside(dir) => format!("{}:{name}", std::str::from_utf8(dir).unwrap()),
            };
            Ok(self.0.get(&path).map(|text| text.as_bytes().to_vec()))
        })
    }
}

#[test]
fn directories_in_any_order() {
    let list = rules(&[": .f"]).unwrap();
    let mut chain = Chain::new(&list, Role::Sender);
    let mut files = Files::new(&[
        (".f", "- top"),
        ("a/.f", "- in-a"),
        ("a/b/.f", "- in-b"),
        ("ab/.f", "- in-ab"),
    ]);
    let state = |chain: &Chain, dir: &str| -> String {
        let names = ["top", "in-a", "in-b", "in-ab"];
        names
            .iter()
            .filter(|name| excluded(chain, &format!("{dir}{name}")))
            .copied()
            .collect::<Vec<_>>()
            .join(" ")
    };
    files.enter(&mut chain, "");
    assert_eq!(state(&chain, ""), "top");
    files.enter(&mut chain, "a/b");
    assert_eq!(state(&chain, "a/b/"), "top in-a in-b");
    assert_eq!(files.1, 3);
    files.enter(&mut chain, "a");
    assert_eq!(state(&chain, "a/"), "top in-a");
    files.enter(&mut chain, "ab/c");
    assert_eq!(state(&chain, "ab/c/"), "top in-ab");
    files.enter(&mut chain, "a/b/c/d");
    assert_eq!(state(&chain, "a/b/c/d/"), "top in-a in-b");
    // A directory that is named without its parents' contents: the root was not scanned, what leads to it was.
    chain.leave_all();
    files.enter(&mut chain, "a/b");
    assert_eq!(state(&chain, "a/b/"), "in-a in-b");
    files.enter(&mut chain, "");
    assert_eq!(state(&chain, ""), "top");
}

#[test]
fn parents_of_the_transfer() {
    let list = rules(&[": /.f", ": .g", ": ../.h"]).unwrap();
    let mut chain = Chain::new(&list, Role::Sender);
    let files = [
        ("/:.f", "- a1\n- /x/y/anchored"),
        ("/x:.f", "- a2"),
        (".f", "- a3\n- /here"),
        ("/x:.g", "- no"),
        ("/x:.h", "- a4"),
        ("/:.h", "- no"),
        ("d/.g", "- a5"),
    ];
    let mut files = Files::new(&files);
    chain.set_root(b"/x/y/");
    files.enter(&mut chain, "d");
    for name in ["d/a1", "d/a2", "d/a3", "d/a4", "d/a5", "anchored", "here"] {
        assert!(excluded(&chain, name), "{name}");
    }
    for name in ["d/no", "d/anchored", "d/here", "y/anchored"] {
        assert!(!excluded(&chain, name), "{name}");
    }
    // A transfer of the contents reads the root's file once, as its own.
    let reads = files.1;
    files.enter(&mut chain, "");
    assert_eq!(files.1 - reads, 2 + 2 + 3 - 1);
    assert!(excluded(&chain, "here") && excluded(&chain, "anchored"));
}

#[test]
fn anchors_and_odd_directory_names() {
    let list = rules(&[": .f"]).unwrap();
    let mut chain = Chain::new(&list, Role::Sender);
    let mut files = Files::new(&[("[d]*/.f", "- /x\n- /e/**k\n- /**/z\n-! /w*\n")]);
    files.enter(&mut chain, "[d]*");
    for (name, expected) in [
        ("[d]*/x", true),
        ("[d]*/w", false),
        ("[d]*/w2", false),
        ("[d]*/q", true),
        ("[d]*/e/w/k", true),
        ("[d]*/z", true),
    ] {
        assert_eq!(excluded(&chain, name), expected, "{name}");
    }
}

#[test]
fn files_that_name_files() {
    let list = rules(&[": .f"]).unwrap();
    let mut chain = Chain::new(&list, Role::Sender);
    let mut files = Files::new(&[
        (".f", ": .g\n- k\n: .f\n"),
        ("d/.g", "+ k\n"),
        ("d/.f", "!\n: .g\n- x\n"),
        ("d/e/.g", "- y\n"),
        ("m/.f", ". sub/rules\n. plain\n"),
        ("plain", "- p\n- /m/q\n- /r\n"),
        ("m/sub/rules", "- z\n!\n- w\n"),
        ("bad/.f", "- a\n. nope\n"),
        ("worse/.f", "+ a\nzz\n"),
    ]);
    files.enter(&mut chain, "");
    assert!(excluded(&chain, "k"));
    files.enter(&mut chain, "d");
    // What the ! cut off is not in force, so the .g of this directory counts anew.
    assert!(!excluded(&chain, "d/k") && excluded(&chain, "d/x"));
    files.enter(&mut chain, "d/e");
    assert!(excluded(&chain, "d/e/y") && excluded(&chain, "d/e/x") && !excluded(&chain, "d/e/k"));
    files.enter(&mut chain, "m");
    assert!(excluded(&chain, "m/w") && !excluded(&chain, "m/z") && !excluded(&chain, "m/k"));
    // A plain name is looked for in the transfer root, where what it holds is anchored as well.
    assert!(excluded(&chain, "m/p") && excluded(&chain, "m/q") && !excluded(&chain, "m/r"));
    let error = files.try_enter(&mut chain, "bad").unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to open exclude file <rule from /bad/.f line 2>"
    );
    let error = files.try_enter(&mut chain, "worse").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Unknown filter rule: <rule from /worse/.f line 2>"
    );
    files.enter(&mut chain, "");
    assert!(excluded(&chain, "k"));
}

#[test]
fn where_named_files_are() {
    for (name, place) in [
        ("x", "x"),
        ("./x", "d/e/x"),
        ("../x", "d/x"),
        ("../../x", "x"),
        ("../../../x", "/home:x"),
        ("../../../../../../x", "/:x"),
        ("/home/me/d/x", "d/x"),
        ("/etc/../x", "/:x"),
        ("/x/y/", "/x:y"),
    ] {
        let list = rules(&[": .f"]).unwrap();
        let mut chain = Chain::new(&list, Role::Sender);
        chain.set_root(b"/home//./you/../me/");
        let rule = format!(". {name}").leak();
        let mut files = Files::new(&[("d/e/.f", rule), (place, "- a")]);
        files.enter(&mut chain, "d/e");
        assert!(excluded(&chain, "d/e/a"), "{name}");
    }
}

#[test]
fn files_that_name_each_other_many_times_are_bounded() {
    // Two rules a file, 30 files deep: a thousand million reads.
    let texts: Vec<(String, String)> = (0..30)
        .map(|depth| {
            let next = depth + 1;
            (format!("{depth}"), format!(". {next}\n. {next}\n"))
        })
        .collect();
    let files: Vec<(&str, &'static str)> = texts
        .iter()
        .map(|(name, text)| (name.as_str(), &*text.clone().leak()))
        .chain([("30", "")])
        .collect();
    let list = rules(&[": 0"]).unwrap();
    let mut files = Files::new(&files);
    let mut chain = Chain::new(&list, Role::Sender);
    let error = files.try_enter(&mut chain, "").unwrap_err();
    assert!(matches!(error, FilterError::TooManyFiles { .. }), "{error}");
    assert_eq!((error.exit_code(), files.1), (11, 1001));
    // The same from an option.
    let mut reads = 0;
    let texts = [FilterText::Rule(b". 0".to_vec())];
    let outcome = RuleList::from_options(&texts, RuleSettings::default(), &mut |name| {
        reads += 1;
        let name = std::str::from_utf8(name).unwrap();
        Ok(files.0[name].as_bytes().to_vec())
    });
    assert!(matches!(outcome, Err(FilterError::TooManyFiles { .. })));
    assert_eq!(reads, 1001);
}

#[test]
fn a_second_rule_for_a_file_still_excludes_its_name() {
    let list = rules(&[": .f", ":e .f"]).unwrap();
    let mut chain = Chain::new(&list, Role::Sender);
    let mut files = Files::new(&[(".f", ": .g\n:er .g\n")]);
    files.enter(&mut chain, "");
    assert!(excluded(&chain, ".f") && excluded(&chain, ".g"));
}

#[test]
fn delete_excluded_leaves_rules_of_named_files_alone() {
    let settings = RuleSettings {
        delete_excluded: true,
        ..RuleSettings::default()
    };
    let texts = [FilterText::Rule(b":e .f".to_vec())];
    let list = RuleList::from_options(&texts, settings, &mut super::no_files).unwrap();
    let mut chain = Chain::new(&list, Role::Receiver);
    let mut files = Files::new(&[(".f", "- a\n. named\n"), ("named", "- b\n")]);
    files.enter(&mut chain, "");
    assert!(excluded(&chain, "b") && !excluded(&chain, "a") && !excluded(&chain, ".f"));
}

#[test]
fn endless_chains_of_files_end() {
    let list = rules(&[": 0"]).unwrap();
    let mut chain = Chain::new(&list, Role::Sender);
    let mut read = |_: Place<'_>, name: &[u8]| -> io::Result<Option<Vec<u8>>> {
        let number: u32 = std::str::from_utf8(name).unwrap().parse().unwrap();
        Ok(Some(format!(": {}\n- {number}\n", number + 1).into_bytes()))
    };
    chain.enter_dir(b"", &mut read).unwrap();
    assert!(excluded(&chain, "31") && !excluded(&chain, "32"));
    assert!(matches!(chain.take_notices()[..], [Notice::Depth(_)]));
    let mut read =
        |_: Place<'_>, _: &[u8]| -> io::Result<Option<Vec<u8>>> { Ok(Some(b". x\n".to_vec())) };
    chain.leave_all();
    assert!(matches!(
        chain.enter_dir(b"", &mut read),
        Err(FilterError::Depth { .. })
    ));
    let mut read = |_: Place<'_>, _: &[u8]| -> io::Result<Option<Vec<u8>>> {
        Ok(Some(b"- x\n".repeat(40_000)))
    };
    assert!(matches!(
        chain.enter_dir(b"a/b", &mut read),
        Err(FilterError::TooMany)
    ));
    chain.leave_all();
    // What was left does not count any more.
    for dir in [&b"a"[..], b"b", b"c"] {
        chain.enter_dir(dir, &mut read).unwrap();
    }
}
