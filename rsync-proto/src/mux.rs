//! Multiplexing: frames of data and of messages (01-session 10).
//!
//! After the seed every byte lies in a frame: a header of four bytes, then the payload. Frames of data are one
//! stream of bytes, values may straddle their borders. [`Demux`] reads headers and refuses what the peer must
//! not send; the payload of anything but data then goes to [`Message::decode`].

use std::fmt;

use crate::error::{DecodeError, EncodeError, Violation};
use crate::limits;
use crate::ndx::Ndx;
use crate::text::PeerText;
use crate::version::Protocol;
use crate::wire::Cursor;

/// What a frame carries. Numbers without a name survive.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub u8);

impl Tag {
    /// Bytes of the stream. Empty: keep-alive.
    pub const DATA: Self = Self(0);
    /// Error text; makes the transfer partial.
    pub const ERROR_XFER: Self = Self(1);
    /// Text.
    pub const INFO: Self = Self(2);
    /// Error text, protocol 30 and later.
    pub const ERROR: Self = Self(3);
    /// Warning text, protocol 30 and later.
    pub const WARNING: Self = Self(4);
    /// Bits of the I/O error, protocol 30 and later.
    pub const IO_ERROR: Self = Self(22);
    /// Time-out of the daemon, protocol 31 and later.
    pub const IO_TIMEOUT: Self = Self(33);
    /// Keep-alive of rsync 3.0.
    pub const NOOP: Self = Self(42);
    /// The peer dies with an exit code, protocol 31 and later.
    pub const ERROR_EXIT: Self = Self(86);
    /// An entry is in place.
    pub const SUCCESS: Self = Self(100);
    /// A name was deleted.
    pub const DELETED: Self = Self(101);
    /// An entry will not come, protocol 30 and later.
    pub const NO_SEND: Self = Self(102);

    fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::DATA => "DATA",
            Self::ERROR_XFER => "ERROR_XFER",
            Self::INFO => "INFO",
            Self::ERROR => "ERROR",
            Self::WARNING => "WARNING",
            Self::IO_ERROR => "IO_ERROR",
            Self::IO_TIMEOUT => "IO_TIMEOUT",
            Self::NOOP => "NOOP",
            Self::ERROR_EXIT => "ERROR_EXIT",
            Self::SUCCESS => "SUCCESS",
            Self::DELETED => "DELETED",
            Self::NO_SEND => "NO_SEND",
            _ => return None,
        })
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Tag({})", self.0),
        }
    }
}

/// The four bytes in front of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame carries.
    pub tag: Tag,
    /// Bytes of the payload, at most [`limits::FRAME_LEN`].
    pub len: u32,
}

impl FrameHeader {
    /// Bytes of a header on the wire.
    pub const WIRE_LEN: usize = 4;

    /// Reads a header, whatever its tag. [`Demux::header`] also judges it.
    ///
    /// # Errors
    /// Incomplete; [`Violation::FrameTag`].
    #[inline]
    pub fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let mut probe = cursor.clone();
        let word = probe.int()?.cast_unsigned();
        let [.., byte] = word.to_le_bytes();
        let tag = byte
            .checked_sub(TAG_BASE)
            .ok_or(Violation::FrameTag { byte })?;
        *cursor = probe;
        Ok(Self {
            tag: Tag(tag),
            len: word & limits::FRAME_LEN,
        })
    }

    /// The header as it lies on the wire, to be patched in front of a payload that was collected first. The
    /// length is cut to 24 bits, the tag to its 249 values.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::WIRE_LEN] {
        debug_assert!(self.len <= limits::FRAME_LEN && self.tag.0 <= u8::MAX - TAG_BASE);
        let [a, b, c, _] = self.len.to_le_bytes();
        [a, b, c, self.tag.0.wrapping_add(TAG_BASE)]
    }
}

/// Payload of the largest data frame that we write.
pub const MAX_DATA_FRAME: usize = limits::DATA_FRAME_SENT;

/// A data frame without data: never answered, shows that we live (01-session 10.5).
pub const KEEP_ALIVE: [u8; 4] = [0, 0, 0, TAG_BASE];

/// Appends `data` as frames of the stream.
pub fn put_data(out: &mut Vec<u8>, data: &[u8]) {
    for chunk in data.chunks(MAX_DATA_FRAME) {
        put_frame(out, Tag::DATA, chunk);
    }
}

