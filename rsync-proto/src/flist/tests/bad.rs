//! Malformed lists: testkit/vectors/flist/bad.jsonl and security/hostile_pusher.json.

use serde_json::Value;

use super::*;

/// Cases of bad.jsonl that need more than entries and their names.
const OUT_OF_SCOPE: [(&str, &[&str]); 2] = [
    (
        "book-keeping of compat flags, lists and indices",
        &[
            "inc flag not offered",
            "inc: dup sublist",
            "inc: bad dir idx",
            "inc: list after EOF",
            "inc: double EOF",
            "sublist in non-inc",
            "FLIST_EOF in non-inc",
            "inc: ndx past end",
            "inc: ndx -50",
            "inc: dup dir cleared then list",
        ],
    ),
    (
        "xattrs and ACLs",
        &[
            "xattr idx 5",
            "xattr count neg",
            "xattr count big",
            "xattr name no NUL",
            "xattr name 5000",
            "xattr value 200M",
            "xattr value neg",
            "acl idx 3",
            "acl perms 9",
            "acl name perms 8",
            "acl count 70000",
            "unknown acl flag 0x20",
        ],
    ),
];

/// What a receiver finds wrong with the lists of a stream.
fn refusal(options: &EntryOptions, bytes: &[u8]) -> Option<String> {
    let mut decoder = Decoder::new(options.clone());
    let mut cursor = Cursor::new(bytes);
    match read_lists(&mut decoder, options.inc_recurse, &mut cursor) {
        Err(error) => Some(error.to_string()),
        Ok(lists) => {
            let list = &lists[0];
            let key = |slot: usize| list.entries[list.order[slot] as usize].key();
            let mut orphan = None;
            find_orphans(list.entries.len(), key, |slot| orphan = Some(slot));
            orphan
                .filter(|_| !options.inc_recurse)
                .map(|slot| format!("parent missing of {}", key(slot).0.escape_ascii()))
        }
    }
}

#[test]
fn cases() {
    let (mut refused, mut accepted, mut skipped) = (0, 0, 0);
    for line in vector_file("flist/bad.jsonl").lines() {
        let v: Value = serde_json::from_str(line).expect("json");
        let text = |key: &str| v[key].as_str().expect("string");
        let name = text("name");
        if OUT_OF_SCOPE.iter().any(|(_, names)| names.contains(&name)) {
            skipped += 1;
            continue;
        }
        let args: Vec<&str> = v["client_options"]
            .as_array()
            .expect("array")
            .iter()
            .map(|arg| arg.as_str().expect("string"))
            .collect();
        let compat = u32::from_str_radix(text("compat_flags"), 16).expect("hex");
        let protocol = v["protocol"].as_u64().expect("number");
        let protocol = Protocol::new(u32::try_from(protocol).expect("small")).expect("known");
        let options = options_of(protocol, compat, 16, &args, compat & 1 != 0);
        let bytes = unhex(text("data_stream_hex"));
        let got = refusal(&options, &bytes);
        match text("recommended") {
            "refuse" => {
                assert!(got.is_some(), "{name}: {bytes:02x?}");
                refused += 1;
            }
            "accept" => {
                assert_eq!(got, None, "{name}: {bytes:02x?}");
                accepted += 1;
            }
            other => panic!("{name}: {other}"),
        }
    }
    assert_eq!((refused, accepted, skipped), (38, 12, 22));
}

