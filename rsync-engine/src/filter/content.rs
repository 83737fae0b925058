//! The rules in a file's bytes, whoever asks for them.

use super::error::{FileLabel, FilterError, Notice, RuleSource};
use super::parse::{Fault, Parsed, Template, parse_old_style, parse_rule};
use super::records::{Split, is_comment, records};
use super::rule::{Merge, Style};
use super::{MAX_MERGE_BYTES, MAX_MERGE_FILES, MAX_RULE};

/// How each record of a file is read.
#[derive(Clone, Debug)]
pub(super) struct Grammar {
    pub(super) split: Split,
    pub(super) syntax: Syntax,
    pub(super) template: Template,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    /// 07-filters 3.1.
    Rules,
    /// 07-filters 3.3.
    OldStyle { include: bool },
    /// Nothing but the pattern. `clears`: except a lone `!`.
    Bare { include: bool, clears: bool },
}

impl Grammar {
    /// What a merge rule asks for.
    pub(super) fn of(merge: &Merge, from0: bool) -> Self {
        let split = match (merge.words, from0) {
            (true, _) => Split::Words,
            (false, true) => Split::Nul,
            (false, false) => Split::Lines,
        };
        let syntax = match merge.style {
            Style::Rules => Syntax::Rules,
            Style::Excludes => Syntax::Bare {
                include: false,
                clears: merge.cvs,
            },
            Style::Includes => Syntax::Bare {
                include: true,
                clears: false,
            },
        };
        Self {
            split,
            syntax,
            template: Template::of(merge),
        }
    }

    /// What `--exclude-from` and `--include-from` ask for.
    pub(super) fn old_style(include: bool, from0: bool) -> Self {
        let split = if from0 { Split::Nul } else { Split::Lines };
        Self {
            split,
            syntax: Syntax::OldStyle { include },
            template: Template::default(),
        }
    }

    /// True if the file can hold include patterns only, which one message tells.
    pub(super) fn is_include_only(&self) -> bool {
        matches!(
            self.syntax,
            Syntax::OldStyle { include: true } | Syntax::Bare { include: true, .. }
        )
    }

    /// One rule of this grammar.
    pub(super) fn parse(&self, text: &[u8]) -> Result<Parsed, Fault> {
        match self.syntax {
            Syntax::Rules => parse_rule(text, &self.template),
            Syntax::OldStyle { include } => parse_old_style(text, include, &self.template),
            Syntax::Bare { clears: true, .. } if text == b"!" => Ok(Parsed::Clear),
            Syntax::Bare { include, .. } => self.template.pattern(include, text),
        }
    }

    /// Gives every rule of a file to `take`.
    pub(super) fn each_rule(
        &self,
        bytes: &[u8],
        file: &FileLabel,
        notices: &mut Vec<Notice>,
        mut take: impl FnMut(Parsed, RuleSource, &mut Vec<Notice>) -> Result<(), FilterError>,
    ) -> Result<(), FilterError> {
        for (number, text) in records(bytes, self.split) {
            let line = (self.split != Split::Words).then_some(number);
            if line.is_some() && is_comment(text) {
                continue;
            }
            let source = file.source(line);
            if text.len() > MAX_RULE {
                notices.push(Notice::OverLong(source));
                continue;
            }
            match self.parse(text) {
                Ok(Parsed::OverLong(_)) => notices.push(Notice::OverLong(source)),
                Ok(parsed) => {
                    warn_of_trailing_blank(text, &source, notices);
                    take(parsed, source, notices)?;
                }
                Err(fault) => return Err(fault.with_source(source)),
            }
        }
        Ok(())
    }
}

/// The merge files read for one directory or one option. Files that name one another could go on for ever.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MergeFiles {
    count: usize,
    bytes: usize,
}

impl MergeFiles {
    /// Accounts for one more.
    pub(super) fn count(&mut self, bytes: usize, name: &RuleSource) -> Result<(), FilterError> {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.count > MAX_MERGE_FILES || self.bytes > MAX_MERGE_BYTES {
            return Err(FilterError::TooManyFiles { name: name.clone() });
        }
        Ok(())
    }
}

/// Notes a rule that ends in a blank.
pub(super) fn warn_of_trailing_blank(text: &[u8], source: &RuleSource, notices: &mut Vec<Notice>) {
    if matches!(text.last(), Some(b' ' | b'\t')) && notices.len() < MAX_NOTICES {
        notices.push(Notice::TrailingBlank(source.clone()));
    }
}

/// Bound on remarks that nobody takes away.
const MAX_NOTICES: usize = 1000;

impl Fault {
    /// The error for a rule from there.
    pub(super) fn with_source(self, rule: RuleSource) -> FilterError {
        match self {
            Self::Unknown => FilterError::Unknown { rule },
            Self::Modifier { modifier, position } => FilterError::Modifier {
                modifier,
                position,
                rule,
            },
            Self::End => FilterError::End { rule },
            Self::Trailing => FilterError::Trailing { rule },
            Self::SidedMerge => FilterError::SidedMerge { rule },
        }
    }
}
