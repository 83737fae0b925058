//! From marks to a batch: the source is looked at afresh, and only what is seen now decides.
//!
//! What exists is sent. What does not exist in a directory that could be opened is deleted, at its topmost missing name. What cannot be
//! examined is neither sent nor deleted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::time::Duration;

use rsync_engine::fs::{Errno, FileId, ListBuf, Stat, describe};

use crate::clock::{Moment, age, seconds_before};
use crate::coalesce::Taken;
use crate::dirty::{Mark, Present, Subtree, Timing, Wait};
use crate::path::{self, PathBytes};
use crate::push::{BatchEntry, EntryKind};
use crate::shared::DeletePolicy;
use crate::source::{Found, Looker, Source};
use crate::state::Excludes;
use walk::Walk;

mod walk;

/// What the planner has to know beside the marks.
pub(crate) struct Context<'a> {
    pub(crate) source: &'a Source,
    pub(crate) excludes: &'a Excludes,
    pub(crate) timing: &'a Timing,
    pub(crate) policy: DeletePolicy,
    pub(crate) now: Moment,
    pub(crate) max_batch: usize,
    /// Whether the changes in this directory at this path are learnt.
    pub(crate) is_attached: &'a dyn Fn(&[u8], FileId) -> bool,
    /// Names below marked directories that wait for a later batch.
    pub(crate) waiting: BTreeSet<PathBytes>,
    /// Paths at or below which nothing may be deleted.
    pub(crate) blocked: Vec<PathBytes>,
    /// Asked now and then: the watcher is to end, and the plan will not be used.
    pub(crate) is_stopping: &'a dyn Fn() -> bool,
}

/// A directory to compare as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub(crate) path: PathBytes,
    pub(crate) ignore_times: bool,
    pub(crate) delete_extras: bool,
    /// It was asked for as a comparison: it goes before the batch. Else it only replaces a batch that is too big, or removes what a
    /// replaced directory left, which may be the basis of something in the batch.
    pub(crate) first: bool,
}

/// What to do about a set of marks.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) entries: BTreeMap<PathBytes, BatchEntry>,
    pub(crate) comparisons: Vec<Comparison>,
    /// Marks that are not ready after all.
    pub(crate) deferred: Vec<(PathBytes, Wait)>,
    /// Files that are complete at a later moment.
    pub(crate) found: Vec<(PathBytes, Duration)>,
    /// Names whose own mark must cover their content.
    pub(crate) strengthened: Vec<PathBytes>,
    /// Names that cannot be examined, and what was to be done about everything below.
    pub(crate) problems: Vec<(PathBytes, String, Subtree)>,
    /// For each name to delete the marks that led to it.
    deletions: BTreeMap<PathBytes, Vec<PathBytes>>,
    /// Marks of directories whose leftovers are to be deleted.
    purges: Vec<PathBytes>,
    /// It was given up half way, as the watcher ends.
    pub(crate) stopped: bool,
    /// Directories that are compared without deletions, as something below cannot be read, and what was to be done about them.
    pub(crate) barred: Vec<(PathBytes, Subtree)>,
    /// Names that are no directory and stand for everything that the target has below them: they replace a directory there.
    pub(crate) replacing: Vec<PathBytes>,
    /// Files with several names, and what is asked for all of them.
    pub(crate) linked: HashMap<FileId, EntryKind>,
    /// The inode numbers of the files named by marks.
    pub(crate) numbers: Vec<(PathBytes, u64)>,
}

/// Of names that were to replace a directory at the target, those that are a directory now: the target's was not replaced.
pub(crate) fn not_replaced(source: &Source, names: &[PathBytes]) -> Vec<PathBytes> {
    let mut looker = Looker::new(source);
    names
        .iter()
        .filter(|path| matches!(looker.look(path), Ok(Found::Object(stat)) if stat.is_dir()))
        .cloned()
        .collect()
}

