//! Answers one request: the file's data as matches and literals, and the sum of all of it (03-transfer 2.4, 5).

use rsync_delta::{BlockSums, FileHasher, Index, Layout, Matcher, OpSink, OutOfMemory, Window};
use rsync_proto::item::ItemHeader;
use rsync_proto::mux::Message;
use rsync_proto::ndx::Ndx;
use rsync_proto::sums::{BlockSum, SumHead};
use rsync_proto::token::{put_end, put_literal_head, put_match};

use crate::error::Error;
use crate::event::{Cost, Event, FileFailure, Progress};
use crate::fs::{Atime, Errno, ReadFile, RelPath};
use crate::outcome::{IO_GENERAL, IO_VANISHED};
use crate::receive::{Teller, item_of};
use crate::session::Session;
use crate::wire_out::WireOut;

use super::Sender;
use super::lists::relative;

/// Literal bytes of one token at most: 3.4.3 and its like abort above (03-transfer 5.1).
const LITERAL_MAX: usize = 32 << 10;
/// Block sums kept in memory for one file. Above it, or with a block length that no receiver makes, they are read and
/// dropped, and all data is sent.
const SUMS_MAX: u32 = 1 << 24;
/// Block sums read between two looks at the budget.
const SUMS_STEP: u32 = 4096;
/// Bytes of block sums that are kept from file to file: more is given back once the file is sent.
const SUMS_KEPT: usize = 4 << 20;
/// The same for the window.
const WINDOW_KEPT: usize = 16 << 20;
/// Bytes between two looks at the cancel flag and two reports of progress.
const STEP: u64 = 1 << 20;

/// A file that ends before it did when it was opened. What was sent is neither its old content nor its new one, so the receiver
/// is made to ask again.
const SHRUNK: Errno = Errno::NODATA;

impl Sender {
    /// Reads the block sums and sends the file.
    pub(super) fn answer(
        &mut self,
        ndx: i32,
        header: &ItemHeader<'_>,
        at: usize,
        position: usize,
    ) -> Result<(), Error> {
        let sums_before = self.input.used();
        let entry = self.held[at].entries()[position];
        let head = self.read_basis(entry.size)?;
        let list = &self.held[at];
        let name = list.path(&entry);
        let mut file = match self.open(entry.root, &name) {
            Ok(file) => file,
            Err(errno) => {
                // It was counted when it was asked for, as rsync does.
                let shown = self.lists.shown(entry.root, &name);
                return self.cannot_send(ndx, &shown, errno);
            }
        };
        self.report_item(at, position, header);
        let sums = self.input.used() - sums_before;
        let data_before = self.out.put();
        self.echo(ndx, header)?;
        // Receivers 3.4.0 to 3.4.3 abort on their own 16 for an 8-byte digest (03-transfer 4.3).
        let strong = u32::try_from(self.checksum.digest_len()).unwrap_or(u32::MAX);
        let echoed = SumHead {
            strong_len: head.strong_len.min(strong),
            ..head
        };
        self.out.data(|buf| echoed.put(buf))?;
        let mut hasher = self.checksum.file_hasher(self.session.negotiated.seed);
        let before = (self.stats.literal, self.stats.matched);
        let sent = if self.sums.is_empty() {
            self.send_whole(&mut file, &mut hasher, &name, entry.size)
        } else {
            self.send_delta(&mut file, &mut hasher, &name, entry.size, &head)
        };
        let broken = match sent {
            Ok(()) => None,
            Err(SendError::Read(errno)) => Some(errno),
            Err(SendError::Wire(error)) => return Err(error),
        };
        self.out.data(put_end)?;
        let digest = hasher.finish();
        match broken {
            None => self
                .out
                .data(|buf| buf.extend_from_slice(digest.as_ref()))?,
            Some(errno) => {
                let shown = self.lists.shown(entry.root, &name);
                self.spoil(&shown, digest.as_ref(), errno)?;
            }
        }
        self.shrink()?;
        let (literal, matched) = (self.stats.literal - before.0, self.stats.matched - before.1);
        let changed = file.restat().is_ok_and(|now| {
            let then = file.stat();
            (now.size, now.mtime, now.ctime) != (then.size, then.mtime, then.ctime)
        });
        if changed {
            self.session
                .events
                .event(Event::ChangedWhileRead { name: &name });
        }
        if self.session.events.wants_progress() {
            self.progress(&name, literal + matched, entry.size, true);
        }
        let cost = Cost {
            data: self.out.put() - data_before,
            sums,
        };
        let list = &self.held[at];
        let teller = Teller {
            algorithm: self.checksum,
            ..self.teller(entry.root)
        };
        let mut item = item_of(list, &entry, &name, header.flags, header.xname, teller);
        item.checksum = Some(digest.as_ref());
        self.session.events.event(Event::Transferred {
            item,
            literal,
            matched,
            cost,
        });
        Ok(())
    }

