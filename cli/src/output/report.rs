//! Prints a run as it goes: names, deletions, progress, texts of the peer, the closing lines.

use std::io::{self, Write};
use std::time::Instant;

use jiff::tz::TimeZone;
use rsync_proto::item::ItemFlags;

use super::entry::Entry;
use super::format::{Context, is_reported};
use super::list;
use super::progress::{Counts, FileProgress};
use super::stats::Stats;
use crate::escape::Escaper;
use crate::hiargs::OutputOptions;

/// Which way the files go and how the list is made, for the first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The source is here.
    pub(crate) sending: bool,
    /// Directories are listed while files already move.
    pub(crate) incremental: bool,
}

/// Standard output and standard error of a run. Lines go out whole; a progress line that stands open is
/// ended before anything else is printed.
#[derive(Debug)]
pub(crate) struct Report<Out, Err> {
    options: OutputOptions,
    escaper: Escaper,
    zone: TimeZone,
    out: Out,
    err: Err,
    current: Option<FileProgress>,
    /// The last output did not end its line.
    open_line: bool,
}

impl<Out: Write, Err: Write> Report<Out, Err> {
    /// Prints to `out` and `err`; `escaper` is for the locale, `zone` for dates.
    pub(crate) fn new(
        options: OutputOptions,
        escaper: Escaper,
        zone: TimeZone,
        out: Out,
        err: Err,
    ) -> Self {
        let escaper = escaper.with_eight_bit(options.eight_bit);
        Self {
            options,
            escaper,
            zone,
            out,
            err,
            current: None,
            open_line: false,
        }
    }

    /// The connection stands; the list is being made.
    pub(crate) fn header(&mut self, header: Header) -> io::Result<()> {
        if !self.options.header {
            return Ok(());
        }
        match header {
            Header {
                sending: true,
                incremental: true,
            } => self.line(b"sending incremental file list"),
            Header {
                sending: false,
                incremental: true,
            } => self.line(b"receiving incremental file list"),
            Header {
                sending,
                incremental: false,
            } => {
                let verb = if sending { "building" } else { "receiving" };
                self.open(&format!("{verb} file list ... "))
            }
        }
    }

    /// A list that is not incremental is complete.
    pub(crate) fn list_complete(&mut self, entries: u64) -> io::Result<()> {
        if !self.options.header {
            return Ok(());
        }
        if !self.options.progress {
            self.open_line = false;
            return self.write_out(b"done\n");
        }
        // The running count of a list that is complete at once.
        self.end_line()?;
        let noun = if entries == 1 { "file" } else { "files" };
        self.write_out(format!(" 0 files...\r{entries} {noun} to consider\n").as_bytes())
    }

    /// Something changed, or data is about to move.
    pub(crate) fn item(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let Some(format) = &self.options.format else {
            return Ok(());
        };
        if entry.flags.contains(ItemFlags::TRANSFER) {
            if format.is_late() && self.options.dry_run {
                // No data follows. As in rsync a sum that nobody computed is one of zeros.
                let zeros = "0".repeat(entry.checksum_width);
                return self.entry_line(&Entry {
                    checksum: entry.checksum.or(Some(&zeros)),
                    ..*entry
                });
            }
            match (format.is_late(), self.options.progress) {
                (false, _) => self.entry_line(entry),
                (true, true) => self.line(&entry.display_name()),
                (true, false) => Ok(()),
            }
        } else if is_reported(format, entry, self.options.unchanged) {
            self.entry_line(entry)
        } else if self.options.uptodate && !format.has(b'i') && !entry.sending && !entry.is_dir() {
            self.line(&[&entry.display_name(), &b" is uptodate"[..]].concat())
        } else {
            Ok(())
        }
    }

    /// The data of an entry has moved: the line of a late format.
    pub(crate) fn transferred(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        match &self.options.format {
            Some(format) if format.is_late() => self.entry_line(entry),
            _ => Ok(()),
        }
    }

