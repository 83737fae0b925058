//! The rules in force while a tree is walked (07-filters 4 to 8).

use std::sync::Arc;

use super::content::MergeFiles;
use super::error::{FileLabel, FilterError, Notice, RuleSource};
use super::list::{ItemKind, RuleList, RuleSettings};
use super::merge_files::{
    Directory, Place, ReadMergeFile, Reading, clean, join, parent_directories, scan_top,
};
use super::pattern::Subject;
use super::rule::{Merge, Origin, Role, Rule};
use super::{MAX_RULE_BYTES, MAX_RULES};

/// What the rules say of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No rule matches, which counts as included.
    Unmatched,
    /// An include rule decided: the name is shown, or at risk.
    Included,
    /// An exclude rule decided: the name is hidden, or protected.
    Excluded,
}

impl Verdict {
    /// True for [`Self::Excluded`].
    #[must_use]
    pub fn is_excluded(self) -> bool {
        self == Self::Excluded
    }
}

/// The rules of one role in force at one place of the tree.
///
/// Call [`Chain::set_root`] once for each directory that names are relative to, [`Chain::enter_dir`] before the
/// entries of a directory are looked at, then [`Chain::check`] for each of them. Directories may be entered in
/// any order; going down and to the side is cheap, while going back to a directory that was left reads
/// its files again. Without rules nothing of this costs more than a test for emptiness, and no check ever
/// allocates.
#[derive(Clone, Debug)]
pub struct Chain {
    role: Role,
    settings: RuleSettings,
    pub(super) entries: Vec<Entry>,
    /// Per-directory files, first those of the list, then those that such files named.
    pub(super) merges: Vec<ActiveMerge>,
    levels: Vec<Level>,
    /// Absolute path of the transfer root without the leading slash.
    root: Vec<u8>,
    /// The list is a module's: what it hides is not there for it either.
    of_module: bool,
    has_xattr_rules: bool,
    /// Of the list and of all files that count now.
    size: Size,
    /// What was read for the directory that is being entered.
    files: MergeFiles,
    notices: Vec<Notice>,
}

/// One step of evaluation.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Rule(Rule),
    /// The rules found under this index of `merges`.
    Merge(usize),
}

/// A per-directory merge rule in force.
#[derive(Clone, Debug)]
pub(super) struct ActiveMerge {
    pub(super) spec: Merge,
    /// How many files led to it.
    pub(super) depth: usize,
    /// The files found on the way down, the deepest last.
    found: Vec<Found>,
}

impl ActiveMerge {
    pub(super) fn new(spec: Merge, depth: usize) -> Self {
        Self {
            spec,
            depth,
            found: Vec::new(),
        }
    }

    /// True if the file is looked for in a directory above the first scanned one.
    fn looks_above(&self, directory: &[u8], root: &[u8]) -> bool {
        self.depth > 0 || scan_top(&self.spec, root).is_some_and(|top| top <= directory.len())
    }
}

#[derive(Clone, Debug)]
struct Found {
    /// Index of the directory in `levels`.
    level: usize,
    entries: Vec<Entry>,
    /// A `!` cut off what was found above.
    clears: bool,
}

/// A directory on the way from the top to where we are.
#[derive(Clone, Debug)]
struct Level {
    place: LevelPlace,
    /// How many merges there were before it.
    merges: usize,
    size: Size,
    has_xattr_rules: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum LevelPlace {
    /// Above the first scanned directory: an absolute path without the leading slash.
    Above(Vec<u8>),
    /// In the transfer, relative to its root.
    Transfer(Vec<u8>),
}

/// The per-directory files that are in force for a name.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// How many of the directories that are entered, from the top.
    levels: usize,
    /// The last of them is the one that the name lies in.
    entered: bool,
}

impl Reach {
    /// No file at all.
    const NOTHING: Self = Self {
        levels: 0,
        entered: false,
    };
}

/// Rules and their bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    rules: usize,
    bytes: usize,
    /// Bytes on the heap, about.
    memory: usize,
}

