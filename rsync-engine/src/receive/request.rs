//! Transfer requests: the item header, the sum head and the block sums of the basis (03-transfer 1.2, 4).

use rsync_delta::{BlockSums, Layout};
use rsync_proto::item::ItemFlags;
use rsync_proto::ndx::Ndx;
use rsync_proto::sums::SumHead;

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
        let mut basis = if dry_run { Basis::None } else { self.basis_of(stat) };
        let file = match basis {
            Basis::Destination => self.open_basis(subject),
            Basis::None => None,
        };
        if file.is_none() {
            basis = Basis::None;
        }
        let request = Request {
            ndx: subject.ndx,
            list: std::sync::Arc::clone(subject.list),
            at: subject.at,
            basis,
            is_new: stat.is_none(),
            flags,
            redo,
        };
        if self.requests.send(request).is_err() {
            return Err(Error::Internal { role: "receiver" });
        }
        self.write_ndx(Ndx(subject.ndx))?;
        self.put_header(flags, None)?;
        if dry_run {
            return Ok(());
        }
        match file {
            Some(file) => self.write_sums(&file, redo),
            None => self.out.data(|buf| SumHead::default().put(buf)),
        }
    }

    fn open_basis(&mut self, subject: &Subject<'_>) -> Option<ReadFile> {
        let (dir, name) = self.parent(subject.path).ok()?;
        dir.open_read(name, Atime::Update).ok()
    }

    fn write_sums(&mut self, file: &ReadFile, redo: bool) -> Result<(), Error> {
        let layout = self.layout(file.stat().size, redo);
        let head = SumHead {
            count: layout.count,
            block_len: layout.block_len,
            strong_len: layout.strong_len,
            remainder: layout.remainder,
        };
        self.out.data(|buf| head.put(buf))?;
        let seed = self.session.negotiated.seed;
        let block = layout.block_len as usize;
        let mut window = vec![0; (WINDOW / block).max(1) * block];
        let mut sums = BlockSums::new(self.checksum, seed, layout.strong_len as usize);
        let (mut offset, mut left) = (0, head.file_len());
        while left > 0 {
            self.session.cancel.check()?;
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(window.len());
            // A file that shrank meanwhile gives sums of zeros, which match nothing.
            let got = file.read_at(&mut window[..want], offset).unwrap_or(0);
            window[got..want].fill(0);
            sums.clear();
            sums.extend(&window[..want], block);
            self.out.data(|buf| sums.put(buf))?;
            offset += want as u64;
            left -= want as u64;
        }
        Ok(())
    }

    fn layout(&self, len: u64, redo: bool) -> Layout {
        Layout::new(
            len,
            self.session.protocol().max_block_len(),
            self.checksum.digest_len(),
            redo,
            self.session.options.block_size,
        )
    }
}
