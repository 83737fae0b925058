//! The built binary as users run it, against real rsync clients and daemons.

mod command;
mod following;
mod oneshot;
mod receiver;
mod setup;
mod signals;
