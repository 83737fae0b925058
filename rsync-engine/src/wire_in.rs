//! The incoming half of a session: frames taken apart, messages handed on, records decoded.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rsync_proto::mux::{Demux, FrameHeader, Message, Peer, Tag, exit_code_of_peer};
use rsync_proto::wire::Cursor;
use rsync_proto::{DecodeError, Protocol, Violation};

use crate::budget::Budget;
use crate::error::Error;
use crate::inbox::{Inbox, Taken};
use crate::io_clock::IoClock;

/// One record at most; the largest of this protocol are far below (05-security 18).
const RECORD_MAX: usize = 1 << 20;
/// What one read from the connection takes at most.
const CHUNK: usize = 64 << 10;
/// What receives the messages that stand between data frames.
pub(crate) trait Messages: Send {
    /// One message that this peer may send. Returning an error ends the session.
    ///
    /// # Errors
    /// When the message tells that the peer is dying.
    fn message(&mut self, message: Message<'_>) -> Result<(), Error>;
}

enum Source {
    Direct(Box<dyn Read + Send>),
    Queued(Inbox),
}

enum Mode {
    Raw,
    /// Framed, with this many payload bytes of the current data frame still to come.
    Framed(Demux, usize),
}

/// Before the roles start there is nobody to tell of messages; but a peer that fails as early as that says so.
struct Unheard;

impl Messages for Unheard {
    fn message(&mut self, message: Message<'_>) -> Result<(), Error> {
        match message {
            Message::ErrorExit(code) => Err(Error::Remote {
                code: exit_code_of_peer(code),
            }),
            _ => Ok(()),
        }
    }
}

/// The only reader of a connection.
///
/// Records are decoded straight from the chunk that came from the connection; only a record that straddles
/// two chunks or frames is copied together first.
pub struct WireIn {
    source: Source,
    /// Raw bytes from the connection; those at `pos..end` are unread.
    chunk: Vec<u8>,
    pos: usize,
    end: usize,
    /// Stream bytes of a record that did not end with its run.
    spill: Vec<u8>,
    mode: Mode,
    message: Vec<u8>,
    received: u64,
    /// Stream bytes that were taken.
    used: u64,
    messages: Box<dyn Messages>,
    clock: Arc<IoClock>,
}

impl fmt::Debug for WireIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireIn")
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl WireIn {
    /// A raw stream that reads `source` itself, behind `unread` bytes that came with the handshake.
    #[must_use]
    pub fn new(source: Box<dyn Read + Send>, unread: Vec<u8>, clock: Arc<IoClock>) -> Self {
        Self {
            source: Source::Direct(source),
            received: unread.len() as u64,
            used: 0,
            end: unread.len(),
            chunk: unread,
            pos: 0,
            spill: Vec::new(),
            mode: Mode::Raw,
            message: Vec::new(),
            messages: Box::new(Unheard),
            clock,
        }
    }

    /// From here on a thread of its own reads the connection, so that waiting for the peer to read never
    /// keeps the peer waiting for us. `budget` counts what it has read ahead.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn read_ahead(&mut self, name: &str, budget: &Budget) -> Result<(), Error> {
        if let Source::Direct(source) = &mut self.source {
            let source = std::mem::replace(source, Box::new(io::empty()));
            let inbox = Inbox::start(source, name, self.received, Arc::clone(&self.clock), budget)
                .map_err(|source| Error::Connection { op: "read", source })?;
            self.source = Source::Queued(inbox);
        }
        Ok(())
    }

    /// Shows `step` what has arrived and was not used yet, after waiting for at least one more byte; it passes
    /// what it uses. For the set-up, before anything is framed; [`WireIn::end_steps`] ends it.
    ///
    /// # Errors
    /// The end of the connection.
    pub fn step<T>(&mut self, step: impl FnOnce(&mut Cursor<'_>) -> T) -> Result<T, Error> {
        let len = self.run()?;
        self.spill
            .extend_from_slice(&self.chunk[self.pos..self.pos + len]);
        self.consume(len);
        let mut cursor = Cursor::new(&self.spill);
        let value = step(&mut cursor);
        let used = cursor.position();
        self.spill.drain(..used);
        Ok(value)
    }

    /// Gives back what [`WireIn::step`] showed and nobody used.
    pub fn end_steps(&mut self) {
        if !self.spill.is_empty() {
            let mut chunk = std::mem::take(&mut self.spill);
            chunk.extend_from_slice(&self.chunk[self.pos..self.end]);
            self.pos = 0;
            self.end = chunk.len();
            self.chunk = chunk;
            self.advance(0);
        }
    }

    /// From here on every byte lies in a frame that `peer` writes (01-session 9.6).
    pub fn start_framing(&mut self, peer: Peer, protocol: Protocol) {
        self.mode = Mode::Framed(Demux::new(peer, protocol), 0);
    }

    /// Replaces what receives the messages.
    pub(crate) fn set_messages(&mut self, messages: Box<dyn Messages>) {
        self.messages = messages;
    }

    /// Bytes that came from the peer, frame headers included.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Stream bytes taken so far, without frame headers and messages.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Whether something can be read without waiting.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.pos < self.end || matches!(&self.source, Source::Queued(inbox) if inbox.ready())
    }

