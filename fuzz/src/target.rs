//! What a target is.

/// One fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of its module, of its binary and of its corpus.
    pub name: &'static str,
    /// Feeds an input to a decoder, and panics if one of the decoder's promises does not hold.
    pub run: fn(&[u8]),
    /// Inputs to start from, made of the vectors.
    pub seeds: fn() -> Vec<Vec<u8>>,
}
