//! Entries from bytes (02-file-list 4 to 6, 10).

use super::content::ContentRegion;
use super::entry::{Entry, HardLink, Kind};
use super::fields::{self, Fields, Texts};
use super::flags;
use super::groups::Leaders;
use super::name;
use super::options::{EntryOptions, IoErrorPlace};
use super::state::Previous;
use crate::error::{DecodeError, Violation};
use crate::limits;
use crate::wire::Cursor;

/// Reads the entries of all lists of a session.
///
/// Call [`start_list`](Self::start_list) (or [`start_sublist`](Self::start_sublist)), then
/// [`decode`](Self::decode) until it gives [`Item::End`], looking at [`entry`](Self::entry) after each
/// [`Item::Entry`]. Memory grows only with the hard-link groups that the peer begins, in proportion to the
/// bytes that it sent for them; nothing is allocated for an ordinary entry once the buffers are warm.
#[derive(Debug)]
pub struct Decoder {
    options: EntryOptions,
    known_flags: u32,
    place: Place,
    /// Directory of the list, for [`Place::Inside`].
    dir: Vec<u8>,
    ndx_start: i32,
    /// Entries decoded of the list.
    count: i32,

    previous: Previous,
    /// The previous name as it was on the wire, the base of shared prefixes.
    wire_name: Vec<u8>,
    wire_name_form: name::Form,
    /// Protocol 29.
    region: ContentRegion,
    /// First members in this list.
    leaders: Leaders<Leader>,
    /// Targets and digests of `leaders`.
    leader_texts: Vec<u8>,
    /// First members in earlier lists, and what they are.
    earlier: Leaders<Kind>,

    fields: Fields,
    /// Clean name, if the wire's is not.
    clean_name: Vec<u8>,
    // Empty is none for all four.
    target: Vec<u8>,
    checksum: Vec<u8>,
    user_name: Vec<u8>,
    group_name: Vec<u8>,
    /// Where the next name is put together, so that a refused one does not spoil `wire_name`.
    new_name: Vec<u8>,
}

/// What [`Decoder::decode`] read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// An entry; [`Decoder::entry`] shows it.
    Entry,
    /// The end of the list.
    End {
        /// The sender's I/O error bits, 0..=7, if they travel here ([`IoErrorPlace::ListEnd`]), else 0.
        io_error: i32,
    },
}

/// Where the names of the list may be (02-file-list 9.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Not incremental: anywhere below the root.
    Anywhere,
    /// List 1 of an incremental transfer: single components.
    Top,
    /// A later list: directly in its directory.
    Inside,
}

/// A first member, from which followers in its list take everything.
#[derive(Debug)]
struct Leader {
    fields: Fields,
    /// Its texts in `leader_texts`.
    target: std::ops::Range<usize>,
    checksum: std::ops::Range<usize>,
}

impl Decoder {
    /// A decoder at the start of a session.
    #[must_use]
    pub fn new(options: EntryOptions) -> Self {
        Self {
            known_flags: options.known_flags(),
            options,
            place: Place::Anywhere,
            dir: Vec::new(),
            ndx_start: 0,
            count: 0,
            previous: Previous::default(),
            wire_name: Vec::new(),
            wire_name_form: name::Form::Clean,
            region: ContentRegion::default(),
            leaders: Leaders::new(),
            leader_texts: Vec::new(),
            earlier: Leaders::new(),
            fields: Fields::default(),
            clean_name: Vec::new(),
            target: Vec::new(),
            checksum: Vec::new(),
            user_name: Vec::new(),
            group_name: Vec::new(),
            new_name: Vec::new(),
        }
    }

    /// Begins list 1, whose indices start at `ndx_start`: 0, or 1 in incremental recursion, where every name
    /// of this list must be a single component (02-file-list 9.2).
    pub fn start_list(&mut self, ndx_start: i32) {
        let place = if self.options.inc_recurse {
            Place::Top
        } else {
            Place::Anywhere
        };
        self.start(ndx_start, place);
    }

