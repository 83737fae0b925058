//! Watches a tree and keeps rsync targets equal to it.

#![forbid(unsafe_code)]

mod clock;
mod coalesce;
mod dirty;
mod path;

pub use clock::*;
pub use coalesce::*;
pub use dirty::*;
pub use path::PathBytes;
