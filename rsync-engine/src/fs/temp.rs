//! Temporary files (03-transfer 7.1).

use super::{Dir, Name, Result, WriteFile};

/// Where a temporary file lies, which decides its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TempPlace {
    /// Beside the file that it becomes: `.NAME.XXXXXX`.
    Beside,
    /// In a `--temp-dir`: `NAME.XXXXXX`.
    TempDir,
}

/// A temporary file: removed on drop unless it was published or kept.
#[derive(Debug)]
pub struct Temp;

impl Temp {
    /// The file, for data and attributes.
    pub fn file(&self) -> &WriteFile {
        todo!()
    }
    /// Its name.
    pub fn name(&self) -> Name<'_> {
        todo!()
    }
    /// Moves it to `name` in `dir`, replacing what is there. On failure it is still a temporary. EXDEV if `dir` is on another file
    /// system: see [`Temp::copy_to`]. One `renameat`.
    pub fn publish(&mut self, dir: &Dir, name: Name<'_>) -> Result<()> {
        todo!()
    }
    /// Copies the data into a new temporary beside `name` in `dir`, for what cannot be renamed there. Attributes are the caller's.
    pub fn copy_to(&self, dir: &Dir, name: Name<'_>, mode: u32) -> Result<Temp> {
        todo!()
    }
    /// Leaves it where it is, under its temporary name.
    pub fn keep(self) {
        todo!()
    }
}
