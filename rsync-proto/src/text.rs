//! Bytes of a peer on their way to a person (01-session 10.4).

use std::fmt::{self, Write};

/// Text or a name that came from a peer. Its `Display` and `Debug` are always escaped.
///
/// Control characters except the tab, bytes that are no UTF-8, and a backslash that would look like an escape
/// are shown as `\#ooo`, three octal digits a byte. One newline at the end is left off.
///
/// ```
/// use rsync_proto::text::PeerText;
/// assert_eq!(PeerText(b"a\x1b[2J\xff\n").to_string(), r"a\#033[2J\#377");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PeerText<B: AsRef<[u8]>>(pub B);

impl<B: AsRef<[u8]>> PeerText<B> {
    /// The bytes as they came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref()
    }

    /// The text line by line, without the newlines.
    pub fn lines(&self) -> impl Iterator<Item = PeerText<&[u8]>> {
        let bytes = self.as_bytes();
        let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        whole.split(|&byte| byte == b'\n').map(PeerText)
    }

    /// The same text with its own bytes.
    #[must_use]
    pub fn into_owned(self) -> PeerText<Vec<u8>> {
        PeerText(self.as_bytes().to_vec())
    }
}

impl<B: AsRef<[u8]>> fmt::Display for PeerText<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.as_bytes();
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        for chunk in bytes.utf8_chunks() {
            write_valid(f, chunk.valid())?;
            for &byte in chunk.invalid() {
                write_escape(f, byte)?;
            }
        }
        Ok(())
    }
}

impl<B: AsRef<[u8]>> fmt::Debug for PeerText<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for PeerText<B> {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

fn write_valid(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for (at, c) in text.char_indices() {
        let looks_like_escape = c == '\\' && text.get(at..).is_some_and(starts_like_escape);
        // is_control: C0, DEL and the C1 controls, which some terminals obey even as UTF-8.
        if (c.is_control() && c != '\t') || looks_like_escape {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                write_escape(f, byte)?;
            }
        } else {
            f.write_char(c)?;
        }
    }
    Ok(())
}

fn starts_like_escape(text: &str) -> bool {
    let Some(digits) = text.strip_prefix("\\#") else {
        return false;
    };
    digits.bytes().take(3).filter(u8::is_ascii_digit).count() == 3
}

fn write_escape(f: &mut fmt::Formatter<'_>, byte: u8) -> fmt::Result {
    write!(f, "\\#{byte:03o}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes() {
        let rows: [(&[u8], &str); 9] = [
            (b"plain text\n", "plain text"),
            (b"two\nlines\n", r"two\#012lines"),
            (b"tab\tstays", "tab\tstays"),
            (b"\x1b]0;title\x07", r"\#033]0;title\#007"),
            (b"\x7f", r"\#177"),
            ("gr\u{fc}n".as_bytes(), "gr\u{fc}n"),
            // CSI as a C1 control in UTF-8, and as a bare byte.
            ("\u{9b}2J".as_bytes(), r"\#302\#2332J"),
            (b"\x9b2J\xc3", r"\#2332J\#303"),
            (br"a\#012b\#1", r"a\#134#012b\#1"),
        ];
        for (bytes, shown) in rows {
            assert_eq!(PeerText(bytes).to_string(), shown);
        }
        assert_eq!(format!("{:?}", PeerText(b"\r")), r#""\#015""#);
    }

    #[test]
    fn lines_keep_empty_ones() {
        let text = PeerText(b"a\n\nb\n");
        let lines: Vec<String> = text.lines().map(|l| l.to_string()).collect();
        assert_eq!(lines, ["a", "", "b"]);
    }

    proptest! {
        #[test]
        fn nothing_dangerous_gets_out(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let shown = PeerText(&bytes).to_string();
            prop_assert!(shown.chars().all(|c| c == '\t' || !c.is_control()));
        }

        #[test]
        fn different_texts_look_different(a in "[\\\\#0-9\u{7}x]{0,12}", b in "[\\\\#0-9\u{7}x]{0,12}") {
            prop_assume!(a != b);
            prop_assert_ne!(PeerText(a).to_string(), PeerText(b).to_string());
        }
    }
}
