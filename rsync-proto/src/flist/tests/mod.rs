//! Tests of the whole module: captured lists, malformed lists, properties.

mod bad;
mod good;
mod order;
mod properties;

use super::*;
use crate::error::{DecodeError, Violation};
use crate::version::Protocol;
use crate::wire::Cursor;

/// A test vector file.
fn vector_file(name: &str) -> String {
    let path = format!("{}/../testkit/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "odd hex");
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex"))
        .collect()
}

/// Options of a captured session from its client's command line, compat flags and list checksum.
fn options_of(
    protocol: Protocol,
    compat: u32,
    checksum_len: usize,
    args: &[&str],
    incremental: bool,
) -> EntryOptions {
    let mut options = EntryOptions::new(protocol);
    options.varint_flags = compat & 0x80 != 0;
    options.safe_flist = compat & 0x08 != 0;
    options.id0_names = compat & 0x100 != 0;
    options.inc_recurse = incremental;
    let long = |options: &mut EntryOptions, arg: &str| match arg {
        "devices" => options.devices = true,
        "numeric-ids" => options.numeric_ids = true,
        "delete-missing-args" => options.missing_args = true,
        "no-i-r" | "delete" | "force" => {}
        _ => {
            let name = arg.split('=').next().expect("a name");
            let silent = [
                "protocol",
                "checksum-seed",
                "checksum-choice",
                "exclude",
                "include",
                "filter",
            ];
            assert!(silent.contains(&name), "unknown option --{arg}");
        }
    };
    for arg in args {
        if let Some(name) = arg.strip_prefix("--") {
            long(&mut options, name);
            continue;
        }
        for letter in arg.strip_prefix('-').expect("an option").chars() {
            let all = letter == 'a';
            options.recurse |= all || letter == 'r';
            options.links |= all || letter == 'l';
            options.uid |= all || letter == 'o';
            options.gid |= all || letter == 'g';
            options.devices |= all || letter == 'D';
            options.specials |= all || letter == 'D';
            options.hard_links |= letter == 'H';
            options.relative |= letter == 'R';
            if letter == 'c' {
                options.checksum_len = Some(checksum_len);
            }
            assert!(
                "arltpogDHRcdnCL".contains(letter),
                "unknown option -{letter}"
            );
        }
    }
    options
}

/// An entry that owns its parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Owned {
    name: Vec<u8>,
    numbers: Entry<'static>,
    user_name: Option<Vec<u8>>,
    group_name: Option<Vec<u8>>,
    link_target: Option<Vec<u8>>,
    checksum: Option<Vec<u8>>,
}

impl Owned {
    fn of(entry: &Entry<'_>) -> Self {
        Self {
            name: entry.name.to_vec(),
            numbers: Entry {
                name: b"",
                user_name: None,
                group_name: None,
                link_target: None,
                checksum: None,
                ..*entry
            },
            user_name: entry.user_name.map(<[u8]>::to_vec),
            group_name: entry.group_name.map(<[u8]>::to_vec),
            link_target: entry.link_target.map(<[u8]>::to_vec),
            checksum: entry.checksum.map(<[u8]>::to_vec),
        }
    }

    fn entry(&self) -> Entry<'_> {
        Entry {
            name: &self.name,
            user_name: self.user_name.as_deref(),
            group_name: self.group_name.as_deref(),
            link_target: self.link_target.as_deref(),
            checksum: self.checksum.as_deref(),
            ..self.numbers
        }
    }

    fn key(&self) -> (&[u8], bool) {
        (&self.name, self.numbers.is_dir())
    }
}

/// A list as decoded.
#[derive(Debug)]
struct List {
    ndx_start: i32,
    entries: Vec<Owned>,
    order: Vec<u32>,
    io_error: i32,
}

/// Reads one list that was started.
fn read_list(
    decoder: &mut Decoder,
    ndx_start: i32,
    cursor: &mut Cursor<'_>,
) -> Result<List, DecodeError> {
    let mut entries = Vec::new();
    let io_error = loop {
        match decoder.decode(cursor)? {
            Item::Entry => entries.push(Owned::of(&decoder.entry())),
            Item::End { io_error } => break io_error,
        }
    };
    assert_eq!(decoder.count(), entries.len());
    let order = sort(entries.len(), |i| entries[i].key());
    Ok(List {
        ndx_start,
        entries,
        order,
        io_error,
    })
}

/// What a sender puts between the lists of an incremental transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    Sublist(usize),
    Eof,
}

/// Index coding of negative numbers, as far as lists need it (01-session 3.4).
fn read_between(previous: &mut i64, cursor: &mut Cursor<'_>) -> Result<Between, DecodeError> {
    assert_eq!(cursor.byte()?, 0xff, "a negative index");
    let value = match cursor.byte()? {
        0xfe => {
            let (a, b) = (cursor.byte()?, cursor.byte()?);
            if a & 0x80 == 0 {
                *previous + i64::from(u16::from_le_bytes([b, a]))
            } else {
                let (c, d) = (cursor.byte()?, cursor.byte()?);
                i64::from(u32::from_le_bytes([b, c, d, a & 0x7f]))
            }
        }
        byte => *previous + i64::from(byte),
    };
    *previous = value;
    Ok(match value {
        2 => Between::Eof,
        _ => Between::Sublist(usize::try_from(value - 101).expect("a directory")),
    })
}

/// Reads all lists of a stream, with the numbering of directories of 02-file-list 9.3.
fn read_lists(
    decoder: &mut Decoder,
    incremental: bool,
    cursor: &mut Cursor<'_>,
) -> Result<Vec<List>, DecodeError> {
    let mut ndx_start = i32::from(incremental);
    decoder.start_list(ndx_start);
    let mut lists = vec![read_list(decoder, ndx_start, cursor)?];
    if !incremental {
        return Ok(lists);
    }
    let mut previous = 1;
    let mut dirs: Vec<Vec<u8>> = Vec::new();
    loop {
        let last = lists.last().expect("list 1");
        dirs.extend(last.order.iter().filter_map(|&i| {
            let entry = &last.entries[i as usize];
            entry.numbers.is_dir().then(|| entry.name.clone())
        }));
        ndx_start += i32::try_from(last.entries.len()).expect("few") + 1;
        match read_between(&mut previous, cursor)? {
            Between::Eof => return Ok(lists),
            Between::Sublist(dir) => {
                decoder.start_sublist(ndx_start, &dirs[dir]);
                lists.push(read_list(decoder, ndx_start, cursor)?);
            }
        }
    }
}
