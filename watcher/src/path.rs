//! Paths below the watched root: bytes, names joined by single slashes, empty for the root itself.

use std::sync::Arc;

/// A path below the root, shared between the dirty sets of all targets.
pub type PathBytes = Arc<[u8]>;

/// The longest path that a file list can hold (02-file-list 5). What has a longer one is not sent, and nothing below it is watched.
pub(crate) const LONGEST: usize = 4_095;

/// The longest name of a directory entry.
pub(crate) const LONGEST_NAME: usize = 255;

/// `dir/name`, or `name` if `dir` is the root.
pub(crate) fn join(dir: &[u8], name: &[u8]) -> PathBytes {
    if dir.is_empty() {
        return name.into();
    }
    let mut path = Vec::with_capacity(dir.len() + 1 + name.len());
    path.extend_from_slice(dir);
    path.push(b'/');
    path.extend_from_slice(name);
    path.into()
}

/// Parent and last name; `None` for the root.
pub(crate) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    Some(match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&path[..0], path),
    })
}

/// The parent; the root is its own.
pub(crate) fn parent(path: &[u8]) -> &[u8] {
    split(path).map_or(path, |(parent, _)| parent)
}

/// True if `path` is `top` or lies below it.
pub(crate) fn is_within(path: &[u8], top: &[u8]) -> bool {
    top.is_empty()
        || path
            .strip_prefix(top)
            .is_some_and(|rest| rest.first().is_none_or(|&b| b == b'/'))
}

/// All proper ancestors of `path`, nearest first, the root last. None for the root.
pub(crate) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(split(path), |(parent, _)| split(parent)).map(|(parent, _)| parent)
}

/// The number of names in `path`.
pub(crate) fn depth(path: &[u8]) -> usize {
    if path.is_empty() {
        0
    } else {
        1 + path.iter().filter(|&&b| b == b'/').count()
    }
}

/// `path` cut to its first `depth` names.
pub(crate) fn cut(path: &[u8], depth: usize) -> &[u8] {
    if depth == 0 {
        return &path[..0];
    }
    let end = path
        .iter()
        .enumerate()
        .filter(|&(_, &b)| b == b'/')
        .nth(depth - 1)
        .map_or(path.len(), |(at, _)| at);
    &path[..end]
}

/// The first and the first not any more key of everything strictly below `dir`, in byte order. Not for the root.
pub(crate) fn below(dir: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut from = dir.to_vec();
    from.push(b'/');
    let mut to = dir.to_vec();
    to.push(b'/' + 1);
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        assert_eq!(&*join(b"", b"a"), b"a");
        assert_eq!(&*join(b"a", b"b"), b"a/b");
        assert_eq!(split(b"a/b"), Some((&b"a"[..], &b"b"[..])));
        assert_eq!(split(b"a"), Some((&b""[..], &b"a"[..])));
        assert_eq!(split(b""), None);
        let up: Vec<_> = ancestors(b"a/b/c").collect();
        assert_eq!(up, [&b"a/b"[..], b"a", b""]);
        assert_eq!(ancestors(b"").count(), 0);
        assert_eq!((depth(b""), depth(b"a"), depth(b"a/b")), (0, 1, 2));
        assert_eq!(cut(b"a/b/c", 2), b"a/b");
        assert_eq!(cut(b"a/b/c", 9), b"a/b/c");
        assert_eq!(cut(b"a/b/c", 0), b"");
    }

    #[test]
    fn within() {
        assert!(is_within(b"a/b", b"a"));
        assert!(is_within(b"a", b"a"));
        assert!(is_within(b"a", b""));
        assert!(!is_within(b"ab", b"a"));
        assert!(!is_within(b"a", b"a/b"));
    }

    #[test]
    fn keys_below_a_directory() {
        let (from, to) = below(b"a");
        let inside = |path: &[u8]| path >= &from[..] && path < &to[..];
        assert!(inside(b"a/x") && inside(b"a/\xff/y") && inside(b"a/\x01"));
        assert!(!inside(b"a") && !inside(b"a.b") && !inside(b"a0") && !inside(b"b"));
    }
}
