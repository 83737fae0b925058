use super::*;
use proptest::prelude::*;

/// Drives a client over `input` in pieces of `step` bytes; gives what it sent and what it came to.
fn client(
    offer: &ClientOffer,
    input: &[u8],
    step: usize,
) -> Result<(Vec<u8>, Option<Negotiated>), DecodeError> {
    let (mut setup, mut buffer, mut out) =
        (ClientSetup::new(offer.clone()), Vec::new(), Vec::new());
    for piece in input.chunks(step.max(1)) {
        buffer.extend_from_slice(piece);
        let mut cursor = Cursor::new(&buffer);
        match setup.advance(&mut cursor, &mut out)? {
            Progress::Done(negotiated) => return Ok((out, Some(negotiated))),
            Progress::More(next) => setup = next,
        }
        buffer.drain(..cursor.position());
    }
    Ok((out, None))
}

fn offer(protocol: Protocol) -> ClientOffer {
    ClientOffer::new(protocol, Capabilities::current(true))
}

const SERVER_LIST: &[u8] = b"\x23xxh128 xxh3 xxh64 md5 md4 sha1 none";
const CLIENT_LIST: &[u8] = b"\x1exxh128 xxh3 xxh64 md5 md4 sha1";
const SEED: &[u8] = b"\x39\x30\x00\x00";

type Row<'a> = (Protocol, &'a [u8], &'a [u8], u32, [ChecksumName; 2]);

#[test]
fn captured_setups() {
    // Protocol, server's bytes, client's bytes, flags, checksum, checksum of lists (01-session 14).
    let new = [&b"\x81\xff"[..], SERVER_LIST, SEED].concat();
    let (xxh128, md5) = (ChecksumName::Xxh128, ChecksumName::Md5);
    let (old_md4, md4) = (ChecksumName::OldMd4, ChecksumName::Md4);
    let rows: [Row<'_>; 4] = [
        (Protocol::V31, &new, CLIENT_LIST, 0x1ff, [xxh128, xxh128]),
        (
            Protocol::V31,
            b"\x3f\x39\x30\x00\x00",
            b"",
            0x3f,
            [md5, md5],
        ),
        (
            Protocol::V30,
            b"\x03\x39\x30\x00\x00",
            b"",
            0x03,
            [md5, md5],
        ),
        (Protocol::V29, SEED, b"", 0, [old_md4, md4]),
    ];
    for (protocol, s2c, c2s, flags, [checksum, list_checksum]) in rows {
        for step in [1, 2, 3, 100] {
            let (out, negotiated) = client(&offer(protocol), s2c, step).unwrap();
            assert_eq!(out, c2s);
            let expected = Negotiated {
                protocol,
                compat: CompatFlags(flags),
                checksum,
                list_checksum,
                compression: Compression::None,
                seed: 12345,
            };
            assert_eq!(negotiated, Some(expected));
        }
    }
}

#[test]
fn the_client_sends_its_lists_before_it_waits_for_theirs() {
    let (out, negotiated) = client(&offer(Protocol::V32), b"\x81\xff", 2).unwrap();
    assert_eq!((&out[..], negotiated), (CLIENT_LIST, None));
}

#[test]
fn compression_lists_come_after_checksum_lists() {
    let mut offer = offer(Protocol::V31);
    offer.compression = CompressionRequest::Negotiate;
    offer.compressions = vec![Compression::Zlib, Compression::Zlibx];
    let list = b"\x18zstd lz4 zlibx zlib none";
    let s2c = [b"\x81\xff", SERVER_LIST, list, SEED].concat();
    let (out, negotiated) = client(&offer, &s2c, 7).unwrap();
    assert_eq!(out, [CLIENT_LIST, b"\x0azlibx zlib"].concat());
    assert_eq!(negotiated.unwrap().compression, Compression::Zlibx);

    // Without the flag the old default holds.
    let (_, negotiated) = client(&offer, b"\x3f\x39\x30\x00\x00", 1).unwrap();
    assert_eq!(negotiated.unwrap().compression, Compression::Zlib);
    offer.compression = CompressionRequest::Named(Compression::Lz4);
    let s2c = [b"\x81\xff", SERVER_LIST, SEED].concat();
    let (_, negotiated) = client(&offer, &s2c, 7).unwrap();
    assert_eq!(negotiated.unwrap().compression, Compression::Lz4);
}

#[test]
fn what_a_client_refuses() {
    let flat = ClientOffer::new(Protocol::V31, Capabilities::current(false));
    let got = client(&flat, b"\x81\xff", 2);
    assert_eq!(got, Err(Violation::IncRecurseNotOffered.into()));
    let long = b"\x81\xff\x81\x00";
    let violation = Violation::NegotiationListTooLong { len: 256, max: 255 };
    assert_eq!(
        client(&offer(Protocol::V31), long, 4),
        Err(violation.into())
    );
    let foreign = b"\x81\xff\x04sha9";
    let got = client(&offer(Protocol::V31), foreign, 9);
    assert_eq!(got, Err(Unsupported::NoCommonChecksum.into()));
}

