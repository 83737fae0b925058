//! Takes every recorded daemon session apart and puts it together again, up to the file list and without it.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use rsync_proto::args::{put_arguments, put_secluded_arguments};
use rsync_proto::auth::put_response;
use rsync_proto::filter;
use rsync_proto::greeting::{Greeting, put_greeting};
use rsync_proto::item::{ItemFlags, ItemHeader};
use rsync_proto::mux::Peer;
use rsync_proto::ndx::{Ndx, NdxReader, NdxWriter};
use rsync_proto::replies::{self, Refusal, Reply};
use rsync_proto::request::{put_early_input, put_list_request, put_module};
use rsync_proto::stats::DelStats;
use rsync_proto::sums::{BlockSum, SumHead};
use rsync_proto::wire::Cursor;
use rsync_proto::{DecodeError, Protocol, files_from};

use crate::captured::{self, Options, TextPhase};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/vectors");

/// What went over one connection.
struct Recording {
    name: String,
    c2s: Vec<u8>,
    s2c: Vec<u8>,
}

fn recordings() -> Vec<Recording> {
    let entries = |dir: &str| -> Vec<PathBuf> {
        let dir = fs::read_dir(format!("{VECTORS}/{dir}")).unwrap();
        dir.map(|entry| entry.unwrap().path()).collect()
    };
    let mut pairs = Vec::new();
    for c2s in entries("session") {
        let name = c2s.file_name().unwrap().to_str().unwrap();
        // Those over a remote shell have no text phase.
        if let Some(name) = name
            .strip_suffix(".c2s.bin")
            .filter(|n| !n.starts_with("ssh_"))
        {
            let s2c = c2s.with_file_name(format!("{name}.s2c.bin"));
            pairs.push((name.to_owned(), c2s, s2c));
        }
    }
    for dir in entries("transfer") {
        let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
        pairs.push((name, dir.join("c2s.bin"), dir.join("s2c.bin")));
    }
    pairs.retain(|(_, c2s, _)| c2s.is_file());
    pairs.sort();
    let read = |(name, c2s, s2c)| Recording {
        name,
        c2s: fs::read::<PathBuf>(c2s).unwrap(),
        s2c: fs::read::<PathBuf>(s2c).unwrap(),
    };
    pairs.into_iter().map(read).collect()
}

#[test]
fn recorded_sessions() {
    let (mut whole, mut foreign) = (0, 0);
    for recording in recordings() {
        // Shown if the test fails.
        println!("{}", recording.name);
        let (mut c2s, mut s2c) = (Cursor::new(&recording.c2s), Cursor::new(&recording.s2c));
        let Some(phase) = captured::text_phase(&mut c2s, &mut s2c) else {
            foreign += 1;
            continue;
        };
        let (client, daemon) = write_text_phase(&phase);
        assert_eq!(&recording.c2s[..c2s.position()], client);
        assert_eq!(&recording.s2c[..s2c.position()], daemon);
        if let Some((.., right)) = phase.auth {
            assert_eq!(right, !recording.name.starts_with("zd_"));
        }
        if phase.replies.last() == Some(&Reply::Ok) {
            check_session(phase.protocol, &recording, &mut c2s, &mut s2c);
            whole += 1;
        } else {
            assert_eq!((c2s.remaining(), s2c.remaining()), (0, 0));
        }
    }
    assert!(whole >= 40, "{whole} sessions");
    assert!(
        foreign >= 2,
        "{foreign} sessions of protocols that we do not speak"
    );
}

/// Our own bytes for the same steps.
fn write_text_phase(phase: &TextPhase) -> (Vec<u8>, Vec<u8>) {
    let [mut client, mut daemon] = phase.greetings.clone().map(write_greeting);
    if !phase.early_input.is_empty() {
        put_early_input(&mut client, &phase.early_input).unwrap();
    }
    if phase.request.is_empty() {
        put_list_request(&mut client);
    } else {
        put_module(&mut client, &phase.request).unwrap();
    }
    if let Some((user, response, _)) = &phase.auth {
        put_response(&mut client, user, std::str::from_utf8(response).unwrap()).unwrap();
    }
    for reply in &phase.replies {
        match reply {
            Reply::Ok => daemon.extend_from_slice(replies::OK),
            Reply::Exit => daemon.extend_from_slice(replies::EXIT),
            Reply::Challenge(challenge) => {
                replies::put_challenge(&mut daemon, std::str::from_utf8(challenge).unwrap());
            }
            Reply::Error(text) => {
                assert_eq!(text.to_string(), "@ERROR: auth failed on module data");
                Refusal::AuthFailed(b"data").put(&mut daemon);
            }
            Reply::Text(text) => match replies::parse_listed_module(text.as_bytes()) {
                Some((name, comment)) => {
                    replies::put_listed_module(&mut daemon, name, comment).unwrap();
                }
                None => replies::put_motd(&mut daemon, text.as_bytes()),
            },
        }
    }
    (client, daemon)
}

fn write_greeting(greeting: Greeting) -> Vec<u8> {
    let mut out = Vec::new();
    match greeting.digests {
        Some(digests) => {
            let protocol = Protocol::new(greeting.number).unwrap();
            put_greeting(&mut out, protocol, &digests);
        }
        // We always send a list; releases before 3.2.7 never did.
        None => out.extend_from_slice(format!("@RSYNCD: {}.0\n", greeting.number).as_bytes()),
    }
    out
}