/// Looks at every marked name.
pub(crate) fn plan(context: &Context<'_>, taken: &[Taken]) -> Plan {
    let mut planner = Planner {
        context,
        looker: Looker::new(context.source),
        list: ListBuf::default(),
        plan: Plan::default(),
        own: taken.iter().map(|taken| &*taken.path).collect(),
    };
    for taken in taken {
        if planner.is_stopped() {
            break;
        }
        planner.look(&taken.path, &taken.mark);
    }
    planner.finish()
}

impl Plan {
    /// True if it deletes anything at the target.
    pub(crate) fn deletes(&self) -> bool {
        !self.deletions.is_empty()
            || self
                .comparisons
                .iter()
                .any(|comparison| comparison.delete_extras)
    }

    /// Takes all deletions out of the plan; gives the marks that asked for them.
    pub(crate) fn without_deletions(&mut self) -> Vec<PathBytes> {
        for path in self.deletions.keys() {
            self.entries.remove(path);
        }
        for comparison in &mut self.comparisons {
            comparison.delete_extras = false;
        }
        std::mem::take(&mut self.deletions)
            .into_values()
            .flatten()
            .chain(std::mem::take(&mut self.purges))
            .collect()
    }

    /// The files above `size` that can be sent beside everything else.
    pub(crate) fn large(&self, size: u64) -> Vec<PathBytes> {
        if !self.comparisons.is_empty() {
            return Vec::new();
        }
        let is_large = |entry: &&BatchEntry| {
            let stat = entry.stat.filter(|stat| stat.is_file() && stat.size > size);
            // Other names go in the same session, and what it replaces too.
            entry.kind == EntryKind::Content
                && stat.is_some_and(|stat| stat.nlink == 1)
                && !self.replacing.contains(&entry.path)
        };
        let large = self.entries.values().filter(is_large);
        large.map(|entry| entry.path.clone()).collect()
    }

    /// Takes files, with the directories above them, into a plan of their own.
    pub(crate) fn split(&mut self, files: &[PathBytes]) -> Self {
        let mut apart = Self::default();
        for path in files {
            for above in path::ancestors(path) {
                if let Some(parent) = self.entries.get(above) {
                    let entry = BatchEntry {
                        kind: EntryKind::Parent,
                        ..parent.clone()
                    };
                    apart.entries.insert(entry.path.clone(), entry);
                }
            }
            if let Some(entry) = self.entries.remove(path) {
                apart.entries.insert(path.clone(), entry);
            }
        }
        apart
    }

    /// Adds the other names of files in the plan, found in the tree. Those that cannot be examined now are problems.
    pub(crate) fn add_links(&mut self, context: &Context<'_>, names: Vec<(PathBytes, FileId)>) {
        let mut looker = Looker::new(context.source);
        for (path, id) in names {
            let Some(&kind) = self.linked.get(&id) else {
                continue;
            };
            if let Some(known) = self.entries.get_mut(&path) {
                // Its own mark may have asked for less.
                if known.stat.is_some_and(|stat| stat.id == id) {
                    known.kind = known.kind.max(kind);
                }
                continue;
            }
            if context.excludes.has(&path, false) {
                continue;
            }
            match looker.look(&path) {
                // If what was seen above it does not fit, something came between, which has events of its own.
                Ok(Found::Object(stat)) if stat.id == id => {
                    add_with_parents(&mut self.entries, &mut looker, &path, kind, stat);
                }
                Ok(_) => {}
                Err((_, errno)) => {
                    self.problems
                        .push((path, describe(errno), Subtree::default()));
                }
            }
        }
    }
}

struct Planner<'a> {
    context: &'a Context<'a>,
    looker: Looker<'a>,
    list: ListBuf,
    plan: Plan,
    /// The paths of all marks in the batch.
    own: BTreeSet<&'a [u8]>,
}

