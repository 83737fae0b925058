//! Regular files, open for data.

use std::io;

use super::{AttrOutcome, Attrs, Result, Stat};

/// Whether reading a file may change its access time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Atime {
    /// As usual.
    Update,
    /// Not (`O_NOATIME`), where we own the file; else as usual.
    Preserve,
}

/// A regular file, open for reading.
#[derive(Debug)]
pub struct ReadFile(std::os::fd::OwnedFd);

impl ReadFile {
    /// What it was when it was opened. No system call.
    pub fn stat(&self) -> &Stat {
        todo!()
    }
    /// Examines it again. `statx`.
    pub fn restat(&self) -> Result<Stat> {
        todo!()
    }
    /// Reads at the current position; 0 at the end. One `read`.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        todo!()
    }
    /// Reads at `offset` until `buf` is full or the file ends; says how much was read. `pread64`.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        todo!()
    }
    /// Tells the kernel that the file is read once from the start. `fadvise64`.
    pub fn advise_sequential(&self) {
        todo!()
    }
}

impl io::Read for ReadFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Self::read(self, buf).map_err(Into::into)
    }
}

/// A regular file, open for writing and reading.
#[derive(Debug)]
pub struct WriteFile(std::os::fd::OwnedFd);

impl WriteFile {
    /// Examines it. `statx`.
    pub fn stat(&self) -> Result<Stat> {
        todo!()
    }
    /// Reads at `offset` until `buf` is full or the file ends. `pread64`.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        todo!()
    }
    /// Writes all of `data` at `offset`. `pwrite64`.
    pub fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        todo!()
    }
    /// Cuts or extends to `len` bytes. `ftruncate`.
    pub fn set_len(&self, len: u64) -> Result<()> {
        todo!()
    }
    /// Reserves `len` bytes without changing the length; a file system that cannot is no error. `fallocate`.
    pub fn reserve(&self, len: u64) -> Result<()> {
        todo!()
    }
    /// Writes data and length to the disk. `fdatasync`.
    pub fn sync(&self) -> Result<()> {
        todo!()
    }
    /// Sets attributes in the order of 03-transfer 7.3. `now`, if known, saves a `statx` when an owner is wanted. See [`Attrs`].
    pub fn set_attrs(&self, attrs: &Attrs, now: Option<&Stat>) -> AttrOutcome {
        todo!()
    }
}

/// Gathers small pieces of a file that is written from front to back (256 KiB). One for a session, reused from file to file.
#[derive(Debug)]
pub struct WriteBuffer {
    buf: Vec<u8>,
}

impl WriteBuffer {
    /// An empty buffer.
    pub fn new() -> Self {
        todo!()
    }
    /// Forgets what is in it and starts at `offset`.
    pub fn start(&mut self, offset: u64) {
        todo!()
    }
    /// Where the next byte goes.
    pub fn position(&self) -> u64 {
        todo!()
    }
    /// Appends `data`; writes when full (`pwrite64` once for each 256 KiB).
    pub fn put(&mut self, file: &WriteFile, data: &[u8]) -> Result<()> {
        todo!()
    }
    /// Appends `len` bytes (at most 256 KiB) that `fill` provides in place, such as a block of the basis.
    pub fn put_with<E: From<super::Errno>>(
        &mut self,
        file: &WriteFile,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        todo!()
    }
    /// Leaves `len` bytes as they are in the file (in-place update); what was gathered is written.
    pub fn skip(&mut self, file: &WriteFile, len: u64) -> Result<()> {
        todo!()
    }
    /// Writes what was gathered.
    pub fn flush(&mut self, file: &WriteFile) -> Result<()> {
        todo!()
    }
}

impl Default for WriteBuffer {
    fn default() -> Self {
        Self::new()
    }
}
