//! Parsing, per-directory files, checks of names, limits. What looks odd was seen in runs of rsync 3.5.0.

use std::collections::HashMap;
use std::io;

use proptest::prelude::*;
use rsync_proto::Protocol;

use super::{no_files, rules};
use crate::filter::{
    Chain, CvsSources, Descent, FilterError, MAX_RULES, ModuleParameters, Notice, Pattern, Place,
    Requested, RequestedNames, Role, RuleList, RuleSettings, SentRules, clamp_name,
    files_from_names, forwarded_files_from, module_rules,
};
use crate::options::FilterText;

fn wire(list: &RuleList, role: Role) -> Vec<String> {
    let rules = list.wire_rules(Protocol::V32, role).unwrap();
    rules
        .into_iter()
        .map(|rule| String::from_utf8(rule).unwrap())
        .collect()
}

#[test]
fn faults_in_rules() {
    for (text, message) in [
        (
            ":C- .x",
            "invalid modifier '-' at position 2 in filter rule: :C- .x",
        ),
        (
            ":-C .x",
            "invalid modifier 'C' at position 2 in filter rule: :-C .x",
        ),
        (
            ":-+ .x",
            "invalid modifier '+' at position 2 in filter rule: :-+ .x",
        ),
        (
            ":! .x",
            "invalid modifier '!' at position 1 in filter rule: :! .x",
        ),
        (
            "HC x",
            "invalid modifier 'C' at position 1 in filter rule: HC x",
        ),
        (
            "Hs x",
            "invalid modifier 's' at position 1 in filter rule: Hs x",
        ),
        (
            "P,r x",
            "invalid modifier 'r' at position 2 in filter rule: P,r x",
        ),
        (
            "-CC",
            "invalid modifier 'C' at position 2 in filter rule: -CC",
        ),
        (
            "-C,",
            "invalid modifier ',' at position 2 in filter rule: -C,",
        ),
        (
            "-,,p x",
            "invalid modifier ',' at position 2 in filter rule: -,,p x",
        ),
        (
            "+e x",
            "invalid modifier 'e' at position 1 in filter rule: +e x",
        ),
        (
            "exclude,qz x",
            "invalid modifier 'q' at position 8 in filter rule: exclude,qz x",
        ),
        (
            "-\tx",
            "invalid modifier '\\#011' at position 1 in filter rule: -\\#011x",
        ),
        ("-", "unexpected end of filter rule: -"),
        ("- ", "unexpected end of filter rule: - "),
        ("-x", "unexpected end of filter rule: -x"),
        ("hide", "unexpected end of filter rule: hide"),
        ("hide,", "unexpected end of filter rule: hide,"),
        (":en ", "unexpected end of filter rule: :en "),
        ("merge", "unexpected end of filter rule: merge"),
        ("excludefoo", "Unknown filter rule: excludefoo"),
        ("zz\u{1}\n", "Unknown filter rule: zz\\#001\\#012"),
        (" x", "Unknown filter rule:  x"),
        ("! ", "'!' rule has trailing characters: ! "),
        ("!,x", "'!' rule has trailing characters: !,x"),
        ("clear_", "'!' rule has trailing characters: clear_"),
    ] {
        let error = rules(&[text]).expect_err(text);
        assert_eq!(error.to_string(), message);
        assert_eq!(error.exit_code(), 1);
    }
}

#[test]
fn spellings_of_rules() {
    for (text, written) in [
        ("-!/p x", "-/!p x"),
        ("-,p y", "-p y"),
        ("exclude,p z/", "-p z/"),
        ("-rs zz", "-sr zz"),
        ("-  x", "-  x"),
        ("-__x", "- _x"),
        ("H,! x", "-!s x"),
        ("exclude_x y", "- x y"),
        ("dir-merge,n_ foo", ":n  foo"),
        (":C", ":C .cvsignore"),
        (":/Cp b", ":/Cp b"),
        (":x- .x", ":-x .x"),
        ("-C foo", "-C foo"),
        ("+!C", "+!C "),
        ("- foo//", "- foo//"),
        ("- /", "- /"),
        ("- a\\/", "- a\\/"),
    ] {
        assert_eq!(
            wire(&rules(&[text]).unwrap(), Role::Receiver),
            [written],
            "{text}"
        );
    }
    // A rule for its own side stays at home; an empty text is none.
    assert!(wire(&rules(&["P x", ""]).unwrap(), Role::Receiver).is_empty());
    assert!(wire(&rules(&["S x"]).unwrap(), Role::Sender).is_empty());
    assert_eq!(
        wire(&rules(&["- a", "clear,", "- b"]).unwrap(), Role::Receiver),
        ["- b"]
    );
    // The second file of one name is never looked at.
    assert_eq!(
        wire(&rules(&[": .f", ":n a/.f"]).unwrap(), Role::Receiver),
        [": .f"]
    );
    assert_eq!(
        wire(&rules(&[":es .f"]).unwrap(), Role::Receiver),
        ["- .f", ":s .f"]
    );
}

