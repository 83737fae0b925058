//! One pattern, prepared once, tested against names (07-filters 4.1, 4.2).

use std::sync::Arc;

use super::glob::{Glob, MAX_PATTERN, Text};

/// A prepared pattern. Clones share its memory.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As written, without the one trailing slash that `dir_only` stands for.
    text: Arc<[u8]>,
    dir_only: bool,
    shape: Shape,
}

/// How a pattern is compared. Patterns in the first four shapes have no `**`.
#[derive(Clone, Debug)]
enum Shape {
    /// The last component equals the pattern.
    BaseLiteral,
    /// The last component matches.
    Base(Glob),
    /// The text equals the pattern, or ends in a slash and the pattern.
    FloatingLiteral,
    /// As many last components as the pattern has match it.
    Floating { components: usize, glob: Glob },
    /// The text equals the pattern behind its leading slash.
    AnchoredLiteral,
    /// The text matches. `slash_in_front`: compared with a slash before the text. `slash_behind`: a directory
    /// is compared with a slash after it (`***`).
    Whole {
        slash: Slash,
        slash_behind: bool,
        glob: Glob,
    },
}

/// When a slash is put in front of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slash {
    Never,
    /// For a name relative to the transfer root only.
    Relative,
    Always,
}

/// A name under test with what rules of any kind need of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    /// Relative to the transfer root, without leading or trailing slash.
    pub(super) name: &'a [u8],
    /// Last component of the name.
    pub(super) base: &'a [u8],
    pub(super) is_dir: bool,
}

impl<'a> Subject<'a> {
    pub(super) fn new(name: &'a [u8], is_dir: bool) -> Self {
        let base = name
            .iter()
            .rposition(|&b| b == b'/')
            .map_or(name, |slash| &name[slash + 1..]);
        Self { name, base, is_dir }
    }
}

impl Pattern {
    /// Prepares the pattern of a rule; a trailing slash makes it one for directories only. `None` if it has
    /// more than 4095 bytes.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Self> {
        if text.len() > MAX_PATTERN {
            return None;
        }
        let (text, dir_only) = match text {
            [rest @ .., b'/'] if !rest.is_empty() => (rest, true),
            _ => (text, false),
        };
        Some(Self {
            text: text.into(),
            dir_only,
            shape: Shape::new(text),
        })
    }

    /// Bytes on the heap, about.
    pub(super) fn memory(&self) -> usize {
        let glob = match &self.shape {
            Shape::Base(glob) | Shape::Floating { glob, .. } | Shape::Whole { glob, .. } => {
                glob.memory()
            }
            Shape::BaseLiteral | Shape::FloatingLiteral | Shape::AnchoredLiteral => 0,
        };
        // A counter of its clones stands before the text, and the allocator adds something to each piece.
        self.text.len() + 32 + glob
    }

    /// The pattern as written, without the trailing slash of one for directories only.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// True if it was written with a trailing slash.
    #[must_use]
    pub fn is_dir_only(&self) -> bool {
        self.dir_only
    }

    /// True if it begins with a slash.
    #[must_use]
    pub fn is_anchored(&self) -> bool {
        self.text.first() == Some(&b'/')
    }

    /// True if the pattern matches a name that is relative to the transfer root, without slashes around it.
    ///
    /// ```
    /// use rsync_engine::filter::Pattern;
    /// let pattern = Pattern::new(b"foo/**/bar").unwrap();
    /// assert!(pattern.matches(b"a/foo/x/y/bar", false));
    /// assert!(!pattern.matches(b"foo/bar", false));
    /// ```
    #[must_use]
    pub fn matches(&self, name: &[u8], is_dir: bool) -> bool {
        let subject = Subject::new(name, is_dir);
        self.matches_text(&subject, Text::new(name), false)
    }

    /// [`Self::matches`] with the text that a pattern with a slash or a `**` is compared with. `absolute`: it
    /// is a path that does not begin at the transfer root.
    pub(super) fn matches_text(
        &self,
        subject: &Subject<'_>,
        text: Text<'_>,
        absolute: bool,
    ) -> bool {
        if subject.name.is_empty() || (self.dir_only && !subject.is_dir) {
            return false;
        }
        match &self.shape {
            Shape::BaseLiteral => subject.base == &*self.text,
            Shape::Base(glob) => glob.matches(Text::new(subject.base)),
            Shape::FloatingLiteral => text.is_or_ends_below(&self.text),
            Shape::Floating { components, glob } => text
                .last_components(*components)
                .is_some_and(|text| glob.matches(text)),
            Shape::AnchoredLiteral => text.is(&self.text[1..]),
            Shape::Whole {
                slash,
                slash_behind,
                glob,
            } => {
                let in_front = match slash {
                    Slash::Never => false,
                    Slash::Relative => !absolute,
                    Slash::Always => true,
                };
                let text = if *slash_behind && subject.is_dir {
                    text.with_slash_behind()
                } else {
                    text
                };
                glob.matches(if in_front {
                    text.with_slash_in_front()
                } else {
                    text
                })
            }
        }
    }
}

impl Shape {
    fn new(text: &[u8]) -> Self {
        let anchored = text.first() == Some(&b'/');
        let behind_slash = if anchored { &text[1..] } else { text };
        let slashes = text.iter().filter(|&&b| b == b'/').count();
        let wild = text.iter().any(|b| matches!(b, b'*' | b'?' | b'['));
        if !wild {
            return match (anchored, slashes) {
                (true, _) => Self::AnchoredLiteral,
                (false, 0) => Self::BaseLiteral,
                (false, _) => Self::FloatingLiteral,
            };
        }
        let deep = text.windows(2).any(|pair| pair == b"**");
        if !deep && !anchored {
            let glob = Glob::new(text);
            return if slashes == 0 {
                Self::Base(glob)
            } else {
                Self::Floating {
                    components: slashes + 1,
                    glob,
                }
            };
        }
        let slash_behind = text.ends_with(b"***");
        let (slash, glob) = if anchored {
            (Slash::Never, Glob::new(behind_slash))
        } else if text.starts_with(b"**") {
            (Slash::Relative, Glob::new(text))
        } else {
            (Slash::Always, Glob::floating(text))
        };
        Self::Whole {
            slash,
            slash_behind,
            glob,
        }
    }
}
