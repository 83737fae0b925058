//! The queue between a sender and the thread that reads its connection.
//!
//! A receiving peer may block while it writes requests until we read them, and we may block while we write
//! data until it reads: somebody must always read (03-transfer 1.9). On the sending side that is a thread of
//! its own which drains the connection into this queue.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::io_clock::IoClock;
use crate::peer_end::End;

/// Bytes queued at most. Requests and block sums of a whole terabyte file are a fraction of it; a peer that
/// sends more without reading its answers waits.
const CAPACITY: usize = 64 << 20;
/// What one read takes at most.
const CHUNK: usize = 64 << 10;

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Vec<u8>>,
    bytes: usize,
    end: Option<Result<(), io::Error>>,
    taker_gone: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The taking end. Dropping it lets the reading thread end at its next read.
#[derive(Debug)]
pub(crate) struct Inbox(Arc<Shared>);

/// What [`Inbox::take`] found.
#[derive(Debug)]
pub(crate) enum Taken {
    Chunk(Vec<u8>),
    End,
    Nothing,
}

impl Inbox {
    /// Starts a thread that drains `source` and returns the queue it fills. Of the stream `received` bytes came before;
    /// its end is noted in `clock`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(
        source: Box<dyn Read + Send>,
        name: &str,
        received: u64,
        clock: Arc<IoClock>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let filler = Arc::clone(&shared);
        std::thread::Builder::new()
            .name(format!("{name} in"))
            .stack_size(256 << 10)
            .spawn(move || fill(source, &filler, received, &clock))?;
        Ok(Self(shared))
    }

    /// Takes the oldest chunk; waits for one up to `wait`, or for ever with `None`.
    pub(crate) fn take(&self, wait: Option<Duration>) -> io::Result<Taken> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(chunk) = state.chunks.pop_front() {
                let was_full = state.bytes >= CAPACITY;
                state.bytes -= chunk.len();
                if was_full {
                    self.0.changed.notify_all();
                }
                return Ok(Taken::Chunk(chunk));
            }
            match &mut state.end {
                None => {}
                Some(end) => return std::mem::replace(end, Ok(())).map(|()| Taken::End),
            }
            state = match wait {
                None => self
                    .0
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(wait) => {
                    let (state, timeout) = self
                        .0
                        .changed
                        .wait_timeout(state, wait)
                        .unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() && state.chunks.is_empty() && state.end.is_none() {
                        return Ok(Taken::Nothing);
                    }
                    state
                }
            };
        }
    }

    /// Whether a chunk or the end waits to be taken.
    pub(crate) fn ready(&self) -> bool {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        !state.chunks.is_empty() || state.end.is_some()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.0
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .taker_gone = true;
        self.0.changed.notify_all();
    }
}

fn fill(mut source: Box<dyn Read + Send>, shared: &Shared, mut received: u64, clock: &IoClock) {
    let mut buf = vec![0; CHUNK];
    loop {
        let got = match source.read(&mut buf) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            got => got,
        };
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        match got {
            Ok(0) => {
                clock.peer().set(End::Closed(received));
                state.end = Some(Ok(()));
            }
            Ok(n) => {
                received += n as u64;
                state.bytes += n;
                state.chunks.push_back(buf[..n].to_vec());
            }
            Err(error) => {
                clock.peer().set(End::Failed((&error).into()));
                state.end = Some(Err(error));
            }
        }
        shared.changed.notify_all();
        while state.bytes >= CAPACITY && !state.taker_gone {
            state = shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.taker_gone || state.end.is_some() {
            return;
        }
    }
}
