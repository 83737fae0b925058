//! Peers that make us hold more memory than a session may, and honest ones that do not.

use std::io::{Read, Write};
use std::sync::Arc;

use rsync_engine::pipe::{PipeReader, PipeWriter};
use rsync_engine::{Budget, Error, Event, Events, Outcome, Session};
use rsync_proto::Protocol;
use rsync_proto::flist::{Encoder, Entry, EntryOptions, HardLink, IoErrorPlace};
use rsync_proto::item::{ItemFlags, ItemHeader};
use rsync_proto::mux::put_data;
use rsync_proto::ndx::{Ndx, NdxWriter};
use rsync_proto::setup::CompatFlags;
use rsync_proto::sums::SumHead;
use rsync_proto::wire::put_varint30;
use testkit::TreeSpec;

use crate::hostile::session;
use crate::pair::{Break, End, Pair, contents, into, options, pipes, read_all, tree};

/// What a session may hold in these tests.
const LIMIT: u64 = 512 << 10;

const PROTOCOLS: [u32; 4] = [29, 30, 31, 32];

/// A session with a budget of [`LIMIT`], and that of all sessions around it.
fn limited(words: &[&str], protocol: u32, compat: CompatFlags, client: bool) -> (Session, Budget) {
    let all = Budget::of_all_sessions(0);
    let mut session = session(words, protocol, compat, client);
    session.budget = all.session(LIMIT);
    (session, all)
}

/// How our side ended, and what it wrote. The peer sends `stream` and closes, while it reads.
fn meet(
    session: Session,
    stream: Vec<u8>,
    run: impl FnOnce(End<PipeReader, PipeWriter>) -> Result<Outcome, Error>,
) -> (Result<Outcome, Error>, Vec<u8>) {
    meet_until(session, stream, b"", run)
}

/// The same with a peer that goes once it was sent `farewell`.
fn meet_until(
    session: Session,
    stream: Vec<u8>,
    farewell: &'static [u8],
    run: impl FnOnce(End<PipeReader, PipeWriter>) -> Result<Outcome, Error>,
) -> (Result<Outcome, Error>, Vec<u8>) {
    let ((input, output), (answers, mut peer)) = pipes();
    // What comes from a client is framed from protocol 30 on.
    let framed = session.client || session.protocol().frames_client();
    let writer = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        match framed {
            true => put_data(&mut bytes, &stream),
            false => bytes = stream,
        }
        // We may have ended before.
        let _ = peer.write_all(&bytes);
        (!farewell.is_empty()).then_some(peer)
    });
    let reader = std::thread::spawn(move || {
        let (mut answers, mut seen) = (answers, Vec::new());
        if !farewell.is_empty() {
            let mut byte = [0];
            while !seen.ends_with(farewell) && answers.read(&mut byte).expect("a pipe") > 0 {
                seen.push(byte[0]);
            }
            drop(writer.join().expect("no panic"));
        }
        seen.append(&mut read_all(answers).expect("a pipe"));
        seen
    });
    let result = run(End {
        session,
        input: Box::new(input),
        output: Box::new(output),
    });
    (result, reader.join().expect("no panic"))
}

/// The session ended because of `what`, the peer was given the reason, and nothing is held any more.
#[track_caller]
fn assert_named(
    (result, answers): (Result<Outcome, Error>, Vec<u8>),
    what: &str,
    sends_text: bool,
    all: &Budget,
    case: &str,
) {
    match &result {
        Err(error @ Error::Budget { .. }) => {
            assert_eq!(error.exit_code(), 22);
            let text = error.to_string();
            let expected =
                format!("{what}: the memory budget of this session ({LIMIT} bytes) is used up");
            assert_eq!(text, expected, "{case}");
            let seen = answers
                .windows(text.len())
                .any(|window| window == text.as_bytes());
            assert_eq!(seen, sends_text, "{case}");
        }
        other => panic!("{case}: {other:?}"),
    }
    testkit::wait::until("the memory to be given back", || all.used() == 0);
}

