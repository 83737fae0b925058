//! The only module of the engine that touches a file system (05-security 12 to 15).
//!
//! All other code deals in a held directory ([`Dir`]) and one checked component ([`Name`]); whole
//! paths below a root are [`RelPath`]s and go through a [`Tree`], whose resolver never leaves the
//! root. Paths of the operator (command line, configuration) enter through [`Tree::open`],
//! [`Tree::open_operator`] and [`operator`]. Nothing else takes a path.
//!
//! Every call fails with an [`Errno`]; [`describe`] words it as rsync does. The system calls named
//! in the documentation are those of a current kernel where nothing fails.

mod attrs;
mod cache;
mod context;
mod dir;
mod errno;
mod file;
mod hook;
mod ids;
mod list;
mod memory;
mod node;
pub mod operator;
mod path;
mod remove;
mod resolve;
mod staged;
mod stat;
mod sys;
mod temp;
mod tree;
mod walk;
mod write_buffer;

#[cfg(test)]
mod tests;

pub use attrs::{AttrOutcome, Attrs, umask};
pub use cache::DirCache;
pub use dir::Dir;
pub use errno::{Result, describe};
pub use file::{Atime, ReadFile, WriteFile};
pub use hook::Op;
#[cfg(any(test, feature = "fault-injection"))]
pub use hook::{Countdown, Interpose};
pub use ids::{
    IdKind, IdMapper, IdPolicy, IdRules, IdRulesError, NameService, SystemNames, UnknownTarget,
    own_groups,
};
pub use list::{ListBuf, ListEntry, Listing};
pub use memory::machine_memory;
pub use node::Node;
pub use path::{Name, NameBuf, PathError, RelPath, RelPathBuf};
pub use remove::{Deleter, Doomed, RemoveOptions, remove_tree};
pub use rustix::io::Errno;
pub use staged::{Special, Staged};
pub use stat::{FileId, FileKind, Stat, Timestamp};
pub use temp::{Temp, TempPlace};
pub use tree::{Links, Resolver, Tree};
pub use write_buffer::WriteBuffer;
