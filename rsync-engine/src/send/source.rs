//! What a sender sends: source arguments, and the names a watcher picked.

use std::collections::HashSet;

use crate::error::Error;
use crate::fs::{Dir, Errno, Links, RelPath, Tree};

/// Everything the sender needs beside the session.
pub struct Send {
    /// What to send.
    pub source: Source,
    /// What filters hide.
    pub selection: Box<dyn Selection>,
    /// Looks up names of users and groups.
    pub names: Box<dyn crate::fs::NameService>,
    /// Take the prefix off symlinks that a daemon's `munge symlinks` disarmed.
    pub munge_links: bool,
}

impl std::fmt::Debug for Send {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Send")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// What to send.
#[derive(Debug)]
pub enum Source {
    /// Source arguments, walked as the options say.
    Arguments(Vec<Argument>),
    /// Source arguments of which some have a directory that cannot be changed into: those are reported, the others are
    /// sent, and nothing is deleted for want of what was not read.
    Partial {
        /// Those that could be opened.
        arguments: Vec<Argument>,
        /// The directories of the others.
        unopened: Vec<Unopened>,
    },
    /// Exactly these names and their parents; nothing is walked. Never incremental.
    Picked(Picked),
}

/// One source argument, split as 02-file-list 14.1 and 14.3 say.
#[derive(Debug, Clone)]
pub struct Argument {
    /// The directory that names are relative to.
    pub tree: Tree,
    /// Its absolute path as it was named, for rules that are compared with such; of a daemon, within the module.
    pub absolute: Vec<u8>,
    /// Which links on the way from `tree` to the argument are followed.
    pub links: Links,
    /// The name in the transfer: `.` for the contents of `tree` itself; with `-R` a path, perhaps with a
    /// leading slash or a leading `./`, which makes `tree` itself one of its parents.
    pub name: Vec<u8>,
    /// With `-R`: send the directories above the name too.
    pub implied: bool,
    /// The contents are meant: a trailing slash, or `.`.
    pub contents: bool,
    /// As the user wrote it, for messages.
    pub shown: Vec<u8>,
    /// The directory that `tree` is, as the user wrote it, for reports ([`crate::Item::place`]).
    pub place: Vec<u8>,
}

/// The directory of a source argument, which cannot be changed into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unopened {
    /// Its path, for messages.
    pub path: Vec<u8>,
    /// Why not.
    pub errno: Errno,
}

/// Names picked below one root.
#[derive(Debug)]
pub struct Picked {
    /// The root.
    pub tree: Tree,
    /// Its absolute path as it was named, for rules that are compared with such.
    pub absolute: Vec<u8>,
    /// The names, in any order; none twice. What filters hide, as what it is when the list is made, is as if it were not there.
    pub names: Vec<PickedName>,
    /// Directories in which the receiver may delete what is not listed, as far as its rules let it; the empty
    /// path is the root.
    pub content: HashSet<Vec<u8>>,
}

/// One picked name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PickedName {
    /// Path below the root; empty for the root itself.
    pub path: Vec<u8>,
    /// What the receiver shall do about it.
    pub action: PickedAction,
}

/// What the receiver shall do about a picked name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PickedAction {
    /// Make it like the source's.
    Send,
    /// Delete it: a mode-0 entry (03-transfer 8.5).
    Delete,
}

/// What filters say about names at the sending side.
pub trait Selection: std::marker::Send {
    /// Adds a source root, by its [`Argument::absolute`] path. They are numbered from 0.
    fn add_root(&mut self, absolute: &[u8]);
    /// Called before names of a directory are asked about, so that per-directory rule files can be read from
    /// it. `path` is relative to `tree`, which is the source root of this number. What was entered before counts as far
    /// as it leads here.
    fn enter(&mut self, root: u16, path: RelPath<'_>, dir: &Dir, tree: &Tree);
    /// Whether a name is hidden from the transfer.
    fn hides(&mut self, root: u16, path: RelPath<'_>, is_dir: bool) -> bool;
    /// A rule file that cannot be used, found since the last call: it ends the run.
    fn take_fault(&mut self) -> Option<Error>;
    /// What else is to be said about rule files since the last call, a line each.
    fn take_notices(&mut self) -> Vec<String> {
        Vec::new()
    }
    /// Asked when the receiver wants the data of a listed file: whether it does not get it. The receiver then keeps what it has, as if
    /// the file had vanished, but nothing is reported as failed (MSG_NO_SEND, 03-transfer 7).
    fn withholds(&mut self, _name: &[u8]) -> bool {
        false
    }
}

/// Hides nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Everything;

impl Selection for Everything {
    fn add_root(&mut self, _absolute: &[u8]) {}
    fn enter(&mut self, _root: u16, _path: RelPath<'_>, _dir: &Dir, _tree: &Tree) {}
    fn hides(&mut self, _root: u16, _path: RelPath<'_>, _is_dir: bool) -> bool {
        false
    }
    fn take_fault(&mut self) -> Option<Error> {
        None
    }
}