/// What the refusals say, one for each rule.
#[test]
fn refusals_name_the_rule() {
    let rows: [(&str, DecodeError, u8); 17] = [
        ("absolute", Violation::UnsafeName.into(), 4),
        ("dotdot tail", Violation::UnsafeName.into(), 4),
        ("empty name", Violation::NameLength { len: 0 }.into(), 22),
        ("embedded NUL", Violation::NulInside.into(), 2),
        ("dot non-dir", Violation::RootNotDirectory.into(), 2),
        ("bad mode 0", Violation::Mode { mode: 0 }.into(), 2),
        (
            "mode 0 via SAME_MODE on first entry",
            Violation::Mode { mode: 0 }.into(),
            2,
        ),
        ("neg size", Violation::FileSize { size: -5 }.into(), 4),
        (
            "nsec too big",
            Violation::Nanoseconds {
                nsec: 1_000_000_000,
            }
            .into(),
            2,
        ),
        ("name 4096", Violation::NameLength { len: 4096 }.into(), 22),
        (
            "prefix longer than last",
            Violation::NamePrefix {
                shared: 255,
                previous: 1,
            }
            .into(),
            2,
        ),
        (
            "symlink len 5000",
            Violation::LinkTargetLength { len: 5000 }.into(),
            22,
        ),
        (
            "hlink self (-H)",
            Violation::HardLinkGroup { group: 1 }.into(),
            2,
        ),
        (
            "io_error end flag, p30 no f",
            Violation::EntryFlags { flags: 0x1004 }.into(),
            2,
        ),
        (
            "unknown xflag bit15",
            Violation::EntryFlags { flags: 0x801c }.into(),
            2,
        ),
        (
            "inc: name outside dir",
            Violation::NameOutsideList.into(),
            4,
        ),
        ("truncated", DecodeError::Incomplete, 12),
    ];
    let file = vector_file("flist/bad.jsonl");
    for (name, expected, exit) in rows {
        let line = file
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("json"))
            .find(|v| v["name"] == name)
            .unwrap_or_else(|| panic!("case {name}"));
        let protocol = u32::try_from(line["protocol"].as_u64().expect("number")).expect("small");
        let incremental = line["compat_flags"] == "1";
        let mut options = EntryOptions::new(Protocol::new(protocol).expect("known"));
        options.inc_recurse = incremental;
        options.links = true;
        options.hard_links = name.contains("-H");
        let bytes = unhex(line["data_stream_hex"].as_str().expect("hex"));
        let mut decoder = Decoder::new(options);
        let got = read_lists(&mut decoder, incremental, &mut Cursor::new(&bytes));
        assert_eq!(got.expect_err(name), expected, "{name}");
        assert_eq!(expected.exit_code(), exit, "{name}");
    }
}

/// Lists of a hostile client at protocol 29. What rsync takes and we do not is listed.
#[test]
fn hostile_pusher() {
    let stricter = ["NUL inside the name", "link target length 0"];
    let v: Value =
        serde_json::from_str(&vector_file("security/hostile_pusher.json")).expect("json");
    let (mut refused, mut accepted) = (0, 0);
    for case in v["cases"].as_array().expect("array") {
        let name = case["name"].as_str().expect("string");
        let hex = case["client_hex"].as_str().expect("string");
        if hex.starts_with('(') {
            assert_eq!(name, "name 4096 bytes", "a case of bad.jsonl too");
            continue;
        }
        let args: Vec<&str> = case["options"]
            .as_array()
            .expect("array")
            .iter()
            .map(|arg| arg.as_str().expect("string"))
            .collect();
        let options = options_of(Protocol::V29, 0, 16, &args, false);
        let got = refusal(&options, &unhex(hex));
        let reference = case["daemons"]["3.5.0"]["outcome"]
            .as_str()
            .expect("string");
        if reference == "refused" || stricter.contains(&name) {
            assert!(got.is_some(), "{name}");
            refused += 1;
        } else {
            assert_eq!(got, None, "{name}");
            accepted += 1;
        }
    }
    assert_eq!((refused, accepted), (19, 12));
}

