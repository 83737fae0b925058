//! Makes names and foreign texts safe to print (06-client 3.1).

use std::io::{self, Write};

/// What may be printed as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Escaper {
    /// The locale's characters are UTF-8; otherwise only ASCII is known.
    utf8: bool,
    /// `-8`: bytes from 128 up go out as they are.
    eight_bit: bool,
}

impl Escaper {
    /// For a UTF-8 terminal.
    #[cfg(test)]
    pub(crate) fn utf8() -> Self {
        Self {
            utf8: true,
            eight_bit: false,
        }
    }

    /// For the locale that `variable` (the environment) tells.
    pub(crate) fn for_locale(variable: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(|name| variable(name).filter(|value| !value.is_empty()))
            .unwrap_or_default()
            .to_ascii_lowercase();
        Self {
            utf8: locale.contains("utf-8") || locale.contains("utf8"),
            eight_bit: false,
        }
    }

    /// The same with `-8` on or off.
    pub(crate) fn with_eight_bit(self, eight_bit: bool) -> Self {
        Self { eight_bit, ..self }
    }

    /// Text as it may be shown.
    pub(crate) fn text(self, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        // Writing to memory does not fail.
        let _ = self.write(&mut out, bytes);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Writes `text`: control characters but tab, bytes that are no character, and a backslash that would
    /// read as an escape become `\#ooo`.
    pub(crate) fn write(self, out: &mut impl Write, text: &[u8]) -> io::Result<()> {
        for chunk in text.utf8_chunks() {
            let valid = chunk.valid();
            // Runs that need no escape go out in one piece.
            let mut clean = 0;
            for (at, character) in valid.char_indices() {
                let rest = &valid.as_bytes()[at..];
                if self.is_printable(character, rest) {
                    continue;
                }
                out.write_all(&valid.as_bytes()[clean..at])?;
                clean = at + character.len_utf8();
                for &byte in &rest[..character.len_utf8()] {
                    write!(out, "\\#{byte:03o}")?;
                }
            }
            out.write_all(&valid.as_bytes()[clean..])?;
            for &byte in chunk.invalid() {
                if self.eight_bit {
                    out.write_all(&[byte])?;
                } else {
                    write!(out, "\\#{byte:03o}")?;
                }
            }
        }
        Ok(())
    }

    fn is_printable(self, character: char, rest: &[u8]) -> bool {
        match character {
            '\t' => true,
            // The escape itself: the backslash is escaped, so that the text stays unambiguous.
            '\\' => !matches!(rest, [_, b'#', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', ..]),
            character if character.is_ascii() => !character.is_ascii_control(),
            character => self.eight_bit || (self.utf8 && !character.is_control()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(escaper: Escaper, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        escaper.write(&mut out, text).unwrap();
        out
    }

    /// The names of vectors/cli/basic.txt, "names with odd characters".
    #[test]
    fn odd_names() {
        let ascii = Escaper::for_locale(|name| (name == "LC_ALL").then(|| "C".to_owned()));
        let eight = Escaper::utf8().with_eight_bit(true);
        // A name; as shown in UTF-8, with -8, and in the C locale.
        let cases: [[&[u8]; 4]; 8] = [
            [
                b"back\\#012",
                b"back\\#134#012",
                b"back\\#134#012",
                b"back\\#134#012",
            ],
            [b"bad\xff", b"bad\\#377", b"bad\xff", b"bad\\#377"],
            [
                "café".as_bytes(),
                "café".as_bytes(),
                "café".as_bytes(),
                b"caf\\#303\\#251",
            ],
            [
                b"esc\x1b[1m",
                b"esc\\#033[1m",
                b"esc\\#033[1m",
                b"esc\\#033[1m",
            ],
            [
                b"new\nline",
                b"new\\#012line",
                b"new\\#012line",
                b"new\\#012line",
            ],
            [b"tab\there", b"tab\there", b"tab\there", b"tab\there"],
            [b"back\\x", b"back\\x", b"back\\x", b"back\\x"],
            [b"del\x7f", b"del\\#177", b"del\\#177", b"del\\#177"],
        ];
        for [name, utf8, bits, c] in cases {
            assert_eq!(shown(Escaper::utf8(), name), utf8, "{name:?}");
            assert_eq!(shown(eight, name), bits, "{name:?} with -8");
            assert_eq!(shown(ascii, name), c, "{name:?} in the C locale");
        }
    }

    #[test]
    fn the_first_set_variable_decides() {
        let of = |pairs: &[(&str, &str)]| {
            Escaper::for_locale(|name| {
                pairs
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, v)| (*v).to_owned())
            })
        };
        assert_eq!(of(&[("LANG", "de_DE.UTF-8")]), Escaper::utf8());
        assert_eq!(
            of(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]),
            Escaper::utf8()
        );
        assert_ne!(
            of(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]),
            Escaper::utf8()
        );
        assert_ne!(of(&[]), Escaper::utf8());
    }
}
