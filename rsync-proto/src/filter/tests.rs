use super::*;
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
fn captured_lists_parse_and_come_out_the_same() {
    let mut lists = 0;
    for block in VECTORS.split("\n\n") {
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim).unwrap_or_default()
        };
        // Protocol 28 has another grammar, and is not ours.
        let Some(protocol) = field("protocol: ").parse().ok().and_then(Protocol::new) else {
            continue;
        };
        let bytes = unhex(field("hex: "));
        let mut texts = block
            .lines()
            .filter_map(|line| line.strip_prefix("rule: "))
            .map(|text| text.replace('\u{2420}', " "));
        let (mut reader, mut cursor, mut out) =
            (FilterReader::new(), Cursor::new(&bytes), Vec::new());
        while let Some(text) = reader.read(&mut cursor).unwrap() {
            assert_eq!(text, texts.next().unwrap().as_bytes());
            Rule::parse(text).unwrap().put(&mut out, protocol).unwrap();
        }
        put_end(&mut out);
        assert_eq!((texts.next(), cursor.remaining()), (None, 0));
        assert_eq!(out, bytes, "{}", field("name: "));
        lists += 1;
    }
    assert!(lists >= 8, "{lists} lists of protocols that we speak");
}

#[test]
fn rules() {
    use Modifiers as M;
    use RuleKind::{Clear, DirMerge, Exclude, Include};
    let rows: [(&str, RuleKind, Modifiers, &str); 16] = [
        ("- *.o", Exclude, M(0), "*.o"),
        ("-_*.o", Exclude, M(0), "*.o"),
        ("-__x", Exclude, M(0), "_x"),
        ("-  x ", Exclude, M(0), " x "),
        ("+,s a", Include, M::SENDER, "a"),
        ("exclude a b", Exclude, M(0), "a b"),
        ("exclude,!/ a", Exclude, M::ABSOLUTE | M::NEGATED, "a"),
        ("hide h", Exclude, M::SENDER, "h"),
        ("H h", Exclude, M::SENDER, "h"),
        ("Sp s", Include, M::SENDER | M::PERISHABLE, "s"),
        ("protect_p", Exclude, M::RECEIVER, "p"),
        ("R r/", Include, M::RECEIVER, "r/"),
        (
            "dir-merge,n- .f",
            DirMerge,
            M::NO_INHERIT | M::ONLY_EXCLUDES,
            ".f",
        ),
        (
            ":ewC .f",
            DirMerge,
            M::EXCLUDE_SELF | M::WORD_SPLIT | M::CVS,
            ".f",
        ),
        ("-C", Exclude, M::CVS, ""),
        ("clear", Clear, M(0), ""),
    ];
    for (text, kind, modifiers, pattern) in rows {
        let pattern = pattern.as_bytes();
        let rule = Rule {
            kind,
            modifiers,
            pattern,
        };
        assert_eq!(Rule::parse(text.as_bytes()), Ok(rule), "{text}");
    }
}

#[test]
fn broken_rules() {
    let modifier = |modifier| Violation::FilterModifier { modifier };
    let rows = [
        ("", Violation::FilterRuleUnknown),
        ("foo", Violation::FilterRuleUnknown),
        ("excludefoo", Violation::FilterRuleUnknown),
        ("exclude\tfoo", Violation::FilterRuleUnknown),
        ("-", Violation::FilterRuleEnd),
        ("- ", Violation::FilterRuleEnd),
        ("exclude", Violation::FilterRuleEnd),
        ("-s", Violation::FilterRuleEnd),
        ("! x", Violation::FilterClearTrailing),
        ("clear x", Violation::FilterClearTrailing),
        (". /etc/passwd", Violation::FilterMerge),
        ("merge /etc/passwd", Violation::FilterMerge),
        ("-q x", modifier('q')),
        ("-n x", modifier('n')),
        ("Hs x", modifier('s')),
        ("HC", modifier('C')),
        (":! x", modifier('!')),
        (":-+ x", modifier('+')),
        (":C- x", modifier('-')),
        ("-\u{1b} x", modifier('\u{1b}')),
    ];
    for (text, violation) in rows {
        assert_eq!(Rule::parse(text.as_bytes()), Err(violation), "{text:?}");
    }
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
    let rule = |modifiers, pattern| Rule {
        kind: RuleKind::Exclude,
        modifiers,
        pattern,
    };
    let mut out = Vec::new();
    let perishable = rule(Modifiers::PERISHABLE, b"x");
    assert!(perishable.put(&mut out, Protocol::V29).is_err());
    assert!(rule(BOTH, b"").put(&mut out, Protocol::V32).is_err());
    assert!(rule(BOTH, b"a\0").put(&mut out, Protocol::V32).is_err());
    assert!(
        rule(BOTH, &[b'x'; 5118])
            .put(&mut out, Protocol::V32)
            .is_err()
    );
    assert!(out.is_empty());
    perishable.put(&mut out, Protocol::V30).unwrap();
    assert_eq!(out, b"\x04\x00\x00\x00-p x");
}

proptest! {
    #[test]
    fn parsed_rules_round_trip(text in "[-+:HSPR][,/!CnwxsrpE+-]{0,4}[ _][a-z/*_ ]{1,8}") {
        if let Ok(rule) = Rule::parse(text.as_bytes()) {
            let mut out = Vec::new();
            rule.put(&mut out, Protocol::V32).unwrap();
            let mut reader = FilterReader::new();
            for cut in 0..out.len() {
                prop_assert_eq!(reader.read(&mut Cursor::new(&out[..cut])), Err(DecodeError::Incomplete));
            }
            let text = reader.read(&mut Cursor::new(&out)).unwrap().unwrap();
            let again = Rule::parse(text).unwrap();
            if rule.modifiers.contains(Modifiers::CVS) {
                prop_assert_eq!(again.modifiers, rule.modifiers.without(CVS_IMPLIES));
            } else {
                prop_assert_eq!(again, rule);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Rule::parse(&bytes);
        let _ = FilterReader::new().read(&mut Cursor::new(&bytes));
    }
}
