//! The rsync wire protocol as values: bytes to messages and back, protocols 29 to 32. No I/O.
//!
//! Every decoder is a function of its own state and some bytes. It gives a message, or
//! [`DecodeError::Incomplete`] when bytes are missing (state untouched: append bytes and call again), or a
//! [`Violation`]. Every encoder appends to a `Vec<u8>`. Every number that a peer sends meets a named cap of
//! [`limits`] before it sizes anything.
//!
//! The rules are those of `docs/protocol/`; the items here name the section they implement ("01-session 3.1").
//!
//! What this crate refuses to be: it opens no file and no socket, has no clock, no thread and no source of
//! random numbers, and decides nothing about files. It builds for `wasm32-unknown-unknown`.
//!
//! # Modules, in the order in which a session meets them
//!
//! - [`version`], [`limits`], [`error`], [`wire`]: the floor under everything
//! - [`greeting`], [`mod@line`], [`request`], [`replies`], [`auth`]: the text phase of a daemon
//! - [`args`]: the argument vector
//! - [`setup`]: compat flags, negotiation, seed; gives [`setup::Negotiated`]
//! - [`mux`]: frames and messages
//! - [`filter`], [`files_from`]: what a client sends ahead
//! - [`flist`]: the file list
//! - [`ndx`], [`item`], [`sums`], [`token`]: requests and replies
//! - [`stats`]: the numbers at the end
//! - [`text`]: bytes of a peer on their way to a person
//!
//! # Example
//!
//! ```
//! use rsync_proto::wire::{Cursor, put_varint};
//!
//! let mut bytes = Vec::new();
//! put_varint(&mut bytes, 16384);
//! assert_eq!(bytes, [0xc0, 0x00, 0x40]);
//! assert_eq!(Cursor::new(&bytes).varint(), Ok(16384));
//! ```
#![forbid(unsafe_code)]
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::host_endian_bytes,
    clippy::big_endian_bytes
)]

pub mod args;
pub mod auth;
pub mod error;
pub mod files_from;
pub mod filter;
pub mod flist;
pub mod greeting;
pub mod item;
pub mod limits;
pub mod line;
pub mod mux;
mod names;
pub mod ndx;
pub mod replies;
pub mod request;
pub mod setup;
pub mod stats;
pub mod sums;
pub mod text;
pub mod token;
pub mod version;
pub mod wire;

pub use error::{DecodeError, EncodeError, Unsupported, Violation};
pub use text::PeerText;
pub use version::Protocol;
