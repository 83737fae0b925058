//! An rsync daemon as a library: rsyncd.conf, access control, authentication, confined sessions.
#![deny(unsafe_code)]

pub mod access;
pub mod auth;
pub mod config;
pub mod confine;
mod identity;
pub mod limits;
pub mod log;
pub mod logfmt;
mod motd;
mod operator;
pub mod refuse;
pub mod request;
mod slots;
mod text;
mod wildcard;
