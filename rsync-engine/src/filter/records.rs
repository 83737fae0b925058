//! Cutting the bytes of a file into records (07-filters 7.2, 7.3, 10).

/// How a file of rules or names is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// At LF, CR or CR LF.
    Lines,
    /// At NUL.
    Nul,
    /// At white space.
    Words,
}

/// The records that are not empty, each with its number from 1.
pub(super) fn records(mut rest: &[u8], split: Split) -> impl Iterator<Item = (usize, &[u8])> {
    let mut number = 0;
    let next = move || -> Option<(usize, &[u8])> {
        if rest.is_empty() {
            return None;
        }
        number += 1;
        let end = rest
            .iter()
            .position(|&b| ends_record(b, split))
            .unwrap_or(rest.len());
        let record = &rest[..end];
        let terminator = if split == Split::Lines && rest[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = rest.get(end + terminator..).unwrap_or_default();
        Some((number, record))
    };
    std::iter::from_fn(next).filter_map(move |(number, record)| {
        // A NUL ends a line for rsync; nothing behind it can be part of a name.
        let record = record.split(|&b| b == 0).next().unwrap_or_default();
        (!record.is_empty()).then_some((number, record))
    })
}

fn ends_record(byte: u8, split: Split) -> bool {
    match split {
        Split::Lines => matches!(byte, b'\n' | b'\r'),
        Split::Nul => byte == 0,
        Split::Words => is_space(byte),
    }
}

/// True for a record that is a comment where such are allowed: the very first byte decides.
pub(super) fn is_comment(record: &[u8]) -> bool {
    matches!(record.first(), Some(b'#' | b';'))
}

/// White space of the C locale.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(bytes: &[u8], split: Split) -> Vec<(usize, &[u8])> {
        records(bytes, split).collect()
    }

    #[test]
    fn lines() {
        assert_eq!(
            cut(b"a\r\n\n#c\n #d\n;e\r\rb \nlast", Split::Lines),
            [
                (1, &b"a"[..]),
                (3, b"#c"),
                (4, b" #d"),
                (5, b";e"),
                (7, b"b "),
                (8, b"last")
            ]
        );
        assert_eq!(cut(b"a\0b\nc", Split::Lines), [(1, &b"a"[..]), (2, b"c")]);
        assert_eq!(cut(b"", Split::Lines), []);
    }

    #[test]
    fn nul_and_words() {
        assert_eq!(
            cut(b"a\nb\0#c\0\0d", Split::Nul),
            [(1, &b"a\nb"[..]), (2, b"#c"), (4, b"d")]
        );
        let words: Vec<_> = cut(b" a\t#b\n\nc", Split::Words)
            .into_iter()
            .map(|(_, word)| word)
            .collect();
        assert_eq!(words, [&b"a"[..], b"#b", b"c"]);
    }
}
