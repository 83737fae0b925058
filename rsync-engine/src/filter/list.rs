//! The rules of one process in their order (07-filters 2).

use std::io;
use std::sync::Arc;

use rsync_proto::Protocol;

use crate::options::FilterText;

use super::content::{Grammar, MergeFiles, Syntax, warn_of_trailing_blank};
use super::cvs::CvsSources;
use super::error::{FileLabel, FilterError, Notice, RuleSource};
use super::parse::{Parsed, Template, exclude_merge_file};
use super::records::Split;
use super::rule::{CvsMark, Merge, Role, Rule, Sides, Style};
use super::{MAX_DIR_MERGES, MAX_RULE_BYTES, MAX_RULES, MERGE_DEPTH};

/// Opens a file of rules that an option names: the name as written, `-` for standard input.
pub type ReadRules<'a> = dyn FnMut(&[u8]) -> io::Result<Vec<u8>> + 'a;

/// Options that bear on rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSettings {
    /// `--delete-excluded` (07-filters 6.3).
    pub delete_excluded: bool,
    /// `--from0`: records of files end in NUL.
    pub from0: bool,
    /// What a `-C` in the list reads.
    pub cvs: CvsSources,
}

/// An ordered list of rules, as written.
///
/// On a client: [`RuleList::from_options`], after the handshake [`RuleList::add_partial_dir`] and
/// [`RuleList::add_cvs_exclude`] where the options ask for them, then [`RuleList::wire_rules`] for the peer and
/// [`Chain::new`](super::Chain::new) for the own part. On a server: [`RuleList::from_wire`], and
/// [`RuleList::add_cvs_exclude`] if the client gave it `-C` on a pull.
#[derive(Clone, Debug, Default)]
pub struct RuleList {
    pub(super) items: Vec<Item>,
    pub(super) settings: RuleSettings,
    /// The peer sent it: what it says of sides is for the peer (02-file-list 2.5).
    pub(super) received: bool,
    /// It is a module's: the sides of its rules were looked at when it was made (07-filters 13).
    pub(super) settled: bool,
    pub(super) bytes: usize,
    /// Bytes on the heap of what `items` name.
    item_bytes: usize,
    /// What was read for the option in progress.
    files: MergeFiles,
    pub(super) notices: Vec<Notice>,
}

/// One entry of a list.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) kind: ItemKind,
    /// Added by `-C`, which a server does by itself when it sends.
    pub(super) push_only: bool,
    /// It stands in a file that an option or another rule names.
    pub(super) in_file: bool,
    /// It counts at the receiver alone, though it does not say so on the wire.
    pub(super) receiving: bool,
}

#[derive(Clone, Debug)]
pub(super) enum ItemKind {
    Rule(Rule),
    DirMerge(Merge),
    Cvs(CvsMark),
}

