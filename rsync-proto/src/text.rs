//! Bytes of a peer on their way to a person (01-session 10.4).

use std::borrow::Cow;
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

    /// The text as it may go to a peer: without control characters, which a name may hold and which are
    /// escaped as in `Display`. All else stays as it is, a newline at the end and bytes that are no UTF-8 too.
    ///
    /// ```
    /// use rsync_proto::text::PeerText;
    /// assert_eq!(&*PeerText(b"a\x1b[2J\xe9\n").without_controls(), b"a\\#033[2J\xe9\n");
    /// ```
    #[must_use]
    pub fn without_controls(&self) -> Cow<'_, [u8]> {
        let bytes = self.as_bytes();
        let (line, end) = match bytes.strip_suffix(b"\n") {
            Some(line) => (line, &b"\n"[..]),
            None => (bytes, &b""[..]),
        };
        // Most texts have nothing to escape; all controls of UTF-8 have a byte in one of these ranges.
        if !line
            .iter()
            .any(|b| matches!(b, 0..=8 | 10..=0x1f | 0x7f..=0x9f))
        {
            return Cow::Borrowed(bytes);
        }
        let mut out = Vec::with_capacity(bytes.len() + 16);
        let escape = |out: &mut Vec<u8>, byte: u8| {
            out.extend_from_slice(b"\\#");
            out.extend([6, 3, 0].map(|shift: u8| b'0' + ((byte >> shift) & 7)));
        };
        for chunk in line.utf8_chunks() {
            for c in chunk.valid().chars() {
                let mut buffer = [0; 4];
                let encoded = c.encode_utf8(&mut buffer).as_bytes();
                if c.is_control() && c != '\t' {
                    encoded.iter().for_each(|&byte| escape(&mut out, byte));
                } else {
                    out.extend_from_slice(encoded);
                }
            }
            for &byte in chunk.invalid() {
                match byte {
                    0x80..=0x9f => escape(&mut out, byte),
                    other => out.push(other),
                }
            }
        }
        out.extend_from_slice(end);
        Cow::Owned(out)
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
    fn controls_do_not_go_to_a_peer() {
        let rows: [(&[u8], &[u8]); 6] = [
            (b"plain\ttext\n", b"plain\ttext\n"),
            (b"two\nlines\n", b"two\\#012lines\n"),
            (b"\x1b]0;\x07\x7f", b"\\#033]0;\\#007\\#177"),
            (b"caf\xe9 \xff\n", b"caf\xe9 \xff\n"),
            (b"\x9b2J\xc2\x9b", b"\\#2332J\\#302\\#233"),
            (
                "gr\u{fc}n \u{30d0}".as_bytes(),
                "gr\u{fc}n \u{30d0}".as_bytes(),
            ),
        ];
        for (bytes, clean) in rows {
            assert_eq!(&*PeerText(bytes).without_controls(), clean);
        }
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
        fn what_goes_to_a_peer_has_no_controls(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = PeerText(&bytes);
            let clean = text.without_controls();
            let line = clean.strip_suffix(b"\n").unwrap_or(&clean);
            let shown = String::from_utf8_lossy(line);
            prop_assert!(shown.chars().all(|c| c == '\t' || !c.is_control()));
            prop_assert!(!line.utf8_chunks().any(|c| c.invalid().iter().any(|b| matches!(b, 0x80..=0x9f))));
        }

        #[test]
        fn different_texts_look_different(a in "[\\\\#0-9\u{7}x]{0,12}", b in "[\\\\#0-9\u{7}x]{0,12}") {
            prop_assume!(a != b);
            prop_assert_ne!(PeerText(a).to_string(), PeerText(b).to_string());
        }
    }
}
