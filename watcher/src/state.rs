//! What reader, tree worker and senders share, and what each record of the kernel does to it.
//!
//! One lock holds it all. Nobody keeps the lock across a system call that can block, so the reader gets it within microseconds.
//!
//! No rule here has to be right about what happened, only about where to look: a record marks the names it is about and asks the tree
//! worker to look at every place where a directory may have come, gone or changed. What stands at a place afterwards is found by opening it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Moment, seconds_before};
use crate::dirty::{Hint, Subtree};
use crate::guard::Shrinkage;
use crate::inotify::{EventBits, Record};
use crate::path::{self, PathBytes};
use crate::target::Target;
use crate::tree::{Access, Node, NodeId, Place, Tree};

/// Decides which names are left alone: path below the root, whether it is a directory. What is below an excluded directory is not asked.
pub type Excludes = Arc<dyn Fn(&[u8], bool) -> bool + Send + Sync>;

/// A directory or file that left a name and may turn up under another.
#[derive(Debug)]
struct Move {
    path: PathBytes,
    node: Option<NodeId>,
    ino: u64,
    directory: bool,
    since: Duration,
    /// [`State::events`] when it was read.
    event: u64,
    /// For each target, whether it had the old name as it was.
    clean: Vec<bool>,
}

/// Events were lost; everything changed since then may be unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// The queue was seen empty at this moment before the loss.
    pub(crate) since: Moment,
}

/// The shared state.
pub(crate) struct State {
    pub(crate) tree: Tree,
    pub(crate) targets: Vec<Target>,
    pub(crate) excludes: Excludes,
    /// Places the tree worker has to look at.
    pub(crate) jobs: VecDeque<Place>,
    queued: HashSet<Place>,
    /// Places in directories that are between two places themselves.
    parked: Vec<Place>,
    moves: HashMap<u32, Move>,
    /// Directories pushed out of their place by another; since when.
    orphans: Vec<(NodeId, Duration)>,
    pub(crate) lost: Option<Lost>,
    /// The tree worker is looking for what was lost.
    pub(crate) rescanning: bool,
    /// Somebody should compare the root with its path.
    pub(crate) check_root: bool,
    /// The root is not where it was.
    pub(crate) source_lost: bool,
    /// Directories whose file system was unmounted, to be told.
    pub(crate) unmounted: Vec<NodeId>,
    /// Watches that are of no use any more.
    pub(crate) unused: Vec<i32>,
    /// Watches that the kernel removed.
    pub(crate) ignored: Vec<i32>,
    /// The last moment at which the kernel's queue was seen empty, with everything before applied.
    pub(crate) last_empty: Moment,
    /// Everything that changed before this moment is in the dirty sets.
    pub(crate) last_settled: Moment,
    pub(crate) shrinkage: Shrinkage,
    /// Numbers the events, for [`crate::tree::Node::touched`].
    pub(crate) events: u64,
    pub(crate) overflows: u64,
    /// A directory got no watch, because there are too many.
    pub(crate) watch_limit_reached: bool,
}

impl State {
    pub(crate) fn new(targets: Vec<Target>, excludes: Excludes, now: Moment) -> Self {
        Self {
            tree: Tree::new(),
            targets,
            excludes,
            jobs: VecDeque::new(),
            queued: HashSet::new(),
            parked: Vec::new(),
            moves: HashMap::new(),
            orphans: Vec::new(),
            lost: None,
            rescanning: false,
            check_root: false,
            source_lost: false,
            unmounted: Vec::new(),
            unused: Vec::new(),
            ignored: Vec::new(),
            last_empty: now,
            last_settled: now,
            shrinkage: Shrinkage::default(),
            events: 0,
            overflows: 0,
            watch_limit_reached: false,
        }
    }

    /// Applies one record, read just now.
    pub(crate) fn apply(&mut self, record: &Record<'_>, now: Moment) {
        let bits = record.bits;
        if bits.has(EventBits::Q_OVERFLOW) {
            self.overflow();
            return;
        }
        if bits.has(EventBits::IGNORED) {
            self.watch_removed(record.wd);
            return;
        }
        // A watch that was given up may have records left.
        let Some(dir) = self.tree.by_wd(record.wd) else {
            return;
        };
        self.events += 1;
        if record.name.is_empty() {
            self.about_itself(dir, bits, now);
        } else {
            self.about_name(dir, record, now);
        }
    }

    /// The queue was empty at `at`: nothing before is still to come.
    pub(crate) fn queue_empty(&mut self, at: Moment) {
        self.last_empty = at;
        self.shrinkage.note(self.tree.entries(), at.mono);
    }

    /// Asks the tree worker to look at a place.
    pub(crate) fn look_at(&mut self, place: Place) {
        if self.queued.insert(place.clone()) {
            self.jobs.push_back(place);
        }
    }

