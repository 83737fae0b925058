//! Bytes of a configuration file to sections, parameters and directives (04-daemon 4.1, 4.2).

use thiserror::Error;

/// One statement of the file, with the line on which it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) line: usize,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `[name]`, white space normalised.
    Section(Vec<u8>),
    /// `name = value`.
    Parameter { name: Vec<u8>, value: Vec<u8> },
    /// `&word value`.
    Directive { word: Vec<u8>, value: Vec<u8> },
    /// A line without `=`: it sets nothing.
    Malformed(Vec<u8>),
}

/// What makes the whole file unusable; the texts are rsync's (04-daemon 4.7).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SyntaxError {
    /// `= value`.
    #[error("Invalid parameter name in config file.")]
    NoParameterName,
    /// `[ ]`.
    #[error("Empty section name in config file.")]
    EmptySectionName,
    /// A section name without `]` on its line.
    #[error("Badly formed line in config file: {0}")]
    UnclosedSection(String),
    /// A section name with a slash.
    #[error("invalid section name in configuration file: {0}")]
    SlashInSection(String),
    /// `&` and a word that is neither `include` nor `merge`.
    #[error("Unknown directive: &{0}.")]
    UnknownDirective(String),
    /// Includes inside includes, more than 16 deep, or a file that includes itself.
    #[error("includes are nested too deeply or in a circle: {0}")]
    IncludeDepth(String),
}

/// Splits a file. A NUL byte ends it.
pub(crate) struct Lexer<'a> {
    input: &'a [u8],
    pos: usize,
    line: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        let end = input.iter().position(|&b| b == 0).unwrap_or(input.len());
        Self {
            input: &input[..end],
            pos: 0,
            line: 1,
        }
    }

    /// The next statement; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Statement>, (usize, SyntaxError)> {
        loop {
            let Some(byte) = self.peek() else {
                return Ok(None);
            };
            let line = self.line;
            match byte {
                b'\n' | b'\\' => self.bump(),
                b if is_space(b) => self.bump(),
                b'#' | b';' => self.skip_line(),
                b'[' => {
                    self.bump();
                    return self.section(line).map(Some).map_err(|e| (line, e));
                }
                b'&' => {
                    self.bump();
                    let kind = self.directive();
                    return Ok(Some(Statement { line, kind }));
                }
                _ => {
                    let kind = self.parameter().map_err(|e| (line, e))?;
                    return Ok(Some(Statement { line, kind }));
                }
            }
        }
    }

    fn section(&mut self, line: usize) -> Result<Statement, SyntaxError> {
        let (name, ended) = self.name(b']');
        if !ended {
            return Err(SyntaxError::UnclosedSection(crate::text::escape(&name)));
        }
        self.skip_line();
        if name.is_empty() {
            return Err(SyntaxError::EmptySectionName);
        }
        Ok(Statement {
            line,
            kind: Kind::Section(name),
        })
    }

    fn parameter(&mut self) -> Result<Kind, SyntaxError> {
        let (name, ended) = self.name(b'=');
        if !ended {
            return Ok(Kind::Malformed(name));
        }
        if name.is_empty() {
            return Err(SyntaxError::NoParameterName);
        }
        Ok(Kind::Parameter {
            name,
            value: self.value(),
        })
    }

    fn directive(&mut self) -> Kind {
        let start = self.pos;
        while self.peek().is_some_and(|b| !is_space(b) && b != b'\n') {
            self.bump();
        }
        let word = self.input[start..self.pos].to_vec();
        while self.peek().is_some_and(is_space) {
            self.bump();
        }
        if self.peek() == Some(b'=') {
            self.bump();
        }
        Kind::Directive {
            word,
            value: self.value(),
        }
    }

    /// Reads up to `end`, which is consumed, or to the end of the line. White space is normalised. The flag
    /// says whether `end` was there.
    fn name(&mut self, end: u8) -> (Vec<u8>, bool) {
        let mut name = Vec::new();
        while let Some(byte) = self.peek() {
            self.bump();
            if byte == end {
                return (normalise(&name), true);
            }
            if byte == b'\n' {
                if !take_continuation(&mut name) {
                    break;
                }
                name.push(b' ');
            } else {
                name.push(byte);
            }
        }
        (normalise(&name), false)
    }

    /// Reads a value to its line end, joining continued lines.
    fn value(&mut self) -> Vec<u8> {
        let mut value = Vec::new();
        while let Some(byte) = self.peek() {
            self.bump();
            match byte {
                b'\r' => {}
                b'\n' => {
                    if !take_continuation(&mut value) {
                        break;
                    }
                }
                _ => value.push(byte),
            }
        }
        let end = value
            .iter()
            .rposition(|&b| !is_space(b))
            .map_or(0, |i| i + 1);
        value.truncate(end);
        let start = value.iter().position(|&b| !is_space(b)).unwrap_or(0);
        value.drain(..start);
        value
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.pos).copied()
    }

    fn bump(&mut self) {
        if self.peek() == Some(b'\n') {
            self.line += 1;
        }
        self.pos += 1;
    }

    fn skip_line(&mut self) {
        while let Some(byte) = self.peek() {
            self.bump();
            if byte == b'\n' {
                break;
            }
        }
    }
}

