//! Checked names and relative paths. They are bytes.

use std::fmt;

use super::Errno;

/// Why bytes are no [`Name`] or [`RelPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// No bytes, where a name is needed.
    #[error("empty name")]
    Empty,
    /// A NUL byte.
    #[error("name with a NUL byte")]
    Nul,
    /// A leading slash.
    #[error("absolute path")]
    Absolute,
    /// `..` as a component, or more of them than levels.
    #[error("path with a \"..\" component")]
    Parent,
    /// `.` or an empty component, a slash at the end, a slash in a name.
    #[error("path that is not clean")]
    NotClean,
    /// A component of more than 255 bytes.
    #[error("path component of more than 255 bytes")]
    TooLong,
}

impl From<PathError> for Errno {
    /// What the kernel would say, for reports about one entry.
    fn from(error: PathError) -> Self {
        match error {
            PathError::Empty => Self::NOENT,
            PathError::TooLong => Self::NAMETOOLONG,
            PathError::Parent | PathError::Absolute => Self::XDEV,
            PathError::Nul | PathError::NotClean => Self::INVAL,
        }
    }
}

/// The longest name of a directory entry, in bytes.
pub(super) const MAX_NAME: usize = 255;

/// One component: 1..=255 bytes, no `/`, no NUL, neither `.` nor `..`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'a>(&'a [u8]);

/// An owned [`Name`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameBuf(Box<[u8]>);

/// A path below a root: names joined by single slashes; empty is the root itself.
///
/// No NUL, no `.`, no `..`, no slash at either end. Its length has no limit here (a name on the
/// wire has: 05-security N-1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath<'a>(&'a [u8]);

/// An owned [`RelPath`].
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPathBuf(Vec<u8>);

impl<'a> Name<'a> {
    /// Checks `bytes`.
    pub fn new(bytes: &'a [u8]) -> Result<Self, PathError> {
        if bytes.contains(&b'/') {
            return Err(PathError::NotClean);
        }
        check_component(bytes)?;
        Ok(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The name as a path of one component.
    pub fn as_path(self) -> RelPath<'a> {
        RelPath(self.0)
    }

    /// An owned copy.
    pub fn to_buf(self) -> NameBuf {
        NameBuf(self.0.into())
    }
}

impl NameBuf {
    /// Borrows it.
    pub fn as_name(&self) -> Name<'_> {
        Name(&self.0)
    }
}

impl<'a> RelPath<'a> {
    /// The root itself.
    pub const ROOT: RelPath<'static> = RelPath(b"");

    /// Checks `bytes`, which must be clean already; `.` and nothing are the root.
    pub fn new(bytes: &'a [u8]) -> Result<Self, PathError> {
        if bytes.is_empty() || bytes == b"." {
            return Ok(Self::ROOT);
        }
        if bytes[0] == b'/' {
            return Err(PathError::Absolute);
        }
        for component in bytes.split(|&b| b == b'/') {
            match check_component(component) {
                Err(PathError::Empty) => return Err(PathError::NotClean),
                other => other?,
            }
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// True for the root itself.
    pub fn is_root(self) -> bool {
        self.0.is_empty()
    }

    /// Parent and last name; `None` for the root.
    pub fn split(self) -> Option<(Self, Name<'a>)> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|&b| b == b'/') {
            Some(slash) => (Self(&self.0[..slash]), Name(&self.0[slash + 1..])),
            None => (Self(b""), Name(self.0)),
        })
    }

    /// The names from the top.
    pub fn names(self) -> impl DoubleEndedIterator<Item = Name<'a>> {
        self.0
            .split(|&b| b == b'/')
            .filter(|name| !name.is_empty())
            .map(Name)
    }

    /// True if `self` is `top` or lies below it.
    pub fn is_within(self, top: RelPath<'_>) -> bool {
        match self.0.strip_prefix(top.0) {
            Some(rest) => rest.is_empty() || top.is_root() || rest[0] == b'/',
            None => false,
        }
    }

    /// An owned copy.
    pub fn to_buf(self) -> RelPathBuf {
        RelPathBuf(self.0.into())
    }
}

impl RelPathBuf {
    /// The root.
    pub fn root() -> Self {
        Self::default()
    }

    /// Cleans `text` as seen from `base`: `.` and double slashes vanish, `..` takes a level back, a
    /// leading slash starts at the root. Climbing above the root is an error. Purely lexical.
    pub fn resolve(base: RelPath<'_>, text: &[u8]) -> Result<Self, PathError> {
        let mut path = if text.first() == Some(&b'/') {
            Self::root()
        } else {
            base.to_buf()
        };
        for component in text.split(|&b| b == b'/') {
            match component {
                b"" | b"." => {}
                b".." if path.pop() => {}
                b".." => return Err(PathError::Parent),
                name => path.push(Name::new(name)?),
            }
        }
        Ok(path)
    }