    /// The directory of this place is not at its path: that is looked into first.
    pub(crate) fn look_above_first(&mut self, place: &Place) {
        if place.parent == Tree::ROOT {
            self.check_root = true;
            return;
        }
        if self.tree.is_between_places(place.parent) {
            self.parked.push(place.clone());
            return;
        }
        let Some(above) = self.tree.get(place.parent).and_then(|node| node.place()) else {
            return;
        };
        if !self.queued.insert(above.clone()) {
            // It comes before what is queued from now on.
            self.look_at(place.clone());
            return;
        }
        if self.queued.insert(place.clone()) {
            self.jobs.push_front(place.clone());
        }
        self.jobs.push_front(above);
    }

    /// A directory found its place or was given up: what waits for that is looked at again.
    pub(crate) fn unpark(&mut self) {
        for place in std::mem::take(&mut self.parked) {
            self.look_at(place);
        }
    }

    /// The next place to look at.
    pub(crate) fn next_job(&mut self) -> Option<Place> {
        let place = self.jobs.pop_front()?;
        self.queued.remove(&place);
        Some(place)
    }

    /// Marks a name for every target.
    pub(crate) fn hint(&mut self, path: &PathBytes, hint: Hint, now: Moment) {
        if hint == Hint::DirGone {
            self.forsake_below(path, now);
        }
        let learnt = self.learnt(now);
        for target in &mut self.targets {
            target.hint(path, hint, learnt);
        }
    }

    /// Marks a directory with everything below for every target.
    pub(crate) fn subtree(&mut self, path: &PathBytes, subtree: Subtree, now: Moment) {
        let learnt = self.learnt(now);
        for target in &mut self.targets {
            target.set.subtree(path, subtree, learnt);
        }
    }

    /// Marks a directory that is new at its place and watched by now. What a session may have found in it before is compared.
    pub(crate) fn appeared(&mut self, path: &PathBytes, subtree: Subtree, now: Moment) {
        self.hint(path, Hint::DirCreated, now);
        let learnt = self.learnt(now);
        for target in &mut self.targets {
            let purge = subtree.purge || target.is_comparing(path);
            target
                .set
                .subtree(path, Subtree { purge, ..subtree }, learnt);
        }
    }

    /// Marks everything in a polled directory that changed, for each target on whose behalf a session may have seen what came and went
    /// between two looks.
    pub(crate) fn compared_unseen(&mut self, path: &PathBytes, subtree: Subtree, now: Moment) {
        let learnt = self.learnt(now);
        for target in &mut self.targets {
            if target.is_comparing(path) {
                target.set.subtree(path, subtree, learnt);
            }
        }
    }

    /// The moment of what is learnt now. It happened at some time since everything was known, which the wall clock of a mark has to say: a
    /// queue may be read late, and a look tells of what had no event.
    fn learnt(&self, now: Moment) -> Moment {
        Moment {
            real: self.last_settled.real.min(now.real),
            ..now
        }
    }

    /// Forgets moves whose second half did not come: what moved left the tree. When to call again.
    pub(crate) fn expire_moves(&mut self, now: Duration) -> Option<Duration> {
        let seen_empty = self.last_empty.mono;
        let over = |since: Duration| since + MOVE_GRACE <= now && since <= seen_empty;
        let mut left = Vec::new();
        self.moves.retain(|_, half| {
            let keep = !over(half.since);
            if !keep {
                left.extend(half.node);
            }
            keep
        });
        self.orphans.retain(|&(node, since)| {
            let keep = !over(since);
            if !keep {
                left.push(node);
            }
            keep
        });
        if !left.is_empty() {
            self.unpark();
        }
        for node in left {
            // It may have been found at another place meanwhile.
            if self.tree.get(node).is_some_and(|node| !node.is_placed()) {
                let unused = self.tree.remove(node);
                self.unused.extend(unused);
            }
        }
        let moves = self.moves.values().map(|half| half.since);
        let orphans = self.orphans.iter().map(|&(_, since)| since);
        moves.chain(orphans).min().map(|since| since + MOVE_GRACE)
    }

    /// True if a directory or file is between two places.
    pub(crate) fn is_moving(&self) -> bool {
        !self.moves.is_empty() || !self.orphans.is_empty() || !self.parked.is_empty()
    }

    /// Takes the directory out of a place, because another one is there now. It is looked for elsewhere for a while.
    pub(crate) fn displace(&mut self, node: NodeId, now: Moment) {
        if node == Tree::ROOT {
            return;
        }
        if let Some(path) = self.tree.path(node)
            && self.tree.get(node).is_some_and(Node::is_placed)
        {
            self.forsake_below(&path, now);
        }
        self.tree.unplace(node);
        self.orphans.push((node, now.mono));
    }

