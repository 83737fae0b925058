//! Bytes of a peer on their way to a person (01-session 10.4).

use rsync_proto::PeerText;

use crate::recording;

/// A text or a name.
pub fn run(data: &[u8]) {
    shown_safely(data);
    let text = PeerText(data);
    let lines: Vec<&[u8]> = text.lines().map(|line| line.0).collect();
    assert!(lines.iter().all(|line| !line.contains(&b'\n')));
    assert_eq!(lines.join(&b'\n'), text_of(data));
}

/// Whatever the bytes are, what a terminal gets has no control character but the tab, and says which bytes they
/// were.
pub(super) fn shown_safely(bytes: &[u8]) {
    let shown = PeerText(bytes).to_string();
    assert!(!shown.contains(|c: char| c.is_control() && c != '\t'), "{shown:?}");
    assert_eq!(unescaped(&shown), text_of(bytes), "{shown:?}");
}

/// Without the one newline at the end.
fn text_of(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\n").unwrap_or(bytes)
}

/// The bytes that a text with escapes stands for.
fn unescaped(shown: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = shown.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        match rest {
            [b'\\', b'#', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    bytes
}

/// Text with everything that is escaped, and the lines of the recordings.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        b"plain text\n".to_vec(),
        b"a\x1b[2Jb\xff\xfe\xc2\x9bc\x7f\td\r\n".to_vec(),
        b"\\#033 and \\#03x and \\\\#377\\".to_vec(),
        "umlauts \u{e4}\u{f6}\u{fc}, \u{1f980}, \u{202e}right to left\n\nlines".as_bytes().to_vec(),
        b"cut short \xe2\x82".to_vec(),
    ];
    seeds.extend(recording::all().into_iter().map(|recording| recording.daemon_text));
    seeds.sort();
    seeds.dedup();
    seeds
}
