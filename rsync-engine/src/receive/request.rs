//! Transfer requests: the item header, the sum head and the block sums of the basis (03-transfer 1.2, 4).

use std::num::NonZeroU32;

use rsync_delta::{BlockRule, Layout, Pass, longest_block};
use rsync_proto::item::ItemFlags;
use rsync_proto::ndx::Ndx;
use rsync_proto::sums::{BlockSum, SumHead};

use crate::error::Error;
use crate::fs::{Atime, ReadFile, Stat};

use super::channel::{Basis, Request};
use super::entry::Subject;
use super::generator::Generator;

/// Basis bytes read and summed at once: many blocks, so that their sums run in parallel lanes.
const WINDOW: usize = 256 << 10;

impl Generator {
    /// Writes a request and tells the receiver that its answer will come.
    pub(super) fn write_request(
        &mut self,
        subject: &Subject<'_>,
        flags: ItemFlags,
        stat: Option<&Stat>,
        redo: bool,
    ) -> Result<(), Error> {
        let dry_run = self.session.options.dry_run;
        let mut basis = if dry_run {
            Basis::None
        } else {
            self.basis_of(stat)
        };
        let file = match basis {
            Basis::Destination => self.open_basis(subject),
            Basis::None => None,
        };
        if file.is_none() {
            basis = Basis::None;
        }
        let layout = file
            .as_ref()
            .and_then(|file| self.layout(file.stat().size, redo));
        let request = Request {
            ndx: subject.ndx,
            list: std::sync::Arc::clone(subject.list),
            at: subject.at,
            basis,
            is_new: stat.is_none(),
            layout: layout.unwrap_or(Layout::EMPTY),
            flags,
            redo,
        };
        self.asked.request(request);
        self.write_ndx(Ndx(subject.ndx))?;
        self.put_header(flags, None)?;
        if dry_run {
            return Ok(());
        }
        match (file, layout) {
            (Some(file), Some(layout)) => self.write_sums(&file, layout),
            _ => self.out.data(|buf| SumHead::default().put(buf)),
        }
    }

    fn open_basis(&mut self, subject: &Subject<'_>) -> Option<ReadFile> {
        let (dir, name) = self.parent(subject.path).ok()?;
        dir.open_read(name, Atime::Update).ok()
    }

    fn write_sums(&mut self, file: &ReadFile, layout: Layout) -> Result<(), Error> {
        let head = SumHead {
            count: layout.count(),
            block_len: layout.block_len(),
            strong_len: layout.strong_len(),
            remainder: layout.remainder(),
        };
        self.out.data(|buf| head.put(buf))?;
        let block = layout.block_len() as usize;
        // Long blocks are the client's choice: they take no more than the file has.
        let whole = usize::try_from(layout.file_len()).unwrap_or(usize::MAX);
        let len = ((WINDOW / block).max(1) * block).min(whole.max(WINDOW));
        self.window_charge.set(len.max(self.window.capacity()))?;
        self.window.resize(len, 0);
        self.sums.reset(layout);
        let (mut offset, mut left) = (0, layout.file_len());
        while left > 0 {
            self.session.check()?;
            self.out.tick()?;
            let want = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(self.window.len());
            let piece = &mut self.window[..want];
            // A file that shrank meanwhile gives sums of zeros, which match nothing.
            let got = file.read_at(piece, offset).unwrap_or(0);
            piece[got..].fill(0);
            self.sums.clear();
            self.sums.push_blocks(piece);
            for (weak, strong) in self.sums.iter() {
                self.out.data(|buf| BlockSum { weak, strong }.put(buf))?;
            }
            offset += want as u64;
            left -= want as u64;
        }
        Ok(())
    }

    fn layout(&self, len: u64, redo: bool) -> Option<Layout> {
        let max = self.session.protocol().max_block_len();
        let pass = if redo { Pass::Redo } else { Pass::First };
        let plan = |rule| Layout::plan(len, rule, self.checksum.digest_len(), pass);
        // A whole block is held in memory here and at the sender: protocol 29 would let a client ask for half a gigabyte.
        let fixed = self.session.options.block_size;
        let fixed = fixed.map(|size| size.min(longest_block(len)));
        match fixed.and_then(NonZeroU32::new) {
            Some(fixed) => plan(BlockRule::Fixed(fixed)),
            None => plan(BlockRule::Derived { max }),
        }
    }
}
