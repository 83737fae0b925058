//! The file side of rsync: sender, generator and receiver over any byte stream, confined file access, filters.

#![deny(unsafe_code)]
#![cfg_attr(
    test,
    expect(
        clippy::disallowed_methods,
        reason = "tests build their trees with std::fs"
    )
)]

pub mod fs;
pub mod options;
