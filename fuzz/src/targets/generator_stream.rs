//! What a generator sends: indices, item headers, sum heads and block sums (03-transfer 1, 2, 4).

use rsync_proto::item::{ItemFlags, ItemHeader};
use rsync_proto::ndx::{Ndx, NdxReader, NdxWriter};
use rsync_proto::stats::DelStats;
use rsync_proto::sums::{BlockSum, SumHead};
use rsync_proto::wire::Cursor;
use rsync_proto::{DecodeError, Protocol, limits};

use crate::header::{Header, protocol_byte};
use crate::incremental::{any_split, run as run_pieces};
use crate::{recording, vectors};

/// Header: protocol, whether it is a dry run. Then a generator's stream.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let protocol = header.protocol();
    let dry_run = header.byte() & 1 != 0;
    let decoded = any_split(header.rest(), || stream(protocol, dry_run));
    let (mut writer, mut out) = (NdxWriter::new(protocol), Vec::new());
    for event in &decoded.events {
        event.put(&mut writer, &mut out);
    }
    let again = run_pieces(&[&out], stream(protocol, dry_run));
    assert_eq!(again.events, decoded.events);
    assert_eq!(again.taken, out.len());
}

#[derive(Debug, PartialEq)]
enum Event {
    Ndx(Ndx),
    DelStats(DelStats),
    Item { flags: ItemFlags, basis_type: Option<u8>, xname: Option<Vec<u8>> },
    Head(SumHead),
    Sum { weak: u32, strong: Vec<u8> },
}

impl Event {
    fn put(&self, writer: &mut NdxWriter, out: &mut Vec<u8>) {
        match self {
            Self::Ndx(ndx) => writer.write(*ndx, out),
            Self::DelStats(stats) => stats.put(out),
            Self::Item { flags, basis_type, xname } => {
                let header = ItemHeader { flags: *flags, basis_type: *basis_type, xname: xname.as_deref() };
                header.put(out).expect("a header that was read");
            }
            Self::Head(head) => head.put(out),
            Self::Sum { weak, strong } => BlockSum { weak: *weak, strong }.put(out),
        }
    }
}

enum State {
    Ndx,
    DelStats,
    Item,
    Head,
    Sums(SumHead, u32),
}

fn stream(protocol: Protocol, dry_run: bool) -> impl FnMut(&mut Cursor<'_>) -> Result<Option<Event>, DecodeError> {
    let mut reader = NdxReader::new(protocol);
    let mut state = State::Ndx;
    move |cursor| {
        let (event, next) = match state {
            State::Ndx => {
                let ndx = reader.read(cursor)?;
                let next = match ndx {
                    Ndx::DEL_STATS => State::DelStats,
                    _ if ndx.as_entry().is_some() => State::Item,
                    _ => State::Ndx,
                };
                (Event::Ndx(ndx), next)
            }
            State::DelStats => (Event::DelStats(DelStats::decode(cursor)?), State::Ndx),
            State::Item => {
                let ItemHeader { flags, basis_type, xname } = ItemHeader::decode(cursor)?;
                assert!(xname.is_none_or(|name| name.len() <= limits::XNAME));
                let transfer = flags.contains(ItemFlags::TRANSFER) && !dry_run;
                let event = Event::Item { flags, basis_type, xname: xname.map(<[u8]>::to_vec) };
                (event, if transfer { State::Head } else { State::Ndx })
            }
            State::Head => {
                let head = SumHead::decode(cursor, protocol)?;
                check_head(&head, protocol);
                (Event::Head(head), if head.count == 0 { State::Ndx } else { State::Sums(head, 1) })
            }
            State::Sums(head, number) => {
                let BlockSum { weak, strong } = BlockSum::decode(cursor, &head)?;
                let next = if number < head.count { State::Sums(head, number + 1) } else { State::Ndx };
                (Event::Sum { weak, strong: strong.to_vec() }, next)
            }
        };
        state = next;
        Ok(Some(event))
    }
}

fn check_head(head: &SumHead, protocol: Protocol) {
    assert!(head.block_len <= protocol.max_block_len() && head.strong_len <= limits::STRONG_SUM);
    assert!(head.remainder <= head.block_len);
    assert!(head.file_len() < 1 << 60);
    let last = head.count.saturating_sub(1);
    assert_eq!(head.file_len(), head.offset_of(last) + u64::from(head.block_len_of(last)));
    assert_eq!(head.block_len_of(head.count), 0);
}

/// The generators of the recordings, and those of a hostile client.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = recording::seeds(|recording| {
        let dry_run = recording.arguments.iter().any(|argument| argument.starts_with(b"-n"));
        ([protocol_byte(recording.protocol), u8::from(dry_run)], &recording.generator)
    });
    let hostile = vectors::json("security/hostile_receiver.json");
    for case in hostile["cases"].as_array().into_iter().flatten() {
        let bytes = vectors::hex(case["client_hex"].as_str().unwrap_or_default());
        seeds.push([&[0, 0][..], &bytes].concat());
    }
    seeds.sort();
    seeds.dedup();
    seeds
}