    /// Borrows it.
    pub fn as_path(&self) -> RelPath<'_> {
        RelPath(&self.0)
    }

    /// Appends a name.
    pub fn push(&mut self, name: Name<'_>) {
        self.push_path(name.as_path());
    }

    /// Appends a path.
    pub fn push_path(&mut self, path: RelPath<'_>) {
        if !self.0.is_empty() && !path.is_root() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(path.0);
    }

    /// Removes the last name; false at the root.
    pub fn pop(&mut self) -> bool {
        let Some(keep) = self.as_path().split().map(|(parent, _)| parent.0.len()) else {
            return false;
        };
        self.0.truncate(keep);
        true
    }
}

fn check_component(bytes: &[u8]) -> Result<(), PathError> {
    match bytes {
        b"" => Err(PathError::Empty),
        b"." => Err(PathError::NotClean),
        b".." => Err(PathError::Parent),
        _ if bytes.contains(&0) => Err(PathError::Nul),
        _ if bytes.len() > MAX_NAME => Err(PathError::TooLong),
        _ => Ok(()),
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Debug for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_name().fmt(f)
    }
}

impl fmt::Debug for RelPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Debug for RelPathBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_path().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_one_component() {
        let long = [b'x'; 256];
        for (bytes, verdict) in [
            (&b"a"[..], Ok(())),
            (b"...", Ok(())),
            (b".a", Ok(())),
            (b"\xff\n\x01 ", Ok(())),
            (&long[..255], Ok(())),
            (&long[..], Err(PathError::TooLong)),
            (b"", Err(PathError::Empty)),
            (b".", Err(PathError::NotClean)),
            (b"..", Err(PathError::Parent)),
            (b"a/b", Err(PathError::NotClean)),
            (b"/", Err(PathError::NotClean)),
            (b"a\0", Err(PathError::Nul)),
        ] {
            assert_eq!(
                Name::new(bytes).map(|_| ()),
                verdict,
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn paths_must_be_clean() {
        for (bytes, verdict) in [
            (&b""[..], Ok(())),
            (b".", Ok(())),
            (b"a/b/c", Ok(())),
            (b"/a", Err(PathError::Absolute)),
            (b"/", Err(PathError::Absolute)),
            (b"a/", Err(PathError::NotClean)),
            (b"a//b", Err(PathError::NotClean)),
            (b"a/./b", Err(PathError::NotClean)),
            (b"./a", Err(PathError::NotClean)),
            (b"../a", Err(PathError::Parent)),
            (b"a/..", Err(PathError::Parent)),
            (b"a/b\0c", Err(PathError::Nul)),
        ] {
            assert_eq!(
                RelPath::new(bytes).map(|_| ()),
                verdict,
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn text_is_resolved_lexically() {
        let base = RelPath::new(b"p/q").unwrap();
        for (text, result) in [
            (&b"a"[..], Ok(&b"p/q/a"[..])),
            (b"", Ok(b"p/q")),
            (b"./a//b/.", Ok(b"p/q/a/b")),
            (b"../a", Ok(b"p/a")),
            (b"../..", Ok(b"")),
            (b"../../..", Err(PathError::Parent)),
            (b"/a/../b/", Ok(b"b")),
            (b"/..", Err(PathError::Parent)),
            (b"a\0", Err(PathError::Nul)),
        ] {
            let got = RelPathBuf::resolve(base, text);
            assert_eq!(
                got.as_ref().map(|p| p.as_path().as_bytes()),
                result.as_ref().map(|b| *b)
            );
        }
    }

    #[test]
    fn parts_of_a_path() {
        let path = RelPath::new(b"a/bc/d").unwrap();
        let (parent, name) = path.split().unwrap();
        assert_eq!(
            (parent.as_bytes(), name.as_bytes()),
            (&b"a/bc"[..], &b"d"[..])
        );
        assert_eq!(RelPath::ROOT.split(), None);
        assert_eq!(RelPath::ROOT.names().count(), 0);
        let names: Vec<_> = path.names().map(Name::as_bytes).collect();
        assert_eq!(names, [&b"a"[..], b"bc", b"d"]);
        assert!(path.is_within(RelPath::ROOT));
        assert!(path.is_within(RelPath(b"a/bc")) && path.is_within(path));
        assert!(!path.is_within(RelPath(b"a/b")) && !parent.is_within(path));
    }

    proptest! {
        /// 05-security W-13: any bytes give a clean path or an error.
        #[test]
        fn resolving_is_total(base in "[ab]{0,1}(/[ab]){0,2}", text in proptest::collection::vec(
            prop_oneof![Just(b'/'), Just(b'.'), any::<u8>()], 0..40)) {
            let base = RelPathBuf::resolve(RelPath::ROOT, base.as_bytes()).unwrap();
            if let Ok(path) = RelPathBuf::resolve(base.as_path(), &text) {
                let bytes = path.as_path().as_bytes();
                prop_assert_eq!(RelPath::new(bytes), Ok(path.as_path()));
                let again = RelPathBuf::resolve(RelPath::ROOT, bytes);
                prop_assert_eq!(again.as_ref(), Ok(&path));
            }
        }
    }
}
