use super::*;
use proptest::prelude::*;

const SERVER_SENDS: Peer = Peer {
    is_server: true,
    is_sender: true,
};
const SERVER_RECEIVES: Peer = Peer {
    is_server: true,
    is_sender: false,
};
const CLIENT_SENDS: Peer = Peer {
    is_server: false,
    is_sender: true,
};
const CLIENT_RECEIVES: Peer = Peer {
    is_server: false,
    is_sender: false,
};
const PEERS: [Peer; 4] = [SERVER_SENDS, SERVER_RECEIVES, CLIENT_SENDS, CLIENT_RECEIVES];

fn header(tag: Tag, len: u32) -> [u8; 4] {
    FrameHeader { tag, len }.to_bytes()
}

fn judge(peer: Peer, protocol: Protocol, tag: Tag, len: u32) -> Result<FrameHeader, DecodeError> {
    Demux::new(peer, protocol).header(&mut Cursor::new(&header(tag, len)))
}

#[test]
fn captured_frames() {
    let rows: [(&[u8], Message<'_>); 5] = [
        (
            b"\x1c\x00\x00\x0aERROR: module is write only\n",
            Message::Text {
                kind: TextKind::Error,
                text: PeerText(b"ERROR: module is write only\n"),
            },
        ),
        (
            b"\x04\x00\x00\x5d\x01\x00\x00\x00",
            Message::ErrorExit(Some(1)),
        ),
        (b"\x00\x00\x00\x5d", Message::ErrorExit(None)),
        (
            b"\x04\x00\x00\x6b\x01\x00\x00\x00",
            Message::Success(Ndx(1)),
        ),
        (
            b"\x04\x00\x00\x1d\x01\x00\x00\x00",
            Message::IoError(IoErrors::GENERAL),
        ),
    ];
    for (bytes, message) in rows {
        let mut cursor = Cursor::new(bytes);
        let header = FrameHeader::decode(&mut cursor).unwrap();
        assert_eq!(header.len as usize, cursor.remaining());
        assert_eq!(Message::decode(header.tag, cursor.rest()), Ok(message));
        let mut out = Vec::new();
        message.put(&mut out, Protocol::V32).unwrap();
        assert_eq!(out, bytes);
    }
}

#[test]
fn tags_below_the_base_are_refused() {
    let got = FrameHeader::decode(&mut Cursor::new(&[0, 0, 0, 6]));
    assert_eq!(got, Err(Violation::FrameTag { byte: 6 }.into()));
}

/// Which peers may send a tag, in the order of `PEERS`, and since which protocol (01-session 10.2, 10.7).
#[test]
fn who_may_send_what() {
    let rows: [(Tag, u32, [bool; 4], u32); 12] = [
        (Tag::DATA, 70_000, [true; 4], 29),
        (Tag::ERROR_XFER, 5119, [true, true, false, false], 29),
        (Tag::INFO, 0, [true, true, false, false], 29),
        (Tag::ERROR, 10, [true, true, false, false], 30),
        (Tag::WARNING, 10, [true, true, false, false], 30),
        (Tag::IO_ERROR, 4, [true; 4], 30),
        (Tag::IO_TIMEOUT, 4, [true, true, false, false], 31),
        (Tag::NOOP, 0, [true; 4], 30),
        (Tag::ERROR_EXIT, 4, [true; 4], 31),
        (Tag::SUCCESS, 4, [false, true, false, true], 29),
        (Tag::DELETED, 10, [false, true, false, false], 29),
        (Tag::NO_SEND, 4, [true, false, true, false], 30),
    ];
    for (tag, len, peers, since) in rows {
        for (peer, allowed) in PEERS.into_iter().zip(peers) {
            for protocol in Protocol::ALL {
                let legal = allowed && protocol.number() >= since;
                let got = judge(peer, protocol, tag, len);
                assert_eq!(got.is_ok(), legal, "{tag:?} from {peer:?} at {protocol}");
            }
        }
    }
    for tag in [5, 6, 7, 8, 9, 10, 11, 20, 21, 99, 103, 248] {
        for peer in PEERS {
            let got = judge(peer, Protocol::V32, Tag(tag), 4);
            assert_eq!(got, Err(Violation::UnexpectedMessage { tag }.into()));
        }
    }
}

#[test]
fn lengths_are_checked_before_the_payload() {
    for (tag, len) in [
        (Tag::ERROR_XFER, 5120),
        (Tag::INFO, limits::FRAME_LEN),
        (Tag::IO_ERROR, 3),
        (Tag::IO_TIMEOUT, 5),
        (Tag::NOOP, 1),
        (Tag::ERROR_EXIT, 1),
        (Tag::SUCCESS, 0),
        (Tag::DELETED, 0),
        (Tag::DELETED, 4097),
    ] {
        let got = judge(SERVER_RECEIVES, Protocol::V32, tag, len);
        let violation = Violation::MessageLength { tag: tag.0, len };
        assert_eq!(got, Err(violation.into()));
    }
}

#[test]
fn payloads_are_checked() {
    let index = Violation::MessageIndex { tag: 102, ndx: -1 };
    assert_eq!(Message::decode(Tag::NO_SEND, &[0xff; 4]), Err(index));
    assert_eq!(
        Message::decode(Tag::IO_ERROR, &[0xff; 4]),
        Ok(Message::IoError(IoErrors(7)))
    );
    for (secs, heeded) in [
        (0, false),
        (1, true),
        (86_400, true),
        (86_401, false),
        (-1, false),
    ] {
        let Ok(Message::IoTimeout(got)) = Message::decode(Tag::IO_TIMEOUT, &i32::to_le_bytes(secs))
        else {
            panic!("{secs}");
        };
        assert_eq!(got.is_some(), heeded, "{secs}");
    }
    let dir = Message::Deleted {
        name: PeerText(b"d/e"),
        is_dir: true,
    };
    assert_eq!(Message::decode(Tag::DELETED, b"d/e\0"), Ok(dir));
    assert_eq!(
        Message::decode(Tag::DELETED, b"d\0e"),
        Err(Violation::NulInside)
    );
    assert!(Message::decode(Tag::DELETED, b"\0").is_err());
    assert!(Message::decode(Tag::DATA, b"").is_err());
}

#[test]
fn exit_codes_of_peers_are_never_success() {
    for (code, exit) in [
        (None, 12),
        (Some(0), 12),
        (Some(1), 1),
        (Some(127), 127),
        (Some(128), 12),
        (Some(-1), 12),
    ] {
        assert_eq!(exit_code_of_peer(code), exit, "{code:?}");
    }
}

#[test]
fn floods_end() {
    let mut demux = Demux::new(SERVER_SENDS, Protocol::V32);
    for _ in 0..limits::IDLE_FRAMES {
        demux.header(&mut Cursor::new(&KEEP_ALIVE)).unwrap();
    }
    let max = limits::IDLE_FRAMES;
    let flood = Err(Violation::IdleFrames { max }.into());
    assert_eq!(demux.header(&mut Cursor::new(&KEEP_ALIVE)), flood);
    // A frame with data starts the count again.
    demux
        .header(&mut Cursor::new(&header(Tag::DATA, 1)))
        .unwrap();
    demux.header(&mut Cursor::new(&KEEP_ALIVE)).unwrap();

    let text = header(Tag::INFO, 5000);
    let texts = limits::MESSAGE_TEXT_TOTAL / 5000;
    for _ in 0..texts {
        demux.header(&mut Cursor::new(&text)).unwrap();
    }
    let max = limits::MESSAGE_TEXT_TOTAL;
    let flood = Err(Violation::MessageFlood { max }.into());
    assert_eq!(demux.header(&mut Cursor::new(&text)), flood);
}

#[test]
fn messages_that_a_protocol_lacks() {
    let mut out = Vec::new();
    for (message, since) in [
        (Message::NoSend(Ndx(1)), 30),
        (Message::IoError(IoErrors::VANISHED), 30),
        (Message::ErrorExit(Some(2)), 31),
        (Message::IoTimeout(Some(9)), 31),
        (Message::Success(Ndx(1)), 29),
    ] {
        for protocol in Protocol::ALL {
            let put = message.put(&mut out, protocol);
            assert_eq!(
                put.is_ok(),
                protocol.number() >= since,
                "{message:?} {protocol}"
            );
        }
    }
    out.clear();
    let error = Message::Text {
        kind: TextKind::Error,
        text: PeerText(b"x\n"),
    };
    error.put(&mut out, Protocol::V29).unwrap();
    assert_eq!(out, b"\x02\x00\x00\x08x\n");
}

#[test]
fn long_data_and_text_are_split() {
    let mut out = Vec::new();
    put_data(&mut out, &vec![7; 2 * MAX_DATA_FRAME + 1]);
    let mut cursor = Cursor::new(&out);
    let mut lens = Vec::new();
    while let Ok(header) = FrameHeader::decode(&mut cursor) {
        lens.push(cursor.take(header.len as usize).unwrap().len());
    }
    assert_eq!(lens, [MAX_DATA_FRAME, MAX_DATA_FRAME, 1]);

    out.clear();
    let text = vec![b'x'; 6000];
    let message = Message::Text {
        kind: TextKind::Info,
        text: PeerText(&text),
    };
    message.put(&mut out, Protocol::V32).unwrap();
    assert_eq!(out.len(), 6008);
}

fn message(bytes: &[u8], pick: u8, int: i32) -> Message<'_> {
    let kind = [
        TextKind::ErrorXfer,
        TextKind::Info,
        TextKind::Error,
        TextKind::Warning,
    ];
    match pick {
        0..=3 => Message::Text {
            kind: kind[usize::from(pick)],
            text: PeerText(bytes),
        },
        4 => Message::IoError(IoErrors::from_wire(int)),
        5 => Message::IoTimeout(Some(int.unsigned_abs() % 86_400 + 1)),
        6 => Message::Noop,
        7 => Message::ErrorExit(Some(int)),
        8 => Message::Success(Ndx(int & i32::MAX)),
        9 => Message::NoSend(Ndx(int & i32::MAX)),
        _ => Message::Deleted {
            name: PeerText(bytes),
            is_dir: int < 0,
        },
    }
}

