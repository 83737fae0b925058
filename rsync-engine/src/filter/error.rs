//! What can be wrong with rules, in rsync's words (07-filters 15).

use std::fmt;
use std::io;
use std::sync::Arc;

use rsync_proto::PeerText;

use super::{
    MAX_DIR_MERGES, MAX_MERGE_BYTES, MAX_MERGE_FILES, MAX_RULE, MAX_RULE_BYTES, MAX_RULES,
    MERGE_DEPTH,
};

/// A fault in the rules or in a file of rules that ends the run.
///
/// Unlike other errors of this library these display in rsync's own wording, capitals included, for scripts
/// look for it. The caller puts `rsync: [WHO] ` before [`Self::Open`] of an option and `[WHO] ` before
/// [`Self::Depth`], as rsync does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// The first word or letter is unknown.
    #[error("Unknown filter rule: {rule}")]
    Unknown {
        /// The rule.
        rule: RuleSource,
    },
    /// A letter that is not allowed at its place.
    #[error("{}", ModifierText { modifier: *modifier, position: *position, rule })]
    Modifier {
        /// The letter.
        modifier: u8,
        /// Its place in the rule, in bytes from 0.
        position: usize,
        /// The rule.
        rule: RuleSource,
    },
    /// No pattern.
    #[error("unexpected end of filter rule: {rule}")]
    End {
        /// The rule.
        rule: RuleSource,
    },
    /// Text behind `!` or `clear`.
    #[error("'!' rule has trailing characters: {rule}")]
    Trailing {
        /// The rule.
        rule: RuleSource,
    },
    /// A rule with a side in a merge file that has one.
    #[error("specified-side merge file contains specified-side filter: {rule}")]
    SidedMerge {
        /// The rule.
        rule: RuleSource,
    },
    /// A file of rules that cannot be read.
    #[error("{}", OpenText { include: *include, name, source })]
    Open {
        /// It would have held include patterns only.
        include: bool,
        /// Its name, or the place of the rule in another file that names it.
        name: RuleSource,
        /// Why.
        source: io::Error,
    },
    /// Files that name files that name files.
    #[error("merge-file include depth limit ({MERGE_DEPTH}) exceeded at {name}")]
    Depth {
        /// The last one.
        name: RuleSource,
    },
    /// Merge files that are too many or too long together.
    #[error("more than {MAX_MERGE_FILES} merge files or {MAX_MERGE_BYTES} bytes of them at {name}")]
    TooManyFiles {
        /// The first one too many.
        name: RuleSource,
    },
    /// A rule that the protocol number cannot carry.
    #[error("filter rules are too modern for remote rsync.")]
    TooModern,
    /// A rule from the peer that would make us open a file at once (07-filters 7.1).
    #[error("merge rule from the peer: {rule}")]
    MergeFromPeer {
        /// The rule.
        rule: RuleSource,
    },
    /// A rule from the peer that is empty, longer than the limit or holds a NUL.
    #[error("filter rule from the peer with {len} bytes, at most {MAX_RULE}, none of them NUL")]
    WireRule {
        /// Its length.
        len: usize,
    },
    /// More rules than the limit, or bytes of them.
    #[error("more than {MAX_RULES} filter rules or {MAX_RULE_BYTES} bytes of them")]
    TooMany,
    /// More names of per-directory files than the limit.
    #[error("more than {MAX_DIR_MERGES} per-directory merge rules")]
    TooManyDirMerges,
}

impl FilterError {
    /// The exit code rsync uses for it: 1 syntax, 2 protocol, 11 file.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::TooModern => 2,
            Self::Open { .. } | Self::Depth { .. } | Self::TooManyFiles { .. } => 11,
            Self::WireRule { .. } => 22,
            _ => 1,
        }
    }
}

struct ModifierText<'a> {
    modifier: u8,
    position: usize,
    rule: &'a RuleSource,
}

