//! Peers that go away while we work for them, or stop taking part: the work ends at once, with the right reason.
//!
//! Files have a terabyte of nothing, so that no work that goes on ends before the test does.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use rsync_engine::pipe::{PipeReader, PipeWriter};
use rsync_engine::{Error, Outcome, Session};
use rsync_proto::Protocol;
use rsync_proto::flist::{Encoder, Entry, EntryOptions};
use rsync_proto::setup::CompatFlags;
use testkit::HostileReceiver;

use crate::hostile::session;
use crate::pair::{End, contents, into, pipes, tree};

/// The length of files that nobody reads to their end.
const ENDLESS: u64 = 1 << 40;

fn endless(path: &Path, len: u64) {
    let file = File::create(path).expect("a directory of ours");
    file.set_len(len).expect("a file system with holes");
}

/// The answers we give and the bytes we read, as the peer has them.
type Peer = (PipeReader, PipeWriter);

/// How one of our ends sees a peer that does what `peer` says.
#[track_caller]
fn run(
    session: Session,
    ours: impl FnOnce(End<PipeReader, PipeWriter>) -> Result<Outcome, Error> + Send + 'static,
    peer: impl FnOnce(Peer) + Send + 'static,
) -> Error {
    let ((input, output), ends) = pipes();
    let end = End {
        session,
        input: Box::new(input),
        output: Box::new(output),
    };
    let (tell, told) = channel();
    let peer = std::thread::spawn(move || peer(ends));
    std::thread::spawn(move || {
        // Nobody waits any more.
        let _ = tell.send(ours(end));
    });
    let result = told.recv_timeout(Duration::from_secs(60));
    let error = result.expect("it ends").expect_err("the peer is gone");
    peer.join().expect("the peer's part is played");
    error
}

/// How our sender of an endless file sees the peer.
#[track_caller]
fn send(
    words: &[&str],
    protocol: u32,
    client: bool,
    peer: impl FnOnce(Peer) + Send + 'static,
) -> Error {
    let dir = testkit::temp_dir();
    endless(&dir.path().join("big"), ENDLESS);
    let session = session(words, protocol, CompatFlags::default(), client);
    let source = contents(&tree(dir.path()));
    run(session, |end| end.send(source), peer)
}

fn say(peer: &mut PipeWriter, bytes: impl AsRef<[u8]>) {
    peer.write_all(bytes.as_ref()).expect("the pipe holds it");
}

#[test]
fn digests_of_a_list_end_with_the_peer() {
    for protocol in 29..=32 {
        for client in [true, false] {
            let error = send(&["-rc"], protocol, client, |(mut data, requests)| {
                drop(requests);
                // It goes on reading, so that no write fails.
                let _ = std::io::copy(&mut data, &mut std::io::sink());
            });
            assert!(
                matches!(error, Error::Disconnected { received: 0 }),
                "protocol {protocol}, client {client}: {error:?}"
            );
        }
    }
}

#[test]
fn what_a_peer_said_before_it_left_is_read() {
    let interrupted = |server| {
        move |mut peer: Peer| {
            let receiver = HostileReceiver {
                protocol: 31,
                server,
            };
            say(&mut peer.1, receiver.message(86, &20_u32.to_le_bytes()));
        }
    };
    for client in [true, false] {
        let error = send(&["-rc"], 31, client, interrupted(client));
        assert!(matches!(error, Error::Remote { code: 20 }), "{error:?}");
    }
}

/// Blocks of half a gigabyte are not searched for, so that data comes at once.
#[test]
fn block_lengths_that_no_receiver_makes_count_as_no_sums() {
    for client in [true, false] {
        let receiver = HostileReceiver {
            protocol: 29,
            server: client,
        };
        let error = send(&["-r"], 29, client, move |mut peer| {
            say(&mut peer.1, receiver.costly_request(1));
            peer.0.read_exact(&mut [0; 256 << 10]).expect("data");
        });
        assert!(
            matches!(error.exit_code(), 10 | 12),
            "client {client}: {error:?}"
        );
    }
}

/// The blocks are hashed at every byte, and nothing is found: the search sees that the receiver left before the next
/// write does.
#[test]
fn the_search_for_blocks_ends_with_the_peer() {
    for protocol in 30..=32 {
        for client in [true, false] {
            let receiver = HostileReceiver {
                protocol,
                server: client,
            };
            let error = send(
                &["-r"],
                protocol,
                client,
                move |(mut data, mut requests)| {
                    data.read_exact(&mut [0]).expect("the list");
                    say(&mut requests, receiver.costly_request(1));
                    drop(requests);
                    // The next write would succeed.
                    let _ = std::io::copy(&mut data, &mut std::io::sink());
                },
            );
            assert!(
                matches!(error, Error::Disconnected { .. }),
                "protocol {protocol}, client {client}: {error:?}"
            );
        }
    }
}

/// A list of one regular file, framed as a server's.
fn list(len: u64, checksum: Option<&[u8]>) -> Vec<u8> {
    let options = EntryOptions {
        checksum_len: checksum.map(<[u8]>::len),
        recurse: true,
        ..EntryOptions::new(Protocol::V31)
    };
    let mut encoder = Encoder::new(options);
    encoder.start_list(0);
    let entry = Entry {
        name: b"big",
        size: len,
        mode: 0o100_644,
        mtime: 1_000_000_000,
        checksum,
        ..Entry::default()
    };
    let mut stream = Vec::new();
    encoder.encode(&entry, &mut stream).expect("a plain entry");
    encoder.end(0, &mut stream);
    let sender = HostileReceiver {
        protocol: 31,
        server: true,
    };
    sender.framed(&stream)
}

/// How our receiving side, which has an endless file, sees a peer that sends `list` and nothing more, but still reads.
#[track_caller]
fn receive(words: &[&str], list: Vec<u8>) -> Error {
    let dir = testkit::temp_dir();
    endless(&dir.path().join("big"), ENDLESS);
    let session = session(words, 31, CompatFlags::default(), true);
    let destination = into(dir.path());
    run(
        session,
        |end| end.receive(destination),
        move |(mut requests, mut stream)| {
            say(&mut stream, list);
            drop(stream);
            // To the end, or to our failure.
            let _ = std::io::copy(&mut requests, &mut std::io::sink());
        },
    )
}

#[test]
fn digests_of_a_destination_end_with_the_peer() {
    let error = receive(&["-rc"], list(ENDLESS, Some(&[1; 16])));
    assert!(matches!(error, Error::Disconnected { .. }), "{error:?}");
}

#[test]
fn block_sums_end_with_the_peer() {
    let error = receive(&["-r"], list(ENDLESS / 2, None));
    assert!(matches!(error, Error::Disconnected { .. }), "{error:?}");
}

/// The thread that reads has begun to wait before the server announces its timeout.
#[test]
fn an_announced_timeout_ends_a_wait_that_has_begun() {
    let dir = testkit::temp_dir();
    let session = session(&["-r"], 31, CompatFlags::default(), true);
    let source = contents(&tree(dir.path()));
    let error = run(
        session,
        |end| end.send(source),
        |(mut data, mut stream)| {
            let server = HostileReceiver {
                protocol: 31,
                server: true,
            };
            say(&mut stream, server.message(33, &1_u32.to_le_bytes()));
            let _ = std::io::copy(&mut data, &mut std::io::sink());
        },
    );
    assert!(matches!(error, Error::Timeout { seconds: 1 }), "{error:?}");
}
