//! Every captured list of testkit/vectors/flist/good.jsonl that is in scope.

use serde_json::Value;

use super::*;

/// Why a capture is not for this decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skip {
    OldProtocol,
    Acl,
    Xattr,
    Atime,
    Iconv,
}

fn skip(protocol: u64, args: &[&str]) -> Option<Skip> {
    if protocol < 29 {
        return Some(Skip::OldProtocol);
    }
    let has = |letter| {
        args.iter()
            .any(|arg| !arg.starts_with("--") && arg.contains(letter))
    };
    if args.iter().any(|arg| arg.starts_with("--iconv")) {
        Some(Skip::Iconv)
    } else if has('A') {
        Some(Skip::Acl)
    } else if has('X') {
        Some(Skip::Xattr)
    } else if has('U') {
        Some(Skip::Atime)
    } else {
        None
    }
}

fn checksum_len(name: &str) -> usize {
    match name {
        "md4" | "md5" | "xxh128" => 16,
        "xxh64" => 8,
        _ => panic!("checksum {name}"),
    }
}

/// Calls `test` for each capture in scope, with its options. Returns how many were skipped for each reason.
fn for_each(mut test: impl FnMut(&Value, &EntryOptions)) -> (usize, Vec<Skip>) {
    let mut skipped = Vec::new();
    let mut tested = 0;
    for line in vector_file("flist/good.jsonl").lines() {
        let v: Value = serde_json::from_str(line).expect("json");
        let args: Vec<&str> = list(&v["options"]).iter().map(text).collect();
        let protocol = v["protocol"].as_u64().expect("number");
        if let Some(reason) = skip(protocol, &args) {
            skipped.push(reason);
            continue;
        }
        let compat = u32::from_str_radix(text(&v["compat_flags"]), 16).expect("hex");
        let options = options_of(
            Protocol::new(u32::try_from(protocol).expect("small")).expect("known"),
            compat,
            checksum_len(text(&v["checksum"])),
            &args,
            flag(&v["inc_recurse"]),
        );
        assert_eq!(options.varint_flags, flag(&v["varint_flags"]));
        assert_eq!(options.id0_names, flag(&v["id0_names"]));
        test(&v, &options);
        tested += 1;
    }
    (tested, skipped)
}

fn list(v: &Value) -> &Vec<Value> {
    v.as_array().expect("array")
}

fn text(v: &Value) -> &str {
    v.as_str().expect("string")
}

fn flag(v: &Value) -> bool {
    v.as_bool().expect("bool")
}

/// The wire bytes of a name, which the vectors hold as Latin-1 text.
fn latin1(v: &Value) -> Vec<u8> {
    text(v)
        .chars()
        .map(|c| u8::try_from(u32::from(c)).expect("Latin-1"))
        .collect()
}

#[test]
fn the_scope_is_what_we_think() {
    let (tested, skipped) = for_each(|_, _| {});
    let count = |reason| skipped.iter().filter(|s| **s == reason).count();
    assert_eq!(count(Skip::OldProtocol), 10);
    assert_eq!(count(Skip::Acl), 5, "four and hl-all-inc");
    assert_eq!(count(Skip::Xattr), 4);
    assert_eq!(count(Skip::Atime), 1);
    assert_eq!(count(Skip::Iconv), 2);
    assert_eq!(tested, 56);
}