impl Chain {
    /// The rules of a list that count in a role. Rules for the other side are left out, unless the list came
    /// from a peer, which sends only what counts, or is a module's, which [`module_rules`](super::module_rules)
    /// settled.
    #[must_use]
    pub fn new(list: &RuleList, role: Role) -> Self {
        let mut chain = Self {
            role,
            settings: list.settings.clone(),
            entries: Vec::new(),
            merges: Vec::new(),
            levels: Vec::new(),
            root: Vec::new(),
            of_module: list.settled,
            has_xattr_rules: false,
            size: Size::default(),
            files: MergeFiles::default(),
            notices: Vec::new(),
        };
        let delete_excluded = list.settings.delete_excluded;
        let heeds = |sides| list.received || list.settled || role.heeds(sides);
        let items = list.items.iter();
        for item in items.filter(|item| !item.receiving || role == Role::Receiver) {
            match &item.kind {
                ItemKind::Rule(rule) => {
                    if heeds(rule.effective_sides(delete_excluded)) {
                        chain.push_rule(rule.clone());
                    }
                }
                ItemKind::DirMerge(merge) => {
                    if heeds(merge.effective_sides(delete_excluded)) {
                        chain.entries.push(Entry::Merge(chain.merges.len()));
                        chain.merges.push(ActiveMerge::new(merge.clone(), 0));
                    }
                }
                ItemKind::Cvs(mark) => {
                    let rules = list.settings.cvs.rules(mark);
                    let delete_excluded = delete_excluded && !mark.keeps_sides;
                    rules
                        .into_iter()
                        .filter(|rule| heeds(rule.effective_sides(delete_excluded)))
                        .for_each(|rule| chain.push_rule(rule));
                }
            }
        }
        chain
    }

    fn push_rule(&mut self, rule: Rule) {
        self.has_xattr_rules |= rule.xattr;
        self.size.rules += 1;
        self.size.bytes += rule.pattern.text().len();
        self.size.memory += size_of::<Entry>() + rule.pattern.memory();
        self.entries.push(Entry::Rule(rule));
    }

    /// Bytes on the heap, about, of the rules in force.
    pub(crate) fn memory(&self) -> usize {
        self.size.memory + self.merges.len() * size_of::<ActiveMerge>()
    }

    /// True if no name can be excluded: nothing has to be entered or checked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// True if what the rules say of a name depends on more than its last component and whether it is a directory: what
    /// moves with a directory that is renamed has to be checked again.
    #[must_use]
    pub fn depends_on_path(&self) -> bool {
        self.has_dir_merge()
            || self
                .entries
                .iter()
                .any(|entry| matches!(entry, Entry::Rule(rule) if rule.depends_on_path()))
    }

    /// True if the other role may say something else of the same name: a rule is for one side only, or is compared with absolute paths.
    #[must_use]
    pub fn is_one_sided(&self) -> bool {
        let one_sided = |entry: &Entry| match entry {
            Entry::Rule(rule) => rule.is_one_sided(),
            Entry::Merge(_) => true,
        };
        self.entries.iter().any(one_sided)
    }

    /// True if a directory must be entered before its entries are checked.
    #[must_use]
    pub fn has_dir_merge(&self) -> bool {
        !self.merges.is_empty()
    }

    /// True if rules decide about extended attributes, in place of the built-in choice (07-filters 14.4).
    #[must_use]
    pub fn has_xattr_rules(&self) -> bool {
        self.has_xattr_rules
    }

    /// Sets the absolute path of the directory that names are relative to; of a daemon, within the module. `.` and
    /// `..` in it are resolved by their letters, links are not. Leaves all directories.
    pub fn set_root(&mut self, absolute: &[u8]) {
        self.leave_all();
        self.root = clean(absolute);
    }

    /// The absolute path of the transfer root without the leading slash.
    pub(crate) fn root(&self) -> &[u8] {
        &self.root
    }

    /// Leaves all directories, so that the files of the next one are read anew.
    pub fn leave_all(&mut self) {
        self.leave_to(0);
    }

    /// Goes to a directory, by its path in the transfer (empty for the root), and reads the per-directory files
    /// of it and of those directories on the way that are not entered yet. The root counts as on the way only
    /// if it was entered itself, as it is by an argument that names contents (`dir/`).
    ///
    /// # Errors
    /// A fault in a file, which ends the run. A file that is missing or cannot be read is none.
    pub fn enter_dir(
        &mut self,
        rel: &[u8],
        read: &mut dyn ReadMergeFile,
    ) -> Result<(), FilterError> {
        if self.merges.is_empty() {
            return Ok(());
        }
        let kept = self.levels_kept(rel);
        self.leave_to(kept);
        if self.levels.is_empty() {
            for above in parent_directories(
                &self.root,
                rel.is_empty(),
                self.merges.iter().map(|m| &m.spec),
            ) {
                self.push_level(LevelPlace::Above(above), read)?;
            }
        }
        let from = match self.levels.last() {
            Some(Level {
                place: LevelPlace::Transfer(dir),
                ..
            }) if dir == rel => return Ok(()),
            Some(Level {
                place: LevelPlace::Transfer(dir),
                ..
            }) if !dir.is_empty() => dir.len() + 1,
            _ => 0,
        };
        let ends = rel
            .iter()
            .enumerate()
            .skip(from)
            .filter(|&(_, &b)| b == b'/')
            .map(|(at, _)| at);
        for end in ends.chain([rel.len()]) {
            self.push_level(LevelPlace::Transfer(rel[..end].to_vec()), read)?;
        }
        Ok(())
    }

