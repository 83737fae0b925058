//! The directories of the watched tree, identified by their watches.
//!
//! A path is computed from the names up to the root when it is needed, never stored: a move is one change of parent, whatever lies below.
//! Each directory also knows the names of what is in it that is no directory: after a loss of events only that tells which of them vanished.
//!
//! Pure: no system calls. What the kernel says about a place is compared with it elsewhere ([`crate::survey`]).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use rsync_engine::fs::FileId;

use crate::path::{self, PathBytes};

/// A directory node. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(u64);

/// How changes in a directory are learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Access {
    /// Not looked at yet.
    #[default]
    New,
    /// By its watch.
    Watched,
    /// By looking at it now and then: no watch could be had, or its file system does not tell.
    Polled,
    /// Not at all: it must not be read. Nothing below is sent or deleted.
    Unreadable,
    /// Not at all: its file system was unmounted. Nothing below is deleted.
    Unavailable,
}

impl Access {
    /// Whether nothing below may be deleted.
    fn is_blocked(self) -> bool {
        matches!(self, Self::Unreadable | Self::Unavailable)
    }
}

/// A directory.
#[derive(Debug)]
pub(crate) struct Node {
    parent: Option<NodeId>,
    name: Arc<[u8]>,
    /// False while it is between two places: moved away, its new place not known yet.
    placed: bool,
    wd: Option<i32>,
    /// The directory that was found here.
    pub(crate) id: Option<FileId>,
    pub(crate) access: Access,
    /// Its removal was announced; the rest of the records will follow.
    pub(crate) dying: bool,
    /// The number of the last event that named something in it.
    pub(crate) touched: u64,
    children: HashMap<Arc<[u8]>, NodeId>,
    /// What is no directory, with its inode number (0: not known).
    names: HashMap<Box<[u8]>, u64>,
    /// Of a polled directory: what each entry looked like.
    pub(crate) looks: Option<HashMap<Box<[u8]>, u64>>,
}

impl Node {
    fn new(parent: Option<NodeId>, name: Arc<[u8]>) -> Self {
        Self {
            parent,
            name,
            placed: true,
            wd: None,
            id: None,
            access: Access::New,
            dying: false,
            touched: 0,
            children: HashMap::new(),
            names: HashMap::new(),
            looks: None,
        }
    }

    pub(crate) fn is_placed(&self) -> bool {
        self.placed
    }

    /// Parent and name; the place it came from while it is unplaced. `None` for the root.
    pub(crate) fn place(&self) -> Option<Place> {
        Some(Place {
            parent: self.parent?,
            name: self.name.clone(),
        })
    }

    pub(crate) fn children(&self) -> impl Iterator<Item = (&Arc<[u8]>, NodeId)> {
        self.children.iter().map(|(name, id)| (name, *id))
    }

    /// True if nothing in it is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.children.is_empty() && self.names.is_empty()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.names.iter().map(|(name, ino)| (&**name, *ino))
    }
}

/// A name in a directory where a directory may be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) parent: NodeId,
    pub(crate) name: Arc<[u8]>,
}

/// All directories.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: HashMap<NodeId, Node>,
    by_wd: HashMap<i32, NodeId>,
    next: u64,
    /// Names and directories below the root.
    entries: usize,
    /// Directories that are polled, unreadable or unavailable.
    unwatched: BTreeSet<NodeId>,
    /// How often one that could not be read could be read again, or went.
    unblocked: u64,
}

impl Tree {
    /// The root.
    pub(crate) const ROOT: NodeId = NodeId(0);

    pub(crate) fn new() -> Self {
        Self {
            nodes: HashMap::from([(Self::ROOT, Node::new(None, Arc::from(&b""[..])))]),
            by_wd: HashMap::new(),
            next: 1,
            entries: 0,
            unwatched: BTreeSet::new(),
            unblocked: 0,
        }
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(&id)
    }