#[test]
fn cvs_lists_on_a_push() {
    let cvs = CvsSources {
        home: Some(b"hx hy/\n".to_vec()),
        environment: Some(b"ex".to_vec()),
    };
    let mut list = RuleList::new(RuleSettings {
        cvs,
        ..RuleSettings::default()
    });
    list.add_cvs_exclude(Protocol::V32).unwrap();
    let sent = wire(&list, Role::Sender);
    assert_eq!(sent[..2], [":C .cvsignore", "-p RCS"]);
    assert_eq!(sent[36..], ["-p .bzr/", "- hx", "- hy/", "- ex"]);
    assert!(wire(&list, Role::Receiver).is_empty());
    // Added after the handshake, these know that the peer has no perishable rules; a written -C does not.
    let mut old = RuleList::new(RuleSettings::default());
    old.add_cvs_exclude(Protocol::V29).unwrap();
    assert_eq!(
        old.wire_rules(Protocol::V29, Role::Sender).unwrap()[1],
        b"- RCS"
    );
    let written = rules(&["-C"])
        .unwrap()
        .wire_rules(Protocol::V29, Role::Sender);
    assert!(matches!(written, Err(FilterError::TooModern)));
    // What a lone ! in the list leaves.
    let cvs = CvsSources {
        home: Some(b"a ! b".to_vec()),
        environment: None,
    };
    let mut list = RuleList::new(RuleSettings {
        cvs,
        ..RuleSettings::default()
    });
    list.add_cvs_exclude(Protocol::V32).unwrap();
    assert_eq!(wire(&list, Role::Sender), [":C .cvsignore", "- b"]);
}

#[test]
fn rules_of_files() {
    let files = HashMap::from([
        (
            &b"ol"[..],
            [b"- a\n\r\n\r- ", &b"x".repeat(6000)[..], b"\n- b"].concat(),
        ),
        (b"ol4", b"#\n#\n. ol3".to_vec()),
        (b"ol3", b"\nzz".to_vec()),
        (b"sided", b"H x".to_vec()),
        (b"letter", b"-q x".to_vec()),
        (b"words", b"-_q -q_x".to_vec()),
        (b"loop", b". loop".to_vec()),
        (b"clear", b"! x".to_vec()),
        (b"missing", b"\n. nope".to_vec()),
        (b"bare", b"- ".to_vec()),
    ]);
    let mut read = |name: &[u8]| {
        files
            .get(name)
            .cloned()
            .ok_or_else(|| io::Error::from_raw_os_error(2))
    };
    let mut fault = |text: FilterText| {
        RuleList::from_options(&[text], RuleSettings::default(), &mut read).unwrap_err()
    };
    let rule = |text: &str| FilterText::Rule(text.into());
    for (text, message) in [
        (
            rule(". ol4"),
            "Unknown filter rule: <rule from a file named at ol4 line 3>",
        ),
        (
            rule(".s sided"),
            "specified-side merge file contains specified-side filter: <rule from sided line 1>",
        ),
        (
            rule(". letter"),
            "invalid modifier in filter rule: <rule from letter line 1>",
        ),
        (
            rule(".w words"),
            "invalid modifier in filter rule: <rule from words>",
        ),
        (
            rule(". clear"),
            "'!' rule has trailing characters: <rule from clear line 1>",
        ),
        (
            FilterText::ExcludeFrom(b"bare".into()),
            "unexpected end of filter rule: <rule from bare line 1>",
        ),
    ] {
        let error = fault(text);
        assert_eq!(error.to_string(), message);
        assert_eq!(error.exit_code(), 1);
    }
    for (text, message) in [
        (
            rule(". missing"),
            "failed to open exclude file <rule from missing line 2>",
        ),
        (
            rule(".+ nope"),
            "failed to open include file nope: No such file or directory (2)",
        ),
        (
            FilterText::IncludeFrom(b"no\npe".into()),
            "failed to open include file no\\#012pe: No such file or directory (2)",
        ),
    ] {
        let error = fault(text);
        assert_eq!(error.to_string(), message);
        assert_eq!(error.exit_code(), 11);
    }
    let error = fault(rule(". loop"));
    assert!(error.to_string().starts_with(
        "merge-file include depth limit (32) exceeded at <rule from a file named at "
    ));

    let mut list = RuleList::from_options(
        &[rule(". ol"), rule("- q ")],
        RuleSettings::default(),
        &mut read,
    )
    .unwrap();
    assert_eq!(wire(&list, Role::Sender), ["- a", "- b", "- q "]);
    let notices: Vec<_> = list.take_notices().iter().map(Notice::to_string).collect();
    assert_eq!(
        notices,
        [
            "discarding over-long filter: <rule from ol line 4>",
            "add_rule(- q ) -- CAUTION: trailing whitespace!"
        ]
    );
}

