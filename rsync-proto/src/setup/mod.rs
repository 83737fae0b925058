//! From the argument vector to the first frame: compat flags, lists of names, seed (01-session 9).
//!
//! [`ClientSetup`] and [`ServerSetup`] are the two ends. Neither reads or writes: `advance` takes the bytes
//! that are there, appends the bytes to send, and either wants more or gives the [`Negotiated`] session:
//!
//! ```
//! use rsync_proto::{Protocol, wire::Cursor};
//! use rsync_proto::setup::{Capabilities, ChecksumName, ClientOffer, ClientSetup, Progress};
//!
//! let offer = ClientOffer::new(Protocol::V31, Capabilities::current(false));
//! let (mut setup, mut input, mut out) = (ClientSetup::new(offer), Vec::new(), Vec::new());
//! let daemon = b"\x81\xfe\x07md5 md4\x39\x30\x00\x00"; // flags 0x1fe, a list, seed 12345
//! let mut arriving = daemon.chunks(4);
//! let negotiated = loop {
//!     // Here: send `out`, clear it, read.
//!     input.extend_from_slice(arriving.next().unwrap());
//!     let mut cursor = Cursor::new(&input);
//!     let progress = setup.advance(&mut cursor, &mut out)?;
//!     input.drain(..cursor.position());
//!     match progress {
//!         Progress::More(next) => setup = next,
//!         Progress::Done(negotiated) => break negotiated,
//!     }
//! };
//! assert_eq!(out, b"\x1exxh128 xxh3 xxh64 md5 md4 sha1");
//! assert_eq!(negotiated.checksum, ChecksumName::Md5);
//! # Ok::<(), rsync_proto::DecodeError>(())
//! ```

mod choice;
mod compat;

pub use choice::{ChecksumChoice, ChecksumName, Compression, CompressionRequest};
pub use compat::{Capabilities, CompatFlags};

use crate::error::{DecodeError, Unsupported, Violation};
use crate::limits;
use crate::names::{self, WireName};
use crate::version::Protocol;
use crate::wire::{Cursor, put_int, put_varint, put_vstring};
use choice::{Side, choose};

/// What the set-up decided. Comes from a set-up only, so whoever has it has done it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Negotiated {
    /// The protocol.
    pub protocol: Protocol,
    /// The flags, without unknown ones. None at protocol 29.
    pub compat: CompatFlags,
    /// Checksum of blocks and transferred files.
    pub checksum: ChecksumName,
    /// Checksum of the file list.
    pub list_checksum: ChecksumName,
    /// Compression of the token stream.
    pub compression: Compression,
    /// Seed of the checksums.
    pub seed: i32,
}

impl Negotiated {
    /// Sub-lists follow the first file list, and every index is one of them.
    #[must_use]
    pub fn inc_recurse(&self) -> bool {
        self.compat.contains(CompatFlags::INC_RECURSE)
    }

    /// Entry flags of the file list are varints.
    #[must_use]
    pub fn varint_flist_flags(&self) -> bool {
        self.compat.contains(CompatFlags::VARINT_FLIST_FLAGS)
    }

    /// The end of a file list may carry the I/O error (01-session 11.3).
    #[must_use]
    pub fn safe_flist(&self) -> bool {
        self.protocol.has_safe_flist() || self.compat.contains(CompatFlags::SAFE_FLIST)
    }

    /// MD5 block sums hash the seed before the data.
    #[must_use]
    pub fn seed_first(&self) -> bool {
        self.compat.contains(CompatFlags::CHKSUM_SEED_FIX)
    }

    /// Id lists may name id 0.
    #[must_use]
    pub fn id0_names(&self) -> bool {
        self.compat.contains(CompatFlags::ID0_NAMES)
    }

    /// The set-up of two sides of one process: the same steps as over a connection, without one.
    ///
    /// # Errors
    /// As the `advance` of both sides.
    pub fn in_process(client: ClientOffer, server: ServerOffer) -> Result<Self, DecodeError> {
        let (mut c2s, mut s2c) = (Vec::new(), Vec::new());
        let mut server = Some(ServerSetup::new(server, &mut s2c));
        let mut client = ClientSetup::new(client);
        loop {
            let mut cursor = Cursor::new(&s2c);
            match client.advance(&mut cursor, &mut c2s)? {
                Progress::Done(negotiated) => return Ok(negotiated),
                Progress::More(next) => client = next,
            }
            s2c.drain(..cursor.position());
            // A server that is done and still not understood has been told other options than the client.
            let waiting = server.take().ok_or(DecodeError::Incomplete)?;
            let mut cursor = Cursor::new(&c2s);
            if let Progress::More(next) = waiting.advance(&mut cursor, &mut s2c)? {
                server = Some(next);
            }
            c2s.drain(..cursor.position());
        }
    }
}

/// What a set-up came to.
#[derive(Debug)]
pub enum Progress<S> {
    /// Drop the bytes that the cursor passed, send what was appended, and call again with more input.
    More(S),
    /// Done, with the cursor behind the last byte of the set-up. What was appended must still be sent; every
    /// byte after that lies in a frame (01-session 9.6).
    Done(Negotiated),
}

