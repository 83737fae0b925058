//! Wildcard patterns against bytes (07-filters 4.3, 4.4), in time bounded by pattern length times text length.
//!
//! A pattern becomes a row of tokens, of which all but the stars take exactly one byte. What stands before the
//! first star and after the last one is compared in place; only the rest is run as a set of states. A star
//! that needs no second try (any `**`; any `*` when there is no `**`) drops the states before it, so that
//! ordinary patterns keep a handful of states.

use std::sync::Arc;

/// Longest pattern in bytes (07-filters 15).
pub(super) const MAX_PATTERN: usize = 4095;

/// One word of states more than the longest pattern needs, for the tokens that are put around one: `**/` in
/// front of a floating pattern, `/***` after a directory of a daemon's list.
const WORDS: usize = (MAX_PATTERN + 1) / 64 + 1;

/// A prepared wildcard pattern. Clones share its memory.
#[derive(Clone, Debug)]
pub(super) struct Glob(Arc<Prepared>);

#[derive(Debug)]
struct Prepared {
    /// No token at all stands for the empty pattern; a pattern with a broken class has `valid` unset.
    tokens: Box<[Token]>,
    classes: Box<[ByteSet]>,
    valid: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// This byte.
    Byte(u8),
    /// Any byte but a slash.
    One,
    /// A byte of the class with this index.
    Class(u16),
    /// Any run without a slash.
    Star,
    /// Any run.
    Deep,
}

impl Token {
    fn is_star(self) -> bool {
        matches!(self, Self::Star | Self::Deep)
    }
}

impl Glob {
    /// Prepares a pattern. A class that is not closed or has an unknown name makes it match nothing.
    pub(super) fn new(pattern: &[u8]) -> Self {
        Self::compile(Vec::with_capacity(pattern.len()), pattern)
    }

    /// Prepares a pattern that holds `**` and may begin after any slash. Its text must begin with a slash.
    pub(super) fn floating(pattern: &[u8]) -> Self {
        Self::compile(vec![Token::Deep, Token::Byte(b'/')], pattern)
    }

    fn compile(mut tokens: Vec<Token>, pattern: &[u8]) -> Self {
        let mut classes = Vec::new();
        let valid =
            tokenize(pattern, &mut tokens, &mut classes).is_some() && tokens.len() < WORDS * 64;
        if !valid {
            tokens.clear();
        }
        Self(Arc::new(Prepared {
            tokens: tokens.into(),
            classes: classes.into(),
            valid,
        }))
    }

    /// Bytes on the heap, about.
    pub(super) fn memory(&self) -> usize {
        size_of::<Prepared>() + size_of_val(&*self.0.tokens) + size_of_val(&*self.0.classes)
    }

    /// True if the whole text matches.
    pub(super) fn matches(&self, text: Text<'_>) -> bool {
        self.run(text, || ())
    }

    /// [`Self::matches`]; `step` is called for each state that looks at a byte.
    fn run(&self, mut text: Text<'_>, step: impl FnMut()) -> bool {
        if !self.0.valid {
            return false;
        }
        let mut tokens = &self.0.tokens[..];
        while let Some((&token, rest)) = tokens.split_first().filter(|(token, _)| !token.is_star())
        {
            match text.pop_front() {
                Some(byte) if self.takes(token, byte) => tokens = rest,
                _ => return false,
            }
        }
        while let Some((&token, rest)) = tokens.split_last().filter(|(token, _)| !token.is_star()) {
            match text.pop_back() {
                Some(byte) if self.takes(token, byte) => tokens = rest,
                _ => return false,
            }
        }
        match tokens {
            [] => text.is_empty(),
            [Token::Deep] => true,
            [Token::Star] => !text.bytes().any(|byte| byte == b'/'),
            _ => self.simulate(tokens, text, step),
        }
    }

    /// True if a token that is no star takes the byte.
    fn takes(&self, token: Token, byte: u8) -> bool {
        match token {
            Token::Byte(b) => b == byte,
            Token::One => byte != b'/',
            Token::Class(index) => self.0.classes[usize::from(index)].contains(byte),
            Token::Star | Token::Deep => false,
        }
    }

    /// Runs tokens that begin and end with a star. State `i` waits for token `i`; the state behind the last
    /// token is the accepting one.
    fn simulate(&self, tokens: &[Token], text: Text<'_>, mut step: impl FnMut()) -> bool {
        let any_deep = tokens.contains(&Token::Deep);
        let mut states = States {
            now: [0; WORDS],
            floor: 0,
        };
        let mut next = [0; WORDS];
        let words = tokens.len() / 64 + 1;
        states.enter(tokens, any_deep, 0);
        for byte in text.bytes() {
            next[..words].fill(0);
            std::mem::swap(&mut states.now, &mut next);
            for (word, &bits) in next[..words].iter().enumerate() {
                let mut bits = bits;
                while bits != 0 {
                    let state = word * 64 + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    if state < states.floor || state >= tokens.len() {
                        continue;
                    }
                    step();
                    match tokens[state] {
                        Token::Deep => states.enter(tokens, any_deep, state),
                        Token::Star if byte != b'/' => states.enter(tokens, any_deep, state),
                        token if self.takes(token, byte) => {
                            states.enter(tokens, any_deep, state + 1)
                        }
                        _ => {}
                    }
                }
            }
        }
        states.holds(tokens.len())
    }
}

