//! The daemon over real sockets: scripted clients and the stock client, up to the start of a session.

mod admission;
mod confinement;
mod gone;
mod handshake;
mod harness;
mod hostile;
mod lifecycle;
mod memory;
mod module_filters;
mod stock;
mod transfer;
