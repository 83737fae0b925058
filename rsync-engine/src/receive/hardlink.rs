//! Hard-link groups at the receiving side (03-transfer 3.4).

use std::collections::HashMap;

use crate::fs::RelPathBuf;

/// Where a group stands.
#[derive(Debug)]
pub(super) enum Group {
    /// A member is being transferred; the others wait for it.
    Pending { leader: i32, waiting: Vec<Waiting> },
    /// A member is in place.
    Ready { path: RelPathBuf, name: Vec<u8> },
}

/// A member that waits for another to be in place: its index, which finds it in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) ndx: i32,
}

/// All groups of the session. A group is kept to the end: later lists may name it.
#[derive(Debug, Default)]
pub(super) struct HardLinks {
    groups: HashMap<i64, Group>,
    /// Which group a pending leader settles.
    leaders: HashMap<i32, i64>,
}

/// What to do with a member.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing of the group is in place yet: handle this one like any file and say how it went.
    Lead,
    /// Wait for the leader.
    Wait,
    /// Link to this one. The name is the leader's as reports show it.
    LinkTo { path: RelPathBuf, name: Vec<u8> },
}

impl HardLinks {
    /// What to do with the member `ndx` of `group`.
    pub(super) fn step(&mut self, group: i64, ndx: i32) -> Step {
        match self.groups.get_mut(&group) {
            None => Step::Lead,
            Some(Group::Ready { path, name }) => Step::LinkTo {
                path: path.clone(),
                name: name.clone(),
            },
            Some(Group::Pending { waiting, .. }) => {
                waiting.push(Waiting { ndx });
                Step::Wait
            }
        }
    }

    /// The member `ndx` was requested from the sender.
    pub(super) fn requested(&mut self, group: i64, ndx: i32) {
        self.groups.insert(
            group,
            Group::Pending {
                leader: ndx,
                waiting: Vec::new(),
            },
        );
        self.leaders.insert(ndx, group);
    }

    /// A member is in place.
    pub(super) fn ready(&mut self, group: i64, path: RelPathBuf, name: Vec<u8>) -> Vec<Waiting> {
        match self.groups.insert(group, Group::Ready { path, name }) {
            Some(Group::Pending { leader, waiting }) => {
                self.leaders.remove(&leader);
                waiting
            }
            _ => Vec::new(),
        }
    }

    /// The group that waits for the request `ndx`.
    pub(super) fn led_by(&self, ndx: i32) -> Option<i64> {
        self.leaders.get(&ndx).copied()
    }

    /// The leader failed: the group starts anew with those that waited.
    pub(super) fn failed(&mut self, group: i64) -> Vec<Waiting> {
        match self.groups.remove(&group) {
            Some(Group::Pending { leader, waiting }) => {
                self.leaders.remove(&leader);
                waiting
            }
            Some(ready) => {
                self.groups.insert(group, ready);
                Vec::new()
            }
            None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_wait_for_the_leader_and_inherit_when_it_fails() {
        let mut links = HardLinks::default();
        assert!(matches!(links.step(7, 1), Step::Lead));
        links.requested(7, 1);
        assert!(matches!(links.step(7, 2), Step::Wait));
        assert!(matches!(links.step(7, 3), Step::Wait));
        assert_eq!(links.led_by(1), Some(7));
        assert_eq!(links.failed(7), [Waiting { ndx: 2 }, Waiting { ndx: 3 }]);
        assert!(matches!(links.step(7, 2), Step::Lead));
        links.requested(7, 2);
        assert!(matches!(links.step(7, 3), Step::Wait));
        assert_eq!(
            links.ready(7, RelPathBuf::root(), b"b".to_vec()),
            [Waiting { ndx: 3 }]
        );
        assert!(matches!(links.step(7, 9), Step::LinkTo { .. }));
        assert_eq!(links.led_by(2), None);
    }
}
