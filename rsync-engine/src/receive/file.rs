//! Receives the data of one file into a temporary beside it and puts it in place (03-transfer 5, 7).

use rsync_delta::FileHasher;
use rsync_proto::Violation;
use rsync_proto::sums::SumHead;
use rsync_proto::token::Token;

use crate::error::Error;
use crate::event::{Event, Progress};
use crate::fs::{Atime, Dir, Errno, Name, ReadFile, Stat, Temp, TempPlace};
use crate::list::FileEntry;

use super::channel::{Basis, Request};
use super::generator::item_of;
use super::receiver::Receiver;

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

impl Receiver {
    /// Reads tokens and sum of one file. Failures to write are reported and the data is read to its end.
    pub(super) fn receive_file(
        &mut self,
        request: &Request,
        entry: &FileEntry,
        name: &[u8],
        head: &SumHead,
    ) -> Result<Received, Error> {
        let path = super::place_path(&self.place, name)?;
        let mut output = match self.open_output(request, entry, path.as_path()) {
            Ok(output) => Some(output),
            Err((op, errno)) => {
                self.fail(&super::failure("receiver", op, name, errno));
                None
            }
        };
        self.buffer.start(0);
        let mut hasher = self.checksum.file_hasher(self.session.negotiated.seed);
        let (mut literal, mut matched) = (0, 0);
        let mut next_step = STEP;
        let wants_progress = self.session.events.wants_progress();
        loop {
            let done: u64 = literal + matched;
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
                    literal += u64::from(len);
                    self.literal(len, &mut output, &mut hasher, name)?;
                }
                Token::Match(block) => {
                    if block >= head.count {
                        return Err(Violation::BlockIndex {
                            index: block,
                            count: head.count,
                        }
                        .into());
                    }
                    let len = head.block_len_of(block);
                    matched += u64::from(len);
                    self.matched(head.offset_of(block), len, &mut output, &mut hasher, name)?;
                }
            }
        }
        let sum_len = self.checksum.digest_len();
        let digest = hasher.finish();
        let equal = self
            .input
            .record(|cursor| Ok(cursor.take(sum_len)? == digest.as_ref()))?;
        self.stats.literal += literal;
        self.stats.matched += matched;
        if wants_progress {
            self.progress(name, literal + matched, entry.size, true);
        }
        let Some(output) = output else {
            return Ok(Received::Failed);
        };
        if !equal {
            return Ok(Received::Damaged);
        }
        match self.publish(output, entry) {
            Ok(()) => {
                let item = item_of(&request.list, entry, name, request.flags, None, false);
                self.session.events.event(Event::Transferred {
                    item,
                    literal,
                    matched,
                });
                Ok(Received::InPlace)
            }
            Err((op, errno)) => {
                self.fail(&super::failure("receiver", op, name, errno));
                Ok(Received::Failed)
            }
        }
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
        output: &mut Option<Output<'_>>,
        hasher: &mut FileHasher,
        name: &[u8],
    ) -> Result<(), Error> {
        let mut left = len as usize;
        while left > 0 {
            let piece = self.input.bulk(left)?;
            left -= piece.len();
            hasher.update(piece);
            let failed = match output {
                Some(out) => self.buffer.put(out.temp.file(), piece).err(),
                None => None,
            };
            if let Some(errno) = failed {
                *output = None;
                self.fail(&super::failure("receiver", "write", name, errno));
            }
        }
        Ok(())
    }

    fn matched(
        &mut self,
        offset: u64,
        len: u32,
        output: &mut Option<Output<'_>>,
        hasher: &mut FileHasher,
        name: &[u8],
    ) -> Result<(), Error> {
        let Some(out) = output else { return Ok(()) };
        let Some(basis) = &out.basis else {
            return Err(Violation::MatchWithoutBasis.into());
        };
        let copied = self
            .buffer
            .put_with(out.temp.file(), len as usize, |block| {
                let got = basis.read_at(block, offset)?;
                // A basis that shrank gives a wrong sum, hence a second try.
                block[got..].fill(0);
                hasher.update(block);
                Ok::<(), Errno>(())
            });
        if let Err(errno) = copied {
            *output = None;
            self.fail(&super::failure("receiver", "write", name, errno));
        }
        Ok(())
    }

    /// Attributes on the temporary, then the rename: the file is never visible half done.
    fn publish(
        &mut self,
        mut output: Output<'_>,
        entry: &FileEntry,
    ) -> Result<(), (&'static str, Errno)> {
        self.buffer
            .flush(output.temp.file())
            .map_err(|e| ("write", e))?;
        let attrs = self.rules.for_new(entry, output.before.as_ref());
        let set = output.temp.file().set_attrs(&attrs, None);
        output
            .temp
            .publish(&output.dir, output.name)
            .map_err(|e| ("rename", e))?;
        super::first_error(set).map_err(|e| ("failed to set attributes on", e))
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