/// Entries, indices, id lists and the I/O error, to the last byte.
#[test]
fn decodes() {
    for_each(|v, options| {
        let name = text(&v["name"]);
        let bytes = unhex(text(&v["data_stream_hex"]));
        let mut cursor = Cursor::new(&bytes);
        let mut decoder = Decoder::new(options.clone());
        let lists = read_lists(&mut decoder, options.inc_recurse, &mut cursor)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let expected = list(&v["lists"]);
        assert_eq!(lists.len(), expected.len(), "{name}");
        let mut io_error = 0;
        for (got, want) in lists.iter().zip(expected) {
            io_error |= got.io_error;
            assert_eq!(
                Some(i64::from(got.ndx_start)),
                want["ndx_start"].as_i64(),
                "{name}"
            );
            let order: Vec<_> = list(&want["index_order"])
                .iter()
                .map(Value::as_u64)
                .collect();
            let got_order: Vec<_> = got.order.iter().map(|&i| Some(u64::from(i))).collect();
            assert_eq!(got_order, order, "{name}");
            assert_eq!(got.entries.len(), list(&want["entries"]).len(), "{name}");
            for (got, want) in got.entries.iter().zip(list(&want["entries"])) {
                check_entry(name, options, got, want);
            }
        }
        let ids = read_ids(options, &mut cursor);
        if options.id_lists() && options.uid && name.starts_with("plain") {
            let (users, groups) = ids;
            assert_eq!(users.name(1), Some(&b"daemon"[..]), "{name}");
            assert_eq!(users.name(65534), Some(&b"nobody"[..]), "{name}");
            assert_eq!(groups.name(65534), Some(&b"nogroup"[..]), "{name}");
            assert_eq!(
                users.name(0),
                options.id0_names.then_some(&b"root"[..]),
                "{name}"
            );
            assert_eq!(users.name(2), None, "{name}");
        }
        if options.io_error_place() == IoErrorPlace::AfterIdLists {
            io_error |= cursor.int().expect("io_error");
        }
        let expects_error = name.starts_with("ioerr") && name != "ioerr-p30-nosafe";
        assert_eq!(io_error, i32::from(expects_error), "{name}");
        assert_eq!(cursor.remaining(), 0, "{name}");
    });
}

/// The id lists that follow list 1.
fn read_ids(options: &EntryOptions, cursor: &mut Cursor<'_>) -> (IdList, IdList) {
    let mut lists = (IdList::new(), IdList::new());
    if options.id_lists() {
        if options.uid {
            while lists.0.decode_next(options, cursor).expect("uid list") {}
        }
        if options.gid {
            while lists.1.decode_next(options, cursor).expect("gid list") {}
        }
    }
    lists
}

fn check_entry(session: &str, options: &EntryOptions, got: &Owned, want: &Value) {
    let shown = format!("{session}: {want}");
    let number = |key: &str| want[key].as_i64();
    let entry = got.entry();
    assert_eq!(entry.name, latin1(&want["name"]), "{shown}");
    let mode = u32::from_str_radix(text(&want["mode"]), 8).expect("octal");
    assert_eq!(entry.mode, mode, "{shown}");
    assert_eq!(i64::try_from(entry.size).ok(), number("size"), "{shown}");
    let mtime = number("mtime").map(|mtime| match mtime {
        // The capture's decoder read it as signed.
        ..0 if options.protocol == Protocol::V29 => mtime + (1 << 32),
        _ => mtime,
    });
    assert_eq!(Some(entry.mtime), mtime, "{shown}");
    assert_eq!(
        i64::from(entry.mtime_nsec),
        number("nsec").unwrap_or(0),
        "{shown}"
    );
    assert_eq!(i64::from(entry.uid), number("uid").unwrap_or(0), "{shown}");
    assert_eq!(i64::from(entry.gid), number("gid").unwrap_or(0), "{shown}");
    assert_eq!(
        entry.link_target.map(<[u8]>::to_vec),
        want.get("link").map(latin1),
        "{shown}"
    );
    assert_eq!(
        entry.checksum.map(<[u8]>::to_vec),
        want.get("sum").map(|s| unhex(text(s))),
        "{shown}"
    );
    let pair = |key: &str| {
        want.get(key).map(|v| {
            let number = |i: usize| v[i].as_u64().expect("number");
            (number(0), number(1))
        })
    };
    // The capture's decoder shows the noise of specials too.
    let is_device = entry.kind().is_some_and(Kind::is_device);
    assert_eq!(
        entry
            .rdev
            .map(|(major, minor)| (major.into(), minor.into())),
        pair("rdev").filter(|_| is_device),
        "{shown}"
    );
    let hard_link = match want.get("hlink") {
        Some(Value::Array(_)) => {
            let (dev, ino) = pair("hlink").expect("a pair");
            HardLink::DevIno { dev: dev - 1, ino }
        }
        Some(group) if want.get("hlink_first").is_none() => {
            HardLink::Follower(i32::try_from(group.as_i64().expect("number")).expect("small"))
        }
        _ if want.get("hlink_first").is_some() => HardLink::First,
        _ => HardLink::None,
    };
    assert_eq!(entry.hard_link, hard_link, "{shown}");
    let flags = u32::from_str_radix(text(&want["xflags"]), 16).expect("hex");
    assert_eq!(entry.top_dir, entry.is_dir() && flags & 1 != 0, "{shown}");
    if options.protocol.has_varints() {
        let no_content = entry.is_dir() && flags & 0x100 != 0;
        assert_eq!(entry.no_content, no_content, "{shown}");
    }
}

