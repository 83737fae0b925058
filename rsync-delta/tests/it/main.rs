//! Tests of rsync-delta through its public interface.

mod delta;
mod roundtrip;
mod vectors;
