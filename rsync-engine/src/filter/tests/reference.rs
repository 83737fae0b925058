//! The matcher against a second one, written from 07-filters 4 without any thought of speed.

use proptest::prelude::*;

use crate::filter::Pattern;

/// 07-filters 4.2 word for word, for relative names.
pub(super) fn reference(pattern: &[u8], name: &[u8], is_dir: bool) -> bool {
    if name.is_empty() {
        return false;
    }
    let (pattern, dir_only) = if pattern.len() > 1 && pattern.ends_with(b"/") {
        (&pattern[..pattern.len() - 1], true)
    } else {
        (pattern, false)
    };
    if dir_only && !is_dir {
        return false;
    }
    let slashes = pattern.iter().filter(|&&b| b == b'/').count();
    let wild = pattern.iter().any(|b| b"*?[".contains(b));
    let w2 = pattern.windows(2).any(|w| w == b"**");
    let w2_prefix = w2 && pattern.starts_with(b"**");
    let w3_suffix = w2 && pattern.ends_with(b"***");
    let components: Vec<&[u8]> = name.split(|&b| b == b'/').collect();
    let mut text = name.to_vec();
    if slashes == 0 && !w2 {
        text = components.last().unwrap().to_vec();
    } else if w2_prefix {
        text.insert(0, b'/');
    }
    if is_dir && w3_suffix {
        text.push(b'/');
    }
    let anchored = pattern.starts_with(b"/");
    let p = if anchored { &pattern[1..] } else { pattern };
    if !wild {
        return text == p || (!anchored && text.ends_with(&[b"/", p].concat()));
    }
    if !anchored && slashes > 0 && !w2 {
        return components.len() > slashes
            && glob(p, &components[components.len() - slashes - 1..].join(&b'/'));
    }
    if !anchored && w2 && !w2_prefix {
        let after_slash = |at: usize| at == 0 || text[at - 1] == b'/';
        return (0..=text.len()).any(|at| after_slash(at) && glob(p, &text[at..]));
    }
    glob(p, &text)
}

/// 07-filters 4.3, by plain backtracking.
fn glob(p: &[u8], t: &[u8]) -> bool {
    let one = |rest: &[u8], takes: &dyn Fn(u8) -> bool| {
        t.first().is_some_and(|&b| takes(b)) && glob(rest, &t[1..])
    };
    match p {
        [] => t.is_empty(),
        [b'*', b'*', ..] => {
            let rest = &p[p.iter().take_while(|&&b| b == b'*').count()..];
            (0..=t.len()).any(|n| glob(rest, &t[n..]))
        }
        [b'*', rest @ ..] => (0..=t.len()).any(|n| !t[..n].contains(&b'/') && glob(rest, &t[n..])),
        [b'?', rest @ ..] => one(rest, &|b| b != b'/'),
        [b'\\'] => false,
        [b'\\', c, rest @ ..] => one(rest, &|b| b == *c),
        [b'[', rest @ ..] => match class(rest) {
            Some((members, rest)) => one(rest, &|b| members.contains(&b)),
            None => false,
        },
        [c, rest @ ..] => one(rest, &|b| b == *c),
    }
}

/// The members of a class and what follows it (07-filters 4.4).
fn class(mut p: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let negated = matches!(p.first(), Some(b'!' | b'^'));
    if negated {
        p = &p[1..];
    }
    let mut members = Vec::new();
    let mut at = 0;
    let mut low: Option<u8> = None;
    while at == 0 || *p.get(at)? != b']' {
        let rest = p.get(at..).filter(|rest| !rest.is_empty())?;
        if rest[0] == b'\\' {
            low = Some(*rest.get(1)?);
            members.extend(low);
            at += 2;
        } else if rest[0] == b'-' && low.is_some() && rest.get(1).is_some_and(|&b| b != b']') {
            let escaped = usize::from(rest[1] == b'\\');
            members.extend(low.take()?..=*rest.get(1 + escaped)?);
            at += 2 + escaped;
        } else if rest.starts_with(b"[:") && named(rest).is_some() {
            let (name, length) = named(rest)?;
            let name = std::str::from_utf8(name).ok()?;
            let is: fn(&char) -> bool = match name {
                "alnum" => char::is_ascii_alphanumeric,
                "alpha" => char::is_ascii_alphabetic,
                "blank" => |c| " \t".contains(*c),
                "cntrl" => char::is_ascii_control,
                "digit" => char::is_ascii_digit,
                "graph" => char::is_ascii_graphic,
                "lower" => char::is_ascii_lowercase,
                "print" => |c| *c == ' ' || c.is_ascii_graphic(),
                "punct" => char::is_ascii_punctuation,
                "space" => |c| " \t\n\x0b\x0c\r".contains(*c),
                "upper" => char::is_ascii_uppercase,
                "xdigit" => char::is_ascii_hexdigit,
                _ => return None,
            };
            members.extend((0u8..128).filter(|&b| is(&char::from(b))));
            low = None;
            at += length;
        } else {
            low = Some(rest[0]);
            members.push(rest[0]);
            at += 1;
        }
    }
    let mut members: Vec<u8> = (0..=255)
        .filter(|b| members.contains(b) != negated)
        .collect();
    members.retain(|&b| b != b'/');
    Some((members, &p[at + 1..]))
}

/// The name in `[:name:]` and the length of it all, if the next `]` has a colon before it.
fn named(p: &[u8]) -> Option<(&[u8], usize)> {
    let end = p.iter().position(|&b| b == b']')?;
    (end >= 3 && p[end - 1] == b':').then(|| (&p[2..end - 1], end + 1))
}

/// Patterns from pieces that matter, so that most of them match something.
fn pattern() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "c", "ab", "x"]),
        5 => prop::sample::select(vec!["*", "*", "**", "***", "?", "/", "/", "/*/", "/**/"]),
        2 => prop::sample::select(vec![
            "[ab]", "[!a]", "[^/]", "[a-c]", "[]a]", "[a-", "[", "]", "-", "[c-a]", "[\\]]", "[[:alpha:]]",
            "[[:nope:]]", "[[:]", "[a\\-c]", "[--b]", "[!]", "[a-c-x]", "[[:digit:]-c]",
        ]),
        1 => prop::sample::select(vec!["\\a", "\\*", "\\", "\\/", "!", "\u{e9}"]),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes())
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let component = prop::collection::vec(prop::sample::select(b"aabbcx*-]\\\xe9".to_vec()), 1..5);
    prop::collection::vec(component, 1..5).prop_map(|components| components.join(&b'/'))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn matcher_agrees_with_the_reference(
        pattern in pattern(), names in prop::collection::vec(name(), 8), is_dir: bool,
    ) {
        let prepared = Pattern::new(&pattern).unwrap();
        for name in names {
            prop_assert_eq!(
                prepared.matches(&name, is_dir),
                reference(&pattern, &name, is_dir),
                "{} on {}", pattern.escape_ascii(), name.escape_ascii()
            );
        }
    }

    #[test]
    fn any_bytes_are_a_pattern(pattern in prop::collection::vec(any::<u8>(), 0..40), name in name()) {
        let prepared = Pattern::new(&pattern).unwrap();
        prop_assert_eq!(prepared.matches(&name, true), reference(&pattern, &name, true));
    }
}

#[test]
fn over_long_patterns_are_refused() {
    assert!(Pattern::new(&[b'a'; 4095]).is_some());
    assert!(Pattern::new(&[b'a'; 4096]).is_none());
}
