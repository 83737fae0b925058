//! Decoding undoes encoding for every protocol and set of options, at every split of the input; any bytes at
//! all are harmless.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn options() -> impl Strategy<Value = EntryOptions> {
    let checksum = prop_oneof![Just(None), Just(Some(8)), Just(Some(16)), Just(Some(20))];
    (29..=32_u32, any::<u16>(), checksum).prop_map(|(number, bits, checksum_len)| {
        let protocol = Protocol::new(number).expect("known");
        let bit = |at: u32| bits >> at & 1 != 0;
        let since_30 = protocol.has_varints();
        EntryOptions {
            protocol,
            uid: bit(0),
            gid: bit(1),
            links: bit(2),
            devices: bit(3),
            specials: bit(4),
            hard_links: bit(5),
            checksum_len,
            varint_flags: bit(6) && since_30,
            inc_recurse: bit(7) && since_30,
            safe_flist: bit(8) && since_30,
            id0_names: bit(9) && since_30,
            numeric_ids: bit(10),
            recurse: bit(11),
            relative: bit(12),
            missing_args: bit(13),
        }
    })
}

/// Raw material of an entry; [`build`] makes it fit the options.
#[derive(Debug, Clone)]
struct Seed {
    stem: usize,
    name: String,
    kind: u8,
    numbers: (u64, i64, u32, u32, u32, u32, u32),
    text: String,
    hard_link: u8,
    flags: (bool, bool),
}

fn seed() -> impl Strategy<Value = Seed> {
    let number = || prop_oneof![0..3_u32, 0..400_u32, 0..u32::MAX];
    let size = prop_oneof![
        0..3_u64,
        0..1_u64 << 40,
        0..1_u64 << 62,
        Just(i64::MAX as u64)
    ];
    let mtime = prop_oneof![Just(1_700_000_000_i64), 0..5_i64, any::<i64>()];
    let name = prop_oneof![
        "[a-c]{1,3}",
        "[a-zé]{1,20}",
        "[x]{254,258}",
        "[a-z/]{0,0}[q]{600,601}"
    ];
    (
        0..4_usize,
        name,
        0..9_u8,
        (
            size,
            mtime,
            0..1_000_000_000_u32,
            number(),
            number(),
            number(),
            number(),
        ),
        "[a-z/.]{1,40}",
        0..8_u8,
        any::<(bool, bool)>(),
    )
        .prop_map(|(stem, name, kind, numbers, text, hard_link, flags)| Seed {
            stem,
            name,
            kind,
            numbers,
            text,
            hard_link,
            flags,
        })
}

/// First index of a list, its directory if it is not list 1, its entries.
type Expected = (i32, Option<Vec<u8>>, Vec<Owned>);

/// An expected session: lists of entries that the options can carry.
fn build(options: &EntryOptions, seeds: &[Seed]) -> Vec<Expected> {
    let mut lists = Vec::new();
    let mut ndx_start = i32::from(options.inc_recurse);
    // Group number, leader, index of its list.
    let mut leaders: Vec<(i32, Owned, usize)> = Vec::new();
    let (mut users, mut groups) = (BTreeSet::new(), BTreeSet::new());
    for (number, chunk) in seeds.chunks(7).enumerate() {
        if number > 0 && !options.inc_recurse {
            break;
        }
        let dir = (number > 0).then(|| format!("dir{number}"));
        let mut entries: Vec<Owned> = Vec::new();
        for seed in chunk {
            let index = ndx_start + i32::try_from(entries.len()).expect("few");
            let prefix = match (&dir, options.inc_recurse) {
                (Some(dir), _) => format!("{dir}/"),
                (None, true) => String::new(),
                (None, false) => ["", "a/", "a/b/", "x/"][seed.stem].to_owned(),
            };
            let name = format!("{prefix}{}", seed.name).into_bytes();
            let candidates = leaders.len();
            if options.hard_links
                && options.protocol.has_varints()
                && seed.hard_link < 3
                && candidates > 0
            {
                let (group, leader, list) = &leaders[seed.stem % candidates];
                let mut follower = leader.clone();
                follower.name = name;
                follower.user_name = None;
                follower.group_name = None;
                follower.numbers.hard_link = HardLink::Follower(*group);
                if *list != number {
                    // Complete: a file may have changed in between.
                    follower.numbers.mtime ^= i64::from(seed.flags.0);
                }
                entries.push(follower);
                continue;
            }
            let mut entry = entry(options, seed, name);
            if options.inline_names() {
                // A third of the ids has no name.
                let named = |id: u32| !id.is_multiple_of(3);
                if options.uid && users.insert(entry.numbers.uid) && named(entry.numbers.uid) {
                    entry.user_name = Some(format!("u{}", entry.numbers.uid).into_bytes());
                }
                if options.gid && groups.insert(entry.numbers.gid) && named(entry.numbers.gid) {
                    entry.group_name = Some(format!("g{}", entry.numbers.gid).into_bytes());
                }
            }
            if entry.numbers.hard_link == HardLink::First {
                leaders.push((index, entry.clone(), number));
            }
            entries.push(entry);
        }
        let len = i32::try_from(entries.len()).expect("few");
        lists.push((ndx_start, dir.map(String::into_bytes), entries));
        ndx_start += len + 1;
    }
    lists
}

