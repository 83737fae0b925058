//! Bounded memory: above the limit the fullest directories are remembered as wholes.

use std::collections::HashMap;
use std::time::Duration;

use super::{DirtySet, paths, range_below};
use crate::clock::Moment;
use crate::dirty::{Mark, Subtree, Wait};
use crate::path::{self, PathBytes};

impl DirtySet {
    /// Folds directories, deepest first, into one mark each. Deletions are never folded: only their names say that the target may remove
    /// them.
    pub(super) fn fold_above_limit(&mut self) {
        if self.marks.len() <= self.max_marks {
            return;
        }
        let goal = self.max_marks / 2;
        let deepest = self.marks.keys().map(|path| path::depth(path)).max();
        for depth in (0..deepest.unwrap_or(0)).rev() {
            let mut groups: HashMap<&[u8], usize> = HashMap::new();
            for (path, _) in self.marks.iter().filter(|(_, mark)| foldable(mark)) {
                if path::depth(path) > depth {
                    *groups.entry(path::cut(path, depth)).or_default() += 1;
                }
            }
            let mut groups: Vec<(PathBytes, usize)> = groups
                .into_iter()
                .filter(|&(_, count)| count > 1)
                .map(|(dir, count)| (dir.into(), count))
                .collect();
            groups.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            for (dir, _) in groups {
                self.fold(&dir);
                if self.marks.len() <= goal {
                    return;
                }
            }
        }
    }

    fn fold(&mut self, dir: &PathBytes) {
        let below = paths(range_below(&self.marks, dir).filter(|(_, mark)| foldable(mark)));
        let mut folded = Subtree::default();
        let mut first = None::<Moment>;
        let mut last = Duration::ZERO;
        for path in below {
            let Some(mark) = self.remove(&path) else {
                continue;
            };
            // What refuses it again is told again.
            self.problems.remove(&path);
            folded = folded.union(Subtree {
                // Its own attributes may have changed before what is below it.
                since: Some(mark.owed_since()),
                // No ctime would tell.
                force: mark.subtree.force || mark.walked,
                ..mark.subtree
            });
            first = Some(first.map_or(mark.first, |first| first.min(mark.first)));
            last = last.max(mark.last);
        }
        let Some(first) = first else { return };
        self.change(dir, first, |mark| {
            mark.first = mark.first.min(first);
            mark.last = mark.last.max(last);
            mark.subtree = mark.subtree.union(folded);
        });
    }
}

fn foldable(mark: &Mark) -> bool {
    mark.wait != Wait::Missing && !mark.subtree.purge
}
