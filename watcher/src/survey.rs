//! Looking at a place: open what stands there, watch it, compare it with the tree, list it.
//!
//! One handle serves watch, identity and listing, and the watch is set before the listing: what was made before is listed, what is made after
//! has an event. A look can be repeated at any time; the last look at a place after its last change makes the tree right there.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use rsync_engine::fs::{Dir, Errno, FileId, ListBuf, Name, Stat, describe};

pub(crate) use self::listing::Reason;
use self::listing::{Known, Listing};
use crate::clock::Moment;
use crate::dirty::{Hint, Subtree};
use crate::event::WatchEvent;
use crate::filesystem;
use crate::inotify;
use crate::path::{self, PathBytes};
use crate::shared::{Inner, Shared};
use crate::source::Source;
use crate::state::{Lost, State};
use crate::tree::{Access, Node, NodeId, Place, Tree};

mod listing;

/// Looks at places, for the tree worker.
pub(crate) struct Surveyor {
    shared: Arc<Shared>,
    list: ListBuf,
    /// The directory of the last place.
    parent: Option<(NodeId, Dir)>,
    /// The directory that was found there: the next place may be in it.
    found: Option<(NodeId, Dir)>,
    /// Devices whose file system was asked for, with whether it tells of all changes.
    devices: Vec<(u64, bool)>,
    limit_reported: bool,
}

/// An open directory and where it stands.
struct Sight<'a> {
    place: &'a Place,
    dir: &'a Dir,
    stat: &'a Stat,
    watchable: bool,
    reason: Reason,
}

/// What became of the directory at a place.
enum Adopted {
    /// It is the one that was known, watched since.
    Known(NodeId),
    /// It is new here and must be listed.
    New(NodeId),
    /// It has the watch of another node, at this path: is it still there, too?
    Elsewhere(NodeId, PathBytes),
    /// Its place is gone.
    Nowhere,
}