#[test]
fn what_a_client_may_send() {
    let settings = RuleSettings::default;
    let over = vec![b'x'; 5120];
    for text in [&b""[..], &over, b"- a\0b"] {
        let error = RuleList::from_wire(&[text], settings()).unwrap_err();
        assert!(matches!(error, FilterError::WireRule { len } if len == text.len()));
        assert_eq!(error.exit_code(), 22);
    }
    for text in [". /etc/passwd", "merge,- x"] {
        let error = RuleList::from_wire(&[text], settings()).unwrap_err();
        assert!(matches!(error, FilterError::MergeFromPeer { .. }));
    }
    let mut list = RuleList::from_wire(
        &[[b"- ", &[b'x'; 4096][..]].concat(), b"- y".to_vec()],
        settings(),
    )
    .unwrap();
    assert_eq!(wire(&list, Role::Sender), ["- y"]);
    assert!(matches!(list.take_notices()[..], [Notice::OverLong(_)]));
    let many = vec![b"- x"; MAX_RULES + 1];
    assert!(RuleList::from_wire(&many[1..], settings()).is_ok());
    assert!(matches!(
        RuleList::from_wire(&many, settings()),
        Err(FilterError::TooMany)
    ));
    // A server applies what it gets, whatever sides it names.
    let list = RuleList::from_wire(&["-r x", "!", "-r y"], settings()).unwrap();
    let chain = Chain::new(&list, Role::Sender);
    assert!(chain.check(b"y", false).is_excluded() && !chain.check(b"x", false).is_excluded());
}

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
                Place::Above(dir) => format!("{}:{name}", std::str::from_utf8(dir).unwrap()),
            };
            Ok(self.0.get(&path).map(|text| text.as_bytes().to_vec()))
        })
    }
}

