//! Checked names and relative paths. They are bytes.

use std::fmt;

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

/// One component: 1..=255 bytes, no `/`, no NUL, neither `.` nor `..`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'a>(&'a [u8]);

/// An owned [`Name`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameBuf(Box<[u8]>);

/// A path below a root: names joined by single slashes; empty is the root itself. No NUL, no `.`, no `..`, no slash at either end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath<'a>(&'a [u8]);

/// An owned [`RelPath`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RelPathBuf(Vec<u8>);

impl<'a> Name<'a> {
    /// Checks `bytes`.
    pub fn new(bytes: &'a [u8]) -> Result<Self, PathError> {
        todo!()
    }
    /// The bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
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

    /// Checks `bytes`, which must be clean already; "." and "" are the root.
    pub fn new(bytes: &'a [u8]) -> Result<Self, PathError> {
        todo!()
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
    pub fn split(self) -> Option<(RelPath<'a>, Name<'a>)> {
        todo!()
    }
    /// The names from the top.
    pub fn names(self) -> impl DoubleEndedIterator<Item = Name<'a>> {
        self.0.split(|&b| b == b'/').map(Name)
    }
    /// True if `self` is `top` or lies below it.
    pub fn is_within(self, top: RelPath<'_>) -> bool {
        todo!()
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
    /// Cleans `text` as seen from `base`: `.` and double slashes vanish, `..` takes a level back, a leading slash starts at the root.
    /// Climbing above the root is an error. Purely lexical.
    pub fn resolve(base: RelPath<'_>, text: &[u8]) -> Result<Self, PathError> {
        todo!()
    }
    /// Borrows it.
    pub fn as_path(&self) -> RelPath<'_> {
        RelPath(&self.0)
    }
    /// Appends a name.
    pub fn push(&mut self, name: Name<'_>) {
        todo!()
    }
    /// Appends a path.
    pub fn push_path(&mut self, path: RelPath<'_>) {
        todo!()
    }
    /// Removes the last name; false at the root.
    pub fn pop(&mut self) -> bool {
        todo!()
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
