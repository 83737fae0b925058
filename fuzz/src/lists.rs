//! All that a sender says about its files, read step by step: for the targets that have file lists in them.

use rsync_proto::flist::{Decoder, Entry, EntryOptions, IdList, IoErrorPlace, Item, sort};
use rsync_proto::wire::Cursor;
use rsync_proto::{DecodeError, Protocol};

use crate::header::{Header, bits, flags, protocol_byte};
use crate::recording::Recording;

/// An entry that owns its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedEntry {
    name: Vec<u8>,
    numbers: Entry<'static>,
    user_name: Option<Vec<u8>>,
    group_name: Option<Vec<u8>>,
    link_target: Option<Vec<u8>>,
    checksum: Option<Vec<u8>>,
}

impl OwnedEntry {
    fn of(entry: &Entry<'_>) -> Self {
        let none = Entry {
            name: b"",
            user_name: None,
            group_name: None,
            link_target: None,
            checksum: None,
            ..*entry
        };
        Self {
            name: entry.name.to_vec(),
            numbers: none,
            user_name: entry.user_name.map(<[u8]>::to_vec),
            group_name: entry.group_name.map(<[u8]>::to_vec),
            link_target: entry.link_target.map(<[u8]>::to_vec),
            checksum: entry.checksum.map(<[u8]>::to_vec),
        }
    }

    /// The entry as the encoder takes it.
    #[must_use]
    pub fn entry(&self) -> Entry<'_> {
        Entry {
            name: &self.name,
            user_name: self.user_name.as_deref(),
            group_name: self.group_name.as_deref(),
            link_target: self.link_target.as_deref(),
            checksum: self.checksum.as_deref(),
            ..self.numbers
        }
    }

    /// What the order of the list depends on.
    #[must_use]
    pub fn key(&self) -> (&[u8], bool) {
        (&self.name, self.numbers.is_dir())
    }

    /// Without the names of owners, which an encoder leaves out where they say nothing new.
    #[must_use]
    pub fn without_owner_names(mut self) -> Self {
        self.user_name = None;
        self.group_name = None;
        self
    }
}

/// One thing decoded of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListEvent {
    /// An entry.
    Entry(Box<OwnedEntry>),
    /// The end of the entries, with the I/O error if it travels here.
    End(i32),
    /// An id list, of users and then of groups.
    Ids(IdList),
    /// The I/O error behind the id lists, at protocol 29.
    IoError(i32),
}

/// Reads list after list.
#[derive(Debug)]
pub struct Lists {
    options: EntryOptions,
    users: IdList,
    groups: IdList,
    decoder: Decoder,
    ndx_start: i32,
    entries: Vec<OwnedEntry>,
    /// Directories by their number (02-file-list 9.3).
    dirs: Vec<Vec<u8>>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Entries,
    Users,
    Groups,
    IoError,
    Done,
}

impl Lists {
    /// At the start of list 1.
    #[must_use]
    pub fn new(options: EntryOptions) -> Self {
        let mut decoder = Decoder::new(options.clone());
        let ndx_start = i32::from(options.inc_recurse);
        decoder.start_list(ndx_start);
        Self {
            options,
            users: IdList::new(),
            groups: IdList::new(),
            decoder,
            ndx_start,
            entries: Vec::new(),
            dirs: Vec::new(),
            phase: Phase::Entries,
        }
    }

