//! Recorded sessions of real rsync, through the public interface.

mod captured;
mod sessions;
