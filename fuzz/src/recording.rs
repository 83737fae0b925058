//! Recorded sessions, cut into the parts that one decoder each reads.

use rsync_proto::args::{ArgumentsReader, second_pass_follows};
use rsync_proto::auth::parse_response;
use rsync_proto::files_from;
use rsync_proto::filter::FilterReader;
use rsync_proto::greeting::Greeting;
use rsync_proto::limits;
use rsync_proto::line::read_line;
use rsync_proto::mux::{Demux, Peer, Tag};
use rsync_proto::replies::{Replies, Reply};
use rsync_proto::request::Request;
use rsync_proto::setup::{
    Capabilities, ChecksumChoice, ClientOffer, ClientSetup, Compression, CompressionRequest,
    Negotiated, Progress,
};
use rsync_proto::wire::Cursor;
use rsync_proto::{DecodeError, Protocol};

use crate::vectors;

/// A session with a daemon that came to the transfer, in protocols that we speak.
#[derive(Debug)]
pub struct Recording {
    /// What both greetings came to.
    pub protocol: Protocol,
    /// The client's lines.
    pub client_text: Vec<u8>,
    /// The daemon's lines.
    pub daemon_text: Vec<u8>,
    /// The client's arguments as they lie on the wire, both passes of secluded ones.
    pub arguments_wire: Vec<u8>,
    /// The same as values, without the dummy program name.
    pub arguments: Vec<Vec<u8>>,
    /// What follows from the arguments for the set-up.
    pub offer: ClientOffer,
    /// The server's bytes of the set-up.
    pub server_setup: Vec<u8>,
    /// The client's.
    pub client_setup: Vec<u8>,
    /// What the set-up came to.
    pub negotiated: Negotiated,
    /// The client receives.
    pub pull: bool,
    /// All that the server sent after the set-up, in frames.
    pub server_frames: Vec<u8>,
    /// All that the client sent after the set-up, in frames but at protocol 29.
    pub client_frames: Vec<u8>,
    /// The filter list.
    pub filters: Vec<u8>,
    /// The names of `--files-from`.
    pub names: Vec<u8>,
    /// What the generator said, unframed.
    pub generator: Vec<u8>,
    /// What the sender said, unframed.
    pub sender: Vec<u8>,
}

/// The lines of all recorded sessions with a daemon, client's and daemon's, of those too that came to nothing.
#[must_use]
pub fn raw() -> Vec<(Vec<u8>, Vec<u8>)> {
    let sessions = vectors::names("session").into_iter().filter_map(|name| {
        // Those over a remote shell have no lines.
        let name = name
            .strip_suffix(".c2s.bin")
            .filter(|name| !name.starts_with("ssh_"))?;
        let read = |side| vectors::bytes(&format!("session/{name}.{side}.bin"));
        Some((read("c2s"), read("s2c")))
    });
    let transfers = vectors::names("transfer").into_iter().filter_map(|name| {
        let recorded = !name.contains('.') && name != "inputs" && name != "batch";
        let read = |side| vectors::bytes(&format!("transfer/{name}/{side}.bin"));
        recorded.then(|| (read("c2s"), read("s2c")))
    });
    sessions.chain(transfers).collect()
}

/// All recorded sessions that came to a transfer.
#[must_use]
pub fn all() -> Vec<Recording> {
    raw()
        .into_iter()
        .filter_map(|(c2s, s2c)| cut(&c2s, &s2c).ok().flatten())
        .collect()
}

/// The seeds that `part` makes of the recordings, behind a header each.
#[must_use]
pub fn seeds<H: AsRef<[u8]>>(part: impl Fn(&Recording) -> (H, &[u8])) -> Vec<Vec<u8>> {
    let seed = |recording: &Recording| {
        let (header, body) = part(recording);
        (!body.is_empty()).then(|| [header.as_ref(), body].concat())
    };
    let mut seeds: Vec<Vec<u8>> = all().iter().filter_map(seed).collect();
    seeds.sort();
    seeds.dedup();
    seeds
}

