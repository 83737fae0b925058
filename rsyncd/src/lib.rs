//! An rsync daemon as a library: rsyncd.conf, access control, authentication, confined sessions.
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
