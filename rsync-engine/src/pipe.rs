//! An in-memory byte pipe: what connects the roles of a local copy.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes in flight at most; above it the writer waits.
const CAPACITY: usize = 1 << 20;

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that were read already.
    head: usize,
    bytes: usize,
    reader_gone: bool,
    writer_gone: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reading end. Dropping it makes writes fail with a broken pipe.
#[derive(Debug)]
pub struct PipeReader(Arc<Shared>);

/// The writing end. Dropping it is the end of file for the reader.
#[derive(Debug)]
pub struct PipeWriter(Arc<Shared>);

/// Closes both ends from outside; what was written stays readable.
#[derive(Debug, Clone)]
pub struct PipeCloser(Arc<Shared>);

/// A pipe that holds at most 1 MiB.
#[must_use]
pub fn pipe() -> (PipeReader, PipeWriter, PipeCloser) {
    let shared = Arc::new(Shared::default());
    (
        PipeReader(Arc::clone(&shared)),
        PipeWriter(Arc::clone(&shared)),
        PipeCloser(shared),
    )
}

impl PipeCloser {
    /// Ends both directions of waiting.
    pub fn close(&self) {
        let mut state = self.0.lock();
        state.reader_gone = true;
        state.writer_gone = true;
        self.0.changed.notify_all();
    }
}

impl Read for PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let mut state = self.0.lock();
        while state.bytes == 0 {
            if state.writer_gone {
                return Ok(0);
            }
            state = self
                .0
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let mut done = 0;
        while done < buf.len() {
            let head = state.head;
            let Some(chunk) = state.chunks.front() else {
                break;
            };
            let n = (chunk.len() - head).min(buf.len() - done);
            buf[done..done + n].copy_from_slice(&chunk[head..head + n]);
            done += n;
            if head + n == chunk.len() {
                state.chunks.pop_front();
                state.head = 0;
            } else {
                state.head = head + n;
            }
        }
        // Waking the writer only when half is free saves a switch for each small read.
        let was_full = state.bytes >= CAPACITY / 2;
        state.bytes -= done;
        if was_full && state.bytes < CAPACITY / 2 {
            self.0.changed.notify_all();
        }
        Ok(done)
    }
}

impl Write for PipeWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let mut state = self.0.lock();
        while state.bytes >= CAPACITY && !state.reader_gone {
            state = self
                .0
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.reader_gone {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let was_empty = state.bytes == 0;
        state.bytes += buf.len();
        state.chunks.push_back(buf.to_vec());
        if was_empty {
            self.0.changed.notify_all();
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.0.lock().reader_gone = true;
        self.0.changed.notify_all();
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.0.lock().writer_gone = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_in_order_across_a_full_pipe() {
        let (mut reader, mut writer, _closer) = pipe();
        let sent: Vec<u8> = (0..5 * CAPACITY as u32 / 4)
            .flat_map(u32::to_le_bytes)
            .collect();
        let copy = sent.clone();
        let thread = std::thread::Builder::new().spawn(move || {
            for piece in copy.chunks(7919) {
                writer.write_all(piece).expect("reader lives");
            }
        });
        let mut got = Vec::new();
        reader.read_to_end(&mut got).expect("pipe read");
        assert!(got == sent);
        thread.expect("spawned").join().expect("writer ends");
    }

    #[test]
    fn closing_wakes_both_ends() {
        let (reader, mut writer, closer) = pipe();
        let blocked = std::thread::Builder::new().spawn(move || {
            let full = vec![0; CAPACITY];
            writer
                .write_all(&full)
                .and_then(|()| writer.write_all(&full))
        });
        closer.close();
        let error = blocked
            .expect("spawned")
            .join()
            .expect("no panic")
            .expect_err("closed");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        drop(reader);
    }
}