    /// Removes the directory at a place from the tree, if there is one.
    pub(crate) fn drop_directory(&mut self, place: &Place) -> bool {
        let Some(node) = self.tree.child(place) else {
            return false;
        };
        let unused = self.tree.remove(node);
        self.unused.extend(unused);
        true
    }

    fn overflow(&mut self) {
        self.overflows += 1;
        // An older loss that nobody has looked into yet covers this one.
        if self.lost.is_none() {
            self.lost = Some(Lost {
                since: Moment {
                    mono: self.last_empty.mono,
                    real: seconds_before(self.last_empty.real, 1),
                },
            });
        }
    }

    fn watch_removed(&mut self, wd: i32) {
        self.ignored.push(wd);
        let Some(id) = self.tree.clear_watch(wd) else {
            return;
        };
        if id == Tree::ROOT {
            self.check_root = true;
            return;
        }
        let Some(node) = self.tree.get(id) else {
            return;
        };
        if node.dying || !node.is_placed() || node.access == Access::Unavailable {
            return;
        }
        if let Some(place) = node.place() {
            self.look_at(place);
        }
    }

    fn about_itself(&mut self, dir: NodeId, bits: EventBits, now: Moment) {
        if bits.has(EventBits::UNMOUNT) {
            self.tree.set_access(dir, Access::Unavailable);
            self.unmounted.push(dir);
        }
        if dir == Tree::ROOT {
            if bits.has(EventBits::UNMOUNT | EventBits::DELETE_SELF | EventBits::MOVE_SELF) {
                self.check_root = true;
            }
            if bits.has(EventBits::ATTRIB) {
                self.hint(&PathBytes::from(&b""[..]), Hint::Attributes, now);
            }
        } else if bits.has(EventBits::DELETE_SELF)
            && let Some(node) = self.tree.get_mut(dir)
        {
            node.dying = true;
        }
        // Everything else about a directory is told by its parent, with a name.
    }

    fn about_name(&mut self, dir: NodeId, record: &Record<'_>, now: Moment) {
        let bits = record.bits;
        let directory = bits.has(EventBits::ISDIR);
        let Some(path) = self.tree.path_in(dir, record.name) else {
            return;
        };
        if (self.excludes)(&path, directory) {
            return;
        }
        let events = self.events;
        if let Some(node) = self.tree.get_mut(dir) {
            node.touched = events;
        }
        let place = Place {
            parent: dir,
            name: record.name.into(),
        };
        if bits.has(EventBits::MOVED_FROM) {
            self.moved_from(&place, path, record.cookie, directory, now);
        } else if bits.has(EventBits::MOVED_TO) {
            self.moved_to(place, &path, record.cookie, directory, now);
        } else if directory {
            self.directory_event(place, &path, bits, now);
        } else {
            self.file_event(&place, &path, bits, now);
        }
    }

    fn file_event(&mut self, place: &Place, path: &PathBytes, bits: EventBits, now: Moment) {
        let hint = if bits.has(EventBits::DELETE) {
            self.forsake(place, path, now);
            self.tree.remove_name(place.parent, &place.name);
            Hint::Gone
        } else if bits.has(EventBits::CREATE) {
            self.tree.add_name(place.parent, &place.name, 0);
            Hint::Created
        } else {
            self.tree.see_name(place.parent, &place.name);
            if bits.has(EventBits::CLOSE_WRITE) {
                Hint::Closed
            } else if bits.has(EventBits::MODIFY) {
                Hint::Modified
            } else {
                Hint::Attributes
            }
        };
        self.hint(path, hint, now);
    }

    /// A name is about to be lost: what changed under it and was not brought over yet is told of the other names of its
    /// file, which have no events of it.
    fn forsake(&mut self, place: &Place, path: &PathBytes, now: Moment) {
        let Some(file) = self.tree.file(place.parent, &place.name) else {
            return;
        };
        for target in &mut self.targets {
            if let Some(since) = target.set.owed_since_at(path)
                && target.forsake(file, since)
            {
                target.adopt_forsaken(&self.tree, now);
            }
        }
    }

    /// Like [`State::forsake`], for a name that went without an event: whether it changed before is not known.
    pub(crate) fn forsake_unseen(&mut self, dir: NodeId, name: &[u8], now: Moment) {
        let (Some(file), Some(path)) = (self.tree.file(dir, name), self.tree.path_in(dir, name))
        else {
            return;
        };
        for target in &mut self.targets {
            let unseen = self.last_settled.real;
            let owed = target.set.owed_since_at(&path);
            if target.forsake(file, owed.map_or(unseen, |owed| owed.min(unseen))) {
                target.adopt_forsaken(&self.tree, now);
            }
        }
    }

