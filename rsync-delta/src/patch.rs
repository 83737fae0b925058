//! From block numbers to ranges of the basis file (03-transfer 5.1, 5.2).

use crate::Layout;

/// A block number that cannot be honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The basis has no such block.
    #[error("match of block {block} in a basis of {count} blocks")]
    NoSuchBlock {
        /// Number received.
        block: u32,
        /// Number of blocks of the basis.
        count: u32,
    },
}

/// Bytes of the basis to be copied to the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where they begin in the basis.
    pub offset: u64,
    /// How many they are.
    pub len: u64,
}

/// Joins matches of adjacent blocks, so that a stretch of unchanged data is read in large pieces however short its
/// blocks are.
#[derive(Debug)]
pub struct BlockRuns {
    layout: Layout,
    pending: Option<Run>,
}

impl BlockRuns {
    /// For a delta against a basis of this layout.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            pending: None,
        }
    }

    /// Takes the next match. Returns the run before it if the block does not continue that run.
    ///
    /// Call [`take`](Self::take) before a literal, at the end of the delta, and whenever the output has to be complete.
    pub fn push(&mut self, block: u32) -> Result<Option<Run>, PatchError> {
        let (offset, len) = self
            .layout
            .block(block)
            .ok_or_else(|| PatchError::NoSuchBlock {
                block,
                count: self.layout.count(),
            })?;
        let len = u64::from(len);
        match &mut self.pending {
            Some(run) if run.offset + run.len == offset => {
                run.len += len;
                Ok(None)
            }
            pending => Ok(pending.replace(Run { offset, len })),
        }
    }

    /// Length of the run not yet returned, in bytes.
    pub fn pending(&self) -> u64 {
        self.pending.map_or(0, |run| run.len)
    }

    /// The run not yet returned, if there is one.
    pub fn take(&mut self) -> Option<Run> {
        self.pending.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjacent_blocks_become_one_run() {
        let layout = Layout::from_head(5, 700, 2, 200).unwrap();
        let mut runs = BlockRuns::new(layout);
        let mut out = Vec::new();
        for block in [0, 1, 3, 4, 4, 0] {
            out.extend(runs.push(block).unwrap());
        }
        out.extend(runs.take());
        let expected = [(0, 1400), (2100, 900), (2800, 200), (0, 700)]
            .map(|(offset, len)| Run { offset, len });
        assert_eq!(out, expected);
        assert_eq!(runs.take(), None);
    }

    #[test]
    fn a_block_outside_the_basis_is_an_error() {
        let mut runs = BlockRuns::new(Layout::EMPTY);
        let error = runs.push(0).unwrap_err();
        assert_eq!(error, PatchError::NoSuchBlock { block: 0, count: 0 });
        assert_eq!(error.to_string(), "match of block 0 in a basis of 0 blocks");
    }
}
