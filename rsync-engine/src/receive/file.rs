//! Receives the data of one file into a temporary beside it and puts it in place (03-transfer 5, 7).

use rsync_delta::{BlockRuns, Digest, FileHasher, Layout, PatchError, Run};
use rsync_proto::sums::SumHead;
use rsync_proto::token::Token;
use rsync_proto::{PeerText, Violation};

use crate::error::Error;
use crate::event::{Cost, Event, Progress};
use crate::fs::{
    Atime, Attrs, Dir, Errno, Name, ReadFile, Stat, Temp, TempPlace, Timestamp, WriteBuffer,
};
use crate::list::FileEntry;

use super::Failed;
use super::channel::{Basis, Request};
use super::generator::{Teller, item_of};
use super::receiver::Receiver;

/// By how much a file may be longer than twice its listed size: it may have grown since it was listed, but a sender
/// without an end fills the disk.
const GROWTH: u64 = 1 << 30;
/// Bytes between two looks at the cancel flag and two reports of progress.
const STEP: u64 = 1 << 20;

/// What became of a file's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// Verified and under its name.
    InPlace,
    /// The checksum of the whole file differs; what was there is untouched.
    Damaged,
    /// It could not be written; reported.
    Failed,
}

/// A file being written.
struct Output<'p> {
    dir: Dir,
    name: Name<'p>,
    before: Option<Stat>,
    basis: Option<ReadFile>,
    temp: Temp,
}

/// Where the data of a file came from, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Moved {
    literal: u64,
    matched: u64,
}

impl Moved {
    fn total(self) -> u64 {
        self.literal.saturating_add(self.matched)
    }

    /// Whether a file listed with `size` bytes may have `more` bytes behind these.
    fn may_grow_by(self, more: u32, size: u64) -> bool {
        self.total().saturating_add(more.into()) <= size.saturating_mul(2).saturating_add(GROWTH)
    }
}

/// Which time a file gets with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    Listed,
    /// Not the listed one: the content is not that of the listed file.
    Now,
    /// So old that `--update` does not trust it.
    Epoch,
}

impl Receiver {
    /// Reads tokens and sum of one file. If it cannot be made, that is reported and the data is read to its end; if it
    /// cannot be written, the run ends, as rsync's does: the next file would hardly fare better. `before`:
    /// stream bytes used before the file's head.
    pub(super) fn receive_file(
        &mut self,
        request: &Request,
        entry: &FileEntry,
        name: &[u8],
        head: &SumHead,
        before: u64,
    ) -> Result<Received, Error> {
        let path = super::place_path(&self.place, name).unwrap_or_default();
        let output = match self.open_output(request, entry, path.as_path()) {
            Ok(output) => Some(output),
            Err((op, errno)) => {
                self.fail(&super::failure("receiver", op, name, errno));
                None
            }
        };
        self.buffer.start(0);
        let mut moved = Moved::default();
        let equal = self.receive_data(entry, name, head, output.as_ref(), &mut moved);
        self.stats.literal += moved.literal;
        self.stats.matched += moved.matched;
        let partial = self.session.options.partial;
        let (equal, digest, output) = match (equal, output) {
            (Ok((equal, digest)), Some(output)) => (equal, digest, output),
            (Ok(_), None) => return Ok(Received::Failed),
            (Err(error), output) => {
                // What came is kept for the next run, as far as it can be (03-transfer 7.7).
                if let Some(output) = output
                    && partial
                    && !matches!(error, Error::Overgrown { .. })
                    && moved.literal > 0
                {
                    if self.buffer.flush(output.temp.file()).is_err() {
                        // A full disk: what was written counts.
                        self.buffer.start(0);
                    }
                    let _ = self.publish(output, entry, Time::Epoch);
                }
                return Err(error);
            }
        };
        if !equal {
            // The second try starts from what came.
            if partial && let Err((op, errno)) = self.publish(output, entry, Time::Now) {
                self.fail(&super::failure("receiver", op, name, errno));
            }
            return Ok(Received::Damaged);
        }
        match self.publish(output, entry, Time::Listed) {
            Ok(attributes) => {
                if let Err((op, errno)) = attributes {
                    self.fail(&super::failure("receiver", op, name, errno));
                }
                let teller = Teller::receiving(self.checksum);
                let mut item = item_of(&request.list, entry, name, request.flags, None, teller);
                item.checksum = Some(digest.as_ref());
                self.session.events.event(Event::Transferred {
                    item,
                    literal: moved.literal,
                    matched: moved.matched,
                    cost: Cost {
                        data: self.input.used() - before,
                        sums: 0,
                    },
                });
                Ok(Received::InPlace)
            }
            Err((op, errno)) => {
                self.fail(&super::failure("receiver", op, name, errno));
                Ok(Received::Failed)
            }
        }
    }

