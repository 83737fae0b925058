//! The text of one rule (07-filters 3).

use std::sync::Arc;

use super::glob::MAX_PATTERN;
use super::pattern::Pattern;
use super::records::is_space;
use super::rule::{Anchor, CvsMark, Merge, Origin, Rule, Sides, Style};

/// What one text says.
#[derive(Debug)]
pub(super) enum Parsed {
    Clear,
    Rule(Rule),
    /// `.`: read now.
    Merge(Merge),
    /// `:`: read in every directory.
    DirMerge(Merge),
    Cvs(CvsMark),
    /// The pattern has more bytes than the limit.
    OverLong(Vec<u8>),
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Unknown,
    Modifier { modifier: u8, position: usize },
    End,
    Trailing,
    SidedMerge,
}

/// What rules in a file take over from the rule that names the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Template {
    pub(super) absolute: bool,
    pub(super) perishable: bool,
    pub(super) sides: Sides,
}

impl Template {
    pub(super) fn of(merge: &Merge) -> Self {
        Self {
            absolute: merge.absolute,
            perishable: merge.perishable,
            sides: merge.sides,
        }
    }

    /// The rule for a bare pattern.
    pub(super) fn pattern(&self, include: bool, text: &[u8]) -> Result<Parsed, Fault> {
        let prefix = Prefix {
            kind: if include {
                Kind::Include
            } else {
                Kind::Exclude
            },
            ..Prefix::default()
        };
        prefix.finish(text, self)
    }
}

/// One rule in the full syntax (07-filters 3.1).
pub(super) fn parse_rule(text: &[u8], template: &Template) -> Result<Parsed, Fault> {
    let (prefix, length) = Prefix::parse(text)?;
    if prefix.kind == Kind::Clear && length < text.len() {
        return Err(Fault::Trailing);
    }
    prefix.finish(&text[length..], template)
}

/// One pattern in the old style (07-filters 3.3).
pub(super) fn parse_old_style(
    text: &[u8],
    include: bool,
    template: &Template,
) -> Result<Parsed, Fault> {
    if text == b"!" {
        return Ok(Parsed::Clear);
    }
    let (include, pattern) = old_style_prefix(text).unwrap_or((include, text));
    template.pattern(include, pattern)
}

/// The forced kind of an old-style pattern, and the pattern.
pub(super) fn old_style_prefix(text: &[u8]) -> Option<(bool, &[u8])> {
    match text {
        [b'-', b' ', pattern @ ..] => Some((false, pattern)),
        [b'+', b' ', pattern @ ..] => Some((true, pattern)),
        _ => None,
    }
}

/// The length of the first rule of a line that holds several, and of its prefix within (07-filters 13):
/// white space ends a rule unless it stands between prefix and pattern.
pub(super) fn first_rule_len(text: &[u8]) -> Result<usize, Fault> {
    let (prefix, length) = Prefix::parse(text)?;
    if prefix.kind == Kind::Clear {
        // What follows without a blank is part of this rule, and wrong.
        return Ok(word_len(text));
    }
    Ok(length + word_len(&text[length..]))
}

/// Bytes before the first white space.
pub(super) fn word_len(text: &[u8]) -> usize {
    text.iter().position(|&b| is_space(b)).unwrap_or(text.len())
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Exclude,
    Include,
    Merge,
    DirMerge,
    Clear,
}

/// Everything before the pattern.
#[derive(Clone, Copy, Debug, Default)]
struct Prefix {
    kind: Kind,
    /// `H S P R`, which name their side already.
    fixed_side: bool,
    absolute: bool,
    negate: bool,
    cvs: bool,
    sides: Sides,
    perishable: bool,
    xattr: bool,
    exclude_self: bool,
    no_inherit: bool,
    words: bool,
    style: Option<Style>,
}

/// Long name, letter, kind, side named.
const NAMES: [(&[u8], u8, Kind, Sides); 9] = [
    (b"exclude", b'-', Kind::Exclude, Sides::NONE),
    (b"include", b'+', Kind::Include, Sides::NONE),
    (b"merge", b'.', Kind::Merge, Sides::NONE),
    (b"dir-merge", b':', Kind::DirMerge, Sides::NONE),
    (b"hide", b'H', Kind::Exclude, Sides::SENDER),
    (b"show", b'S', Kind::Include, Sides::SENDER),
    (b"protect", b'P', Kind::Exclude, Sides::RECEIVER),
    (b"risk", b'R', Kind::Include, Sides::RECEIVER),
    (b"clear", b'!', Kind::Clear, Sides::NONE),
];

