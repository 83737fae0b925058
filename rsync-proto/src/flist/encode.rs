//! Entries to bytes (02-file-list 4 to 6, 10).

use super::entry::{Entry, HardLink, Kind};
use super::flags;
use super::groups::Leaders;
use super::options::{EntryOptions, IoErrorPlace};
use super::state::{Previous, common_prefix};
use crate::error::EncodeError;
use crate::limits;
use crate::wire::{
    put_int, put_longint, put_short, put_varint, put_varint30, put_varlong, put_varlong30,
};

/// Writes the entries of all lists of a session.
///
/// It makes the choices of rsync 3.5.0: what equals the previous entry is not sent, the first entry always
/// carries its owner, a follower in the list of its leader is sent by name and group alone.
#[derive(Debug)]
pub struct Encoder {
    options: EntryOptions,
    ndx_start: i32,
    /// Entries encoded of the list.
    count: i32,
    /// No entry was sent yet in this session.
    fresh: bool,
    previous: Previous,
    name: Vec<u8>,
    leaders: Leaders<Leader>,
}

/// What the state becomes by an abbreviated follower: the peer takes these from its copy of the leader, also
/// when the file has changed between the two entries.
#[derive(Debug, Clone, Copy)]
struct Leader {
    mode: u32,
    mtime: i64,
    uid: u32,
    gid: u32,
    rdev_major: Option<u32>,
}

impl Encoder {
    /// An encoder at the start of a session.
    #[must_use]
    pub fn new(options: EntryOptions) -> Self {
        Self {
            options,
            ndx_start: 0,
            count: 0,
            fresh: true,
            previous: Previous::default(),
            name: Vec::new(),
            leaders: Leaders::new(),
        }
    }

    /// Begins a list whose indices start at `ndx_start`, above every index of earlier lists.
    pub fn start_list(&mut self, ndx_start: i32) {
        self.ndx_start = ndx_start;
        self.count = 0;
        self.leaders.drain().for_each(drop);
    }

    /// The arrival index of the next entry: its group number if it is [`HardLink::First`].
    #[must_use]
    pub fn next_index(&self) -> i32 {
        self.ndx_start.saturating_add(self.count)
    }

