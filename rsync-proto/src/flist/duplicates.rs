//! Questions about a sorted list: duplicates, look-up, missing parents (02-file-list 8.4, 8.5, 13.3).
//!
//! The list is whatever holds the entries; these functions see it through `name_of`, which gives clean name
//! and "is a directory" by position in sorted order.

use std::cmp::Ordering;

use super::order::{ListName, compare_names, in_pieces};

/// Tells which slots of a sorted list die because another entry has the name (02-file-list 8.4): of equal
/// names of one sort the first survives, of a directory and something else of one path the directory. `lose`
/// gets each loser once, and the slot that it loses to. A directory that loses hands its flags to the winner:
/// [`DirFlags::merge`]. Slots keep their numbers.
pub fn find_duplicates<'a, N: Into<ListName<'a>>>(
    len: usize,
    name_of: impl Fn(usize) -> (N, bool),
    mut lose: impl FnMut(usize, usize),
) {
    let name_of = in_pieces(name_of);
    let mut winner = 0;
    for slot in 0..len {
        let (name, is_dir) = name_of(slot);
        if slot > 0 && name_of(winner) == (name, is_dir) {
            lose(slot, winner);
            continue;
        }
        winner = slot;
        // Files sort before directories, but not next to them.
        if is_dir && let Some(file) = find(slot, &name_of, name, false) {
            lose(file, slot);
        }
    }
}

/// Finds the first entry of a name and sort in a sorted list: the one that survives its duplicates of that
/// sort (02-file-list 8.5). A name of the other sort is another entry.
pub fn find<'a, N: Into<ListName<'a>>>(
    len: usize,
    name_of: impl Fn(usize) -> (N, bool),
    name: impl Into<ListName<'a>>,
    is_dir: bool,
) -> Option<usize> {
    let (name_of, name) = (in_pieces(name_of), name.into());
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if compare_names(name_of(middle), (name, is_dir)) == Ordering::Less {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    (low < len && name_of(low) == (name, is_dir)).then_some(low)
}

/// Tells which entries of a sorted list have no parent directory in it (02-file-list 13.3). A receiver of a
/// list that is not incremental refuses them: they would be written through something foreign. (Entries of
/// mode 0 may be left out of that, since they only delete.)
pub fn find_orphans<'a, N: Into<ListName<'a>>>(
    len: usize,
    name_of: impl Fn(usize) -> (N, bool),
    mut orphan: impl FnMut(usize),
) {
    let name_of = in_pieces(name_of);
    // The directories around the current entry, outermost first.
    let mut around: Vec<ListName<'a>> = Vec::new();
    for slot in 0..len {
        let (name, is_dir) = name_of(slot);
        let parent = name.parent();
        // A parent sorts before what is in it, and between the two lies only what is in it too.
        while around
            .last()
            .is_some_and(|dir| !dir.is(parent) && !dir.is_above(parent))
        {
            around.pop();
        }
        if !parent.is_empty() && !around.last().is_some_and(|dir| dir.is(parent)) {
            orphan(slot);
        }
        if is_dir && !name.is_root() && around.last() != Some(&name) {
            around.push(name);
        }
    }
}

/// The two flags of a directory (02-file-list 5.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirFlags {
    /// See [`Entry::top_dir`](super::Entry::top_dir).
    pub top_dir: bool,
    /// See [`Entry::no_content`](super::Entry::no_content).
    pub no_content: bool,
}

impl DirFlags {
    /// Flags of two directories of one name (02-file-list 8.4): content if one of them is; implied only if
    /// both are.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let no_content = self.no_content && other.no_content;
        Self {
            top_dir: if no_content {
                self.top_dir && other.top_dir
            } else {
                self.top_dir || other.top_dir
            },
            no_content,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::order::sort;
    use super::*;

    /// Sorted names; a directory is written with a slash at its end.
    fn sorted(names: &'static [&'static str]) -> Vec<(&'static [u8], bool)> {
        let names: Vec<_> = names
            .iter()
            .map(|name| match name.strip_suffix('/') {
                Some(dir) => (dir.as_bytes(), true),
                None => (name.as_bytes(), false),
            })
            .collect();
        let order = sort(names.len(), |i| names[i]);
        order.into_iter().map(|i| names[i as usize]).collect()
    }

