//! What the parser stores (07-filters 3.4).

use std::ops::{BitOr, BitOrAssign};
use std::sync::Arc;

use rsync_proto::PeerText;

use super::glob::Text;
use super::pattern::{Pattern, Subject};

/// The sides a rule names. None named means both, but is not the same: `--delete-excluded` takes the receiver's
/// side from such rules only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Sides(u8);

impl Sides {
    /// No side named.
    pub(super) const NONE: Self = Self(0);
    /// The side that sends files.
    pub(super) const SENDER: Self = Self(1);
    /// The side that receives files.
    pub(super) const RECEIVER: Self = Self(2);
    /// Both named.
    pub(super) const BOTH: Self = Self(3);

    /// True if a side is named.
    pub(super) fn is_named(self) -> bool {
        self != Self::NONE
    }
}

impl BitOr for Sides {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Sides {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

/// The part this process plays in a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Rules hide and show.
    Sender,
    /// Rules protect and risk.
    Receiver,
}

impl Role {
    /// True if a rule for these sides counts in this role.
    pub(super) fn heeds(self, sides: Sides) -> bool {
        match self {
            Self::Sender => sides != Sides::RECEIVER,
            Self::Receiver => sides != Sides::SENDER,
        }
    }
}

/// An include or exclude rule.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) include: bool,
    pub(super) negate: bool,
    /// Compared with the absolute path (07-filters 5.3).
    pub(super) absolute: bool,
    pub(super) sides: Sides,
    pub(super) perishable: bool,
    pub(super) xattr: bool,
    pub(super) pattern: Pattern,
    /// What a leading slash of the pattern stands for.
    pub(super) anchor: Anchor,
    pub(super) origin: Origin,
}

/// The directory that a leading slash stands for.
#[derive(Clone, Debug)]
pub(super) enum Anchor {
    /// The transfer root.
    Root,
    /// This directory of the transfer, which holds the merge file.
    Below(Arc<[u8]>),
    /// A directory above the transfer root, from which the root has this path.
    Above(Arc<[u8]>),
    /// The top of a daemon's module. Every pattern of such a rule is compared with the path in the module.
    Module,
}

/// Where a rule came from, for the debug output.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    List,
    /// The exclude of a merge file's own name (`e`), which `--delete-excluded` does not change on the wire.
    MergeFileName,
    PerDir(Arc<[u8]>),
    Cvs,
    Daemon,
}

impl Rule {
    /// True for an include rule.
    #[must_use]
    pub fn is_include(&self) -> bool {
        self.include
    }

    /// The pattern.
    #[must_use]
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The end of a line of debug output: where the rule came from, empty for an ordinary one
    /// (07-filters 15).
    #[must_use]
    pub fn origin(&self) -> String {
        match &self.origin {
            Origin::List | Origin::MergeFileName => String::new(),
            Origin::PerDir(name) => format!(" [per-dir {}]", PeerText(&**name)),
            Origin::Cvs => " [global CVS]".to_owned(),
            Origin::Daemon => " [daemon]".to_owned(),
        }
    }

    /// The sides on which the rule counts, [`Sides::NONE`] for both (07-filters 6.3).
    pub(super) fn effective_sides(&self, delete_excluded: bool) -> Sides {
        if delete_excluded && !self.sides.is_named() {
            Sides::SENDER
        } else {
            self.sides
        }
    }

    /// True if it says nothing, or something else, at the other side.
    pub(super) fn is_one_sided(&self) -> bool {
        self.absolute || (self.sides.is_named() && self.sides != Sides::BOTH)
    }

    /// True if it is compared with more than the last component of a name.
    pub(super) fn depends_on_path(&self) -> bool {
        let text = self.pattern.text();
        !self.xattr && (text.contains(&b'/') || text.windows(2).any(|two| two == b"**"))
    }

