//! Numbers on a command line: C integers and SIZE values (06-client 1.1 and 2.1).

use super::{OptionError, SizeError, error::text};

/// The limits of one SIZE option.
#[derive(Clone, Copy, Debug)]
pub struct SizeRule {
    /// The option's long name, for messages.
    pub option: &'static str,
    /// Bytes that a number without a unit counts for.
    pub unit: u64,
    /// Smallest value; zero is always allowed.
    pub min: u64,
    /// Largest value.
    pub max: Option<u64>,
}

impl SizeRule {
    /// A size in bytes without limits of its own.
    pub const fn bytes(option: &'static str) -> Self {
        Self {
            option,
            unit: 1,
            min: 0,
            max: None,
        }
    }

    /// Parses `argument`.
    ///
    /// # Errors
    /// [`OptionError::Size`].
    pub fn parse(&self, argument: &[u8]) -> Result<u64, OptionError> {
        let limited = parse_size(argument, self.unit)
            .map_err(|error| match (error, self.max) {
                (SizeError::TooLarge, Some(max)) => SizeError::TooLargeFor { max },
                (error, _) => error,
            })
            .and_then(|value| match self.max {
                Some(max) if value > max => Err(SizeError::TooLargeFor { max }),
                _ if value != 0 && value < self.min => Err(SizeError::TooSmall { min: self.min }),
                _ => Ok(value),
            });
        limited.map_err(|error| OptionError::Size {
            option: self.option,
            argument: text(argument),
            error,
        })
    }
}

/// `digits[.digits][unit][+1|-1]` in bytes; `default_unit` is what a number without a unit counts for.
fn parse_size(argument: &[u8], default_unit: u64) -> Result<u64, SizeError> {
    if argument.first() == Some(&b'-') {
        return Err(SizeError::TooLarge);
    }
    let (whole, rest) = split_digits(argument);
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) => split_digits(rest),
        None => (&[][..], rest),
    };
    let (rest, adjust) = match rest {
        [head @ .., b'+', b'1'] if !argument.starts_with(b"+") => (head, 1i64),
        [head @ .., b'-', b'1'] => (head, -1),
        _ => (rest, 0),
    };
    let unit = unit_of(rest, default_unit).ok_or(SizeError::Invalid)?;
    let bytes = decimal(whole, fraction, unit).ok_or(SizeError::TooLarge)?;
    // rsync computes in doubles: what rounds up to 2^63 is too large as well.
    if bytes as f64 >= (1u64 << 63) as f64 {
        return Err(SizeError::TooLarge);
    }
    bytes.checked_add_signed(adjust).ok_or(SizeError::TooLarge)
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.split_at(digits)
}

fn unit_of(suffix: &[u8], default_unit: u64) -> Option<u64> {
    let Some((&letter, rest)) = suffix.split_first() else {
        return Some(default_unit);
    };
    let power = match letter.to_ascii_lowercase() {
        b'b' if rest.is_empty() => return Some(1),
        b'k' => 1,
        b'm' => 2,
        b'g' => 3,
        b't' => 4,
        b'p' => 5,
        _ => return None,
    };
    if rest.is_empty() || rest.eq_ignore_ascii_case(b"ib") {
        Some(1024u64.pow(power))
    } else if rest.eq_ignore_ascii_case(b"b") {
        Some(1000u64.pow(power))
    } else {
        None
    }
}

/// `whole.fraction * unit`, truncated; `None` above 64 bits.
fn decimal(whole: &[u8], fraction: &[u8], unit: u64) -> Option<u64> {
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0u128, |sum, digit| {
            sum.checked_mul(10)?.checked_add(u128::from(digit - b'0'))
        })
    };
    // More than 18 places cannot change a truncated 64-bit result.
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let scaled = number(whole)?
        .checked_mul(scale)?
        .checked_add(number(fraction)?)?;
    u64::try_from(scaled.checked_mul(u128::from(unit))? / scale).ok()
}