fn excluded(chain: &Chain, name: &str) -> bool {
    chain.check(name.as_bytes(), false).is_excluded()
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
        ("m/.f", ". sub/rules\n"),
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

#[test]
fn sides_and_perishable() {
    let list = rules(&["P p", "H h", "R r", "S s", "-p soft", "- *"]).unwrap();
    let sender = Chain::new(&list, Role::Sender);
    let receiver = Chain::new(&list, Role::Receiver);
    let shown = |chain: &Chain| -> String {
        ["p", "h", "r", "s"]
            .iter()
            .filter(|name| !excluded(chain, name))
            .copied()
            .collect()
    };
    assert_eq!(
        (shown(&sender), shown(&receiver)),
        ("s".to_owned(), "r".to_owned())
    );
    let list = rules(&["-p soft", ": .f"]).unwrap();
    let chain = Chain::new(&list, Role::Receiver);
    assert!(chain.check(b"d/soft", false).is_excluded());
    assert!(!chain.check_removing(b"d/soft", false).is_excluded());
    let rule = chain.deciding_rule(b"soft", false, false).unwrap();
    assert_eq!(
        (rule.is_include(), rule.pattern().text(), rule.origin()),
        (false, &b"soft"[..], String::new())
    );
}

#[test]
fn attributes_have_their_own_rules() {
    let list = rules(&["-x user.skip", "- *", "+x user.*"]).unwrap();
    let chain = Chain::new(&list, Role::Sender);
    assert!(chain.has_xattr_rules());
    assert!(chain.check_xattr(b"user.skip").is_excluded());
    assert!(
        !chain.check_xattr(b"user.keep").is_excluded()
            && !chain.check_xattr(b"other").is_excluded()
    );
    assert!(excluded(&chain, "user.keep"));
    assert!(!Chain::new(&rules(&["- a"]).unwrap(), Role::Sender).has_xattr_rules());
}

#[test]
fn absolute_rules() {
    let list = rules(&["-/ src/foo", "-/ /case/src/x*", "-/ base", "-/ **/deep/**"]).unwrap();
    let mut chain = Chain::new(&list, Role::Sender);
    chain.set_root(b"/case/src");
    for (name, expected) in [
        ("foo", true),
        ("d/foo", false),
        ("x1", true),
        ("d/x1", false),
        ("d/base", true),
        ("deep/a", true),
        ("deep", false),
    ] {
        assert_eq!(excluded(&chain, name), expected, "{name}");
    }
    chain.set_root(b"/");
    assert!(
        excluded(&chain, "src/foo") && !excluded(&chain, "foo") && excluded(&chain, "case/src/x")
    );
}

#[test]
fn module_filters() {
    let hidden = |parameters: &ModuleParameters<'_>| -> String {
        let list = module_rules(parameters, &mut no_files).unwrap();
        let chain = Chain::new(&list, Role::Receiver);
        let names = ["a/b", "x/a/b", "priv/f", "x/priv/f", "c.o", "keep", "inc/f"];
        names
            .iter()
            .filter(|name| chain.excludes_path(name.as_bytes(), false))
            .copied()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let filter = |text: &'static str| ModuleParameters {
        filter: text.as_bytes(),
        ..Default::default()
    };
    let exclude = |text: &'static str| ModuleParameters {
        exclude: text.as_bytes(),
        ..Default::default()
    };
    assert_eq!(hidden(&exclude("a/b")), "a/b x/a/b");
    assert_eq!(hidden(&exclude("/a/b")), "a/b");
    assert_eq!(hidden(&exclude("keep ! c.o")), "c.o");
    assert_eq!(hidden(&exclude("**b x/a/")), "a/b x/a/b");
    assert_eq!(hidden(&filter("- priv/ - c.o")), "priv/f x/priv/f c.o");
    assert_eq!(hidden(&filter("- a/* +_x -_keep")), "a/b x/a/b keep");
    assert_eq!(hidden(&filter("- keep ! - c.o")), "c.o");
    assert_eq!(
        hidden(&filter("exclude a/** exclude,! _zz")),
        "a/b x/a/b priv/f x/priv/f c.o keep inc/f"
    );
    assert_eq!(hidden(&filter("H keep -s c.o P inc/f")), "inc/f");
    assert_eq!(hidden(&filter("- priv/*/")), "");
    let both = ModuleParameters {
        include: b"+ inc/ - keep",
        exclude: b"- c.o + zz priv/ inc/",
        ..Default::default()
    };
    assert_eq!(hidden(&both), "priv/f x/priv/f c.o keep inc/f");
    for text in ["bogus keep", "-", "!x", "- a -q x"] {
        assert!(
            module_rules(&filter(text), &mut no_files).is_err(),
            "{text}"
        );
    }
    let list = module_rules(&filter("- keep"), &mut no_files).unwrap();
    let chain = Chain::new(&list, Role::Receiver);
    assert_eq!(
        chain.deciding_rule(b"keep", false, false).unwrap().origin(),
        " [daemon]"
    );
    let files = ModuleParameters {
        include_from: b"inc",
        exclude_from: b"exc",
        filter: b"- z",
        ..Default::default()
    };
    let mut read = |name: &[u8]| {
        Ok(if name == b"inc" {
            b"keep.o\n".to_vec()
        } else {
            b"# c\n*.o\nd/\n".to_vec()
        })
    };
    let list = module_rules(&files, &mut read).unwrap();
    assert_eq!(
        wire(&list, Role::Receiver),
        ["- z", "+ keep.o", "- *.o", "- d/***"]
    );
}