/// Who wrote the frames that a [`Demux`] reads: which messages are legal depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The peer is the server.
    pub is_server: bool,
    /// The peer sends the files.
    pub is_sender: bool,
}

/// Reads frame headers of one direction, and refuses tags, lengths and floods that the peer may not send
/// (01-session 10.7).
#[derive(Debug, Clone)]
pub struct Demux {
    peer: Peer,
    protocol: Protocol,
    text_bytes: u64,
    idle_frames: u32,
}

impl Demux {
    /// For the frames that `peer` writes.
    #[must_use]
    pub fn new(peer: Peer, protocol: Protocol) -> Self {
        Self {
            peer,
            protocol,
            text_bytes: 0,
            idle_frames: 0,
        }
    }

    /// Reads the next header. After it `len` bytes of payload come: of a data frame to be passed on in pieces
    /// as they arrive, of a message at most [`limits::MESSAGE_TEXT`] bytes, to be collected for
    /// [`Message::decode`].
    ///
    /// # Errors
    /// Incomplete, with nothing changed; a [`Violation`] for what this peer must not send.
    pub fn header(&mut self, cursor: &mut Cursor<'_>) -> Result<FrameHeader, DecodeError> {
        let mut probe = cursor.clone();
        let header = FrameHeader::decode(&mut probe)?;
        if header.tag == Tag::DATA && header.len > 0 {
            self.idle_frames = 0;
        } else {
            self.check_message(header)?;
            self.check_flood(header)?;
        }
        *cursor = probe;
        Ok(header)
    }

    fn check_message(&self, header: FrameHeader) -> Result<(), Violation> {
        let Peer {
            is_server,
            is_sender,
        } = self.peer;
        let FrameHeader { tag, len } = header;
        let typed = self.protocol.has_typed_messages();
        let (legal, length_fits) = match tag {
            Tag::DATA => (true, true),
            Tag::ERROR_XFER | Tag::INFO => (is_server, text_fits(len)),
            Tag::ERROR | Tag::WARNING => (is_server && typed, text_fits(len)),
            // Only a sender has something to report; rsync's client takes it from both and echoes it.
            Tag::IO_ERROR => (typed, len == 4),
            Tag::NOOP => (typed, len == 0),
            Tag::IO_TIMEOUT => (is_server && self.protocol.has_error_exit(), len == 4),
            Tag::ERROR_EXIT => (self.protocol.has_error_exit(), len == 0 || len == 4),
            Tag::SUCCESS => (!is_sender, len == 4),
            Tag::DELETED => (is_server && !is_sender, deleted_fits(len)),
            Tag::NO_SEND => (is_sender && typed, len == 4),
            _ => (false, true),
        };
        if !legal {
            return Err(Violation::UnexpectedMessage { tag: tag.0 });
        }
        if !length_fits {
            return Err(Violation::MessageLength { tag: tag.0, len });
        }
        Ok(())
    }

    fn check_flood(&mut self, header: FrameHeader) -> Result<(), Violation> {
        match header.tag {
            // Their readers know what was listed and asked for, which bounds them.
            Tag::SUCCESS | Tag::NO_SEND | Tag::DELETED => Ok(()),
            Tag::ERROR_XFER | Tag::INFO | Tag::ERROR | Tag::WARNING if header.len > 0 => {
                let text_bytes = self.text_bytes + u64::from(header.len);
                if text_bytes > limits::MESSAGE_TEXT_TOTAL {
                    let max = limits::MESSAGE_TEXT_TOTAL;
                    return Err(Violation::MessageFlood { max });
                }
                self.text_bytes = text_bytes;
                Ok(())
            }
            _ => {
                if self.idle_frames >= limits::IDLE_FRAMES {
                    let max = limits::IDLE_FRAMES;
                    return Err(Violation::IdleFrames { max });
                }
                self.idle_frames += 1;
                Ok(())
            }
        }
    }
}

/// The kind of a text message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextKind {
    /// An error of one file: the final exit code is at least 23.
    ErrorXfer,
    /// For the user, unless quiet.
    Info,
    /// An error; the exit code comes by other ways.
    Error,
    /// A warning.
    Warning,
}

