//! The formats of `--out-format` (06-client 3.7).

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rsync_proto::item::ItemFlags;

use super::entry::Entry;
use super::{number, time};

/// A format, cut into pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Escape {
        letter: u8,
        width: usize,
        left: bool,
        quotes: u8,
    },
}

/// What escapes need to know besides the entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) local: bool,
    pub(super) times: bool,
    pub(super) owner: bool,
    pub(super) group: bool,
    pub(super) zone: &'a TimeZone,
}

impl Format {
    /// Takes `%[-][width][']letter` apart; what is no escape stays as text.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some((&byte, tail)) = rest.split_first() {
            match parse_escape(rest) {
                Some((b'%', tail)) => {
                    literal.push(b'%');
                    rest = tail;
                }
                Some((_, tail)) => {
                    let escape = &rest[..rest.len() - tail.len()];
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    }
                    pieces.push(escape_piece(escape));
                    rest = tail;
                }
                None => {
                    literal.push(byte);
                    rest = tail;
                }
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Self { pieces }
    }

    /// Whether the escape `letter` occurs.
    pub(crate) fn has(&self, letter: u8) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Escape { letter: l, .. } if *l == letter))
    }

    /// Whether the line can only be printed when the data has moved.
    pub(super) fn is_late(&self) -> bool {
        self.has(b'b') || self.has(b'c') || self.has(b'C')
    }

    /// The line for `entry`, without its end.
    pub(super) fn line(&self, entry: &Entry<'_>, context: Context<'_>) -> Vec<u8> {
        let mut line = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => line.extend_from_slice(text),
                Piece::Escape {
                    letter,
                    width,
                    left,
                    quotes,
                } => {
                    let value = value(*letter, *quotes, entry, context);
                    let padding = std::iter::repeat_n(b' ', width.saturating_sub(value.len()));
                    if *left {
                        line.extend_from_slice(&value);
                        line.extend(padding);
                    } else {
                        line.extend(padding);
                        line.extend_from_slice(&value);
                    }
                }
            }
        }
        line
    }
}

/// The letters a client has values for. `%a %h %P %u` are the daemon's and stay as text.
const LETTERS: &[u8] = b"bBcCfGilLmMnoptU%";

/// Recognizes an escape at the start of `text`: its letter and what follows it.
fn parse_escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let rest = text.strip_prefix(b"%")?;
    let rest = skip(rest, |byte| byte == b'\'');
    let rest = rest.strip_prefix(b"-").unwrap_or(rest);
    let rest = skip(rest, |byte| byte.is_ascii_digit());
    let rest = skip(rest, |byte| byte == b'\'');
    let (&letter, rest) = rest.split_first()?;
    LETTERS.contains(&letter).then_some((letter, rest))
}

fn skip(text: &[u8], matches: impl Fn(u8) -> bool) -> &[u8] {
    let end = text
        .iter()
        .position(|&byte| !matches(byte))
        .unwrap_or(text.len());
    &text[end..]
}

fn escape_piece(escape: &[u8]) -> Piece {
    let digits: String = escape
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .map(|&byte| char::from(byte))
        .collect();
    let quotes = escape.iter().filter(|&&byte| byte == b'\'').count().min(3);
    Piece::Escape {
        letter: escape.last().copied().unwrap_or_default(),
        // Wider than any line of use; keeps a huge number from sizing the line.
        width: digits
            .parse::<usize>()
            .unwrap_or(if digits.is_empty() { 0 } else { 4096 })
            .min(4096),
        left: escape.contains(&b'-'),
        quotes: u8::try_from(quotes).unwrap_or(3),
    }
}

fn value(letter: u8, quotes: u8, entry: &Entry<'_>, context: Context<'_>) -> Vec<u8> {
    let number = |value: u64| number::bytes(value, quotes).into_bytes();
    match letter {
        b'b' => number(entry.moved),
        b'B' => entry.permissions().into_bytes(),
        b'c' => number(entry.sums),
        b'C' => format!(
            "{:width$}",
            entry.checksum.unwrap_or_default(),
            width = entry.checksum_width
        )
        .into_bytes(),
        b'f' => entry.long_name.unwrap_or(entry.name).to_vec(),
        b'G' if context.group => entry.gid.to_string().into_bytes(),
        b'G' => b"DEFAULT".to_vec(),
        b'i' if entry.deleted => b"*deleting  ".to_vec(),
        b'i' => {
            let away = entry.sending && !context.local;
            let text = entry.flags.itemized(entry.mode, away, context.times);
            text.into_bytes()
        }
        b'l' => number(entry.size),
        b'L' => entry.link_suffix(),
        b'M' => time::format(entry.mtime, time::MTIME, context.zone).into_bytes(),
        b'n' => entry.display_name(),
        b'o' if entry.deleted => b"del.".to_vec(),
        b'o' if entry.sending => b"send".to_vec(),
        b'o' => b"recv".to_vec(),
        b'p' => std::process::id().to_string().into_bytes(),
        b't' => {
            time::format(Timestamp::now().as_second(), time::LISTING, context.zone).into_bytes()
        }
        b'U' if context.owner => entry.uid.to_string().into_bytes(),
        b'U' => b"0".to_vec(),
        // %m: a client is in no module.
        _ => Vec::new(),
    }
}

/// Whether a line is due for an entry whose data does not move (06-client 3.3).
pub(super) fn is_reported(format: &Format, entry: &Entry<'_>, unchanged: bool) -> bool {
    let named = entry.xname.is_some_and(|name| !name.is_empty());
    let significant = entry.flags.is_significant();
    if format.has(b'i') {
        significant || named || unchanged
    } else {
        named || (significant && (entry.is_dir() || entry.flags.contains(ItemFlags::LOCAL_CHANGE)))
    }
}
