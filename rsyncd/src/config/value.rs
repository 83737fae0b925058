//! Values of parameters and their `%VAR%`s (04-daemon 5).

use std::fmt;

use thiserror::Error;

/// Numbers are C ints.
pub(crate) type Number = i32;

/// Text of a parameter; `%VAR%` in it is replaced when it is used.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text(Vec<u8>);

/// A value grew too much by its variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "variables make a configuration value more than {} bytes longer",
    crate::limits::EXPANSION
)]
pub struct ExpansionError;

impl Text {
    /// Text as it stands in the file.
    pub fn new(raw: impl Into<Vec<u8>>) -> Self {
        Self(raw.into())
    }

    /// The bytes in the file.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.0
    }

    /// Nothing is set, or the empty string.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text with every `%VAR%` that `variables` knows replaced, once. VAR begins with an upper-case ASCII
    /// letter; others stay as they are.
    ///
    /// # Errors
    ///
    /// [`ExpansionError`] when the result is more than 2 KiB longer than the text.
    pub fn expand(
        &self,
        variables: &dyn Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Vec<u8>, ExpansionError> {
        let mut out = Vec::with_capacity(self.0.len());
        let mut rest = &self.0[..];
        while let Some(start) = rest.iter().position(|&b| b == b'%') {
            let (before, from) = rest.split_at(start);
            out.extend_from_slice(before);
            let name = from[1..]
                .iter()
                .position(|&b| b == b'%')
                .map(|end| &from[1..=end]);
            match name
                .filter(|n| n.first().is_some_and(u8::is_ascii_uppercase))
                .and_then(|n| variables(n).map(|value| (n.len() + 2, value)))
            {
                Some((used, value)) => {
                    out.extend_from_slice(&value);
                    rest = &from[used..];
                }
                None => {
                    out.push(b'%');
                    rest = &from[1..];
                }
            }
            if out.len() > self.0.len() + crate::limits::EXPANSION {
                return Err(ExpansionError);
            }
        }
        out.extend_from_slice(rest);
        Ok(out)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", crate::text::escape(&self.0))
    }
}

/// The variables of the process' environment.
pub(crate) fn environment(name: &[u8]) -> Option<Vec<u8>> {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt};
    std::env::var_os(std::ffi::OsStr::from_bytes(name)).map(OsStringExt::into_vec)
}

/// `yes/true/1` and `no/false/0`; case and white space do not count.
pub(crate) fn parse_bool(value: &[u8]) -> Option<bool> {
    let word: Vec<u8> = value
        .iter()
        .filter(|b| !super::lexer::is_space(**b))
        .map(u8::to_ascii_lowercase)
        .collect();
    match &word[..] {
        b"yes" | b"true" | b"1" => Some(true),
        b"no" | b"false" | b"0" => Some(false),
        _ => None,
    }
}

/// A boolean that may also be `unset` or `-1`.
pub(crate) fn parse_tristate(value: &[u8]) -> Option<Option<bool>> {
    let word: Vec<u8> = value
        .iter()
        .filter(|b| !super::lexer::is_space(**b))
        .map(u8::to_ascii_lowercase)
        .collect();
    match &word[..] {
        b"unset" | b"-1" => Some(None),
        _ => parse_bool(&word).map(Some),
    }
}

/// A number as C's `atoi` reads it (the digits at the start), and whether that was all of the text. Beyond
/// the range of an int it stays at the end of the range.
pub(crate) fn parse_number(value: &[u8]) -> (Number, bool) {
    let (negative, digits) = match value {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    let mut number: i64 = 0;
    for digit in &digits[..count] {
        number = (number * 10 + i64::from(digit - b'0')).min(i64::from(u32::MAX));
    }
    let number = if negative { -number } else { number };
    let clamped = number.clamp(i64::from(Number::MIN), i64::from(Number::MAX));
    (
        clamped as Number,
        count > 0 && count == digits.len() && clamped == number,
    )
}

/// Cuts slashes at the end, but not the only one.
pub(crate) fn trim_path(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|&b| b != b'/').map_or(1, |i| i + 1);
    &value[..end.min(value.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables() {
        let known = |name: &[u8]| match name {
            b"FOO" => Some(b"foo val".to_vec()),
            b"REC" => Some(b"%FOO%".to_vec()),
            b"BIG" => Some(vec![b'x'; 3000]),
            _ => None,
        };
        for (raw, expected) in [
            (
                "%FOO%|%NOPE%|%foo%|100%|%%|%FOO",
                "foo val|%NOPE%|%foo%|100%|%%|%FOO",
            ),
            ("%REC%", "%FOO%"),
            ("%%FOO%%", "%foo val%"),
            ("", ""),
        ] {
            let text = Text::new(raw).expand(&known).expect("fits");
            assert_eq!(String::from_utf8_lossy(&text), expected, "{raw}");
        }
        assert_eq!(Text::new("%BIG%").expand(&known), Err(ExpansionError));
    }

    #[test]
    fn booleans() {
        for (raw, expected) in [
            ("F alse", Some(Some(false))),
            ("YES", Some(Some(true))),
            (" 1", Some(Some(true))),
            ("0", Some(Some(false))),
            ("Unset", Some(None)),
            ("-1", Some(None)),
            ("on", None),
            ("y", None),
            ("", None),
        ] {
            assert_eq!(parse_tristate(raw.as_bytes()), expected, "{raw}");
            assert_eq!(parse_bool(raw.as_bytes()), expected.flatten(), "{raw}");
        }
    }

    #[test]
    fn numbers() {
        for (raw, expected) in [
            ("12", (12, true)),
            ("-3", (-3, true)),
            ("12abc", (12, false)),
            ("xx", (0, false)),
            ("0x10", (0, false)),
            ("", (0, false)),
            ("99999999999999999999", (i32::MAX, false)),
        ] {
            assert_eq!(parse_number(raw.as_bytes()), expected, "{raw}");
        }
    }

    #[test]
    fn paths() {
        for (raw, expected) in [
            ("/a/b///", "/a/b"),
            ("/", "/"),
            ("///", "/"),
            ("a", "a"),
            ("", ""),
        ] {
            assert_eq!(trim_path(raw.as_bytes()), expected.as_bytes(), "{raw}");
        }
    }
}
