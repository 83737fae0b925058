//! Peers that break rules: whole sessions at any protocol, of which a test writes the part that breaks one.
//!
//! Both play the honest parts by themselves (greeting, arguments, set-up, the answers at the end), and speak the wire of
//! `docs/protocol` with an encoder of their own, which refuses nothing: a test can write any number anywhere. A
//! [`HostileDaemon`] serves any client, [`client`] talks to any daemon; stock rsync can be either's opposite, as a judge.
//!
//! [`SENDERS`] and [`RECEIVERS`] are tables of attacks; each can be made by a daemon on a client and by a client on a daemon, at
//! every protocol that has the words for it.
//!
//! ```no_run
//! use testkit::hostile::{DIR, Entry, HostileDaemon};
//!
//! // A daemon that lists "." alone, whatever it is asked for.
//! let daemon = HostileDaemon::start(31, |session| {
//!     session.out.entry(&Entry::new(".", DIR).top());
//!     session.end_list()?;
//!     session.finish()
//! });
//! println!("rsync -r --delete {}d /tmp/x", daemon.url("m"));
//! daemon.finish();
//! ```

mod attack;
mod peer;
mod receiver;
mod receivers;
mod senders;
mod wire;

pub use attack::{Attack, Outcome};

pub use peer::{Gone, HostileDaemon, Item, Options, Received, Session, client};
pub use receiver::HostileReceiver;
pub use receivers::RECEIVERS;
pub use senders::SENDERS;
pub use wire::{DEL_STATS, DONE, Entry, FLIST_EOF, Writer, sublist};

/// Mode of a directory, 0755.
pub const DIR: u32 = 0o040_755;
/// Mode of a regular file, 0644.
pub const FILE: u32 = 0o100_644;
/// Mode of a symlink.
pub const LINK: u32 = 0o120_777;

/// Item flags: data is asked for, or follows.
pub const TRANSFER: u16 = 0x8000;
/// Item flags: a byte with the type of the basis follows.
pub const BASIS_FOLLOWS: u16 = 0x0800;
/// Item flags: a name follows.
pub const XNAME_FOLLOWS: u16 = 0x1000;

/// Tags of messages (01-session 10.2).
pub mod tag {
    /// Text of an error that makes the transfer partial.
    pub const ERROR_XFER: u8 = 1;
    /// Text.
    pub const INFO: u8 = 2;
    /// Text of an error.
    pub const ERROR: u8 = 3;
    /// Text of a warning.
    pub const WARNING: u8 = 4;
    /// Bits of the I/O error.
    pub const IO_ERROR: u8 = 22;
    /// The peer ends with an exit code.
    pub const ERROR_EXIT: u8 = 86;
    /// An entry is in place.
    pub const SUCCESS: u8 = 100;
    /// A name was deleted.
    pub const DELETED: u8 = 101;
    /// An entry will not come.
    pub const NO_SEND: u8 = 102;
}