#[test]
fn requested_names() {
    use Descent::{All, Children, None};
    // Argument, -R, descent, what is fine, what is not; a slash marks directories.
    for (argument, relative, descent, fine, refused) in [
        ("src", false, All, "src/ src/a src/a/b", "srcx f"),
        ("src/", false, All, "a a/b", ""),
        ("x/src", false, All, "src/ src/a", "x/ x/src"),
        ("x/f1", false, None, "f1", "f2 f1/g"),
        ("x/", false, Children, "f1 d/", "d/g"),
        ("x/d", false, Children, "d/ d/e/ d/f", "e d/e/f"),
        ("d/*.c", false, All, "x.c .c x.c/a", "x.h d/"),
        ("[ab]", false, All, "a b [ab]", "c"),
        ("a/b/c", true, All, "a/b/c a/b/c/d", "a/x a/b/d b"),
        ("a/./b/c", true, All, "b/c b/c/d", "a/ b/d"),
        ("/abs/p", true, All, "/abs/p /abs/p/x abs/p", "/abs/q"),
        ("a/*/c", true, All, "a/x/c a/x/c/d", "a/x/y"),
        ("src/..", false, All, "", "a src/ b"),
        ("", false, All, "a a/b", ""),
        ("./x//y/.", true, None, "x/y", "x/y/z x/z"),
    ] {
        let mut names = RequestedNames::new(relative, descent);
        names.add_argument(argument.as_bytes(), false);
        let check = |name: &str| {
            names.check(
                name.strip_suffix('/').unwrap_or(name).as_bytes(),
                name.ends_with('/'),
            )
        };
        for name in fine.split_whitespace() {
            assert_eq!(check(name), Requested::Yes, "{argument}: {name}");
        }
        for name in refused.split_whitespace() {
            assert_eq!(check(name), Requested::No, "{argument}: {name}");
        }
    }
    let mut names = RequestedNames::new(true, All);
    names.add_argument(b"module/a/*/c/d", true);
    names.add_argument(b"module/x/y", true);
    for (name, is_dir, expected) in [
        (&b"a"[..], true, Requested::Parent),
        (b"a", false, Requested::No),
        (b"a/q", true, Requested::Parent),
        (b"a/q/c", true, Requested::Parent),
        (b"a/q/d", true, Requested::No),
        (b"x", true, Requested::Parent),
        (b".", true, Requested::Parent),
        (b"x/y/z", false, Requested::Yes),
    ] {
        assert_eq!(
            names.check(name, is_dir),
            expected,
            "{}",
            name.escape_ascii()
        );
    }
    names.add_argument(b"module", true);
    assert_eq!(names.check(b".", true), Requested::Yes);
    // A pull of ../a by --files-from gets a, which was not asked for in these words.
    let mut names = RequestedNames::new(true, None);
    names.add_name(b"../a");
    assert_eq!(names.check(b"a", false), Requested::No);
}

#[test]
fn rules_that_were_sent() {
    let sent = |texts: &[&str]| SentRules::new(&rules(texts).unwrap());
    let plain = sent(&["- *.o", "H h", "P p", "-x x"]);
    for (name, expected) in [
        ("a.o", true),
        ("h", true),
        ("p", false),
        ("x", false),
        (".", false),
        ("/d/a.o", true),
    ] {
        assert_eq!(plain.reject(name.as_bytes(), false), expected, "{name}");
    }
    // Only the sender knows what its files say.
    assert!(!sent(&[": .f", "- a"]).reject(b"a", false));
    // Whether the first rule matches, only the sender knows.
    assert!(!sent(&["+/ /home/a", "- a"]).reject(b"a", false));
    assert!(sent(&["- a", "+/ /home/a"]).reject(b"a", false));
    let cvs = CvsSources {
        home: None,
        environment: Some(b"mine".to_vec()),
    };
    let texts = [FilterText::Rule(b"-C".to_vec())];
    let settings = RuleSettings {
        cvs,
        ..RuleSettings::default()
    };
    let list = RuleList::from_options(&texts, settings, &mut no_files).unwrap();
    let sent = SentRules::new(&list);
    assert!(sent.reject(b"a.o", false) && !sent.reject(b"mine", false));
}