/// A limit as rsync prints it in errors: units of 1024 with two decimals, small ones as they are.
pub(super) fn scaled(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = None;
    for letter in ['K', 'M', 'G', 'T', 'P'] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = Some(letter);
    }
    unit.map_or_else(|| bytes.to_string(), |letter| format!("{value:.2}{letter}"))
}

/// A C-style integer of 32 bits: decimal, `0x` hex or `0` octal, with an optional sign; nothing at all is 0. `word` is named
/// in errors.
///
/// # Errors
/// [`OptionError::InvalidNumber`], [`OptionError::NumberRange`].
pub fn parse_integer(argument: &[u8], word: &[u8]) -> Result<i32, OptionError> {
    if argument.is_empty() {
        return Ok(0);
    }
    let invalid = || OptionError::InvalidNumber { word: text(word) };
    let trimmed = argument.trim_ascii_start();
    let (negative, digits) = match trimmed {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (radix, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] if !rest.is_empty() => (16, rest),
        [b'0', rest @ ..] if !rest.is_empty() => (8, rest),
        rest => (10, rest),
    };
    if digits.is_empty() {
        return Err(invalid());
    }
    let mut value = 0i64;
    for &byte in digits {
        let digit = char::from(byte).to_digit(radix).ok_or_else(invalid)?;
        // Saturating: a longer number only has to stay out of range.
        value = value
            .saturating_mul(i64::from(radix))
            .saturating_add(i64::from(digit));
    }
    i32::try_from(if negative { -value } else { value })
        .map_err(|_| OptionError::NumberRange { word: text(word) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::grammar;

    /// Every row of the captured table: the value the client sends, or its error text.
    #[test]
    fn captured_sizes() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../testkit/vectors/cli/sizes.tsv"
        );
        let table = std::fs::read_to_string(path).unwrap();
        let mut rows = 0;
        for line in table.lines().skip(1) {
            let mut columns = line.split('\t');
            let (option, argument, expected) = (
                columns.next().unwrap(),
                columns.next().unwrap(),
                columns.next().unwrap(),
            );
            let parsed = match option {
                "max-size" => SizeRule::bytes("max-size").parse(argument.as_bytes()),
                "bwlimit" => grammar::parse_bwlimit(argument.as_bytes()).map(|rate| rate / 1024),
                "block-size" => grammar::block_size_rule(None).parse(argument.as_bytes()),
                other => panic!("no rule for {other}"),
            };
            let shown = match parsed {
                Ok(0) if option != "max-size" => "(not sent)".to_owned(),
                Ok(value) => value.to_string(),
                Err(error) => format!("error: {error}"),
            };
            // Upstream overflows here; we refuse (06-client 2.1, RATE).
            let expected = if (option, argument) == ("bwlimit", "2t") {
                "error: --bwlimit=2t is too large"
            } else {
                expected
            };
            assert_eq!(shown, expected, "--{option}={argument}");
            rows += 1;
        }
        assert_eq!(rows, 89);
    }

    #[test]
    fn integers() {
        let number = |text: &str| parse_integer(text.as_bytes(), text.as_bytes());
        for (text, value) in [
            ("0", 0),
            ("10", 10),
            ("0x10", 16),
            ("010", 8),
            ("-5", -5),
            ("+7", 7),
            (" 3", 3),
        ] {
            assert_eq!(number(text), Ok(value), "{text:?}");
        }
        for (text, value) in [
            ("2147483647", i32::MAX),
            ("-2147483648", i32::MIN),
            ("0x7fffffff", i32::MAX),
        ] {
            assert_eq!(number(text), Ok(value), "{text:?}");
        }
        assert_eq!(number(""), Ok(0));
        for text in ["-", "abc", "1a", "08", "0x", "0xg", "1 "] {
            assert_eq!(
                number(text),
                Err(OptionError::InvalidNumber {
                    word: text.to_owned()
                }),
                "{text:?}"
            );
        }
        for text in ["2147483648", "-2147483649", "99999999999999999999999999"] {
            assert_eq!(
                number(text),
                Err(OptionError::NumberRange {
                    word: text.to_owned()
                }),
                "{text:?}"
            );
        }
    }
}
