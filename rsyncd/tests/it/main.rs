//! The daemon over real sockets: scripted clients and the stock client, up to the start of a session.

mod confinement;
mod gone;
mod handshake;
mod harness;
mod lifecycle;
mod memory;
mod stock;
mod transfer;
