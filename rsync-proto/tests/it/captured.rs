//! A recorded session, taken apart by the crate's decoders.

use rsync_proto::args::{ArgumentsReader, second_pass_follows};
use rsync_proto::auth::{AuthDigest, parse_response};
use rsync_proto::files_from;
use rsync_proto::filter::FilterReader;
use rsync_proto::greeting::Greeting;
use rsync_proto::limits;
use rsync_proto::line::read_line;
use rsync_proto::mux::{Demux, FrameHeader, Message, Peer, Tag};
use rsync_proto::replies::{Replies, Reply};
use rsync_proto::request::Request;
use rsync_proto::setup::{
    Capabilities, ChecksumChoice, ChecksumName, ClientOffer, ClientSetup, CompatFlags, Compression,
    CompressionRequest, Progress, ServerOffer, ServerSetup,
};
use rsync_proto::wire::Cursor;
use rsync_proto::{DecodeError, Protocol};

/// The lines of a session.
pub(crate) struct TextPhase {
    pub(crate) protocol: Protocol,
    pub(crate) greetings: [Greeting; 2],
    pub(crate) request: Vec<u8>,
    pub(crate) early_input: Vec<u8>,
    /// User, response, whether it is the right one for "s3cret".
    pub(crate) auth: Option<(Vec<u8>, Vec<u8>, bool)>,
    pub(crate) replies: Vec<Reply>,
}

/// Reads greetings, request, authentication: up to OK, EXIT or an error. `None` if the protocol is not ours.
pub(crate) fn text_phase(c2s: &mut Cursor<'_>, s2c: &mut Cursor<'_>) -> Option<TextPhase> {
    let client = read_line(c2s, limits::GREETING_LINE).unwrap();
    let daemon = read_line(s2c, limits::GREETING_LINE).unwrap();
    let client = Greeting::parse(&client).unwrap();
    let daemon = Greeting::parse(&daemon).unwrap();
    let protocol = match daemon.agree(Protocol::new(client.number)?) {
        Ok(protocol) => protocol,
        Err(DecodeError::Unsupported(_)) => return None,
        Err(error) => panic!("{error}"),
    };
    let mut line = read_line(c2s, limits::GREETING_LINE).unwrap();
    let mut early_input = Vec::new();
    if let Request::EarlyInput(len) = Request::parse(&line).unwrap() {
        early_input = c2s.take(len).unwrap().to_vec();
        line = read_line(c2s, limits::GREETING_LINE).unwrap();
    }
    let greetings = [client, daemon];
    let [_, daemon] = &greetings;
    let mut phase = TextPhase {
        protocol,
        greetings: greetings.clone(),
        request: line.to_vec(),
        early_input,
        auth: None,
        replies: Vec::new(),
    };
    let mut replies = Replies::new();
    loop {
        let reply = replies.read(s2c).unwrap();
        phase.replies.push(reply.clone());
        match reply {
            Reply::Challenge(challenge) => {
                let digest = AuthDigest::for_client(&AuthDigest::ALL, daemon, protocol).unwrap();
                let line = read_line(c2s, limits::TEXT_LINE).unwrap();
                let (user, response) = parse_response(&line).unwrap();
                let right = digest.verify(b"s3cret", &challenge, response);
                phase.auth = Some((user.to_vec(), response.to_vec(), right));
            }
            Reply::Ok | Reply::Exit | Reply::Error(_) => return Some(phase),
            Reply::Text(_) => {}
        }
    }
}

/// The argument vector: one pass, or two with the dummy program name.
pub(crate) fn arguments(protocol: Protocol, c2s: &mut Cursor<'_>) -> Vec<Vec<Vec<u8>>> {
    let mut passes = vec![ArgumentsReader::new(protocol).read(c2s).unwrap()];
    if second_pass_follows(&passes[0]) {
        passes.push(ArgumentsReader::second_pass().read(c2s).unwrap());
    }
    passes
}

/// What both ends need to know of the arguments.
pub(crate) struct Options {
    pub(crate) pull: bool,
    pub(crate) capabilities: Capabilities,
    pub(crate) compress: CompressionRequest,
    pub(crate) dry_run: bool,
    pub(crate) append: bool,
    pub(crate) files_from: bool,
    pub(crate) sends_filters: bool,
    pub(crate) remove_source: bool,
}

