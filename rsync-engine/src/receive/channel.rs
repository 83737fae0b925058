//! What the two threads of the receiving side tell each other.
//!
//! Both channels are unbounded and never block. Bounding either would close a cycle of waits: the generator
//! waits for the socket, the peer's sender waits for us to read, and only the receiver reads. What is in
//! flight is a few small records for each outstanding file.

use std::sync::Arc;

use rsync_proto::item::ItemFlags;
use rsync_proto::mux::TextKind;

use crate::list::FileList;

/// From the receiver, which alone reads the connection, to the generator, which alone writes it.
#[derive(Debug)]
pub(super) enum ToGenerator {
    /// A list is complete.
    List(Arc<FileList>),
    /// No further lists will come.
    NoMoreLists,
    /// A requested file needs nothing more: it is in place, or it failed for good.
    Settled { ndx: i32, in_place: bool },
    /// A requested file arrived damaged; ask for it once more.
    Redo { ndx: i32 },
    /// The sender's DONE that ends phase `n` was read.
    PhaseEnd(u8),
    /// A text for the client.
    Tell { kind: TextKind, text: Vec<u8> },
    /// The session's last DONE of the sender was read.
    Finished,
    /// The receiver ended with an error, which it returns itself.
    Broken,
}

/// A transfer request that was written to the sender. The sender answers in this order.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) ndx: i32,
    pub(super) list: Arc<FileList>,
    /// Position in the list.
    pub(super) at: usize,
    pub(super) basis: Basis,
    /// The file did not exist.
    pub(super) is_new: bool,
    /// What the request said.
    pub(super) flags: ItemFlags,
    /// A second try: the last one.
    pub(super) redo: bool,
}

/// What the block sums were made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    /// Nothing.
    None,
    /// The destination file.
    Destination,
}
