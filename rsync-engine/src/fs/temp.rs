//! Temporary files (03-transfer 7.1).

use super::context::Context;
use super::path::MAX_NAME;
use super::{Dir, Errno, Name, NameBuf, Result, WriteFile};

/// Where a temporary file lies, which decides its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TempPlace {
    /// Beside the file that it becomes: `.NAME.XXXXXX`.
    Beside,
    /// In a `--temp-dir`: `NAME.XXXXXX`, a dot at its start kept.
    TempDir,
}

/// A temporary file: removed on drop unless it was published or kept.
#[derive(Debug)]
pub struct Temp {
    file: WriteFile,
    guard: Guard,
}

/// A name that is removed on drop.
#[derive(Debug)]
pub(super) struct Guard {
    dir: Dir,
    name: NameBuf,
    armed: bool,
}

impl Temp {
    /// The file, for data and attributes.
    pub fn file(&self) -> &WriteFile {
        &self.file
    }

    /// Its name.
    pub fn name(&self) -> Name<'_> {
        self.guard.name.as_name()
    }

    /// Moves it to `name` in `dir`, replacing what is there (EISDIR for a directory). On failure it
    /// is still a temporary. EXDEV if `dir` is on another file system: see [`Temp::copy_to`]. One
    /// `renameat`; a target that is busy (ETXTBSY) is first renamed to `.rsyncNNN`.
    pub fn publish(&mut self, dir: &Dir, name: Name<'_>) -> Result<()> {
        self.guard.publish(dir, name)
    }

    /// Copies the data into a new temporary beside `name` in `dir`, for what cannot be renamed
    /// there. Attributes are the caller's.
    pub fn copy_to(&self, dir: &Dir, name: Name<'_>, mode: u32) -> Result<Self> {
        let copy = dir.create_temp(name, mode, TempPlace::Beside)?;
        let mut buf = vec![0; COPY_PIECE];
        let mut offset = 0;
        loop {
            let count = self.file.read_at(&mut buf, offset)?;
            copy.file.write_at(&buf[..count], offset)?;
            offset += count as u64;
            if count < buf.len() {
                return Ok(copy);
            }
        }
    }

    /// Leaves it where it is, under its temporary name.
    pub fn keep(mut self) {
        self.guard.armed = false;
    }

    pub(super) fn create(dir: &Dir, name: Name<'_>, mode: u32, place: TempPlace) -> Result<Self> {
        let mode = (mode | 0o200) & 0o700;
        for _ in 0..ATTEMPTS {
            let temp = temp_name(name, place, &random_letters(dir.context()));
            match dir.create(temp.as_name(), mode) {
                Err(Errno::EXIST) => {}
                file => {
                    return Ok(Self {
                        file: file?,
                        guard: Guard::new(dir, temp),
                    });
                }
            }
        }
        Err(Errno::EXIST)
    }
}

impl Guard {
    /// Guards what `make` makes under a temporary name for `name`, whose random part is a decimal
    /// number.
    pub(super) fn create(
        dir: &Dir,
        name: Name<'_>,
        make: impl Fn(Name<'_>) -> Result<()>,
    ) -> Result<Self> {
        for _ in 0..ATTEMPTS {
            let number = (dir.context().random() % 1_000_000).to_string();
            let temp = temp_name(name, TempPlace::Beside, number.as_bytes());
            match make(temp.as_name()) {
                Err(Errno::EXIST) => {}
                made => return made.map(|()| Self::new(dir, temp)),
            }
        }
        Err(Errno::EXIST)
    }

    fn new(dir: &Dir, name: NameBuf) -> Self {
        Self {
            dir: dir.clone(),
            name,
            armed: true,
        }
    }

    pub(super) fn publish(&mut self, dir: &Dir, name: Name<'_>) -> Result<()> {
        let mut tries = BUSY_TRIES;
        loop {
            match self.dir.rename(self.name.as_name(), dir, name) {
                Err(Errno::TXTBSY) if tries > 0 => {
                    tries -= 1;
                    dir.set_aside(name)?;
                }
                result => {
                    result?;
                    self.armed = false;
                    return Ok(());
                }
            }
        }
    }

    pub(super) fn dir(&self) -> &Dir {
        &self.dir
    }

    pub(super) fn name(&self) -> Name<'_> {
        self.name.as_name()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.armed {
            // Nobody is left to tell; a name that is gone already is no harm.
            let _ = self.dir.unlink(self.name.as_name());
        }
    }
}

/// The name for a busy target that is put aside: `.rsync` and three digits.
pub(super) fn busy_name(context: &Context) -> NameBuf {
    let name = format!(".rsync{:03}", context.random() % 1000);
    Name::new(name.as_bytes())
        .expect("letters and digits")
        .to_buf()
}

fn random_letters(context: &Context) -> [u8; 6] {
    let mut bits = context.random();
    std::array::from_fn(|_| {
        let letter = LETTERS[(bits % LETTERS.len() as u64) as usize];
        bits /= LETTERS.len() as u64;
        letter
    })
}

/// `.NAME.RANDOM`. NAME has at most [`MAX_BASE`] bytes and loses a dot at its end; a dot at its start
/// is not doubled.
fn temp_name(name: Name<'_>, place: TempPlace, random: &[u8]) -> NameBuf {
    let mut temp = Vec::with_capacity(MAX_NAME);
    let mut base = name.as_bytes();
    if place == TempPlace::Beside {
        temp.push(b'.');
        base = base.strip_prefix(b".").unwrap_or(base);
    }
    base = cut(base);
    temp.extend_from_slice(base.strip_suffix(b".").unwrap_or(base));
    temp.push(b'.');
    temp.extend_from_slice(random);
    Name::new(&temp)
        .expect("a part of a name and a short suffix")
        .to_buf()
}

/// At most [`MAX_BASE`] bytes, not ending inside a UTF-8 sequence.
fn cut(base: &[u8]) -> &[u8] {
    if base.len() <= MAX_BASE {
        return base;
    }
    // A sequence has at most three continuation bytes; more of them are no text, and any place will do.
    let starts = |at: &usize| base[*at] & 0xc0 != 0x80;
    let end = (MAX_BASE - 3..=MAX_BASE)
        .rev()
        .find(starts)
        .unwrap_or(MAX_BASE);
    &base[..end]
}

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Bytes of the name that remain in a temporary name (03-transfer 7.1).
const MAX_BASE: usize = 246;

/// How many names are tried before EEXIST is given up on.
const ATTEMPTS: usize = 100;

/// How often a busy target is put aside (03-transfer 7.2).
const BUSY_TRIES: usize = 4;

/// Bytes copied at once where renaming is impossible.
const COPY_PIECE: usize = 256 << 10;
