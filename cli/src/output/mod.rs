//! What a run prints, in rsync's form (06-client 3). Everything here is formatting of plain values.

mod entry;
mod format;
mod list;
mod number;
mod progress;
mod report;
mod stats;
mod time;

#[cfg(test)]
mod tests;

pub(crate) use entry::Entry;
pub(crate) use format::Format;
pub(crate) use progress::Counts;
pub(crate) use report::{Header, Report};
pub(crate) use stats::{Stats, TypeCounts};
