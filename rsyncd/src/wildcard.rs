//! Wildcards of host, user and option names: `*`, `?`, `[set]` and `\` (07-filters 4, without paths).

/// True if the whole of `text` matches. `*` and `?` do not match a slash. The cost is bounded by the product
/// of the lengths.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_counting(pattern, text, &mut 0)
}

/// [`matches`]; `steps` grows by about the number of bytes looked at.
pub(crate) fn matches_counting(pattern: &[u8], text: &[u8], steps: &mut u64) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when the part behind the last star does not fit: the star takes one byte more.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        *steps += match pattern.get(p) {
            Some(b'[') => (pattern.len() - p) as u64,
            _ => 1,
        };
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(_) => {
                if let Some(used) = one(&pattern[p..], text[t]) {
                    p += used;
                    t += 1;
                    continue;
                }
            }
            None => {}
        }
        match star {
            Some((after, taken)) if text[taken] != b'/' => {
                star = Some((after, taken + 1));
                p = after;
                t = taken + 1;
            }
            _ => return false,
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

/// The pattern has a character that is not taken literally.
pub(crate) fn is_pattern(pattern: &[u8]) -> bool {
    pattern.iter().any(|b| b"*?[".contains(b))
}

/// Matches one byte against the item at the start of `pattern`; the length of the item if it fits.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [b'?', ..] => (byte != b'/').then_some(1),
        [b'[', ..] => set(pattern, byte),
        [b'\\', next, ..] => (next == byte).then_some(2),
        [literal, ..] => (literal == byte).then_some(1),
        [] => None,
    }
}

/// `[abc]`, `[a-z]`, `[!a]`, `[^a]`; `]` first is literal, `\` quotes. A set without end matches nothing.
fn set(pattern: &[u8], byte: u8) -> Option<usize> {
    let mut i = 1;
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    if negated {
        i += 1;
    }
    let mut found = false;
    let first = i;
    loop {
        let mut low = *pattern.get(i)?;
        if low == b']' && i > first {
            return (found != negated && byte != b'/').then_some(i + 1);
        }
        if low == b'\\' {
            i += 1;
            low = *pattern.get(i)?;
        }
        i += 1;
        let mut high = low;
        if pattern.get(i) == Some(&b'-') && pattern.get(i + 1).is_some_and(|b| *b != b']') {
            i += 1;
            high = *pattern.get(i)?;
            if high == b'\\' {
                i += 1;
                high = *pattern.get(i)?;
            }
            i += 1;
        }
        found |= (low..=high).contains(&byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("*.example.com", "x.y.example.com", true),
            ("*a*b*c", "xxaxxbxxbc", true),
            ("?", "", false),
            ("client[12][0-9].*", "client20.example.com", true),
            ("client[12][0-9].*", "client30.example.com", false),
            ("[!a]", "a", false),
            ("[^a]b", "cb", true),
            ("[]x]", "]", true),
            ("[a", "a", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("a*b", "a/b", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn many_stars_are_cheap() {
        let pattern = [b"a*".repeat(1000), b"b".to_vec()].concat();
        let text = vec![b'a'; 4000];
        assert!(!matches(&pattern, &text));
        let mut steps = 0;
        assert!(!matches_counting(&pattern, &text, &mut steps));
        assert!(steps <= (pattern.len() * text.len()) as u64, "{steps}");
        let mut steps = 0;
        assert!(matches_counting(b"[abc]*", &text, &mut steps));
        assert!(steps > 4000, "{steps}");
    }
}
