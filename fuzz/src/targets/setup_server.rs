//! The server's end of the set-up, and both ends together (01-session 9).

use rsync_proto::setup::{
    ChecksumName, ClientOffer, ClientSetup, CompatFlags, Compression, Negotiated, Progress, ServerOffer, ServerSetup,
};
use rsync_proto::wire::Cursor;
use rsync_proto::DecodeError;

use super::setup_client;
use crate::header::Header;
use crate::incremental::cuts;
use crate::recording;

/// Header: what a client offers, and what the server has. Then what the client sends.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let client = setup_client::offer(&mut header);
    let server = server_offer(&client, &mut header);
    let bytes = header.rest();
    let whole = drive(&server, &[bytes]);
    for at in cuts(bytes) {
        let (head, tail) = bytes.split_at(at);
        assert_eq!(drive(&server, &[head, tail]), whole, "cut at byte {at}");
    }
    both_ends(client, server);
}

fn server_offer(client: &ClientOffer, header: &mut Header<'_>) -> ServerOffer {
    let supported = CompatFlags(u32::from(header.word()));
    let choices = header.byte();
    let compat = client.capabilities.answer(supported, choices & 1 != 0);
    let mut offer = ServerOffer::new(client.protocol, compat, 1 + i32::from(header.word()));
    offer.checksum_choice = client.checksum_choice;
    offer.compression = client.compression;
    offer.checksums.retain(|name| choices & 2 != 0 || *name != ChecksumName::Xxh128);
    offer.compressions = vec![Compression::Zstd, Compression::Zlib, Compression::None];
    offer
}

/// What came out, with the number of bytes taken, and the bytes sent.
type Outcome = (Result<Option<(Negotiated, usize)>, DecodeError>, Vec<u8>);

fn drive(offer: &ServerOffer, pieces: &[&[u8]]) -> Outcome {
    let (mut sent, mut pending, mut taken) = (Vec::new(), Vec::new(), 0);
    let mut setup = ServerSetup::new(offer.clone(), &mut sent);
    for piece in std::iter::once(&&b""[..]).chain(pieces) {
        pending.extend_from_slice(piece);
        let mut cursor = Cursor::new(&pending);
        let progress = setup.advance(&mut cursor, &mut sent);
        let used = cursor.position();
        taken += used;
        match progress {
            Ok(Progress::Done(negotiated)) => return (Ok(Some((negotiated, taken))), sent),
            Ok(Progress::More(next)) => setup = next,
            Err(error) => return (Err(error), sent),
        }
        pending.drain(..used);
    }
    (Ok(None), sent)
}

/// A client and a server of ours come to the same session, or both to none.
fn both_ends(client: ClientOffer, server: ServerOffer) {
    let (mut c2s, mut s2c) = (Vec::new(), Vec::new());
    let mut server = Some(ServerSetup::new(server, &mut s2c));
    let mut client = Some(ClientSetup::new(client));
    let (mut at_client, mut at_server) = (None, None);
    // The client speaks once, so the third round at the latest brings both to an end.
    for _ in 0..3 {
        if let Some(setup) = client.take() {
            let mut cursor = Cursor::new(&s2c);
            match setup.advance(&mut cursor, &mut c2s) {
                Ok(Progress::More(next)) => client = Some(next),
                Ok(Progress::Done(negotiated)) => at_client = Some(Ok(negotiated)),
                Err(error) => at_client = Some(Err(error)),
            }
            let used = cursor.position();
            s2c.drain(..used);
        }
        if let Some(setup) = server.take() {
            let mut cursor = Cursor::new(&c2s);
            match setup.advance(&mut cursor, &mut s2c) {
                Ok(Progress::More(next)) => server = Some(next),
                Ok(Progress::Done(negotiated)) => at_server = Some(Ok(negotiated)),
                Err(error) => at_server = Some(Err(error)),
            }
            let used = cursor.position();
            c2s.drain(..used);
        }
    }
    match (&at_client, &at_server) {
        (Some(Ok(a)), Some(Ok(b))) => {
            assert_eq!(a, b);
            assert!(c2s.is_empty() && s2c.is_empty(), "bytes are left over");
        }
        (Some(Err(a)), Some(Err(b))) => assert_eq!(a, b),
        // With lists of two names a side can fail at the first while the other one waits for the seed.
        (Some(Err(_)), None) | (None, Some(Err(_))) => {}
        other => panic!("{other:?}"),
    }
}

/// The clients' bytes of the recordings.
pub fn seeds() -> Vec<Vec<u8>> {
    recording::seeds(|recording| {
        let compat = recording.negotiated.compat;
        let [low, high, ..] = compat.0.to_le_bytes();
        let seed = [0x38, 0x30];
        let header = setup_client::header_of(&recording.offer);
        let server = [low, high, u8::from(recording.negotiated.inc_recurse()) | 2, seed[0], seed[1]];
        ([&header[..], &server].concat(), &recording.client_setup)
    })
}