proptest! {
    #[test]
    fn messages_round_trip(
        bytes in proptest::collection::vec(1_u8.., 1..200),
        pick in 0_u8..=10,
        int: i32,
    ) {
        let message = message(&bytes, pick, int);
        let mut out = Vec::new();
        message.put(&mut out, Protocol::V32).unwrap();
        let mut cursor = Cursor::new(&out);
        let header = FrameHeader::decode(&mut cursor).unwrap();
        prop_assert_eq!(header.len as usize, cursor.remaining());
        prop_assert_eq!(Message::decode(header.tag, cursor.rest()), Ok(message));
    }

    #[test]
    fn headers_round_trip(tag in 0_u8..=248, len in 0..=limits::FRAME_LEN) {
        let bytes = header(Tag(tag), len);
        let got = FrameHeader::decode(&mut Cursor::new(&bytes));
        prop_assert_eq!(got, Ok(FrameHeader { tag: Tag(tag), len }));
        for cut in 0..4 {
            let mut demux = Demux::new(SERVER_SENDS, Protocol::V32);
            prop_assert_eq!(demux.header(&mut Cursor::new(&bytes[..cut])), Err(DecodeError::Incomplete));
        }
    }

    #[test]
    fn arbitrary_frames_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), tag: u8) {
        let _ = Message::decode(Tag(tag), &bytes);
        for peer in PEERS {
            for protocol in Protocol::ALL {
                let mut cursor = Cursor::new(&bytes);
                let _ = Demux::new(peer, protocol).header(&mut cursor);
            }
        }
    }
}