    /// True if the rule takes effect for the name. `root`: absolute path of the transfer root without its
    /// leading slash.
    pub(super) fn matches(&self, subject: &Subject<'_>, root: &[u8]) -> bool {
        if subject.name.is_empty() {
            return false;
        }
        let name = subject.name;
        let text = match &self.anchor {
            _ if self.absolute => Some(Text::below(root, name)),
            Anchor::Module => Some(Text::below(root, name)),
            Anchor::Below(directory) if self.pattern.is_anchored() => {
                strip_directory(name, directory).map(Text::new)
            }
            Anchor::Above(path) if self.pattern.is_anchored() => Some(Text::below(path, name)),
            _ => Some(Text::new(name)),
        };
        let matched =
            text.is_some_and(|text| self.pattern.matches_text(subject, text, self.absolute));
        matched != self.negate
    }
}

impl Rule {
    /// [`Self::matches`] for the path in a module of a file above the transfer root.
    pub(super) fn matches_outside(&self, subject: &Subject<'_>, root: &[u8]) -> bool {
        let path = subject.name;
        let text = match &self.anchor {
            Anchor::Above(to_root) if self.pattern.is_anchored() && !self.absolute => {
                let above = root.strip_suffix(&**to_root).unwrap_or(root);
                strip_directory(path, above.strip_suffix(b"/").unwrap_or(above)).map(Text::new)
            }
            _ => Some(Text::new(path)),
        };
        let matched =
            text.is_some_and(|text| self.pattern.matches_text(subject, text, self.absolute));
        matched != self.negate
    }
}

/// The name relative to a directory that it lies in.
pub(super) fn strip_directory<'a>(name: &'a [u8], directory: &[u8]) -> Option<&'a [u8]> {
    if directory.is_empty() {
        return Some(name);
    }
    name.strip_prefix(directory)?.strip_prefix(b"/")
}

/// What a merge file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Rules with prefixes.
    Rules,
    /// Exclude patterns only.
    Excludes,
    /// Include patterns only.
    Includes,
}

/// A merge rule of either kind.
#[derive(Clone, Debug)]
pub(super) struct Merge {
    /// The file as named.
    pub(super) name: Arc<[u8]>,
    pub(super) exclude_self: bool,
    pub(super) no_inherit: bool,
    pub(super) words: bool,
    pub(super) style: Style,
    /// `C`: a lone `!` clears although the style is [`Style::Excludes`].
    pub(super) cvs: bool,
    pub(super) absolute: bool,
    pub(super) sides: Sides,
    pub(super) perishable: bool,
    pub(super) xattr: bool,
}

impl Merge {
    /// The last component of the name, under which a per-directory file is looked for.
    pub(super) fn base(&self) -> &[u8] {
        self.name.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    /// The directory of a name with a slash: the part before the last one, `/` for the root.
    pub(super) fn directory(&self) -> Option<&[u8]> {
        let slash = self.name.iter().rposition(|&b| b == b'/')?;
        Some(if slash == 0 {
            b"/"
        } else {
            &self.name[..slash]
        })
    }

    /// The sides on which a per-directory file is read, [`Sides::NONE`] for both (07-filters 6.3).
    pub(super) fn effective_sides(&self, delete_excluded: bool) -> Sides {
        let bare = self.style != Style::Rules;
        if delete_excluded && bare && !self.sides.is_named() {
            Sides::SENDER
        } else {
            self.sides
        }
    }
}

/// `-C` or `+C` as a rule: the place of the global CVS list.
#[derive(Clone, Debug)]
pub(super) struct CvsMark {
    pub(super) include: bool,
    pub(super) negate: bool,
    pub(super) absolute: bool,
    pub(super) sides: Sides,
    pub(super) xattr: bool,
    /// As written, so of all its patterns.
    pub(super) perishable: bool,
    /// Of the default list only, not of what the user's own file and variable say.
    pub(super) default_perishable: bool,
    /// Of a client that pulls with `-C`: `--delete-excluded` does not change its sides (07-filters 9).
    pub(super) keeps_sides: bool,
    /// Text behind the separator, which only travels.
    pub(super) rest: Box<[u8]>,
    /// Words that stand behind that in a module's `filter`: more patterns (07-filters 13).
    pub(super) words: Box<[u8]>,
}
