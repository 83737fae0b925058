//! What each record of the kernel does to the state.
//!
//! No rule here has to be right about what happened, only about where to look: a record marks the names it is about and asks the tree
//! worker to look at every place where a directory may have come, gone or changed. What stands at a place afterwards is found by opening it.

use super::{Lost, Move, State};
use crate::clock::{Moment, seconds_before};
use crate::dirty::{Hint, Subtree};
use crate::inotify::{EventBits, Record};
use crate::path::{self, PathBytes};
use crate::tree::{Access, NodeId, Place, Tree};

impl State {
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
        if self.excludes.has(&path, directory) {
            let came_or_went =
                EventBits::CREATE | EventBits::DELETE | EventBits::MOVED_FROM | EventBits::MOVED_TO;
            if bits.has(came_or_went) {
                // The directory is not excluded, and has another time.
                self.hint(&path::parent(&path).into(), Hint::Attributes, now);
            }
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
            .map(|target| target.set.is_clean(&path))
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
            if !self.keeps_names(node, path) {
                self.forget(node);
                self.unpark();
            } else if self.tree.put(node, &place) {
                self.unpark();
            } else {
                self.orphans.push((node, now.mono));
            }
        }
        self.look_at(place);
    }
}
