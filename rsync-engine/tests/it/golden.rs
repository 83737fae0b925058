//! Recorded sessions: our side in the place of a real rsync writes the same bytes.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rsync_engine::{Budget, Cancel, IoClock, NoEvents, Session, Trouble};
use rsync_proto::Protocol;
use rsync_proto::mux::{FrameHeader, Tag, put_data};
use rsync_proto::setup::{Capabilities, ClientOffer, CompatFlags, Negotiated, ServerOffer};
use rsync_proto::wire::Cursor;
use testkit::TreeSpec;

use crate::pair::{End, contents, into, options, pipes, read_all, tree};

/// `f`: old.bin becomes new.bin by a delta, at each protocol and with each kind of sums.
const DELTAS: [&str; 5] = [
    "delta-p29-plain-md4",
    "delta-p30-md5-seed-last",
    "delta-p30-plain-xxh128",
    "delta-p31-plain-md5",
    "delta-p32-plain-xxh128",
];

/// A recorded push of one file.
struct Capture {
    protocol: Protocol,
    negotiated: Negotiated,
    /// Stream of the sender from the first byte of its file list.
    sender: Vec<u8>,
    /// Stream of the receiving side.
    receiver: Vec<u8>,
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../testkit/vectors/transfer")
        .join(name)
}

fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    let (_, rest) = text.split_once(mark).expect("an annotation");
    rest
}

fn number(text: &str) -> usize {
    let digits = text.split(|c: char| !c.is_ascii_digit()).next();
    digits
        .and_then(|digits| digits.parse().ok())
        .expect("digits")
}

/// The data of frames that fill `raw` to its end.
fn demultiplexed(mut raw: &[u8]) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    while !raw.is_empty() {
        let header = FrameHeader::decode(&mut Cursor::new(raw)).ok()?;
        let payload = raw.get(4..4 + header.len as usize)?;
        if header.tag == Tag::DATA {
            data.extend_from_slice(payload);
        }
        raw = &raw[4 + payload.len()..];
    }
    Some(data)
}

fn stream(raw: &[u8], len: usize, framed: bool) -> Vec<u8> {
    if !framed {
        return raw[raw.len() - len..].to_vec();
    }
    (0..raw.len())
        .filter_map(|start| demultiplexed(&raw[start..]))
        .find(|data| data.len() == len)
        .expect("frames up to the end")
}

impl Capture {
    fn read(name: &str) -> Self {
        let folder = folder(name);
        let text = fs::read_to_string(folder.join("annotated.txt")).expect("a vector");
        let protocol = Protocol::new(number(after(&text, "\nprotocol ")) as u32).expect("ours");
        let letters = text
            .split_whitespace()
            .find_map(|word| word.strip_prefix("-tre."));
        let compat = text.split_once("compat flags 0x").map_or(0, |(_, rest)| {
            let digits = rest.split_whitespace().next().unwrap_or_default();
            u32::from_str_radix(digits, 16).expect("digits")
        });
        let negotiated = Negotiated::in_process(
            ClientOffer::new(
                protocol,
                Capabilities::parse(letters.unwrap_or_default().as_bytes()),
            ),
            ServerOffer::new(protocol, CompatFlags(compat), 1),
        )
        .expect("both ends agreed");
        let len =
            |direction: &str| number(after(after(&text, direction), "demultiplexed payload: "));
        let raw = |file: &str| fs::read(folder.join(file)).expect("a vector");
        let framed = protocol.frames_client();
        Self {
            protocol,
            negotiated,
            sender: stream(&raw("c2s.bin"), len("client->server"), framed),
            receiver: stream(&raw("s2c.bin"), len("server->client"), true),
        }
    }

    fn session(&self, client: bool) -> Session {
        Session {
            options: options(&["-rt", "--no-inc-recursive", "--no-W"]),
            negotiated: self.negotiated,
            client,
            events: Arc::new(NoEvents),
            cancel: Cancel::new(),
            clock: Arc::new(IoClock::new(None)),
            trouble: Arc::new(Trouble::default()),
            budget: Budget::unlimited(),
        }
    }