/// The states that are alive.
struct States {
    now: [u64; WORDS],
    /// States below this one lead nowhere that a later one does not.
    floor: usize,
}

impl States {
    fn enter(&mut self, tokens: &[Token], any_deep: bool, state: usize) {
        if state < self.floor {
            return;
        }
        self.now[state / 64] |= 1 << (state % 64);
        if let Some(&token) = tokens.get(state).filter(|token| token.is_star()) {
            // Whatever reaches this star later could be here already: `**` takes all that lies between, and
            // without a `**` the slashes before it say in which component it stands, so `*` does too.
            if token == Token::Deep || !any_deep {
                self.floor = state;
            }
            // No two stars stand side by side.
            self.now[(state + 1) / 64] |= 1 << ((state + 1) % 64);
        }
    }

    fn holds(&self, state: usize) -> bool {
        self.now[state / 64] & (1 << (state % 64)) != 0
    }
}

/// A text in pieces that are matched as if they were one, so that nothing has to be put together: a slash or
/// not, directory, a slash or not, name, a slash or not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Text<'a> {
    pieces: [&'a [u8]; 5],
}

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            pieces: [b"", b"", b"", text, b""],
        }
    }

    /// `directory/name`, or `name` if the directory is empty.
    pub(super) fn below(directory: &'a [u8], name: &'a [u8]) -> Self {
        let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
        Self {
            pieces: [b"", directory, slash, name, b""],
        }
    }

    pub(super) fn with_slash_in_front(mut self) -> Self {
        self.pieces[0] = b"/";
        self
    }

    pub(super) fn with_slash_behind(mut self) -> Self {
        self.pieces[4] = b"/";
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.iter().all(|piece| piece.is_empty())
    }

    pub(super) fn bytes(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.pieces.into_iter().flatten().copied()
    }

    fn pop_front(&mut self) -> Option<u8> {
        self.pieces
            .iter_mut()
            .find_map(|piece| piece.split_off_first().copied())
    }

    fn pop_back(&mut self) -> Option<u8> {
        self.pieces
            .iter_mut()
            .rev()
            .find_map(|piece| piece.split_off_last().copied())
    }

    /// True if the text is `other`, or ends in `/` and `other`.
    pub(super) fn is_or_ends_below(mut self, other: &[u8]) -> bool {
        other
            .iter()
            .rev()
            .all(|&byte| self.pop_back() == Some(byte))
            && matches!(self.pop_back(), None | Some(b'/'))
    }

    /// True if the text is `other`.
    pub(super) fn is(mut self, other: &[u8]) -> bool {
        other
            .iter()
            .rev()
            .all(|&byte| self.pop_back() == Some(byte))
            && self.is_empty()
    }

    /// The last `count` components, `None` if there are fewer.
    pub(super) fn last_components(mut self, count: usize) -> Option<Self> {
        let mut missing = count;
        for index in (0..self.pieces.len()).rev() {
            let piece = self.pieces[index];
            for (at, _) in piece
                .iter()
                .enumerate()
                .rev()
                .filter(|&(_, &byte)| byte == b'/')
            {
                missing -= 1;
                if missing == 0 {
                    self.pieces[index] = &piece[at + 1..];
                    self.pieces[..index].fill(b"");
                    return Some(self);
                }
            }
        }
        (missing == 1).then_some(self)
    }
}

/// A set of bytes without the slash, which no class matches.
#[derive(Clone, Copy, Debug, Default)]
struct ByteSet([u64; 4]);

impl ByteSet {
    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte / 64)] & (1 << (byte % 64)) != 0
    }

    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte / 64)] |= 1 << (byte % 64);
    }

    fn finish(mut self, negated: bool) -> Self {
        if negated {
            self.0 = self.0.map(|word| !word);
        }
        let mut slash = Self::default();
        slash.insert(b'/');
        for (word, without) in self.0.iter_mut().zip(slash.0) {
            *word &= !without;
        }
        self
    }
}