pub(crate) fn options(arguments: &[Vec<u8>]) -> Options {
    let has = |word: &str| arguments.iter().any(|a| a == word.as_bytes());
    let starts = |word: &str| arguments.iter().any(|a| a.starts_with(word.as_bytes()));
    let cluster = arguments
        .iter()
        .find(|a| a.starts_with(b"-") && !a.starts_with(b"--"))
        .cloned()
        .unwrap_or_default();
    let split = cluster.iter().position(|&b| b == b'e');
    let (letters, caps) = cluster.split_at(split.unwrap_or(cluster.len()));
    let named = arguments
        .iter()
        .find_map(|a| a.strip_prefix(b"--compress-choice="))
        .and_then(Compression::from_name);
    let pull = has("--sender");
    let push_wants_filters =
        letters.contains(&b'm') || (starts("--delete") && !has("--delete-missing-args"));
    Options {
        pull,
        capabilities: Capabilities::parse(caps),
        compress: match named {
            Some(name) => CompressionRequest::Named(name),
            None if has("--new-compress") => CompressionRequest::Named(Compression::Zlibx),
            None if has("--old-compress") => CompressionRequest::Named(Compression::Zlib),
            None if letters.contains(&b'z') => CompressionRequest::Negotiate,
            None => CompressionRequest::Off,
        },
        dry_run: letters.contains(&b'n'),
        append: has("--append"),
        files_from: starts("--files-from"),
        sends_filters: pull || push_wants_filters,
        remove_source: starts("--remove-s"),
    }
}

/// Drives both ends over the recording, behind the seed and the client's lists. Gives the bytes that our client
/// and our server would have sent in their places.
pub(crate) fn set_up(
    protocol: Protocol,
    arguments: &[Vec<u8>],
    options: &Options,
    c2s: &mut Cursor<'_>,
    s2c: &mut Cursor<'_>,
) -> (Vec<u8>, Vec<u8>) {
    let choice = arguments
        .iter()
        .find_map(|a| a.strip_prefix(b"--checksum-choice="))
        .and_then(|value| ChecksumChoice::parse(value).unwrap());
    let compressions = vec![
        Compression::Zstd,
        Compression::Lz4,
        Compression::Zlibx,
        Compression::Zlib,
    ];
    let mut client = ClientOffer::new(protocol, options.capabilities);
    client.checksum_choice = choice;
    client.compression = options.compress;
    client.compressions.clone_from(&compressions);
    client.checksums.retain(|name| built_with(*name, c2s));
    let sent = s2c.clone();
    let mut client_bytes = Vec::new();
    let Progress::Done(negotiated) = ClientSetup::new(client)
        .advance(s2c, &mut client_bytes)
        .unwrap()
    else {
        panic!("the recording is whole");
    };

    let mut server = ServerOffer::new(protocol, negotiated.compat, negotiated.seed);
    server.checksum_choice = choice;
    server.compression = options.compress;
    server.checksums.push(ChecksumName::None);
    server.checksums.retain(|name| built_with(*name, &sent));
    server.compressions = compressions;
    server.compressions.push(Compression::None);
    let mut server_bytes = Vec::new();
    let setup = ServerSetup::new(server, &mut server_bytes);
    let Progress::Done(at_server) = setup.advance(c2s, &mut server_bytes).unwrap() else {
        panic!("the recording is whole");
    };
    assert_eq!(at_server, negotiated);
    // Nothing that our own server would not have said to these letters.
    let answer = options.capabilities.answer(CompatFlags::ALL, true);
    assert_eq!(negotiated.compat.without(answer), CompatFlags::default());
    (client_bytes, server_bytes)
}

/// SHA-1 is in the lists of those releases only that were built with OpenSSL.
fn built_with(name: ChecksumName, sent: &Cursor<'_>) -> bool {
    name != ChecksumName::Sha1 || sent.rest().windows(5).any(|bytes| bytes == b" sha1")
}

/// The data of a framed direction, and its messages; the frames are put together again and compared.
pub(crate) fn unframe(
    peer: Peer,
    protocol: Protocol,
    cursor: &mut Cursor<'_>,
) -> (Vec<u8>, Vec<String>) {
    let (mut demux, mut data, mut messages) = (Demux::new(peer, protocol), Vec::new(), Vec::new());
    while cursor.remaining() > 0 {
        let start = cursor.rest();
        let Ok(header) = demux.header(cursor) else {
            panic!("no frame at {:x?}", &start[..start.len().min(8)]);
        };
        let Ok(payload) = cursor.take(header.len as usize) else {
            break; // A recording may end inside a frame, by a reset.
        };
        if header.tag == Tag::DATA {
            data.extend_from_slice(payload);
            assert_eq!(header.to_bytes(), start[..FrameHeader::WIRE_LEN]);
        } else {
            let message = Message::decode(header.tag, payload).unwrap();
            let mut out = Vec::new();
            message.put(&mut out, protocol).unwrap();
            assert_eq!(out, start[..out.len()]);
            messages.push(format!("{message:?}"));
        }
    }
    (data, messages)
}

/// The filter list at the front of a client's data.
pub(crate) fn filters(cursor: &mut Cursor<'_>) -> Vec<Vec<u8>> {
    let (mut reader, mut rules) = (FilterReader::new(), Vec::new());
    while let Some(rule) = reader.read(cursor).unwrap() {
        rules.push(rule.to_vec());
    }
    rules
}

/// A list of forwarded names.
pub(crate) fn names(cursor: &mut Cursor<'_>) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    while let Some(name) = files_from::read_name(cursor).unwrap() {
        names.push(name.to_vec());
    }
    names
}
