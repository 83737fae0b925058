//! Text of peers and operators made safe for a log line (04-daemon 18.1, 05-security T-1).

/// Writes `bytes` so that no control character is left: bytes below 0x20 (TAB too), 0x7f, bytes 0x80 to 0x9f
/// outside a valid UTF-8 sequence and the code points U+0080 to U+009F become `\#ooo`, a byte each; the
/// backslash of a literal `\#ddd` becomes `\#134`. Other bytes that are not UTF-8 become `\#ooo` too, since
/// the result is a `String`.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for (at, c) in chunk.valid().char_indices() {
            if c.is_control() || (c == '\\' && is_octal_escape(&chunk.valid().as_bytes()[at..])) {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    push_octal(&mut out, byte);
                }
            } else {
                out.push(c);
            }
        }
        for &byte in chunk.invalid() {
            push_octal(&mut out, byte);
        }
    }
    out
}

fn is_octal_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'\\', b'#', a, b, c, ..] if [a, b, c].iter().all(|d| d.is_ascii_digit()))
}

fn push_octal(out: &mut String, byte: u8) {
    out.push_str("\\#");
    for shift in [6, 3, 0] {
        out.push(char::from(b'0' + ((byte >> shift) & 7)));
    }
}

/// Appends the escaped form for a log file, which is bytes: as [`escape`], but bytes that are no UTF-8 and no
/// control character stay as they are, as in rsync.
pub(crate) fn escape_into(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        if !chunk.valid().is_empty() {
            out.extend_from_slice(escape(chunk.valid().as_bytes()).as_bytes());
        }
        for &byte in chunk.invalid() {
            if matches!(byte, 0x80..=0x9f) {
                out.extend_from_slice(format!("\\#{byte:03o}").as_bytes());
            } else {
                out.push(byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bytes_are_escaped() {
        for (raw, text, log) in [
            (
                &b"plain \xc3\xa9"[..],
                "plain \u{e9}",
                &b"plain \xc3\xa9"[..],
            ),
            (
                b"a\nb\tc\x1b[31m\x7f",
                "a\\#012b\\#011c\\#033[31m\\#177",
                b"a\\#012b\\#011c\\#033[31m\\#177",
            ),
            (b"\x9b\xff", "\\#233\\#377", b"\\#233\xff"),
            (b"\xc2\x9b", "\\#302\\#233", b"\\#302\\#233"),
            (
                b"\\#012 \\#x12 \\",
                "\\#134#012 \\#x12 \\",
                b"\\#134#012 \\#x12 \\",
            ),
        ] {
            assert_eq!(escape(raw), text);
            let mut out = Vec::new();
            escape_into(&mut out, raw);
            assert_eq!(out, log);
        }
    }
}
