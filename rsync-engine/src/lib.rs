//! The file side of rsync: sender, generator and receiver over any byte stream, confined file access, filters.
//!
//! Everything here is plain blocking code over [`std::io::Read`] and [`std::io::Write`]. It knows no socket, no
//! argument vector of its own process and no terminal: [`syncline`](https://docs.rs/syncline) brings connections,
//! `rsyncd` brings modules and identities, the command brings words and output. It holds no handle of a runtime, so
//! that a thread may confine itself and run it; and it has one transfer engine: a local copy is both roles over two
//! [`pipe`]s.
//!
//! The types to know: [`Session`] (what both ends agreed on), [`send()`] and [`receive()`] (the two sides of one
//! transfer), [`fs::Tree`] (the only way to a file), [`Events`] and [`Outcome`] (what comes back), [`Cancel`] (what
//! ends it from outside), [`Budget`] (how much memory the peer may make it hold).
//!
//! - [`options`]: what a transfer is asked to do, and its argument vector
//! - [`filter`], [`rules`]: the filter language, and what it says while trees are walked
//! - [`fs`]: the only module that touches a file system
//! - [`setup`]: the first bytes of a session
//! - [`send`](mod@send), [`receive`](mod@receive): the roles
//! - [`wire_in`], [`wire_out`], [`pipe`]: streams
//!
//! Failures of single files are [`Event::Failed`] and a flag in the [`Outcome`]; what ends a run is an [`Error`] with
//! rsync's exit code.
//!
//! # Example
//!
//! Files are reached through a held directory, never by a path that somebody else wrote:
//!
//! ```
//! use rsync_engine::fs::{Atime, Errno, Links, RelPath, Tree};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # std::fs::write(dir.path().join("greeting"), "hello")?;
//! # std::os::unix::fs::symlink("/etc/passwd", dir.path().join("trap"))?;
//! # let root = dir.path();
//! let tree = Tree::open(root)?;
//! let mut file = tree.open_read(RelPath::new(b"greeting")?, Links::Refuse, Atime::Update)?;
//! let mut text = [0; 16];
//! let len = file.read(&mut text)?;
//! assert_eq!(&text[..len], b"hello");
//!
//! assert!(RelPath::new(b"../outside").is_err());
//! let led_out = tree.open_read(RelPath::new(b"trap")?, Links::Beneath, Atime::Update);
//! assert_eq!(led_out.err(), Some(Errno::XDEV));
//! # Ok(())
//! # }
//! ```
//!
//! A whole transfer is shown by the front page of `syncline`.

#![deny(unsafe_code)]
#![cfg_attr(
    test,
    expect(
        clippy::disallowed_methods,
        reason = "tests build their trees with std::fs"
    )
)]

mod budget;
mod cancel;
mod checksums;
mod error;
mod event;
mod exit;
mod farewell;
pub mod filter;
pub mod fs;
mod inbox;
mod io_clock;
mod list;
pub mod options;
mod outcome;
mod peer_end;
pub mod pipe;
pub mod receive;
pub mod rules;
pub mod send;
mod session;
pub mod setup;
pub mod wire_in;
pub mod wire_out;

pub use budget::{Budget, Charge};
pub use cancel::Cancel;
pub use error::Error;
pub use event::{
    Cost, Event, Events, FileFailure, Item, NoEvents, Progress, SystemError, TextKind,
};
pub use exit::exit_text;
pub use io_clock::IoClock;
pub use outcome::{IO_DELETE_LIMIT, IO_GENERAL, IO_VANISHED, Outcome, TransferStats, TypeCounts};
pub use receive::receive;
pub use send::send;
pub use session::{Session, Trouble};
pub use wire_in::WireIn;
pub use wire_out::WireOut;