impl Surveyor {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            list: ListBuf::default(),
            parent: None,
            found: None,
            devices: Vec::new(),
            limit_reported: false,
        }
    }

    /// Looks at the root. `Err`: it cannot be read.
    pub(crate) fn look_at_root(&mut self, reason: Reason) -> Result<Vec<Place>, Errno> {
        let source = self.shared.lock().source.clone();
        let dir = source.open_list(b"")?;
        let id = source.id();
        let watchable = self.is_watchable(&dir, id.dev, b"");
        let mut inner = self.shared.lock();
        let watch = if watchable {
            self.shared.instance.watch(dir.as_fd())
        } else {
            Err(Errno::OPNOTSUPP)
        };
        match watch {
            Ok(wd) => inner.state.tree.set_watch(Tree::ROOT, wd, id),
            Err(errno @ (Errno::NOSPC | Errno::OPNOTSUPP)) => {
                set_polled(&mut inner, Tree::ROOT, id, errno);
            }
            Err(errno) => return Err(errno),
        }
        drop(inner);
        Ok(self.list_into(Tree::ROOT, &dir, true, reason))
    }

    /// Looks at a place below the root. Gives the places of directories in it, if it was compared.
    pub(crate) fn look(&mut self, place: &Place, reason: Reason) -> Vec<Place> {
        let (path, source) = {
            let inner = self.shared.lock();
            let tree = &inner.state.tree;
            let Some(path) = tree.path_in(place.parent, &place.name) else {
                return Vec::new();
            };
            // What is seen there now is what the missing file system covered.
            if tree.is_within_access(place.parent, Access::Unavailable) {
                return Vec::new();
            }
            (path, inner.source.clone())
        };
        if path.len() > path::LONGEST || self.shared.options.exclude.has(&path, true) {
            return Vec::new();
        }
        let Some(parent) = self.parent(place, &source) else {
            if let Reason::Lost(since) = reason {
                // This directory was not compared.
                self.shared.lock().state.lost = Some(Lost { since });
            }
            return Vec::new();
        };
        match open_child(&parent, &place.name) {
            Ok((dir, stat)) => {
                let sight = Sight {
                    place,
                    watchable: self.is_watchable(&dir, stat.id.dev, &path),
                    dir: &dir,
                    stat: &stat,
                    reason,
                };
                self.found(&sight, &source)
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                self.nothing_there(place);
                Vec::new()
            }
            Err(errno) => {
                self.unreadable(place, errno);
                Vec::new()
            }
        }
    }

    /// A handle of the directory that a place is in: of that very directory, wherever it is by now. What is at the same path may be another
    /// one, if it moved and its record is still in the queue; then its own place is looked at first.
    fn parent(&mut self, place: &Place, source: &Source) -> Option<Dir> {
        let (path, id) = {
            let inner = self.shared.lock();
            let tree = &inner.state.tree;
            (tree.path(place.parent)?, tree.get(place.parent)?.id)
        };
        let held = self.found.take_if(|(node, _)| *node == place.parent);
        self.parent = held.or_else(|| self.parent.take());
        if let Some((node, dir)) = &self.parent
            && *node == place.parent
            && dir.id().ok() == id
        {
            return Some(dir.clone());
        }
        let dir = source.open_dir(&path).ok();
        if let Some(dir) = dir
            && dir.id().ok() == id
        {
            self.parent = Some((place.parent, dir.clone()));
            return Some(dir);
        }
        let mut inner = self.shared.lock();
        inner.state.look_above_first(place);
        None
    }

    /// Nothing is left to look at.
    pub(crate) fn idle(&mut self) {
        (self.parent, self.found) = (None, None);
    }

    /// Looks at a directory that has no watch.
    pub(crate) fn poll(&mut self, node: NodeId) {
        let place = self
            .shared
            .lock()
            .state
            .tree
            .get(node)
            .map(|node| node.place());
        match place {
            // The root could be read before; what it is now the root check tells.
            Some(None) => drop(self.look_at_root(Reason::Poll)),
            Some(Some(place)) => drop(self.look(&place, Reason::Poll)),
            None => {}
        }
    }

    fn found(&mut self, sight: &Sight<'_>, source: &Source) -> Vec<Place> {
        let reason = sight.reason;
        let mut still_elsewhere = None;
        loop {
            let now = self.shared.now();
            let mut inner = self.shared.lock();
            let adopted = self.adopt(&mut inner, sight, still_elsewhere, now);
            drop(inner);
            match adopted {
                Adopted::Nowhere => return Vec::new(),
                Adopted::Known(_) if matches!(reason, Reason::Event | Reason::Start) => {
                    return Vec::new();
                }
                Adopted::Known(node) => {
                    return self.list_into(node, sight.dir, false, reason);
                }
                Adopted::New(node) => {
                    self.found = Some((node, sight.dir.clone()));
                    return self.list_into(node, sight.dir, true, reason);
                }
                Adopted::Elsewhere(node, other) => {
                    still_elsewhere = Some((node, source.id_at(&other) == Ok(sight.stat.id)));
                }
            }
        }
    }

    /// Gives the directory behind a handle its node. Under the lock: a record that carries the new watch cannot be read before the tree
    /// knows it. `still_elsewhere` answers [`Adopted::Elsewhere`].
    fn adopt(
        &self,
        inner: &mut Inner,
        sight: &Sight<'_>,
        still_elsewhere: Option<(NodeId, bool)>,
        now: Moment,
    ) -> Adopted {
        let Sight { place, stat, .. } = *sight;
        let watch = if sight.watchable {
            self.shared.instance.watch(sight.dir.as_fd())
        } else {
            Err(Errno::OPNOTSUPP)
        };
        let there = inner.state.tree.child(place);
        if let Ok(wd) = watch {
            // It was given up a moment ago, and is wanted again.
            inner.state.unused.retain(|unused| *unused != wd);
        }
        if let Ok(wd) = watch
            && let Some(holder) = inner.state.tree.by_wd(wd)
        {
            let access = inner.state.tree.get(holder).map(|node| node.access);
            if Some(holder) == there {
                if access != Some(Access::Unreadable) {
                    return Adopted::Known(holder);
                }
                // It had its watch all the time, but walks left it out.
                inner.state.tree.set_access(holder, Access::Watched);
                appeared(inner, sight, Subtree::FORCE, now);
                return Adopted::New(holder);
            }
            let is_placed = inner
                .state
                .tree
                .get(holder)
                .is_some_and(|node| node.is_placed());
            let seen = still_elsewhere.and_then(|(node, still)| (node == holder).then_some(still));
            match (is_placed, seen) {
                (true, None) => {
                    let path = inner.state.tree.path(holder);
                    return path.map_or(Adopted::Nowhere, |path| Adopted::Elsewhere(holder, path));
                }
                // The same directory at two places (a bind mount): the second one is polled.
                (true, Some(true)) => {
                    let Some(node) = inner.state.tree.ensure(place) else {
                        return Adopted::Nowhere;
                    };
                    let known =
                        inner.state.tree.get(node).and_then(|node| node.id) == Some(stat.id);
                    set_polled(inner, node, stat.id, Errno::EXIST);
                    return if known {
                        Adopted::Known(node)
                    } else {
                        appeared(inner, sight, Subtree::FORCE, now);
                        Adopted::New(node)
                    };
                }
                _ => {
                    if let Some(node) = claim(&mut inner.state, holder, place, now) {
                        let anew = node != holder || access == Some(Access::Unreadable);
                        inner.state.unused.retain(|unused| *unused != wd);
                        inner.state.tree.set_watch(node, wd, stat.id);
                        // Its events were taken for ones under the old path, deletions included.
                        appeared(inner, sight, Subtree::REPLACED, now);
                        return if anew {
                            Adopted::New(node)
                        } else {
                            Adopted::Known(node)
                        };
                    }
                    inner.state.tree.clear_watch(wd);
                }
            }
        }
        let mut mark = Some(Subtree::FORCE);
        if let Some(there) = there
            && let Some(known) = inner.state.tree.get(there)
            && let Some(id) = known.id
        {
            match known.access {
                // What the missing file system covered.
                Access::Unavailable if id != stat.id => return Adopted::Nowhere,
                Access::Unavailable => {}
                // Another directory was here.
                _ if id != stat.id => {
                    inner.state.displace(there, now);
                    mark = Some(Subtree::REPLACED);
                }
                Access::Polled if watch.is_err() => return Adopted::Known(there),
                // Only its own names are in question, not those of the directories below.
                Access::Polled => mark = None,
                // It lost its watch. The listing tells which names went.
                _ => {}
            }
        }
        let Some(node) = inner.state.tree.ensure(place) else {
            return Adopted::Nowhere;
        };
        match watch {
            Ok(wd) => inner.state.tree.set_watch(node, wd, stat.id),
            Err(errno) => set_polled(inner, node, stat.id, errno),
        }
        if let Some(mark) = mark {
            appeared(inner, sight, mark, now);
        }
        Adopted::New(node)
    }

    fn nothing_there(&self, place: &Place) {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        let Some(path) = inner.state.tree.path_in(place.parent, &place.name) else {
            return;
        };
        // What nobody knew of yet has its records.
        if let Some(node) = inner.state.tree.child(place) {
            inner.state.hint(&path, Hint::DirGone, now);
            // It may turn up elsewhere: the record of its move can still be in the queue.
            inner.state.displace(node, now);
            self.shared.wake_senders(&mut inner);
        }
    }

    fn unreadable(&self, place: &Place, errno: Errno) {
        let mut inner = self.shared.lock();
        let tree = &mut inner.state.tree;
        let (Some(path), Some(node)) =
            (tree.path_in(place.parent, &place.name), tree.ensure(place))
        else {
            return;
        };
        let before = tree.get(node).map(|node| node.access);
        tree.set_access(node, Access::Unreadable);
        drop(inner);
        if before != Some(Access::Unreadable) {
            self.shared.report(WatchEvent::Unreadable {
                path,
                text: describe(errno),
            });
        }
    }

    /// Says once what the limit of watches is and how to raise it.
    pub(crate) fn report_limit(&mut self) {
        let (reached, needed) = {
            let inner = self.shared.lock();
            let state = &inner.state;
            (state.watch_limit_reached, state.tree.directories())
        };
        if !reached || std::mem::replace(&mut self.limit_reported, true) {
            return;
        }
        let (used, limit) = (self.shared.instance.used(), inotify::watch_limit());
        let enough = enough_watches(used, needed, limit.unwrap_or(0));
        self.shared.report(WatchEvent::WatchLimit {
            used,
            limit,
            needed,
            advice: format!("sysctl fs.inotify.max_user_watches={enough}"),
            interval: self.shared.options.poll_interval,
        });
    }

    /// Whether the file system tells of every change made on it. Asked once a device.
    fn is_watchable(&mut self, dir: &Dir, device: u64, path: &[u8]) -> bool {
        if let Some((_, tells)) = self.devices.iter().find(|(known, _)| *known == device) {
            return *tells;
        }
        let unwatchable = dir.fs_magic().ok().and_then(filesystem::changed_elsewhere);
        self.devices.push((device, unwatchable.is_none()));
        if let Some(file_system) = unwatchable {
            self.shared.report(WatchEvent::NotWatchable {
                path: path.into(),
                file_system,
                interval: self.shared.options.poll_interval,
            });
        }
        unwatchable.is_none()
    }

    /// Lists a directory and compares it with what is known of it. Gives the places of the directories in it, after a loss of events.
    fn list_into(&mut self, node: NodeId, dir: &Dir, adopted: bool, reason: Reason) -> Vec<Place> {
        let known = Known::of(node, &self.shared.lock().state);
        match Listing::read(dir, &mut self.list, known, reason) {
            Ok(listing) => listing.compare(&self.shared, node, adopted),
            Err(errno) => {
                // Half a listing says nothing about what is missing.
                let inner = self.shared.lock();
                let place = inner.state.tree.get(node).and_then(Node::place);
                drop(inner);
                match place {
                    // Removed since it was opened.
                    Some(place) if errno == Errno::NOENT => self.shared.lock().state.look_at(place),
                    Some(place) => self.unreadable(&place, errno),
                    None => {}
                }
                Vec::new()
            }
        }
    }
}