    /// Where the answer to the only request begins: it repeats the request's header and sum head.
    fn answer(&self, sender: &[u8]) -> usize {
        let header = if self.protocol.has_varints() { 3 } else { 6 };
        let start = &self.receiver[..header + 16];
        sender
            .windows(start.len())
            .position(|window| window == start)
            .expect("the answer")
    }

    /// Bytes of one NDX_DONE.
    fn done(&self) -> usize {
        if self.protocol.has_varints() { 1 } else { 4 }
    }
}

fn input(name: &str) -> Vec<u8> {
    fs::read(folder("inputs").join(name)).expect("a vector")
}

#[test]
fn our_sender_answers_as_rsyncs_did() {
    for name in DELTAS {
        let capture = Capture::read(name);
        let dir = testkit::temp_dir();
        TreeSpec::new()
            .file("f", input("new.bin"))
            .mtime(1_000_000_000, 0)
            .build(dir.path());
        let ((to_us, from_us), (answers, mut peer)) = pipes();
        let mut requests = Vec::new();
        put_data(&mut requests, &capture.receiver);
        peer.write_all(&requests).expect("the pipe holds it");
        drop(peer);
        let end = End {
            session: capture.session(true),
            input: Box::new(to_us),
            output: Box::new(from_us),
        };
        let outcome = end.send(contents(&tree(dir.path()))).expect(name);
        assert_eq!(
            (outcome.stats.literal, outcome.stats.matched),
            (705, 2300),
            "{name}"
        );
        let raw = read_all(answers).expect("a pipe");
        let sent = if capture.protocol.frames_client() {
            demultiplexed(&raw).expect("whole frames")
        } else {
            raw
        };
        let (ours, theirs) = (capture.answer(&sent), capture.answer(&capture.sender));
        assert_eq!(sent[ours..], capture.sender[theirs..], "{name}");
    }
}

#[test]
fn our_receiver_asks_as_rsyncs_did() {
    for name in DELTAS {
        let capture = Capture::read(name);
        let dir = testkit::temp_dir();
        TreeSpec::new()
            .file("f", input("old.bin"))
            .mtime(900_000_000, 0)
            .build(dir.path());
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        fs::File::open(dir.path())
            .and_then(|dir| dir.set_modified(time))
            .expect("ours");
        let ((to_us, from_us), (mut answers, mut peer)) = pipes();
        let end = End {
            session: capture.session(false),
            input: Box::new(to_us),
            output: Box::new(from_us),
        };
        let destination = into(dir.path());
        let receiving = std::thread::spawn(move || end.receive(destination));
        let framed = capture.protocol.frames_client();
        let mut give = |bytes: &[u8]| {
            let mut out = Vec::new();
            if framed {
                put_data(&mut out, bytes);
            } else {
                out.extend_from_slice(bytes);
            }
            peer.write_all(&out).expect("the receiver reads");
        };
        // A sender never answers what it was not asked: the request comes first, then each DONE.
        let mut asked = Vec::new();
        let mut wait_for = |len: usize| {
            while asked.len() < len {
                let mut header = [0; 4];
                answers
                    .read_exact(&mut header)
                    .expect("the receiver goes on");
                let frame = FrameHeader::decode(&mut Cursor::new(&header)).expect("a frame");
                let mut payload = vec![0; frame.len as usize];
                answers.read_exact(&mut payload).expect("a whole frame");
                assert_eq!(frame.tag, Tag::DATA, "{name}");
                asked.extend_from_slice(&payload);
            }
            asked.clone()
        };
        let (answer, done) = (capture.answer(&capture.sender), capture.done());
        let phases = if capture.protocol.has_delete_stats() {
            4
        } else {
            3
        };
        let request = capture.receiver.len() - (phases + 1) * done;
        give(&capture.sender[..answer]);
        wait_for(request + done);
        let last = capture.sender.len() - (phases - 1) * done;
        give(&capture.sender[answer..last]);
        wait_for(request + phases * done);
        give(&capture.sender[last..]);
        assert_eq!(wait_for(capture.receiver.len()), capture.receiver, "{name}");
        let outcome = receiving.join().expect("no panic").expect(name);
        assert_eq!(
            (outcome.stats.literal, outcome.stats.matched),
            (705, 2300),
            "{name}"
        );
        assert!(fs::read(dir.path().join("f")).expect("sent") == input("new.bin"));
    }
}