/// What an entry with all of the seed is at the receiver.
fn entry(options: &EntryOptions, seed: &Seed, name: Vec<u8>) -> Owned {
    let protocol = options.protocol;
    let (size, mtime, nsec, uid, gid, major, minor) = seed.numbers;
    let types = [
        0o100_000, 0o040_000, 0o120_000, 0o020_000, 0o060_000, 0o010_000, 0o140_000, 0o100_000,
    ];
    let mode = match types.get(usize::from(seed.kind)) {
        Some(bits) => bits | (uid & 0o7777),
        None if options.missing_args => 0,
        None => 0o100_644,
    };
    let kind = Kind::of(mode).expect("valid");
    let devices = kind.is_device() && options.devices;
    let is_dir = kind == Kind::Directory;
    let linkable = options.hard_links && !matches!(kind, Kind::Directory | Kind::Missing);
    let hard_link = match (linkable, seed.hard_link) {
        (true, 3 | 4) if protocol.has_varints() => HardLink::First,
        (true, 3 | 4) => HardLink::DevIno {
            dev: u64::from(seed.hard_link),
            ino: size,
        },
        _ => HardLink::None,
    };
    Owned {
        name,
        numbers: Entry {
            size: if kind.is_device() || kind.is_special() {
                0
            } else {
                size
            },
            mtime: if protocol.has_varints() {
                mtime
            } else {
                mtime & 0xffff_ffff
            },
            mtime_nsec: if protocol.has_nanoseconds() { nsec } else { 0 },
            mode,
            uid: if options.uid { uid } else { 0 },
            gid: if options.gid { gid } else { 0 },
            rdev: devices.then_some((major, minor)),
            hard_link,
            top_dir: is_dir && seed.flags.0,
            no_content: is_dir && seed.flags.1 && protocol.has_varints(),
            ..Entry::default()
        },
        link_target: (kind == Kind::Symlink && options.links)
            .then(|| seed.text.clone().into_bytes()),
        checksum: options
            .checksum_len
            .filter(|_| kind == Kind::Regular)
            .map(|len| seed.text.bytes().cycle().take(len).collect()),
        ..Owned::default()
    }
}

/// Starts the list as a receiver does.
fn start(decoder: &mut Decoder, ndx_start: i32, dir: Option<&[u8]>) {
    match dir {
        Some(dir) => decoder.start_sublist(ndx_start, dir),
        None => decoder.start_list(ndx_start),
    }
}

fn encode_all(options: &EntryOptions, lists: &[Expected]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(options.clone());
    let mut all = Vec::new();
    for (ndx_start, _, entries) in lists {
        let mut out = Vec::new();
        encoder.start_list(*ndx_start);
        for entry in entries {
            encoder
                .encode(&entry.entry(), &mut out)
                .expect("has a form");
        }
        encoder.end(0, &mut out);
        all.push(out);
    }
    all
}