    /// Begins the list of directory `dir` (its clean name, as [`entry`](Self::entry) gave it) in incremental
    /// recursion. `ndx_start` is above every index of earlier lists. Every name must lie directly in `dir`
    /// (02-file-list 9.4).
    pub fn start_sublist(&mut self, ndx_start: i32, dir: &[u8]) {
        self.dir.clear();
        self.dir.extend_from_slice(dir);
        self.start(ndx_start, Place::Inside);
    }

    fn start(&mut self, ndx_start: i32, place: Place) {
        for (group, leader) in self.leaders.drain() {
            if let Some(kind) = Kind::of(leader.fields.mode) {
                self.earlier.push(group, kind);
            }
        }
        self.leader_texts.clear();
        self.place = place;
        self.ndx_start = ndx_start;
        self.count = 0;
    }

    /// Entries decoded of the current list.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    /// Bytes on the heap, about: for the caller's account of what a session holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        let buffers = [
            &self.dir,
            &self.wire_name,
            &self.leader_texts,
            &self.clean_name,
            &self.target,
            &self.checksum,
            &self.user_name,
            &self.group_name,
            &self.new_name,
        ];
        let bytes: usize = buffers.into_iter().map(Vec::capacity).sum();
        bytes + self.leaders.memory() + self.earlier.memory()
    }

    /// Reads the next entry or the end of the list. Anything but `Ok` leaves the cursor, this state and the
    /// entry shown as they were.
    ///
    /// # Errors
    /// Incomplete; a [`Violation`] for everything that 02-file-list 15 tells to refuse. Parents that are
    /// missing show only in the whole list: see [`find_orphans`](super::find_orphans).
    pub fn decode(&mut self, cursor: &mut Cursor<'_>) -> Result<Item, DecodeError> {
        let mut at = cursor.clone();
        let item = match self.flags(&mut at)? {
            Head::End { io_error } => Item::End { io_error },
            Head::Entry(flags) => {
                self.body(flags, &mut at)?;
                Item::Entry
            }
        };
        *cursor = at;
        Ok(item)
    }

    /// The entry read last. Its parts stay until the next one is read.
    #[must_use]
    pub fn entry(&self) -> Entry<'_> {
        let fields = &self.fields;
        let some = |bytes| Some(bytes).filter(|b: &&[u8]| !b.is_empty());
        Entry {
            name: match self.wire_name_form {
                name::Form::Clean => &self.wire_name,
                name::Form::Untidy => &self.clean_name,
            },
            size: fields.size,
            mtime: fields.mtime,
            mtime_nsec: fields.mtime_nsec,
            mode: fields.mode,
            uid: fields.uid,
            gid: fields.gid,
            user_name: some(&self.user_name),
            group_name: some(&self.group_name),
            rdev: fields.rdev,
            link_target: some(&self.target),
            hard_link: fields.hard_link,
            checksum: some(&self.checksum),
            top_dir: fields.top_dir,
            no_content: fields.no_content,
        }
    }

    /// Flags, or the end of the list in its forms (02-file-list 4.2, 6).
    fn flags(&self, at: &mut Cursor<'_>) -> Result<Head, DecodeError> {
        let flags = if self.options.varint_flags {
            at.varint()?.cast_unsigned()
        } else {
            let low = u32::from(at.byte()?);
            if low & flags::EXTENDED == 0 {
                low
            } else {
                low | u32::from(at.byte()?) << 8
            }
        };
        if flags == 0 {
            let io_error = if self.options.varint_flags {
                at.varint()?
            } else {
                0
            };
            return Ok(Head::end(io_error));
        }
        if flags == flags::END_WITH_ERROR && !self.options.varint_flags {
            return match self.options.io_error_place() {
                IoErrorPlace::ListEnd => Ok(Head::end(at.varint()?)),
                _ => Err(Violation::EntryFlags { flags }.into()),
            };
        }
        let first_of_none = flags & (flags::HLINKED | flags::HLINK_FIRST) == flags::HLINK_FIRST;
        if flags & !self.known_flags != 0 || first_of_none {
            return Err(Violation::EntryFlags { flags }.into());
        }
        Ok(Head::Entry(flags))
    }

    /// Everything after the flags. Reads and checks first, then commits.
    fn body(&mut self, flags: u32, at: &mut Cursor<'_>) -> Result<(), DecodeError> {
        let (shared, suffix) = self.name_parts(flags, at)?;
        let arrival = self
            .ndx_start
            .checked_add(self.count)
            .filter(|&ndx| ndx < limits::NDX_END)
            .ok_or(Violation::FileListTooLong)?;

        let mut next = self.previous;
        let group = self.group(flags, arrival, at)?;
        let (mut fields, texts) = match group {
            Some(group) if group >= self.ndx_start => self.abbreviated(group, &mut next)?,
            _ => fields::read(&self.options, flags, &mut next, at)?,
        };
        // By the rules above a mode is checked before it gets here.
        let kind = Kind::of(fields.mode).ok_or(Violation::Mode { mode: fields.mode })?;
        self.set_hard_link(&mut fields, flags, group, kind)?;

        let new_form = self.assemble_name(shared, suffix, kind)?;

        // Nothing can fail from here on.
        std::mem::swap(&mut self.wire_name, &mut self.new_name);
        self.wire_name_form = new_form;
        self.previous = next;
        self.count += 1;
        if kind == Kind::Directory {
            self.set_dir_flags(&mut fields, flags);
        }
        self.keep_texts(&texts);
        if let Some(group) = group.filter(|&group| group >= self.ndx_start) {
            self.copy_leader_texts(group);
        }
        if fields.hard_link == HardLink::First {
            self.keep_leader(arrival, fields);
        }
        self.fields = fields;
        Ok(())
    }

    /// Shared length and new end of the name (02-file-list 5.1).
    fn name_parts<'a>(
        &self,
        flags: u32,
        at: &mut Cursor<'a>,
    ) -> Result<(usize, &'a [u8]), DecodeError> {
        let shared = if flags & flags::SAME_NAME == 0 {
            0
        } else {
            usize::from(at.byte()?)
        };
        let len = if flags & flags::LONG_NAME == 0 {
            usize::from(at.byte()?)
        } else {
            let len = at.varint30(self.options.protocol)?;
            usize::try_from(len).map_err(|_| Violation::NegativeLength { len })?
        };
        let previous = self.wire_name.len();
        if shared > previous {
            return Err(Violation::NamePrefix { shared, previous }.into());
        }
        // Before the bytes are there: nobody waits for 2 GiB of them.
        let whole = shared.saturating_add(len);
        if whole == 0 || whole > limits::PATH {
            return Err(Violation::NameLength { len: whole }.into());
        }
        let suffix = at.take(len)?;
        if suffix.contains(&0) {
            return Err(Violation::NulInside.into());
        }
        Ok((shared, suffix))
    }

    /// Group number of a follower (02-file-list 10.1). That the group began is checked where it is used.
    fn group(
        &self,
        flags: u32,
        arrival: i32,
        at: &mut Cursor<'_>,
    ) -> Result<Option<i32>, DecodeError> {
        let follows = flags & (flags::HLINKED | flags::HLINK_FIRST) == flags::HLINKED;
        if !follows || !self.options.protocol.has_hard_link_index() {
            return Ok(None);
        }
        let group = at.varint()?;
        if !(0..arrival).contains(&group) {
            return Err(bad_group(group));
        }
        Ok(Some(group))
    }

    /// A follower in the list of its leader: everything is the leader's, and so is the state afterwards
    /// (02-file-list 4.4).
    fn abbreviated(
        &self,
        group: i32,
        next: &mut Previous,
    ) -> Result<(Fields, Texts<'static>), DecodeError> {
        let leader = self.leaders.get(group).ok_or_else(|| bad_group(group))?;
        let fields = leader.fields;
        next.mode = fields.mode;
        next.mtime = fields.mtime;
        next.uid = fields.uid;
        next.gid = fields.gid;
        if let Some((major, _)) = fields.rdev {
            next.rdev_major = major;
        }
        Ok((fields, Texts::default()))
    }

    /// First or follower at protocol 30 and later, with the checks that need the type.
    fn set_hard_link(
        &self,
        fields: &mut Fields,
        flags: u32,
        group: Option<i32>,
        kind: Kind,
    ) -> Result<(), DecodeError> {
        if flags & flags::HLINKED == 0 {
            return Ok(());
        }
        if matches!(kind, Kind::Directory | Kind::Missing) {
            return Err(Violation::EntryFlags { flags }.into());
        }
        if let Some(group) = group {
            // In an earlier list: the entry is complete, the leader must have been declared there.
            if group < self.ndx_start && self.earlier.get(group) != Some(&kind) {
                return Err(bad_group(group));
            }
            fields.hard_link = HardLink::Follower(group);
        } else if self.options.protocol.has_hard_link_index() {
            fields.hard_link = HardLink::First;
        }
        Ok(())
    }

    /// Puts the name together in `new_name`, its clean form in `clean_name` if that differs, and checks it
    /// (02-file-list 5.1, 13.2, 13.3).
    fn assemble_name(
        &mut self,
        shared: usize,
        suffix: &[u8],
        kind: Kind,
    ) -> Result<name::Form, DecodeError> {
        let prefix = self.wire_name.get(..shared).unwrap_or_default();
        self.new_name.clear();
        self.new_name.extend_from_slice(prefix);
        self.new_name.extend_from_slice(suffix);
        let from = match self.wire_name_form {
            name::Form::Clean => name::component_start(prefix, shared),
            name::Form::Untidy => 0,
        };
        let form = name::check(&self.new_name, from, self.options.relative)?;
        let mut tidied = Vec::new();
        let name = match form {
            name::Form::Clean => &self.new_name,
            name::Form::Untidy => {
                name::clean_into(&self.new_name, &mut tidied);
                &tidied
            }
        };
        if name::is_root(name) && kind != Kind::Directory {
            return Err(Violation::RootNotDirectory.into());
        }
        let placed = match self.place {
            Place::Anywhere => true,
            Place::Top => name::is_single(name),
            Place::Inside => name::is_directly_in(name, &self.dir),
        };
        if !placed {
            return Err(Violation::NameOutsideList.into());
        }
        if form == name::Form::Untidy {
            self.clean_name = tidied;
        }
        Ok(form)
    }

    /// The flags of a directory (02-file-list 5.9).
    fn set_dir_flags(&mut self, fields: &mut Fields, flags: u32) {
        fields.top_dir = flags & flags::TOP_DIR != 0;
        fields.no_content = if self.options.protocol.has_varints() {
            flags & flags::NO_CONTENT_DIR != 0
        } else {
            let name = match self.wire_name_form {
                name::Form::Clean => &self.wire_name,
                name::Form::Untidy => &self.clean_name,
            };
            let options = &self.options;
            !self
                .region
                .next(name, fields.top_dir, options.recurse, options.relative)
        };
    }

    fn keep_texts(&mut self, texts: &Texts<'_>) {
        let set = |to: &mut Vec<u8>, from: &[u8]| {
            to.clear();
            to.extend_from_slice(from);
        };
        set(&mut self.target, texts.target);
        set(&mut self.checksum, texts.checksum);
        set(&mut self.user_name, texts.user_name);
        set(&mut self.group_name, texts.group_name);
    }

    fn copy_leader_texts(&mut self, group: i32) {
        let Some(leader) = self.leaders.get(group) else {
            return;
        };
        let text = |range: &std::ops::Range<usize>| {
            self.leader_texts.get(range.clone()).unwrap_or_default()
        };
        self.target.extend_from_slice(text(&leader.target));
        self.checksum.extend_from_slice(text(&leader.checksum));
    }

    fn keep_leader(&mut self, group: i32, fields: Fields) {
        let mut keep = |text: &[u8]| {
            let start = self.leader_texts.len();
            self.leader_texts.extend_from_slice(text);
            start..self.leader_texts.len()
        };
        let leader = Leader {
            fields,
            target: keep(&self.target),
            checksum: keep(&self.checksum),
        };
        self.leaders.push(group, leader);
    }
}

/// What the flags announce.
enum Head {
    Entry(u32),
    End { io_error: i32 },
}

impl Head {
    fn end(io_error: i32) -> Self {
        Self::End {
            io_error: io_error & limits::IO_ERROR_BITS,
        }
    }
}

fn bad_group(group: i32) -> DecodeError {
    Violation::HardLinkGroup {
        group: group.into(),
    }
    .into()
}