#[test]
fn a_server_that_has_nothing_to_wait_for_is_done_at_once() {
    for (protocol, flags, bytes) in [
        (Protocol::V29, 0x1ff, &b"\x07\x00\x00\x00"[..]),
        (Protocol::V30, 0x03, b"\x03\x07\x00\x00\x00"),
    ] {
        let mut out = Vec::new();
        let setup = ServerSetup::new(ServerOffer::new(protocol, CompatFlags(flags), 7), &mut out);
        let progress = setup.advance(&mut Cursor::new(&[]), &mut out).unwrap();
        assert!(matches!(progress, Progress::Done(_)));
        assert_eq!(out, bytes);
    }
}

#[test]
fn a_server_follows_the_clients_order() {
    let mut out = Vec::new();
    let offer = ServerOffer::new(Protocol::V32, CompatFlags::ALL, 12345);
    let setup = ServerSetup::new(offer, &mut out);
    assert_eq!(out, [b"\x81\xff", CLIENT_LIST].concat());
    let mut cursor = Cursor::new(b"\x0bmd5 xxh128 \x25");
    let Progress::Done(negotiated) = setup.advance(&mut cursor, &mut out).unwrap() else {
        panic!("the list is whole");
    };
    assert_eq!(negotiated.checksum, ChecksumName::Md5);
    // The seed comes last, and the first frame of the client is left alone.
    assert!(out.ends_with(SEED));
    assert_eq!(cursor.rest(), b"\x25");
}

#[test]
fn no_common_name_at_the_server() {
    let mut out = Vec::new();
    let mut offer = ServerOffer::new(Protocol::V32, CompatFlags::ALL, 1);
    offer.compression = CompressionRequest::Negotiate;
    let setup = ServerSetup::new(offer, &mut out);
    let got = setup.advance(&mut Cursor::new(b"\x03md5\x04zstd"), &mut out);
    assert_eq!(got.err(), Some(Unsupported::NoCommonCompression.into()));
}

fn some_checksums() -> impl Strategy<Value = Vec<ChecksumName>> {
    proptest::sample::subsequence(ChecksumName::NEGOTIABLE.to_vec(), 1..=6).prop_shuffle()
}

proptest! {
    #[test]
    fn both_ends_come_to_the_same(
        protocol in proptest::sample::select(Protocol::ALL.to_vec()),
        letters in 0_u32..0x200,
        supported in 0_u32..0x200,
        ours in some_checksums(),
        theirs in some_checksums(),
        seed: i32,
        recurse: bool,
        zip: bool,
    ) {
        let request = if zip { CompressionRequest::Negotiate } else { CompressionRequest::Off };
        let capabilities = Capabilities::offering(CompatFlags(letters));
        let mut client = ClientOffer::new(protocol, capabilities);
        let compat = capabilities.answer(CompatFlags(supported), recurse);
        let mut server = ServerOffer::new(protocol, compat, seed);
        (client.checksums, server.checksums) = (ours, theirs);
        (client.compression, server.compression) = (request, request);
        client.compressions = vec![Compression::Zstd, Compression::Zlib];
        server.compressions = vec![Compression::Zlib, Compression::None];
        let common = client.checksums.iter().any(|name| server.checksums.contains(name));
        let (mut s2c, mut c2s) = (Vec::new(), Vec::new());
        let listed = compat.contains(CompatFlags::VARINT_FLIST_FLAGS) && protocol.has_compat_flags();

        // By hand, to see both results.
        let server_setup = ServerSetup::new(server.clone(), &mut s2c);
        let _ = ClientSetup::new(client.clone()).advance(&mut Cursor::new(&s2c), &mut c2s);
        let at_server = server_setup.advance(&mut Cursor::new(&c2s), &mut s2c);
        let at_client = ClientSetup::new(client.clone()).advance(&mut Cursor::new(&s2c), &mut Vec::new());
        match (at_server, at_client) {
            (Ok(Progress::Done(a)), Ok(Progress::Done(b))) => {
                prop_assert_eq!(a, b);
                prop_assert_eq!(Negotiated::in_process(client, server), Ok(a));
            }
            (a, b) => {
                prop_assert!(listed && !common, "{:?} {:?}", a, b);
                prop_assert!(Negotiated::in_process(client, server).is_err());
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), step in 1_usize..50) {
        for protocol in Protocol::ALL {
            let _ = client(&offer(protocol), &bytes, step);
            let mut out = Vec::new();
            let setup = ServerSetup::new(ServerOffer::new(protocol, CompatFlags::ALL, 1), &mut out);
            let _ = setup.advance(&mut Cursor::new(&bytes), &mut out);
        }
    }
}