    /// The sums of what the receiver has of a file of this size.
    fn read_basis(&mut self, size: u64) -> Result<SumHead, Error> {
        let protocol = self.session.protocol();
        let (session, out) = (&self.session, &mut self.out);
        let head = super::record(session, &mut self.input, out, |cursor| {
            SumHead::decode(cursor, protocol)
        })?;
        self.read_sums(&head, size)?;
        Ok(head)
    }

    /// Reads a request to its end and gives it no data.
    pub(super) fn decline(&mut self, ndx: i32) -> Result<(), Error> {
        // With no data no block matches, so that none of the sums is kept.
        self.read_basis(0)?;
        self.no_send(ndx)
    }

    /// The receiver is not to wait for this file (03-transfer 7).
    fn no_send(&mut self, ndx: i32) -> Result<(), Error> {
        if self.session.protocol().has_typed_messages() {
            self.out.message(&Message::NoSend(Ndx(ndx)))?;
        }
        Ok(())
    }

    fn open(&mut self, root: u16, name: &[u8]) -> Result<ReadFile, Errno> {
        let path = RelPath::new(relative(name)).map_err(|_| Errno::INVAL)?;
        let (parent, base) = path.split().ok_or(Errno::ISDIR)?;
        self.lists.dir(root, parent)?.open_read(base, Atime::Update)
    }

    /// The request gets no answer (03-transfer 2.4, 7).
    fn cannot_send(&mut self, ndx: i32, name: &[u8], errno: Errno) -> Result<(), Error> {
        let vanished = matches!(errno, Errno::NOENT | Errno::NOTDIR);
        self.session
            .trouble
            .io_error(if vanished { IO_VANISHED } else { IO_GENERAL });
        let op = "send_files failed to open";
        let failure = FileFailure {
            role: "sender",
            op,
            name: name.to_vec(),
            source: Some(errno.into()),
            vanished,
        };
        super::report(&self.session, &failure, &mut self.out)?;
        self.no_send(ndx)
    }

    /// A read error in the middle: a sum that cannot be right makes the receiver drop what it got.
    fn spoil(&mut self, name: &[u8], digest: &[u8], errno: Errno) -> Result<(), Error> {
        self.session.trouble.io_error(IO_GENERAL);
        let failure = FileFailure {
            role: "sender",
            op: "read errors mapping",
            name: name.to_vec(),
            source: Some(errno.into()),
            vanished: false,
        };
        super::report(&self.session, &failure, &mut self.out)?;
        let mut wrong = vec![0; digest.len()];
        if digest.iter().all(|&byte| byte == 0)
            && let Some(last) = wrong.last_mut()
        {
            *last = 1;
        }
        self.out.data(|buf| buf.extend_from_slice(&wrong))
    }

    /// Reads the sums and keeps them if a block of the file may match one. `size`: of the file, as it was listed.
    fn read_sums(&mut self, head: &SumHead, size: u64) -> Result<(), Error> {
        let layout = Layout::from_head(head.count, head.block_len, head.strong_len, head.remainder)
            .filter(|layout| {
                head.count <= SUMS_MAX
                    && layout.is_usual()
                    && size >= layout.shortest_block().into()
            });
        let keep = layout.is_some();
        self.sums.reset(layout.unwrap_or(Layout::EMPTY));
        for number in 0..head.count {
            if keep && number % SUMS_STEP == 0 {
                self.make_room(head.count - number)?;
            }
            let sums = &mut self.sums;
            let (session, out) = (&self.session, &mut self.out);
            super::record(session, &mut self.input, out, |cursor| {
                let sum = BlockSum::decode(cursor, head)?;
                Ok(match keep {
                    true => sums.push(sum.weak, sum.strong),
                    false => Ok(()),
                })
            })?
            .map_err(out_of_memory)?;
        }
        Ok(())
    }

    /// Makes room for some more of the sums that were announced: as many as have come already, so that an
    /// announcement alone takes nothing.
    fn make_room(&mut self, left: u32) -> Result<(), Error> {
        let more = (left as usize).min(self.sums.len().max(SUMS_STEP as usize));
        let index = Index::memory(self.sums.len() + more);
        self.sums_charge
            .set(self.sums.memory_with(more).saturating_add(index))?;
        self.sums.reserve(more).map_err(out_of_memory)
    }

    /// Gives the memory of an unusually large file back.
    fn shrink(&mut self) -> Result<(), Error> {
        if self.sums.memory_with(0) > SUMS_KEPT {
            self.sums = BlockSums::new(self.checksum, self.session.negotiated.seed);
            self.index = Index::new();
            self.sums_charge.set(0)?;
        }
        if self.window.capacity() > WINDOW_KEPT {
            self.window = Window::new();
            self.window_charge.set(0)?;
        }
        Ok(())
    }

