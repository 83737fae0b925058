//! Integers and strings (01-session 3).

use rsync_proto::wire::{
    Cursor, put_int, put_longint, put_short, put_varint, put_varint30, put_varlong, put_varlong30, put_vstring,
};
use rsync_proto::{DecodeError, Protocol};

use crate::header::Header;
use crate::incremental::any_split;
use crate::vectors;

/// Header: a seed for the kinds to read. Then integers and strings of these kinds.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let kinds = header.byte();
    let run = any_split(header.rest(), || {
        let mut kind = kinds;
        move |cursor: &mut Cursor<'_>| {
            let value = Value::read(kind, cursor)?;
            kind = kind.wrapping_mul(5).wrapping_add(3);
            Ok(Some(value))
        }
    });
    let mut out = Vec::new();
    let mut kind = kinds;
    for value in &run.events {
        out.clear();
        value.put(kind, &mut out);
        let mut cursor = Cursor::new(&out);
        assert_eq!(Value::read(kind, &mut cursor).as_ref(), Ok(value));
        assert_eq!(cursor.remaining(), 0);
        kind = kind.wrapping_mul(5).wrapping_add(3);
    }
}

#[derive(Debug, PartialEq)]
enum Value {
    Short(u16),
    Int(i32),
    Long(i64),
    Text(Vec<u8>),
}

impl Value {
    fn read(kind: u8, cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        match kind % 10 {
            0 => cursor.short().map(Self::Short),
            1 => cursor.int().map(Self::Int),
            2 => cursor.longint().map(Self::Long),
            3 => cursor.varint().map(Self::Int),
            4 => cursor.varlong(3).map(Self::Long),
            5 => cursor.varlong(4).map(Self::Long),
            6 => cursor.varint30(Protocol::V29).map(Self::Int),
            7 => cursor.varlong30(Protocol::V31, 3).map(Self::Long),
            8 => cursor.varlong30(Protocol::V29, 3).map(Self::Long),
            _ => cursor.vstring(usize::from(kind) * 40).map(|text| Self::Text(text.to_vec())),
        }
    }

    fn put(&self, kind: u8, out: &mut Vec<u8>) {
        match (kind % 10, self) {
            (_, Self::Short(value)) => put_short(out, *value),
            (1, Self::Int(value)) => put_int(out, *value),
            (3, Self::Int(value)) => put_varint(out, *value),
            (_, Self::Int(value)) => put_varint30(out, Protocol::V29, *value),
            (2, Self::Long(value)) => put_longint(out, *value),
            (4, Self::Long(value)) => put_varlong(out, *value, 3),
            (5, Self::Long(value)) => put_varlong(out, *value, 4),
            (7, Self::Long(value)) => put_varlong30(out, Protocol::V31, *value, 3),
            (_, Self::Long(value)) => put_varlong30(out, Protocol::V29, *value, 3),
            (_, Self::Text(text)) => put_vstring(out, text).expect("as long as one that was read"),
        }
    }
}

/// The encodings of the vectors, each for every kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let table = vectors::text("session/encodings.tsv");
    let rows = table.lines().filter_map(|line| line.split('\t').nth(3));
    let all: Vec<u8> = rows.flat_map(vectors::hex).collect();
    (0..10).map(|kind| [&[kind], &all[..]].concat()).collect()
}
