//! The parts of an entry after its name, as they lie on the wire (02-file-list 4.1, 5.2 to 5.8, 10.2).

use super::entry::{HardLink, Kind};
use super::flags;
use super::options::EntryOptions;
use super::state::Previous;
use crate::error::{DecodeError, Violation};
use crate::limits;
use crate::wire::Cursor;

/// The parts of an entry that are numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fields {
    pub(super) size: u64,
    pub(super) mtime: i64,
    pub(super) mtime_nsec: u32,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) rdev: Option<(u32, u32)>,
    pub(super) hard_link: HardLink,
    pub(super) top_dir: bool,
    pub(super) no_content: bool,
}

/// The parts of an entry that are bytes of the input. Empty is none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Texts<'a> {
    pub(super) target: &'a [u8],
    pub(super) checksum: &'a [u8],
    pub(super) user_name: &'a [u8],
    pub(super) group_name: &'a [u8],
}

/// Reads parts 6 to 19 of the table in 02-file-list 4.1. `next` is the state before the entry and becomes the
/// one after it. The flags of directories and hard links by index are left to the caller.
pub(super) fn read<'a>(
    options: &EntryOptions,
    flags: u32,
    next: &mut Previous,
    at: &mut Cursor<'a>,
) -> Result<(Fields, Texts<'a>), DecodeError> {
    let protocol = options.protocol;
    let has = |bit: u32| flags & bit != 0;
    let mut fields = Fields::default();
    let mut texts = Texts::default();

    let size = at.varlong30(protocol, 3)?;
    fields.size = u64::try_from(size).map_err(|_| Violation::FileSize { size })?;
    if !has(flags::SAME_TIME) {
        next.mtime = if protocol.has_varints() {
            at.varlong(4)?
        } else {
            i64::from(at.int()?.cast_unsigned())
        };
    }
    fields.mtime = next.mtime;
    if has(flags::MOD_NSEC) {
        fields.mtime_nsec = nanoseconds(at)?;
    }
    if !has(flags::SAME_MODE) {
        next.mode = at.int()?.cast_unsigned();
    }
    let mode = next.mode;
    // The effective mode: an inherited one of a first entry is 0.
    let kind = Kind::of(mode)
        .filter(|&kind| kind != Kind::Missing || options.missing_args)
        .ok_or(Violation::Mode { mode })?;
    fields.mode = mode;
    if kind.is_device() || kind.is_special() {
        fields.size = 0;
    }
    if options.uid && !has(flags::SAME_UID) {
        next.uid = owner(options, at)?;
        if protocol.has_varints() && has(flags::USER_NAME_FOLLOWS) {
            texts.user_name = owner_name(at)?;
        }
    }
    fields.uid = next.uid;
    if options.gid && !has(flags::SAME_GID) {
        next.gid = owner(options, at)?;
        if protocol.has_varints() && has(flags::GROUP_NAME_FOLLOWS) {
            texts.group_name = owner_name(at)?;
        }
    }
    fields.gid = next.gid;
    fields.rdev = rdev(options, flags, kind, next, at)?;
    if options.links && kind == Kind::Symlink {
        texts.target = target(options, at)?;
    }
    if has(flags::HLINKED) && !protocol.has_hard_link_index() {
        if !has(flags::SAME_DEV) {
            next.dev = at.longint()?.cast_unsigned();
        }
        fields.hard_link = HardLink::DevIno {
            dev: next.dev.wrapping_sub(1),
            ino: at.longint()?.cast_unsigned(),
        };
    }
    if let Some(len) = options.checksum_len
        && kind == Kind::Regular
    {
        texts.checksum = at.take(len)?;
    }
    Ok((fields, texts))
}

fn nanoseconds(at: &mut Cursor<'_>) -> Result<u32, DecodeError> {
    let value = at.varint()?;
    match u32::try_from(value) {
        Ok(nsec @ ..1_000_000_000) => Ok(nsec),
        _ => Err(Violation::Nanoseconds { nsec: value.into() }.into()),
    }
}

/// uid or gid. All ones mean "no change" to chown, so no file can have it (02-file-list 5.5).
fn owner(options: &EntryOptions, at: &mut Cursor<'_>) -> Result<u32, DecodeError> {
    match at.varint30(options.protocol)?.cast_unsigned() {
        u32::MAX => Err(Violation::OwnerId.into()),
        id => Ok(id),
    }
}

fn owner_name<'a>(at: &mut Cursor<'a>) -> Result<&'a [u8], DecodeError> {
    let len = at.byte()?;
    at.take(usize::from(len))
}

/// Device number (02-file-list 5.6). Parsed by the flags; that of a special means nothing.
fn rdev(
    options: &EntryOptions,
    flags: u32,
    kind: Kind,
    next: &mut Previous,
    at: &mut Cursor<'_>,
) -> Result<Option<(u32, u32)>, DecodeError> {
    let device = options.devices && kind.is_device();
    let special = options.specials_have_rdev() && kind.is_special();
    if !device && !special {
        return Ok(None);
    }
    if flags & flags::SAME_RDEV_MAJOR == 0 {
        next.rdev_major = at.varint30(options.protocol)?.cast_unsigned();
    }
    let minor = if options.protocol.has_varints() {
        at.varint()?.cast_unsigned()
    } else if flags & flags::RDEV_MINOR_8 != 0 {
        u32::from(at.byte()?)
    } else {
        at.int()?.cast_unsigned()
    };
    Ok(device.then_some((next.rdev_major, minor)))
}

/// Target of a link (02-file-list 5.7).
fn target<'a>(options: &EntryOptions, at: &mut Cursor<'a>) -> Result<&'a [u8], DecodeError> {
    let len = at.varint30(options.protocol)?;
    let target = match usize::try_from(len) {
        Ok(valid @ 1..=limits::LINK_TARGET) => at.take(valid)?,
        _ => return Err(Violation::LinkTargetLength { len: len.into() }.into()),
    };
    if target.contains(&0) {
        return Err(Violation::NulInside.into());
    }
    Ok(target)
}