proptest! {
    #[test]
    fn decode_undoes_encode(options in options(), seeds in proptest::collection::vec(seed(), 0..24)) {
        let lists = build(&options, &seeds);
        let mut decoder = Decoder::new(options.clone());
        for ((ndx_start, dir, entries), bytes) in lists.iter().zip(encode_all(&options, &lists)) {
            start(&mut decoder, *ndx_start, dir.as_deref());
            let mut cursor = Cursor::new(&bytes);
            let list = read_list(&mut decoder, *ndx_start, &mut cursor);
            let mut list = list.map_err(|e| TestCaseError::fail(e.to_string()))?;
            if !options.protocol.has_varints() {
                // Derived there: tests of its own.
                list.entries.iter_mut().for_each(|e| e.numbers.no_content = false);
            }
            prop_assert_eq!(&list.entries, entries);
            prop_assert_eq!(cursor.remaining(), 0);
        }
    }

    /// Every proper prefix of an entry is incomplete and changes nothing: the same decoder goes on with the
    /// whole.
    #[test]
    fn every_prefix_is_incomplete(options in options(), seeds in proptest::collection::vec(seed(), 1..12)) {
        let lists = build(&options, &seeds);
        let mut decoder = Decoder::new(options.clone());
        for ((ndx_start, dir, entries), bytes) in lists.iter().zip(encode_all(&options, &lists)) {
            start(&mut decoder, *ndx_start, dir.as_deref());
            let mut from = 0;
            for i in 0..=entries.len() {
                let before = Owned::of(&decoder.entry());
                let mut cut = from;
                let (item, end) = loop {
                    let mut cursor = Cursor::new(&bytes[from..cut]);
                    match decoder.decode(&mut cursor) {
                        Err(error) => {
                            prop_assert_eq!(error, DecodeError::Incomplete);
                            prop_assert_eq!(cursor.position(), 0);
                            prop_assert_eq!(&Owned::of(&decoder.entry()), &before);
                            prop_assert!(cut < bytes.len());
                            cut += 1;
                        }
                        Ok(item) => {
                            prop_assert_eq!(cursor.remaining(), 0, "a prefix was enough");
                            break (item, cut);
                        }
                    }
                };
                if let Some(expected) = entries.get(i) {
                    prop_assert_eq!(item, Item::Entry);
                    let mut got = Owned::of(&decoder.entry());
                    if !options.protocol.has_varints() {
                        got.numbers.no_content = false;
                    }
                    prop_assert_eq!(&got, expected);
                } else {
                    prop_assert_eq!(item, Item::End { io_error: 0 });
                }
                from = end;
            }
        }
    }

    /// Damaged lists: an answer, whatever it is, and memory in proportion to the input.
    #[test]
    fn damaged_lists(
        options in options(),
        seeds in proptest::collection::vec(seed(), 1..12),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let lists = build(&options, &seeds);
        let mut bytes = encode_all(&options, &lists).swap_remove(0);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        survive(options, &bytes);
    }

    #[test]
    fn arbitrary_bytes(options in options(), bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        survive(options.clone(), &bytes);
        let mut list = IdList::new();
        let mut cursor = Cursor::new(&bytes);
        while let Ok(true) = list.decode_next(&options, &mut cursor) {}
    }

    #[test]
    fn id_lists(
        options in options(),
        names in proptest::collection::btree_map(any::<u32>(), "[a-z]{1,255}", 0..20),
        root: bool,
    ) {
        let mut sent = IdList::new();
        for (id, name) in &names {
            sent.insert(*id, name.as_bytes()).expect("new");
        }
        if root && !names.contains_key(&0) {
            sent.insert(0, b"root").expect("new");
        }
        let mut bytes = Vec::new();
        sent.encode(&options, &mut bytes);
        let mut received = IdList::new();
        let mut cursor = Cursor::new(&bytes);
        // One more byte at a time, restarting on every lack.
        let mut from = 0;
        let mut to = 0;
        loop {
            let mut cut = Cursor::new(&bytes[from..to]);
            match received.decode_next(&options, &mut cut) {
                Ok(more) => {
                    from += cut.position();
                    if !more {
                        break;
                    }
                }
                Err(error) => {
                    prop_assert_eq!(error, DecodeError::Incomplete);
                    prop_assert!(to < bytes.len());
                    to += 1;
                }
            }
        }
        prop_assert_eq!(from, bytes.len());
        let expected = sent.iter().filter(|(id, _)| *id != 0 || options.id0_names);
        prop_assert!(received.iter().eq(expected));
        // A repeated id is refused.
        if let Some((id, _)) = sent.iter().find(|(id, _)| *id != 0) {
            prop_assert_eq!(
                received.decode_next(&options, &mut cursor),
                Err(Violation::IdList { id }.into())
            );
        }
    }
}

/// Decodes until something stops it.
fn survive(options: EntryOptions, bytes: &[u8]) {
    let mut decoder = Decoder::new(options);
    let mut cursor = Cursor::new(bytes);
    decoder.start_list(1);
    while let Ok(Item::Entry) = decoder.decode(&mut cursor) {
        assert!(decoder.entry().name.len() <= crate::limits::PATH);
        assert!(decoder.count() <= bytes.len());
    }
    assert!(decoder.memory() <= 8 * crate::limits::PATH + 64 * bytes.len());
}

