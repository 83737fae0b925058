//! The file side of rsync: sender, generator and receiver over any byte stream, confined file access, filters.

pub mod fs;
pub mod options;