    /// How many of the levels lead to a directory.
    fn levels_kept(&self, rel: &[u8]) -> usize {
        let kept = self.levels_above(rel);
        match self.levels[..kept].last() {
            Some(level) if matches!(level.place, LevelPlace::Transfer(_)) => kept,
            // What lies above depends on where the transfer begins.
            _ => 0,
        }
    }

    fn leave_to(&mut self, kept: usize) {
        let Some(first_left) = self.levels.get(kept) else {
            return;
        };
        self.size = first_left.size;
        self.has_xattr_rules = first_left.has_xattr_rules;
        self.merges.truncate(first_left.merges);
        self.levels.truncate(kept);
        for merge in &mut self.merges {
            while merge.found.last().is_some_and(|found| found.level >= kept) {
                merge.found.pop();
            }
        }
    }

    fn push_level(
        &mut self,
        place: LevelPlace,
        read: &mut dyn ReadMergeFile,
    ) -> Result<(), FilterError> {
        self.files = MergeFiles::default();
        let level = self.levels.len();
        let (merges, size, has_xattr_rules) = (self.merges.len(), self.size, self.has_xattr_rules);
        let (directory, above) = match &place {
            LevelPlace::Transfer(rel) => (Directory::in_transfer(rel, &self.root), None),
            LevelPlace::Above(path) => (Directory::above(path, &self.root), Some(path.clone())),
        };
        self.levels.push(Level {
            place,
            merges,
            size,
            has_xattr_rules,
        });
        let mut index = 0;
        // Files that name further per-directory files make the list longer while it is walked.
        while index < self.merges.len() {
            let looks = above
                .as_deref()
                .is_none_or(|path| self.merges[index].looks_above(path, &self.root));
            let found = if looks {
                self.load(index, &directory, read)
            } else {
                Ok(None)
            };
            match found {
                Ok(Some((entries, clears))) => self.merges[index].found.push(Found {
                    level,
                    entries,
                    clears,
                }),
                Ok(None) => {}
                Err(error) => {
                    self.leave_to(level);
                    return Err(error);
                }
            }
            index += 1;
        }
        Ok(())
    }

    /// Reads the file of one merge rule in a directory.
    fn load(
        &mut self,
        index: usize,
        directory: &Directory,
        read: &mut dyn ReadMergeFile,
    ) -> Result<Option<(Vec<Entry>, bool)>, FilterError> {
        let ActiveMerge { spec, depth, .. } = self.merges[index].clone();
        let base = spec.base();
        if self.of_module && self.hides_file(directory.place(), base) {
            return Ok(None);
        }
        // An unreadable file is as good as none.
        let Ok(Some(bytes)) = read.read(directory.place(), base) else {
            return Ok(None);
        };
        let name = join(b"/", &join(&directory.absolute, base));
        let file = FileLabel::named(&name);
        self.count_file(bytes.len(), &RuleSource::Text(name))?;
        let origin: Arc<[u8]> = base.into();
        let mut reading = Reading::new(self, index, directory, &origin, depth, read);
        reading.read_rules(&bytes, &spec, &file, 1)?;
        Ok(Some(reading.finish()))
    }

    /// The rule that decides about a name: the first that matches. The directory the name lies in must have been
    /// entered.
    ///
    /// `name` is relative to the transfer root, without slashes around it; the root itself (empty or `.`) is
    /// never matched.
    #[must_use]
    pub fn deciding_rule(&self, name: &[u8], is_dir: bool) -> Option<&Rule> {
        self.decide(name, is_dir, |_| true)
    }

    fn decide(&self, name: &[u8], is_dir: bool, counts: impl Fn(&Rule) -> bool) -> Option<&Rule> {
        self.decide_in(self.whole_reach(), name, is_dir, counts)
    }