/// White space of the grammar: what C `isspace` accepts, but for the newline, which ends a line.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c | b'\r')
}

/// If the last byte that is not white space is a backslash, removes it and what follows it.
fn take_continuation(text: &mut Vec<u8>) -> bool {
    match text.iter().rposition(|&b| !is_space(b)) {
        Some(i) if text[i] == b'\\' => {
            text.truncate(i);
            true
        }
        _ => false,
    }
}

/// Cuts white space at the ends and makes each run inside one space.
fn normalise(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for word in name.split(|&b| is_space(b)).filter(|w| !w.is_empty()) {
        if !out.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(input: &[u8]) -> Vec<Kind> {
        let mut lexer = Lexer::new(input);
        let mut all = Vec::new();
        while let Some(statement) = lexer.next().expect("syntax") {
            all.push(statement.kind);
        }
        all
    }

    fn parameter(name: &str, value: &str) -> Kind {
        Kind::Parameter {
            name: name.into(),
            value: value.into(),
        }
    }

    #[test]
    fn grammar() {
        let cases: &[(&[u8], &[Kind])] = &[
            (b"", &[]),
            (b"# c \\\na=b", &[parameter("a", "b")]),
            (
                b"  P  A T\tH =  x  y  # z ; w \r\n",
                &[parameter("P A T H", "x  y  # z ; w")],
            ),
            (b"a = b = [c]", &[parameter("a", "b = [c]")]),
            (b"a =\n", &[parameter("a", "")]),
            (
                b"c = one \\\n   two \\ \n three\n",
                &[parameter("c", "one    two  three")],
            ),
            (b"c = a\\\\\n", &[parameter("c", "a\\")]),
            (b"na\\\nme = v", &[parameter("na me", "v")]),
            (b"\\x = v", &[parameter("x", "v")]),
            (
                b"[ My   Mod ] junk\nx",
                &[
                    Kind::Section(b"My Mod".to_vec()),
                    Kind::Malformed(b"x".to_vec()),
                ],
            ),
            (
                b"[\\x]\n[a\\\n b]",
                &[
                    Kind::Section(b"\\x".to_vec()),
                    Kind::Section(b"a b".to_vec()),
                ],
            ),
            (
                b"&include = /a b \n",
                &[Kind::Directive {
                    word: b"include".to_vec(),
                    value: b"/a b".to_vec(),
                }],
            ),
            (b"a=1\n\0b=2\n", &[parameter("a", "1")]),
        ];
        for (input, expected) in cases {
            assert_eq!(
                &statements(input),
                expected,
                "{}",
                crate::text::escape(input)
            );
        }
    }

    #[test]
    fn fatal_syntax_names_its_line() {
        for (input, line, error) in [
            ("\n= 3", 2, SyntaxError::NoParameterName),
            ("a=b\\\nc\n[ ]", 3, SyntaxError::EmptySectionName),
            ("[abc\nx=y", 1, SyntaxError::UnclosedSection("abc".into())),
            ("[abc", 1, SyntaxError::UnclosedSection("abc".into())),
        ] {
            let mut lexer = Lexer::new(input.as_bytes());
            let found = loop {
                match lexer.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("no error in {input:?}"),
                    Err(found) => break found,
                }
            };
            assert_eq!(found, (line, error));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_end(input in proptest::collection::vec(proptest::sample::select(
            b"ab=[]\\\n\r \t&#;\0\xff/".to_vec()), 0..200)) {
            let mut lexer = Lexer::new(&input);
            let mut count = 0;
            while let Ok(Some(_)) = lexer.next() {
                count += 1;
                proptest::prop_assert!(count <= input.len());
            }
        }
    }
}
