//! The computing part of rsync: checksums, block layout, signatures, match search, patching. No I/O.
//!
//! The order of use on the two sides of a transfer:
//!
//! - generator: [`Layout::plan`] for the basis file, [`BlockSums`] over its data, both sent to the peer;
//! - sender: [`BlockSums`] from the peer, an [`Index`] over them, then a [`Matcher`] that is fed the new file and
//!   calls an [`OpSink`] with literals and block numbers;
//! - receiver: [`BlockRuns`] turns block numbers into ranges of the basis file, a [`FileHasher`] checks the result.
//!
//! Sections named in the documentation ("03-transfer 4.2") are those of docs/protocol/.

#![deny(unsafe_code)]

mod block_sums;
mod checksum;
mod digest;
mod hasher;
mod index;
mod layout;
mod matcher;
#[cfg(target_arch = "x86_64")]
mod md5_lanes;
mod md5_serial;
mod patch;
mod rolling;
#[cfg(target_arch = "x86_64")]
mod simd;
mod window;

pub use block_sums::BlockSums;
pub use checksum::Checksum;
pub use digest::Digest;
pub use hasher::FileHasher;
pub use index::Index;
pub use layout::{BlockRule, Layout, MAX_BLOCK_LEN, MAX_BLOCK_LEN_OLD, Pass};
pub use matcher::{Matcher, OpSink};
pub use patch::{BlockRuns, PatchError, Run};
pub use rolling::{Rolling, weak_sum};
pub use window::{MAX_LITERAL, Window};
