//! The two sides of a transfer against each other, against faults, and against hostile or recorded peers.

#![expect(
    clippy::disallowed_methods,
    reason = "tests build their trees with std::fs"
)]

mod budget;
mod faults;
mod fs_faults;
mod golden;
mod gone;
mod hostile;
mod moments;
mod pair;
mod picked;