/// A message, with its payload read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text for a person: one line, several, or a fragment of one. May be empty.
    Text {
        /// Its kind.
        kind: TextKind,
        /// The text, at most 5119 bytes.
        text: PeerText<&'a [u8]>,
    },
    /// To be or-ed into the I/O error.
    IoError(IoErrors),
    /// The time-out of the daemon in seconds, 1 to 86400; `None` is a value out of this range, to be ignored.
    IoTimeout(Option<u32>),
    /// Nothing.
    Noop,
    /// The peer ends the session with that exit code. `None` is the answer to an exit of ours; see
    /// [`exit_code_of_peer`] before a code becomes an exit code.
    ErrorExit(Option<i32>),
    /// The entry is in place at the receiving side.
    Success(Ndx),
    /// The receiving side deleted this.
    Deleted {
        /// The name, relative to the destination.
        name: PeerText<&'a [u8]>,
        /// It was a directory.
        is_dir: bool,
    },
    /// The entry was asked for and will not come.
    NoSend(Ndx),
}

impl<'a> Message<'a> {
    /// The message of a frame whose header passed [`Demux::header`], from its whole payload.
    ///
    /// # Errors
    /// A [`Violation`] for a payload that the tag does not allow, and for [`Tag::DATA`].
    pub fn decode(tag: Tag, payload: &'a [u8]) -> Result<Self, Violation> {
        let wrong_length = Violation::MessageLength {
            tag: tag.0,
            len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
        };
        let int = || -> Result<i32, Violation> {
            let bytes = <[u8; 4]>::try_from(payload).map_err(|_| wrong_length)?;
            Ok(i32::from_le_bytes(bytes))
        };
        let entry = || match int()? {
            ndx @ 0.. => Ok(Ndx(ndx)),
            ndx => Err(Violation::MessageIndex { tag: tag.0, ndx }),
        };
        let text = |kind| match payload.len() {
            ..=limits::MESSAGE_TEXT => Ok(Self::Text {
                kind,
                text: PeerText(payload),
            }),
            _ => Err(wrong_length),
        };
        match tag {
            Tag::ERROR_XFER => text(TextKind::ErrorXfer),
            Tag::INFO => text(TextKind::Info),
            Tag::ERROR => text(TextKind::Error),
            Tag::WARNING => text(TextKind::Warning),
            Tag::IO_ERROR => Ok(Self::IoError(IoErrors::from_wire(int()?))),
            Tag::IO_TIMEOUT => {
                Ok(Self::IoTimeout(u32::try_from(int()?).ok().filter(|secs| {
                    (1..=limits::IO_TIMEOUT_SECS).contains(secs)
                })))
            }
            Tag::NOOP if payload.is_empty() => Ok(Self::Noop),
            Tag::ERROR_EXIT if payload.is_empty() => Ok(Self::ErrorExit(None)),
            Tag::ERROR_EXIT => int().map(|code| Self::ErrorExit(Some(code))),
            Tag::SUCCESS => entry().map(Self::Success),
            Tag::NO_SEND => entry().map(Self::NoSend),
            Tag::DELETED => {
                let name = payload.strip_suffix(b"\0").unwrap_or(payload);
                if name.is_empty() || name.len() > limits::PATH {
                    return Err(wrong_length);
                }
                if name.contains(&0) {
                    return Err(Violation::NulInside);
                }
                Ok(Self::Deleted {
                    name: PeerText(name),
                    is_dir: name.len() < payload.len(),
                })
            }
            Tag::NOOP => Err(wrong_length),
            _ => Err(Violation::UnexpectedMessage { tag: tag.0 }),
        }
    }

    /// The tag under which this message travels.
    #[must_use]
    pub fn tag(&self) -> Tag {
        match self {
            Self::Text { kind, .. } => match kind {
                TextKind::ErrorXfer => Tag::ERROR_XFER,
                TextKind::Info => Tag::INFO,
                TextKind::Error => Tag::ERROR,
                TextKind::Warning => Tag::WARNING,
            },
            Self::IoError(_) => Tag::IO_ERROR,
            Self::IoTimeout(_) => Tag::IO_TIMEOUT,
            Self::Noop => Tag::NOOP,
            Self::ErrorExit(_) => Tag::ERROR_EXIT,
            Self::Success(_) => Tag::SUCCESS,
            Self::Deleted { .. } => Tag::DELETED,
            Self::NoSend(_) => Tag::NO_SEND,
        }
    }

