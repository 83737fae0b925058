//! The built binary as users run it, against real rsync clients and daemons.

mod command;
mod deliveries;
mod delta;
mod demo;
mod failures;
mod filters;
mod following;
mod hostile;
mod oneshot;
mod outages;
mod receiver;
mod setup;
mod signals;
mod storms;
mod targets;
mod torture;
