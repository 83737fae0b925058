//! Patterns of filter rules against a matcher that tries everything (07-filters 4).

use rsync_engine::filter::Pattern;

use crate::header::Header;
use crate::vectors;

/// Header: whether the name is a directory. Then a pattern, NUL, and a name.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let is_dir = header.byte() & 1 != 0;
    let rest = header.rest();
    let split = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
    let (text, name) = (&rest[..split], rest.get(split + 1..).unwrap_or_default());
    let Some(pattern) = Pattern::new(text) else {
        assert!(text.len() > 4095);
        return;
    };
    let matches = pattern.matches(name, is_dir);
    // Names come without slashes around them, and not too long for a matcher that tries everything.
    let clean = !name.is_empty() && name.split(|&byte| byte == b'/').all(|part| !part.is_empty());
    if clean && text.len() * name.len() <= 40_000 {
        let naive = matches_naively(text, name, is_dir);
        assert_eq!(matches, naive, "{:?} on {:?}, directory: {is_dir}", shown(text), shown(name));
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// 07-filters 4.1 and 4.2, letter by letter.
fn matches_naively(pattern: &[u8], name: &[u8], is_dir: bool) -> bool {
    let (pattern, dir_only) = match pattern {
        [rest @ .., b'/'] if !rest.is_empty() => (rest, true),
        _ => (pattern, false),
    };
    if dir_only && !is_dir {
        return false;
    }
    let slashes = pattern.iter().filter(|&&byte| byte == b'/').count();
    let wild = pattern.iter().any(|byte| b"*?[".contains(byte));
    let deep = pattern.windows(2).any(|pair| pair == b"**");
    let deep_prefix = deep && pattern.starts_with(b"**");
    let mut text = name.to_vec();
    if slashes == 0 && !deep {
        text = name.rsplit(|&byte| byte == b'/').next().unwrap_or_default().to_vec();
    } else if deep_prefix {
        text.insert(0, b'/');
    }
    if is_dir && deep && pattern.ends_with(b"***") {
        text.push(b'/');
    }
    let (anchored, p) = match pattern {
        [b'/', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let behind_slashes = |text: &[u8]| -> Vec<Vec<u8>> {
        let slashes = text.iter().enumerate().filter(|&(_, &byte)| byte == b'/');
        slashes.map(|(at, _)| text[at + 1..].to_vec()).collect()
    };
    if !wild {
        return text == p || (!anchored && text.ends_with(&[b"/", p].concat()));
    }
    if !anchored && slashes > 0 && !deep {
        let parts: Vec<&[u8]> = text.split(|&byte| byte == b'/').collect();
        let Some(skipped) = parts.len().checked_sub(slashes + 1) else {
            return false;
        };
        return glob(p, &parts[skipped..].join(&b'/'));
    }
    if !anchored && deep && !deep_prefix {
        return glob(p, &text) || behind_slashes(&text).iter().any(|rest| glob(p, rest));
    }
    glob(p, &text)
}

/// One item of a pattern.
enum Atom {
    Star { deep: bool },
    Any,
    Byte(u8),
    Class(Box<[bool; 256]>),
}

/// 07-filters 4.3: which ends of the pattern go with which ends of the text.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let Some(atoms) = atoms(pattern) else {
        return false;
    };
    // Whether the rest of the atoms matches the text from each place on.
    let mut rest: Vec<bool> = (0..=text.len()).map(|at| at == text.len()).collect();
    for atom in atoms.iter().rev() {
        let mut now = vec![false; text.len() + 1];
        for at in (0..=text.len()).rev() {
            let byte = text.get(at).copied();
            let one_more = now.get(at + 1).copied().unwrap_or(false);
            let after = rest.get(at + 1).copied().unwrap_or(false);
            now[at] = match atom {
                Atom::Star { deep } => rest[at] || (one_more && (*deep || byte != Some(b'/'))),
                Atom::Any => after && byte != Some(b'/'),
                Atom::Byte(wanted) => after && byte == Some(*wanted),
                Atom::Class(members) => after && byte.is_some_and(|byte| byte != b'/' && members[usize::from(byte)]),
            };
        }
        rest = now;
    }
    rest[0]
}

/// `None` if the pattern matches nothing.
fn atoms(mut pattern: &[u8]) -> Option<Vec<Atom>> {
    let mut atoms = Vec::new();
    while let Some((&first, rest)) = pattern.split_first() {
        pattern = rest;
        atoms.push(match first {
            b'*' => {
                let more = pattern.iter().take_while(|&&byte| byte == b'*').count();
                pattern = &pattern[more..];
                Atom::Star { deep: more > 0 }
            }
            b'?' => Atom::Any,
            b'\\' => {
                let (&byte, rest) = pattern.split_first()?;
                pattern = rest;
                Atom::Byte(byte)
            }
            b'[' => class(&mut pattern)?,
            byte => Atom::Byte(byte),
        });
    }
    Some(atoms)
}

/// 07-filters 4.4. Stands behind the bracket.
fn class(pattern: &mut &[u8]) -> Option<Atom> {
    let mut next = || {
        let (&byte, rest) = pattern.split_first()?;
        *pattern = rest;
        Some((byte, rest))
    };
    let (mut members, mut first) = ([false; 256], true);
    let mut item = next()?;
    let negated = matches!(item.0, b'!' | b'^');
    if negated {
        item = next()?;
    }
    // The byte that a range could begin with.
    let mut before = None;
    loop {
        let (byte, rest) = item;
        match byte {
            b']' if !first => break,
            b'-' if before.is_some() && rest.first().is_some_and(|&byte| byte != b']') => {
                let (mut end, _) = next()?;
                if end == b'\\' {
                    end = next()?.0;
                }
                let start = before.take().unwrap_or(end);
                (start..=end).for_each(|byte| members[usize::from(byte)] = true);
            }
            b'[' if rest.first() == Some(&b':') && named(rest).is_some() => {
                let name = named(rest)?;
                let predicate = predicate(name)?;
                (0..=255).filter(predicate).for_each(|byte: u8| members[usize::from(byte)] = true);
                for _ in 0..name.len() + 3 {
                    next()?;
                }
                before = None;
            }
            mut literal => {
                if literal == b'\\' {
                    literal = next()?.0;
                }
                members[usize::from(literal)] = true;
                before = Some(literal);
            }
        }
        first = false;
        item = next()?;
    }
    if negated {
        members.iter_mut().for_each(|member| *member = !*member);
    }
    Some(Atom::Class(Box::new(members)))
}

/// The name in `:name:]`, if what ends at the next bracket is one.
fn named(rest: &[u8]) -> Option<&[u8]> {
    let end = rest.iter().skip(1).position(|&byte| byte == b']')? + 1;
    rest[1..end].strip_suffix(b":")
}

fn predicate(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}

/// The captured cases.
pub fn seeds() -> Vec<Vec<u8>> {
    let table = vectors::text("filters/cases.tsv");
    let case = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let is_dir = u8::from(*fields.get(4)? == "1");
        Some([&[is_dir], fields.get(2)?.as_bytes(), b"\0", fields.get(3)?.as_bytes()].concat())
    };
    table.lines().filter(|line| !line.starts_with('#')).filter_map(case).collect()
}