    /// Appends the message as one frame; a long text as several.
    ///
    /// At protocol 29 an error or a warning travels as ERROR_XFER or INFO, all other texts as they are.
    ///
    /// # Errors
    /// [`EncodeError::NotAtProtocol`] for messages that the protocol lacks, [`EncodeError::TooLong`] for a
    /// deleted name; nothing is appended then.
    pub fn put(&self, out: &mut Vec<u8>, protocol: Protocol) -> Result<(), EncodeError> {
        let tag = self.tag();
        let exists = match tag {
            Tag::IO_ERROR | Tag::NO_SEND | Tag::NOOP => protocol.has_typed_messages(),
            Tag::ERROR_EXIT | Tag::IO_TIMEOUT => protocol.has_error_exit(),
            _ => true,
        };
        if !exists {
            return Err(EncodeError::NotAtProtocol {
                what: tag.name().unwrap_or("message"),
                protocol: protocol.number(),
            });
        }
        match *self {
            Self::Text { text, .. } => {
                let tag = match tag {
                    Tag::ERROR if !protocol.has_typed_messages() => Tag::ERROR_XFER,
                    Tag::WARNING if !protocol.has_typed_messages() => Tag::INFO,
                    tag => tag,
                };
                for chunk in text.0.chunks(limits::MESSAGE_TEXT) {
                    put_frame(out, tag, chunk);
                }
            }
            Self::IoError(errors) => put_frame(out, tag, &i32::from(errors.0).to_le_bytes()),
            Self::IoTimeout(secs) => put_frame(out, tag, &secs.unwrap_or(0).to_le_bytes()),
            Self::Noop | Self::ErrorExit(None) => put_frame(out, tag, &[]),
            Self::ErrorExit(Some(code)) => put_frame(out, tag, &code.to_le_bytes()),
            Self::Success(ndx) | Self::NoSend(ndx) => put_frame(out, tag, &ndx.0.to_le_bytes()),
            Self::Deleted { name, is_dir } => {
                let len = name.0.len();
                if len > limits::PATH {
                    return Err(EncodeError::TooLong {
                        what: "deleted name",
                        len,
                        max: limits::PATH,
                    });
                }
                let mut payload = name.0.to_vec();
                payload.extend(is_dir.then_some(0));
                put_frame(out, tag, &payload);
            }
        }
        Ok(())
    }
}

/// Bits of the I/O error of a side (01-session 12.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct IoErrors(pub u8);

impl IoErrors {
    /// Something could not be read or written: nothing is deleted while this is set.
    pub const GENERAL: Self = Self(1);
    /// A file of the list vanished.
    pub const VANISHED: Self = Self(2);
    /// The limit of deletions was reached.
    pub const DELETE_LIMIT: Self = Self(4);

    /// The bits of a number from the wire; unknown ones are dropped.
    #[must_use]
    pub fn from_wire(value: i32) -> Self {
        let [low, ..] = value.to_le_bytes();
        Self(low & 7)
    }

    /// Whether all bits of `other` are set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOrAssign for IoErrors {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The exit code with which a healthy side ends when the peer sends ERROR_EXIT: the peer's code if it is one of
/// 1 to 127, else 12. Never 0: an empty or zero code from a hostile peer must not look like success
/// (01-session 12.2).
#[must_use]
pub fn exit_code_of_peer(code: Option<i32>) -> u8 {
    code.and_then(|code| u8::try_from(code).ok())
        .filter(|code| (1..=127).contains(code))
        .unwrap_or(12)
}

fn put_frame(out: &mut Vec<u8>, tag: Tag, payload: &[u8]) {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&FrameHeader { tag, len }.to_bytes());
    out.extend_from_slice(payload);
}

fn text_fits(len: u32) -> bool {
    len as usize <= limits::MESSAGE_TEXT
}

fn deleted_fits(len: u32) -> bool {
    // One more for the NUL that marks a directory.
    (1..=limits::PATH + 1).contains(&(len as usize))
}

/// Added to every tag in the fourth byte of the header.
const TAG_BASE: u8 = 7;

#[cfg(test)]
mod tests;
