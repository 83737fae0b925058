//! Micro benches and the end-to-end comparison with rsync.
