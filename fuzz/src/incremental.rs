//! What every incremental decoder promises: how its input is cut into reads makes no difference.

use std::fmt::Debug;

use rsync_proto::DecodeError;
use rsync_proto::wire::Cursor;

/// How a run over an input ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The decoder said that it is done.
    Done,
    /// The input ended first.
    Incomplete,
    /// The decoder refused the input.
    Refused(DecodeError),
}

/// What a decoder made of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run<E> {
    /// What it decoded, in order.
    pub events: Vec<E>,
    /// Why it stopped.
    pub end: End,
    /// Bytes that it took.
    pub taken: usize,
}

/// Feeds `pieces` to `step`, which decodes one thing; `None` is the end of what there is to decode.
///
/// # Panics
/// If `step` decodes something out of nothing, which would go on for ever.
pub fn run<E>(
    pieces: &[&[u8]],
    mut step: impl FnMut(&mut Cursor<'_>) -> Result<Option<E>, DecodeError>,
) -> Run<E> {
    let (mut pending, mut events, mut taken) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        pending.extend_from_slice(piece);
        let mut at = 0;
        loop {
            let mut cursor = Cursor::new(&pending[at..]);
            let result = step(&mut cursor);
            let used = cursor.position();
            at += used;
            taken += used;
            let end = match result {
                Ok(Some(event)) => {
                    assert!(used > 0, "something was decoded out of no bytes");
                    events.push(event);
                    continue;
                }
                Ok(None) => End::Done,
                Err(DecodeError::Incomplete) => break,
                Err(error) => End::Refused(error),
            };
            return Run { events, end, taken };
        }
        pending.drain(..at);
    }
    Run {
        events,
        end: End::Incomplete,
        taken,
    }
}

/// Runs the decoder that `start` makes over `data` in one piece, then in two, cut in many places: every run must
/// come to the same. Returns it.
///
/// # Panics
/// If a cut makes a difference.
pub fn any_split<E, S>(data: &[u8], start: impl Fn() -> S) -> Run<E>
where
    E: Debug + PartialEq,
    S: FnMut(&mut Cursor<'_>) -> Result<Option<E>, DecodeError>,
{
    let whole = run(&[data], start());
    for at in cuts(data) {
        let (head, tail) = data.split_at(at);
        let split = run(&[head, tail], start());
        assert_eq!(split.end, whole.end, "cut at byte {at}");
        // Where a refused input stands is nobody's business any more.
        let refused = matches!(whole.end, End::Refused(_));
        assert!(refused || split.taken == whole.taken, "cut at byte {at}");
        assert!(split.events == whole.events, "cut at byte {at}");
    }
    whole
}

/// The same for a decoder of one value without a state of its own.
///
/// # Panics
/// If a cut makes a difference.
pub fn one_of_any_split<T, F>(data: &[u8], decode: F) -> Option<T>
where
    T: Debug + PartialEq,
    F: Fn(&mut Cursor<'_>) -> Result<T, DecodeError>,
{
    let start = || {
        let mut done = false;
        let decode = &decode;
        move |cursor: &mut Cursor<'_>| {
            if done {
                return Ok(None);
            }
            let value = decode(cursor)?;
            done = true;
            Ok(Some(value))
        }
    };
    any_split(data, start).events.pop()
}

/// Where to cut: everywhere in a short input, in a long one at places that its bytes choose.
pub fn cuts(data: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let len = data.len();
    let seed = data
        .iter()
        .fold(len, |hash, &byte| hash.wrapping_mul(31) ^ usize::from(byte));
    let all = 0..if len <= ALL_CUTS { len } else { 0 };
    let some = 0..if len <= ALL_CUTS { 0 } else { SOME_CUTS };
    all.chain(some.map(move |n| seed.wrapping_add(n.wrapping_mul(0x9e37_79b9)) % len))
}

/// Longest input that is cut everywhere.
const ALL_CUTS: usize = 48;
/// Cuts of longer ones.
const SOME_CUTS: usize = 6;
