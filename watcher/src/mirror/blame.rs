//! Which names a text of the target mentions.
//!
//! What arrived is known by the target's acknowledgements. Its texts only tell why something did not, and of what is never acknowledged
//! (directories, deletions) that it failed. Names stand in quotes, in brackets or at the end of a text, with the path of the module's
//! directory or a part of it in front; a file that cannot be made is named by its temporary name; odd bytes are written `\#ooo`.

use crate::path;

/// The names that `text` may mention, likeliest first: each with more and more of the directories in front left out.
pub(super) fn candidates(text: &[u8]) -> Vec<Vec<u8>> {
    let text = plain(text);
    mentions(&text)
        .flat_map(spellings)
        .flat_map(|name| tails(&name).map(<[u8]>::to_vec).collect::<Vec<_>>())
        .collect()
}

/// The first name that `text` mentions and `is_known` takes. The longest form of a mention comes first, so `k` is not taken for `g/k`.
pub(super) fn mentioned<T>(text: &[u8], mut is_known: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
    candidates(text)
        .iter()
        .find_map(|candidate| is_known(candidate))
}

/// A text with its `\#ooo` turned into the bytes that they are.
pub(super) fn plain(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = rest
            .strip_prefix(b"\\#")
            .and_then(|digits| digits.get(..3))
            .filter(|digits| digits.iter().all(|digit| (b'0'..=b'7').contains(digit)))
            .map(|digits| {
                digits
                    .iter()
                    .fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'))
            })
            .and_then(|value| u8::try_from(value).ok());
        match octal {
            Some(byte) => {
                plain.push(byte);
                rest = &rest[5..];
            }
            None => {
                plain.push(first);
                rest = tail;
            }
        }
    }
    plain
}

/// What may be a name in a text: what is between the first and the last quote, what each pair of quotes or brackets holds, the end.
fn mentions(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.trim_ascii_end();
    let quoted = text.split(|&byte| byte == b'"').skip(1).step_by(2);
    let first = text.iter().position(|&byte| byte == b'"');
    let last = text.iter().rposition(|&byte| byte == b'"');
    // A name may hold quotes itself.
    let widest = first
        .zip(last)
        .filter(|(first, last)| first < last)
        .map(|(first, last)| &text[first + 1..last]);
    let bracket = text
        .iter()
        .position(|&byte| byte == b'(')
        .and_then(|start| {
            let end = text[start..].iter().rposition(|&byte| byte == b')')?;
            let inside = &text[start + 1..start + end];
            // The system's reason, at the end, has brackets of its own.
            let own = inside.windows(2).position(|pair| pair == b") ");
            Some(&inside[..own.unwrap_or(inside.len())])
        });
    let end = text.windows(2).rposition(|pair| pair == b": ");
    let end = end.map(|at| &text[at + 2..]);
    quoted.chain(widest).chain(bracket).chain(end)
}

/// A name and, if it may be that of a temporary file (`.NAME.XXXXXX`), first the one it is for.
fn spellings(name: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let last = name
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |slash| slash + 1);
    let (dir, last) = name.split_at(last);
    let own = last.strip_prefix(b".").and_then(|rest| {
        let dot = rest.len().checked_sub(7)?;
        (rest[dot] == b'.' && dot > 0).then(|| [dir, &rest[..dot]].concat())
    });
    own.into_iter().chain([name.to_vec()])
}

/// A path without more and more of the directories in front.
fn tails(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().take_while(|&&byte| byte == b'/').count();
    let path = &path[slashes..];
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let inner = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let starts = std::iter::once(0).chain(inner.map(|(at, _)| at + 1));
    starts
        .map(|start| &path[start..])
        .filter(|tail| !tail.is_empty())
}

/// The topmost directory on the way to `path` in or below which nothing is `proven` to have arrived; `None` if something is in every one.
pub(super) fn topmost_unproven(path: &[u8], is_proven: impl Fn(&[u8]) -> bool) -> Option<&[u8]> {
    let mut above: Vec<_> = path::ancestors(path)
        .filter(|dir| !dir.is_empty())
        .collect();
    above.sort_by_key(|dir| dir.len());
    above.into_iter().find(|dir| !is_proven(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_mention_their_entries() {
        let names = ["f", "e", "k", "g/h", "g/k", "odd \"name", "\u{fffd}"];
        let known = |name: &[u8]| {
            let found = names.iter().find(|known| known.as_bytes() == name);
            let bytes = || (name == b"\xff\\").then_some("bytes");
            found.copied().or_else(bytes)
        };
        for (text, mentions) in [
            // A name of one letter is in every word.
            (
                "rsync: [receiver] mkstemp \"/g/.h.Ab3xYz\" (in m) failed: Permission denied (13)",
                Some("g/h"),
            ),
            (
                "rsync: [receiver] rename \"/sub/.f.Ab3xYz\" -> \"f\": Is a directory (21)",
                Some("f"),
            ),
            (
                "rsync: [generator] failed to set times on \"/sub/g/k\" (in m): Operation not permitted (1)",
                Some("g/k"),
            ),
            (
                "rsync: [generator] delete_file: unlink(g/h) failed: Permission denied (13)",
                Some("g/h"),
            ),
            (
                "ERROR: daemon refused to receive directory \"k\"\n",
                Some("k"),
            ),
            (
                "ERROR: daemon refused to receive file \"g/\\#377\\#134\"",
                Some("bytes"),
            ),
            ("cannot delete non-empty directory: g/h\n", Some("g/h")),
            ("symlink has no referent: \"/e\"", Some("e")),
            ("failed to open \"/odd \"name\"", Some("odd \"name")),
            (
                "*** Skipping any contents from this failed directory ***",
                None,
            ),
            ("failed to set times on \"/.\" (in m)", None),
        ] {
            assert_eq!(mentioned(text.as_bytes(), known), mentions, "{text}");
        }
    }

    #[test]
    fn what_is_below_a_directory_that_failed_is_one_failure() {
        let proven = |dir: &[u8]| [&b"a"[..], b"a/b"].contains(&dir);
        for (path, top) in [
            (&b"a/b/c"[..], None),
            (b"a/c/d/e", Some(&b"a/c"[..])),
            (b"x/y/z", Some(b"x")),
            (b"file", None),
        ] {
            assert_eq!(topmost_unproven(path, proven), top);
        }
    }
}