fn cut(c2s: &[u8], s2c: &[u8]) -> Result<Option<Recording>, DecodeError> {
    let (mut client, mut server) = (Cursor::new(c2s), Cursor::new(s2c));
    let Some(protocol) = text_phase(&mut client, &mut server)? else {
        return Ok(None);
    };
    let (client_text, daemon_text) = (before(c2s, &client), before(s2c, &server));

    let start = client.position();
    let mut arguments = ArgumentsReader::new(protocol).read(&mut client)?;
    if second_pass_follows(&arguments) {
        let second = ArgumentsReader::second_pass().read(&mut client)?;
        arguments.extend(second.into_iter().skip(1));
    }
    let arguments_wire = c2s[start..client.position()].to_vec();

    let known = Known::of(&arguments);
    let offer = known.offer(protocol);
    let start = server.position();
    let mut client_setup = Vec::new();
    let setup = ClientSetup::new(offer.clone()).advance(&mut server, &mut client_setup)?;
    let Progress::Done(negotiated) = setup else {
        return Ok(None);
    };
    let server_setup = s2c[start..server.position()].to_vec();
    // The recorded lists may be others than ours, by one name that not every release knows.
    let lists = [
        known.offers_checksums(&negotiated),
        known.offers_compressions(&negotiated),
    ];
    let start = client.position();
    for _ in lists.into_iter().filter(|sent| *sent) {
        client.vstring(limits::NEGOTIATION_LIST)?;
    }
    let client_setup = c2s[start..client.position()].to_vec();

    let (client_frames, server_frames) = (client.rest().to_vec(), server.rest().to_vec());
    let framed = protocol.frames_client() || (known.pull && known.remove_source);
    let client_data = if framed {
        unframe(protocol, false, known.pull, client)
    } else {
        client_frames.clone()
    };
    let server_data = unframe(protocol, true, known.pull, server);
    let mut client_data = Cursor::new(&client_data);
    let mut server_data = Cursor::new(&server_data);
    let filters = if known.filters {
        filters(&mut client_data)?
    } else {
        Vec::new()
    };
    let (generator, sender) = if known.pull {
        (&mut client_data, &mut server_data)
    } else {
        (&mut server_data, &mut client_data)
    };
    let in_band = known.names && protocol.frames_files_from();
    let names = if in_band {
        names(generator)?
    } else {
        Vec::new()
    };
    Ok(Some(Recording {
        protocol,
        client_text,
        daemon_text,
        arguments_wire,
        arguments,
        offer,
        server_setup,
        client_setup,
        negotiated,
        pull: known.pull,
        server_frames,
        client_frames,
        filters,
        names,
        generator: generator.rest().to_vec(),
        sender: sender.rest().to_vec(),
    }))
}

/// Greetings, request and replies up to OK. `None` if the session does not come to it.
fn text_phase(
    client: &mut Cursor<'_>,
    server: &mut Cursor<'_>,
) -> Result<Option<Protocol>, DecodeError> {
    let ours = Greeting::parse(&read_line(client, limits::GREETING_LINE)?)?;
    let theirs = Greeting::parse(&read_line(server, limits::GREETING_LINE)?)?;
    let Some(ours) = Protocol::new(ours.number) else {
        return Ok(None);
    };
    let protocol = theirs.agree(ours)?;
    if let Request::EarlyInput(len) = Request::parse(&read_line(client, limits::GREETING_LINE)?)? {
        client.take(len)?;
        read_line(client, limits::GREETING_LINE)?;
    }
    let mut replies = Replies::new();
    loop {
        match replies.read(server)? {
            Reply::Challenge(_) => {
                parse_response(&read_line(client, limits::TEXT_LINE)?)?;
            }
            Reply::Ok => return Ok(Some(protocol)),
            Reply::Exit | Reply::Error(_) => return Ok(None),
            Reply::Text(_) => {}
        }
    }
}