    /// Reads to the end of the file; whether its sum is right, and what it is. Without `output` the data is dropped.
    fn receive_data(
        &mut self,
        entry: &FileEntry,
        name: &[u8],
        head: &SumHead,
        output: Option<&Output<'_>>,
        moved: &mut Moved,
    ) -> Result<(bool, Digest), Error> {
        let mut hasher = self.checksum.file_hasher(self.session.negotiated.seed);
        let layout = Layout::from_head(head.count, head.block_len, head.strong_len, head.remainder);
        let mut runs = BlockRuns::new(layout.unwrap_or(Layout::EMPTY));
        let mut next_step = STEP;
        let wants_progress = self.session.events.wants_progress();
        loop {
            let done = moved.total();
            if done >= next_step {
                next_step = done + STEP;
                self.session.cancel.check()?;
                if wants_progress {
                    self.progress(name, done, entry.size, false);
                }
            }
            match self.input.record(Token::decode)? {
                Token::End => break,
                Token::Literal(len) => {
                    check_growth(*moved, len, entry, name)?;
                    self.matched(runs.take(), output, &mut hasher, name)?;
                    self.literal(len, output, &mut hasher, name, moved)?;
                }
                Token::Match(block) => {
                    let before =
                        runs.push(block)
                            .map_err(|PatchError::NoSuchBlock { block, count }| {
                                let index = block;
                                Violation::BlockIndex { index, count }
                            })?;
                    let len = head.block_len_of(block);
                    check_growth(*moved, len, entry, name)?;
                    self.matched(before, output, &mut hasher, name)?;
                    moved.matched += u64::from(len);
                }
            }
            if runs.pending() >= WriteBuffer::CAPACITY as u64 {
                self.matched(runs.take(), output, &mut hasher, name)?;
            }
        }
        self.matched(runs.take(), output, &mut hasher, name)?;
        if let Some(out) = output {
            let flushed = self.buffer.flush(out.temp.file());
            flushed.map_err(|errno| write_failed(name, errno))?;
        }
        let sum_len = self.checksum.digest_len();
        let digest = hasher.finish();
        let equal = self
            .input
            .record(|cursor| Ok(cursor.take(sum_len)? == digest.as_ref()))?;
        if wants_progress {
            self.progress(name, moved.total(), entry.size, true);
        }
        Ok((equal, digest))
    }

