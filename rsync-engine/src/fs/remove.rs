//! Recursive deletion (03-transfer 8.2, 8.3).

use super::{Dir, Errno, FileKind, Name, RelPath, Result};

/// An entry that is about to be deleted.
#[derive(Clone, Copy, Debug)]
pub struct Doomed<'a> {
    /// The held directory that contains it.
    pub dir: &'a Dir,
    /// Its name there.
    pub name: Name<'a>,
    /// Its path: the prefix given to the walk, and the names below.
    pub path: RelPath<'a>,
    /// Its type.
    pub kind: FileKind,
}

impl Doomed<'_> {
    /// Removes it: one `unlinkat`.
    pub fn remove(&self) -> Result<()> {
        todo!()
    }
}

/// Decides about each entry and learns what became of it.
pub trait Deleter {
    /// True if the entry (and everything below it) stays: protected by a filter. Asked once, before anything below it is looked at.
    fn protects(&mut self, _entry: &Doomed<'_>) -> bool {
        false
    }
    /// Carries out the removal (of a directory: after its contents). `Ok(true)`: gone (or, in a dry run, would be); `Ok(false)`: stays.
    /// A backup renames here, a limit counts here, reports are written here.
    fn remove(&mut self, entry: &Doomed<'_>) -> Result<bool> {
        entry.remove().map(|()| true)
    }
    /// The entry stays because of an error; ENOTEMPTY for a directory of which something stays; EXDEV for a mount point with
    /// `one_file_system`. The walk goes on.
    fn failed(&mut self, entry: &Doomed<'_>, errno: Errno);
}

/// How a deletion walks.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Do not enter or remove directories on another device (-x).
    pub one_file_system: bool,
}

/// Deletes `name` of `dir`, contents before the directory, within a directory in reverse sort order (subdirectories first). `path`
/// is what the reports call `name`. True if it is gone. No recursion; a bounded number of handles at any depth.
pub fn remove_tree(
    dir: &Dir,
    name: Name<'_>,
    path: RelPath<'_>,
    options: RemoveOptions,
    deleter: &mut dyn Deleter,
) -> Result<bool> {
    todo!()
}

/// Deletes everything below `name` of `dir`, but not `name` itself. True if it is empty now.
pub fn remove_contents(
    dir: &Dir,
    name: Name<'_>,
    path: RelPath<'_>,
    options: RemoveOptions,
    deleter: &mut dyn Deleter,
) -> Result<bool> {
    todo!()
}