    /// An entry of the destination is gone.
    pub(crate) fn deleted(&mut self, name: &[u8], is_dir: bool, sending: bool) -> io::Result<()> {
        let entry = Entry::deleted(name, is_dir, sending);
        match &self.options.format {
            Some(format) if format.has(b'i') || format.has(b'o') => self.entry_line(&entry),
            Some(_) => self.line(&[&b"deleting "[..], &entry.display_name()].concat()),
            None => Ok(()),
        }
    }

    /// An entry of a listing.
    pub(crate) fn listed(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let line = list::line(
            entry,
            self.options.human_readable,
            self.options.links,
            &self.zone,
        );
        self.line(&line)
    }

    /// `done` of `total` bytes of the current file are through.
    pub(crate) fn progress(&mut self, done: u64, total: u64, now: Instant) -> io::Result<()> {
        if !self.options.progress {
            return Ok(());
        }
        let level = self.options.human_readable;
        let progress = self
            .current
            .get_or_insert_with(|| FileProgress::new(total, now));
        match progress.update(done, now, level) {
            Some(line) => self.rewrite(&line),
            None => Ok(()),
        }
    }

    /// The current file of `total` bytes is through.
    pub(crate) fn progress_done(
        &mut self,
        total: u64,
        counts: Counts,
        now: Instant,
    ) -> io::Result<()> {
        if !self.options.progress {
            return Ok(());
        }
        let level = self.options.human_readable;
        let progress = self
            .current
            .take()
            .unwrap_or_else(|| FileProgress::new(total, now));
        let line = progress.finish(counts, now, level);
        self.rewrite(&line)?;
        self.open_line = false;
        self.write_out(b"\n")
    }

    /// A line for standard output: `created directory d`, a text of the peer, a line of a module list.
    pub(crate) fn info(&mut self, text: &[u8]) -> io::Result<()> {
        self.line(text)
    }

    /// A warning or an error, from here or from the peer.
    pub(crate) fn error(&mut self, text: &[u8]) -> io::Result<()> {
        self.end_line()?;
        self.escaper
            .write(&mut self.err, text.strip_suffix(b"\n").unwrap_or(text))?;
        self.err.write_all(b"\n")?;
        self.err.flush()
    }

    /// The run is through.
    pub(crate) fn summary(&mut self, stats: &Stats) -> io::Result<()> {
        self.end_line()?;
        let level = self.options.human_readable;
        if self.options.stats {
            self.write_out(stats.block(level).as_bytes())?;
        }
        if self.options.summary {
            self.write_out(stats.summary(level, self.options.dry_run).as_bytes())?;
        }
        Ok(())
    }

    /// What was printed.
    #[cfg(test)]
    pub(super) fn into_outputs(self) -> (Out, Err) {
        (self.out, self.err)
    }

    fn entry_line(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let Some(format) = &self.options.format else {
            return Ok(());
        };
        let line = format.line(entry, self.context());
        self.line(&line)
    }

    fn context(&self) -> Context<'_> {
        let OutputOptions {
            local,
            times,
            owner,
            group,
            ..
        } = self.options;
        Context {
            local,
            times,
            owner,
            group,
            zone: &self.zone,
        }
    }

    fn line(&mut self, text: &[u8]) -> io::Result<()> {
        self.end_line()?;
        let mut line = Vec::with_capacity(text.len() + 1);
        self.escaper
            .write(&mut line, text.strip_suffix(b"\n").unwrap_or(text))?;
        line.push(b'\n');
        self.write_out(&line)
    }

    /// Output that the next one continues or ends.
    fn open(&mut self, text: &str) -> io::Result<()> {
        self.end_line()?;
        self.open_line = true;
        self.write_out(text.as_bytes())
    }

    /// Output over the line that stands open.
    fn rewrite(&mut self, text: &str) -> io::Result<()> {
        self.open_line = true;
        self.write_out(text.as_bytes())
    }

    fn end_line(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.open_line) {
            self.write_out(b"\n")
        } else {
            Ok(())
        }
    }

    fn write_out(&mut self, text: &[u8]) -> io::Result<()> {
        if self.options.quiet {
            return Ok(());
        }
        self.out.write_all(text)?;
        self.out.flush()
    }
}