    pub(crate) fn by_wd(&self, wd: i32) -> Option<NodeId> {
        self.by_wd.get(&wd).copied()
    }

    /// Directories known.
    pub(crate) fn directories(&self) -> usize {
        self.nodes.len()
    }

    /// Names known, directories included.
    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    /// The path of a directory; of an unplaced one where it was last. `None` if it is gone.
    pub(crate) fn path(&self, id: NodeId) -> Option<PathBytes> {
        let mut names = Vec::new();
        let mut node = self.nodes.get(&id)?;
        let mut length = 0;
        while let Some(parent) = node.parent {
            length += node.name.len() + 1;
            names.push(&node.name);
            node = self.nodes.get(&parent)?;
        }
        let mut path = Vec::with_capacity(length);
        for name in names.into_iter().rev() {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
        }
        Some(path.into())
    }

    /// The path of a name in a directory.
    pub(crate) fn path_in(&self, dir: NodeId, name: &[u8]) -> Option<PathBytes> {
        Some(path::join(&self.path(dir)?, name))
    }

    pub(crate) fn child(&self, place: &Place) -> Option<NodeId> {
        self.nodes
            .get(&place.parent)?
            .children
            .get(&place.name)
            .copied()
    }

    /// The directory at a path.
    pub(crate) fn find(&self, path: &[u8]) -> Option<NodeId> {
        let mut id = Self::ROOT;
        if !path.is_empty() {
            for name in path.split(|&b| b == b'/') {
                id = *self.nodes.get(&id)?.children.get(name)?;
            }
        }
        Some(id)
    }

    /// The node at a place, made if there is none. `None` if its parent is gone.
    pub(crate) fn ensure(&mut self, place: &Place) -> Option<NodeId> {
        let parent = self.nodes.get_mut(&place.parent)?;
        if let Some(&child) = parent.children.get(&place.name) {
            return Some(child);
        }
        let id = NodeId(self.next);
        self.next += 1;
        parent.children.insert(place.name.clone(), id);
        self.nodes
            .insert(id, Node::new(Some(place.parent), place.name.clone()));
        self.entries += 1;
        Some(id)
    }

    /// Takes a directory out of its place, with all below it, until it is placed again or removed.
    pub(crate) fn unplace(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let Some(parent) = node.parent else { return };
        if !std::mem::replace(&mut node.placed, false) {
            return;
        }
        let name = node.name.clone();
        if let Some(parent) = self.nodes.get_mut(&parent) {
            parent.children.remove(&name);
        }
    }

    /// Puts an unplaced directory into a place. False, and nothing done, if it has a place, or this one is taken, its parent gone or inside
    /// the directory itself.
    pub(crate) fn put(&mut self, id: NodeId, place: &Place) -> bool {
        let is_placed = self.nodes.get(&id).is_none_or(|node| node.placed);
        if is_placed || self.is_at_or_above(id, place.parent) || self.child(place).is_some() {
            return false;
        }
        let Some(parent) = self.nodes.get_mut(&place.parent) else {
            return false;
        };
        parent.children.insert(place.name.clone(), id);
        let Some(node) = self.nodes.get_mut(&id) else {
            return false;
        };
        node.parent = Some(place.parent);
        node.name = place.name.clone();
        node.placed = true;
        true
    }

    /// Removes a directory and everything below it; gives the watches that are of no use any more.
    pub(crate) fn remove(&mut self, id: NodeId) -> Vec<i32> {
        self.unplace(id);
        let mut unused = Vec::new();
        let mut doomed = vec![id];
        while let Some(id) = doomed.pop() {
            let Some(node) = self.nodes.remove(&id) else {
                continue;
            };
            self.entries = self.entries.saturating_sub(1 + node.names.len());
            self.unwatched.remove(&id);
            self.unblocked += u64::from(node.access.is_blocked());
            if let Some(wd) = node.wd {
                self.by_wd.remove(&wd);
                unused.push(wd);
            }
            doomed.extend(node.children.into_values());
        }
        unused
    }

