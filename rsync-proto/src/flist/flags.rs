//! The bits of an entry's flags (02-file-list 4.3). Some positions mean different things by protocol and type.

pub(super) const TOP_DIR: u32 = 0x0001;
pub(super) const SAME_MODE: u32 = 0x0002;
/// Two bytes of flags follow; in the varint form a filler.
pub(super) const EXTENDED: u32 = 0x0004;
pub(super) const SAME_UID: u32 = 0x0008;
pub(super) const SAME_GID: u32 = 0x0010;
pub(super) const SAME_NAME: u32 = 0x0020;
pub(super) const LONG_NAME: u32 = 0x0040;
pub(super) const SAME_TIME: u32 = 0x0080;
/// Devices and specials.
pub(super) const SAME_RDEV_MAJOR: u32 = 0x0100;
/// Directories, protocol 30 and later.
pub(super) const NO_CONTENT_DIR: u32 = 0x0100;
pub(super) const HLINKED: u32 = 0x0200;
/// Protocol 29, with HLINKED.
pub(super) const SAME_DEV: u32 = 0x0400;
/// Protocol 30 and later.
pub(super) const USER_NAME_FOLLOWS: u32 = 0x0400;
/// Protocol 29, devices and specials.
pub(super) const RDEV_MINOR_8: u32 = 0x0800;
/// Protocol 30 and later.
pub(super) const GROUP_NAME_FOLLOWS: u32 = 0x0800;
/// Protocol 30 and later, with HLINKED.
pub(super) const HLINK_FIRST: u32 = 0x1000;
/// Protocol 31 and later.
pub(super) const MOD_NSEC: u32 = 0x2000;

/// Byte form only: not an entry but the end of the list, with an I/O error after it (02-file-list 6.2).
pub(super) const END_WITH_ERROR: u32 = 0x1000 | EXTENDED;