/// What of the arguments decides which bytes follow.
struct Known {
    capabilities: Capabilities,
    choice: Option<ChecksumChoice>,
    compression: CompressionRequest,
    pull: bool,
    remove_source: bool,
    names: bool,
    filters: bool,
}

impl Known {
    fn of(arguments: &[Vec<u8>]) -> Self {
        let has = |word: &str| arguments.iter().any(|argument| argument == word.as_bytes());
        let value = |name: &str| {
            arguments
                .iter()
                .find_map(|argument| argument.strip_prefix(name.as_bytes()))
        };
        let cluster = arguments
            .iter()
            .find(|argument| argument.starts_with(b"-") && !argument.starts_with(b"--"));
        let cluster = cluster.map_or(&b""[..], |cluster| cluster);
        let split = cluster
            .iter()
            .position(|&byte| byte == b'e')
            .unwrap_or(cluster.len());
        let (letters, capabilities) = cluster.split_at(split);
        let pull = has("--sender");
        let deletes = value("--delete").is_some() && !has("--delete-missing-args");
        Self {
            capabilities: Capabilities::parse(capabilities),
            choice: value("--checksum-choice=")
                .and_then(|value| ChecksumChoice::parse(value).ok()?),
            compression: match value("--compress-choice=").and_then(Compression::from_name) {
                Some(name) => CompressionRequest::Named(name),
                None if has("--new-compress") => CompressionRequest::Named(Compression::Zlibx),
                None if has("--old-compress") => CompressionRequest::Named(Compression::Zlib),
                None if letters.contains(&b'z') => CompressionRequest::Negotiate,
                None => CompressionRequest::Off,
            },
            pull,
            remove_source: value("--remove-s").is_some(),
            names: value("--files-from").is_some(),
            filters: pull || deletes || letters.contains(&b'm'),
        }
    }

    fn offer(&self, protocol: Protocol) -> ClientOffer {
        let compressions = [
            Compression::Zstd,
            Compression::Lz4,
            Compression::Zlibx,
            Compression::Zlib,
        ];
        ClientOffer {
            checksum_choice: self.choice,
            compression: self.compression,
            compressions: compressions.to_vec(),
            ..ClientOffer::new(protocol, self.capabilities)
        }
    }

    fn offers_checksums(&self, negotiated: &Negotiated) -> bool {
        negotiated.varint_flist_flags() && self.choice.is_none()
    }

    fn offers_compressions(&self, negotiated: &Negotiated) -> bool {
        negotiated.varint_flist_flags() && self.compression == CompressionRequest::Negotiate
    }
}

fn before(bytes: &[u8], cursor: &Cursor<'_>) -> Vec<u8> {
    bytes[..cursor.position()].to_vec()
}

/// The data of a framed direction, up to where the recording ends or no frame is.
fn unframe(protocol: Protocol, is_server: bool, pull: bool, mut cursor: Cursor<'_>) -> Vec<u8> {
    let mut demux = Demux::new(
        Peer {
            is_server,
            is_sender: is_server == pull,
        },
        protocol,
    );
    let mut data = Vec::new();
    while let Ok(header) = demux.header(&mut cursor) {
        let Ok(payload) = cursor.take(header.len as usize) else {
            break;
        };
        if header.tag == Tag::DATA {
            data.extend_from_slice(payload);
        }
    }
    data
}

fn filters(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, DecodeError> {
    let (start, mut reader) = (cursor.rest(), FilterReader::new());
    while reader.read(cursor)?.is_some() {}
    Ok(start[..start.len() - cursor.remaining()].to_vec())
}

fn names(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, DecodeError> {
    let start = cursor.rest();
    while files_from::read_name(cursor)?.is_some() {}
    Ok(start[..start.len() - cursor.remaining()].to_vec())
}
