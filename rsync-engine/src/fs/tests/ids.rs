//! Names of users and groups, and how ids are mapped (02-file-list 7.2).

use super::*;

/// alice 1000, bob 1001, root 0; staff 50, wheel 10, root 0.
#[derive(Debug)]
struct Town;

impl NameService for Town {
    fn user_name(&mut self, uid: u32) -> Option<&[u8]> {
        Some(match uid {
            0 => b"root",
            1000 => b"alice",
            1001 => b"bob",
            _ => return None,
        })
    }
    fn group_name(&mut self, _gid: u32) -> Option<&[u8]> {
        None
    }
    fn user_id(&mut self, name: &[u8]) -> Option<u32> {
        Some(match name {
            b"root" => 0,
            b"alice" => 1000,
            b"bob" => 1001,
            _ => return None,
        })
    }
    fn group_id(&mut self, name: &[u8]) -> Option<u32> {
        Some(match name {
            b"root" => 0,
            b"staff" => 50,
            b"wheel" => 10,
            _ => return None,
        })
    }
}

fn policy(root: bool, numeric: bool) -> IdPolicy {
    IdPolicy {
        root,
        numeric,
        groups: vec![50, 700],
        usermap: IdRules::default(),
        groupmap: IdRules::default(),
    }
}

/// `*` and literal text are enough here.
fn star(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_last() {
        Some((b'*', prefix)) => text.starts_with(prefix),
        _ => pattern == text,
    }
}

fn rules(kind: IdKind, text: &str) -> IdRules {
    IdRules::parse(kind, text.as_bytes(), star).unwrap()
}

fn mapper(policy: IdPolicy) -> IdMapper {
    let mut mapper = IdMapper::new(policy, Box::new(Town));
    for (id, name) in [
        (0, "toor"),
        (500, "alice"),
        (501, "nobody here"),
        (502, ""),
        (500, "bob"),
    ] {
        mapper.learn(IdKind::User, id, name.as_bytes());
    }
    for (id, name) in [(20, "staff"), (21, "wheel"), (22, "none")] {
        mapper.learn(IdKind::Group, id, name.as_bytes());
    }
    mapper
}

#[test]
fn names_count_unless_numeric() {
    for (numeric, expected) in [
        (false, [(0, 0), (500, 1000), (501, 501), (502, 502), (7, 7)]),
        (true, [(0, 0), (500, 500), (501, 501), (502, 502), (7, 7)]),
    ] {
        let mut mapper = mapper(policy(true, numeric));
        for (id, ours) in expected {
            assert_eq!(mapper.user(id), Some(ours));
            assert_eq!(mapper.user(id), Some(ours));
        }
    }
}

#[test]
fn without_root_no_owners_and_only_groups_of_ours() {
    let mut named = mapper(policy(false, false));
    assert_eq!(named.user(500), None);
    let groups = [
        (20, Some(50)),
        (21, None),
        (22, None),
        (700, Some(700)),
        (50, Some(50)),
        (0, None),
    ];
    for (id, ours) in groups {
        assert_eq!(named.group(id), ours, "{id}");
    }
    let mut numeric = mapper(policy(false, true));
    assert_eq!((numeric.group(20), numeric.group(50)), (None, Some(50)));
    let mut root = mapper(policy(true, false));
    assert_eq!(
        (root.group(20), root.group(21), root.group(22)),
        (Some(50), Some(10), Some(22))
    );
}

#[test]
fn rules_come_first() {
    for (map, numeric, expected) in [
        ("alice:bob", false, [(500, 1001), (0, 0), (502, 502)]),
        ("500:7,alice:bob", false, [(500, 7), (0, 0), (502, 502)]),
        ("0-502:9", false, [(500, 9), (0, 9), (502, 9)]),
        ("al*:77", false, [(500, 77), (0, 0), (502, 502)]),
        ("*:77", false, [(500, 77), (0, 77), (502, 77)]),
        (":8", false, [(500, 1000), (0, 0), (502, 8)]),
        ("toor:3", false, [(500, 1000), (0, 3), (502, 502)]),
        (
            "mallory:4,unknown:martian,500:5",
            false,
            [(500, 5), (0, 0), (502, 502)],
        ),
        ("alice:bob,:6", true, [(500, 6), (0, 6), (502, 6)]),
        ("500:5", true, [(500, 5), (0, 0), (502, 502)]),
    ] {
        let mut mapper = mapper(IdPolicy {
            usermap: rules(IdKind::User, map),
            ..policy(true, numeric)
        });
        for (id, ours) in expected {
            assert_eq!(mapper.user(id), Some(ours), "{map}: {id}");
        }
    }
    // Groups of a receiver that is not root are mapped before membership counts.
    let groupmap = rules(IdKind::Group, "wheel:staff,5:700,6:701");
    let mut mapper = mapper(IdPolicy {
        groupmap,
        ..policy(false, false)
    });
    assert_eq!(
        [21, 5, 6].map(|id| mapper.group(id)),
        [Some(50), Some(700), None]
    );
}

/// A sender without CF_ID0_NAMES does not tell the name of id 0: it is taken for root.
#[test]
fn id_0_is_root_unless_told_otherwise() {
    let usermap = rules(IdKind::User, "root:1000");
    let mut mapper = IdMapper::new(
        IdPolicy {
            usermap: usermap.clone(),
            ..policy(true, false)
        },
        Box::new(Town),
    );
    assert_eq!(mapper.user(0), Some(1000));
    let mut told = IdMapper::new(
        IdPolicy {
            usermap,
            ..policy(true, false)
        },
        Box::new(Town),
    );
    told.learn(IdKind::User, 0, b"");
    assert_eq!(told.user(0), Some(0));
}

#[test]
fn targets_that_do_not_exist_are_reported_and_skipped() {
    let usermap = rules(IdKind::User, "alice:martian,alice:3");
    let mut mapper = mapper(IdPolicy {
        usermap,
        ..policy(true, false)
    });
    let warnings: Vec<_> = mapper
        .unknown_targets()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(warnings, ["Unknown --usermap name on receiver: martian"]);
    assert_eq!(mapper.user(500), Some(3));
}

#[test]
fn malformed_rules() {
    for (text, message) in [
        ("a", "No colon found in --usermap: a"),
        ("a:b,", "No colon found in --usermap: "),
        ("a:", "No name found after colon --usermap: a:"),
        ("12x:b", "Invalid number in --usermap: 12x:b"),
        ("1-x:b", "Invalid number in --usermap: 1-x:b"),
        ("a:12x", "Invalid number in --usermap: a:12x"),
        ("4294967295:1", "Invalid number in --usermap: 4294967295:1"),
        (
            "a:99999999999",
            "Invalid number in --usermap: a:99999999999",
        ),
    ] {
        let error = IdRules::parse(IdKind::User, text.as_bytes(), star).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn names_of_this_system() {
    let mut names = SystemNames::new();
    assert_eq!(names.user_name(0), Some(&b"root"[..]));
    assert_eq!(names.group_name(0), Some(&b"root"[..]));
    assert_eq!(
        (names.user_id(b"root"), names.group_id(b"root")),
        (Some(0), Some(0))
    );
    for _ in 0..2 {
        assert_eq!(names.user_name(3_999_999_999), None);
        assert_eq!(names.user_id(b"no such user\xff"), None);
        assert_eq!(names.user_id(b"root\0x"), None);
        assert_eq!(names.group_id(b""), None);
    }
    assert!(own_groups().contains(&rustix::process::getegid().as_raw()));
}
