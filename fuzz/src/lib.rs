//! Fuzz targets, one a decoder, and all that is needed to run them.
//!
//! A target is a plain function of some bytes that panics if a decoder breaks a promise: that it does not panic
//! itself, that it takes no memory for what a peer only announces, that the cuts between reads make no
//! difference, that what was decoded encodes to bytes that decode to the same. The functions run on a stable
//! compiler:
//!
//! - the smoke test (`cargo test -p syncline-fuzz`) feeds them all [seeds](Target::seeds), all inputs that ever
//!   failed (`regressions/`), and a bounded number of [mutations](mutate), the same in every run;
//! - the binaries of `fuzz_targets/` hand them to libFuzzer (`cargo fuzz`, see docs/testing.md).
//!
//! Many inputs begin with a [`Header`](header::Header): options that the decoder is told, not bytes that it reads.
#![forbid(unsafe_code)]

pub mod header;
pub mod incremental;
pub mod lists;
pub mod mutate;
pub mod recording;
pub mod session;
mod target;
pub mod targets;
pub mod vectors;

pub use target::Target;
pub use targets::TARGETS;
