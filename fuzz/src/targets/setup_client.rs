//! The client's end of the set-up: compat flags, lists of names, seed (01-session 9).

use rsync_proto::setup::{
    Capabilities, ChecksumChoice, ChecksumName, ClientOffer, ClientSetup, CompatFlags, Compression,
    CompressionRequest, Negotiated, Progress,
};
use rsync_proto::wire::Cursor;
use rsync_proto::{DecodeError, Protocol};

use crate::header::{Header, protocol_byte};
use crate::incremental::cuts;
use crate::recording;

/// Header: what the client offers. Then what the server sends.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let offer = offer(&mut header);
    let bytes = header.rest();
    let whole = drive(&offer, &[bytes]);
    for at in cuts(bytes) {
        let (head, tail) = bytes.split_at(at);
        assert_eq!(drive(&offer, &[head, tail]), whole, "cut at byte {at}");
    }
    if let (Ok(Some((negotiated, _))), _) = &whole {
        within_the_offer(&offer, negotiated);
    }
}

/// What came out, with the number of bytes taken, and the bytes sent.
type Outcome = (Result<Option<(Negotiated, usize)>, DecodeError>, Vec<u8>);

fn drive(offer: &ClientOffer, pieces: &[&[u8]]) -> Outcome {
    let (mut setup, mut sent) = (ClientSetup::new(offer.clone()), Vec::new());
    let (mut pending, mut taken) = (Vec::new(), 0);
    for piece in pieces {
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

fn within_the_offer(offer: &ClientOffer, negotiated: &Negotiated) {
    assert_eq!(negotiated.protocol, offer.protocol);
    let answered = offer.capabilities.answer(CompatFlags::ALL, offer.capabilities.inc_recurse());
    assert_eq!(negotiated.compat.without(answered), CompatFlags::default());
    let default = offer.protocol == Protocol::V29 || negotiated.checksum == ChecksumName::Md5;
    let forced = offer.checksum_choice.map(|choice| choice.transfer);
    assert!(
        default || forced == Some(negotiated.checksum) || offer.checksums.contains(&negotiated.checksum),
        "{negotiated:?}"
    );
    if offer.compression == CompressionRequest::Off {
        assert_eq!(negotiated.compression, Compression::None);
    }
}

/// An offer of five bytes: protocol, capabilities, forced checksum, checksums known, compression.
pub(super) fn offer(header: &mut Header<'_>) -> ClientOffer {
    let protocol = header.protocol();
    let capabilities = Capabilities::offering(CompatFlags(u32::from(header.word())));
    let choice = header.byte();
    let known = header.byte();
    let mut offer = ClientOffer::new(protocol, capabilities);
    let name = |number: u8| ChecksumName::NEGOTIABLE.get(usize::from(number)).copied();
    offer.checksum_choice = name(choice & 7)
        .map(|transfer| ChecksumChoice { transfer, list: name(choice >> 3 & 7).unwrap_or(ChecksumName::None) });
    offer.checksums = (0..8).filter(|bit| known >> bit & 1 != 0).filter_map(name).collect();
    let request = header.byte();
    offer.compression = match request & 7 {
        0 => CompressionRequest::Off,
        1 => CompressionRequest::Negotiate,
        number => CompressionRequest::Named(COMPRESSIONS[usize::from(number - 2) % COMPRESSIONS.len()]),
    };
    let bits = COMPRESSIONS.into_iter().zip(0..);
    offer.compressions = bits.filter(|(_, bit)| request >> (3 + bit) & 1 != 0).map(|(name, _)| name).collect();
    offer
}

/// The header of an offer.
pub(super) fn header_of(offer: &ClientOffer) -> [u8; 6] {
    let number = |name: ChecksumName| {
        let at = ChecksumName::NEGOTIABLE.iter().position(|known| *known == name);
        at.and_then(|at| u8::try_from(at).ok()).unwrap_or(7)
    };
    let sent = offer.capabilities.answer(CompatFlags::ALL, true);
    let [low, high, ..] = sent.0.to_le_bytes();
    let choice = offer.checksum_choice.map_or(0xff, |choice| number(choice.transfer) | number(choice.list) << 3);
    let known = offer.checksums.iter().fold(0, |bits, name| bits | 1_u8.checked_shl(number(*name).into()).unwrap_or(0));
    let bit = |name: Compression| COMPRESSIONS.iter().position(|known| *known == name).unwrap_or(0);
    let request = match offer.compression {
        CompressionRequest::Off => 0,
        CompressionRequest::Negotiate => 1,
        CompressionRequest::Named(name) => 2 + bit(name) as u8,
    };
    let compressions = offer.compressions.iter().fold(0, |bits, name| bits | 8 << bit(*name));
    [protocol_byte(offer.protocol), low, high, choice, known, request | compressions]
}

const COMPRESSIONS: [Compression; 5] =
    [Compression::Zstd, Compression::Lz4, Compression::Zlibx, Compression::Zlib, Compression::None];

/// The servers' bytes of the recordings.
pub fn seeds() -> Vec<Vec<u8>> {
    recording::seeds(|recording| (header_of(&recording.offer), &recording.server_setup))
}
