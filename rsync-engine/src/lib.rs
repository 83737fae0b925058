//! The file side of rsync: sender, generator and receiver over any byte stream, confined file access, filters.
//!
//! Everything here is plain blocking code over [`std::io::Read`] and [`std::io::Write`]. It knows no socket, no
//! argument vector of its own process and no terminal: [`syncline`](https://docs.rs/syncline) brings connections,
//! `rsyncd` brings modules and identities, the command brings words and output.
//!
//! The types to know: [`Session`] (what both ends agreed on), [`send()`] and [`receive()`] (the two sides of one
//! transfer), [`fs::Tree`] (the only way to a file), [`Events`] and [`Outcome`] (what comes back).
//!
//! - [`options`]: what a transfer is asked to do, and its argument vector
//! - [`fs`]: the only module that touches a file system
//! - [`setup`]: the first bytes of a session
//! - [`send`](mod@send), [`receive`](mod@receive): the roles
//! - [`wire_in`], [`wire_out`], [`pipe`]: streams

#![deny(unsafe_code)]
#![cfg_attr(
    test,
    expect(
        clippy::disallowed_methods,
        reason = "tests build their trees with std::fs"
    )
)]

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
pub mod pipe;
pub mod receive;
pub mod rules;
pub mod send;
mod session;
pub mod setup;
pub mod wire_in;
pub mod wire_out;

pub use cancel::Cancel;
pub use error::Error;
pub use event::{Event, Events, FileFailure, Item, NoEvents, Progress, SystemError, TextKind};
pub use exit::exit_text;
pub use io_clock::IoClock;
pub use outcome::{IO_DELETE_LIMIT, IO_GENERAL, IO_VANISHED, Outcome, TransferStats, TypeCounts};
pub use receive::receive;
pub use send::send;
pub use session::{Session, Trouble};
pub use wire_in::WireIn;
pub use wire_out::WireOut;
