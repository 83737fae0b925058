//! Marks of large files, which are sent beside all others. Whatever has to do with such a file waits until it is done, so that two
//! sessions never work at the same place of a target.

use std::time::Duration;

use super::{DirtySet, range_within};
use crate::clock::Moment;
use crate::dirty::Mark;
use crate::path::{self, PathBytes};

impl DirtySet {
    /// Takes a file out of what is in flight, with its mark, or one of its own if that of a directory stood for it.
    pub(crate) fn set_aside(&mut self, path: &PathBytes, now: Moment) {
        let mark = self.take_apart(path, now);
        self.aside.insert(path.clone(), mark);
    }

    /// Puts a file that is in flight back until what is aside is done.
    pub(crate) fn wait_for_aside(&mut self, path: &PathBytes, now: Moment) {
        let mark = self.take_apart(path, now);
        self.put_back(path.clone(), mark);
        if let Some(mark) = self.marks.get(path) {
            self.due.remove(&(mark.due(&self.timing), path.clone()));
            self.parked.insert(path.clone());
        }
    }

    fn take_apart(&mut self, path: &PathBytes, now: Moment) -> Mark {
        self.in_flight.remove(path).unwrap_or_else(|| Mark {
            content: true,
            closed: true,
            ..Mark::walked(now)
        })
    }

    /// True if something is aside.
    pub(crate) fn has_aside(&self) -> bool {
        !self.aside.is_empty()
    }

    /// What was aside is done: it is in flight again, to be confirmed, put back or failed; gives the paths. What waited for it is due.
    pub(crate) fn land(&mut self) -> Vec<PathBytes> {
        for path in std::mem::take(&mut self.parked) {
            if let Some(mark) = self.marks.get(&path) {
                self.due.insert((mark.due(&self.timing), path));
            }
        }
        let landed = std::mem::take(&mut self.aside);
        let paths = landed.keys().cloned().collect();
        self.in_flight.extend(landed);
        paths
    }

    /// Puts a mark that is in flight back, to be taken from now on.
    pub(crate) fn give_back_one(&mut self, path: &PathBytes) {
        if let Some(mut mark) = self.in_flight.remove(path) {
            mark.not_before = Duration::ZERO;
            self.put_back(path.clone(), mark);
        }
    }

    /// True if `path` is a file that is aside, or above or below one.
    pub(super) fn meets_aside(&self, path: &[u8]) -> bool {
        !self.aside.is_empty()
            && (range_within(&self.aside, path).next().is_some()
                || path::ancestors(path).any(|above| self.aside.contains_key(above)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dirty::{Hint, Subtree, Timing};

    fn at(secs: u64) -> Moment {
        Moment {
            mono: Duration::from_secs(secs),
            ..Moment::default()
        }
    }

    fn taken(set: &mut DirtySet, secs: u64) -> Vec<String> {
        let taken = set.take(Duration::from_secs(secs), 99);
        let mut names: Vec<_> = taken
            .iter()
            .map(|taken| String::from_utf8_lossy(&taken.path).into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_has_to_do_with_a_file_aside_waits_for_it() {
        let key = |path: &str| PathBytes::from(path.as_bytes());
        let mut set = DirtySet::new(Timing::default());
        set.hint(&key("d/big"), Hint::Closed, at(0));
        set.hint(&key("d/other big"), Hint::Closed, at(0));
        assert_eq!(taken(&mut set, 1), ["d/big", "d/other big"]);
        set.set_aside(&key("d/big"), at(1));
        set.wait_for_aside(&key("d/other big"), at(1));
        for name in ["d/big", "d/bigger", "d", "e"] {
            set.hint(&key(name), Hint::Closed, at(2));
        }
        set.subtree(&key(""), Subtree::FULL, at(2));
        assert_eq!(taken(&mut set, 9), ["d/bigger", "e"]);
        set.confirm_rest();
        assert!(!set.is_empty() && set.next_due().is_none());
        assert_eq!(set.owed_since(), Some(at(0).real));
        assert_eq!(set.land(), [key("d/big")]);
        set.confirm(b"d/big");
        assert_eq!(taken(&mut set, 9), ["", "d", "d/big", "d/other big"]);
        set.confirm_rest();
        assert!(set.is_empty() && !set.has_aside());
    }
}
