//! The file list (02-file-list 4 to 8, 10, 13): entries both ways, their order, duplicates, id lists.
//!
//! A sender calls [`Encoder::start_list`], [`Encoder::encode`] for each entry and [`Encoder::end`]; a receiver
//! calls [`Decoder::start_list`] and [`Decoder::decode`] until it gets [`Item::End`]. Both keep the running
//! state of section 4.4 for the whole session, so one of each serves all lists of an incremental transfer.
//! Afterwards both sides [`sort`] the same names in the same way; the receiver drops duplicates with
//! [`find_duplicates`] and looks names up with [`find`].
//!
//! Not here: access times, creation times, ACLs, extended attributes and charset conversion. A peer that sets
//! a bit of one of them is refused.
//!
//! ```
//! use rsync_proto::Protocol;
//! use rsync_proto::flist::{Decoder, Encoder, Entry, EntryOptions, Item};
//! use rsync_proto::wire::Cursor;
//!
//! let options = EntryOptions::new(Protocol::MAX);
//! let mut bytes = Vec::new();
//! let mut encoder = Encoder::new(options.clone());
//! encoder.start_list(0);
//! let entry = Entry { name: b"a.txt", size: 6, mode: 0o100_644, ..Entry::default() };
//! encoder.encode(&entry, &mut bytes)?;
//! encoder.end(0, &mut bytes);
//!
//! let mut decoder = Decoder::new(options);
//! decoder.start_list(0);
//! let mut cursor = Cursor::new(&bytes);
//! assert_eq!(decoder.decode(&mut cursor), Ok(Item::Entry));
//! assert_eq!(decoder.entry(), entry);
//! assert_eq!(decoder.decode(&mut cursor), Ok(Item::End { io_error: 0 }));
//! # Ok::<(), rsync_proto::EncodeError>(())
//! ```

mod content;
mod decode;
mod duplicates;
mod encode;
mod entry;
mod fields;
mod flags;
mod groups;
mod ids;
mod name;
mod options;
mod order;
mod state;

pub use decode::{Decoder, Item};
pub use duplicates::{DirFlags, find, find_duplicates, find_orphans};
pub use encode::Encoder;
pub use entry::{Entry, HardLink, Kind};
pub use ids::IdList;
pub use options::{EntryOptions, IoErrorPlace};
pub use order::{ListName, SORT_ENTRY_BYTES, SORT_FOLDER_BYTES, compare, sort};

#[cfg(test)]
mod tests;
