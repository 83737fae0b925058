//! From the sender's ids to ours.

use std::collections::HashMap;
use std::fmt;

use super::rules::{IdKind, IdRules, Target};
use super::{NameService, own_groups};
use crate::budget::map_memory;

/// What decides about ids at a receiver.
#[derive(Clone, Debug)]
pub struct IdPolicy {
    /// We are root: owners can be set, and any group.
    pub root: bool,
    /// `--numeric-ids`, or a daemon's `numeric ids`: names count for nothing.
    pub numeric: bool,
    /// Groups that a receiver that is not root may set.
    pub groups: Vec<u32>,
    /// `--usermap`.
    pub usermap: IdRules,
    /// `--groupmap`.
    pub groupmap: IdRules,
}

impl IdPolicy {
    /// What holds for this thread, without maps.
    pub fn of_this_thread(numeric: bool) -> Self {
        Self {
            root: rustix::process::geteuid().is_root(),
            numeric,
            groups: own_groups(),
            usermap: IdRules::default(),
            groupmap: IdRules::default(),
        }
    }
}

/// A rule's target that does not exist here; the rule is skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTarget {
    /// Which map.
    pub kind: IdKind,
    /// The name.
    pub name: Vec<u8>,
}

impl fmt::Display for UnknownTarget {
    /// The warning of 02-file-list 7.2.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Unknown --{} name on receiver: {}",
            self.kind.option(),
            self.name.escape_ascii()
        )
    }
}

/// Maps the sender's ids to ours (02-file-list 7.2). Each id is decided once.
pub struct IdMapper {
    root: bool,
    numeric: bool,
    groups: Vec<u32>,
    users: Map,
    user_groups: Map,
    names: Box<dyn NameService>,
    unknown: Vec<UnknownTarget>,
}

struct Map {
    kind: IdKind,
    rules: IdRules,
    /// Names by the sender's id; empty for ids that have none.
    learnt: HashMap<u32, Box<[u8]>>,
    /// Bytes of those names.
    learnt_bytes: usize,
    decided: HashMap<u32, Option<u32>>,
    last: Option<(u32, Option<u32>)>,
}

impl IdMapper {
    /// A mapper that knows no names of the sender yet. The names in the rules are looked up.
    pub fn new(policy: IdPolicy, mut names: Box<dyn NameService>) -> Self {
        let mut unknown = Vec::new();
        let mut map = |kind, rules| Map::new(kind, rules, &mut *names, &mut unknown);
        let (users, user_groups) = (
            map(IdKind::User, policy.usermap),
            map(IdKind::Group, policy.groupmap),
        );
        Self {
            root: policy.root,
            numeric: policy.numeric,
            groups: policy.groups,
            users,
            user_groups,
            names,
            unknown,
        }
    }

    /// Targets of rules that do not exist here, to be warned of.
    pub fn unknown_targets(&self) -> &[UnknownTarget] {
        &self.unknown
    }

    /// Learns a name of the sender's, from an id list or beside an entry; empty if the sender says
    /// that there is none. The first counts.
    pub fn learn(&mut self, kind: IdKind, id: u32, name: &[u8]) {
        let map = match kind {
            IdKind::User => &mut self.users,
            IdKind::Group => &mut self.user_groups,
        };
        if !self.numeric && !map.learnt.contains_key(&id) {
            map.learnt.insert(id, name.into());
            // The allocator adds about as much to each.
            map.learnt_bytes += name.len() + 16;
        }
    }

    /// Bytes on the heap, about, of what the sender's ids and names made it remember.
    pub(crate) fn memory(&self) -> usize {
        [&self.users, &self.user_groups]
            .map(|map| {
                map.learnt_bytes
                    + map_memory::<u32, Box<[u8]>>(map.learnt.capacity())
                    + map_memory::<u32, Option<u32>>(map.decided.capacity())
            })
            .iter()
            .sum()
    }

    /// Our uid for the sender's; `None`: do not set it (we are not root).
    pub fn user(&mut self, id: u32) -> Option<u32> {
        if !self.root {
            return None;
        }
        let (numeric, names) = (self.numeric, &mut self.names);
        self.users.decide(id, |map| {
            Some(map.find(id, numeric, |name| names.user_id(name)))
        })
    }

    /// Our gid for the sender's; `None`: do not set it (we are not root nor a member).
    pub fn group(&mut self, id: u32) -> Option<u32> {
        let (root, numeric, groups, names) =
            (self.root, self.numeric, &self.groups, &mut self.names);
        self.user_groups.decide(id, |map| {
            let gid = map.find(id, numeric, |name| names.group_id(name));
            (root || groups.contains(&gid)).then_some(gid)
        })
    }
}

impl Map {
    fn new(
        kind: IdKind,
        mut rules: IdRules,
        names: &mut dyn NameService,
        unknown: &mut Vec<UnknownTarget>,
    ) -> Self {
        rules.rules.retain_mut(|rule| {
            let Target::Name(name) = &rule.to else {
                return true;
            };
            let id = match kind {
                IdKind::User => names.user_id(name),
                IdKind::Group => names.group_id(name),
            };
            match id {
                Some(id) => rule.to = Target::Id(id),
                None => unknown.push(UnknownTarget {
                    kind,
                    name: name.clone(),
                }),
            }
            id.is_some()
        });
        Self {
            kind,
            rules,
            learnt: HashMap::new(),
            learnt_bytes: 0,
            decided: HashMap::new(),
            last: None,
        }
    }

    fn decide(&mut self, id: u32, decide: impl FnOnce(&Self) -> Option<u32>) -> Option<u32> {
        // Neighbours in a list mostly have one owner.
        if let Some((_, result)) = self.last.filter(|(last, _)| *last == id) {
            return result;
        }
        let result = match self.decided.get(&id) {
            Some(result) => *result,
            None => {
                let result = decide(self);
                self.decided.insert(id, result);
                result
            }
        };
        self.last = Some((id, result));
        result
    }

    /// Rules, then the name, then the number.
    fn find(&self, id: u32, numeric: bool, look_up: impl FnOnce(&[u8]) -> Option<u32>) -> u32 {
        let name = match self.learnt.get(&id) {
            Some(name) => &name[..],
            // Only senders with CF_ID0_NAMES tell it.
            None if id == 0 && !numeric => b"root",
            None => b"",
        };
        match self.rules.find(id, name) {
            Some(Target::Id(id)) => *id,
            _ if id != 0 && !name.is_empty() => look_up(name).unwrap_or(id),
            _ => id,
        }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("kind", &self.kind)
            .field("decided", &self.decided)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for IdMapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdMapper")
            .field("users", &self.users)
            .field("groups", &self.user_groups)
            .finish_non_exhaustive()
    }
}
