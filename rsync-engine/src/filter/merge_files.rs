//! Per-directory merge files (07-filters 8).

use std::io;
use std::sync::Arc;

use super::MERGE_DEPTH;
use super::chain::{ActiveMerge, Chain, Entry};
use super::content::Grammar;
use super::error::{FileLabel, FilterError, Notice, RuleSource};
use super::parse::{Parsed, exclude_merge_file};
use super::rule::{Anchor, Merge, Origin, Rule, strip_directory};

/// The directory a per-directory file is looked for in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A directory of the transfer, relative to its root; empty for the root.
    Transfer(&'a [u8]),
    /// A directory outside of it, by an absolute path without `.` and `..`; of a daemon, within the module. That is
    /// one above the transfer root, or one that a `.` rule names.
    Outside(&'a [u8]),
}

/// Reads per-directory merge files. Closures `FnMut(Place, &[u8]) -> io::Result<Option<Vec<u8>>>` do.
///
/// The implementation bounds the size of a file, follows symbolic links no further than its side may, and treats a
/// file that a daemon's own filter hides as missing.
pub trait ReadMergeFile {
    /// The content of a file, `None` if there is none. `name` is one component.
    ///
    /// # Errors
    /// What keeps the file from being read. It matters for a file that a `.` rule names only.
    fn read(&mut self, place: Place<'_>, name: &[u8]) -> io::Result<Option<Vec<u8>>>;
}

impl<F: FnMut(Place<'_>, &[u8]) -> io::Result<Option<Vec<u8>>>> ReadMergeFile for F {
    fn read(&mut self, place: Place<'_>, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self(place, name)
    }
}

/// A directory whose files are read.
#[derive(Debug)]
pub(super) struct Directory {
    above: bool,
    /// As given to the reader.
    path: Vec<u8>,
    /// Absolute, without the leading slash.
    pub(super) absolute: Vec<u8>,
    /// What a leading slash in its files stands for.
    anchor: Anchor,
}

impl Directory {
    /// A directory of the transfer.
    pub(super) fn in_transfer(rel: &[u8], root: &[u8]) -> Self {
        Self {
            above: false,
            path: rel.to_vec(),
            absolute: join(root, rel),
            anchor: Anchor::Below(rel.into()),
        }
    }

    /// A directory above the root, or the root itself, by its absolute path without the leading slash.
    pub(super) fn above(absolute: &[u8], root: &[u8]) -> Self {
        let to_root = strip_directory(root, absolute).unwrap_or_default();
        let anchor = Anchor::Above(to_root.into());
        if absolute == root {
            // The root can be named without leaving the transfer.
            return Self {
                above: false,
                path: Vec::new(),
                absolute: root.to_vec(),
                anchor,
            };
        }
        Self {
            above: true,
            path: [b"/", absolute].concat(),
            absolute: absolute.to_vec(),
            anchor,
        }
    }

    pub(super) fn place(&self) -> Place<'_> {
        if self.above {
            Place::Outside(&self.path)
        } else {
            Place::Transfer(&self.path)
        }
    }
}

/// The reading of one per-directory file with all it names.
pub(super) struct Reading<'a> {
    chain: &'a mut Chain,
    /// Index of the merge rule that is read.
    index: usize,
    directory: &'a Directory,
    origin: &'a Arc<[u8]>,
    depth: usize,
    read: &'a mut dyn ReadMergeFile,
    entries: Vec<Entry>,
    clears: bool,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        chain: &'a mut Chain,
        index: usize,
        directory: &'a Directory,
        origin: &'a Arc<[u8]>,
        depth: usize,
        read: &'a mut dyn ReadMergeFile,
    ) -> Self {
        Self {
            chain,
            index,
            directory,
            origin,
            depth,
            read,
            entries: Vec::new(),
            clears: false,
        }
    }

    /// The rules in their order, and whether those of directories above are cut off.
    pub(super) fn finish(self) -> (Vec<Entry>, bool) {
        (self.entries, self.clears)
    }

    /// Takes the rules of a file. `depth` counts files that name files to be read at once.
    pub(super) fn read_rules(
        &mut self,
        bytes: &[u8],
        merge: &Merge,
        file: &FileLabel,
        depth: usize,
    ) -> Result<(), FilterError> {
        let grammar = Grammar::of(merge, self.chain.settings().from0);
        let mut notices = std::mem::take(self.chain.notices());
        let outcome = grammar.each_rule(bytes, file, &mut notices, |parsed, source, notices| {
            self.take(parsed, &source, depth, notices)
        });
        notices.append(self.chain.notices());
        *self.chain.notices() = notices;
        outcome
    }

    fn take(
        &mut self,
        parsed: Parsed,
        source: &RuleSource,
        depth: usize,
        notices: &mut Vec<Notice>,
    ) -> Result<(), FilterError> {
        match parsed {
            Parsed::Clear => {
                self.entries.clear();
                self.clears = true;
                Ok(())
            }
            Parsed::Rule(rule) => self.push(rule, depth),
            Parsed::Cvs(mark) => {
                let rules = self.chain.settings().cvs.rules(&mark);
                rules
                    .into_iter()
                    .try_for_each(|rule| self.push(rule, depth))
            }
            Parsed::DirMerge(merge) => self.push_dir_merge(merge, source, notices),
            Parsed::Merge(merge) => self.read_now(&merge, source, depth + 1),
            Parsed::OverLong(_) => Ok(()),
        }
    }

    /// Keeps a rule unless it is for the other side. In a file that a `.` rule names a leading slash stands for the
    /// transfer root.
    fn push(&mut self, mut rule: Rule, depth: usize) -> Result<(), FilterError> {
        // `--delete-excluded` changes the rules of the per-directory file alone (07-filters 6.3).
        let delete_excluded = depth == 1 && self.chain.settings().delete_excluded;
        if !self
            .chain
            .role()
            .heeds(rule.effective_sides(delete_excluded))
        {
            return Ok(());
        }
        self.chain.count(&rule)?;
        if depth == 1 {
            rule.anchor = self.directory.anchor.clone();
        }
        if matches!(rule.origin, Origin::List) {
            rule.origin = Origin::PerDir(self.origin.clone());
        }
        self.entries.push(Entry::Rule(rule));
        Ok(())
    }

    /// Starts another per-directory file from this directory on.
    fn push_dir_merge(
        &mut self,
        merge: Merge,
        source: &RuleSource,
        notices: &mut Vec<Notice>,
    ) -> Result<(), FilterError> {
        let heeded = self
            .chain
            .role()
            .heeds(merge.effective_sides(self.chain.settings().delete_excluded));
        let active = || {
            let chain = &*self.chain;
            let cut_off = self.clears.then_some(self.index);
            chain.is_active(merge.base(), &chain.entries, cut_off)
                || chain.is_active(merge.base(), &self.entries, cut_off)
        };
        let active = active();
        // The exclude counts even if there is nothing more to read.
        if let Some(rule) = Some(&merge)
            .filter(|merge| merge.exclude_self)
            .and_then(exclude_merge_file)
        {
            self.push(rule, 1)?;
        }
        if !heeded || active {
            return Ok(());
        }
        if self.depth + 1 >= MERGE_DEPTH {
            notices.push(Notice::Depth(source.clone()));
            return Ok(());
        }
        self.chain.count_bytes(merge.name.len())?;
        self.entries.push(Entry::Merge(self.chain.merges.len()));
        self.chain
            .merges
            .push(ActiveMerge::new(merge, self.depth + 1));
        Ok(())
    }

    /// The absolute path, without its leading slash, of a file that a `.` rule names: a plain name is looked for in
    /// the transfer root, or next to a file above it, any other path starts at the per-directory file (07-filters
    /// 7.1).
    fn named_file(&self, name: &[u8]) -> Vec<u8> {
        let directory = &self.directory.absolute;
        if name.starts_with(b"/") {
            clean(name)
        } else if name.contains(&b'/') || self.directory.above {
            clean(&join(directory, name))
        } else {
            clean(&join(self.chain.root(), name))
        }
    }

    /// Puts the rules of another file here.
    fn read_now(
        &mut self,
        merge: &Merge,
        source: &RuleSource,
        depth: usize,
    ) -> Result<(), FilterError> {
        if self.depth + depth > MERGE_DEPTH {
            return Err(FilterError::Depth {
                name: source.clone(),
            });
        }
        if let Some(rule) = Some(merge)
            .filter(|merge| merge.exclude_self)
            .and_then(exclude_merge_file)
        {
            self.push(rule, depth)?;
        }
        let include = Grammar::of(merge, false).is_include_only();
        let failed = |error| FilterError::Open {
            include,
            name: source.clone(),
            source: error,
        };
        let path = self.named_file(&merge.name);
        let (directory, name) = split(&path);
        let root = self.chain.root();
        let outside;
        let place = match strip_directory(directory, root) {
            Some(rel) => Place::Transfer(rel),
            None if directory == root => Place::Transfer(b""),
            None => {
                outside = [b"/", directory].concat();
                Place::Outside(&outside)
            }
        };
        let content = self.read.read(place, name).map_err(failed)?;
        let bytes = content.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        self.chain.count_file(bytes.len(), source)?;
        self.read_rules(&bytes, merge, &FileLabel::of(source, &merge.name), depth)
    }
}

