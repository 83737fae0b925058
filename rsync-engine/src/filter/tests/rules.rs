//! Parsing and the lists made of it. What looks odd was seen in runs of rsync 3.5.0.

use std::collections::HashMap;
use std::io;

use rsync_proto::Protocol;

use super::{excluded, rules, wire};
use crate::filter::{
    Chain, CvsSources, FilterError, MAX_RULES, Notice, Role, RuleList, RuleSettings,
};
use crate::options::FilterText;

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
            "invalid modifier '\t' at position 1 in filter rule: -\tx",
        ),
        ("-", "unexpected end of filter rule: -"),
        ("- ", "unexpected end of filter rule: - "),
        ("-x", "unexpected end of filter rule: -x"),
        ("hide", "unexpected end of filter rule: hide"),
        ("hide,", "unexpected end of filter rule: hide,"),
        (":en ", "unexpected end of filter rule: :en "),
        ("merge", "unexpected end of filter rule: merge"),
        ("excludefoo", "Unknown filter rule: excludefoo"),
        ("zz\u{1}\nx", "Unknown filter rule: zz\\#001\\#012x"),
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
    list.add_cvs_exclude(Protocol::V32, Role::Sender).unwrap();
    let sent = wire(&list, Role::Sender);
    assert_eq!(sent[..2], [":C .cvsignore", "-p RCS"]);
    assert_eq!(sent[36..], ["-p .bzr/", "- hx", "- hy/", "- ex"]);
    assert!(wire(&list, Role::Receiver).is_empty());
    // Added after the handshake, these know that the peer has no perishable rules; a written -C does not.
    let mut old = RuleList::new(RuleSettings::default());
    old.add_cvs_exclude(Protocol::V29, Role::Sender).unwrap();
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
    list.add_cvs_exclude(Protocol::V32, Role::Sender).unwrap();
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
    let rule = chain.deciding_rule(b"soft", false).unwrap();
    assert_eq!(
        (rule.is_include(), rule.pattern().text(), rule.origin()),
        (false, &b"soft"[..], String::new())
    );
}

#[test]
fn what_the_rules_of_a_list_depend_on() {
    for (rule, by_path, one_sided) in [
        ("- a", false, false),
        ("- a/", false, false),
        ("+ *.o", false, false),
        ("-p a", false, false),
        ("-sr a", false, false),
        ("-x user.a/b", false, false),
        ("- /a", true, false),
        ("- a/b", true, false),
        ("- a**", true, false),
        ("P a", false, true),
        ("-r a/b", true, true),
        ("-/ a", false, true),
        (": .f", true, true),
    ] {
        let chain = Chain::new(&rules(&[rule]).unwrap(), Role::Receiver);
        assert_eq!(chain.depends_on_path(), by_path, "{rule}");
        assert_eq!(chain.is_one_sided(), one_sided, "{rule}");
    }
    let none = Chain::new(&rules(&["H a/b"]).unwrap(), Role::Receiver);
    assert!(!none.depends_on_path() && !none.is_one_sided());
}

#[test]
fn rules_before_all_others() {
    let list = rules(&["- a", "+ b"]).unwrap();
    let first = [b"+ /a".to_vec(), b"- /d e/*".to_vec()];
    let list = list.with_first(&first).unwrap();
    assert_eq!(
        wire(&list, Role::Sender),
        ["+ /a", "- /d e/*", "- a", "+ b"]
    );
    let receiver = Chain::new(&list, Role::Receiver);
    assert!(excluded(&receiver, "d e/x") && !excluded(&receiver, "a"));
    let sender = Chain::new(&list, Role::Sender);
    assert!(!excluded(&sender, "d e/x") && excluded(&sender, "a"));
    assert!(list.with_first(&[b". file".to_vec()]).is_err());
}