    /// The whole file as literals, read straight into the output buffer.
    fn send_whole(
        &mut self,
        file: &mut ReadFile,
        hasher: &mut FileHasher,
        name: &[u8],
        size: u64,
    ) -> Result<(), SendError> {
        let mut done = 0;
        let mut next_step = STEP;
        // Files that grow while they are read end where they ended when they were opened.
        let mut left = file.stat().size;
        while left > 0 {
            let max = usize::try_from(left)
                .unwrap_or(LITERAL_MAX)
                .min(LITERAL_MAX);
            let read = self.out.data_from(
                max,
                |len| u32::try_from(len).unwrap_or(0).to_le_bytes(),
                |buf| {
                    let got = file.read(buf)?;
                    hasher.update(&buf[..got]);
                    Ok::<usize, Errno>(got)
                },
            )?;
            let got = read? as u64;
            if got == 0 {
                return Err(SendError::Read(SHRUNK));
            }
            left -= got;
            done += got;
            self.stats.literal += got;
            if done >= next_step {
                next_step = done + STEP;
                self.step(name, done, size)?;
            }
        }
        Ok(())
    }

    fn send_delta(
        &mut self,
        file: &mut ReadFile,
        hasher: &mut FileHasher,
        name: &[u8],
        size: u64,
        head: &SumHead,
    ) -> Result<(), SendError> {
        let mut left = file.stat().size;
        let window = Window::memory(head.block_len, left).max(self.window.capacity());
        self.window_charge.set(window)?;
        self.index.build(&self.sums).map_err(out_of_memory)?;
        let mut done = 0;
        let mut next_step = STEP;
        let mut window = std::mem::take(&mut self.window);
        let mut sink = Tokens {
            session: &self.session,
            out: &mut self.out,
            head,
            literal: 0,
            matched: 0,
        };
        let mut matcher = Matcher::new(&self.sums, &self.index, &mut window);
        let result = loop {
            let space = match matcher.space() {
                Ok(space) => space,
                Err(error) => break Err(SendError::Wire(out_of_memory(error))),
            };
            let max = usize::try_from(left).unwrap_or(usize::MAX).min(space.len());
            let got = match max {
                0 => Ok(0),
                _ => file.read(&mut space[..max]),
            };
            let got = match got {
                Ok(got) => got,
                Err(errno) => break Err(SendError::Read(errno)),
            };
            if got == 0 {
                let finished = matcher.finish(&mut sink).map_err(SendError::Wire);
                break match left {
                    0 => finished,
                    _ => finished.and(Err(SendError::Read(SHRUNK))),
                };
            }
            hasher.update(matcher.filled(got));
            if let Err(error) = matcher.scan(&mut sink) {
                break Err(SendError::Wire(error));
            }
            left -= got as u64;
            done += got as u64;
            if done >= next_step {
                next_step = done + STEP;
                // A file that matches says little: a token for each block.
                if let Err(error) = sink.working() {
                    break Err(SendError::Wire(error));
                }
            }
        };
        let (literal, matched) = (sink.literal, sink.matched);
        self.window = window;
        self.stats.literal += literal;
        self.stats.matched += matched;
        if self.session.events.wants_progress() {
            self.progress(name, done, size, false);
        }
        result
    }

    fn step(&mut self, name: &[u8], done: u64, size: u64) -> Result<(), Error> {
        self.session.check()?;
        if self.session.events.wants_progress() {
            self.progress(name, done, size, false);
        }
        Ok(())
    }

    fn progress(&self, name: &[u8], done: u64, total: u64, finished: bool) {
        let entries = self.lists.entries;
        self.session.events.event(Event::Progress(Progress {
            name,
            done,
            total,
            finished,
            files: self.stats.transferred,
            to_check: entries.saturating_sub(self.stats.checked),
            entries,
            more: self.lists.more(),
        }));
    }
}

/// No memory for what the receiver's sums ask for.
fn out_of_memory(OutOfMemory { bytes }: OutOfMemory) -> Error {
    Error::OutOfMemory {
        what: "the search for blocks",
        bytes: bytes as u64,
    }
}

/// Why a file was not sent to its end.
enum SendError {
    Read(Errno),
    Wire(Error),
}

impl From<Errno> for SendError {
    fn from(errno: Errno) -> Self {
        Self::Read(errno)
    }
}

impl From<Error> for SendError {
    fn from(error: Error) -> Self {
        Self::Wire(error)
    }
}

/// Writes what the matcher finds as plain tokens.
struct Tokens<'a> {
    session: &'a Session,
    out: &'a mut WireOut,
    head: &'a SumHead,
    literal: u64,
    matched: u64,
}

impl OpSink for Tokens<'_> {
    type Error = Error;

    fn literal(&mut self, data: &[u8]) -> Result<(), Error> {
        self.literal += data.len() as u64;
        self.out.data(|buf| {
            put_literal_head(buf, u32::try_from(data.len()).unwrap_or(0));
            buf.extend_from_slice(data);
        })
    }

    fn copy(&mut self, block: u32) -> Result<(), Error> {
        self.matched += u64::from(self.head.block_len_of(block));
        self.out.data(|buf| put_match(buf, block))
    }

    fn working(&mut self) -> Result<(), Error> {
        self.session.check()?;
        self.out.tick()
    }
}