impl Planner<'_> {
    fn is_stopped(&mut self) -> bool {
        self.plan.stopped = self.plan.stopped || (self.context.is_stopping)();
        self.plan.stopped
    }

    fn look(&mut self, path: &PathBytes, mark: &Mark) {
        if path::parent(path).len() > path::LONGEST {
            // No directory there is opened: the way to it grows with each level.
            self.too_long(path);
            return;
        }
        let found = match self.looker.look(path) {
            Ok(found) => self.visible(path, found),
            Err((_, errno)) => {
                // Its own mark comes back as it is.
                self.problem(path, &describe(errno), Subtree::default());
                return;
            }
        };
        let present = match &found {
            Found::Missing(_) | Found::Blocked(..) => Present::Missing,
            Found::Object(stat) if stat.is_file() => Present::Regular(stat.nlink),
            Found::Object(_) => Present::Other,
        };
        if let Err(wait) = mark.verdict(present, self.context.now.mono, self.context.timing) {
            self.plan.deferred.push((path.clone(), wait));
            return;
        }
        match found {
            Found::Object(_) if path.len() > path::LONGEST => self.too_long(path),
            Found::Object(stat) => self.exists(path, mark, stat),
            // The target never had it.
            Found::Missing(end) if end > path::LONGEST => {}
            Found::Missing(end) => self.missing(path, end),
            // What is there instead replaces a directory with everything below.
            Found::Blocked(end, stat) => {
                let there: PathBytes = path[..end].into();
                self.add(&there, EntryKind::Content, stat);
                self.plan.replacing.push(there);
            }
        }
    }

    /// What a target may see of it. A name that is excluded as what it is now may not have been as what it was before: a rule may be for
    /// directories only. Then the target has what is gone.
    fn visible(&self, path: &[u8], found: Found) -> Found {
        let excludes = self.context.excludes;
        match found {
            Found::Object(stat) if excludes.has(path, stat.is_dir()) => Found::Missing(path.len()),
            Found::Blocked(end, _) if excludes.has(&path[..end], false) => Found::Missing(end),
            found => found,
        }
    }

    fn too_long(&mut self, path: &PathBytes) {
        self.problem(path, &describe(Errno::NAMETOOLONG), Subtree::default());
    }

    fn exists(&mut self, path: &PathBytes, mark: &Mark, stat: Stat) {
        let kind = if mark.content {
            EntryKind::Content
        } else {
            EntryKind::Attr
        };
        if !stat.is_dir() {
            self.plan.numbers.push((path.clone(), stat.id.ino));
            self.link(&stat, kind);
            self.add(path, kind, stat);
            if !mark.subtree.is_none() {
                self.plan.replacing.push(path.clone());
            }
            return;
        }
        self.add(path, EntryKind::Attr, stat);
        if !mark.subtree.is_none() {
            self.subtree(path, mark.subtree);
        }
    }

    fn missing(&mut self, path: &PathBytes, end: usize) {
        let top: PathBytes = path[..end].into();
        let refused = self
            .context
            .blocked
            .iter()
            .any(|blocked| path::is_within(&top, blocked));
        if refused {
            let text = "not deleted: its directory cannot be read";
            self.problem(path, text, Subtree::default());
            return;
        }
        if self.context.policy != DeletePolicy::Keep {
            self.plan
                .deletions
                .entry(top.clone())
                .or_default()
                .push(path.clone());
        }
        // The directory it was in has a new mtime.
        let parent: PathBytes = path::parent(&top).into();
        let kind = match self.context.policy {
            // Nothing is listed below it that would bring it along.
            DeletePolicy::Keep => EntryKind::Attr,
            DeletePolicy::Watched | DeletePolicy::All => EntryKind::Parent,
        };
        match self.looker.look(&parent) {
            Ok(Found::Object(stat)) if stat.is_dir() => {
                if !self.add_entry(&parent, kind, stat) {
                    self.undo_deletion(&top);
                }
            }
            _ => self.undo_deletion(&top),
        }
    }

    fn subtree(&mut self, path: &PathBytes, subtree: Subtree) {
        let delete_extras = match self.context.policy {
            DeletePolicy::Keep => false,
            DeletePolicy::Watched => subtree.purge,
            DeletePolicy::All => subtree.purge || subtree.full,
        };
        let blocked = self
            .context
            .blocked
            .iter()
            .any(|blocked| path::is_within(blocked, path));
        if delete_extras && blocked {
            self.plan.barred.push((path.clone(), subtree));
        }
        let delete_extras = delete_extras && !blocked;
        if subtree.full || delete_extras {
            self.plan.comparisons.push(Comparison {
                path: path.clone(),
                ignore_times: subtree.force,
                delete_extras,
                first: subtree.full,
            });
            if delete_extras {
                self.plan.purges.push(path.clone());
            }
            if subtree.force {
                self.link_below(path);
                return;
            }
        }
        if !subtree.force && subtree.since.is_none() {
            return;
        }
        // What is compared and what goes was said above.
        let below = Subtree {
            full: false,
            purge: false,
            ..subtree
        };
        if !self.expand(path, below) {
            // Too much to name one by one.
            self.link_below(path);
            self.plan.comparisons.push(Comparison {
                path: path.clone(),
                ignore_times: true,
                delete_extras: false,
                first: false,
            });
        }
    }

    /// Adds everything below `top`, or what has a ctime from `below.since` on. False: that is more than a batch holds, and nothing was added.
    fn expand(&mut self, top: &PathBytes, below: Subtree) -> bool {
        let since = below.since.filter(|_| !below.force);
        let since = since.map(|since| seconds_before(since, 1));
        let mut walk = Walk::new(self.context, top, since);
        let mut seen = Vec::new();
        let mut problems = Vec::new();
        while let Some(read) = walk.next(&mut self.list, &mut seen) {
            if let Err((dir, errno)) = read {
                // Once it can be read, what is in it is still owed.
                problems.push((dir, describe(errno), below));
            }
            if self.is_stopped() {
                return true;
            }
            if self.plan.entries.len() + seen.len() > self.context.max_batch {
                return false;
            }
        }
        self.plan.problems.append(&mut problems);
        seen.sort_by(|a, b| a.0.cmp(&b.0));
        for (path, stat) in seen {
            self.meet(&path, stat);
        }
        true
    }

    /// Takes in a name found below a marked directory.
    fn meet(&mut self, path: &PathBytes, stat: Stat) {
        if path.len() > path::LONGEST {
            self.too_long(path);
            return;
        }
        // A mark of the same batch decides for itself when it is ready.
        if self.own.contains(&**path) && !stat.is_dir() {
            self.force_entry(path);
            return;
        }
        if !stat.is_file() {
            if !stat.is_dir() {
                self.plan.numbers.push((path.clone(), stat.id.ino));
                self.link(&stat, EntryKind::Attr);
            } else if !(self.context.is_attached)(path, stat.id) {
                return;
            }
            self.add_met(path, EntryKind::Attr, stat);
            return;
        }
        if self.context.waiting.contains(path) {
            self.plan.strengthened.push(path.clone());
            return;
        }
        let since_written = age(self.context.now.real, stat.mtime);
        if since_written < self.context.timing.found {
            let ready = self.context.now.mono + (self.context.timing.found - since_written);
            self.plan.found.push((path.clone(), ready));
            return;
        }
        self.link(&stat, EntryKind::Content);
        self.plan.numbers.push((path.clone(), stat.id.ino));
        self.add_met(path, EntryKind::Content, stat);
    }

    /// A mark of only attributes lies below a directory all of whose content is in question.
    fn force_entry(&mut self, path: &PathBytes) {
        match self.plan.entries.get_mut(path) {
            Some(entry) if entry.kind == EntryKind::Attr => entry.kind = EntryKind::Content,
            Some(_) => {}
            // Its own look is still to come, or it was deferred: then it has a mark again.
            None => self.plan.strengthened.push(path.clone()),
        }
    }

    /// What changed under this name changed under all names of the file, and only this one had an event.
    fn link(&mut self, stat: &Stat, kind: EntryKind) {
        if !stat.is_dir() && stat.nlink > 1 {
            let known = self.plan.linked.entry(stat.id).or_insert(kind);
            *known = (*known).max(kind);
        }
    }

    /// A session compares what is below `top`, but not the other names that these files have elsewhere.
    fn link_below(&mut self, top: &PathBytes) {
        let mut walk = Walk::new(self.context, top, None);
        let mut seen = Vec::new();
        // What cannot be read, the session tells.
        while let Some(_read) = walk.next(&mut self.list, &mut seen) {
            if self.is_stopped() {
                return;
            }
            for (_, stat) in seen.drain(..) {
                self.link(&stat, EntryKind::Content);
            }
        }
    }

    fn problem(&mut self, path: &PathBytes, text: &str, below: Subtree) {
        let problem = (path.clone(), text.to_owned(), below);
        self.plan.problems.push(problem);
    }

    /// Adds a name that has a mark.
    fn add(&mut self, path: &PathBytes, kind: EntryKind, stat: Stat) {
        if !self.add_entry(path, kind, stat) {
            self.plan.deferred.push((path.clone(), Wait::Open));
        }
    }

    /// Adds a name that was met below a marked directory.
    fn add_met(&mut self, path: &PathBytes, kind: EntryKind, stat: Stat) {
        if !self.add_entry(path, kind, stat) {
            let ready = self.context.now.mono + self.context.timing.found;
            self.plan.found.push((path.clone(), ready));
        }
    }

    /// False, and nothing added, if what was seen at the paths above does not fit.
    fn add_entry(&mut self, path: &PathBytes, kind: EntryKind, stat: Stat) -> bool {
        let kind = if kind == EntryKind::Content && !stat.is_file() {
            EntryKind::Attr
        } else {
            kind
        };
        add_with_parents(&mut self.plan.entries, &mut self.looker, path, kind, stat)
    }

    /// Something reappeared while it was looked at: the marks wait for what the events say.
    fn undo_deletion(&mut self, top: &PathBytes) {
        for path in self.plan.deletions.remove(top).into_iter().flatten() {
            self.plan.deferred.push((path, Wait::Missing));
        }
    }

    fn finish(mut self) -> Plan {
        let tops: Vec<PathBytes> = self.plan.deletions.keys().cloned().collect();
        for top in tops {
            let (from, to) = path::below(&top);
            let bounds = (Bound::Included(&from[..]), Bound::Excluded(&to[..]));
            let below = self.plan.entries.range::<[u8], _>(bounds).next();
            if below.is_some() || self.plan.entries.contains_key(&top) {
                self.undo_deletion(&top);
            }
        }
        for top in self.plan.deletions.keys() {
            self.plan.entries.insert(
                top.clone(),
                BatchEntry {
                    path: top.clone(),
                    kind: EntryKind::Delete,
                    stat: None,
                },
            );
        }
        self.plan
    }
}

