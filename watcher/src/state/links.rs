//! Files with several names: what changed under a name that is lost is told of the others.
//!
//! A change of content has an event under the name that was used, and the other names are found when that one is looked at. A name that is
//! gone by then cannot be looked at, so the file is remembered when the name goes.

use super::State;
use crate::clock::Moment;
use crate::path::{self, PathBytes};
use crate::tree::{Finder, NodeId, Place};

impl State {
    /// A name is about to be lost: what changed under it and was not brought over yet is told of the other names of its
    /// file, which have no events of it.
    pub(super) fn forsake(&mut self, place: &Place, path: &PathBytes, now: Moment) {
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

    /// A look at the source found this file under a name. If that was another file's, the events of what came between are still to be read.
    pub(crate) fn seen(&mut self, dir: NodeId, name: &[u8], ino: u64, now: Moment) {
        let known = self.tree.file(dir, name);
        if known.is_some_and(|known| known.ino != ino) {
            self.forsake_unseen(dir, name, now);
        }
        self.tree.add_name(dir, name, ino);
    }

    /// Like [`State::forsake`], for a directory that is about to be lost. What is removed in it has records of its own; what moves with it
    /// has none.
    pub(super) fn forsake_below(&mut self, dir: &PathBytes, now: Moment) {
        let tree = &self.tree;
        for target in &mut self.targets {
            let mut found = Finder::default();
            let owed: Vec<_> = target
                .set
                .owed_below(dir)
                .filter_map(|path| {
                    let (parent, name) = path::split(path)?;
                    let file = tree.file(found.find(tree, parent)?, name)?;
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
}