    /// Appends an entry. Parts that the options leave out are ignored; a name of an owner is sent if the owner
    /// is, so give it with the first entry of that owner only.
    ///
    /// # Errors
    /// Nothing is appended for a name or link target that is empty or above 4095 bytes, a hard link in the
    /// form of another protocol, a follower of a group that did not begin in this list or could not in an
    /// earlier one, and a list that is full.
    pub fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let plan = self.plan(entry)?;
        self.write(entry, &plan, out);
        self.remember(entry, &plan);
        Ok(())
    }

    /// Appends the end mark of the list (02-file-list 6). Where [`EntryOptions::io_error_place`] is not the
    /// list end, `io_error` has to travel otherwise and is not written.
    pub fn end(&mut self, io_error: i32, out: &mut Vec<u8>) {
        let io_error = io_error & limits::IO_ERROR_BITS;
        if self.options.varint_flags {
            put_varint(out, 0);
            put_varint(out, io_error);
        } else if io_error != 0 && self.options.io_error_place() == IoErrorPlace::ListEnd {
            put_flag_bytes(out, flags::END_WITH_ERROR);
            put_varint(out, io_error);
        } else {
            out.push(0);
        }
    }

    /// Checks the entry and decides its flags.
    fn plan(&self, entry: &Entry<'_>) -> Result<Plan, EncodeError> {
        let options = &self.options;
        let protocol = options.protocol;
        let previous = &self.previous;
        let kind = entry.kind();
        check_len("name", entry.name)?;
        if options.links && kind == Some(Kind::Symlink) {
            check_len("link target", entry.link_target.unwrap_or_default())?;
        }
        if self.next_index() >= limits::NDX_END {
            return Err(EncodeError::TooMany {
                what: "entries",
                max: limits::NDX_END as usize,
            });
        }

        let mut plan = Plan {
            flags: 0,
            shared: common_prefix(&self.name, entry.name, 255),
            kind,
            hard_link: self.hard_link(entry, kind)?,
            rdev: self.rdev(entry, kind),
        };
        let mut set = |condition: bool, bits: u32| {
            if condition {
                plan.flags |= bits;
            }
        };
        let is_dir = kind == Some(Kind::Directory);
        if protocol.has_varints() {
            set(is_dir && entry.top_dir, flags::TOP_DIR);
            set(is_dir && entry.no_content, flags::NO_CONTENT_DIR);
        } else {
            // An implied directory has no flag here.
            set(is_dir && entry.top_dir && !entry.no_content, flags::TOP_DIR);
        }
        set(entry.mode == previous.mode, flags::SAME_MODE);
        set(entry.mtime == previous.mtime, flags::SAME_TIME);
        set(
            protocol.has_nanoseconds() && entry.mtime_nsec != 0,
            flags::MOD_NSEC,
        );
        let same = |enabled: bool, a: u32, b: u32| !enabled || (a == b && !self.fresh);
        let same_uid = same(options.uid, entry.uid, previous.uid);
        let same_gid = same(options.gid, entry.gid, previous.gid);
        set(same_uid, flags::SAME_UID);
        set(same_gid, flags::SAME_GID);
        if options.inline_names() && !plan.hard_link.is_abbreviated() {
            set(
                !same_uid && sendable(entry.user_name).is_some(),
                flags::USER_NAME_FOLLOWS,
            );
            set(
                !same_gid && sendable(entry.group_name).is_some(),
                flags::GROUP_NAME_FOLLOWS,
            );
        }
        set(plan.shared > 0, flags::SAME_NAME);
        set(entry.name.len() - plan.shared > 255, flags::LONG_NAME);
        if let Some(rdev) = plan.rdev {
            set(rdev.same_major, flags::SAME_RDEV_MAJOR);
            set(
                !protocol.has_varints() && rdev.minor <= 0xff,
                flags::RDEV_MINOR_8,
            );
        }
        match plan.hard_link {
            Link::None => {}
            Link::First => set(true, flags::HLINKED | flags::HLINK_FIRST),
            Link::Complete { .. } | Link::Abbreviated { .. } => set(true, flags::HLINKED),
            Link::DevIno { dev, .. } => {
                set(true, flags::HLINKED);
                set(dev == previous.dev, flags::SAME_DEV);
            }
        }
        Ok(plan)
    }

    /// The wire form of the hard link (02-file-list 10).
    fn hard_link(&self, entry: &Entry<'_>, kind: Option<Kind>) -> Result<Link, EncodeError> {
        let excluded = matches!(kind, None | Some(Kind::Directory | Kind::Missing));
        if !self.options.hard_links || excluded {
            return Ok(Link::None);
        }
        let protocol = self.options.protocol;
        let by_index = protocol.has_hard_link_index();
        match entry.hard_link {
            HardLink::None => Ok(Link::None),
            HardLink::First if by_index => Ok(Link::First),
            HardLink::Follower(group) if by_index => {
                if let Some(&leader) = self.leaders.get(group) {
                    Ok(Link::Abbreviated { group, leader })
                } else if (0..self.ndx_start).contains(&group) {
                    Ok(Link::Complete { group })
                } else {
                    Err(EncodeError::HardLinkGroup { group })
                }
            }
            HardLink::DevIno { dev, ino } if !by_index => Ok(Link::DevIno {
                dev: dev.wrapping_add(1),
                ino,
            }),
            _ => Err(EncodeError::NotAtProtocol {
                what: "hard link",
                protocol: protocol.number(),
            }),
        }
    }

    /// The device number that is sent, if one is (02-file-list 5.6).
    fn rdev(&self, entry: &Entry<'_>, kind: Option<Kind>) -> Option<Rdev> {
        let kind = kind?;
        if self.options.devices && kind.is_device() {
            let (major, minor) = entry.rdev.unwrap_or_default();
            return Some(Rdev {
                major,
                minor,
                same_major: major == self.previous.rdev_major,
            });
        }
        // The number of a special is noise: "same major", whatever that is, and minor 0.
        (self.options.specials_have_rdev() && kind.is_special()).then_some(Rdev {
            major: self.previous.rdev_major,
            minor: 0,
            same_major: true,
        })
    }

    fn write(&self, entry: &Entry<'_>, plan: &Plan, out: &mut Vec<u8>) {
        let options = &self.options;
        let protocol = options.protocol;
        let has = |bit: u32| plan.flags & bit != 0;

        self.write_flags(plan, out);
        self.write_name(entry.name, plan, out);
        match plan.hard_link {
            Link::Abbreviated { group, .. } => return put_varint(out, group),
            Link::Complete { group } => put_varint(out, group),
            _ => {}
        }
        put_varlong30(out, protocol, entry.size.cast_signed(), 3);
        if !has(flags::SAME_TIME) {
            if protocol.has_varints() {
                put_varlong(out, entry.mtime, 4);
            } else {
                let [a, b, c, d, ..] = entry.mtime.to_le_bytes();
                out.extend_from_slice(&[a, b, c, d]);
            }
        }
        if has(flags::MOD_NSEC) {
            put_varint(out, entry.mtime_nsec.cast_signed());
        }
        if !has(flags::SAME_MODE) {
            put_int(out, entry.mode.cast_signed());
        }
        let by_name = options.inline_names();
        if !has(flags::SAME_UID) {
            put_varint30(out, protocol, entry.uid.cast_signed());
            put_owner_name(out, sendable(entry.user_name).filter(|_| by_name));
        }
        if !has(flags::SAME_GID) {
            put_varint30(out, protocol, entry.gid.cast_signed());
            put_owner_name(out, sendable(entry.group_name).filter(|_| by_name));
        }
        if let Some(rdev) = plan.rdev {
            self.write_rdev(rdev, out);
        }
        if options.links && plan.kind == Some(Kind::Symlink) {
            let target = entry.link_target.unwrap_or_default();
            put_varint30(out, protocol, len_on_wire(target));
            out.extend_from_slice(target);
        }
        if let Link::DevIno { dev, ino } = plan.hard_link {
            if !has(flags::SAME_DEV) {
                put_longint(out, dev.cast_signed());
            }
            put_longint(out, ino.cast_signed());
        }
        if let Some(len) = options.checksum_len
            && plan.kind == Some(Kind::Regular)
        {
            let end = out.len() + len;
            out.extend(entry.checksum.unwrap_or_default().iter().take(len));
            out.resize(end, 0);
        }
    }

    /// The three forms of the flags (02-file-list 4.2).
    fn write_flags(&self, plan: &Plan, out: &mut Vec<u8>) {
        let flags = plan.flags;
        if self.options.varint_flags {
            // Flags of 0 would end the list.
            let filled = if flags == 0 { flags::EXTENDED } else { flags };
            put_varint(out, filled.cast_signed());
        } else if flags == 0 && plan.kind != Some(Kind::Directory) {
            out.push(FILLER);
        } else if flags > 0xff || flags == 0 {
            put_flag_bytes(out, flags | flags::EXTENDED);
        } else {
            let [low, ..] = flags.to_le_bytes();
            out.push(low);
        }
    }

    fn write_name(&self, name: &[u8], plan: &Plan, out: &mut Vec<u8>) {
        // At most 255 by construction.
        if let Ok(shared @ 1..) = u8::try_from(plan.shared) {
            out.push(shared);
        }
        let suffix = name.get(plan.shared..).unwrap_or_default();
        match u8::try_from(suffix.len()) {
            Ok(len) => out.push(len),
            Err(_) => put_varint30(out, self.options.protocol, len_on_wire(suffix)),
        }
        out.extend_from_slice(suffix);
    }

    fn write_rdev(&self, rdev: Rdev, out: &mut Vec<u8>) {
        let protocol = self.options.protocol;
        if !rdev.same_major {
            put_varint30(out, protocol, rdev.major.cast_signed());
        }
        match u8::try_from(rdev.minor) {
            Ok(minor) if !protocol.has_varints() => out.push(minor),
            _ => put_varint30(out, protocol, rdev.minor.cast_signed()),
        }
    }

    fn remember(&mut self, entry: &Entry<'_>, plan: &Plan) {
        self.name.truncate(plan.shared);
        self.name
            .extend_from_slice(entry.name.get(plan.shared..).unwrap_or_default());
        let previous = &mut self.previous;
        let is_device = plan.kind.is_some_and(Kind::is_device);
        let mut now = Leader {
            mode: entry.mode,
            mtime: entry.mtime,
            uid: entry.uid,
            gid: entry.gid,
            rdev_major: plan.rdev.filter(|_| is_device).map(|rdev| rdev.major),
        };
        match plan.hard_link {
            Link::Abbreviated { leader, .. } => now = leader,
            Link::First => self.leaders.push(self.ndx_start + self.count, now),
            Link::DevIno { dev, .. } => previous.dev = dev,
            Link::None | Link::Complete { .. } => {}
        }
        previous.mode = now.mode;
        previous.mtime = now.mtime;
        previous.uid = now.uid;
        previous.gid = now.gid;
        if let Some(major) = now.rdev_major {
            previous.rdev_major = major;
        }
        self.count += 1;
        self.fresh = false;
    }
}

