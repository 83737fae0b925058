//! The filter list on the wire: its framing, and the prefix of its rules (02-file-list 2, 07-filters 3).
//! What a pattern matches is not known here.

use std::ops::{BitOr, BitOrAssign};

use crate::error::{DecodeError, EncodeError, Violation};
use crate::limits;
use crate::version::Protocol;
use crate::wire::{Cursor, put_int};

/// Reads the rules of one list, and bounds their number and size.
#[derive(Debug, Clone, Default)]
pub struct FilterReader {
    rules: usize,
    bytes: usize,
}

impl FilterReader {
    /// At the start of a list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the text of the next rule, for [`Rule::parse`]; `None` is the end of the list.
    ///
    /// # Errors
    /// Incomplete; [`Violation::FilterRuleLength`] before the text is there, [`Violation::FilterListTooLong`],
    /// [`Violation::NulInside`].
    pub fn read<'a>(&mut self, cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, DecodeError> {
        let mut probe = cursor.clone();
        let len = probe.int()?;
        if len == 0 {
            *cursor = probe;
            return Ok(None);
        }
        let wanted = usize::try_from(len)
            .ok()
            .filter(|&len| len <= limits::FILTER_RULE)
            .ok_or(Violation::FilterRuleLength { len })?;
        if self.rules == limits::FILTER_RULES || self.bytes + wanted > limits::FILTER_BYTES {
            return Err(Violation::FilterListTooLong.into());
        }
        let text = probe.take(wanted)?;
        if text.contains(&0) {
            return Err(Violation::NulInside.into());
        }
        self.rules += 1;
        self.bytes += wanted;
        *cursor = probe;
        Ok(Some(text))
    }
}

