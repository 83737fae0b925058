//! Search for blocks of the basis in the new file (03-transfer 5.1, 5.3).

use crate::block_sums::MAX_LANES;
use crate::window::{MAX_LITERAL, Window, room_for};
use crate::{BlockSums, Digest, Index, OutOfMemory, Rolling};

/// Takes what a [`Matcher`] finds, in the order of the new file.
pub trait OpSink {
    /// Why the sink could not go on.
    type Error;

    /// Bytes that the basis does not have, 1 to [`MAX_LITERAL`] of them.
    fn literal(&mut self, data: &[u8]) -> Result<(), Self::Error>;

    /// A block of the basis.
    fn copy(&mut self, block: u32) -> Result<(), Self::Error>;

    /// Called now and then while much is hashed and nothing found. An error ends the search.
    fn working(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Searches one new file for blocks of a basis.
///
/// Memory: the window holds a block and 32 KiB of pending literal besides what is being read, and never more than
/// about twice what the file gave it.
///
/// The caller repeats: read the file into [`space`](Self::space), say how much with [`filled`](Self::filled), then
/// [`scan`](Self::scan). At the end of the file it calls [`finish`](Self::finish). What the sink gets does not depend
/// on how the file was cut into reads, but for where long literals are split.
///
/// After a match the block that follows it is tried first; as long as that goes well no byte is rolled over. The cost
/// is linear in the file's length whatever the sums are.
#[derive(Debug)]
pub struct Matcher<'s> {
    sums: &'s BlockSums,
    index: &'s Index,
    window: &'s mut Window,
    /// Where the search stands, counted from the first held byte of the window. What is before it is a literal.
    pos: usize,
    /// Sum of the block at `pos` if that is known not to match.
    rolling: Option<Rolling>,
    /// The block after the last matched one.
    expected: usize,
    block_len: usize,
    full_blocks: usize,
    effort: Effort,
}

impl<'s> Matcher<'s> {
    /// A search at the start of a new file. `index` must have been built of `sums`; what `window` holds is dropped.
    pub fn new(sums: &'s BlockSums, index: &'s Index, window: &'s mut Window) -> Self {
        window.clear();
        let block_len = sums.layout().block_len() as usize;
        Self {
            sums,
            index,
            window,
            pos: 0,
            rolling: None,
            expected: 0,
            block_len,
            full_blocks: sums.len().min(sums.layout().full_blocks() as usize),
            effort: Effort::new(block_len),
        }
    }

    /// Where to put the next bytes of the file, never empty. The more of it is filled the better.
    ///
    /// # Errors
    /// [`OutOfMemory`]: the peer decides how long blocks are.
    pub fn space(&mut self) -> Result<&mut [u8], OutOfMemory> {
        self.window.space(room_for(self.block_len))
    }

    /// Takes the first `len` bytes of [`space`](Self::space) as the next bytes of the file, and returns them, for the
    /// whole-file sum.
    pub fn filled(&mut self, len: usize) -> &[u8] {
        self.window.fill(len)
    }

    /// Searches what has been filled. Keeps back what may still become part of a match or of a longer literal.
    pub fn scan<S: OpSink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        if self.full_blocks == 0 {
            let short = self.short_block().map_or(0, |(_, len)| len);
            self.pos = self.window.held().len().saturating_sub(short).max(self.pos);
        } else {
            while self.window.held().len() - self.pos >= self.block_len {
                match self.rolling {
                    None => self.walk(sink)?,
                    Some(rolling) => {
                        if !self.search(rolling, sink)? {
                            break;
                        }
                    }
                }
            }
        }
        self.put_literals(sink, MAX_LITERAL)
    }

