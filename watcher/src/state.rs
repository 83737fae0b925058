//! What reader, tree worker and senders share: what is known of the tree, what is left to look at, what each target is owed.
//!
//! One lock holds it all. Nobody keeps the lock across a system call that can block, so the reader gets it within microseconds.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rsync_engine::filter::Chain;

use crate::clock::Moment;
use crate::dirty::{Hint, Subtree};
use crate::guard::Shrinkage;
use crate::path::{self, PathBytes};
use crate::target::Target;
use crate::tree::{Node, NodeId, Place, Tree};

mod links;
mod records;

/// Decides which names are left alone.
#[derive(Clone, Default)]
pub struct Excludes {
    rules: Option<Arc<Rules>>,
    /// The rules at the targets, if they may keep what is not excluded.
    keeps: Option<Arc<Chain>>,
    by_path: bool,
}

impl std::fmt::Debug for Excludes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Excludes")
            .field("any", &self.rules.is_some())
            .field("by_path", &self.by_path)
            .finish()
    }
}

/// Says whether a name is left alone: path below the root, whether it is a directory.
type Rules = dyn Fn(&[u8], bool) -> bool + Send + Sync;

impl Excludes {
    /// Excludes the names of which `rules` says so: path below the root, whether it is a directory. With a directory it must exclude
    /// all below. `by_path`: what it says may depend on more than the last name of the path and the excluded directories on the way.
    pub fn new(rules: impl Fn(&[u8], bool) -> bool + Send + Sync + 'static, by_path: bool) -> Self {
        Self {
            rules: Some(Arc::new(rules)),
            keeps: None,
            by_path,
        }
    }

    /// Filter rules: what those of the sender hide is left alone. Those of the receiver say which directories a target keeps.
    #[must_use]
    pub fn by_filters(sender: Chain, receiver: Chain) -> Self {
        let by_path = sender.depends_on_path();
        let keeps = (sender.is_one_sided() || receiver.is_one_sided()).then(|| Arc::new(receiver));
        Self {
            keeps,
            ..Self::new(
                move |path, is_dir| sender.excludes_path(path, is_dir),
                by_path,
            )
        }
    }

    pub(crate) fn has(&self, path: &[u8], is_dir: bool) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules(path, is_dir))
    }

    /// True if what moves with a directory has to be looked at as if it were new: it may be excluded at one place and not at another, or
    /// be kept.
    pub(crate) fn by_path(&self) -> bool {
        self.by_path || self.keeps.is_some()
    }

    /// True if a target keeps a directory of this name that the source loses, with what is in it. If the source gets one again, that is
    /// to go as far as the source does not have it.
    fn keeps(&self, path: &[u8]) -> bool {
        let keeps = self.keeps.as_ref();
        keeps.is_some_and(|rules| rules.check(path, true).is_excluded())
    }
}

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
        let kept = self.excludes.keeps(path);
        for target in &mut self.targets {
            let purge = subtree.purge || kept || target.is_comparing(path);
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
                self.forget(node);
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

    /// True if what is known below a directory holds at this path, too. Else it is to be forgotten, so that the look at its place finds it
    /// like one that is new: at another path other names may be excluded, and some may be too long, or not any more.
    pub(crate) fn keeps_names(&self, node: NodeId, path: &[u8]) -> bool {
        if self.excludes.by_path() {
            return false;
        }
        let before = self.tree.path(node).map_or(0, |before| before.len());
        let longest = before.max(path.len()) + self.tree.longest_below(node);
        longest + path::LONGEST_NAME < path::LONGEST
    }

    /// Forgets a directory with all below it.
    pub(crate) fn forget(&mut self, node: NodeId) {
        let unused = self.tree.remove(node);
        self.unused.extend(unused);
    }

    /// Removes the directory at a place from the tree, if there is one.
    pub(crate) fn drop_directory(&mut self, place: &Place) -> bool {
        let Some(node) = self.tree.child(place) else {
            return false;
        };
        self.forget(node);
        true
    }
}

/// How long the first half of a rename waits for the second. They are queued together, but may be read apart.
const MOVE_GRACE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
