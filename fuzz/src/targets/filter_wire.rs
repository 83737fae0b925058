//! The filter list on the wire, and the prefixes of its rules (02-file-list 2).

use rsync_proto::filter::{FilterReader, Modifiers, Rule, RuleKind, put_end};
use rsync_proto::limits;
use rsync_proto::wire::Cursor;

use crate::header::{Header, protocol_byte};
use crate::incremental::any_split;
use crate::{recording, vectors};

/// Header: protocol. Then a filter list.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let protocol = header.protocol();
    let run = any_split(header.rest(), || {
        let (mut reader, mut over) = (FilterReader::new(), false);
        move |cursor: &mut Cursor<'_>| {
            if over {
                return Ok(None);
            }
            let rule = reader.read(cursor)?;
            over = rule.is_none();
            Ok(Some(rule.map(<[u8]>::to_vec)))
        }
    });
    let mut out = Vec::new();
    for text in run.events.iter().flatten() {
        assert!((1..=limits::FILTER_RULE).contains(&text.len()));
        let Ok(rule) = Rule::parse(text) else {
            continue;
        };
        assert!(rule.pattern.len() <= text.len());
        out.clear();
        if rule.put(&mut out, protocol).is_ok() {
            again(&rule, &out);
        } else {
            let unsent = rule.modifiers.intersects(Modifiers::EXCLUDE_SELF | Modifiers::PERISHABLE);
            // The short form may be longer than a long one without its blank.
            let grown = text.len() + 2 > limits::FILTER_RULE;
            assert!(unsent || rule.kind == RuleKind::Clear || grown, "{rule:?}");
        }
    }
}

/// The rule as we write it: the same one.
fn again(rule: &Rule<'_>, wire: &[u8]) {
    let mut reader = FilterReader::new();
    let mut list = wire.to_vec();
    put_end(&mut list);
    let mut cursor = Cursor::new(&list);
    let text = reader.read(&mut cursor).expect("a whole rule").expect("a rule");
    let mut read = Rule::parse(text).expect("our own form");
    // What C implies is not written beside it.
    if rule.modifiers.contains(Modifiers::CVS) {
        read.modifiers |= rule.modifiers;
    }
    assert_eq!(read, *rule);
    assert_eq!(reader.read(&mut cursor), Ok(None));
    assert_eq!(cursor.remaining(), 0);
}

/// The lists of the recordings and of the vectors.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = recording::seeds(|recording| ([protocol_byte(recording.protocol)], &recording.filters));
    let captures = vectors::text("filters/wire.txt");
    let lists = captures.lines().filter_map(|line| line.strip_prefix("hex: "));
    seeds.extend(lists.map(|hex| [&[3][..], &vectors::hex(hex)].concat()));
    let words = [
        "exclude,!p foo", "include bar", "dir-merge,n-_.f", "hide,x h", "show s", "protect,p x", "risk,/ /y", "clear", "!",
        ":C", "-C", ":sn+w .rules", "merge x", ". y",
    ];
    let mut seed = vec![3];
    for word in words {
        seed.extend_from_slice(&u32::try_from(word.len()).unwrap_or(0).to_le_bytes());
        seed.extend_from_slice(word.as_bytes());
    }
    seed.extend_from_slice(&[0; 4]);
    seeds.push(seed);
    seeds.sort();
    seeds.dedup();
    seeds
}
