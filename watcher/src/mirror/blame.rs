//! Which names of a session a text of the target is about.
//!
//! A receiver that cannot do something for an entry says so in words and goes on; nothing else tells which name did not arrive. Names
//! stand in quotes, with the path of the module's directory or a part of it in front, or at the end of the text; a file that cannot
//! be made is named by its temporary name. When in doubt more names are blamed: better sent twice than never.

use std::collections::HashMap;

use crate::path::{self, PathBytes};

/// The names of a session, to be found in texts.
pub(super) struct Named<'n> {
    all: &'n [PathBytes],
    by_text: HashMap<String, &'n PathBytes>,
}

impl<'n> Named<'n> {
    pub(super) fn new(all: &'n [PathBytes]) -> Self {
        let text = |path: &PathBytes| String::from_utf8_lossy(path).into_owned();
        let by_text = all.iter().filter(|path| !path.is_empty());
        Self {
            all,
            by_text: by_text.map(|path| (text(path), path)).collect(),
        }
    }

    /// The names that `text` is about: those mentioned, else those in a directory that is mentioned, else all.
    pub(super) fn blamed(&self, text: &str) -> Vec<&'n PathBytes> {
        let mentioned: Vec<String> = mentions(text).flat_map(spellings).collect();
        let tails = || mentioned.iter().flat_map(|name| tails(name));
        let mut blamed: Vec<_> = tails()
            .filter_map(|tail| self.by_text.get(tail).copied())
            .collect();
        if blamed.is_empty() {
            let tails: Vec<_> = tails().map(str::as_bytes).collect();
            let inside = |path: &PathBytes| {
                let mut above = path::ancestors(path).filter(|above| !above.is_empty());
                above.any(|above| tails.contains(&above))
            };
            blamed = self.all.iter().filter(|path| inside(path)).collect();
        }
        if blamed.is_empty() {
            blamed = self.all.iter().collect();
        }
        blamed
    }
}

/// What may be a name in a text: what is quoted, and its end.
fn mentions(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('"').skip(1).step_by(2);
    let end = text.trim_end().rsplit(": ").next();
    quoted.chain(end)
}

/// A name and, if it may be that of a temporary file (`.NAME.XXXXXX`), the one it is for.
fn spellings(name: &str) -> impl Iterator<Item = String> {
    let (dir, last) = name
        .rsplit_once('/')
        .map_or(("", name), |(dir, last)| (dir, last));
    let own = last
        .strip_prefix('.')
        .and_then(|rest| rest.rsplit_once('.'))
        .filter(|(_, random)| random.len() == 6)
        .map(|(own, _)| {
            if dir.is_empty() {
                own.to_owned()
            } else {
                format!("{dir}/{own}")
            }
        });
    [Some(name.to_owned()), own].into_iter().flatten()
}

/// A path without more and more of the directories in front.
fn tails(path: &str) -> impl Iterator<Item = &str> {
    let path = path.trim_start_matches('/');
    let slashes = path.bytes().enumerate().filter(|&(_, byte)| byte == b'/');
    let starts = std::iter::once(0).chain(slashes.map(|(at, _)| at + 1));
    starts.map(|start| &path[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_their_entries() {
        let names = ["f", "e", "g/h", "g/k/x", "odd \"name", ""];
        let all: Vec<PathBytes> = names.iter().map(|name| name.as_bytes().into()).collect();
        let named = Named::new(&all);
        for (text, blamed) in [
            // A name of one letter is in every word.
            (
                "rsync: [receiver] mkstemp \"/g/.h.Ab3xYz\" (in m) failed: Permission denied (13)",
                vec!["g/h"],
            ),
            (
                "rsync: [receiver] rename \"/sub/.f.Ab3xYz\" -> \"f\": Is a directory (21)",
                vec!["f", "f"],
            ),
            (
                "rsync: [generator] failed to set times on \"/sub/g/k\" (in m): Operation not permitted (1)",
                vec!["g/k/x"],
            ),
            ("cannot delete non-empty directory: g/h\n", vec!["g/h"]),
            ("symlink has no referent: \"/e\"", vec!["e"]),
            ("something else went wrong", names.to_vec()),
            ("failed to set times on \"/.\" (in m)", names.to_vec()),
            ("failed to open \"/odd \"name\"", names.to_vec()),
        ] {
            let found: Vec<_> = named
                .blamed(text)
                .into_iter()
                .map(|path| std::str::from_utf8(path).unwrap())
                .collect();
            assert_eq!(found, blamed, "{text}");
        }
    }
}