/// The options of lists at `protocol` for [`session`] with the given compat flags and letters.
fn entry_options(protocol: u32, words: &[&str], compat: CompatFlags) -> EntryOptions {
    let protocol = Protocol::new(protocol).expect("a protocol we have");
    let options = options(words);
    EntryOptions {
        uid: options.owner,
        hard_links: options.hard_links,
        inc_recurse: compat.contains(CompatFlags::INC_RECURSE),
        recurse: options.recursive,
        ..EntryOptions::new(protocol)
    }
}

const FILE: Entry<'_> = Entry {
    name: b"",
    size: 1,
    mtime: 0,
    mtime_nsec: 0,
    mode: 0o100_644,
    uid: 0,
    gid: 0,
    user_name: None,
    group_name: None,
    rdev: None,
    link_target: None,
    hard_link: HardLink::None,
    checksum: None,
    top_dir: false,
    no_content: false,
};

const DIRECTORY: Entry<'_> = Entry {
    mode: 0o040_755,
    ..FILE
};

/// A flat list of entries by number, and what follows it at its end.
fn list(
    options: &EntryOptions,
    count: usize,
    mut encode: impl FnMut(&mut Encoder, usize, &mut Vec<u8>),
) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(options.clone()), Vec::new());
    encoder.start_list(0);
    for number in 0..count {
        encode(&mut encoder, number, &mut out);
    }
    encoder.end(0, &mut out);
    if options.io_error_place() == IoErrorPlace::AfterIdLists && !options.uid {
        out.extend_from_slice(&[0; 4]);
    }
    out
}

fn put(encoder: &mut Encoder, entry: &Entry<'_>, out: &mut Vec<u8>) {
    encoder.encode(entry, out).expect("an entry of ours");
}

/// A sender's stream against our receiving side, as server and as client, for all protocols.
fn received(
    what: &str,
    words: &[&str],
    compat: CompatFlags,
    stream: impl Fn(&EntryOptions) -> Vec<u8>,
) {
    for protocol in PROTOCOLS {
        if protocol < 30 && compat.contains(CompatFlags::INC_RECURSE) {
            continue;
        }
        let stream = stream(&entry_options(protocol, words, compat));
        for client in [false, true] {
            let case = format!("protocol {protocol}, client {client}");
            let dir = testkit::temp_dir();
            let (session, all) = limited(words, protocol, compat, client);
            let met = meet(session, stream.clone(), |end| end.receive(into(dir.path())));
            assert_named(met, what, !client, &all, &case);
        }
    }
}

#[test]
fn a_list_of_one_directory() {
    received("file list", &["-rn"], CompatFlags::default(), |options| {
        list(options, 10_000, |encoder, number, out| {
            let name = format!("{number:x}");
            put(
                encoder,
                &Entry {
                    name: name.as_bytes(),
                    ..FILE
                },
                out,
            );
        })
    });
}

#[test]
fn a_list_of_directories_in_turn() {
    let words = ["-rn"];
    let long = "d".repeat(200);
    let stream = |options: &EntryOptions, count| {
        list(options, count, |encoder, number, out| {
            let name = format!("{long}{}/{number:x}", number % 5);
            put(
                encoder,
                &Entry {
                    name: name.as_bytes(),
                    ..FILE
                },
                out,
            );
        })
    };
    received("file list", &words, CompatFlags::default(), |options| {
        stream(options, 10_000)
    });
    // Their names are kept once: this many would not fit otherwise. There is no directory for them.
    let options = entry_options(30, &words, CompatFlags::default());
    let dir = testkit::temp_dir();
    let (session, all) = limited(&words, 30, CompatFlags::default(), false);
    let (result, _) = meet(session, stream(&options, 2_500), |end| {
        end.receive(into(dir.path()))
    });
    assert!(matches!(result, Err(Error::Protocol(_))), "{result:?}");
    assert_eq!(all.used(), 0);
}