    fn open_output<'p>(
        &mut self,
        request: &Request,
        entry: &FileEntry,
        path: crate::fs::RelPath<'p>,
    ) -> Result<Output<'p>, (&'static str, Errno)> {
        let (parent, name) = path.split().ok_or(("mkstemp", Errno::ISDIR))?;
        let dir = self
            .dirs
            .as_mut()
            .ok_or(("mkstemp", Errno::NOENT))?
            .get(parent)
            .map_err(|e| ("mkstemp", e))?;
        let before = match request.is_new {
            true => None,
            false => dir
                .stat_opt(name)
                .map_err(|e| ("fstat", e))?
                .filter(Stat::is_file),
        };
        let basis = match request.basis {
            Basis::None => None,
            Basis::Destination => Some(
                dir.open_read(name, Atime::Update)
                    .map_err(|e| ("open", e))?,
            ),
        };
        let temp = dir
            .create_temp(name, entry.mode & 0o7777, TempPlace::Beside)
            .map_err(|e| ("mkstemp", e))?;
        Ok(Output {
            dir,
            name,
            before,
            basis,
            temp,
        })
    }

    fn literal(
        &mut self,
        len: u32,
        output: Option<&Output<'_>>,
        hasher: &mut FileHasher,
        name: &[u8],
        moved: &mut Moved,
    ) -> Result<(), Error> {
        let mut left = len as usize;
        while left > 0 {
            let piece = self.input.bulk(left)?;
            left -= piece.len();
            moved.literal += piece.len() as u64;
            hasher.update(piece);
            if let Some(out) = output {
                let put = self.buffer.put(out.temp.file(), piece);
                put.map_err(|errno| write_failed(name, errno))?;
            }
        }
        Ok(())
    }

    /// Copies a stretch of the basis, if there is one to copy.
    fn matched(
        &mut self,
        run: Option<Run>,
        output: Option<&Output<'_>>,
        hasher: &mut FileHasher,
        name: &[u8],
    ) -> Result<(), Error> {
        let (Some(out), Some(run)) = (output, run) else {
            return Ok(());
        };
        let Some(basis) = &out.basis else {
            return Err(Violation::MatchWithoutBasis.into());
        };
        let mut done = 0;
        while done < run.len {
            let room = self.buffer.room() as u64;
            let piece = (run.len - done).min(room);
            let from = run.offset + done;
            let copied = self
                .buffer
                .put_with(out.temp.file(), piece as usize, |block| {
                    // A basis that shrank or cannot be read gives a wrong sum, hence a second try.
                    let got = basis.read_at(block, from).unwrap_or(0);
                    block[got..].fill(0);
                    hasher.update(block);
                    Ok::<(), Errno>(())
                });
            copied.map_err(|errno| write_failed(name, errno))?;
            done += piece;
        }
        Ok(())
    }

    /// Attributes on the temporary, then the rename: the file is never visible half done. Attributes that cannot be
    /// set are the inner error.
    fn publish(
        &mut self,
        mut output: Output<'_>,
        entry: &FileEntry,
        time: Time,
    ) -> Result<Result<(), Failed>, Failed> {
        self.buffer
            .flush(output.temp.file())
            .map_err(|e| ("write", e))?;
        let listed = self.rules.for_new(entry, output.before.as_ref());
        let attrs = Attrs {
            mtime: match time {
                Time::Listed => listed.mtime,
                Time::Now => None,
                Time::Epoch => Some(Timestamp::default()),
            },
            ..listed
        };
        let set = output.temp.file().set_attrs(&attrs, None);
        output
            .temp
            .publish(&output.dir, output.name)
            .map_err(|e| ("rename", e))?;
        Ok(super::first_error(set))
    }

    fn progress(&self, name: &[u8], done: u64, total: u64, finished: bool) {
        let held: u64 = self.held.iter().map(|list| list.len() as u64).sum();
        self.session.events.event(Event::Progress(Progress {
            name,
            done,
            total,
            finished,
            files: self.stats.transferred,
            to_check: held.saturating_sub(self.stats.transferred),
            entries: self.entries,
            more: self.more,
        }));
    }
}

fn check_growth(moved: Moved, more: u32, entry: &FileEntry, name: &[u8]) -> Result<(), Error> {
    if moved.may_grow_by(more, entry.size) {
        return Ok(());
    }
    Err(Error::Overgrown {
        path: PeerText(name.to_vec()),
        listed: entry.size,
    })
}

/// A file system that takes no more data.
fn write_failed(name: &[u8], errno: Errno) -> Error {
    Error::File {
        op: "write failed on",
        path: PeerText(name.to_vec()),
        source: errno.into(),
        code: 11,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_grow_but_not_for_ever() {
        let moved = |literal, matched| Moved { literal, matched };
        assert!(moved(0, 0).may_grow_by(1 << 30, 0));
        assert!(!moved(0, 0).may_grow_by((1 << 30) + 1, 0));
        assert!(!moved(1 << 29, 1 << 29).may_grow_by(1, 0));
        assert!(moved(1 << 29, 1 << 29).may_grow_by(20, 10));
        assert!(moved(3 << 40, 1 << 40).may_grow_by(1 << 20, 2 << 40));
        assert!(!moved(3 << 40, 1 << 40).may_grow_by(1 << 31, 2 << 40));
        assert!(moved(u64::MAX, 1).may_grow_by(1, u64::MAX));
    }
}