/// Our encoder makes the choices of rsync 3.x: every captured list comes out byte for byte, up to the id lists,
/// whose order is free.
#[test]
fn encodes_the_same_bytes() {
    for_each(|v, options| {
        let name = text(&v["name"]);
        let bytes = unhex(text(&v["data_stream_hex"]));
        let mut decoder = Decoder::new(options.clone());
        let mut encoder = Encoder::new(options.clone());
        let mut cursor = Cursor::new(&bytes);
        let lists = read_lists(&mut decoder, options.inc_recurse, &mut cursor).expect("decodes");

        let mut out = Vec::new();
        let mut from = 0;
        for list in &lists {
            encoder.start_list(list.ndx_start);
            out.clear();
            for (i, entry) in list.entries.iter().enumerate() {
                let index = list.ndx_start + i32::try_from(i).expect("small");
                assert_eq!(encoder.next_index(), index);
                encoder
                    .encode(&entry.entry(), &mut out)
                    .expect("has a form");
            }
            encoder.end(list.io_error, &mut out);
            // Between two lists lie the bytes of an index.
            let at = (from..from + 8)
                .find(|&at| bytes[at..].starts_with(&out))
                .unwrap_or_else(|| panic!("{name}: {:02x?} not at {from} of {bytes:02x?}", out));
            assert!(at == 0 || options.inc_recurse, "{name}");
            from = at + out.len();
        }
        if options.inc_recurse {
            assert!(
                bytes.len() - from <= 6,
                "{name}: only the end mark of the lists is left"
            );
            return;
        }
        // Id lists: the same names, however sorted.
        let mut cursor = Cursor::new(&bytes[from..]);
        let (users, groups) = read_ids(options, &mut cursor);
        let mut again = Vec::new();
        if options.id_lists() {
            for (list, enabled) in [(&users, options.uid), (&groups, options.gid)] {
                if enabled {
                    list.encode(options, &mut again);
                }
            }
        }
        assert_eq!(again.len(), cursor.position(), "{name}");
        assert_eq!(
            read_ids(options, &mut Cursor::new(&again)),
            (users, groups),
            "{name}"
        );
    });
}

/// Protocol 29 has no flag for content directories: they follow from the order (02-file-list 5.9).
#[test]
fn content_directories_at_29() {
    let mut seen = Vec::new();
    for_each(|v, options| {
        if options.protocol != Protocol::V29 {
            return;
        }
        let bytes = unhex(text(&v["data_stream_hex"]));
        let mut decoder = Decoder::new(options.clone());
        let lists = read_lists(&mut decoder, false, &mut Cursor::new(&bytes)).expect("decodes");
        let dirs = lists[0]
            .entries
            .iter()
            .filter(|entry| entry.numbers.is_dir());
        let (without, with): (Vec<_>, Vec<_>) = dirs.partition(|dir| dir.numbers.no_content);
        let names = |dirs: &[&Owned]| {
            let names = dirs.iter().map(|dir| String::from_utf8_lossy(&dir.name));
            names.collect::<Vec<_>>().join(" ")
        };
        seen.push((text(&v["name"]).to_owned(), names(&with), names(&without)));
    });
    let rows = [
        ("plain-p29", ". sub sub/deep", ""),
        ("rel-p29", "plain/sub/deep", "plain plain/sub"),
        ("dirs-p29", ".", "sub two"),
    ];
    for (name, with, without) in rows {
        let row = (name.to_owned(), with.to_owned(), without.to_owned());
        assert!(seen.contains(&row), "{row:?}");
    }
}