/// A limit of watches with which a program that has `used` and needs `needed` gets all of them, while the user's other programs keep
/// theirs, which fill the present limit; with a quarter more for what comes.
fn enough_watches(used: usize, needed: usize, limit: usize) -> usize {
    let others = limit.saturating_sub(used);
    let total = others.saturating_add(needed);
    total
        .saturating_add(total / 4)
        .saturating_add(1)
        .next_multiple_of(1_024)
}

fn open_child(parent: &Dir, name: &[u8]) -> Result<(Dir, Stat), Errno> {
    let name = Name::new(name).map_err(|_| Errno::INVAL)?;
    let dir = parent.open_list(name)?;
    let stat = dir.self_stat()?;
    Ok((dir, stat))
}

/// Moves a known directory to the place where it was found, or makes a new one there if what is known of it does not hold there. `None` if the tree has the place inside that directory: then the tree is
/// wrong further up, and the directory's own place is looked at.
fn claim(state: &mut State, node: NodeId, place: &Place, now: Moment) -> Option<NodeId> {
    let known = state.tree.get(node)?;
    if known.is_placed()
        && let Some(old) = known.place()
        && let Some(path) = state.tree.path(node)
    {
        // Nobody has told yet that it went away from there.
        state.hint(&path, Hint::DirGone, now);
        state.look_at(old);
    }
    if state.tree.is_at_or_above(node, place.parent) {
        return None;
    }
    if let Some(there) = state.tree.child(place) {
        state.displace(there, now);
    }
    let path = state.tree.path_in(place.parent, &place.name)?;
    if !state.keeps_names(node, &path) {
        state.forget(node);
        state.unpark();
        return state.tree.ensure(place);
    }
    state.tree.unplace(node);
    if state.tree.put(node, place) {
        state.unpark();
        return Some(node);
    }
    state.displace(node, now);
    None
}

