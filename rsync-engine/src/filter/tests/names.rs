//! What is asked about names: absolute rules, attributes, module filters, checks of a sender's list, lists of names.

use rsync_proto::Protocol;

use super::{excluded, no_files, rules, wire};
use crate::filter::{
    Chain, CvsSources, Descent, ModuleParameters, Pattern, Place, Requested, RequestedNames, Role,
    RuleList, RuleSettings, SentRules, clamp_name, files_from_names, forwarded_files_from,
    module_rules,
};
use crate::options::FilterText;

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
        let list = module_rules(
            parameters,
            CvsSources::default(),
            Protocol::MAX,
            &mut no_files,
        )
        .unwrap();
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
            module_rules(
                &filter(text),
                CvsSources::default(),
                Protocol::MAX,
                &mut no_files
            )
            .is_err(),
            "{text}"
        );
    }
    let list = module_rules(
        &filter("- keep"),
        CvsSources::default(),
        Protocol::MAX,
        &mut no_files,
    )
    .unwrap();
    let chain = Chain::new(&list, Role::Receiver);
    assert!(chain.excludes_path(b"keep/", true) && chain.excludes_path(b"a/keep/b", false));
    assert!(!chain.excludes_path(b"", true) && !chain.excludes_path(b"/", true));
    assert_eq!(
        chain.deciding_rule(b"keep", false).unwrap().origin(),
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
    let list = module_rules(&files, CvsSources::default(), Protocol::MAX, &mut read).unwrap();
    assert_eq!(
        wire(&list, Role::Receiver),
        ["- z", "+ keep.o", "- *.o", "- d/***"]
    );
}

/// Per-directory files of a module, and what is in force for names elsewhere.
#[test]
fn module_files() {
    let chain = |filter: &'static str, role: Role| {
        let parameters = ModuleParameters {
            filter: filter.as_bytes(),
            exclude: b"/d/top",
            ..Default::default()
        };
        let list = module_rules(
            &parameters,
            CvsSources::default(),
            Protocol::MAX,
            &mut no_files,
        )
        .unwrap();
        let mut chain = Chain::new(&list, role);
        // The transfer begins at `d`.
        chain.set_root(b"/d");
        for dir in [&b""[..], b"e"] {
            let mut read = |place: Place<'_>, _: &[u8]| {
                Ok(match place {
                    Place::Transfer(b"") => Some(b"- x\nH hidden\nP kept\n-p gone\n".to_vec()),
                    Place::Transfer(b"e") => Some(b"+ x\n".to_vec()),
                    _ => None,
                })
            };
            chain.enter_dir(dir, &mut read).unwrap();
        }
        chain
    };
    let sender = chain(": .f", Role::Sender);
    let hides = |name: &str| sender.excludes_path(name.as_bytes(), false);
    assert!(hides("x") && hides("top") && hides("other/x") && hides("hidden"));
    assert!(!hides("e/x") && !hides("kept") && !hides("e/top"));
    assert!(!sender.list_excludes_path(b"x", false) && sender.list_excludes_path(b"top", false));
    let receiver = chain(": .f", Role::Receiver);
    assert!(receiver.excludes_path(b"kept", false) && !receiver.excludes_path(b"hidden", false));
    assert!(receiver.excludes_path(b"gone", false));
    assert!(!receiver.excludes_path_removing(b"gone", false));
    // Not inherited, and not in force for a directory that was not entered.
    let own = chain(":n .f", Role::Sender);
    assert!(own.excludes_path(b"x", false) && !own.excludes_path(b"other/x", false));
    // The file itself is hidden.
    assert!(!chain("- .f : .f", Role::Sender).excludes_path(b"x", false));
    // A rule that was left out does not stand in the way of another.
    assert!(chain(":s .f : .f", Role::Sender).excludes_path(b"x", false));
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
            let found = check(name);
            let covered = matches!(found, Requested::Whole | Requested::Alone);
            assert!(covered, "{argument}: {name}: {found:?}");
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
        (b"x/y/z", false, Requested::Whole),
    ] {
        assert_eq!(
            names.check(name, is_dir),
            expected,
            "{}",
            name.escape_ascii()
        );
    }
    names.add_argument(b"module", true);
    assert_eq!(names.check(b".", true), Requested::Whole);
    // A pull of ../a by --files-from gets a, which was not asked for in these words.
    let mut names = RequestedNames::new(true, None);
    names.add_name(b"../a");
    assert_eq!(names.check(b"a", false), Requested::No);
}

/// Which directories a sender may claim to have listed whole, and which names it may call missing.
#[test]
fn directories_listed_whole() {
    use Descent::{All, Children};
    use Requested::{Alone, Parent, Whole};
    for (arguments, relative, descent, expected) in [
        (&["m/"][..], false, All, &[(".", Whole), ("d", Whole)][..]),
        (&["m"], false, All, &[(".", Whole), ("d", Whole)]),
        (&["m/d/"], false, All, &[(".", Whole), ("/.", Whole)]),
        (&["m/d/."], false, All, &[(".", Whole)]),
        (
            &["m/d"],
            false,
            All,
            &[(".", Parent), ("d", Whole), ("d/e", Whole)],
        ),
        (
            &["m/d/e.txt"],
            false,
            All,
            &[(".", Parent), ("e.txt", Whole)],
        ),
        (
            &["m/d*"],
            false,
            All,
            &[(".", Parent), ("d1", Whole), ("d1/e", Whole)],
        ),
        (&["m/*"], false, All, &[(".", Parent)]),
        (&["m/d", "m/e/"], false, All, &[(".", Whole), ("d", Whole)]),
        (
            &["m/d", "m/e"],
            true,
            All,
            &[(".", Parent), ("/.", Parent), ("d", Whole)],
        ),
        (&["m/a/./b"], true, All, &[(".", Parent), ("b", Whole)]),
        (
            &["m/a/b/"],
            true,
            All,
            &[(".", Parent), ("a", Parent), ("a/b", Whole)],
        ),
        (
            &["m/a/*/c"],
            true,
            All,
            &[(".", Parent), ("a/x", Parent), ("a/x/c", Whole)],
        ),
        (&["m/"], false, Children, &[(".", Whole), ("d", Alone)]),
        (&["m/d/"], false, Children, &[(".", Whole), ("e", Alone)]),
        (
            &["m/d"],
            false,
            Children,
            &[(".", Parent), ("d", Alone), ("d/e", Alone)],
        ),
        (&["m/d*"], false, Children, &[(".", Parent), ("d1", Alone)]),
        (
            &["m/a/b/"],
            true,
            Children,
            &[("a", Parent), ("a/b", Whole), ("a/b/c", Alone)],
        ),
        (&["m/a/b", "m/a/b/."], true, Children, &[("a/b", Whole)]),
        (
            &["m/a*/"],
            true,
            Children,
            &[("a1", Whole), ("a1/b", Alone)],
        ),
    ] {
        let mut names = RequestedNames::new(relative, descent);
        for argument in arguments {
            names.add_argument(argument.as_bytes(), true);
        }
        for &(name, wanted) in expected {
            let found = names.check(name.as_bytes(), true);
            assert_eq!(found, wanted, "{arguments:?} {descent:?}: {name}");
        }
    }
    let mut names = RequestedNames::new(false, All);
    for argument in ["m/", "m/x", "m/y*"] {
        names.add_argument(argument.as_bytes(), true);
    }
    for (name, missing) in [("x", true), ("y*", true), ("x/z", false), ("z", false)] {
        assert_eq!(names.is_argument(name.as_bytes()), missing, "{name}");
    }
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