#[test]
fn lists_of_incremental_recursion_that_are_never_done() {
    received("file list", &["-rn"], CompatFlags::INC_RECURSE, |options| {
        const DIRS: u32 = 300;
        let (mut encoder, mut out) = (Encoder::new(options.clone()), Vec::new());
        let mut ndx = NdxWriter::new(options.protocol);
        encoder.start_list(1);
        for number in 0..DIRS {
            let name = format!("{number:04}");
            put(
                &mut encoder,
                &Entry {
                    name: name.as_bytes(),
                    ..DIRECTORY
                },
                &mut out,
            );
        }
        encoder.end(0, &mut out);
        let mut start = 1 + DIRS as i32 + 1;
        for dir in 0..DIRS {
            ndx.write(Ndx::sublist(dir), &mut out);
            encoder.start_list(start);
            for number in 0..40 {
                let name = format!("{dir:04}/{number}");
                put(
                    &mut encoder,
                    &Entry {
                        name: name.as_bytes(),
                        ..DIRECTORY
                    },
                    &mut out,
                );
            }
            encoder.end(0, &mut out);
            start += 40 + 1;
        }
        out
    });
}

#[test]
fn names_of_owners() {
    let name = [b'u'; 250];
    received(
        "user and group ids",
        &["-rno"],
        CompatFlags::INC_RECURSE,
        |options| {
            let (mut encoder, mut out) = (Encoder::new(options.clone()), Vec::new());
            encoder.start_list(1);
            for number in 0..2_500_u32 {
                let file = format!("{number:x}");
                let entry = Entry {
                    name: file.as_bytes(),
                    uid: number + 1,
                    user_name: Some(&name),
                    ..FILE
                };
                put(&mut encoder, &entry, &mut out);
            }
            out
        },
    );
    received(
        "user and group ids",
        &["-rno"],
        CompatFlags::default(),
        |options| {
            let mut out = list(options, 1, |encoder, _, out| {
                put(encoder, &Entry { name: b"f", ..FILE }, out);
            });
            for id in 1..2_500 {
                put_varint30(&mut out, options.protocol, id);
                out.push(250);
                out.extend_from_slice(&name);
            }
            out
        },
    );
}

#[test]
fn groups_of_hard_links() {
    let name = "n".repeat(60);
    received("file list", &["-rnH"], CompatFlags::default(), |options| {
        list(options, 4_000, |encoder, number, out| {
            let name = format!("{number:x}{name}");
            let hard_link = match options.protocol.has_hard_link_index() {
                true => HardLink::First,
                false => HardLink::DevIno {
                    dev: 1,
                    ino: number as u64,
                },
            };
            let entry = Entry {
                name: name.as_bytes(),
                hard_link,
                ..FILE
            };
            put(encoder, &entry, out);
        })
    });
}

/// A receiver's stream against our sender of one small file, as server and as client, for all protocols.
fn sent(what: &str, stream: impl Fn(Protocol) -> Vec<u8>) {
    let dir = testkit::temp_dir();
    TreeSpec::new().random_file("f", 7, 1000).build(dir.path());
    for protocol in PROTOCOLS {
        let stream = stream(Protocol::new(protocol).expect("a protocol we have"));
        for client in [false, true] {
            let case = format!("protocol {protocol}, client {client}");
            let (session, all) = limited(&["-r"], protocol, CompatFlags::default(), client);
            let met = meet(session, stream.clone(), |end| {
                end.send(contents(&tree(dir.path())))
            });
            assert_named(met, what, !client, &all, &case);
        }
    }
}

/// A request for the file behind ".".
fn request(ndx: &mut NdxWriter, head: &SumHead, out: &mut Vec<u8>) {
    ndx.write(Ndx(1), out);
    let header = ItemHeader {
        flags: ItemFlags::TRANSFER,
        basis_type: None,
        xname: None,
    };
    header.put(out).expect("a header of ours");
    head.put(out);
}

#[test]
fn block_sums() {
    sent("block sums", |protocol| {
        let mut out = Vec::new();
        let head = SumHead {
            count: 1 << 24,
            block_len: 700,
            strong_len: 16,
            remainder: 0,
        };
        request(&mut NdxWriter::new(protocol), &head, &mut out);
        let sums = 20_000 * (4 + 16);
        out.resize(out.len() + sums, 7);
        out
    });
}