    /// Searches the rest of the file and gives the sink all that was kept back.
    pub fn finish<S: OpSink>(mut self, sink: &mut S) -> Result<(), S::Error> {
        self.scan(sink)?;
        let held = self.window.held();
        let short = self.short_block().and_then(|(block, len)| {
            let tail = held.len().checked_sub(len).filter(|&at| at >= self.pos)?;
            let data = &held[tail..];
            let equal = Rolling::new(data).value() == *self.sums.weak().get(block)?
                && self.sums.strong_matches(block, &self.digest(data));
            equal.then_some((block, len))
        });
        self.pos = held.len() - short.map_or(0, |(_, len)| len);
        self.put_literals(sink, 1)?;
        if let Some((block, len)) = short {
            sink.copy(block as u32)?;
            self.window.drop_front(len);
        }
        Ok(())
    }

    /// Compares the data at `pos` with the expected blocks, several at a time. Ends before the first that differs,
    /// after having looked for another block there.
    fn walk<S: OpSink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        let ahead = &self.window.held()[self.pos..];
        let most = self
            .sums
            .checksum()
            .lanes()
            .min(MAX_LANES)
            .min(self.full_blocks.saturating_sub(self.expected));
        // Weak sums first: they tell where the stretch probably ends.
        let mut differs = None;
        let mut alike = 0;
        for (block, weak) in ahead
            .chunks_exact(self.block_len)
            .zip(&self.sums.weak()[self.expected..self.expected + most])
        {
            let rolling = Rolling::new(block);
            if rolling.value() != *weak {
                differs = Some(rolling);
                break;
            }
            alike += 1;
        }
        let mut digests = [Digest::default(); MAX_LANES];
        let digests = &mut digests[..alike];
        self.sums
            .checksum()
            .block_sums(self.sums.seed(), ahead, self.block_len, digests);
        let equal = digests
            .iter()
            .enumerate()
            .take_while(|(i, digest)| self.sums.strong_matches(self.expected + i, digest))
            .count();
        for _ in 0..equal {
            self.put_match(self.expected, sink)?;
        }
        if equal > 0 && equal == alike && differs.is_none() {
            return Ok(());
        }
        // Something else lies here now, or there is no further block in sequence.
        let block = &self.window.held()[self.pos..];
        if block.len() < self.block_len {
            return Ok(());
        }
        let digest = digests.get(equal).copied();
        let rolling = match differs {
            Some(rolling) if digest.is_none() => rolling,
            _ => Rolling::new(&block[..self.block_len]),
        };
        self.probe(rolling, digest, sink)
    }

    /// Rolls on to the next place where a block may match and looks it up. Returns false at the end of the data.
    fn search<S: OpSink>(&mut self, mut rolling: Rolling, sink: &mut S) -> Result<bool, S::Error> {
        let ahead = &self.window.held()[self.pos..];
        let (_, entering) = ahead.split_at(self.block_len);
        let leaving = &ahead[..entering.len()];
        let (steps, hit) = self.index.skip(&mut rolling, leaving, entering);
        self.pos += steps;
        self.effort.allow(steps);
        if hit {
            self.probe(rolling, None, sink)?;
        } else {
            self.rolling = Some(rolling);
        }
        Ok(hit)
    }

    /// Looks for a block equal to the data at `pos`, whose weak sum is `rolling` and whose strong sum may be known.
    fn probe<S: OpSink>(
        &mut self,
        rolling: Rolling,
        digest: Option<Digest>,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        match self.find(rolling.value(), digest) {
            Some(block) => self.put_match(block, sink),
            None => {
                self.rolling = Some(rolling);
                if self.effort.reaches_step() {
                    sink.working()?;
                }
                Ok(())
            }
        }
    }

    /// The block equal to the data at `pos`, the expected one if there are several.
    fn find(&mut self, weak: u32, digest: Option<Digest>) -> Option<usize> {
        if !self.index.may_contain(weak) || self.effort.exhausted() {
            return None;
        }
        let bucket = self.index.bucket(weak, MAX_CANDIDATES);
        let mut candidates = bucket
            .iter()
            .filter(|entry| entry.weak == weak)
            .map(|entry| entry.block as usize)
            .peekable();
        let mut hashed = 0;
        if candidates.peek().is_some() {
            hashed = self.block_len;
            let digest = digest
                .unwrap_or_else(|| self.digest(&self.window.held()[self.pos..][..self.block_len]));
            let equals = |block: usize| self.sums.strong_matches(block, &digest);
            // Going on in sequence makes the basis be read in sequence.
            let expected = (self.expected < self.full_blocks
                && self.sums.weak()[self.expected] == weak
                && equals(self.expected))
            .then_some(self.expected);
            let found = expected.or_else(|| candidates.find(|&block| equals(block)));
            if found.is_some() {
                return found;
            }
        }
        self.effort.spend(hashed, bucket.len());
        None
    }

    fn digest(&self, block: &[u8]) -> Digest {
        self.sums.checksum().block_sum(self.sums.seed(), block)
    }

    /// Number and length of the short last block, if it exists and its sums are here.
    fn short_block(&self) -> Option<(usize, usize)> {
        let (block, len) = self.sums.layout().short_block()?;
        Some((block as usize, len as usize))
    }

    /// Gives the sink the literal before `pos` and the block that lies there.
    fn put_match<S: OpSink>(&mut self, block: usize, sink: &mut S) -> Result<(), S::Error> {
        self.put_literals(sink, 1)?;
        sink.copy(block as u32)?;
        self.window.drop_front(self.block_len);
        self.effort.allow(self.block_len);
        self.rolling = None;
        self.expected = block + 1;
        Ok(())
    }

    /// Gives the sink the literal before `pos` as long as it is at least `least` bytes long.
    fn put_literals<S: OpSink>(&mut self, sink: &mut S, least: usize) -> Result<(), S::Error> {
        while self.pos >= least {
            let len = self.pos.min(MAX_LITERAL);
            sink.literal(&self.window.held()[..len])?;
            self.window.drop_front(len);
            self.pos -= len;
        }
        Ok(())
    }
}

