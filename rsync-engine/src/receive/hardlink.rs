//! Hard-link groups at the receiving side (03-transfer 3.4).
//!
//! A member that exists decides at once: it is up to date, or requested as a basis. Missing members wait for the last
//! one known, so that a member further on that is up to date saves the transfer; all others are then linked.

use std::collections::HashMap;

use crate::budget::map_memory;
use crate::fs::RelPathBuf;
use crate::list::FileList;

/// Where a group stands.
#[derive(Debug, Default)]
enum State {
    /// No member is in place or on its way.
    #[default]
    Open,
    /// A member was requested; those that wait from here on came after it.
    Pending { leader: i32, waited_before: usize },
    /// A member is in place.
    Ready { path: RelPathBuf, name: Vec<u8> },
}

#[derive(Debug, Default)]
struct Group {
    state: State,
    /// Index of the last member known.
    last: i32,
    /// Indexes of members that wait, in the order they came.
    waiting: Vec<i32>,
}

/// All groups of the session. A group is kept to the end: later lists may name it.
#[derive(Debug, Default)]
pub(super) struct HardLinks {
    groups: HashMap<i64, Group>,
    /// Which group a pending leader settles.
    leaders: HashMap<i32, i64>,
    waiting: usize,
    /// Bytes of the paths and names of members in place.
    texts: usize,
}

/// What to do with a member.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing of the group is in place yet: handle this one like any file and say how it went.
    Lead,
    /// Wait for another.
    Wait,
    /// Link to this one. The name is as reports show it.
    LinkTo { path: RelPathBuf, name: Vec<u8> },
}

impl HardLinks {
    /// Notes the members of a list that has arrived.
    pub(super) fn learn(&mut self, list: &FileList) {
        for (at, entry) in list.entries().iter().enumerate() {
            if let Some(group) = list.group(entry)
                && !entry.cleared()
            {
                let last = &mut self.groups.entry(group).or_default().last;
                *last = list.ndx(at).max(*last);
            }
        }
    }

    /// Bytes on the heap, about.
    pub(super) fn memory(&self) -> usize {
        // The vector of a group's waiting members has room for as many again.
        map_memory::<i64, Group>(self.groups.capacity())
            + map_memory::<i32, i64>(self.leaders.capacity())
            + 2 * size_of::<i32>() * self.waiting
            + self.texts
    }

    /// How many members wait for another.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// What to do with the member `ndx`. A `missing` one waits when more of its group are known.
    pub(super) fn step(&mut self, group: i64, ndx: i32, missing: bool) -> Step {
        let group = self.groups.entry(group).or_default();
        match &group.state {
            State::Ready { path, name } => {
                return Step::LinkTo {
                    path: path.clone(),
                    name: name.clone(),
                };
            }
            State::Open if !missing || ndx >= group.last => return Step::Lead,
            State::Open | State::Pending { .. } => {}
        }
        group.waiting.push(ndx);
        self.waiting += 1;
        Step::Wait
    }

    /// The member `ndx` was requested from the sender.
    pub(super) fn requested(&mut self, group: i64, ndx: i32) {
        let state = self.groups.entry(group).or_default();
        state.state = State::Pending {
            leader: ndx,
            waited_before: state.waiting.len(),
        };
        self.leaders.insert(ndx, group);
    }

    /// A member is in place. Gives those that waited: first those behind the leader, then those before it from the
    /// last to the first, which is the order of rsync's reports.
    pub(super) fn ready(&mut self, group: i64, path: RelPathBuf, name: Vec<u8>) -> Vec<i32> {
        self.texts += path.as_path().as_bytes().len() + name.len();
        let group = self.groups.entry(group).or_default();
        let waited_before = match std::mem::replace(&mut group.state, State::Ready { path, name }) {
            State::Pending {
                leader,
                waited_before,
            } => {
                self.leaders.remove(&leader);
                waited_before
            }
            State::Open | State::Ready { .. } => group.waiting.len(),
        };
        let mut waiting = std::mem::take(&mut group.waiting);
        self.waiting -= waiting.len();
        let mut order = waiting.split_off(waited_before.min(waiting.len()));
        order.extend(waiting.into_iter().rev());
        order
    }

    /// The group that waits for the request `ndx`.
    pub(super) fn led_by(&self, ndx: i32) -> Option<i64> {
        self.leaders.get(&ndx).copied()
    }

    /// The leader failed: the group stands as if it had not been requested.
    pub(super) fn failed(&mut self, group: i64) {
        if let Some(group) = self.groups.get_mut(&group)
            && let State::Pending { leader, .. } = group.state
        {
            self.leaders.remove(&leader);
            group.state = State::Open;
        }
    }

    /// The waiting member to lead next, when members up to `ndx` were handled without success and no later one is
    /// known.
    pub(super) fn heir(&mut self, group: i64, ndx: i32) -> Option<i32> {
        let group = self.groups.get_mut(&group)?;
        if !matches!(group.state, State::Open) || ndx < group.last {
            return None;
        }
        let heir = group.waiting.pop()?;
        self.waiting -= 1;
        Some(heir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(last: i32) -> HardLinks {
        let mut links = HardLinks::default();
        links.groups.entry(7).or_default().last = last;
        links
    }

    #[test]
    fn missing_members_wait_for_the_last() {
        let mut links = links(3);
        assert!(matches!(links.step(7, 1, true), Step::Wait));
        assert!(matches!(links.step(7, 2, true), Step::Wait));
        assert!(matches!(links.step(7, 3, true), Step::Lead));
        links.requested(7, 3);
        assert_eq!((links.led_by(3), links.waiting()), (Some(7), 2));
        assert_eq!(links.ready(7, RelPathBuf::root(), b"c".to_vec()), [2, 1]);
        assert!(matches!(links.step(7, 9, true), Step::LinkTo { .. }));
        assert_eq!((links.led_by(3), links.waiting()), (None, 0));
    }

    #[test]
    fn a_member_that_exists_leads_at_once() {
        let mut links = links(4);
        assert!(matches!(links.step(7, 1, true), Step::Wait));
        assert!(matches!(links.step(7, 2, false), Step::Lead));
        links.requested(7, 2);
        assert!(matches!(links.step(7, 3, false), Step::Wait));
        assert!(matches!(links.step(7, 4, true), Step::Wait));
        assert_eq!(links.ready(7, RelPathBuf::root(), b"b".to_vec()), [3, 4, 1]);
    }

    #[test]
    fn members_inherit_when_the_leader_fails_or_the_last_is_skipped() {
        let mut links = links(3);
        for ndx in [1, 2] {
            assert!(matches!(links.step(7, ndx, true), Step::Wait));
        }
        assert_eq!(links.heir(7, 2), None, "one more is known");
        assert_eq!(links.heir(7, 3), Some(2));
        links.requested(7, 2);
        assert_eq!(links.heir(7, 3), None, "a request is on its way");
        links.failed(7);
        assert_eq!(links.heir(7, i32::MAX), Some(1));
        assert_eq!(links.heir(7, i32::MAX), None);
        assert_eq!(links.waiting(), 0);
    }
}