#[test]
fn block_sums_of_blocks_longer_than_the_file_are_not_kept() {
    let dir = testkit::temp_dir();
    TreeSpec::new().random_file("f", 7, 1000).build(dir.path());
    let protocol = Protocol::MAX;
    let (session, all) = limited(&["-r"], 32, CompatFlags::default(), false);
    let (mut out, mut ndx) = (Vec::new(), NdxWriter::new(protocol));
    let head = SumHead {
        count: 200_000,
        block_len: 1001,
        strong_len: 16,
        remainder: 0,
    };
    request(&mut ndx, &head, &mut out);
    out.resize(out.len() + 200_000 * (4 + 16), 7);
    for _ in 0..5 {
        ndx.write(Ndx::DONE, &mut out);
    }
    let (result, answers) = meet(session, out, |end| end.send(contents(&tree(dir.path()))));
    assert!(result.is_ok(), "{result:?}");
    let content = std::fs::read(dir.path().join("f")).expect("ours");
    assert!(answers.windows(1000).any(|window| window == content));
    testkit::wait::until("the memory to be given back", || all.used() == 0);
}

#[test]
fn honest_transfers_fit_and_give_everything_back() {
    let dir = testkit::temp_dir();
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    TreeSpec::sample(5).build(&source);
    for protocol in PROTOCOLS {
        for push in [false, true] {
            let case = format!("protocol {protocol}, push {push}");
            let all = Budget::of_all_sessions(64 << 20);
            let given_back = || {
                testkit::wait::until("the memory to be given back", || all.used() == 0);
            };
            let mut pair = Pair::new(options(&["-rltHD", "--ignore-times", "--no-whole-file"]))
                .protocol(protocol);
            pair.push = push;
            pair.budget = all.session(0);
            std::fs::create_dir_all(&target).expect("mkdir");
            for _ in 0..2 {
                pair.copy(&source, &target).assert_code(0);
                given_back();
            }
            for at in [10, 1000, 3000] {
                pair.data = Some(Break::Fails(at));
                let ends = pair.copy(&source, &target);
                assert!(ends.received.is_err(), "{case}");
                given_back();
            }
            std::fs::remove_dir_all(&target).expect("ours");
        }
    }
}

/// Panics once the list is there.
struct Fragile;

impl Events for Fragile {
    fn event(&self, event: Event<'_>) {
        assert!(
            !matches!(event, Event::ListComplete { .. }),
            "a bug of ours"
        );
    }
}

#[test]
fn a_bug_of_ours_gives_everything_back() {
    let options = entry_options(30, &["-rn"], CompatFlags::default());
    let stream = list(&options, 1000, |encoder, number, out| {
        let name = format!("{number:x}");
        let entry = Entry {
            name: name.as_bytes(),
            ..FILE
        };
        put(encoder, &entry, out);
    });
    let dir = testkit::temp_dir();
    let (session, all) = limited(&["-rni"], 30, CompatFlags::default(), true);
    let session = Session {
        events: Arc::new(Fragile),
        ..session
    };
    let (result, _) = meet(session, stream, |end| end.receive(into(dir.path())));
    assert!(matches!(result, Err(Error::Internal { .. })), "{result:?}");
    assert_eq!(all.used(), 0);
}

#[test]
fn deletions_that_wait_for_the_end() {
    const LONG: usize = 200;
    for protocol in PROTOCOLS {
        let words = ["-r", "--delete-delay"];
        let options = entry_options(protocol, &words, CompatFlags::default());
        let stream = list(&options, 1, |encoder, _, out| {
            let entry = Entry {
                name: b".",
                top_dir: true,
                ..DIRECTORY
            };
            put(encoder, &entry, out);
        });
        let dir = testkit::temp_dir();
        for number in 0..LIMIT as usize / LONG {
            let name = format!("{number:0LONG$}");
            std::fs::write(dir.path().join(name), "").expect("write");
        }
        let (session, all) = limited(&words, protocol, CompatFlags::default(), false);
        let met = meet_until(session, stream, b"memory budget", |end| {
            end.receive(into(dir.path()))
        });
        let case = format!("protocol {protocol}");
        assert_named(met, "delayed deletions", true, &all, &case);
    }
}
