//! What both sides know before the first entry.

use super::flags;
use crate::version::Protocol;

/// The options and negotiated facts that decide which parts an entry has (02-file-list 4.1). Both sides must
/// hold the same, but for the last two fields, which matter to a receiver only.
#[derive(Debug, Clone)]
pub struct EntryOptions {
    /// The negotiated protocol.
    pub protocol: Protocol,
    /// `-o`: numeric owners travel.
    pub uid: bool,
    /// `-g`: numeric groups travel.
    pub gid: bool,
    /// `-l`: link targets travel. Without it a link is an entry without a target.
    pub links: bool,
    /// `--devices`: device numbers travel.
    pub devices: bool,
    /// `--specials`: FIFOs and sockets have a (meaningless) device number, up to protocol 30.
    pub specials: bool,
    /// `-H`.
    pub hard_links: bool,
    /// `-c`: length of the list checksum of regular files, in bytes.
    pub checksum_len: Option<usize>,
    /// CF_VARINT_FLIST_FLAGS: flags are one varint.
    pub varint_flags: bool,
    /// CF_INC_RECURSE: several lists, names of owners inline.
    pub inc_recurse: bool,
    /// CF_SAFE_FLIST: protocol 30 may end a list with an I/O error.
    pub safe_flist: bool,
    /// CF_ID0_NAMES: id lists end with the name of id 0.
    pub id0_names: bool,
    /// `--numeric-ids` on the command line: no names of owners travel. A daemon module's `numeric ids`
    /// changes nothing on the wire and is not meant here (02-file-list 7.1).
    pub numeric_ids: bool,
    /// `-r`: needed at protocol 29 to tell content directories (02-file-list 5.9).
    pub recurse: bool,
    /// `-R`: names may start with a slash (02-file-list 13.2).
    pub relative: bool,
    /// `--delete-missing-args`: an entry may have mode 0 (02-file-list 14.6).
    pub missing_args: bool,
}

impl EntryOptions {
    /// Every option off.
    #[must_use]
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            uid: false,
            gid: false,
            links: false,
            devices: false,
            specials: false,
            hard_links: false,
            checksum_len: None,
            varint_flags: false,
            inc_recurse: false,
            safe_flist: false,
            id0_names: false,
            numeric_ids: false,
            recurse: false,
            relative: false,
            missing_args: false,
        }
    }

    /// Whether names of owners come with the entries, not in id lists (02-file-list 5.5).
    #[must_use]
    pub fn inline_names(&self) -> bool {
        self.inc_recurse && !self.numeric_ids
    }

    /// Whether an id list follows list 1 for each of `-o` and `-g` that is on (02-file-list 7.1).
    #[must_use]
    pub fn id_lists(&self) -> bool {
        !self.inc_recurse && !self.numeric_ids
    }

    /// Where the sender's I/O error of a list travels (02-file-list 6).
    #[must_use]
    pub fn io_error_place(&self) -> IoErrorPlace {
        if !self.protocol.has_varints() {
            IoErrorPlace::AfterIdLists
        } else if self.varint_flags || self.safe_flist || self.protocol.has_safe_flist() {
            IoErrorPlace::ListEnd
        } else {
            IoErrorPlace::Message
        }
    }

    /// FIFOs and sockets carry a device number (02-file-list 5.6).
    pub(super) fn specials_have_rdev(&self) -> bool {
        self.specials && self.protocol < Protocol::V31
    }

    /// The bits that an honest sender may set.
    pub(super) fn known_flags(&self) -> u32 {
        // Bit 8 is legal everywhere: whether it says something depends on the type of the entry.
        let mut known = flags::TOP_DIR
            | flags::SAME_MODE
            | flags::EXTENDED
            | flags::SAME_UID
            | flags::SAME_GID
            | flags::SAME_NAME
            | flags::LONG_NAME
            | flags::SAME_TIME
            | flags::SAME_RDEV_MAJOR;
        let mut add = |condition: bool, bits: u32| {
            if condition {
                known |= bits;
            }
        };
        add(self.hard_links, flags::HLINKED);
        if self.protocol.has_hard_link_index() {
            add(self.hard_links, flags::HLINK_FIRST);
            add(self.inline_names() && self.uid, flags::USER_NAME_FOLLOWS);
            add(self.inline_names() && self.gid, flags::GROUP_NAME_FOLLOWS);
        } else {
            add(self.hard_links, flags::SAME_DEV);
            add(self.devices || self.specials, flags::RDEV_MINOR_8);
        }
        add(self.protocol.has_nanoseconds(), flags::MOD_NSEC);
        known
    }
}

/// Where the I/O error of a list travels (02-file-list 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoErrorPlace {
    /// Protocol 29: one int after the id lists, always.
    AfterIdLists,
    /// In the end mark of the list: the encoder writes it, the decoder returns it.
    ListEnd,
    /// Protocol 30 with an old peer: a MSG_IO_ERROR message, if there is an error.
    Message,
}