/// Splits a pattern into tokens; `None` if nothing can match it.
fn tokenize(pattern: &[u8], tokens: &mut Vec<Token>, classes: &mut Vec<ByteSet>) -> Option<()> {
    let mut rest = pattern;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        tokens.push(match byte {
            b'*' => {
                let run = rest.iter().take_while(|&&b| b == b'*').count();
                rest = &rest[run..];
                if run == 0 { Token::Star } else { Token::Deep }
            }
            b'?' => Token::One,
            b'\\' => Token::Byte(*rest.split_off_first()?),
            b'[' => {
                let index = u16::try_from(classes.len()).ok()?;
                classes.push(parse_class(&mut rest)?);
                Token::Class(index)
            }
            other => Token::Byte(other),
        });
    }
    Some(())
}

/// Reads a class behind its `[` (07-filters 4.4).
fn parse_class(rest: &mut &[u8]) -> Option<ByteSet> {
    let mut set = ByteSet::default();
    let negated = matches!(rest.first(), Some(b'!' | b'^'));
    if negated {
        *rest = &rest[1..];
    }
    // The byte a following `-` would make a range of.
    let mut low = None;
    let mut first = true;
    loop {
        let byte = *rest.split_off_first()?;
        match byte {
            b']' if !first => return Some(set.finish(negated)),
            b'\\' => {
                let literal = *rest.split_off_first()?;
                set.insert(literal);
                low = Some(literal);
            }
            b'-' if low.is_some() && rest.first().is_some_and(|&b| b != b']') => {
                let mut high = *rest.split_off_first()?;
                if high == b'\\' {
                    high = *rest.split_off_first()?;
                }
                (low?..=high).for_each(|b| set.insert(b));
                low = None;
            }
            b'[' if rest.first() == Some(&b':') => {
                let end = rest.iter().position(|&b| b == b']')?;
                match rest[1..end].strip_suffix(b":") {
                    Some(name) => {
                        let member = named_class(name)?;
                        (0..=u8::MAX).filter(member).for_each(|b| set.insert(b));
                        *rest = &rest[end + 1..];
                        low = None;
                    }
                    None => {
                        set.insert(b'[');
                        low = Some(b'[');
                    }
                }
            }
            literal => {
                set.insert(literal);
                low = Some(literal);
            }
        }
        first = false;
    }
}

fn named_class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |b| matches!(b, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |b| matches!(b, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |b| matches!(b, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a pattern and counts the looks at a byte.
    fn steps(pattern: &[u8], bytes: &[u8]) -> (bool, usize) {
        let mut count = 0;
        let matched = Glob::new(pattern).run(Text::new(bytes), || count += 1);
        (matched, count)
    }

    #[test]
    fn hostile_patterns_stay_cheap() {
        let name = [b'a'; 4095];
        // Backtracking would need more than 4095^8 steps for each of these.
        for pattern in [
            &b"*a*a*a*a*a*a*a*a*b*"[..],
            b"*a*a*a*a*[b]*a*a*a*a*",
            b"*?a*?a*?a*?a*?a*?a*b*",
        ] {
            let (matched, count) = steps(pattern, &name);
            assert!(!matched);
            assert!(
                count <= name.len() * 3,
                "{count} steps for {}",
                pattern.escape_ascii()
            );
        }
        for pattern in [
            &b"**a**a**a**a**a**a**b**"[..],
            b"**a*a*a*a*b**",
            b"**?*?*?*?*b*",
        ] {
            let (matched, count) = steps(pattern, &name);
            assert!(!matched);
            assert!(
                count <= name.len() * pattern.len(),
                "{count} steps for {}",
                pattern.escape_ascii()
            );
        }
    }

    #[test]
    fn longest_pattern_and_text() {
        let mut pattern = b"**".to_vec();
        pattern.extend(b"a*".repeat(2046));
        assert_eq!(pattern.len(), MAX_PATTERN - 1);
        let (matched, count) = steps(&pattern, &[b'a'; 4095]);
        assert!(matched);
        assert!(count <= 4095 * 4095);
        assert!(
            Glob::floating(&pattern).matches(Text::new(b"/"))
                == Glob::new(b"**/").matches(Text::new(b"x"))
        );
    }

    #[test]
    fn pieces_are_one_text() {
        let text = Text::below(b"a/b", b"c").with_slash_behind();
        assert!(Glob::new(b"a/*/c/").matches(text));
        assert!(Glob::new(b"a/**").matches(text));
        assert!(!Glob::new(b"a/*").matches(text));
        let text = Text::below(b"a/b", b"c/d");
        assert!(text.is(b"a/b/c/d"));
        assert!(text.is_or_ends_below(b"c/d") && text.is_or_ends_below(b"b/c/d"));
        assert!(!text.is_or_ends_below(b"/c/d") && !text.is(b"c/d"));
        assert!(text.last_components(3).unwrap().is(b"b/c/d"));
        assert!(text.last_components(4).unwrap().is(b"a/b/c/d"));
        assert!(text.last_components(5).is_none());
        assert!(text.with_slash_in_front().is(b"/a/b/c/d"));
    }
}