    /// Gives a directory its watch; takes it from whoever had it.
    pub(crate) fn set_watch(&mut self, id: NodeId, wd: i32, dir: FileId) {
        if let Some(before) = self.by_wd.insert(wd, id)
            && before != id
            && let Some(before) = self.nodes.get_mut(&before)
        {
            before.wd = None;
            before.access = Access::New;
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            if let Some(old) = node.wd.replace(wd)
                && old != wd
            {
                self.by_wd.remove(&old);
            }
            node.id = Some(dir);
            node.dying = false;
        }
        self.set_access(id, Access::Watched);
    }

    /// Forgets a watch; gives the directory that had it.
    pub(crate) fn clear_watch(&mut self, wd: i32) -> Option<NodeId> {
        let id = self.by_wd.remove(&wd)?;
        if let Some(node) = self.nodes.get_mut(&id) {
            node.wd = None;
            if node.access == Access::Watched {
                node.access = Access::New;
            }
        }
        Some(id)
    }

    pub(crate) fn set_access(&mut self, id: NodeId, access: Access) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut node.access, access);
        self.unblocked += u64::from(before.is_blocked() && !access.is_blocked());
        if access != Access::Polled {
            node.looks = None;
        }
        match access {
            Access::New | Access::Watched => self.unwatched.remove(&id),
            Access::Polled | Access::Unreadable | Access::Unavailable => self.unwatched.insert(id),
        };
    }

    /// True if the directory at `path` is this one and its changes are learnt: what is seen in it from now on cannot vanish unseen.
    pub(crate) fn is_attached(&self, path: &[u8], id: FileId) -> bool {
        self.find(path)
            .and_then(|node| self.nodes.get(&node))
            .is_some_and(|node| {
                node.id == Some(id) && matches!(node.access, Access::Watched | Access::Polled)
            })
    }

    /// What was unavailable can be looked at again.
    pub(crate) fn make_available(&mut self) {
        for id in self.unwatched.clone() {
            if self.has_access(id, Access::Unavailable) {
                self.set_access(id, Access::Polled);
            }
        }
    }

    /// The paths at or below which nothing may be deleted.
    pub(crate) fn blocked(&self) -> impl Iterator<Item = PathBytes> {
        let blocked = |id| {
            self.get(id)
                .is_some_and(|node: &Node| node.access.is_blocked())
        };
        self.unwatched
            .iter()
            .filter(move |id| blocked(**id))
            .filter_map(|&id| self.path(id))
    }

    /// A number that changes when one of those paths can be read again, or is gone.
    pub(crate) fn unblocked(&self) -> u64 {
        self.unblocked
    }

    /// The directories of which no event comes.
    pub(crate) fn unwatched(&self) -> impl ExactSizeIterator<Item = NodeId> {
        self.unwatched.iter().copied()
    }

    /// True if a directory is polled.
    pub(crate) fn is_any_polled(&self) -> bool {
        let mut unwatched = self.unwatched.iter();
        unwatched.any(|&id| self.has_access(id, Access::Polled))
    }

    fn has_access(&self, id: NodeId, access: Access) -> bool {
        self.nodes
            .get(&id)
            .is_some_and(|node| node.access == access)
    }

    /// Notes a name that is no directory. `ino` 0: not known.
    pub(crate) fn add_name(&mut self, dir: NodeId, name: &[u8], ino: u64) {
        let Some(node) = self.nodes.get_mut(&dir) else {
            return;
        };
        match node.names.get_mut(name) {
            Some(known) => *known = ino,
            None => {
                node.names.insert(name.into(), ino);
                self.entries += 1;
            }
        }
    }

    /// Notes a name of which an event came, without losing its inode number.
    pub(crate) fn see_name(&mut self, dir: NodeId, name: &[u8]) {
        if let Some(node) = self.nodes.get(&dir)
            && !node.names.contains_key(name)
        {
            self.add_name(dir, name, 0);
        }
    }

    /// True if the name is known and no directory.
    pub(crate) fn has_name(&self, dir: NodeId, name: &[u8]) -> bool {
        self.nodes
            .get(&dir)
            .is_some_and(|node| node.names.contains_key(name))
    }

    /// The file that a name is known to be.
    pub(crate) fn file(&self, dir: NodeId, name: &[u8]) -> Option<FileId> {
        let node = self.nodes.get(&dir)?;
        let ino = *node.names.get(name).filter(|&&ino| ino != 0)?;
        let dev = node.id?.dev;
        Some(FileId { dev, ino })
    }

    /// Forgets a name; gives its inode number.
    pub(crate) fn remove_name(&mut self, dir: NodeId, name: &[u8]) -> Option<u64> {
        let ino = self.nodes.get_mut(&dir)?.names.remove(name)?;
        self.entries = self.entries.saturating_sub(1);
        Some(ino)
    }

    /// True if `upper` is `lower` or a directory above it.
    pub(crate) fn is_at_or_above(&self, upper: NodeId, lower: NodeId) -> bool {
        let mut at = Some(lower);
        while let Some(id) = at {
            if id == upper {
                return true;
            }
            at = self.nodes.get(&id).and_then(|node| node.parent);
        }
        false
    }

    /// True if `id` or a directory above it is between two places.
    pub(crate) fn is_between_places(&self, id: NodeId) -> bool {
        let mut at = Some(id);
        while let Some(node) = at.and_then(|id| self.nodes.get(&id)) {
            if !node.placed {
                return true;
            }
            at = node.parent;
        }
        false
    }

    /// True if `id` or a directory above it has this access.
    pub(crate) fn is_within_access(&self, id: NodeId, access: Access) -> bool {
        let mut at = Some(id);
        while let Some(node) = at.and_then(|id| self.nodes.get(&id)) {
            if node.access == access {
                return true;
            }
            at = node.parent;
        }
        false
    }

    /// How much longer than its own path the longest of the paths of the directories below one is.
    pub(crate) fn longest_below(&self, id: NodeId) -> usize {
        let mut longest = 0;
        let mut todo = vec![(id, 0)];
        while let Some((id, length)) = todo.pop() {
            longest = longest.max(length);
            let below = self.nodes.get(&id).into_iter().flat_map(Node::children);
            todo.extend(below.map(|(name, id)| (id, length + 1 + name.len())));
        }
        longest
    }

    /// All names of the files with these numbers: hard links whose other names got no event.
    pub(crate) fn names_of(&self, wanted: &HashSet<FileId>) -> Vec<(PathBytes, FileId)> {
        let mut found = Vec::new();
        for (&id, node) in &self.nodes {
            let Some(dev) = node.id.map(|id| id.dev) else {
                continue;
            };
            for (name, &ino) in &node.names {
                let file = FileId { dev, ino };
                if ino != 0
                    && wanted.contains(&file)
                    && let Some(path) = self.path_in(id, name)
                {
                    found.push((path, file));
                }
            }
        }
        found
    }
}

/// Finds directories by path, one after the other: names of one directory follow each other. For as long as the tree does not change
/// its directories.
#[derive(Debug, Default)]
pub(crate) struct Finder<'p> {
    last: Option<(&'p [u8], Option<NodeId>)>,
}

impl<'p> Finder<'p> {
    /// As [`Tree::find`].
    pub(crate) fn find(&mut self, tree: &Tree, path: &'p [u8]) -> Option<NodeId> {
        match self.last {
            Some((last, found)) if last == path => found,
            _ => {
                let found = tree.find(path);
                self.last = Some((path, found));
                found
            }
        }
    }
}

#[cfg(test)]
mod tests;