/// Keeps the work on false hits in proportion to the file's length: sums made to fit everywhere by their weak half
/// alone would otherwise cost a digest of a whole block per byte. When the allowance is used up, literals are sent.
#[derive(Debug)]
struct Effort {
    /// Bytes that may still be hashed in vain; below 0 the search is in debt and looks nothing up.
    left: i64,
    /// Bytes hashed in vain since the sink was last asked whether to go on.
    unasked: i64,
}

impl Effort {
    fn new(block_len: usize) -> Self {
        Self {
            left: (1024 * (block_len as i64).max(1)).min(EFFORT_MAX),
            unasked: 0,
        }
    }

    fn allow(&mut self, bytes: usize) {
        self.left = (self.left + EFFORT_PER_BYTE * bytes as i64).min(EFFORT_MAX);
    }

    fn exhausted(&self) -> bool {
        self.left < 0
    }

    fn spend(&mut self, hashed: usize, entries: usize) {
        // Looking at a table entry costs about as much as hashing 8 bytes.
        let spent = hashed as i64 + 8 * entries as i64;
        self.left -= spent;
        self.unasked += spent;
    }

    /// Whether enough was spent to ask the sink again.
    fn reaches_step(&mut self) -> bool {
        let reached = self.unasked >= EFFORT_STEP;
        if reached {
            self.unasked = 0;
        }
        reached
    }
}

/// Bytes hashed in vain per byte of the file, on average.
const EFFORT_PER_BYTE: i64 = 32;

/// Most that may be hashed in vain before the next byte of the file comes: a fraction of a second. However long the
/// blocks are, and however much of the file matched before.
const EFFORT_MAX: i64 = 256 << 20;

/// Bytes hashed in vain between two questions to the sink.
const EFFORT_STEP: i64 = 1 << 20;

/// Table entries looked at per offset, against basis files full of blocks with the same weak sum.
const MAX_CANDIDATES: usize = 1024;

#[cfg(test)]
mod tests;