    /// Like [`State::forsake`], for a directory that is about to be lost. What is removed in it has records of its own; what moves with it
    /// has none.
    fn forsake_below(&mut self, dir: &PathBytes, now: Moment) {
        let tree = &self.tree;
        for target in &mut self.targets {
            let owed: Vec<_> = target
                .set
                .owed_below(dir)
                .filter_map(|path| {
                    let (parent, name) = path::split(path)?;
                    let file = tree.file(tree.find(parent)?, name)?;
                    Some((file, target.set.owed_since_at(path)?))
                })
                .collect();
            for (file, since) in owed {
                if target.forsake(file, since) {
                    target.adopt_forsaken(tree, now);
                }
            }
        }
    }

    fn directory_event(&mut self, place: Place, path: &PathBytes, bits: EventBits, now: Moment) {
        if bits.has(EventBits::DELETE) {
            self.drop_directory(&place);
            self.hint(path, Hint::DirGone, now);
        } else if bits.has(EventBits::CREATE) {
            self.hint(path, Hint::DirCreated, now);
            // A listing may have met it before. Then this look finds nothing new.
            self.look_at(place);
        } else {
            self.hint(path, Hint::Attributes, now);
            let unreadable = self
                .tree
                .child(&place)
                .and_then(|node| self.tree.get(node))
                .is_none_or(|node| node.access == Access::Unreadable);
            if unreadable {
                self.look_at(place);
            }
        }
    }

    fn moved_from(
        &mut self,
        place: &Place,
        path: PathBytes,
        cookie: u32,
        directory: bool,
        now: Moment,
    ) {
        let clean = self
            .targets
            .iter()
            .map(|target| target.set.is_clean_below(&path))
            .collect();
        let (mut node, mut ino) = (None, 0);
        if directory {
            node = self.tree.child(place);
            self.hint(&path, Hint::DirGone, now);
            if let Some(node) = node {
                self.tree.unplace(node);
            }
            // An exchange puts the other directory here with the record before this one.
            self.look_at(place.clone());
        } else {
            self.forsake(place, &path, now);
            ino = self
                .tree
                .remove_name(place.parent, &place.name)
                .unwrap_or(0);
            self.hint(&path, Hint::Gone, now);
        }
        let half = Move {
            path,
            node,
            ino,
            directory,
            since: now.mono,
            event: self.events,
            clean,
        };
        if let Some(older) = self.moves.insert(cookie, half)
            && let Some(node) = older.node
        {
            // Cookies wrap after 2^32 renames.
            self.orphans.push((node, now.mono));
        }
    }

    fn moved_to(
        &mut self,
        place: Place,
        path: &PathBytes,
        cookie: u32,
        directory: bool,
        now: Moment,
    ) {
        let half = self
            .moves
            .remove(&cookie)
            .filter(|half| half.directory == directory);
        if let Some(half) = &half {
            for (target, &clean) in self.targets.iter_mut().zip(&half.clean) {
                target.renamed(&half.path, path, directory, clean);
            }
        }
        if !directory {
            if let Some(node) = self.tree.child(&place) {
                // A file where a directory is known: they were exchanged.
                self.displace(node, now);
            }
            let ino = half.map_or(0, |half| half.ino);
            self.forsake(&place, path, now);
            self.tree.add_name(place.parent, &place.name, ino);
            self.hint(path, Hint::MovedIn, now);
            return;
        }
        self.tree.remove_name(place.parent, &place.name);
        self.hint(path, Hint::DirCreated, now);
        // What stood between the two halves was taken for an event under the old name, deletions included.
        let together = half
            .as_ref()
            .is_none_or(|half| half.event + 1 == self.events);
        let there = self.tree.child(&place);
        // A look may have found it already.
        let node = half
            .and_then(|half| half.node)
            .filter(|&node| self.tree.get(node).is_some_and(|node| !node.is_placed()));
        // Another directory was here and went unseen, or goes with the next record.
        let replaced = node.is_some()
            && there
                .and_then(|there| self.tree.get(there))
                .is_some_and(|there| there.id.is_some());
        let subtree = Subtree {
            // While what was lost is looked for, it may be missed by moving.
            purge: replaced || !together || self.rescanning || self.lost.is_some(),
            ..Subtree::FORCE
        };
        self.subtree(path, subtree, now);
        if let Some(node) = node {
            if let Some(there) = there {
                self.displace(there, now);
            }
            if self.tree.put(node, &place) {
                self.unpark();
            } else {
                self.orphans.push((node, now.mono));
            }
        }
        self.look_at(place);
    }
}

/// How long the first half of a rename waits for the second. They are queued together, but may be read apart.
const MOVE_GRACE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
