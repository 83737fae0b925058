//! Names of users or groups, and the lists they travel in (02-file-list 7.1).

use std::collections::BTreeMap;

use super::options::EntryOptions;
use crate::error::{DecodeError, Violation};
use crate::limits;
use crate::wire::{Cursor, put_varint30};

/// The names of one kind of id in a session: collected by a sender to be sent, or received, in a list or with
/// the entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdList {
    names: BTreeMap<u32, Box<[u8]>>,
    /// Of all names.
    bytes: usize,
}

impl IdList {
    /// No names.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the name of an id. An empty one means that the id has none and is not kept; a sender's name above
    /// 255 bytes has no form on the wire and is not sent.
    ///
    /// # Errors
    /// [`Violation::IdList`] for an id that is there already, and above [`limits::ID_NAMES`].
    pub fn insert(&mut self, id: u32, name: &[u8]) -> Result<(), Violation> {
        if name.is_empty() {
            return Ok(());
        }
        if self.names.len() >= limits::ID_NAMES || self.names.contains_key(&id) {
            return Err(Violation::IdList { id });
        }
        self.names.insert(id, name.into());
        self.bytes += name.len();
        Ok(())
    }

    /// Bytes on the heap, about: for the caller's account of what a session holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        // A node of the tree is half full at least, and each name is a piece of memory of its own.
        self.bytes + self.names.len() * (2 * size_of::<(u32, Box<[u8]>)>() + 16)
    }

    /// The name of an id.
    #[must_use]
    pub fn name(&self, id: u32) -> Option<&[u8]> {
        self.names.get(&id).map(AsRef::as_ref)
    }

    /// All ids that have names, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.names.iter().map(|(&id, name)| (id, name.as_ref()))
    }

    /// Appends the list. The name of id 0 goes with CF_ID0_NAMES only, empty if there is none.
    pub fn encode(&self, options: &EntryOptions, out: &mut Vec<u8>) {
        let mut put = |id: u32, name: &[u8]| {
            put_varint30(out, options.protocol, id.cast_signed());
            if let Ok(len) = u8::try_from(name.len())
                && (id != 0 || options.id0_names)
            {
                out.push(len);
                out.extend_from_slice(name);
            }
        };
        for (id, name) in self
            .iter()
            .filter(|&(id, name)| id != 0 && name.len() <= 255)
        {
            put(id, name);
        }
        put(
            0,
            self.name(0)
                .filter(|name| name.len() <= 255)
                .unwrap_or_default(),
        );
    }

    /// Reads one item of the list; call again until it returns false, which is the end.
    ///
    /// # Errors
    /// Incomplete, and those of [`insert`](Self::insert). Cursor and list are as before then.
    pub fn decode_next(
        &mut self,
        options: &EntryOptions,
        cursor: &mut Cursor<'_>,
    ) -> Result<bool, DecodeError> {
        let mut at = cursor.clone();
        let id = at.varint30(options.protocol)?.cast_unsigned();
        if id != 0 || options.id0_names {
            let len = at.byte()?;
            let name = at.take(usize::from(len))?;
            self.insert(id, name)?;
        }
        *cursor = at;
        Ok(id != 0)
    }
}