/// Values that have no form are refused and leave the encoder as it was.
#[test]
fn encode_errors() {
    let mut options = EntryOptions::new(Protocol::V31);
    options.links = true;
    options.hard_links = true;
    let long = vec![b'x'; 4096];
    let file = Entry {
        name: b"f",
        mode: 0o100_644,
        ..Entry::default()
    };
    let link = Entry {
        mode: 0o120_777,
        ..file
    };
    use crate::error::EncodeError;
    let rows = [
        (
            Entry { name: b"", ..file },
            EncodeError::Empty { what: "name" },
        ),
        (
            Entry {
                name: &long,
                ..file
            },
            EncodeError::TooLong {
                what: "name",
                len: 4096,
                max: 4095,
            },
        ),
        (
            link,
            EncodeError::Empty {
                what: "link target",
            },
        ),
        (
            Entry {
                link_target: Some(&long),
                ..link
            },
            EncodeError::TooLong {
                what: "link target",
                len: 4096,
                max: 4095,
            },
        ),
        (
            Entry {
                hard_link: HardLink::Follower(0),
                ..file
            },
            EncodeError::HardLinkGroup { group: 0 },
        ),
        (
            Entry {
                hard_link: HardLink::Follower(-1),
                ..file
            },
            EncodeError::HardLinkGroup { group: -1 },
        ),
        (
            Entry {
                hard_link: HardLink::DevIno { dev: 1, ino: 1 },
                ..file
            },
            EncodeError::NotAtProtocol {
                what: "hard link",
                protocol: 31,
            },
        ),
    ];
    let mut encoder = Encoder::new(options);
    encoder.start_list(0);
    let mut out = Vec::new();
    for (entry, error) in rows {
        assert_eq!(encoder.encode(&entry, &mut out), Err(error));
        assert_eq!((out.len(), encoder.next_index()), (0, 0));
    }
    assert_eq!(
        encoder.encode(
            &Entry {
                name: &long[1..],
                ..file
            },
            &mut out
        ),
        Ok(())
    );
    assert_eq!(encoder.next_index(), 1);
}

/// A file that changes between the two entries of an abbreviated pair does not make the two states differ: both
/// sides go on from the leader (02-file-list 4.4).
#[test]
fn follower_changed_since_its_leader() {
    let options = EntryOptions {
        uid: true,
        devices: true,
        hard_links: true,
        ..EntryOptions::new(Protocol::V31)
    };
    let leader = Entry {
        name: b"a",
        mode: 0o020_644,
        mtime: 1,
        uid: 1,
        rdev: Some((8, 1)),
        hard_link: HardLink::First,
        ..Entry::default()
    };
    let other = Entry {
        name: b"b",
        mode: 0o020_600,
        mtime: 2,
        uid: 2,
        rdev: Some((9, 2)),
        hard_link: HardLink::None,
        ..leader
    };
    let follower = Entry {
        name: b"c",
        hard_link: HardLink::Follower(3),
        ..other
    };
    let last = Entry {
        name: b"d",
        ..other
    };
    let mut encoder = Encoder::new(options.clone());
    encoder.start_list(3);
    let mut bytes = Vec::new();
    for entry in [leader, other, follower, last] {
        encoder.encode(&entry, &mut bytes).expect("has a form");
    }
    let mut decoder = Decoder::new(options);
    decoder.start_list(3);
    let mut cursor = Cursor::new(&bytes);
    let received = Entry {
        name: b"c",
        hard_link: HardLink::Follower(3),
        ..leader
    };
    for expected in [leader, other, received, last] {
        assert_eq!(decoder.decode(&mut cursor), Ok(Item::Entry));
        assert_eq!(decoder.entry(), expected);
    }
}

/// Groups that the peer must not name (02-file-list 10.1).
#[test]
fn groups_that_are_none() {
    let options = EntryOptions {
        hard_links: true,
        inc_recurse: true,
        ..EntryOptions::new(Protocol::V32)
    };
    let file = |name, hard_link| Entry {
        name,
        mode: 0o100_644,
        hard_link,
        ..Entry::default()
    };
    // List 1 has the group 1, a file, and 2, a FIFO; index 3 is in no group. The list of "d" starts at 6.
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(options.clone());
    encoder.start_list(1);
    let fifo = Entry {
        mode: 0o010_644,
        ..file(b"b", HardLink::First)
    };
    let entries = [
        file(b"a", HardLink::First),
        fifo,
        file(b"c", HardLink::None),
    ];
    for entry in entries {
        encoder.encode(&entry, &mut bytes).expect("has a form");
    }
    for (group, valid) in [(0, false), (1, true), (2, false), (3, false), (4, false)] {
        let mut decoder = Decoder::new(options.clone());
        decoder.start_list(1);
        let mut cursor = Cursor::new(&bytes);
        for _ in entries {
            decoder.decode(&mut cursor).expect("fine");
        }
        decoder.start_sublist(6, b"d");
        let mut encoder = Encoder::new(options.clone());
        encoder.start_list(6);
        let mut more = Vec::new();
        let follower = file(b"d/x", HardLink::Follower(group));
        encoder.encode(&follower, &mut more).expect("has a form");
        let got = decoder.decode(&mut Cursor::new(&more));
        let refused = Violation::HardLinkGroup {
            group: group.into(),
        };
        let expected = if valid {
            Ok(Item::Entry)
        } else {
            Err(refused.into())
        };
        assert_eq!(got, expected, "group {group}");
    }
}
