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
//! - [`flist`]: the file list
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

pub mod error;
pub mod flist;
pub mod limits;
pub mod version;
pub mod wire;

pub use error::{DecodeError, EncodeError, Unsupported, Violation};
pub use version::Protocol;
