//! Names of `--files-from` on their way to the sender (01-session 11.2, 02-file-list 3).

use crate::error::{DecodeError, EncodeError, Violation};
use crate::limits;
use crate::wire::Cursor;

/// Reads the next name; `None` is the end of the list. The name is as it came: `..`, slashes in front and all.
///
/// # Errors
/// Incomplete; [`Violation::StringTooLong`] as soon as 4096 bytes are there without an end.
pub fn read_name<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, DecodeError> {
    let input = cursor.rest();
    let max = limits::PATH;
    let end = input.iter().take(max + 1).position(|&byte| byte == 0);
    let Some(end) = end else {
        return Err(if input.len() > max {
            // How much more came with the same read says nothing about the name.
            Violation::StringTooLong { len: max + 1, max }.into()
        } else {
            DecodeError::Incomplete
        });
    };
    let name = cursor.take(end)?;
    cursor.take(1)?;
    Ok((!name.is_empty()).then_some(name))
}

/// Appends a name.
///
/// # Errors
/// For a name that is empty, which would end the list, longer than 4095 bytes, or has a NUL inside.
pub fn put_name(out: &mut Vec<u8>, name: &[u8]) -> Result<(), EncodeError> {
    let what = "file name";
    if name.is_empty() {
        return Err(EncodeError::Empty { what });
    }
    if name.len() > limits::PATH {
        return Err(EncodeError::TooLong {
            what,
            len: name.len(),
            max: limits::PATH,
        });
    }
    if name.contains(&0) {
        return Err(EncodeError::ForbiddenByte { what, byte: 0 });
    }
    out.extend_from_slice(name);
    out.push(0);
    Ok(())
}

/// Appends the end of the list.
pub fn put_end(out: &mut Vec<u8>) {
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_without_a_form() {
        for name in [&b""[..], b"a\0b", &[b'x'; 4096]] {
            let mut out = Vec::new();
            assert!(put_name(&mut out, name).is_err() && out.is_empty());
        }
        let too_long = Violation::StringTooLong {
            len: 4096,
            max: 4095,
        };
        for there in [4096, 5000] {
            let bytes = vec![b'x'; there];
            let got = read_name(&mut Cursor::new(&bytes));
            assert_eq!(got, Err(too_long.into()), "{there} bytes there");
        }
        let got = read_name(&mut Cursor::new(&[b'x'; 4095]));
        assert_eq!(got, Err(DecodeError::Incomplete));
    }

    proptest! {
        #[test]
        fn lists_round_trip(names in proptest::collection::vec(proptest::collection::vec(1_u8.., 1..30), 0..5)) {
            let mut bytes = Vec::new();
            for name in &names {
                put_name(&mut bytes, name).unwrap();
            }
            put_end(&mut bytes);
            for cut in 0..=bytes.len() {
                let mut cursor = Cursor::new(&bytes[..cut]);
                let mut got = Vec::new();
                let end = loop {
                    match read_name(&mut cursor) {
                        Ok(Some(name)) => got.push(name.to_vec()),
                        end => break end,
                    }
                };
                if cut < bytes.len() {
                    prop_assert_eq!(end, Err(DecodeError::Incomplete));
                } else {
                    prop_assert_eq!(end, Ok(None));
                    prop_assert_eq!(&got, &names);
                }
            }
        }
    }
}