/// What a client knows before the set-up. Must agree with the argument vector that it sent.
#[derive(Debug, Clone)]
pub struct ClientOffer {
    /// The protocol that both greetings gave.
    pub protocol: Protocol,
    /// What went after `e`.
    pub capabilities: Capabilities,
    /// The value of `--checksum-choice`, if it was sent.
    pub checksum_choice: Option<ChecksumChoice>,
    /// The checksums that we compute, in any order.
    pub checksums: Vec<ChecksumName>,
    /// What the arguments ask for.
    pub compression: CompressionRequest,
    /// The compressions that we have, in any order.
    pub compressions: Vec<Compression>,
}

impl ClientOffer {
    /// An offer of all checksums, with no choice in the arguments and no compression.
    #[must_use]
    pub fn new(protocol: Protocol, capabilities: Capabilities) -> Self {
        Self {
            protocol,
            capabilities,
            checksum_choice: None,
            checksums: ChecksumName::NEGOTIABLE.to_vec(),
            compression: CompressionRequest::Off,
            compressions: Vec::new(),
        }
    }
}

/// What a server knows before the set-up.
#[derive(Debug, Clone)]
pub struct ServerOffer {
    /// The protocol that both greetings gave.
    pub protocol: Protocol,
    /// The flags to send, from [`Capabilities::answer`]. Nothing is sent at protocol 29.
    pub compat: CompatFlags,
    /// The value of `--checksum-choice` in the client's arguments.
    pub checksum_choice: Option<ChecksumChoice>,
    /// The checksums that we compute, in any order.
    pub checksums: Vec<ChecksumName>,
    /// What the client's arguments ask for.
    pub compression: CompressionRequest,
    /// The compressions that we have, in any order. [`Compression::None`] among them is offered last.
    pub compressions: Vec<Compression>,
    /// The seed, not 0: the client's `--checksum-seed`, or a random number.
    pub seed: i32,
}

impl ServerOffer {
    /// An offer of all checksums, with no choice in the arguments and no compression.
    #[must_use]
    pub fn new(protocol: Protocol, compat: CompatFlags, seed: i32) -> Self {
        Self {
            protocol,
            compat,
            checksum_choice: None,
            checksums: ChecksumName::NEGOTIABLE.to_vec(),
            compression: CompressionRequest::Off,
            compressions: Vec::new(),
            seed,
        }
    }
}

/// The client's end of the set-up.
///
/// ```text
/// flags --(0x80)--> checksum list --> compression list --> seed --> Negotiated
///     \______________________________________________________/
/// ```
/// A list is skipped if the arguments named the choice; at protocol 29 only the seed comes.
#[derive(Debug)]
pub struct ClientSetup {
    offer: ClientOffer,
    names: NamePhase,
    compat: CompatFlags,
    flags_pending: bool,
}

impl ClientSetup {
    /// The state after the argument vector has been sent. Nothing is to be sent yet.
    #[must_use]
    pub fn new(offer: ClientOffer) -> Self {
        Self {
            names: NamePhase::settled(offer.checksum_choice, offer.compression),
            compat: CompatFlags::default(),
            flags_pending: offer.protocol.has_compat_flags(),
            offer,
        }
    }

