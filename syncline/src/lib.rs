//! rsync as a library: push and pull trees to and from rsync daemons, and copy locally, in this process.
//!
//! [`Client`] is the front door; [`Target`] says where to, [`TransferOptions`] how. Everything below it is
//! blocking and runs on threads of its own; [`Transfer`] is the asynchronous view of one run, for any runtime, and
//! [`Transfer::run_blocking`] the one without.
//!
//! ```no_run
//! use syncline::{Client, Target, TransferOptions};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let target: Target = "rsync://backup@nas.example/home/alice/".parse()?;
//! let client = Client::builder().password("secret").build();
//! let mut transfer = client.push(["/home/alice/"], &target, TransferOptions::archive());
//! while let Some(event) = transfer.next_event().await {
//!     println!("{event:?}");
//! }
//! let outcome = transfer.finish().await?;
//! println!("{} files sent", outcome.stats.transferred);
//! # Ok(())
//! # }
//! ```
//!
//! Below the front door: [`daemon::OpenSession`] is a session whose set-up is done and that can be kept for a while,
//! [`local::copy`] both sides of a transfer in this process, [`source`] reads source arguments as rsync does,
//! [`tcp`] the sockets, [`engine`] everything else.
//!
//! What it refuses to be: it never spawns a process, never writes to the terminal, and never changes anything of its
//! own process. Text of a peer arrives as [`PeerText`], which is escaped when it is printed.

#![forbid(unsafe_code)]

mod client;
pub mod daemon;
mod error;
mod filters;
mod handshake;
pub mod local;
mod pace;
pub mod source;
mod target;
pub mod tcp;

pub use client::{Client, ClientBuilder, Transfer, TransferEvent};
pub use error::Error;
pub use filters::Filters;
pub use handshake::Credentials;
pub use target::{DAEMON_PORT, DaemonTarget, Target, TargetError};

pub use rsync_engine as engine;
pub use rsync_engine::options::TransferOptions;
pub use rsync_engine::{Cancel, Event, Events, NoEvents, Outcome};
pub use rsync_proto::PeerText;
