//! A listing of a directory, compared with what is known of it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use rsync_engine::fs::{Dir, Errno, FileKind, ListBuf, Name, Stat};

use crate::clock::Moment;
use crate::dirty::{Hint, Subtree};
use crate::path::{self, PathBytes};
use crate::shared::{Inner, Shared};
use crate::state::State;
use crate::tree::{Access, Node, NodeId, Place};

/// Why a place is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The first reading of the tree: a comparison with every target follows.
    Start,
    /// An event named it.
    Event,
    /// Events were lost since: every name is compared with what was known of it.
    Lost(Moment),
    /// It has no watch.
    Poll,
}

/// One entry of a listing.
struct Entry {
    name: Box<[u8]>,
    directory: bool,
    ino: u64,
    stat: Option<Stat>,
}

/// A listing and what it is compared with.
pub(super) struct Listing {
    entries: Vec<Entry>,
    /// The directory itself.
    own: Option<Stat>,
    /// [`crate::state::State::events`] before it.
    events: u64,
    /// The directory has no watch: each entry is compared with how it looked.
    polled: bool,
    /// Nothing in it was known before.
    fresh: bool,
    reason: Reason,
}

/// What is known of a directory before it is listed.
pub(super) struct Known {
    events: u64,
    polled: bool,
    fresh: bool,
}

impl Known {
    pub(super) fn of(node: NodeId, state: &State) -> Self {
        let known = state.tree.get(node);
        Self {
            events: state.events,
            polled: known.is_some_and(|node| node.access == Access::Polled),
            fresh: known.is_none_or(Node::is_empty),
        }
    }
}

impl Listing {
    /// Lists a directory of which this is known.
    pub(super) fn read(
        dir: &Dir,
        list: &mut ListBuf,
        known: Known,
        reason: Reason,
    ) -> Result<Self, Errno> {
        let examine = known.polled || matches!(reason, Reason::Lost(_));
        let mut entries = Vec::new();
        let mut listing = dir.list(list)?;
        while let Some(entry) = listing.next() {
            let entry = entry?;
            let mut directory = entry.kind == Some(FileKind::Directory);
            let mut stat = None;
            if entry.kind.is_none() || (examine && !directory) {
                let Ok(name) = Name::new(entry.name) else {
                    continue;
                };
                match dir.stat(name) {
                    Ok(found) => {
                        directory = found.is_dir();
                        stat = Some(found);
                    }
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(errno),
                }
            }
            entries.push(Entry {
                name: entry.name.into(),
                directory,
                ino: entry.ino,
                stat,
            });
        }
        Ok(Self {
            entries,
            own: dir.self_stat().ok(),
            events: known.events,
            polled: known.polled,
            fresh: known.fresh,
            reason,
        })
    }

    /// Tells the state what differs. Gives the places of the directories in it, after a loss of events.
    pub(super) fn compare(&self, shared: &Shared, node: NodeId, adopted: bool) -> Vec<Place> {
        let mut places = Vec::new();
        for chunk in self.entries.chunks(CHUNK) {
            let mut inner = shared.lock();
            let Some(path) = inner.state.tree.path(node) else {
                return Vec::new();
            };
            for entry in chunk {
                let full = path::join(&path, &entry.name);
                if shared.options.exclude.has(&full, entry.directory) {
                    continue;
                }
                if entry.directory {
                    let place = Place {
                        parent: node,
                        name: Arc::from(&*entry.name),
                    };
                    inner.state.tree.remove_name(node, &entry.name);
                    if matches!(self.reason, Reason::Lost(_)) {
                        places.push(place);
                    } else if adopted || inner.state.tree.child(&place).is_none() {
                        inner.state.look_at(place);
                    }
                } else {
                    self.note(&mut inner, node, &full, entry, shared.now());
                }
            }
        }
        self.finish(shared, node);
        places
    }

