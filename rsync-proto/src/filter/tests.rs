use super::*;
use crate::version::Protocol;
use proptest::prelude::*;

const VECTORS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../testkit/vectors/filters/wire.txt"
));

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn captured_lists_come_out_the_same() {
    let mut lists = 0;
    for block in VECTORS.split("\n\n") {
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim).unwrap_or_default()
        };
        // Protocol 28 has another grammar, and is not ours.
        if field("protocol: ")
            .parse()
            .ok()
            .and_then(Protocol::new)
            .is_none()
        {
            continue;
        }
        let bytes = unhex(field("hex: "));
        let mut texts = block
            .lines()
            .filter_map(|line| line.strip_prefix("rule: "))
            .map(|text| text.replace('\u{2420}', " "));
        let (mut reader, mut cursor, mut out) =
            (FilterReader::new(), Cursor::new(&bytes), Vec::new());
        while let Some(text) = reader.read(&mut cursor).unwrap() {
            assert_eq!(text, texts.next().unwrap().as_bytes());
            put_rule(&mut out, text).unwrap();
        }
        put_end(&mut out);
        assert_eq!((texts.next(), cursor.remaining()), (None, 0));
        assert_eq!(out, bytes, "{}", field("name: "));
        lists += 1;
    }
    assert!(lists >= 8, "{lists} lists of protocols that we speak");
}

#[test]
fn lists_beyond_the_caps() {
    let read = |bytes: &[u8]| {
        FilterReader::new()
            .read(&mut Cursor::new(bytes))
            .map(|_| ())
    };
    for len in [-1, 5120, i32::MAX] {
        let violation = Violation::FilterRuleLength { len };
        assert_eq!(read(&len.to_le_bytes()), Err(violation.into()));
    }
    assert_eq!(
        read(b"\x03\x00\x00\x00- \0"),
        Err(Violation::NulInside.into())
    );

    let mut reader = FilterReader::new();
    let rule = b"\x03\x00\x00\x00- a";
    for _ in 0..limits::FILTER_RULES {
        reader.read(&mut Cursor::new(rule)).unwrap();
    }
    let got = reader.read(&mut Cursor::new(rule));
    assert_eq!(got, Err(Violation::FilterListTooLong.into()));
    assert_eq!(reader.read(&mut Cursor::new(&[0; 4])), Ok(None));
}

#[test]
fn rules_without_a_form() {
    let mut out = Vec::new();
    for text in [&b""[..], b"- a\0", &[b'x'; 5120]] {
        assert!(put_rule(&mut out, text).is_err());
    }
    assert!(out.is_empty());
    put_rule(&mut out, &[b'x'; 5119]).unwrap();
}

proptest! {
    #[test]
    fn rules_round_trip(text in proptest::collection::vec(1_u8.., 1..64)) {
        let mut out = Vec::new();
        put_rule(&mut out, &text).unwrap();
        let mut reader = FilterReader::new();
        for cut in 0..out.len() {
            prop_assert_eq!(reader.read(&mut Cursor::new(&out[..cut])), Err(DecodeError::Incomplete));
        }
        prop_assert_eq!(reader.read(&mut Cursor::new(&out)), Ok(Some(&text[..])));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = FilterReader::new().read(&mut Cursor::new(&bytes));
    }
}