    fn decide_in(
        &self,
        reach: Reach,
        name: &[u8],
        is_dir: bool,
        counts: impl Fn(&Rule) -> bool,
    ) -> Option<&Rule> {
        if self.entries.is_empty() || name == b"." {
            return None;
        }
        let subject = Subject::new(name, is_dir);
        self.first_match(&self.entries, reach, &|rule: &Rule| {
            !rule.xattr && counts(rule) && rule.matches(&subject, &self.root)
        })
    }

    /// What the rules say of a name; see [`Self::deciding_rule`].
    #[must_use]
    pub fn check(&self, name: &[u8], is_dir: bool) -> Verdict {
        verdict(self.deciding_rule(name, is_dir))
    }

    /// True if a path is excluded, or the list excludes one of the directories on the way to it. Of the
    /// per-directory files those count that were found when directories above the name in question were entered;
    /// none is read now. What such files exclude is excluded itself: whoever walks a tree does not go below it.
    #[must_use]
    pub fn excludes_path(&self, path: &[u8], is_dir: bool) -> bool {
        let reach = |parent: &[u8]| self.reach_to(parent);
        self.any_excludes(path, is_dir, reach, |_| true)
    }

    /// [`Self::excludes_path`] for a name below a directory that is removed because the sender has none: perishable
    /// rules do not count (07-filters 6.4).
    #[must_use]
    pub fn excludes_path_removing(&self, path: &[u8], is_dir: bool) -> bool {
        let reach = |parent: &[u8]| self.reach_to(parent);
        self.any_excludes(path, is_dir, reach, |rule| !rule.perishable)
    }

    /// [`Self::excludes_path`] without the per-directory files.
    #[must_use]
    pub fn list_excludes_path(&self, path: &[u8], is_dir: bool) -> bool {
        self.any_excludes(path, is_dir, |_| Reach::NOTHING, |_| true)
    }

    /// Whether a module hides one of its own per-directory files, by what is in force before it is read.
    fn hides_file(&self, place: Place<'_>, name: &[u8]) -> bool {
        match place {
            Place::Transfer(dir) => self.excludes_path(&join(dir, name), false),
            Place::Outside(dir) => {
                let path = join(dir.strip_prefix(b"/").unwrap_or(dir), name);
                let subject = Subject::new(&path, false);
                let reach = Reach {
                    levels: self.levels.len(),
                    entered: false,
                };
                verdict(self.first_match(&self.entries, reach, &|rule: &Rule| {
                    !rule.xattr && rule.matches_outside(&subject, &self.root)
                }))
                .is_excluded()
            }
        }
    }

    /// `reach` gives the per-directory files in force for the names of a directory, `counts` is whether a rule counts.
    fn any_excludes(
        &self,
        path: &[u8],
        is_dir: bool,
        reach: impl Fn(&[u8]) -> Reach,
        counts: impl Fn(&Rule) -> bool,
    ) -> bool {
        if self.is_empty() {
            return false;
        }
        let reach_of = |path: &[u8]| {
            let parent = path.iter().rposition(|&b| b == b'/').unwrap_or(0);
            reach(&path[..parent])
        };
        let end = path
            .iter()
            .rposition(|&b| b != b'/')
            .map_or(0, |last| last + 1);
        let path = &path[..end];
        let slashes = path.iter().enumerate().filter(|&(_, &b)| b == b'/');
        slashes
            .map(|(at, _)| &path[..at])
            .filter_map(|dir| self.decide_in(reach_of(dir), dir, true, &counts))
            .any(|rule| !rule.include && !matches!(rule.origin, Origin::PerDir(_)))
            || verdict(self.decide_in(reach_of(path), path, is_dir, &counts)).is_excluded()
    }

    /// Which files are in force for the names of a directory, if no other is entered for them.
    fn reach_to(&self, dir: &[u8]) -> Reach {
        let levels = self.levels_above(dir);
        let last = levels.checked_sub(1).and_then(|last| self.levels.get(last));
        Reach {
            levels,
            entered: last.is_some_and(|level| match &level.place {
                LevelPlace::Transfer(entered) => entered == dir,
                LevelPlace::Above(_) => false,
            }),
        }
    }

    /// All that is entered, for a name of the directory that was entered last.
    fn whole_reach(&self) -> Reach {
        Reach {
            levels: self.levels.len(),
            entered: true,
        }
    }

