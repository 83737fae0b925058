//! The computing part of rsync: checksums, block layout, signatures, match search, patching. No I/O.
//!
//! The order of use on the two sides of a transfer:
//!
//! - generator: [`Layout::plan`] for the basis file, [`BlockSums`] over its data, both sent to the peer;
//! - sender: [`BlockSums`] from the peer, an [`Index`] over them, then a [`Matcher`] that is fed the new file and
//!   calls an [`OpSink`] with literals and block numbers;
//! - receiver: [`BlockRuns`] turns block numbers into ranges of the basis file, a [`FileHasher`] checks the result.
//!
//! What this crate refuses to be: it reads no file and knows no wire format, has no thread and allocates only what its
//! caller keeps and reuses ([`BlockSums`], [`Index`], [`Window`]); where a peer decides how much, failing is an error
//! ([`OutOfMemory`]). SIMD is chosen at run time where it pays; the scalar
//! code says the same.
//!
//! The sums find data that changed by accident. None of them is a defence against somebody who makes two files look
//! equal.
//!
//! # Example
//!
//! ```
//! use rsync_delta::{BlockRule, BlockSums, Checksum, Index, Layout, MAX_BLOCK_LEN, Matcher, OpSink, Pass, Window};
//!
//! /// Counts what a delta consists of.
//! #[derive(Default)]
//! struct Count {
//!     literal: usize,
//!     blocks: usize,
//! }
//!
//! impl OpSink for Count {
//!     type Error = std::convert::Infallible;
//!
//!     fn literal(&mut self, data: &[u8]) -> Result<(), Self::Error> {
//!         self.literal += data.len();
//!         Ok(())
//!     }
//!
//!     fn copy(&mut self, _block: u32) -> Result<(), Self::Error> {
//!         self.blocks += 1;
//!         Ok(())
//!     }
//! }
//!
//! // The generator, of a file of 70,000 bytes.
//! let basis = vec![7; 70_000];
//! let (checksum, seed) = (Checksum::Xxh128, 12345);
//! let rule = BlockRule::Derived { max: MAX_BLOCK_LEN };
//! let layout = Layout::plan(basis.len() as u64, rule, checksum.digest_len(), Pass::First).ok_or("too long")?;
//! let mut sums = BlockSums::new(checksum, seed);
//! sums.reset(layout);
//! sums.push_blocks(&basis);
//!
//! // The sender: the same file with three bytes in front.
//! let new = [&b"new"[..], &basis].concat();
//! let (mut index, mut window, mut count) = (Index::new(), Window::new(), Count::default());
//! index.build(&sums)?;
//! let mut matcher = Matcher::new(&sums, &index, &mut window);
//! let mut rest = &new[..];
//! while !rest.is_empty() {
//!     let space = matcher.space()?;
//!     let len = space.len().min(rest.len());
//!     space[..len].copy_from_slice(&rest[..len]);
//!     matcher.filled(len);
//!     matcher.scan(&mut count)?;
//!     rest = &rest[len..];
//! }
//! matcher.finish(&mut count)?;
//! assert_eq!((count.literal, count.blocks), (3, layout.count() as usize));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
mod memory;
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
pub use layout::{BlockRule, Layout, MAX_BLOCK_LEN, MAX_BLOCK_LEN_OLD, Pass, longest_block};
pub use matcher::{Matcher, OpSink};
pub use memory::OutOfMemory;
pub use patch::{BlockRuns, PatchError, Run};
pub use rolling::{Rolling, weak_sum};
pub use window::{MAX_LITERAL, Window};