    fn shown((name, is_dir): (&[u8], bool)) -> String {
        format!("{}{}", name.escape_ascii(), if is_dir { "/" } else { "" })
    }

    #[test]
    fn losers() {
        type Row = (&'static [&'static str], &'static [&'static str]);
        let rows: [Row; 6] = [
            (&["./", "a", "b"], &[]),
            (&["./", "a", "a", "a"], &["2 a to 1", "3 a to 1"]),
            (&["./", "a/", "a/", "a/x"], &["2 a/ to 1"]),
            (&["a", "a/", "a/x"], &["0 a to 1"]),
            (&["a/", "a", "m", "a", "a-b/"], &["1 a to 0", "0 a to 4"]),
            (&["./", "./", "x"], &["1 ./ to 0"]),
        ];
        for (names, expected) in rows {
            let list = sorted(names);
            let mut got = Vec::new();
            find_duplicates(
                list.len(),
                |i| list[i],
                |loser, winner| {
                    assert_eq!(list[loser].0, list[winner].0);
                    got.push(format!("{loser} {} to {winner}", shown(list[loser])));
                },
            );
            assert_eq!(got, expected, "{names:?}");
        }
    }

    #[test]
    fn look_up() {
        let list = sorted(&["./", "a", "a", "d/", "d/x", "d-/", "z"]);
        let at = |name: &str, is_dir| find(list.len(), |i| list[i], name.as_bytes(), is_dir);
        for (i, &(name, is_dir)) in list.iter().enumerate() {
            let found = find(list.len(), |i| list[i], name, is_dir).expect("is there");
            assert_eq!(list[found], (name, is_dir));
            assert!(found <= i);
        }
        assert_eq!(at("a", true), None);
        assert_eq!(at("d", false), None);
        assert_eq!(at("zz", false), None);
        assert_eq!(at("", false), None);
        assert_eq!(at("a", false), Some(1));
    }

    #[test]
    fn orphans() {
        type Row = (&'static [&'static str], &'static [&'static str]);
        let rows: [Row; 8] = [
            (
                &["./", "a", "d/", "d/x", "d/e/", "d/e/y", "d-/", "d-/z"],
                &[],
            ),
            (&["a/b"], &["a/b"]),
            (&["a", "a/b"], &["a/b"]),
            (&["a", "a/", "a/b"], &[]),
            (&["a/", "a/b/c"], &["a/b/c"]),
            (&["a/", "ab/c", "a/b"], &["ab/c"]),
            (&["a/", "a/", "a/b/", "a/b/x", "c/x"], &["c/x"]),
            (&["/.", "/x", "/t/", "/t/u", "/v/w"], &["/v/w"]),
        ];
        for (names, expected) in rows {
            let list = sorted(names);
            let mut got = Vec::new();
            find_orphans(list.len(), |i| list[i], |slot| got.push(shown(list[slot])));
            assert_eq!(got, expected, "{names:?}");
        }
    }

    #[test]
    fn flags_of_duplicates() {
        let flags = |top_dir, no_content| DirFlags {
            top_dir,
            no_content,
        };
        let (inner, top) = (flags(false, false), flags(true, false));
        let (plain, implied) = (flags(false, true), flags(true, true));
        let rows = [
            (inner, inner, inner),
            (inner, top, top),
            (inner, plain, inner),
            (inner, implied, top),
            (top, plain, top),
            (top, implied, top),
            (plain, plain, plain),
            (plain, implied, plain),
            (implied, implied, implied),
        ];
        for (a, b, merged) in rows {
            assert_eq!(a.merge(b), merged, "{a:?} {b:?}");
            assert_eq!(b.merge(a), merged, "{b:?} {a:?}");
        }
    }
}