    /// How many of the directories that are entered are a directory of the transfer or lie above it.
    fn levels_above(&self, dir: &[u8]) -> usize {
        let levels = self.levels.iter();
        let above = levels.take_while(|level| match &level.place {
            LevelPlace::Above(_) => true,
            LevelPlace::Transfer(entered) => {
                dir == entered || (dir.starts_with(entered) && leads_to(entered, dir))
            }
        });
        above.count()
    }

    /// What the rules say of a name below a directory that is removed because the sender has none: perishable
    /// rules do not count (07-filters 6.4).
    #[must_use]
    pub fn check_removing(&self, name: &[u8], is_dir: bool) -> Verdict {
        verdict(self.decide(name, is_dir, |rule| !rule.perishable))
    }

    /// What the rules for extended attributes say of one, by its full name (07-filters 14.4).
    #[must_use]
    pub fn check_xattr(&self, name: &[u8]) -> Verdict {
        if !self.has_xattr_rules {
            return Verdict::Unmatched;
        }
        let subject = Subject::new(name, false);
        verdict(
            self.first_match(&self.entries, self.whole_reach(), &|rule: &Rule| {
                rule.xattr && rule.matches(&subject, &self.root)
            }),
        )
    }

    fn first_match<'a>(
        &'a self,
        entries: &'a [Entry],
        reach: Reach,
        matches: &dyn Fn(&Rule) -> bool,
    ) -> Option<&'a Rule> {
        entries.iter().find_map(|entry| match entry {
            Entry::Rule(rule) => matches(rule).then_some(rule),
            Entry::Merge(index) => self
                .files_in_force(*index, reach)
                .find_map(|found| self.first_match(&found.entries, reach, matches)),
        })
    }

    /// The files of a merge rule that count, the deepest first.
    fn files_in_force(&self, index: usize, reach: Reach) -> impl Iterator<Item = &Found> {
        let merge = &self.merges[index];
        let mut cut = false;
        let here = merge.found.iter().rev();
        here.skip_while(move |found| found.level >= reach.levels)
            .take_while(move |found| {
                let own = reach.entered && found.level + 1 == reach.levels;
                let counts = !cut && (!merge.spec.no_inherit || own);
                cut = found.clears;
                counts
            })
    }

    /// True if a per-directory file of this name is in force (07-filters 8). `cut_off`: a merge rule of which the
    /// files found so far do not count any more.
    pub(super) fn is_active(&self, base: &[u8], entries: &[Entry], cut_off: Option<usize>) -> bool {
        entries.iter().any(|entry| match entry {
            Entry::Rule(_) => false,
            Entry::Merge(index) if self.merges[*index].spec.base() == base => true,
            Entry::Merge(index) if cut_off == Some(*index) => false,
            Entry::Merge(index) => self
                .files_in_force(*index, self.whole_reach())
                .any(|found| self.is_active(base, &found.entries, cut_off)),
        })
    }

    /// Accounts for a rule of a file.
    pub(super) fn count(&mut self, rule: &Rule) -> Result<(), FilterError> {
        self.has_xattr_rules |= rule.xattr;
        self.size.memory += rule.pattern.memory();
        self.count_bytes(rule.pattern.text().len())
    }

    pub(super) fn count_bytes(&mut self, bytes: usize) -> Result<(), FilterError> {
        self.size.rules += 1;
        self.size.bytes += bytes;
        self.size.memory += size_of::<Entry>() + bytes;
        let fits = self.size.rules <= MAX_RULES && self.size.bytes <= MAX_RULE_BYTES;
        if fits {
            Ok(())
        } else {
            Err(FilterError::TooMany)
        }
    }

    /// Accounts for a merge file.
    pub(super) fn count_file(
        &mut self,
        bytes: usize,
        name: &RuleSource,
    ) -> Result<(), FilterError> {
        self.files.count(bytes, name)
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    pub(super) fn settings(&self) -> &RuleSettings {
        &self.settings
    }

    pub(super) fn notices(&mut self) -> &mut Vec<Notice> {
        &mut self.notices
    }

    /// Takes the remarks made so far.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}

fn verdict(rule: Option<&Rule>) -> Verdict {
    match rule {
        None => Verdict::Unmatched,
        Some(rule) if rule.include => Verdict::Included,
        Some(_) => Verdict::Excluded,
    }
}

/// True if a directory is an ancestor of a path that begins with its name.
fn leads_to(dir: &[u8], path: &[u8]) -> bool {
    dir.is_empty() || path.get(dir.len()) == Some(&b'/')
}
