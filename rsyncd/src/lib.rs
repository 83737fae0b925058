//! An rsync daemon as a library: rsyncd.conf, access control, authentication, confined sessions.
//!
//! [`Server`] reads a configuration, binds sockets and serves connections until it is told to stop. All up to the
//! arguments of a client is async code with deadlines ([`limits`]). Then a [`SessionRunner`](session::SessionRunner)
//! gets a [`SessionRequest`](session::SessionRequest) on a thread that has taken the module's identity
//! ([`confine`]); [`serve::EngineRunner`] is the one that transfers files.
//!
//! What it refuses to be: it has no command line, installs no signal handler, starts no program, and changes nothing
//! of the process it lives in but that a root daemon's first session makes the process undumpable.
//!
//! ```no_run
//! use std::sync::Arc;
//! use rsyncd::{Server, ServerOptions, serve::EngineRunner};
//!
//! # async fn example() -> Result<(), rsyncd::ServerError> {
//! let config = "/etc/rsyncd.conf".as_ref();
//! let server = Server::new(config, Arc::new(EngineRunner), ServerOptions::default())?;
//! let listeners = server.bind()?;
//! server.serve(listeners, std::future::pending()).await
//! # }
//! ```
//!
//! - [`config`]: rsyncd.conf as values; what is wrong with it
//! - [`access`], [`auth`], [`refuse`], [`request`]: the rules of a module, as pure functions
//! - [`session`], [`serve`], [`confine`]: what runs behind `@RSYNCD: OK`
//! - [`log`], [`logfmt`]: the log
#![deny(unsafe_code)]

pub mod access;
mod admission;
pub mod auth;
pub mod config;
pub mod confine;
mod connection;
mod identity;
pub mod limits;
mod line;
pub mod log;
pub mod logfmt;
mod motd;
mod names;
mod operator;
mod pid_file;
pub mod refuse;
pub mod request;
mod resolve;
pub mod serve;
mod server;
pub mod session;
mod slots;
mod text;
mod variables;
mod wildcard;

pub use names::HostNames;
pub use server::{Server, ServerError, ServerOptions};
