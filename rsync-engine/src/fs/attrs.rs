//! Owner, permissions and times, set by descriptor in the order of 03-transfer 7.3.

use super::{Errno, Timestamp};

/// What shall be set; `None` leaves a thing as it is. Only what differs is set: owner and group with one `fchownat`, times with one
/// `utimensat`, then permissions with one `fchmod` (last: a change of owner clears set-id bits).
#[derive(Clone, Copy, Debug, Default)]
pub struct Attrs {
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// The twelve permission bits. Set-id bits are dropped if a wanted change of owner or group failed (05-security N-12).
    pub mode: Option<u32>,
    /// Last change of the content.
    pub mtime: Option<Timestamp>,
    /// Last access.
    pub atime: Option<Timestamp>,
}

/// What became of it: each part is `Ok(true)` if it was changed, `Ok(false)` if there was nothing to change.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct AttrOutcome {
    /// Owner and group.
    pub owner: Result<bool, Errno>,
    /// Times.
    pub times: Result<bool, Errno>,
    /// Permissions.
    pub mode: Result<bool, Errno>,
}
