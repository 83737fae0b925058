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
mod paths;
mod place;
mod receiver;
mod reports;
mod setup;
mod signals;
mod storms;
mod targets;
mod torture;