/// Adds an entry and the directories above it. False, and nothing added, if one of them is not there any more.
fn add_with_parents(
    entries: &mut BTreeMap<PathBytes, BatchEntry>,
    looker: &mut Looker<'_>,
    path: &PathBytes,
    kind: EntryKind,
    stat: Stat,
) -> bool {
    if let Some(known) = entries.get_mut(path) {
        // Something may be listed below it.
        if known.stat.is_some_and(|before| before.is_dir()) != stat.is_dir() {
            return false;
        }
        known.kind = known.kind.max(kind);
        known.stat = Some(stat);
        return true;
    }
    let mut parents = Vec::new();
    for above in path::ancestors(path) {
        match entries.get(above).map(|entry| entry.stat) {
            Some(Some(stat)) if stat.is_dir() => break,
            // It was no directory when it was looked at before.
            Some(_) => return false,
            None => {}
        }
        match looker.look(above) {
            Ok(Found::Object(stat)) if stat.is_dir() => {
                parents.push((PathBytes::from(above), stat))
            }
            _ => return false,
        }
    }
    let all = parents
        .into_iter()
        .map(|(path, stat)| (path, EntryKind::Parent, stat))
        .chain([(path.clone(), kind, stat)]);
    for (path, kind, stat) in all {
        let entry = BatchEntry {
            path: path.clone(),
            kind,
            stat: Some(stat),
        };
        entries.insert(path, entry);
    }
    true
}

#[cfg(test)]
mod tests;
