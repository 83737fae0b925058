//! Frames and messages (01-session 10).

use rsync_proto::DecodeError;
use rsync_proto::limits;
use rsync_proto::mux::{Demux, FrameHeader, Message, Peer, Tag, exit_code_of_peer};
use rsync_proto::wire::Cursor;

use super::peer_text::shown_safely;
use crate::header::{Header, protocol_byte};
use crate::incremental::any_split;
use crate::recording;

/// Header: protocol, who the peer is. Then what the peer sends, in frames.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let protocol = header.protocol();
    let peer = peer(header.byte());
    let run = any_split(header.rest(), || {
        let (mut demux, mut open) = (Demux::new(peer, protocol), None);
        move |cursor: &mut Cursor<'_>| {
            if let Some(FrameHeader { tag, len }) = open {
                let payload = cursor.take(len as usize)?.to_vec();
                open = None;
                return Ok(Some((tag, payload)));
            }
            let header = demux.header(cursor)?;
            if header.len > 0 {
                open = Some(header);
            }
            Ok(Some((header.tag, header.to_bytes().to_vec())))
        }
    });
    // A header for each frame, and its payload if it has one.
    let mut events = run.events.iter();
    while let Some((tag, header)) = events.next() {
        let header = FrameHeader::decode(&mut Cursor::new(header)).expect("a header that was read");
        let payload = if header.len == 0 { Some(&[][..]) } else { events.next().map(|(_, bytes)| &bytes[..]) };
        if let Some(payload) = payload.filter(|_| *tag != Tag::DATA) {
            message(*tag, payload, protocol);
        }
    }
}

/// The peer of a byte.
pub(super) fn peer(byte: u8) -> Peer {
    Peer { is_server: byte & 1 != 0, is_sender: byte & 2 != 0 }
}

/// The byte of a peer.
pub(super) fn peer_byte(is_server: bool, is_sender: bool) -> u8 {
    u8::from(is_server) | u8::from(is_sender) << 1
}

/// A message whose header passed: it is small, and what it says is written in the same form.
fn message(tag: Tag, payload: &[u8], protocol: rsync_proto::Protocol) {
    assert!(payload.len() <= limits::MESSAGE_TEXT);
    let Ok(message) = Message::decode(tag, payload) else {
        return;
    };
    assert_eq!(message.tag(), tag);
    match message {
        Message::Text { text, .. } => shown_safely(text.as_bytes()),
        Message::Deleted { name, .. } => shown_safely(name.as_bytes()),
        Message::ErrorExit(code) => assert_ne!(exit_code_of_peer(code), 0),
        Message::Success(ndx) | Message::NoSend(ndx) => assert!(ndx.as_entry().is_some()),
        Message::IoTimeout(secs) => assert!(secs.is_none_or(|secs| secs <= limits::IO_TIMEOUT_SECS)),
        Message::IoError(_) | Message::Noop => {}
    }
    let mut out = Vec::new();
    message.put(&mut out, protocol).expect("a message of this protocol");
    if out.is_empty() {
        // A text without a byte is not written.
        return;
    }
    let mut cursor = Cursor::new(&out);
    let again: Result<FrameHeader, DecodeError> = FrameHeader::decode(&mut cursor);
    assert_eq!(again.map(|header| header.tag), Ok(tag));
    assert_eq!(Message::decode(tag, cursor.rest()), Ok(message));
}

/// The frames of the recordings, both directions.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = recording::seeds(|recording| {
        ([protocol_byte(recording.protocol), peer_byte(true, recording.pull)], &recording.server_frames)
    });
    seeds.extend(recording::seeds(|recording| {
        ([protocol_byte(recording.protocol), peer_byte(false, !recording.pull)], &recording.client_frames)
    }));
    let frame = |tag: u8, payload: &[u8]| {
        let header = FrameHeader { tag: Tag(tag), len: u32::try_from(payload.len()).unwrap_or(0) };
        [&header.to_bytes(), payload].concat()
    };
    let messages = [
        frame(1, b"rsync: [sender] failed\n"),
        frame(4, b"warning\n"),
        frame(22, &[1, 0, 0, 0]),
        frame(33, &[60, 0, 0, 0]),
        frame(42, &[]),
        frame(86, &[23, 0, 0, 0]),
        frame(0, b"data"),
    ];
    seeds.push([&[3, peer_byte(true, true)][..], &messages.concat(), &frame(102, &[5, 0, 0, 0])].concat());
    let to_sender = [frame(100, &[5, 0, 0, 0]), frame(101, b"dir\0"), frame(101, b"file")];
    seeds.push([&[3, peer_byte(true, false)][..], &messages.concat(), &to_sender.concat()].concat());
    seeds
}
