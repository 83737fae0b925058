//! The outgoing half of a session: stream bytes and messages in frames.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rsync_proto::Protocol;
use rsync_proto::mux::{FrameHeader, KEEP_ALIVE, Message, Tag};

use crate::error::Error;
use crate::io_clock::IoClock;
use crate::peer_end::Failed;

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
    /// How writing failed. What would be written behind it could not be understood.
    failed: Option<Failed>,
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
            failed: None,
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
    /// protocol 29 client is not framed, and old protocols lack some messages (01-session 9.6, 10.2). A text goes out
    /// without control characters: it may quote a name or what the peer itself has sent.
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

    /// To be called now and then in long work: what has waited for a while goes out, or else a sign of life as of
    /// [`WireOut::keep_alive`]. That nothing moves meanwhile is our doing, and no reason to give the peer up.
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
        if self.sign_due() {
            self.clock.touch();
            self.sign()?;
        }
        Ok(())
    }

    /// To be called now and then while waiting for the peer, with everything written: a peer that got nothing for half
    /// the I/O timeout gets an empty data frame (01-session 10.5). One that closed its direction gets it sooner: if it
    /// closed both, the write fails.
    ///
    /// # Errors
    /// When writing fails.
    pub fn keep_alive(&mut self) -> Result<(), Error> {
        match self.sign_due() {
            true => self.sign(),
            false => Ok(()),
        }
    }

    fn sign_due(&self) -> bool {
        let quiet = match self.clock.peer().is_set() {
            true => Some(LINGER),
            false => self.clock.timeout().map(|timeout| timeout / 2),
        };
        quiet.is_some_and(|quiet| self.last_write.elapsed() >= quiet)
    }

    /// Writes an empty data frame, where there are frames.
    fn sign(&mut self) -> Result<(), Error> {
        if self.framed.is_none() {
            return Ok(());
        }
        self.buf.extend_from_slice(&KEEP_ALIVE);
        self.write_out(false)
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
        self.write_out(true)
    }

    /// From here on no write waits for the peer; what it does not take at once is lost.
    pub(crate) fn wait_no_more(&self) {
        self.clock.give_up();
    }

    /// Writes the buffer. `progress`: it is more than a sign of life.
    fn write_out(&mut self, progress: bool) -> Result<(), Error> {
        if let Some(failed) = self.failed {
            return Err(self.clock.failed("write", failed.into()));
        }
        self.try_write_out(progress).map_err(|error| {
            self.failed = Some((&error).into());
            self.clock.failed("write", error)
        })?;
        self.last_write = Instant::now();
        self.sent += self.buf.len() as u64;
        self.buf.clear();
        Ok(())
    }

    fn try_write_out(&mut self, progress: bool) -> io::Result<()> {
        let mut written = 0;
        while written < self.buf.len() {
            match self.sink.write(&self.buf[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    written += n;
                    if progress {
                        self.clock.touch();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.sink.flush()
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::peer_end::End;

    /// Counts writes, and fails from one of them on.
    #[derive(Clone, Default)]
    struct Sink {
        written: Arc<Mutex<Vec<usize>>>,
        good: usize,
    }

    impl Write for Sink {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            let mut written = self.written.lock().expect("no panic");
            written.push(buf.len());
            match written.len() > self.good {
                true => Err(io::ErrorKind::TimedOut.into()),
                false => Ok(buf.len().min(3)),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn out(sink: &Sink, timeout: Option<Duration>) -> WireOut {
        let clock = Arc::new(IoClock::new(timeout));
        WireOut::new(Box::new(sink.clone()), clock)
    }

    /// A peer that does not read must not make us wait once more for each of our last words, nor read some bytes twice.
    #[test]
    fn what_failed_once_is_not_written_to_again() {
        let sink = Sink {
            good: 1,
            ..Sink::default()
        };
        let mut out = out(&sink, Some(Duration::from_secs(7)));
        out.start_framing(Protocol::V31);
        out.data(|buf| buf.extend_from_slice(b"data"))
            .expect("waits in the buffer");
        let timed_out = |result| matches!(result, Err(Error::Timeout { seconds: 7 }));
        assert!(timed_out(out.flush()));
        out.message(&Message::ErrorExit(Some(30)))
            .expect("waits in the buffer");
        assert!(timed_out(out.flush()) && timed_out(out.flush()));
        assert_eq!(*sink.written.lock().expect("no panic"), [8, 5]);
    }

    #[test]
    fn a_peer_that_ended_its_direction_gets_signs_of_life_at_once() {
        let sink = Sink {
            good: 2,
            ..Sink::default()
        };
        let mut out = out(&sink, None);
        out.start_framing(Protocol::V31);
        out.clock.peer().set(End::Closed(1));
        out.last_write = Instant::now().checked_sub(LINGER).expect("not at boot");
        out.tick().expect("written");
        assert_eq!(*sink.written.lock().expect("no panic"), [4, 1]);
        assert_eq!(out.sent(), KEEP_ALIVE.len() as u64);
    }

    /// The peer is not given up for what we do, but for what it does not do.
    #[test]
    fn work_counts_as_traffic_and_a_wait_does_not() {
        for protocol in [None, Some(Protocol::V31)] {
            let sink = Sink {
                good: usize::MAX,
                ..Sink::default()
            };
            let start = Instant::now();
            let mut out = out(&sink, Some(Duration::from_secs(1)));
            out.framed = protocol;
            let long_ago = Instant::now().checked_sub(LINGER * 10);
            while out.clock.idle() < LINGER {
                std::thread::yield_now();
            }
            out.last_write = long_ago.expect("not at boot");
            out.keep_alive().expect("written");
            assert!(out.clock.idle() >= LINGER);
            out.last_write = long_ago.expect("not at boot");
            out.tick().expect("written");
            let idle = out.clock.idle();
            assert!(idle + LINGER <= start.elapsed(), "{protocol:?}");
        }
    }
}
