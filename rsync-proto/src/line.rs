//! Lines of the text phase (01-session 4).

use std::borrow::Cow;

use crate::error::{DecodeError, EncodeError, Violation};
use crate::wire::Cursor;

/// Reads a line of at most `max` bytes and drops its newline, and every carriage return as rsync does.
///
/// # Errors
/// Incomplete; [`Violation::LineTooLong`] as soon as `max` bytes are there without a newline;
/// [`Violation::NulInside`].
pub fn read_line<'a>(cursor: &mut Cursor<'a>, max: usize) -> Result<Cow<'a, [u8]>, DecodeError> {
    let input = cursor.rest();
    let end = input.iter().take(max + 1).position(|&byte| byte == b'\n');
    let Some(end) = end else {
        return Err(if input.len() > max {
            Violation::LineTooLong { max }.into()
        } else {
            DecodeError::Incomplete
        });
    };
    let line = cursor.take(end)?;
    cursor.take(1)?;
    if line.contains(&0) {
        return Err(Violation::NulInside.into());
    }
    Ok(if line.contains(&b'\r') {
        line.iter().copied().filter(|&byte| byte != b'\r').collect()
    } else {
        Cow::Borrowed(line)
    })
}

/// Refuses what cannot be part of a line: its end, and what readers drop or choke on.
pub(crate) fn check_part(what: &'static str, bytes: &[u8]) -> Result<(), EncodeError> {
    match bytes.iter().find(|byte| b"\n\r\0".contains(byte)) {
        None => Ok(()),
        Some(&byte) => Err(EncodeError::ForbiddenByte { what, byte }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines() {
        let mut cursor = Cursor::new(b"one\r\n\ntail");
        assert_eq!(read_line(&mut cursor, 10).as_deref(), Ok(&b"one"[..]));
        assert_eq!(read_line(&mut cursor, 10).as_deref(), Ok(&b""[..]));
        assert_eq!(read_line(&mut cursor, 10), Err(DecodeError::Incomplete));
        // What follows the line is not swallowed.
        assert_eq!(cursor.rest(), b"tail");
        let nul = read_line(&mut Cursor::new(b"a\0b\n"), 10);
        assert_eq!(nul, Err(Violation::NulInside.into()));
    }

    #[test]
    fn long_lines_are_refused_before_their_end() {
        let too_long = Err(Violation::LineTooLong { max: 4 }.into());
        assert_eq!(read_line(&mut Cursor::new(b"12345"), 4), too_long);
        assert_eq!(read_line(&mut Cursor::new(b"12345\n"), 4), too_long);
        assert_eq!(
            read_line(&mut Cursor::new(b"1234"), 4),
            Err(DecodeError::Incomplete)
        );
        assert_eq!(
            read_line(&mut Cursor::new(b"1234\n"), 4).as_deref(),
            Ok(&b"1234"[..])
        );
    }

    proptest! {
        #[test]
        fn prefixes_are_incomplete(line in "[^\n\r\0]{0,40}") {
            let whole = format!("{line}\n");
            for cut in 0..whole.len() {
                let got = read_line(&mut Cursor::new(&whole.as_bytes()[..cut]), 400);
                prop_assert_eq!(got, Err(DecodeError::Incomplete));
            }
            let got = read_line(&mut Cursor::new(whole.as_bytes()), 400).unwrap();
            prop_assert_eq!(&*got, line.as_bytes());
        }
    }
}