    /// Compares one name that is no directory with what is known of it.
    fn note(&self, inner: &mut Inner, node: NodeId, path: &PathBytes, entry: &Entry, now: Moment) {
        let is_new = !inner.state.tree.has_name(node, &entry.name);
        let mut differs = match self.reason {
            Reason::Start | Reason::Event => false,
            Reason::Lost(since) => {
                let known = inner.state.tree.file(node, &entry.name);
                let is_other = known.is_some_and(|known| known.ino != entry.ino);
                is_new || is_other || entry.stat.is_none_or(|stat| stat.ctime >= since.real)
            }
            // It was polled until now, and nobody has looked since the last time.
            Reason::Poll => !self.polled,
        };
        if self.polled
            && let Some(known) = inner.state.tree.get_mut(node)
            && let Some(looks) = &mut known.looks
        {
            let look = entry.stat.as_ref().map_or(0, look_of);
            differs |= looks.insert(entry.name.clone(), look) != Some(look);
        }
        let tree = &mut inner.state.tree;
        let untouched = tree
            .get(node)
            .is_some_and(|known| known.touched <= self.events);
        // Another file may have the name since the listing.
        if is_new || untouched {
            tree.add_name(node, &entry.name, entry.ino);
        }
        if differs {
            inner.state.hint(path, Hint::Differs, now);
        }
    }

    /// Finds what is known and was not listed.
    fn finish(&self, shared: &Shared, node: NodeId) {
        if self.fresh && !self.polled {
            return;
        }
        let now = shared.now();
        let listed: HashSet<&[u8]> = self.entries.iter().map(|entry| &*entry.name).collect();
        let directories = self.entries.iter().filter(|entry| entry.directory);
        let directories: HashSet<&[u8]> = directories.map(|entry| &*entry.name).collect();
        let mut inner = shared.lock();
        let state = &mut inner.state;
        let Some(path) = state.tree.path(node) else {
            return;
        };
        let Some(known) = state.tree.get_mut(node) else {
            return;
        };
        let untouched = known.touched <= self.events;
        let gone: Vec<PathBytes> = known
            .names()
            .filter(|(name, _)| !listed.contains(name))
            .map(|(name, _)| name.into())
            .collect();
        let gone_directories: Vec<Place> = known
            .children()
            .filter(|(name, _)| !directories.contains(&***name))
            .map(|(name, _)| Place {
                parent: node,
                name: name.clone(),
            })
            .collect();
        let mut own_differs = match self.reason {
            Reason::Lost(since) => self.own.is_none_or(|own| own.ctime >= since.real),
            _ => false,
        };
        if self.polled {
            let own_look = (Box::default(), self.own.as_ref().map_or(0, look_of));
            if let Some(looks) = &mut known.looks {
                looks.retain(|name, _| name.is_empty() || listed.contains(&**name));
                own_differs |= looks.insert(own_look.0, own_look.1) != Some(own_look.1);
            } else {
                let all = self.entries.iter().filter(|entry| !entry.directory);
                let all = all.map(|entry| {
                    let look = entry.stat.as_ref().map_or(0, look_of);
                    (entry.name.clone(), look)
                });
                known.looks = Some(all.chain([own_look]).collect());
            }
        }
        for name in gone {
            if self.polled {
                state.forsake_unseen(node, &name, now);
            }
            // An event may have named it since the listing; then it is known already, and a look does no harm.
            if untouched {
                state.tree.remove_name(node, &name);
            }
            state.hint(&path::join(&path, &name), Hint::Gone, now);
        }
        for place in gone_directories {
            state.look_at(place);
        }
        if own_differs {
            state.hint(&path, Hint::Attributes, now);
        }
        if self.polled && own_differs {
            state.compared_unseen(&path, Subtree::REPLACED, now);
        }
        shared.wake_senders(&mut inner);
    }
}

/// A number that changes when what a look can tell changes.
fn look_of(stat: &Stat) -> u64 {
    let mut hasher = DefaultHasher::new();
    (stat.id.ino, stat.size, stat.mode, stat.uid, stat.gid).hash(&mut hasher);
    (stat.mtime, stat.ctime).hash(&mut hasher);
    hasher.finish()
}

/// Entries of a listing taken in under one hold of the lock.
const CHUNK: usize = 2_048;
