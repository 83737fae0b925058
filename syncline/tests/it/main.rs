//! Transfers of the library: against a real rsync, and in this process.

#![expect(
    clippy::disallowed_methods,
    reason = "tests build their trees with std::fs"
)]

mod differential;
mod run;