impl RuleList {
    /// An empty list.
    #[must_use]
    pub fn new(settings: RuleSettings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// The rules of the options in command-line order. `read` opens the files they name.
    ///
    /// # Errors
    /// A rule that cannot be parsed, a file that cannot be read, more rules than the limit.
    pub fn from_options(
        texts: &[FilterText],
        settings: RuleSettings,
        read: &mut ReadRules<'_>,
    ) -> Result<Self, FilterError> {
        let mut list = Self::new(settings);
        texts.iter().try_for_each(|text| list.add(text, read))?;
        Ok(list)
    }

    /// Appends the rules of one option. An empty rule or pattern adds nothing.
    ///
    /// # Errors
    /// As [`Self::from_options`].
    pub fn add(&mut self, text: &FilterText, read: &mut ReadRules<'_>) -> Result<(), FilterError> {
        self.files = MergeFiles::default();
        let (text, syntax) = match text {
            FilterText::Rule(text) => (&text[..], Syntax::Rules),
            FilterText::RsyncFilter => (&b": /.rsync-filter"[..], Syntax::Rules),
            FilterText::NoRsyncFilter => (&b"- .rsync-filter"[..], Syntax::Rules),
            FilterText::Exclude(text) => (&text[..], Syntax::OldStyle { include: false }),
            FilterText::Include(text) => (&text[..], Syntax::OldStyle { include: true }),
            FilterText::ExcludeFrom(name) => return self.add_file(name, false, read),
            FilterText::IncludeFrom(name) => return self.add_file(name, true, read),
        };
        self.add_text(text, syntax, read)
    }

    /// The same list with these rules of the receiver, in full syntax, before all others.
    ///
    /// # Errors
    /// As [`Self::from_options`].
    pub fn with_first(mut self, rules: &[Vec<u8>]) -> Result<Self, FilterError> {
        let before = self.items.len();
        for rule in rules {
            // None of them names a file.
            self.add_text(rule, Syntax::Rules, &mut |_| {
                Err(io::ErrorKind::Unsupported.into())
            })?;
        }
        for item in &mut self.items[before..] {
            item.receiving = true;
        }
        self.items.rotate_left(before);
        Ok(self)
    }

    /// Appends one rule in its text form.
    pub(super) fn add_text(
        &mut self,
        text: &[u8],
        syntax: Syntax,
        read: &mut ReadRules<'_>,
    ) -> Result<(), FilterError> {
        if text.is_empty() {
            return Ok(());
        }
        let source = RuleSource::Text(text.to_vec());
        let grammar = Grammar {
            split: Split::Lines,
            syntax,
            template: Template::default(),
        };
        let parsed = grammar
            .parse(text)
            .map_err(|fault| fault.with_source(source.clone()))?;
        warn_of_trailing_blank(text, &source, &mut self.notices);
        self.take(parsed, source, 0, read)
    }

    /// Appends the patterns of an `--exclude-from` or `--include-from` file.
    pub(super) fn add_file(
        &mut self,
        name: &[u8],
        include: bool,
        read: &mut ReadRules<'_>,
    ) -> Result<(), FilterError> {
        let source = RuleSource::Text(name.to_vec());
        self.add_records(
            name,
            &Grammar::old_style(include, self.settings.from0),
            source,
            1,
            read,
        )
    }

    fn add_records(
        &mut self,
        name: &[u8],
        grammar: &Grammar,
        named_by: RuleSource,
        depth: usize,
        read: &mut ReadRules<'_>,
    ) -> Result<(), FilterError> {
        let file = FileLabel::of(&named_by, name);
        if depth > MERGE_DEPTH {
            return Err(FilterError::Depth { name: named_by });
        }
        let bytes = read(name).map_err(|source| FilterError::Open {
            include: grammar.is_include_only(),
            name: named_by.clone(),
            source,
        })?;
        self.files.count(bytes.len(), &named_by)?;
        let mut notices = std::mem::take(&mut self.notices);
        let outcome = grammar.each_rule(&bytes, &file, &mut notices, |parsed, source, _| {
            self.take(parsed, source, depth, read)
        });
        notices.append(&mut self.notices);
        self.notices = notices;
        outcome
    }

    fn take(
        &mut self,
        parsed: Parsed,
        source: RuleSource,
        depth: usize,
        read: &mut ReadRules<'_>,
    ) -> Result<(), FilterError> {
        let before = self.items.len();
        self.take_parsed(parsed, source, depth, read)?;
        if depth > 0 {
            let taken = self.items.iter_mut().skip(before);
            taken.for_each(|item| item.in_file = true);
        }
        Ok(())
    }

    fn take_parsed(
        &mut self,
        parsed: Parsed,
        source: RuleSource,
        depth: usize,
        read: &mut ReadRules<'_>,
    ) -> Result<(), FilterError> {
        match parsed {
            Parsed::Clear => {
                self.items.clear();
                self.bytes = 0;
                self.item_bytes = 0;
                Ok(())
            }
            Parsed::Rule(rule) => self.push(ItemKind::Rule(rule)),
            Parsed::Cvs(mark) => self.push(ItemKind::Cvs(mark)),
            Parsed::DirMerge(merge) => self.push_dir_merge(merge, false),
            Parsed::Merge(merge) => {
                if self.received {
                    return Err(FilterError::MergeFromPeer { rule: source });
                }
                if merge.exclude_self {
                    exclude_merge_file(&merge)
                        .map_or(Ok(()), |rule| self.push(ItemKind::Rule(rule)))?;
                }
                let grammar = Grammar::of(&merge, self.settings.from0);
                // The message names the file, or the place in a file that named it.
                let named_by = match source {
                    RuleSource::Text(_) => RuleSource::Text(merge.name.to_vec()),
                    in_file @ RuleSource::File { .. } => in_file,
                };
                self.add_records(&merge.name, &grammar, named_by, depth + 1, read)
            }
            Parsed::OverLong(pattern) => {
                let source = match source {
                    RuleSource::Text(_) => RuleSource::Text(pattern),
                    in_file @ RuleSource::File { .. } => in_file,
                };
                self.notices.push(Notice::OverLong(source));
                Ok(())
            }
        }
    }

    /// Appends a per-directory merge rule unless one for the same base name stands already (07-filters 8). The
    /// exclude of its own name counts in any case.
    fn push_dir_merge(&mut self, merge: Merge, push_only: bool) -> Result<(), FilterError> {
        if let Some(rule) = Some(&merge)
            .filter(|merge| merge.exclude_self)
            .and_then(exclude_merge_file)
        {
            self.push_item(ItemKind::Rule(rule), push_only)?;
        }
        let mut others = 0;
        for item in &self.items {
            let ItemKind::DirMerge(other) = &item.kind else {
                continue;
            };
            if other.base() == merge.base() {
                return Ok(());
            }
            others += 1;
        }
        // Each is a file to look for in every directory, and one more to be compared with here.
        if others >= MAX_DIR_MERGES {
            return Err(FilterError::TooManyDirMerges);
        }
        self.push_item(ItemKind::DirMerge(merge), push_only)
    }

    pub(super) fn push(&mut self, kind: ItemKind) -> Result<(), FilterError> {
        self.push_item(kind, false)
    }

    fn push_item(&mut self, kind: ItemKind, push_only: bool) -> Result<(), FilterError> {
        self.bytes += match &kind {
            ItemKind::Rule(rule) => rule.pattern.text().len(),
            ItemKind::DirMerge(merge) => merge.name.len(),
            ItemKind::Cvs(mark) => mark.rest.len(),
        };
        if self.items.len() >= MAX_RULES || self.bytes > MAX_RULE_BYTES {
            return Err(FilterError::TooMany);
        }
        self.item_bytes += match &kind {
            ItemKind::Rule(rule) => rule.pattern.memory(),
            ItemKind::DirMerge(merge) => merge.name.len(),
            ItemKind::Cvs(mark) => mark.rest.len(),
        };
        self.items.push(Item {
            kind,
            push_only,
            in_file: false,
            receiving: false,
        });
        Ok(())
    }

    /// Bytes on the heap, about: for the caller's account of what a session holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.items.capacity() * size_of::<Item>() + self.item_bytes
    }