    /// Takes a step, or as many as the input allows.
    ///
    /// # Errors
    /// [`Violation`] and [`Unsupported`] of flags and lists. Never incomplete: that is [`Progress::More`].
    pub fn advance(
        mut self,
        cursor: &mut Cursor<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Progress<Self>, DecodeError> {
        match self.read_all(cursor, out) {
            Ok(seed) => Ok(Progress::Done(self.names.conclude(
                self.offer.protocol,
                self.compat,
                seed,
            ))),
            Err(DecodeError::Incomplete) => Ok(Progress::More(self)),
            Err(error) => Err(error),
        }
    }

    fn read_all(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<i32, DecodeError> {
        let offer = &self.offer;
        if self.flags_pending {
            let flags = CompatFlags(cursor.varint()?.cast_unsigned());
            self.compat = offer.capabilities.check_answer(flags)?;
            self.flags_pending = false;
            if self.compat.contains(CompatFlags::VARINT_FLIST_FLAGS) {
                // Before anything else is awaited: the server's seed comes after our lists.
                self.names = NamePhase::negotiating(offer.checksum_choice, offer.compression);
                self.names
                    .put_lists(&offer.checksums, &offer.compressions, out);
            }
        }
        self.names
            .read_lists(Side::Client, &offer.checksums, &offer.compressions, cursor)?;
        cursor.int()
    }
}

/// The server's end of the set-up.
#[derive(Debug)]
pub struct ServerSetup {
    offer: ServerOffer,
    names: NamePhase,
}

impl ServerSetup {
    /// The state after the argument vector has been read. Appends flags and lists: send them at once.
    #[must_use]
    pub fn new(mut offer: ServerOffer, out: &mut Vec<u8>) -> Self {
        offer.compat = if offer.protocol.has_compat_flags() {
            put_varint(out, offer.compat.0.cast_signed());
            offer.compat
        } else {
            CompatFlags::default()
        };
        let names = if offer.compat.contains(CompatFlags::VARINT_FLIST_FLAGS) {
            NamePhase::negotiating(offer.checksum_choice, offer.compression)
        } else {
            NamePhase::settled(offer.checksum_choice, offer.compression)
        };
        names.put_lists(&offer.checksums, &offer.compressions, out);
        Self { offer, names }
    }

    /// Takes a step, or as many as the input allows; appends the seed at the end. Call it once without input
    /// first: there may be nothing to wait for.
    ///
    /// # Errors
    /// [`Violation`] and [`Unsupported`] of lists. Never incomplete: that is [`Progress::More`].
    pub fn advance(
        mut self,
        cursor: &mut Cursor<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Progress<Self>, DecodeError> {
        let offer = &self.offer;
        let read =
            self.names
                .read_lists(Side::Server, &offer.checksums, &offer.compressions, cursor);
        match read {
            Ok(()) => {
                put_int(out, offer.seed);
                let negotiated = self
                    .names
                    .conclude(offer.protocol, offer.compat, offer.seed);
                Ok(Progress::Done(negotiated))
            }
            Err(DecodeError::Incomplete) => Ok(Progress::More(self)),
            Err(error) => Err(error),
        }
    }
}

/// The choices, settled or to be read from the peer's lists; the same for both ends.
#[derive(Debug)]
struct NamePhase {
    checksum: Pending<ChecksumChoice>,
    compression: Pending<Compression>,
}

#[derive(Debug, Clone, Copy)]
enum Pending<T> {
    /// The peer's list decides.
    List,
    /// Named by an argument, or negotiated.
    Settled(T),
    /// The protocol's default.
    Default,
}

impl<T> Pending<T> {
    fn or_list(self) -> Self {
        match self {
            Self::Default => Self::List,
            other => other,
        }
    }
}

impl NamePhase {
    /// Without lists.
    fn settled(checksum: Option<ChecksumChoice>, compression: CompressionRequest) -> Self {
        Self {
            checksum: checksum.map_or(Pending::Default, Pending::Settled),
            compression: match compression {
                CompressionRequest::Off => Pending::Settled(Compression::None),
                CompressionRequest::Negotiate => Pending::Default,
                CompressionRequest::Named(name) => Pending::Settled(name),
            },
        }
    }

    /// With a list for each thing that no argument names.
    fn negotiating(checksum: Option<ChecksumChoice>, compression: CompressionRequest) -> Self {
        let Self {
            checksum,
            compression,
        } = Self::settled(checksum, compression);
        Self {
            checksum: checksum.or_list(),
            compression: compression.or_list(),
        }
    }

    fn put_lists(
        &self,
        checksums: &[ChecksumName],
        compressions: &[Compression],
        out: &mut Vec<u8>,
    ) {
        if matches!(self.checksum, Pending::List) {
            put_list(out, checksums);
        }
        if matches!(self.compression, Pending::List) {
            put_list(out, compressions);
        }
    }

    fn read_lists(
        &mut self,
        side: Side,
        checksums: &[ChecksumName],
        compressions: &[Compression],
        cursor: &mut Cursor<'_>,
    ) -> Result<(), DecodeError> {
        if matches!(self.checksum, Pending::List) {
            let name = choose(side, checksums, read_list(cursor)?);
            let name = name.ok_or(Unsupported::NoCommonChecksum)?;
            self.checksum = Pending::Settled(ChecksumChoice::both(name));
        }
        if matches!(self.compression, Pending::List) {
            let name = choose(side, compressions, read_list(cursor)?);
            self.compression = Pending::Settled(name.ok_or(Unsupported::NoCommonCompression)?);
        }
        Ok(())
    }

    fn conclude(self, protocol: Protocol, compat: CompatFlags, seed: i32) -> Negotiated {
        let default = if protocol.defaults_to_md5() {
            ChecksumChoice::both(ChecksumName::Md5)
        } else {
            ChecksumChoice {
                transfer: ChecksumName::OldMd4,
                list: ChecksumName::Md4,
            }
        };
        let checksum = match self.checksum {
            Pending::Settled(choice) => choice,
            Pending::List | Pending::Default => default,
        };
        let compression = match self.compression {
            Pending::Settled(name) => name,
            Pending::List | Pending::Default => Compression::Zlib,
        };
        Negotiated {
            protocol,
            compat,
            checksum: checksum.transfer,
            list_checksum: checksum.list,
            compression,
            seed,
        }
    }
}

fn put_list<N: WireName>(out: &mut Vec<u8>, names: &[N]) {
    let written = put_vstring(out, names::list(names).as_bytes());
    debug_assert!(
        written.is_ok(),
        "all names together are shorter than a list may be"
    );
}

fn read_list<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], DecodeError> {
    cursor
        .vstring(limits::NEGOTIATION_LIST)
        .map_err(|error| match error {
            DecodeError::Violation(Violation::StringTooLong { len, max }) => {
                Violation::NegotiationListTooLong { len, max }.into()
            }
            other => other,
        })
}

#[cfg(test)]
mod tests;
