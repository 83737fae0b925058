//! What the filter options of a transfer hide from it and protect from deletion.

use rsync_engine::receive::{Protection, Unprotected};
use rsync_engine::send::{Everything, Selection};
use rsync_proto::Protocol;

use crate::error::Error;

/// The rules of one transfer.
#[derive(Debug, Clone, Default)]
pub struct Filters {}

impl Filters {
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