/// Every end of a list in every form, and the marks that are none (02-file-list 6).
#[test]
fn ends_of_lists() {
    let plain = |protocol| EntryOptions::new(protocol);
    let varint = |protocol| EntryOptions {
        varint_flags: true,
        ..plain(protocol)
    };
    let safe_30 = EntryOptions {
        safe_flist: true,
        ..plain(Protocol::V30)
    };
    use IoErrorPlace::{AfterIdLists, ListEnd, Message};
    // options, io_error, bytes, io_error found in them
    let rows: [(EntryOptions, i32, IoErrorPlace, &[u8], i32); 12] = [
        (plain(Protocol::V29), 0, AfterIdLists, &[0], 0),
        (plain(Protocol::V29), 1, AfterIdLists, &[0], 0),
        (plain(Protocol::V30), 0, Message, &[0], 0),
        (plain(Protocol::V30), 1, Message, &[0], 0),
        (safe_30.clone(), 0, ListEnd, &[0], 0),
        (safe_30, 3, ListEnd, &[4, 0x10, 3], 3),
        (plain(Protocol::V31), 0, ListEnd, &[0], 0),
        (plain(Protocol::V32), 1, ListEnd, &[4, 0x10, 1], 1),
        (varint(Protocol::V30), 0, ListEnd, &[0, 0], 0),
        (varint(Protocol::V31), 1, ListEnd, &[0, 1], 1),
        (varint(Protocol::V32), 7, ListEnd, &[0, 7], 7),
        (varint(Protocol::V32), 0x7fff_fff9, ListEnd, &[0, 1], 1),
    ];
    for (options, io_error, place, bytes, found) in rows {
        let shown = format!("{options:?} {io_error}");
        assert_eq!(options.io_error_place(), place, "{shown}");
        let mut out = Vec::new();
        Encoder::new(options.clone()).end(io_error, &mut out);
        assert_eq!(out, bytes, "{shown}");
        let mut decoder = Decoder::new(options);
        for cut in 0..bytes.len() {
            let got = decoder.decode(&mut Cursor::new(&bytes[..cut]));
            assert_eq!(got, Err(DecodeError::Incomplete), "{shown} cut at {cut}");
        }
        let end = Item::End { io_error: found };
        assert_eq!(decoder.decode(&mut Cursor::new(bytes)), Ok(end), "{shown}");
    }
    // Bits that mean nothing here are dropped.
    let mut decoder = Decoder::new(varint(Protocol::V32));
    let all_ones = [0, 0xf0, 0xff, 0xff, 0xff, 0xff];
    let got = decoder.decode(&mut Cursor::new(&all_ones));
    assert_eq!(got, Ok(Item::End { io_error: 7 }));
}

/// Every bit is refused where it was not agreed on, and taken where it was (02-file-list 4.3).
#[test]
fn unexpected_flags() {
    let everything = |protocol| EntryOptions {
        uid: true,
        gid: true,
        devices: true,
        specials: true,
        hard_links: true,
        inc_recurse: protocol >= Protocol::V30,
        ..EntryOptions::new(protocol)
    };
    for protocol in Protocol::ALL {
        for varint in [false, true] {
            for (options, full) in [
                (EntryOptions::new(protocol), false),
                (everything(protocol), true),
            ] {
                let options = EntryOptions {
                    varint_flags: varint,
                    ..options
                };
                for bit in 8..if varint { 32 } else { 16 } {
                    let number = protocol.number();
                    let known = match bit {
                        8 => true,
                        9 => full,
                        10 | 11 => full,
                        12 => full && number >= 30,
                        13 => number >= 31,
                        _ => false,
                    };
                    // The first needs HLINKED beside it.
                    let extra = if bit == 12 && full { 0x200 } else { 0 };
                    let flags: u32 = 1 << bit | extra | 4;
                    let mut bytes = Vec::new();
                    if varint {
                        crate::wire::put_varint(&mut bytes, flags.cast_signed());
                    } else {
                        crate::wire::put_short(&mut bytes, u16::try_from(flags).expect("16 bits"));
                    }
                    let is_end = flags == 0x1004 && !varint;
                    let got = Decoder::new(options.clone()).decode(&mut Cursor::new(&bytes));
                    let shown = format!("bit {bit}, {options:?}");
                    if known || (is_end && number >= 31) {
                        assert_eq!(got, Err(DecodeError::Incomplete), "{shown}");
                    } else {
                        assert_eq!(got, Err(Violation::EntryFlags { flags }.into()), "{shown}");
                    }
                }
            }
        }
    }
}