/// Marks a directory that is new at its place.
fn appeared(inner: &mut Inner, sight: &Sight<'_>, subtree: Subtree, now: Moment) {
    // At the start a comparison of everything follows. Else the mark comes after the watch, so that the walk it asks for sees everything that
    // has no event.
    if sight.reason != Reason::Start {
        let place = sight.place;
        if let Some(path) = inner.state.tree.path_in(place.parent, &place.name) {
            inner.state.appeared(&path, subtree, now);
        }
    }
}

fn set_polled(inner: &mut Inner, node: NodeId, id: FileId, why: Errno) {
    inner.state.watch_limit_reached |= why == Errno::NOSPC;
    inner.state.tree.set_access(node, Access::Polled);
    if let Some(node) = inner.state.tree.get_mut(node) {
        node.id = Some(id);
    }
}

#[cfg(test)]
mod tests {
    use super::enough_watches;

    #[test]
    fn advice_never_lowers_the_limit_and_suffices_beside_other_programs() {
        for (used, needed, limit) in [
            (19, 21, 3_121),
            (2, 5, 192_536),
            (0, 1, 0),
            (8_192, 1_000_000, 8_192),
            (40, 40_000, 65_536),
        ] {
            let enough = enough_watches(used, needed, limit);
            let others = limit.saturating_sub(used);
            assert!(
                enough > limit && enough > others + needed,
                "{used} {needed} {limit}"
            );
        }
    }
}
