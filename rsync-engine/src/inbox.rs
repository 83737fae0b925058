//! The queue between a sender and the thread that reads its connection.
//!
//! A receiving peer may block while it writes requests until we read them, and we may block while we write
//! data until it reads: somebody must always read (03-transfer 1.9). On the sending side that is a thread of
//! its own which drains the connection into this queue.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::budget::{Budget, Charge};
use crate::io_clock::IoClock;
use crate::peer_end::End;

/// Bytes queued at most, and never more than the session's budget allows; a peer that sends more without reading its
/// answers waits. Requests of a hundred thousand files fit. A sender of stock rsync reads less than a hundredth of it
/// ahead, so that no receiver needs more.
const CAPACITY: usize = 8 << 20;
/// What one read takes at most.
const CHUNK: usize = 64 << 10;

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Vec<u8>>,
    /// What the chunks take.
    bytes: usize,
    charge: Charge,
    end: Option<Result<(), io::Error>>,
    taker_gone: bool,
    /// The reading thread waits for room.
    is_full: bool,
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
    /// Starts a thread that drains `source` and returns the queue it fills, whose memory `budget` counts. Of the stream
    /// `received` bytes came before; its end is noted in `clock`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(
        source: Box<dyn Read + Send>,
        name: &str,
        received: u64,
        clock: Arc<IoClock>,
        budget: &Budget,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                charge: budget.charge("queued requests"),
                ..State::default()
            }),
            changed: Condvar::new(),
        });
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
                state.bytes -= chunk.capacity();
                let held = chunk.capacity();
                state.charge.sub(held);
                if std::mem::take(&mut state.is_full) {
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
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.taker_gone = true;
        state.chunks.clear();
        state.charge = Charge::default();
        drop(state);
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
                while !state.taker_gone && !state.add(&buf[..n]) {
                    state.is_full = true;
                    state = shared
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
            Err(error) => {
                clock.peer().set(End::Failed((&error).into()));
                state.end = Some(Err(error));
            }
        }
        shared.changed.notify_all();
        if state.taker_gone || state.end.is_some() {
            return;
        }
    }
}

impl State {
    /// Queues bytes if there is room. Few of them go to the last chunk, so that a peer that sends them one by one fills
    /// no more memory than others.
    fn add(&mut self, bytes: &[u8]) -> bool {
        let last = self.chunks.back_mut();
        if let Some(last) = last.filter(|last| last.capacity() - last.len() >= bytes.len()) {
            last.extend_from_slice(bytes);
            return true;
        }
        // One chunk is always allowed. One that waits behind another is the first of many.
        let only = self.chunks.is_empty();
        let size = if only { bytes.len() } else { CHUNK };
        let charged = self.bytes + size <= CAPACITY && self.charge.add(size).is_ok();
        if !charged && !only {
            return false;
        }
        let mut chunk = Vec::with_capacity(size);
        chunk.extend_from_slice(bytes);
        self.bytes += chunk.capacity();
        self.chunks.push_back(chunk);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time.
    struct Drops(usize);

    impl Read for Drops {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Ok(0);
            }
            self.0 -= 1;
            buf[0] = self.0 as u8;
            Ok(1)
        }
    }

    fn ended(inbox: &Inbox) -> bool {
        inbox.0.state.lock().expect("no panic").end.is_some()
    }

    fn wait_for(condition: impl Fn() -> bool) {
        for _ in 0..10_000 {
            if condition() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("it does not come");
    }

    fn start(source: impl Read + Send + 'static, budget: &Budget) -> Inbox {
        let clock = Arc::new(IoClock::new(None));
        Inbox::start(Box::new(source), "test", 0, clock, budget).expect("a thread")
    }

    #[test]
    fn bytes_that_come_one_by_one_take_no_more_than_others() {
        let budget = Budget::unlimited().session(0);
        let inbox = start(Drops(100_000), &budget);
        wait_for(|| ended(&inbox));
        assert!(budget.used() < 300_000, "{}", budget.used());
        let mut bytes = Vec::new();
        while let Taken::Chunk(chunk) = inbox.take(None).expect("no error") {
            bytes.extend(chunk);
        }
        let expected: Vec<u8> = (0..100_000).rev().map(|n| n as u8).collect();
        assert!(bytes == expected);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn above_the_budget_the_peer_waits() {
        for limit in [1, 100_000, 1 << 20] {
            let budget = Budget::unlimited().session(limit);
            let source = io::repeat(7).take(4 << 20);
            let inbox = start(source, &budget);
            wait_for(|| inbox.0.state.lock().expect("no panic").is_full);
            let mut bytes = 0;
            while let Taken::Chunk(chunk) = inbox.take(None).expect("no error") {
                bytes += chunk.len();
            }
            assert_eq!((bytes, budget.used()), (4 << 20, 0));
        }
    }

    #[test]
    fn a_queue_that_nobody_takes_from_any_more_holds_nothing() {
        let budget = Budget::unlimited().session(0);
        let inbox = start(io::repeat(7), &budget);
        wait_for(|| inbox.0.state.lock().expect("no panic").is_full);
        assert_eq!(budget.used(), CAPACITY as u64);
        drop(inbox);
        assert_eq!(budget.used(), 0);
    }
}
