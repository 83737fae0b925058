//! Transfers of the library: against a real rsync, and in this process.

mod acknowledged;
mod differential;
mod gone;
mod run;
