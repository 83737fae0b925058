//! What a sink has got, and how to apply it.

use std::convert::Infallible;

use rsync_delta::{BlockRuns, Layout, MAX_LITERAL, OpSink, Run};

/// Operations with adjacent literals joined: what a delta means.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Delta(pub(crate) Vec<Op>);

#[derive(Debug, PartialEq)]
pub(crate) enum Op {
    Literal(Vec<u8>),
    Copy(u32),
}

impl OpSink for Delta {
    type Error = Infallible;

    fn literal(&mut self, data: &[u8]) -> Result<(), Infallible> {
        assert!((1..=MAX_LITERAL).contains(&data.len()));
        match self.0.last_mut() {
            Some(Op::Literal(literal)) => literal.extend_from_slice(data),
            _ => self.0.push(Op::Literal(data.to_vec())),
        }
        Ok(())
    }

    fn copy(&mut self, block: u32) -> Result<(), Infallible> {
        self.0.push(Op::Copy(block));
        Ok(())
    }
}

impl Delta {
    pub(crate) fn apply(&self, basis: &[u8], layout: Layout) -> Vec<u8> {
        let mut out = Vec::new();
        let mut runs = BlockRuns::new(layout);
        let copy = |out: &mut Vec<u8>, run: Option<Run>| {
            if let Some(run) = run {
                out.extend_from_slice(&basis[run.offset as usize..][..run.len as usize]);
            }
        };
        for op in &self.0 {
            match op {
                Op::Literal(data) => {
                    copy(&mut out, runs.take());
                    out.extend_from_slice(data);
                }
                Op::Copy(block) => {
                    let run = runs.push(*block).unwrap();
                    copy(&mut out, run);
                }
            }
        }
        copy(&mut out, runs.take());
        out
    }

    /// Where in the new file each match lies, and how long it is.
    pub(crate) fn matches(&self, layout: Layout) -> Vec<(usize, usize)> {
        let mut at = 0;
        let mut found = Vec::new();
        for op in &self.0 {
            match op {
                Op::Literal(data) => at += data.len(),
                Op::Copy(block) => {
                    let len = layout.block(*block).unwrap().1 as usize;
                    found.push((at, len));
                    at += len;
                }
            }
        }
        found
    }
}
