//! File lists of every protocol and set of options, with their id lists (02-file-list 4 to 10).

use rsync_proto::flist::{Encoder, EntryOptions};
use rsync_proto::ndx::{Ndx, NdxReader, NdxWriter};
use rsync_proto::wire::{Cursor, put_int};
use rsync_proto::{DecodeError, Protocol};

use crate::header::Header;
use crate::incremental::{any_split, run as run_pieces};
use crate::lists::{self, ListEvent, Lists};
use crate::{recording, vectors};

/// Header: options. Then list 1 with its id lists, in incremental recursion the indices and lists that follow it.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let options = lists::options(&mut header);
    let decoded = any_split(header.rest(), || stream(options.clone()));
    let written = written_again(&options, &decoded.events);
    let again = run_pieces(&[&written], stream(options.clone()));
    // Compared one by one: a whole list in a message tells nothing.
    assert_eq!(again.events.len(), decoded.events.len());
    for (again, first) in again.events.iter().zip(&decoded.events) {
        assert_eq!(again.bare(), first.bare());
    }
    assert_eq!(again.taken, written.len());
    assert_eq!(written_again(&options, &again.events), written);
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    List(ListEvent),
    Sublist { dir: u32, ndx_start: i32 },
    Eof,
}

impl Event {
    /// What has to survive being written again.
    fn bare(&self) -> Self {
        match self {
            Self::List(ListEvent::Entry(entry)) => {
                Self::List(ListEvent::Entry(Box::new((**entry).clone().without_owner_names())))
            }
            other => other.clone(),
        }
    }
}

/// A receiver that takes lists only.
fn stream(options: EntryOptions) -> impl FnMut(&mut Cursor<'_>) -> Result<Option<Event>, DecodeError> {
    let incremental = options.inc_recurse;
    let mut reader = NdxReader::new(options.protocol);
    let mut lists = Lists::new(options);
    let mut over = false;
    move |cursor| {
        if over {
            return Ok(None);
        }
        if let Some(event) = lists.decode(cursor)? {
            return Ok(Some(Event::List(event)));
        }
        if !incremental {
            return Ok(None);
        }
        let ndx = reader.read(cursor)?;
        let ndx_start = lists.ndx_start();
        match ndx.as_sublist() {
            Some(dir) if lists.start_sublist(dir) => Ok(Some(Event::Sublist { dir, ndx_start })),
            _ => {
                over = true;
                Ok((ndx == Ndx::FLIST_EOF).then_some(Event::Eof))
            }
        }
    }
}

fn written_again(options: &EntryOptions, events: &[Event]) -> Vec<u8> {
    let mut encoder = Encoder::new(options.clone());
    let mut writer = NdxWriter::new(options.protocol);
    let mut out = Vec::new();
    encoder.start_list(i32::from(options.inc_recurse));
    for event in events {
        match event {
            Event::List(ListEvent::Entry(entry)) => {
                encoder.encode(&entry.entry(), &mut out).expect("an entry that was decoded");
            }
            Event::List(ListEvent::End(io_error)) => encoder.end(*io_error, &mut out),
            Event::List(ListEvent::Ids(ids)) => ids.encode(options, &mut out),
            Event::List(ListEvent::IoError(io_error)) => put_int(&mut out, *io_error),
            Event::Sublist { dir, ndx_start } => {
                writer.write(Ndx::sublist(*dir), &mut out);
                encoder.start_list(*ndx_start);
            }
            Event::Eof => writer.write(Ndx::FLIST_EOF, &mut out),
        }
    }
    out
}

/// The captured lists, good and bad, those of a hostile client, and those of the recordings.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = recording::seeds(|recording| {
        (lists::header_of(&lists::options_of_recording(recording)), &recording.sender)
    });
    for name in ["good", "bad"] {
        for case in vectors::json_lines(&format!("flist/{name}.jsonl")) {
            let number = case["protocol"].as_u64().and_then(|number| u32::try_from(number).ok());
            let Some(protocol) = number.and_then(Protocol::new) else {
                continue;
            };
            let words = [vectors::strings(&case["options"]), vectors::strings(&case["client_options"])].concat();
            let compat = case["compat_flags"].as_str().and_then(|flags| u32::from_str_radix(flags, 16).ok());
            let checksum_len = if case["checksum"] == "xxh64" { 8 } else { 16 };
            let options = lists::options_of(protocol, compat.unwrap_or(0), checksum_len, &words);
            let bytes = vectors::hex(case["data_stream_hex"].as_str().unwrap_or_default());
            seeds.push([&lists::header_of(&options)[..], &bytes].concat());
        }
    }
    let hostile = vectors::json("security/hostile_pusher.json");
    for case in hostile["cases"].as_array().into_iter().flatten() {
        let options = lists::options_of(Protocol::V29, 0, 16, &vectors::strings(&case["options"]));
        let bytes = vectors::hex(case["client_hex"].as_str().unwrap_or_default());
        seeds.push([&lists::header_of(&options)[..], &bytes].concat());
    }
    seeds.sort();
    seeds.dedup();
    seeds
}