/// Everything behind the daemon's OK.
fn check_session(
    protocol: Protocol,
    recording: &Recording,
    c2s: &mut Cursor<'_>,
    s2c: &mut Cursor<'_>,
) {
    let start = c2s.position();
    let passes = captured::arguments(protocol, c2s);
    let mut out = Vec::new();
    match &passes[..] {
        [only] => put_arguments(&mut out, protocol, only).unwrap(),
        [first, second] => {
            assert_eq!(second[0], b"rsync");
            put_secluded_arguments(&mut out, protocol, first, &second[1..]).unwrap();
        }
        _ => panic!("one pass or two"),
    }
    assert_eq!(&recording.c2s[start..c2s.position()], out);

    let arguments = passes.concat();
    let options = captured::options(&arguments);
    assert_eq!(
        arguments.iter().any(|a| {
            let caps = options.capabilities.to_text();
            a.ends_with(format!("e{caps}").as_bytes())
        }),
        protocol != Protocol::V29,
    );
    let (client_start, server_start) = (c2s.position(), s2c.position());
    let (client, server) = captured::set_up(protocol, &arguments, &options, c2s, s2c);
    assert_eq!(&recording.c2s[client_start..c2s.position()], client);
    assert_eq!(&recording.s2c[server_start..s2c.position()], server);

    check_streams(protocol, &options, c2s, s2c);
}

/// Frames, and the generator's stream, which needs no file list to be understood.
fn check_streams(
    protocol: Protocol,
    options: &Options,
    c2s: &mut Cursor<'_>,
    s2c: &mut Cursor<'_>,
) {
    let client = Peer {
        is_server: false,
        is_sender: !options.pull,
    };
    let server = Peer {
        is_server: true,
        is_sender: options.pull,
    };
    let mut raw_names = Vec::new();
    let framed = protocol.frames_client() || (options.pull && options.remove_source);
    let client_data = if !framed {
        c2s.take(c2s.remaining()).unwrap().to_vec()
    } else if options.files_from && !protocol.frames_files_from() && options.pull {
        // The names lie bare between two frames.
        let mut first = Cursor::new(c2s.take(8).unwrap());
        let mut data = captured::unframe(client, protocol, &mut first).0;
        raw_names = captured::names(c2s);
        data.extend(captured::unframe(client, protocol, c2s).0);
        data
    } else {
        captured::unframe(client, protocol, c2s).0
    };
    let server_data = captured::unframe(server, protocol, s2c).0;

    let mut client_data = Cursor::new(&client_data);
    if options.sends_filters {
        check_filters(&mut client_data);
    }
    let mut server_data = Cursor::new(&server_data);
    let generator = if options.pull {
        &mut client_data
    } else {
        &mut server_data
    };
    if options.files_from && protocol.frames_files_from() {
        check_names(generator);
    }
    assert_eq!(
        raw_names.is_empty(),
        !options.files_from || protocol.frames_files_from()
    );
    check_generator(protocol, options, generator);
}

fn check_filters(cursor: &mut Cursor<'_>) {
    let before = cursor.rest();
    let mut out = Vec::new();
    for rule in captured::filters(cursor) {
        filter::put_rule(&mut out, &rule).unwrap();
    }
    filter::put_end(&mut out);
    assert_eq!(before[..before.len() - cursor.remaining()], out);
}

fn check_names(cursor: &mut Cursor<'_>) {
    let before = cursor.rest();
    let mut out = Vec::new();
    let names = captured::names(cursor);
    assert!(!names.is_empty());
    for name in names {
        files_from::put_name(&mut out, &name).unwrap();
    }
    files_from::put_end(&mut out);
    assert_eq!(before[..before.len() - cursor.remaining()], out);
}

fn check_generator(protocol: Protocol, options: &Options, cursor: &mut Cursor<'_>) {
    let stream = cursor.rest();
    let (mut reader, mut writer) = (NdxReader::new(protocol), NdxWriter::new(protocol));
    let (mut out, mut asked) = (Vec::new(), HashSet::new());
    loop {
        match reader.read(cursor) {
            Ok(ndx) => {
                writer.write(ndx, &mut out);
                if ndx == Ndx::DEL_STATS {
                    DelStats::decode(cursor).unwrap().put(&mut out);
                } else if ndx.as_entry().is_some() {
                    // In append mode the first request of a file has no sums.
                    let first = asked.insert(ndx);
                    check_request(protocol, options, first, cursor, &mut out);
                } else {
                    assert_eq!(ndx, Ndx::DONE);
                }
            }
            Err(DecodeError::Incomplete) => break,
            Err(error) => panic!("{error} at {:x?}", cursor.rest()),
        }
    }
    assert_eq!(cursor.remaining(), 0);
    assert_eq!(out, stream);
}

fn check_request(
    protocol: Protocol,
    options: &Options,
    first: bool,
    cursor: &mut Cursor<'_>,
    out: &mut Vec<u8>,
) {
    let header = ItemHeader::decode(cursor).unwrap();
    header.put(out).unwrap();
    if !header.flags.contains(ItemFlags::TRANSFER) || options.dry_run {
        return;
    }
    let head = SumHead::decode(cursor, protocol).unwrap();
    head.put(out);
    if options.append && first {
        return;
    }
    for _ in 0..head.count {
        BlockSum::decode(cursor, &head).unwrap().put(out);
    }
}