/// What is decided about an entry before its first byte is written.
struct Plan {
    flags: u32,
    /// Bytes shared with the previous name.
    shared: usize,
    kind: Option<Kind>,
    hard_link: Link,
    rdev: Option<Rdev>,
}

#[derive(Clone, Copy)]
struct Rdev {
    major: u32,
    minor: u32,
    same_major: bool,
}

/// The wire form of a hard link.
#[derive(Clone, Copy)]
enum Link {
    None,
    First,
    /// Follower whose leader is in an earlier list.
    Complete {
        group: i32,
    },
    /// Follower whose leader is in this list.
    Abbreviated {
        group: i32,
        leader: Leader,
    },
    /// `dev` as on the wire.
    DevIno {
        dev: u64,
        ino: u64,
    },
}

impl Link {
    fn is_abbreviated(self) -> bool {
        matches!(self, Self::Abbreviated { .. })
    }
}

fn check_len(what: &'static str, bytes: &[u8]) -> Result<(), EncodeError> {
    const { assert!(limits::PATH == limits::LINK_TARGET) };
    match bytes.len() {
        0 => Err(EncodeError::Empty { what }),
        1..=limits::PATH => Ok(()),
        len => Err(EncodeError::TooLong {
            what,
            len,
            max: limits::PATH,
        }),
    }
}

/// A name of an owner that has a form: a byte of length.
fn sendable(name: Option<&[u8]>) -> Option<&[u8]> {
    name.filter(|name| (1..=255).contains(&name.len()))
}

fn put_owner_name(out: &mut Vec<u8>, name: Option<&[u8]>) {
    if let Some(name) = name
        && let Ok(len) = u8::try_from(name.len())
    {
        out.push(len);
        out.extend_from_slice(name);
    }
}

fn put_flag_bytes(out: &mut Vec<u8>, flags: u32) {
    // Byte-form flags have 16 bits; the varint form alone has more.
    put_short(out, u16::try_from(flags).unwrap_or(u16::MAX));
}

/// Length of a name or target, which is at most 4095.
fn len_on_wire(bytes: &[u8]) -> i32 {
    i32::try_from(bytes.len()).unwrap_or(i32::MAX)
}

/// Non-directories without flags send TOP_DIR, which means nothing on them.
const FILLER: u8 = 0x01;