/// Appends the end of a list: of an empty one it is all there is.
pub fn put_end(out: &mut Vec<u8>) {
    put_int(out, 0);
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleKind {
    /// Leave matching names out.
    Exclude,
    /// Keep matching names in.
    Include,
    /// Read rules from the file of that name in every directory.
    DirMerge,
    /// Forget the rules so far. Has no modifiers and no pattern.
    Clear,
}

/// The modifiers of a rule, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Modifiers(pub u16);

impl Modifiers {
    /// `/`: match against the absolute path.
    pub const ABSOLUTE: Self = Self(0x001);
    /// `!`: applies where the pattern does not match.
    pub const NEGATED: Self = Self(0x002);
    /// `C`: the rules of CVS. Without a pattern on a rule that is no merge.
    pub const CVS: Self = Self(0x004);
    /// `n`: the merge file does not count in subdirectories.
    pub const NO_INHERIT: Self = Self(0x008);
    /// `w`: the merge file is split at white space.
    pub const WORD_SPLIT: Self = Self(0x010);
    /// `-`: the merge file holds exclude patterns only.
    pub const ONLY_EXCLUDES: Self = Self(0x020);
    /// `+`: the merge file holds include patterns only.
    pub const ONLY_INCLUDES: Self = Self(0x040);
    /// `e`: the merge file excludes its own name. Is accepted, never sent: a rule of its own goes in front.
    pub const EXCLUDE_SELF: Self = Self(0x080);
    /// `x`: for names of extended attributes.
    pub const XATTR: Self = Self(0x100);
    /// `s`: for the sending side.
    pub const SENDER: Self = Self(0x200);
    /// `r`: for the receiving side.
    pub const RECEIVER: Self = Self(0x400);
    /// `p`: does not keep a directory from being deleted. Protocol 30 and later.
    pub const PERISHABLE: Self = Self(0x800);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any bit of `other` is set.
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These modifiers without those of `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Modifiers {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Modifiers {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// A rule as it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<'a> {
    /// What it does.
    pub kind: RuleKind,
    /// With which modifiers.
    pub modifiers: Modifiers,
    /// The pattern, or the name of the merge file; with the `/` at its end that means directories only.
    pub pattern: &'a [u8],
}

impl<'a> Rule<'a> {
    /// Parses the text of a rule: all that rsync's own parser takes from the wire, long names included, but no
    /// merge of a file (02-file-list 2.3).
    ///
    /// # Errors
    /// [`Violation::FilterRuleUnknown`], [`Violation::FilterModifier`], [`Violation::FilterRuleEnd`],
    /// [`Violation::FilterClearTrailing`], [`Violation::FilterMerge`].
    pub fn parse(text: &'a [u8]) -> Result<Self, Violation> {
        let (prefix, rest) = split_prefix(text)?;
        let Prefix { kind, side } = match prefix {
            Named::Merge => return Err(Violation::FilterMerge),
            Named::Rule(prefix) => prefix,
        };
        if kind == RuleKind::Clear {
            return match rest {
                [] => Ok(Self {
                    kind,
                    modifiers: Modifiers::default(),
                    pattern: b"",
                }),
                _ => Err(Violation::FilterClearTrailing),
            };
        }
        let separator = rest.iter().position(|byte| b" _".contains(byte));
        let (letters, pattern) = match separator.and_then(|at| rest.split_at_checked(at)) {
            Some((letters, [_, pattern @ ..])) => (letters, pattern),
            _ => (rest, &b""[..]),
        };
        let mut modifiers = side;
        for &letter in letters {
            modifiers |= modifier(kind, side, modifiers, letter)?;
        }
        if pattern.is_empty() && !modifiers.contains(Modifiers::CVS) {
            return Err(Violation::FilterRuleEnd);
        }
        Ok(Self {
            kind,
            modifiers,
            pattern,
        })
    }

    /// Appends the rule, with its length in front.
    ///
    /// # Errors
    /// [`EncodeError::NotAtProtocol`] for a perishable rule at protocol 29, where a pull drops the modifier and
    /// a push fails; for a rule without a form: with a NUL inside, too long, empty, a [`RuleKind::Clear`], or
    /// with [`Modifiers::EXCLUDE_SELF`]. Nothing is appended then.
    pub fn put(&self, out: &mut Vec<u8>, protocol: Protocol) -> Result<(), EncodeError> {
        let what = "filter rule";
        let letter = match self.kind {
            RuleKind::Exclude => b'-',
            RuleKind::Include => b'+',
            RuleKind::DirMerge => b':',
            RuleKind::Clear => return Err(EncodeError::Empty { what }),
        };
        let perishable = self.modifiers.contains(Modifiers::PERISHABLE);
        if self.modifiers.contains(Modifiers::EXCLUDE_SELF)
            || (perishable && !protocol.has_perishable_rules())
        {
            return Err(EncodeError::NotAtProtocol {
                what,
                protocol: protocol.number(),
            });
        }
        if self.pattern.is_empty() && !self.modifiers.contains(Modifiers::CVS) {
            return Err(EncodeError::Empty { what });
        }
        if self.pattern.contains(&0) {
            return Err(EncodeError::ForbiddenByte { what, byte: 0 });
        }
        let mut text = vec![letter];
        for (letter, modifier) in LETTERS {
            // C stands for n, w and -, which then are not written.
            let implied = modifier != Modifiers::CVS
                && self.modifiers.contains(Modifiers::CVS)
                && CVS_IMPLIES.contains(modifier);
            if self.modifiers.contains(modifier) && !implied {
                text.push(letter);
            }
        }
        text.push(b' ');
        text.extend_from_slice(self.pattern);
        let len = match i32::try_from(text.len()) {
            Ok(len) if text.len() <= limits::FILTER_RULE => len,
            _ => {
                return Err(EncodeError::TooLong {
                    what,
                    len: text.len(),
                    max: limits::FILTER_RULE,
                });
            }
        };
        put_int(out, len);
        out.extend_from_slice(&text);
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Prefix {
    kind: RuleKind,
    side: Modifiers,
}

#[derive(Clone, Copy)]
enum Named {
    Rule(Prefix),
    Merge,
}

/// The rule's name, and the text after it and after its comma.
fn split_prefix(text: &[u8]) -> Result<(Named, &[u8]), Violation> {
    for (name, short, named) in NAMES {
        let long = text
            .strip_prefix(name.as_bytes())
            .filter(|rest| matches!(rest.first(), None | Some(b' ' | b'\t' | b'_' | b',')));
        if let Some(rest) = long {
            return match (rest, named) {
                ([b',', modifiers @ ..], _) => Ok((named, modifiers)),
                // Without a comma no modifiers: the separator is next.
                ([] | [b' ' | b'_', ..], _) => Ok((named, rest)),
                _ => Err(Violation::FilterRuleUnknown),
            };
        }
        if let [first, rest @ ..] = text
            && *first == short
        {
            return Ok((named, rest.strip_prefix(b",").unwrap_or(rest)));
        }
    }
    Err(Violation::FilterRuleUnknown)
}

/// The modifier of a letter, if it may stand on this rule beside those before it (07-filters 3.2).
fn modifier(
    kind: RuleKind,
    side: Modifiers,
    before: Modifiers,
    letter: u8,
) -> Result<Modifiers, Violation> {
    let refused = Err(Violation::FilterModifier {
        modifier: char::from(letter),
    });
    let Some((_, modifier)) = LETTERS.into_iter().find(|(known, _)| *known == letter) else {
        return refused;
    };
    let merge = kind == RuleKind::DirMerge;
    let fits = match modifier {
        Modifiers::NEGATED => !merge,
        // Hide, show, protect and risk are of one side already.
        Modifiers::SENDER | Modifiers::RECEIVER => side == Modifiers::default(),
        Modifiers::CVS => {
            side == Modifiers::default()
                && !before.intersects(Modifiers::ONLY_EXCLUDES | Modifiers::ONLY_INCLUDES)
        }
        Modifiers::ONLY_EXCLUDES | Modifiers::ONLY_INCLUDES => {
            let exclusive = Modifiers::ONLY_EXCLUDES | Modifiers::ONLY_INCLUDES | Modifiers::CVS;
            merge && !before.intersects(exclusive)
        }
        Modifiers::NO_INHERIT | Modifiers::WORD_SPLIT | Modifiers::EXCLUDE_SELF => merge,
        _ => true,
    };
    if fits { Ok(modifier) } else { refused }
}

const fn rule(kind: RuleKind, side: Modifiers) -> Named {
    Named::Rule(Prefix { kind, side })
}

const BOTH: Modifiers = Modifiers(0);

const NAMES: [(&str, u8, Named); 9] = [
    ("exclude", b'-', rule(RuleKind::Exclude, BOTH)),
    ("include", b'+', rule(RuleKind::Include, BOTH)),
    ("dir-merge", b':', rule(RuleKind::DirMerge, BOTH)),
    ("hide", b'H', rule(RuleKind::Exclude, Modifiers::SENDER)),
    ("show", b'S', rule(RuleKind::Include, Modifiers::SENDER)),
    (
        "protect",
        b'P',
        rule(RuleKind::Exclude, Modifiers::RECEIVER),
    ),
    ("risk", b'R', rule(RuleKind::Include, Modifiers::RECEIVER)),
    ("clear", b'!', rule(RuleKind::Clear, BOTH)),
    ("merge", b'.', Named::Merge),
];

/// In the order in which rsync writes them.
const LETTERS: [(u8, Modifiers); 12] = [
    (b'/', Modifiers::ABSOLUTE),
    (b'!', Modifiers::NEGATED),
    (b'C', Modifiers::CVS),
    (b'n', Modifiers::NO_INHERIT),
    (b'w', Modifiers::WORD_SPLIT),
    (b'-', Modifiers::ONLY_EXCLUDES),
    (b'+', Modifiers::ONLY_INCLUDES),
    (b'e', Modifiers::EXCLUDE_SELF),
    (b'x', Modifiers::XATTR),
    (b's', Modifiers::SENDER),
    (b'r', Modifiers::RECEIVER),
    (b'p', Modifiers::PERISHABLE),
];

const CVS_IMPLIES: Modifiers = Modifiers(
    Modifiers::NO_INHERIT.0
        | Modifiers::WORD_SPLIT.0
        | Modifiers::ONLY_EXCLUDES.0
        | Modifiers::ONLY_INCLUDES.0,
);

#[cfg(test)]
mod tests;
