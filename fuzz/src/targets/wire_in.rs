//! The engine's reader over any frames: however the connection cuts them, the same records and the same data come
//! out (01-session 10).

use std::io::{self, Read};
use std::sync::Arc;

use rsync_engine::{IoClock, WireIn};
use rsync_proto::mux::{Demux, Message, Peer, Tag};
use rsync_proto::wire::Cursor;
use rsync_proto::{DecodeError, Protocol};

use super::demux::{peer, peer_byte};
use crate::header::{Header, protocol_byte};
use crate::recording;

/// Header: protocol, who the peer is, how the connection cuts what it brings, how much comes with the handshake. Then
/// frames.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let protocol = header.protocol();
    let peer = peer(header.byte());
    let cuts = header.byte();
    let early = usize::from(header.byte());
    let frames = header.rest();

    let session = |early: usize, cuts: u8| Session::new(frames, early, cuts, protocol, peer);
    let whole = session(0, 0).records();
    assert_eq!(session(early, cuts).records(), whole, "records");
    let bulk = session(0, 0).bulk();
    assert_eq!(session(early, cuts).bulk(), bulk, "data");
    assert_eq!(bulk.0, reference(frames, protocol, peer), "the stream, taken apart by hand");
}

struct Session(WireIn);

impl Session {
    fn new(frames: &[u8], early: usize, cuts: u8, protocol: Protocol, peer: Peer) -> Self {
        let (unread, rest) = frames.split_at(early.min(frames.len()));
        let source = Pieces { rest: rest.to_vec(), at: 0, cuts, state: cuts };
        let clock = Arc::new(IoClock::new(None));
        let mut wire = WireIn::new(Box::new(source), unread.to_vec(), clock);
        wire.start_framing(peer, protocol);
        Self(wire)
    }

    /// Records of every size up to the error that ends it all.
    fn records(mut self) -> (Vec<Vec<u8>>, String) {
        let (mut records, mut size) = (Vec::new(), 1);
        let error = loop {
            match self.0.record(|cursor| text(size, cursor)) {
                Ok(record) => records.push(record),
                Err(error) => break format!("{error:?}"),
            }
            size = size * 3 % 61;
        };
        (records, error)
    }

    /// The whole stream, in the pieces in which it can be had.
    fn bulk(mut self) -> (Vec<u8>, String) {
        let mut data = Vec::new();
        let error = loop {
            match self.0.bulk(7000) {
                Ok(piece) => {
                    assert!((1..=7000).contains(&piece.len()));
                    data.extend_from_slice(piece);
                }
                Err(error) => break format!("{error:?}"),
            }
        };
        (data, error)
    }
}

/// A record whose length its first byte may make longer.
fn text(size: usize, cursor: &mut Cursor<'_>) -> Result<Vec<u8>, DecodeError> {
    let mut probe = cursor.clone();
    let first = probe.byte()?;
    let more = if first < 0x40 { usize::from(first) } else { 0 };
    let rest = probe.take(size + more)?;
    let record = [&[first], rest].concat();
    *cursor = probe;
    Ok(record)
}

/// A connection that brings its bytes in pieces of many sizes, with interruptions.
struct Pieces {
    rest: Vec<u8>,
    at: usize,
    cuts: u8,
    state: u8,
}

impl Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Odd: all 256 states come, so that interruptions end.
        self.state = self.state.wrapping_mul(37).wrapping_add(self.cuts | 1);
        if self.cuts > 0 && self.state.is_multiple_of(16) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let size = if self.cuts == 0 { usize::MAX } else { usize::from(self.state) };
        let rest = &self.rest[self.at..];
        let len = size.max(1).min(rest.len()).min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.at += len;
        Ok(len)
    }
}

/// The stream up to the first thing that is wrong.
fn reference(frames: &[u8], protocol: Protocol, peer: Peer) -> Vec<u8> {
    let (mut demux, mut cursor, mut data) = (Demux::new(peer, protocol), Cursor::new(frames), Vec::new());
    while let Ok(header) = demux.header(&mut cursor) {
        let len = header.len as usize;
        let there = cursor.take(len.min(cursor.remaining())).unwrap_or_default();
        if header.tag == Tag::DATA {
            data.extend_from_slice(there);
            continue;
        }
        // A peer that fails ends the stream as well.
        match Message::decode(header.tag, there) {
            Ok(message) if there.len() == len && !matches!(message, Message::ErrorExit(_)) => {}
            _ => break,
        }
    }
    data
}

/// The frames of the recordings, both directions, and those of `demux`.
pub fn seeds() -> Vec<Vec<u8>> {
    let cuts = |stream: &[u8]| [stream.len() as u8 | 1, (stream.len() >> 3) as u8];
    let mut seeds = recording::seeds(|recording| {
        let [a, b] = cuts(&recording.server_frames);
        ([protocol_byte(recording.protocol), peer_byte(true, recording.pull), a, b], &recording.server_frames)
    });
    seeds.extend(recording::seeds(|recording| {
        let [a, b] = cuts(&recording.client_frames);
        ([protocol_byte(recording.protocol), peer_byte(false, !recording.pull), a, b], &recording.client_frames)
    }));
    for seed in super::demux::seeds() {
        seeds.push([&seed[..2], &[19, 3], &seed[2..]].concat());
    }
    seeds
}