impl fmt::Display for ModifierText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The letter and its place would tell what a file holds.
        if matches!(self.rule, RuleSource::File { .. }) {
            return write!(f, "invalid modifier in filter rule: {}", self.rule);
        }
        let modifier = PeerText([self.modifier]).to_string();
        write!(
            f,
            "invalid modifier '{modifier}' at position {} in filter rule: {}",
            self.position, self.rule
        )
    }
}

struct OpenText<'a> {
    include: bool,
    name: &'a RuleSource,
    source: &'a io::Error,
}

impl fmt::Display for OpenText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.include { "include" } else { "exclude" };
        write!(f, "failed to open {kind} file {}", self.name)?;
        match (self.name, self.source.raw_os_error()) {
            // What a file names, and whether it is there, is not told to a peer.
            (RuleSource::File { .. }, _) => Ok(()),
            (_, Some(code)) => write!(f, ": {} ({code})", os_text(self.source, code)),
            (_, None) => write!(f, ": {}", self.source),
        }
    }
}

/// The system's text for an error number, without the `(os error N)` that Rust adds.
fn os_text(error: &io::Error, code: i32) -> String {
    let text = error.to_string();
    text.strip_suffix(&format!(" (os error {code})"))
        .map(str::to_owned)
        .unwrap_or(text)
}

/// Something that does not end the run but is worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A rule or a pattern above the limit was left out.
    OverLong(RuleSource),
    /// A rule ends in a blank, which belongs to its pattern. Worth a word at `-vv` only.
    TrailingBlank(RuleSource),
    /// A rule of a module for the sender alone was left out (07-filters 13): its pattern or the name of its file.
    SenderOnly(Vec<u8>),
    /// A per-directory file was not read, for too many others had led to it.
    Depth(RuleSource),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverLong(rule) => write!(f, "discarding over-long filter: {rule}"),
            Self::TrailingBlank(rule) => {
                write!(f, "add_rule({rule}) -- CAUTION: trailing whitespace!")
            }
            Self::SenderOnly(text) => write!(
                f,
                "the filter rule \"{}\" has no effect: a module has no rules for the sender alone",
                PeerText(text)
            ),
            Self::Depth(name) => write!(
                f,
                "merge-file include depth limit ({MERGE_DEPTH}) exceeded at {name}"
            ),
        }
    }
}

/// Where a rule, or the name of a file, came from. What a file says is never shown, for it may be a file that
/// the reader of the message could not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleSource {
    /// The text of an option or of a rule from the peer.
    Text(Vec<u8>),
    /// A place in a file.
    File {
        /// The file.
        file: FileLabel,
        /// Line, or record of a NUL-separated file, from 1; of the first file if files name files. `None` if the
        /// file is split at white space.
        line: Option<usize>,
    },
}

impl fmt::Display for RuleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", PeerText(text)),
            Self::File {
                file,
                line: Some(line),
            } => write!(f, "<rule from {file} line {line}>"),
            Self::File { file, line: None } => write!(f, "<rule from {file}>"),
        }
    }
}

/// What a file of rules is called in a message. A file that another one names goes by the place of its name in
/// the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLabel {
    first: Arc<[u8]>,
    /// How many files lie between.
    nesting: usize,
    /// The line in the first one, if there is nesting.
    line: Option<usize>,
}

impl FileLabel {
    pub(super) fn named(name: &[u8]) -> Self {
        Self {
            first: name.into(),
            nesting: 0,
            line: None,
        }
    }

    /// The label of a file that a rule names.
    pub(super) fn of(rule: &RuleSource, name: &[u8]) -> Self {
        match rule {
            RuleSource::Text(_) => Self::named(name),
            RuleSource::File { file, line } => Self {
                nesting: file.nesting + 1,
                line: *line,
                ..file.clone()
            },
        }
    }

    /// The source of the rule in a line of the file; `None` if it is split at white space.
    pub(super) fn source(&self, line: Option<usize>) -> RuleSource {
        RuleSource::File {
            file: self.clone(),
            line: if self.nesting == 0 { line } else { self.line },
        }
    }
}

impl fmt::Display for FileLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.nesting).try_for_each(|_| f.write_str("a file named at "))?;
        write!(f, "{}", PeerText(&*self.first))
    }
}