    /// Waits until something can be read.
    ///
    /// # Errors
    /// The end of the connection.
    pub fn fill(&mut self) -> Result<(), Error> {
        self.need_chunk()
    }

    /// Waits up to `wait` until something can be read; only with [`WireIn::read_ahead`].
    ///
    /// # Errors
    /// When the connection failed.
    pub fn wait(&mut self, wait: Option<Duration>) -> Result<bool, Error> {
        if self.pos < self.end {
            return Ok(true);
        }
        let Source::Queued(inbox) = &self.source else {
            return Ok(true);
        };
        match inbox.take(wait) {
            Ok(Taken::Chunk(chunk)) => {
                self.received += chunk.len() as u64;
                self.end = chunk.len();
                self.chunk = chunk;
                self.pos = 0;
                self.clock.touch();
                Ok(true)
            }
            Ok(Taken::End) => Err(Error::Disconnected {
                received: self.received,
            }),
            Ok(Taken::Nothing) => Ok(false),
            Err(source) => Err(self.clock.failed("read", source)),
        }
    }

    /// Decodes one record, waiting for as many bytes as it needs. `decode` is called again from the start
    /// when bytes were missing, so it changes its state only on success.
    ///
    /// # Errors
    /// What `decode` found wrong, or the end of the connection.
    pub fn record<T>(
        &mut self,
        mut decode: impl FnMut(&mut Cursor<'_>) -> Result<T, DecodeError>,
    ) -> Result<T, Error> {
        loop {
            if let Some(value) = self.try_record(&mut decode)? {
                return Ok(value);
            }
            self.need_chunk()?;
        }
    }

    /// As [`WireIn::record`], but gives nothing instead of waiting for the connection; what has come is kept.
    ///
    /// # Errors
    /// As of [`WireIn::record`].
    pub fn try_record<T>(
        &mut self,
        mut decode: impl FnMut(&mut Cursor<'_>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, Error> {
        loop {
            if !self.ready() {
                return Ok(None);
            }
            let len = self.try_run()?;
            // Not before: a new chunk may have come.
            let start = self.pos;
            if len == 0 {
                continue;
            }
            if self.spill.is_empty() {
                let mut cursor = Cursor::new(&self.chunk[start..start + len]);
                match decode(&mut cursor) {
                    Ok(value) => {
                        let used = cursor.position();
                        self.consume(used);
                        return Ok(Some(value));
                    }
                    Err(DecodeError::Incomplete) => {
                        self.spill
                            .extend_from_slice(&self.chunk[start..start + len]);
                        self.consume(len);
                    }
                    Err(error) => return Err(error.into()),
                }
                continue;
            }
            let before = self.spill.len();
            self.spill
                .extend_from_slice(&self.chunk[start..start + len]);
            let mut cursor = Cursor::new(&self.spill);
            match decode(&mut cursor) {
                Ok(value) => {
                    // Whatever was incomplete without this run ends inside it.
                    let used = cursor.position().saturating_sub(before);
                    self.spill.clear();
                    self.consume(used);
                    return Ok(Some(value));
                }
                Err(DecodeError::Incomplete) if self.spill.len() > RECORD_MAX => {
                    return Err(Error::Limit {
                        what: "one protocol record",
                        limit: RECORD_MAX as u64,
                    });
                }
                Err(DecodeError::Incomplete) => self.consume(len),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next stream bytes, at least one and at most `max`, without copying.
    ///
    /// # Errors
    /// The end of the connection.
    pub fn bulk(&mut self, max: usize) -> Result<&[u8], Error> {
        let len = self.run()?.min(max);
        let start = self.pos;
        self.consume(len);
        Ok(&self.chunk[start..start + len])
    }

    /// Reads on, handling messages, until the peer closes; stream data is an error.
    ///
    /// # Errors
    /// [`Error::Protocol`] for stream data; a failed read counts as the end.
    pub fn expect_end(&mut self) -> Result<(), Error> {
        match self.run() {
            Ok(_) => Err(Error::Protocol(Violation::DataAfterEnd)),
            Err(Error::Disconnected { .. } | Error::Connection { .. } | Error::Timeout { .. }) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Reads and handles messages until the connection ends, ignoring stream data: what to do after a write
    /// failed, since the peer's last words may still be on their way (01-session 12.4).
    pub fn drain(&mut self) -> Result<(), Error> {
        loop {
            match self.run() {
                Ok(len) => self.consume(len),
                Err(
                    Error::Disconnected { .. } | Error::Connection { .. } | Error::Timeout { .. },
                ) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what comes until `deadline`, handling messages and ignoring stream data, so that a failing session
    /// hears the peer's last words and does not reset its own. Needs [`WireIn::read_ahead`].
    ///
    /// # Errors
    /// What the messages say. The end of the connection and of the time is none.
    pub fn last_words(&mut self, deadline: Instant) -> Result<(), Error> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !matches!(self.wait(Some(left)), Ok(true)) {
                return Ok(());
            }
            match self.try_run() {
                Ok(len) => self.consume(len),
                Err(error @ Error::Remote { .. }) => return Err(error),
                // Out of step: what follows can only be thrown away.
                Err(_) => self.discard(),
            }
        }
    }

    fn discard(&mut self) {
        self.mode = Mode::Raw;
        self.pos = self.end;
    }

    fn consume(&mut self, n: usize) {
        self.advance(n);
        self.used += n as u64;
        if let Mode::Framed(_, left) = &mut self.mode {
            *left -= n;
        }
    }

    /// Passes bytes of the connection.
    fn advance(&mut self, n: usize) {
        self.pos += n;
        let unread = (self.end - self.pos) as u64;
        self.clock.peer().set_used(self.received - unread);
    }

    /// Makes stream bytes available at `pos` and says how many; handles the messages before them.
    fn run(&mut self) -> Result<usize, Error> {
        loop {
            match self.try_run()? {
                0 => {}
                len => return Ok(len),
            }
        }
    }

    /// As [`WireIn::run`]; 0 after one frame header or message.
    fn try_run(&mut self) -> Result<usize, Error> {
        self.need_chunk()?;
        match &self.mode {
            Mode::Raw => Ok(self.end - self.pos),
            Mode::Framed(_, 0) => self.next_frame().map(|()| 0),
            &Mode::Framed(_, left) => Ok(left.min(self.end - self.pos)),
        }
    }

    /// Reads a frame header; a message is read whole and handed on.
    fn next_frame(&mut self) -> Result<(), Error> {
        let mut raw = [0; FrameHeader::WIRE_LEN];
        self.read_exact(&mut raw)?;
        let Mode::Framed(demux, left) = &mut self.mode else {
            return Ok(());
        };
        let header = demux.header(&mut Cursor::new(&raw))?;
        let len = header.len as usize;
        if header.tag == Tag::DATA {
            *left = len;
            return Ok(());
        }
        let mut payload = std::mem::take(&mut self.message);
        payload.resize(len, 0);
        self.read_exact(&mut payload)?;
        let handled = Message::decode(header.tag, &payload)
            .map_err(Error::Protocol)
            .and_then(|message| self.messages.message(message));
        self.message = payload;
        handled
    }

    fn read_exact(&mut self, mut out: &mut [u8]) -> Result<(), Error> {
        while !out.is_empty() {
            self.need_chunk()?;
            let n = out.len().min(self.end - self.pos);
            let (head, rest) = out.split_at_mut(n);
            head.copy_from_slice(&self.chunk[self.pos..self.pos + n]);
            self.advance(n);
            out = rest;
        }
        Ok(())
    }

    fn need_chunk(&mut self) -> Result<(), Error> {
        while self.pos == self.end {
            match &mut self.source {
                Source::Queued(_) => {
                    self.wait(None)?;
                }
                Source::Direct(source) => {
                    if self.chunk.len() < CHUNK {
                        self.chunk.resize(CHUNK, 0);
                    }
                    match source.read(&mut self.chunk) {
                        Ok(0) => {
                            return Err(Error::Disconnected {
                                received: self.received,
                            });
                        }
                        Ok(n) => {
                            self.pos = 0;
                            self.end = n;
                            self.received += n as u64;
                            self.clock.touch();
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(self.clock.failed("read", error)),
                    }
                }
            }
        }
        Ok(())
    }
}
