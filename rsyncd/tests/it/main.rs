//! The daemon over real sockets: scripted clients and the stock client, up to the start of a session.

mod admission;
mod confinement;
mod handshake;
mod harness;
mod lifecycle;
mod module_filters;
mod stock;
mod transfer;
