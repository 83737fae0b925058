//! The outgoing half of a session: stream bytes and messages in frames.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rsync_proto::Protocol;
use rsync_proto::mux::{FrameHeader, KEEP_ALIVE, Message, Tag};

use crate::error::Error;
use crate::io_clock::IoClock;

/// Bytes collected before they are written. One write of this size costs little more than one of 8 KiB.
const FLUSH_AT: usize = 64 << 10;
/// Payload of one data frame at most; the header has 24 bits, old peers like less (01-session 9.7).
const FRAME_MAX: usize = 32 << 10;
/// How long bytes wait for more while a role works on.
const LINGER: Duration = Duration::from_millis(50);

/// The only writer of a connection. Every role that sends owns it alone: sharing it behind a lock would let a
/// reader wait for a writer that waits for the socket.
pub struct WireOut {
    sink: Box<dyn Write + Send>,
    buf: Vec<u8>,
    /// Where the header of the open data frame stands in `buf`.
    frame: Option<usize>,
    /// The protocol of the frames; unframed without.
    framed: Option<Protocol>,
    sent: u64,
    /// Stream bytes appended.
    put: u64,
    last_write: Instant,
    clock: Arc<IoClock>,
}

impl fmt::Debug for WireOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireOut")
            .field("framed", &self.framed)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

impl WireOut {
    /// An unframed stream over `sink`.
    #[must_use]
    pub fn new(sink: Box<dyn Write + Send>, clock: Arc<IoClock>) -> Self {
        Self {
            sink,
            buf: Vec::with_capacity(FLUSH_AT + FRAME_MAX),
            frame: None,
            framed: None,
            sent: 0,
            put: 0,
            last_write: Instant::now(),
            clock,
        }
    }

    /// From here on every byte is framed (01-session 9.6).
    pub fn start_framing(&mut self, protocol: Protocol) {
        self.framed = Some(protocol);
    }

    /// Bytes written or waiting to be written, frame headers included.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent + self.buf.len() as u64
    }

    /// Stream bytes appended so far, without frame headers and messages.
    pub(crate) fn put(&self) -> u64 {
        self.put
    }

    /// Whether bytes wait for [`WireOut::flush`].
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buf.len()
    }

    /// Appends to the stream whatever `write` appends to its buffer: at most 64 KiB a call.
    ///
    /// # Errors
    /// When the buffer was full and writing it failed.
    pub fn data(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        self.open_frame();
        let before = self.buf.len();
        write(&mut self.buf);
        self.put += (self.buf.len() - before) as u64;
        self.after_append()
    }

    /// Appends stream bytes read by `read` straight into the output buffer, behind room for a head of
    /// `head_len` bytes. `read` gets at most `max` bytes of room and says how many it filled; `head` then
    /// writes the head. Nothing is appended when `read` fills nothing.
    ///
    /// # Errors
    /// `read`'s error as `Ok(Err(..))`, a failed write to the peer as `Err`.
    pub fn data_from<E>(
        &mut self,
        max: usize,
        head: impl FnOnce(usize) -> [u8; 4],
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Result<usize, E>, Error> {
        self.open_frame();
        let start = self.buf.len();
        self.buf.resize(start + 4 + max, 0);
        let room = &mut self.buf[start + 4..];
        let filled = match read(room) {
            Ok(filled) => filled.min(max),
            Err(error) => {
                self.buf.truncate(start);
                return Ok(Err(error));
            }
        };
        if filled == 0 {
            self.buf.truncate(start);
            return Ok(Ok(0));
        }
        self.buf.truncate(start + 4 + filled);
        self.buf[start..start + 4].copy_from_slice(&head(filled));
        self.put += 4 + filled as u64;
        self.after_append()?;
        Ok(Ok(filled))
    }

    /// Sends a message between data frames. Where the session has no way to say it, nothing happens: a
    /// protocol 29 client is not framed, and old protocols lack some messages (01-session 9.6, 10.2).
    ///
    /// # Errors
    /// When the buffer was full and writing it failed.
    pub fn message(&mut self, message: &Message<'_>) -> Result<(), Error> {
        let Some(protocol) = self.framed else {
            return Ok(());
        };
        self.close_frame();
        if message.put(&mut self.buf, protocol).is_ok() && self.buf.len() >= FLUSH_AT {
            return self.flush();
        }
        Ok(())
    }

    /// To be called now and then in long work: what has waited for a while goes out, and a peer that heard nothing
    /// for half the I/O timeout gets an empty data frame (01-session 10.5).
    ///
    /// # Errors
    /// When writing fails.
    pub fn tick(&mut self) -> Result<(), Error> {
        if !self.buf.is_empty() {
            return if self.last_write.elapsed() >= LINGER {
                self.flush()
            } else {
                Ok(())
            };
        }
        let due = self
            .clock
            .timeout()
            .is_some_and(|timeout| self.last_write.elapsed() * 2 >= timeout);
        if self.framed.is_some() && due {
            self.last_write = Instant::now();
            self.sink
                .write_all(&KEEP_ALIVE)
                .and_then(|()| self.sink.flush())
                .map_err(|e| self.failed(e))?;
            self.sent += KEEP_ALIVE.len() as u64;
        }
        Ok(())
    }

    /// Writes everything collected so far. Called before a role waits for the peer.
    ///
    /// # Errors
    /// When writing fails or times out.
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.buf.is_empty() {
            return Ok(());
        }
        self.close_frame();
        let mut written = 0;
        while written < self.buf.len() {
            match self.sink.write(&self.buf[written..]) {
                Ok(0) => return Err(self.failed(io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    written += n;
                    self.clock.touch();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        self.sink.flush().map_err(|e| self.failed(e))?;
        self.last_write = Instant::now();
        self.sent += self.buf.len() as u64;
        self.buf.clear();
        Ok(())
    }

    fn failed(&self, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Error::Timeout {
                seconds: self.clock.timeout().map_or(0, |t| t.as_secs()),
            },
            _ => Error::Connection {
                op: "write",
                source,
            },
        }
    }

    fn open_frame(&mut self) {
        if self.framed.is_some() && self.frame.is_none() {
            self.frame = Some(self.buf.len());
            self.buf.extend_from_slice(&[0; 4]);
        }
    }

    fn after_append(&mut self) -> Result<(), Error> {
        if self
            .frame
            .is_some_and(|start| self.buf.len() - start >= FRAME_MAX)
        {
            self.close_frame();
        }
        if self.buf.len() >= FLUSH_AT {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn close_frame(&mut self) {
        let Some(start) = self.frame.take() else {
            return;
        };
        let payload = self.buf.len() - start - 4;
        if payload == 0 {
            self.buf.truncate(start);
            return;
        }
        let len = u32::try_from(payload).unwrap_or(u32::MAX);
        self.buf[start..start + 4].copy_from_slice(
            &FrameHeader {
                tag: Tag::DATA,
                len,
            }
            .to_bytes(),
        );
    }
}
