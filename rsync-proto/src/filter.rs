//! The filter list on the wire: its framing (02-file-list 2). What the text of a rule says is not known here.

use crate::error::{DecodeError, EncodeError, Violation};
use crate::limits;
use crate::wire::{Cursor, put_int};

/// Reads the rules of one list, and bounds their number and size.
#[derive(Debug, Clone, Default)]
pub struct FilterReader {
    rules: usize,
    bytes: usize,
}

impl FilterReader {
    /// At the start of a list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the text of the next rule; `None` is the end of the list.
    ///
    /// # Errors
    /// Incomplete; [`Violation::FilterRuleLength`] before the text is there, [`Violation::FilterListTooLong`],
    /// [`Violation::NulInside`].
    pub fn read<'a>(&mut self, cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, DecodeError> {
        let mut probe = cursor.clone();
        let len = probe.int()?;
        if len == 0 {
            *cursor = probe;
            return Ok(None);
        }
        let wanted = usize::try_from(len)
            .ok()
            .filter(|&len| len <= limits::FILTER_RULE)
            .ok_or(Violation::FilterRuleLength { len })?;
        if self.rules == limits::FILTER_RULES || self.bytes + wanted > limits::FILTER_BYTES {
            return Err(Violation::FilterListTooLong.into());
        }
        let text = probe.take(wanted)?;
        if text.contains(&0) {
            return Err(Violation::NulInside.into());
        }
        self.rules += 1;
        self.bytes += wanted;
        *cursor = probe;
        Ok(Some(text))
    }
}

/// Appends a rule, with its length in front.
///
/// # Errors
/// [`EncodeError`] for a text that is empty, too long or with a NUL inside; nothing is appended then.
pub fn put_rule(out: &mut Vec<u8>, text: &[u8]) -> Result<(), EncodeError> {
    let what = "filter rule";
    if text.is_empty() {
        return Err(EncodeError::Empty { what });
    }
    if text.contains(&0) {
        return Err(EncodeError::ForbiddenByte { what, byte: 0 });
    }
    let len = i32::try_from(text.len())
        .ok()
        .filter(|_| text.len() <= limits::FILTER_RULE);
    let len = len.ok_or(EncodeError::TooLong {
        what,
        len: text.len(),
        max: limits::FILTER_RULE,
    })?;
    put_int(out, len);
    out.extend_from_slice(text);
    Ok(())
}

/// Appends the end of a list: of an empty one it is all there is.
pub fn put_end(out: &mut Vec<u8>) {
    put_int(out, 0);
}

#[cfg(test)]
mod tests;