#[test]
fn lists_of_names() {
    let list = b"a\r\n# c\n; c\n\n/d/b\nlast";
    let names = |comments| files_from_names(list, false, comments).collect::<Vec<_>>();
    assert_eq!(names(true), [&b"a"[..], b"/d/b", b"last"]);
    assert_eq!(names(false), [&b"a"[..], b"# c", b"; c", b"/d/b", b"last"]);
    assert_eq!(
        forwarded_files_from(list, false),
        b"a\0# c\0; c\0/d/b\0last\0\0"
    );
    assert_eq!(forwarded_files_from(b"a\nb\0\0c", true), b"a\nb\0c\0\0");
    assert_eq!(forwarded_files_from(b"\n", false), b"\0");
    for (name, clamped) in [
        ("/etc/x", "etc/x"),
        ("../x", "x"),
        ("../../d/b", "d/b"),
        ("a/../b/", "b/"),
        ("a/./../b", "b"),
        ("a/./b", "a/./b"),
        ("a//b", "a/b"),
        ("..", "."),
        ("/", "./"),
        ("...", "..."),
    ] {
        assert_eq!(clamp_name(name.as_bytes()), clamped.as_bytes(), "{name}");
    }
}

#[test]
fn without_rules_there_is_nothing_to_do() {
    let chain = Chain::new(&RuleList::default(), Role::Sender);
    assert!(chain.is_empty() && !chain.has_dir_merge());
    assert!(!excluded(&chain, "a"));
    let list = rules(&["- ."]).unwrap();
    let chain = Chain::new(&list, Role::Sender);
    assert!(!excluded(&chain, ".") && !excluded(&chain, ""));
    assert!(Pattern::new(b".").unwrap().matches(b".", true));
}

/// Rules in the form they are sent, and some that are not.
fn rule_text() -> impl Strategy<Value = Vec<u8>> {
    let op = prop::sample::select(vec![
        "-",
        "+",
        ":",
        ".",
        "!",
        "H",
        "exclude",
        "dir-merge",
        "q",
    ]);
    let letters = prop::collection::vec(prop::sample::select(b"/!Cnw-+exsrp,".to_vec()), 0..4);
    let pattern = prop::collection::vec(prop::sample::select(b"ab/*?[]\\ _\n\x80".to_vec()), 0..6);
    (op, letters, pattern)
        .prop_map(|(op, letters, pattern)| [op.as_bytes(), &letters, b" ", &pattern].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_sent_is_understood(text in rule_text()) {
        let mut read = |_: &[u8]| Ok(Vec::new());
        let texts = [FilterText::Rule(text)];
        if let Ok(list) = RuleList::from_options(&texts, RuleSettings::default(), &mut read) {
            for role in [Role::Sender, Role::Receiver] {
                let sent = list.wire_rules(Protocol::V32, role).unwrap();
                let again = RuleList::from_wire(&sent, RuleSettings::default()).unwrap();
                prop_assert_eq!(again.wire_rules(Protocol::V32, role).unwrap(), sent);
            }
        }
    }

    #[test]
    fn nothing_panics(
        rules in prop::collection::vec(rule_text(), 0..4),
        junk in prop::collection::vec(any::<u8>(), 0..60),
        name in prop::collection::vec(prop::sample::select(b"ab/.*".to_vec()), 0..8),
    ) {
        let _ = module_rules(
            &ModuleParameters { filter: &junk, include: &junk, exclude: &junk, ..Default::default() },
            &mut |_| Ok(Vec::new()),
        );
        let _ = clamp_name(&junk);
        let mut names = RequestedNames::new(true, Descent::All);
        names.add_argument(&junk, true);
        let _ = names.check(&name, true);
        let merged = rules.join(&b'\n');
        let texts = [FilterText::Rule(b": .f".to_vec()), FilterText::Exclude(junk.clone())];
        let Ok(list) = RuleList::from_options(&texts, RuleSettings::default(), &mut |_| Ok(junk.clone())) else {
            return Ok(());
        };
        let _ = SentRules::new(&list).reject(&name, false);
        let mut chain = Chain::new(&list, Role::Receiver);
        chain.set_root(&junk);
        let mut read = |_: Place<'_>, file: &[u8]| Ok((file != b"b").then(|| merged.clone()));
        for dir in [&b""[..], b"a", b"a/b", b"b"] {
            let _ = chain.enter_dir(dir, &mut read);
            let _ = chain.check(&name, true);
            let _ = chain.check_removing(&name, false);
            let _ = chain.check_xattr(&name);
            let _ = chain.excludes_path(&name, false);
        }
    }
}
