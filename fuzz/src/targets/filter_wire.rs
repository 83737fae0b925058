//! The filter list on the wire (02-file-list 2), and its rules in the form in which they travel (07-filters 11).

use rsync_engine::filter::{Role, RuleList, RuleSettings};
use rsync_proto::filter::{FilterReader, put_end, put_rule};
use rsync_proto::wire::Cursor;
use rsync_proto::{Protocol, limits};

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
    for text in run.events.iter().flatten() {
        assert!((1..=limits::FILTER_RULE).contains(&text.len()));
        framed(text);
        let Ok(list) = RuleList::from_wire(&[text], RuleSettings::default()) else {
            continue;
        };
        for role in [Role::Sender, Role::Receiver] {
            again(&list, protocol, role);
        }
    }
}

/// What was read is written in the same way.
fn framed(text: &[u8]) {
    let mut list = Vec::new();
    put_rule(&mut list, text).expect("a text that was read");
    put_end(&mut list);
    let (mut reader, mut cursor) = (FilterReader::new(), Cursor::new(&list));
    assert_eq!(reader.read(&mut cursor), Ok(Some(text)));
    assert_eq!(reader.read(&mut cursor), Ok(None));
    assert_eq!(cursor.remaining(), 0);
}

/// A rule as we write it is understood, and written in the same words once more.
fn again(list: &RuleList, protocol: Protocol, role: Role) {
    let Ok(texts) = list.wire_rules(protocol, role) else {
        return;
    };
    // The short form may be longer than a long one without its blank.
    let texts: Vec<Vec<u8>> = texts.into_iter().filter(|text| text.len() <= limits::FILTER_RULE).collect();
    let read = RuleList::from_wire(&texts, RuleSettings::default()).expect("our own form");
    assert_eq!(read.wire_rules(protocol, role).expect("written before"), texts);
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
