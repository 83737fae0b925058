//! The names of users and groups on this system.

use std::collections::HashMap;

use nix::unistd::{Gid, Group, Uid, User};

/// Looks up names of users and groups. A daemon may give its confined sessions one that asks
/// another thread (05-security 16.2).
pub trait NameService: Send {
    /// The name of a user.
    fn user_name(&mut self, uid: u32) -> Option<&[u8]>;
    /// The name of a group.
    fn group_name(&mut self, gid: u32) -> Option<&[u8]>;
    /// The id of a user.
    fn user_id(&mut self, name: &[u8]) -> Option<u32>;
    /// The id of a group.
    fn group_id(&mut self, name: &[u8]) -> Option<u32>;
}

/// The system's users and groups (NSS). Each is asked for once.
#[derive(Debug, Default)]
pub struct SystemNames {
    user_names: HashMap<u32, Option<Vec<u8>>>,
    group_names: HashMap<u32, Option<Vec<u8>>>,
    user_ids: HashMap<Vec<u8>, Option<u32>>,
    group_ids: HashMap<Vec<u8>, Option<u32>>,
}

impl SystemNames {
    /// Nothing looked up yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl NameService for SystemNames {
    fn user_name(&mut self, uid: u32) -> Option<&[u8]> {
        let look_up = || Some(User::from_uid(Uid::from_raw(uid)).ok()??.name.into_bytes());
        self.user_names
            .entry(uid)
            .or_insert_with(look_up)
            .as_deref()
    }

    fn group_name(&mut self, gid: u32) -> Option<&[u8]> {
        let look_up = || Some(Group::from_gid(Gid::from_raw(gid)).ok()??.name.into_bytes());
        self.group_names
            .entry(gid)
            .or_insert_with(look_up)
            .as_deref()
    }

    fn user_id(&mut self, name: &[u8]) -> Option<u32> {
        remember(&mut self.user_ids, name, |name| {
            Some(User::from_name(name).ok()??.uid.as_raw())
        })
    }

    fn group_id(&mut self, name: &[u8]) -> Option<u32> {
        remember(&mut self.group_ids, name, |name| {
            Some(Group::from_name(name).ok()??.gid.as_raw())
        })
    }
}

fn remember(
    known: &mut HashMap<Vec<u8>, Option<u32>>,
    name: &[u8],
    look_up: impl FnOnce(&str) -> Option<u32>,
) -> Option<u32> {
    if let Some(id) = known.get(name) {
        return *id;
    }
    // Names of users are text on every system we know; a NUL would make a longer name match a
    // shorter one.
    let id = std::str::from_utf8(name)
        .ok()
        .filter(|name| !name.contains('\0'))
        .and_then(look_up);
    known.insert(name.to_vec(), id);
    id
}

/// The groups that this thread may give its files: the effective one and the supplementary ones.
pub fn own_groups() -> Vec<u32> {
    let mut groups = vec![rustix::process::getegid().as_raw()];
    groups.extend(
        rustix::process::getgroups()
            .unwrap_or_default()
            .iter()
            .map(|gid| gid.as_raw()),
    );
    groups
}