impl Prefix {
    /// Reads the prefix; also tells where the pattern begins.
    fn parse(text: &[u8]) -> Result<(Self, usize), Fault> {
        let long = NAMES.iter().find_map(|&(name, _, kind, sides)| {
            let next = text.strip_prefix(name)?.first();
            let ends = next.is_none_or(|&b| is_space(b) || matches!(b, b'_' | b','));
            ends.then_some((name.len(), kind, sides))
        });
        let short = || {
            let first = text.first()?;
            NAMES
                .iter()
                .find(|name| name.1 == *first)
                .map(|&(_, _, kind, sides)| (1, kind, sides))
        };
        let (mut at, kind, sides) = long.or_else(short).ok_or(Fault::Unknown)?;
        if text.get(at) == Some(&b',') {
            at += 1;
        }
        let mut prefix = Self {
            kind,
            sides,
            fixed_side: sides.is_named(),
            ..Self::default()
        };
        if kind == Kind::Clear {
            return Ok((prefix, at));
        }
        while let Some(&modifier) = text.get(at) {
            at += 1;
            if matches!(modifier, b' ' | b'_') {
                break;
            }
            prefix.modify(modifier).ok_or(Fault::Modifier {
                modifier,
                position: at - 1,
            })?;
        }
        Ok((prefix, at))
    }

    /// Takes one modifier, `None` if it is not allowed (07-filters 3.2).
    fn modify(&mut self, modifier: u8) -> Option<()> {
        let merge = matches!(self.kind, Kind::Merge | Kind::DirMerge);
        match modifier {
            b'/' => self.absolute = true,
            b'!' if !merge => self.negate = true,
            b'C' if !self.fixed_side && !self.cvs && self.style.is_none() => self.cvs = true,
            b's' if !self.fixed_side => self.sides |= Sides::SENDER,
            b'r' if !self.fixed_side => self.sides |= Sides::RECEIVER,
            b'p' => self.perishable = true,
            b'x' => self.xattr = true,
            b'e' if merge => self.exclude_self = true,
            b'n' if merge => self.no_inherit = true,
            b'w' if merge => self.words = true,
            b'-' if merge && !self.cvs && self.style.is_none() => {
                self.style = Some(Style::Excludes)
            }
            b'+' if merge && !self.cvs && self.style.is_none() => {
                self.style = Some(Style::Includes)
            }
            _ => return None,
        }
        Some(())
    }

    /// Puts prefix and pattern together.
    fn finish(self, text: &[u8], template: &Template) -> Result<Parsed, Fault> {
        if self.sides.is_named() && template.sides.is_named() {
            return Err(Fault::SidedMerge);
        }
        let absolute = self.absolute || template.absolute;
        let perishable = self.perishable || template.perishable;
        let sides = self.sides | template.sides;
        let Self { negate, xattr, .. } = self;
        let include = match self.kind {
            Kind::Clear => return Ok(Parsed::Clear),
            Kind::Merge | Kind::DirMerge => {
                let name = match text {
                    b"" if self.cvs => b".cvsignore",
                    b"" => return Err(Fault::End),
                    name if name.len() > MAX_PATTERN => return Ok(Parsed::OverLong(name.to_vec())),
                    name => name,
                };
                let merge = Merge {
                    name: Arc::from(name),
                    exclude_self: self.exclude_self,
                    no_inherit: self.no_inherit || self.cvs,
                    words: self.words || self.cvs,
                    style: if self.cvs {
                        Style::Excludes
                    } else {
                        self.style.unwrap_or(Style::Rules)
                    },
                    cvs: self.cvs,
                    absolute,
                    sides,
                    perishable,
                    xattr,
                };
                return Ok(if self.kind == Kind::Merge {
                    Parsed::Merge(merge)
                } else {
                    Parsed::DirMerge(merge)
                });
            }
            Kind::Exclude => false,
            Kind::Include => true,
        };
        if self.cvs {
            return Ok(Parsed::Cvs(CvsMark {
                include,
                negate,
                absolute,
                sides,
                xattr,
                perishable,
                default_perishable: true,
                keeps_sides: false,
                rest: text.into(),
                words: Box::default(),
            }));
        }
        if text.is_empty() {
            return Err(Fault::End);
        }
        let Some(pattern) = Pattern::new(text) else {
            return Ok(Parsed::OverLong(text.to_vec()));
        };
        let (anchor, origin) = (Anchor::Root, Origin::List);
        Ok(Parsed::Rule(Rule {
            include,
            negate,
            absolute,
            sides,
            perishable,
            xattr,
            pattern,
            anchor,
            origin,
        }))
    }
}

/// The exclude of a merge file's own name that `e` asks for. `None` if the name is no pattern at all.
pub(super) fn exclude_merge_file(merge: &Merge) -> Option<Rule> {
    let pattern = Some(merge.base())
        .filter(|base| !base.is_empty())
        .and_then(Pattern::new)?;
    Some(Rule {
        include: false,
        negate: false,
        absolute: false,
        sides: Sides::NONE,
        perishable: false,
        xattr: false,
        pattern,
        anchor: Anchor::Root,
        origin: Origin::MergeFileName,
    })
}
