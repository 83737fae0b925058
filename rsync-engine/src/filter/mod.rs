//! The filter language of rsync (07-filters): rules, patterns, the list a client sends, per-directory merge
//! files, and the checks a receiver makes on names.
//!
//! Nothing here touches a file: whoever walks a tree hands over what merge files hold. The path of a rule:
//!
//! - [`RuleList`] parses options ([`RuleList::from_options`]) or what a client sent ([`RuleList::from_wire`])
//!   and writes the texts for the peer ([`RuleList::wire_rules`]). [`module_rules`] makes the list of a module.
//! - [`Chain`] is a list in one [`Role`] while a tree is walked: [`Chain::enter_dir`], [`Chain::check`].
//! - [`SentRules`] and [`RequestedNames`] test the names that a sender sends to a client.
//!
//! Names are bytes, relative to the transfer root, without slashes around them.

mod chain;
mod content;
mod cvs;
mod error;
mod files_from;
mod glob;
mod list;
mod merge_files;
mod module;
mod parse;
mod pattern;
mod received;
mod records;
mod rule;
mod wire;

#[cfg(test)]
mod tests;

pub use chain::{Chain, Verdict};
pub use cvs::CvsSources;
pub use error::{FileLabel, FilterError, Notice, RuleSource};
pub use files_from::{clamp_name, files_from_names, forwarded_files_from};
pub use list::{ReadRules, RuleList, RuleSettings};
pub use merge_files::{Place, ReadMergeFile};
pub use module::{ModuleParameters, module_rules};
pub use pattern::Pattern;
pub use received::{Descent, Requested, RequestedNames, SentRules};
pub use rule::{Role, Rule};

/// Longest rule from the wire or in a file, in bytes (07-filters 15).
pub const MAX_RULE: usize = rsync_proto::limits::FILTER_RULE;

/// Rules in force at one time, of the list and of all merge files together (05-security 18).
pub const MAX_RULES: usize = rsync_proto::limits::FILTER_RULES;

/// Bytes of all those rules.
pub const MAX_RULE_BYTES: usize = rsync_proto::limits::FILTER_BYTES;

/// Names of per-directory merge files in one list: each is looked for in every directory.
pub const MAX_DIR_MERGES: usize = 1024;

/// Merge files read for one directory or one option, those that they name included.
pub const MAX_MERGE_FILES: usize = 1000;

/// Bytes of all those files.
pub const MAX_MERGE_BYTES: usize = MAX_RULE_BYTES;

/// How many files may name one another (07-filters 7.1).
pub const MERGE_DEPTH: usize = 32;
