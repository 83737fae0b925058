use super::*;
use crate::limits;
use proptest::prelude::*;

const VECTORS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../testkit/vectors/session/encodings.tsv"
));

fn hex(text: &str) -> Vec<u8> {
    text.split(' ')
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

#[test]
fn golden_rows() {
    let mut rows = 0;
    for line in VECTORS.lines().filter(|l| !l.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [kind, parameter, value, bytes, _origin] = fields[..] else {
            panic!("row {line:?}");
        };
        let (value, bytes) = (value.parse::<i64>().unwrap(), hex(bytes));
        let (mut cursor, mut out) = (Cursor::new(&bytes), Vec::new());
        let read = match kind {
            "varint" => {
                put_varint(&mut out, i32::try_from(value).unwrap());
                cursor.varint().map(i64::from)
            }
            "varlong" => {
                let min = parameter
                    .strip_prefix("min_bytes=")
                    .unwrap()
                    .parse()
                    .unwrap();
                put_varlong(&mut out, value, min);
                cursor.varlong(min)
            }
            "longint" => {
                put_longint(&mut out, value);
                cursor.longint()
            }
            "vstring-length" => {
                let len = usize::try_from(value).unwrap();
                let whole = [&bytes[..], &vec![b'x'; len]].concat();
                put_vstring(&mut out, &vec![b'x'; len]).unwrap();
                assert_eq!(out, whole, "{line}");
                assert_eq!(Cursor::new(&whole).vstring(len).unwrap().len(), len);
                rows += 1;
                continue;
            }
            _ => continue,
        };
        assert_eq!(read, Ok(value), "{line}");
        assert_eq!(cursor.remaining(), 0, "{line}");
        assert_eq!(out, bytes, "{line}");
        rows += 1;
    }
    assert_eq!(rows, 69, "rows of the table that this test knows");
}

#[test]
fn forms_longer_than_needed_are_read() {
    assert_eq!(Cursor::new(&[0x80, 0x05]).varint(), Ok(5));
    assert_eq!(Cursor::new(&[0xf0, 5, 0, 0, 0]).varint(), Ok(5));
    assert_eq!(Cursor::new(&[0xc0, 7, 0, 0, 0]).varlong(3), Ok(7));
}

#[test]
fn too_long_integers_are_violations() {
    for first in 0xf1..=0xff {
        let input = [first, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let too_long = DecodeError::from(Violation::IntegerTooLong { first });
        assert_eq!(Cursor::new(&input).varint(), Err(too_long));
        if first < 0xfc {
            assert!(Cursor::new(&input).varlong(4).is_ok());
        } else {
            assert_eq!(Cursor::new(&input).varlong(4), Err(too_long));
        }
    }
    // Nine bytes: the eight that follow are the whole value, the bits of the first are ignored.
    assert_eq!(
        Cursor::new(&[0xff, 1, 0, 0, 0, 0, 0, 0, 0]).varlong(3),
        Ok(1)
    );
}

#[test]
fn vstring_is_refused_before_its_bytes_are_there() {
    assert_eq!(
        Cursor::new(&[0x90, 0x00]).vstring(limits::XNAME),
        Err(Violation::StringTooLong {
            len: 4096,
            max: 4095
        }
        .into())
    );
    let too_long = vec![0; 32768];
    assert!(put_vstring(&mut Vec::new(), &too_long).is_err());
}

#[test]
fn a_failed_read_moves_nothing() {
    let input = [0xff, 0xff, 0xff, 0xff, 1, 2, 3];
    let mut cursor = Cursor::new(&input);
    assert_eq!(cursor.longint(), Err(DecodeError::Incomplete));
    assert_eq!(cursor.position(), 0);
    let mut cursor = Cursor::new(&[0x05, b'a', b'b']);
    assert_eq!(cursor.vstring(10), Err(DecodeError::Incomplete));
    assert_eq!(cursor.position(), 0);
}

/// Encodes, then checks: the whole decodes to the value and is used up, every proper prefix is incomplete.
fn round<T: PartialEq + std::fmt::Debug>(
    value: &T,
    bytes: &[u8],
    read: impl Fn(&mut Cursor<'_>) -> Result<T, DecodeError>,
) {
    let mut cursor = Cursor::new(bytes);
    assert_eq!(read(&mut cursor).as_ref(), Ok(value));
    assert_eq!(cursor.remaining(), 0);
    for cut in 0..bytes.len() {
        assert_eq!(
            read(&mut Cursor::new(&bytes[..cut])),
            Err(DecodeError::Incomplete)
        );
    }
}

proptest! {
    #[test]
    fn every_value_round_trips(shift in 0_u32..64, raw: i64, min in 3_usize..=4) {
        // Shifted so that all lengths come up.
        let value = raw >> shift;
        let mut out = Vec::new();
        put_varlong(&mut out, value, min);
        round(&value, &out, |c| c.varlong(min));
        out.clear();
        put_longint(&mut out, value);
        round(&value, &out, |c| c.longint());
        let [a, b, c, d, ..] = value.to_le_bytes();
        let value = i32::from_le_bytes([a, b, c, d]);
        out.clear();
        put_varint(&mut out, value);
        round(&value, &out, |c| c.varint());
        for protocol in Protocol::ALL {
            out.clear();
            put_varint30(&mut out, protocol, value);
            round(&value, &out, |c| c.varint30(protocol));
            out.clear();
            put_varlong30(&mut out, protocol, raw >> shift, min);
            round(&(raw >> shift), &out, |c| c.varlong30(protocol, min));
        }
    }

    #[test]
    fn strings_round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut out = Vec::new();
        put_vstring(&mut out, &bytes).unwrap();
        round(&bytes, &out, |c| c.vstring(600).map(<[u8]>::to_vec));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
        let _ = Cursor::new(&bytes).varint();
        let _ = Cursor::new(&bytes).varlong(3);
        let _ = Cursor::new(&bytes).varlong(4);
        let _ = Cursor::new(&bytes).longint();
        let _ = Cursor::new(&bytes).vstring(5);
        let _ = Cursor::new(&bytes).short();
    }
}
