//! Numbers for people (06-client 3.5): level 0 digits, 1 groups of three, 2 units of 1000, 3 units of 1024.

/// A count of bytes.
pub(super) fn bytes(value: u64, level: u8) -> String {
    let unit = if level >= 3 { 1024 } else { 1000 };
    if level < 2 || value < unit {
        return count(value, level);
    }
    scaled(value as f64, unit as f64)
}

/// A count of things: never scaled.
pub(super) fn count(value: u64, level: u8) -> String {
    let digits = value.to_string();
    if level == 0 { digits } else { grouped(&digits) }
}

/// A rate: two decimals, scaled like bytes.
pub(super) fn rate(value: f64, level: u8) -> String {
    let unit = if level >= 3 { 1024.0 } else { 1000.0 };
    if level < 2 || value < unit {
        decimal(value, level)
    } else {
        scaled(value, unit)
    }
}

/// Two decimals, grouped but never scaled.
pub(super) fn decimal(value: f64, level: u8) -> String {
    let text = format!("{value:.2}");
    match text.split_once('.') {
        Some((digits, fraction)) if level >= 1 => format!("{}.{fraction}", grouped(digits)),
        _ => text,
    }
}

fn scaled(mut value: f64, unit: f64) -> String {
    let mut letters = "KMGTP".chars();
    let mut letter = letters.next().unwrap_or('K');
    value /= unit;
    for next in letters {
        if value < unit {
            break;
        }
        value /= unit;
        letter = next;
    }
    format!("{value:.2}{letter}")
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        let cases: &[(u64, [&str; 4])] = &[
            (0, ["0", "0", "0", "0"]),
            (999, ["999", "999", "999", "999"]),
            (1000, ["1000", "1,000", "1.00K", "1,000"]),
            (1023, ["1023", "1,023", "1.02K", "1,023"]),
            (1024, ["1024", "1,024", "1.02K", "1.00K"]),
            (4096, ["4096", "4,096", "4.10K", "4.00K"]),
            (999_999, ["999999", "999,999", "1000.00K", "976.56K"]),
            (1_048_575, ["1048575", "1,048,575", "1.05M", "1024.00K"]),
            (1_234_567, ["1234567", "1,234,567", "1.23M", "1.18M"]),
        ];
        for (value, expected) in cases {
            for (level, expected) in (0..).zip(expected) {
                assert_eq!(bytes(*value, level), *expected, "{value} at level {level}");
            }
        }
        assert_eq!(count(1_234_567, 3), "1,234,567");
        assert_eq!(
            [0, 1, 2, 3].map(|level| rate(2_470_766.0, level)),
            ["2470766.00", "2,470,766.00", "2.47M", "2.36M"]
        );
        assert_eq!(
            [0, 1, 2].map(|level| decimal(5796.18, level)),
            ["5796.18", "5,796.18", "5,796.18"]
        );
    }
}