    /// Appends what `--old-dirs` stands for: no contents of directories below the transfer root.
    ///
    /// # Errors
    /// More rules than the limit.
    pub fn add_old_dirs(&mut self) -> Result<(), FilterError> {
        self.add_pattern(b"/*/*", Sides::NONE, false)
    }

    /// Appends what `--backup` with `--delete` stands for: backups are kept. For a client without
    /// `--delete-excluded` and without `--backup-dir`.
    ///
    /// # Errors
    /// More rules than the limit.
    pub fn add_backup_suffix(&mut self, suffix: &[u8]) -> Result<(), FilterError> {
        self.add_pattern(&[b"*", suffix].concat(), Sides::RECEIVER, false)
    }

    /// Appends what a `--partial-dir` (or `--delay-updates`, with `.~tmp~`) stands for, unless it is absolute.
    /// After the handshake, before [`Self::add_cvs_exclude`]. `role` is the client's own.
    ///
    /// # Errors
    /// More rules than the limit.
    pub fn add_partial_dir(
        &mut self,
        dir: &[u8],
        protocol: Protocol,
        role: Role,
    ) -> Result<(), FilterError> {
        let name = dir
            .iter()
            .rposition(|&b| b != b'/')
            .map_or(&b""[..], |last| &dir[..=last]);
        if name.is_empty() || name.starts_with(b"/") {
            return Ok(());
        }
        let perishable = role == Role::Receiver || protocol.has_perishable_rules();
        self.add_pattern(&[name, b"/"].concat(), Sides::NONE, perishable)
    }

    fn add_pattern(
        &mut self,
        text: &[u8],
        sides: Sides,
        perishable: bool,
    ) -> Result<(), FilterError> {
        match (Template {
            absolute: false,
            perishable,
            sides,
        })
        .pattern(false, text)
        {
            Ok(Parsed::Rule(rule)) => self.push(ItemKind::Rule(rule)),
            _ => Ok(()),
        }
    }

    /// Appends what `-C` stands for, after all other rules (07-filters 9). `role` is the own one; of a local copy that
    /// of the sender.
    ///
    /// # Errors
    /// More rules than the limit.
    pub fn add_cvs_exclude(&mut self, protocol: Protocol, role: Role) -> Result<(), FilterError> {
        let files = Merge {
            name: Arc::from(&b".cvsignore"[..]),
            exclude_self: false,
            no_inherit: true,
            words: true,
            style: Style::Excludes,
            cvs: true,
            absolute: false,
            sides: Sides::NONE,
            perishable: false,
            xattr: false,
        };
        self.push_dir_merge(files, true)?;
        let list = CvsMark {
            include: false,
            negate: false,
            absolute: false,
            sides: Sides::NONE,
            xattr: false,
            perishable: false,
            default_perishable: protocol.has_perishable_rules(),
            keeps_sides: role == Role::Receiver,
            rest: Box::default(),
            words: Box::default(),
        };
        self.push_item(ItemKind::Cvs(list), true)
    }

    /// True if there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// True if there is a per-directory merge rule.
    #[must_use]
    pub fn has_dir_merge(&self) -> bool {
        self.items
            .iter()
            .any(|item| matches!(item.kind, ItemKind::DirMerge(_)))
    }

    /// Takes the remarks made so far.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}