    /// Decodes one thing; `None` behind the last one of the current list.
    ///
    /// # Errors
    /// As the decoders of entries and id lists.
    pub fn decode(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<ListEvent>, DecodeError> {
        let event = match self.phase {
            Phase::Entries => match self.decoder.decode(cursor)? {
                Item::Entry => {
                    let entry = OwnedEntry::of(&self.decoder.entry());
                    self.entries.push(entry.clone());
                    ListEvent::Entry(Box::new(entry))
                }
                Item::End { io_error } => {
                    self.end_list();
                    ListEvent::End(io_error)
                }
            },
            Phase::Users => {
                while self.users.decode_next(&self.options, cursor)? {}
                self.after(Phase::Users);
                ListEvent::Ids(self.users.clone())
            }
            Phase::Groups => {
                while self.groups.decode_next(&self.options, cursor)? {}
                self.after(Phase::Groups);
                ListEvent::Ids(self.groups.clone())
            }
            Phase::IoError => {
                let io_error = cursor.int()?;
                self.after(Phase::IoError);
                ListEvent::IoError(io_error)
            }
            Phase::Done => return Ok(None),
        };
        Ok(Some(event))
    }

    /// Goes on with the list of directory number `dir`. False if there is none.
    pub fn start_sublist(&mut self, dir: u32) -> bool {
        let Some(name) = self.dirs.get(dir as usize) else {
            return false;
        };
        self.decoder.start_sublist(self.ndx_start, name);
        self.phase = Phase::Entries;
        true
    }

    /// The first index of the current list.
    #[must_use]
    pub fn ndx_start(&self) -> i32 {
        self.ndx_start
    }

    fn end_list(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        assert_eq!(self.decoder.count(), entries.len());
        if self.options.inc_recurse {
            let order = sort(entries.len(), |position| entries[position].key());
            let sorted = order.iter().map(|&position| &entries[position as usize]);
            self.dirs.extend(
                sorted
                    .filter(|entry| entry.key().1)
                    .map(|entry| entry.name.clone()),
            );
            self.ndx_start += i32::try_from(entries.len()).unwrap_or(i32::MAX) + 1;
            self.phase = Phase::Done;
        } else {
            self.after(Phase::Entries);
        }
    }

    /// What comes behind a part of a list that is not incremental (02-file-list 6, 7.1).
    fn after(&mut self, phase: Phase) {
        let (options, ids) = (&self.options, self.options.id_lists());
        let exists = |next: &Phase| match next {
            Phase::Users => ids && options.uid,
            Phase::Groups => ids && options.gid,
            Phase::IoError => options.io_error_place() == IoErrorPlace::AfterIdLists,
            Phase::Entries | Phase::Done => true,
        };
        let all = [Phase::Users, Phase::Groups, Phase::IoError, Phase::Done];
        let from = all
            .iter()
            .position(|known| *known == phase)
            .map_or(0, |at| at + 1);
        self.phase = all[from..]
            .iter()
            .copied()
            .find(exists)
            .unwrap_or(Phase::Done);
    }
}

/// Options of a list, from three bytes; only such as can be agreed on.
pub fn options(header: &mut Header<'_>) -> EntryOptions {
    let protocol = header.protocol();
    let [
        uid,
        gid,
        links,
        devices,
        specials,
        hard_links,
        check,
        short,
        numeric,
        recurse,
        relative,
        missing,
        inc,
        varint,
        safe,
        id0,
    ] = flags(header.word());
    let compat = protocol.has_compat_flags();
    EntryOptions {
        uid,
        gid,
        links,
        devices,
        specials,
        hard_links,
        checksum_len: check.then_some(if short { 8 } else { 16 }),
        numeric_ids: numeric,
        recurse,
        relative,
        missing_args: missing,
        inc_recurse: inc && compat,
        varint_flags: varint && compat,
        safe_flist: safe && compat,
        id0_names: id0 && compat,
        ..EntryOptions::new(protocol)
    }
}

/// The header of these options.
#[must_use]
pub fn header_of(options: &EntryOptions) -> [u8; 3] {
    let [low, high] = bits(&[
        options.uid,
        options.gid,
        options.links,
        options.devices,
        options.specials,
        options.hard_links,
        options.checksum_len.is_some(),
        options.checksum_len == Some(8),
        options.numeric_ids,
        options.recurse,
        options.relative,
        options.missing_args,
        options.inc_recurse,
        options.varint_flags,
        options.safe_flist,
        options.id0_names,
    ]);
    [protocol_byte(options.protocol), low, high]
}

/// The options of a client's words, short ones and long ones, in a session with these compat flags.
#[must_use]
pub fn options_of(
    protocol: Protocol,
    compat: u32,
    checksum_len: usize,
    words: &[&str],
) -> EntryOptions {
    let mut options = EntryOptions {
        inc_recurse: compat & 0x01 != 0,
        safe_flist: compat & 0x08 != 0,
        varint_flags: compat & 0x80 != 0,
        id0_names: compat & 0x100 != 0,
        ..EntryOptions::new(protocol)
    };
    for word in words {
        match *word {
            "--devices" => options.devices = true,
            "--specials" => options.specials = true,
            "--no-specials" => options.specials = false,
            "--numeric-ids" => options.numeric_ids = true,
            "--delete-missing-args" => options.missing_args = true,
            _ => {}
        }
        let Some(cluster) = word
            .strip_prefix('-')
            .filter(|cluster| !cluster.starts_with('-'))
        else {
            continue;
        };
        // What follows e are no options.
        for letter in cluster.chars().take_while(|letter| *letter != 'e') {
            let all = letter == 'a';
            options.recurse |= all || letter == 'r';
            options.links |= all || letter == 'l';
            options.uid |= all || letter == 'o';
            options.gid |= all || letter == 'g';
            options.devices |= all || letter == 'D';
            options.specials |= all || letter == 'D';
            options.hard_links |= letter == 'H';
            options.relative |= letter == 'R';
            options.checksum_len = options
                .checksum_len
                .or_else(|| (letter == 'c').then_some(checksum_len));
        }
    }
    options
}

/// The options of the lists of a recording.
#[must_use]
pub fn options_of_recording(recording: &Recording) -> EntryOptions {
    let words: Vec<&str> = recording
        .arguments
        .iter()
        .filter_map(|argument| std::str::from_utf8(argument).ok())
        .collect();
    let negotiated = &recording.negotiated;
    options_of(
        recording.protocol,
        negotiated.compat.0,
        negotiated.list_checksum.digest_len(),
        &words,
    )
}