/// An absolute path without its leading slash as directory and last component.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// The directories above the first scanned one whose files count, from the top down, as absolute paths without
/// the leading slash (07-filters 8.1). `at_root`: the first scanned directory is the root; else the root itself
/// is one of them.
pub(super) fn parent_directories<'a>(
    root: &[u8],
    at_root: bool,
    merges: impl Iterator<Item = &'a Merge>,
) -> Vec<Vec<u8>> {
    let Some(top) = merges.filter_map(|merge| scan_top(merge, root)).min() else {
        return Vec::new();
    };
    let mut directories = Vec::new();
    let ends = root
        .iter()
        .enumerate()
        .filter(|&(_, &b)| b == b'/')
        .map(|(at, _)| at);
    for end in [0].into_iter().chain(ends).chain([root.len()]) {
        let last = end == root.len();
        let repeated = last && directories.last().is_some_and(|d: &Vec<u8>| d.len() == end);
        if end >= top && !repeated && !(last && at_root) {
            directories.push(root[..end].to_vec());
        }
    }
    directories
}

/// The length of the directory that a merge rule's name puts at or above the root, as an absolute path without
/// the leading slash. `None` if the name is plain, or its directory lies elsewhere.
pub(super) fn scan_top(merge: &Merge, root: &[u8]) -> Option<usize> {
    let named = merge.directory()?;
    let top = if named.starts_with(b"/") {
        clean(named)
    } else {
        clean(&join(root, named))
    };
    (root == top || strip_directory(root, &top).is_some()).then_some(top.len())
}

/// An absolute path without its leading slash, with `.` and `..` resolved by their letters.
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let mut components: Vec<&[u8]> = Vec::new();
    for component in path.split(|&b| b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                components.pop();
            }
            name => components.push(name),
        }
    }
    components.join(&b'/')
}

/// `directory/name`, either of which may be empty.
pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match (directory, name) {
        (b"", path) | (path, b"") => path.to_vec(),
        (b"/", name) => [b"/", name].concat(),
        (directory, name) => [directory, b"/", name].concat(),
    }
}
