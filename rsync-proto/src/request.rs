//! The client's lines after its greeting: early input and the module line (01-session 4.5, 4.6).

use crate::error::{EncodeError, Violation};
use crate::limits;
use crate::line::check_part;

/// What a client asks a daemon for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// The list of modules.
    List,
    /// A module, by its exact name.
    Module(&'a [u8]),
    /// So many raw bytes, 1 to 5120, follow the line; then the request itself.
    EarlyInput(usize),
    /// A command that no daemon knows: the whole line.
    Unknown(&'a [u8]),
}

impl<'a> Request<'a> {
    /// Parses a line, without its newline.
    ///
    /// # Errors
    /// [`Violation::EarlyInputLength`].
    pub fn parse(line: &'a [u8]) -> Result<Self, Violation> {
        if line.is_empty() || line == LIST {
            return Ok(Self::List);
        }
        if let Some(len) = line.strip_prefix(EARLY_INPUT) {
            return std::str::from_utf8(len)
                .ok()
                .and_then(|len| len.parse().ok())
                .filter(|len| (1..=limits::EARLY_INPUT).contains(len))
                .map(Self::EarlyInput)
                .ok_or(Violation::EarlyInputLength);
        }
        Ok(if line.starts_with(b"#") {
            Self::Unknown(line)
        } else {
            Self::Module(line)
        })
    }
}

/// Appends the line that selects a module.
///
/// # Errors
/// For a name that no module can have: empty, with a slash or a line end inside, a leading `#`, or too long.
pub fn put_module(out: &mut Vec<u8>, name: &[u8]) -> Result<(), EncodeError> {
    let what = "module name";
    if name.is_empty() {
        return Err(EncodeError::Empty { what });
    }
    if name.len() > limits::GREETING_LINE {
        return Err(EncodeError::TooLong {
            what,
            len: name.len(),
            max: limits::GREETING_LINE,
        });
    }
    check_part(what, name)?;
    if name.contains(&b'/') {
        return Err(EncodeError::ForbiddenByte { what, byte: b'/' });
    }
    if name.starts_with(b"#") {
        return Err(EncodeError::ForbiddenByte { what, byte: b'#' });
    }
    out.extend_from_slice(name);
    out.push(b'\n');
    Ok(())
}

/// Appends the request for the list of modules, in the form that every daemon knows.
pub fn put_list_request(out: &mut Vec<u8>) {
    out.push(b'\n');
}

/// Appends early input: its line and its bytes. Daemons before 3.2.1 refuse it.
///
/// # Errors
/// For an input that is empty or longer than 5120 bytes.
pub fn put_early_input(out: &mut Vec<u8>, input: &[u8]) -> Result<(), EncodeError> {
    let what = "early input";
    match input.len() {
        0 => Err(EncodeError::Empty { what }),
        len @ 1..=limits::EARLY_INPUT => {
            out.extend_from_slice(EARLY_INPUT);
            out.extend_from_slice(format!("{len}\n").as_bytes());
            out.extend_from_slice(input);
            Ok(())
        }
        len => Err(EncodeError::TooLong {
            what,
            len,
            max: limits::EARLY_INPUT,
        }),
    }
}

const LIST: &[u8] = b"#list";
const EARLY_INPUT: &[u8] = b"#early_input=";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let rows: [(&[u8], Result<Request<'_>, Violation>); 9] = [
            (b"", Ok(Request::List)),
            (b"#list", Ok(Request::List)),
            (b"mod", Ok(Request::Module(b"mod"))),
            (b"#early_input=16", Ok(Request::EarlyInput(16))),
            (b"#early_input=5120", Ok(Request::EarlyInput(5120))),
            (b"#early_input=0", Err(Violation::EarlyInputLength)),
            (b"#early_input=5121", Err(Violation::EarlyInputLength)),
            (b"#early_input=-1", Err(Violation::EarlyInputLength)),
            (b"#frob", Ok(Request::Unknown(b"#frob"))),
        ];
        for (line, request) in rows {
            assert_eq!(Request::parse(line), request, "{line:?}");
        }
    }

    #[test]
    fn names_that_no_module_has() {
        for name in [&b""[..], b"a/b", b"a\nb", b"a\0", b"#list", &[b'x'; 1023]] {
            let mut out = Vec::new();
            assert!(put_module(&mut out, name).is_err() && out.is_empty());
        }
        let mut out = Vec::new();
        put_early_input(&mut out, b"secret").unwrap();
        put_module(&mut out, b"my mod").unwrap();
        put_list_request(&mut out);
        assert_eq!(out, b"#early_input=6\nsecretmy mod\n\n");
        assert!(put_early_input(&mut out, &[0; 5121]).is_err());
        assert!(put_early_input(&mut out, &[]).is_err());
    }
}
