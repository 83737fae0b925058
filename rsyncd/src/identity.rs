//! Whom a session runs as: `uid` and `gid` to numbers (04-daemon 10).
//!
//! The host's user database is asked here, on the service side, never by a confined thread.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User};

use crate::auth::words;
use crate::text::escape;

/// What a session thread becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// User.
    pub(crate) uid: u32,
    /// Group of new files.
    pub(crate) gid: u32,
    /// All groups, the first one included.
    pub(crate) groups: Vec<u32>,
}

/// Why an identity cannot be taken; the text is what the client is told after `@ERROR: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("invalid uid {0}")]
    InvalidUid(String),
    #[error("invalid gid {0}")]
    InvalidGid(String),
    #[error("getpwuid failed")]
    NoPasswdEntry,
    #[error("getgrouplist failed")]
    GroupList,
    #[error("setuid failed")]
    SetUid,
    #[error("setgid failed")]
    SetGid,
    #[error("setgroups failed")]
    SetGroups,
}

impl IdentityError {
    /// The line for the log.
    pub(crate) fn log_line(&self) -> String {
        match self {
            Self::InvalidUid(name) => format!("Invalid uid {name}"),
            Self::InvalidGid(name) => format!("Invalid gid {name}"),
            Self::SetUid | Self::SetGid | Self::SetGroups => {
                format!("rsync: [Receiver] {self}: Operation not permitted (1)")
            }
            other => format!("rsync: [Receiver] {other}"),
        }
    }
}

/// The identity of a module; `None` leaves the session as the daemon is, which a daemon that is not root must.
pub(crate) fn resolve(uid: &[u8], gid: &[u8]) -> Result<Option<Identity>, IdentityError> {
    let ours = rustix::process::geteuid();
    if ours.is_root() {
        return resolve_as_root(uid, gid).map(Some);
    }
    let wanted = if uid.is_empty() {
        None
    } else {
        Some(user_id(uid)?)
    };
    if words(gid).next().is_some() {
        let ours = rustix::process::getegid().as_raw();
        let first = group_ids(
            gid,
            wanted.unwrap_or_else(|| rustix::process::geteuid().as_raw()),
        )?
        .0;
        return Err(if first == ours {
            IdentityError::SetGroups
        } else {
            IdentityError::SetGid
        });
    }
    match wanted {
        Some(uid) if uid != ours.as_raw() => Err(IdentityError::SetUid),
        _ => Ok(None),
    }
}

fn resolve_as_root(uid: &[u8], gid: &[u8]) -> Result<Identity, IdentityError> {
    let uid = user_id(if uid.is_empty() { b"nobody" } else { uid })?;
    let (gid, groups) = if words(gid).next().is_none() {
        let gid = nobody_group()?;
        (gid, vec![gid])
    } else {
        group_ids(gid, uid)?
    };
    Ok(Identity { uid, gid, groups })
}

fn user_id(name: &[u8]) -> Result<u32, IdentityError> {
    let invalid = || IdentityError::InvalidUid(escape(name));
    if let Some(number) = number(name) {
        // The last number means "leave as it is" to the kernel.
        return number.filter(|n| *n != u32::MAX).ok_or_else(invalid);
    }
    let text = std::str::from_utf8(name).map_err(|_| invalid())?;
    match User::from_name(text) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        _ => Err(invalid()),
    }
}

fn group_id(name: &[u8]) -> Result<u32, IdentityError> {
    let invalid = || IdentityError::InvalidGid(escape(name));
    if let Some(number) = number(name) {
        return number.filter(|n| *n != u32::MAX).ok_or_else(invalid);
    }
    let text = std::str::from_utf8(name).map_err(|_| invalid())?;
    match Group::from_name(text) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        _ => Err(invalid()),
    }
}

/// The first group and all groups of a list; `*` in front stands for the groups of the user.
fn group_ids(list: &[u8], uid: u32) -> Result<(u32, Vec<u32>), IdentityError> {
    let mut groups = Vec::new();
    for (i, word) in words(list).enumerate() {
        if word != b"*" {
            groups.push(group_id(word)?);
        } else if i == 0 {
            let user = User::from_uid(Uid::from_raw(uid))
                .ok()
                .flatten()
                .ok_or(IdentityError::NoPasswdEntry)?;
            let all = groups_of(&user).ok_or(IdentityError::GroupList)?;
            groups.push(user.gid.as_raw());
            groups.extend(all.into_iter().filter(|g| *g != user.gid.as_raw()));
        } else {
            return Err(IdentityError::InvalidGid("*".into()));
        }
    }
    match groups.first() {
        Some(&first) => Ok((first, groups)),
        None => Err(IdentityError::GroupList),
    }
}

/// Digits only are a number and never a name. `Some(None)`: too large.
fn number(text: &[u8]) -> Option<Option<u32>> {
    let text = std::str::from_utf8(text)
        .ok()
        .filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
    if text.is_empty() {
        None
    } else {
        Some(text.parse().ok())
    }
}

fn nobody_group() -> Result<u32, IdentityError> {
    ["nogroup", "nobody"]
        .into_iter()
        .find_map(|name| Group::from_name(name).ok().flatten())
        .map(|group| group.gid.as_raw())
        .ok_or_else(|| IdentityError::InvalidGid("nobody".into()))
}

fn groups_of(user: &User) -> Option<Vec<u32>> {
    let name = CString::new(user.name.as_bytes()).ok()?;
    let groups = nix::unistd::getgrouplist(&name, user.gid).ok()?;
    Some(groups.into_iter().map(Gid::as_raw).collect())
}

/// The names of the groups that a user of this host is in, the primary group first; none for a stranger
/// (04-daemon 9.1).
pub(crate) fn group_names(user: &[u8]) -> Vec<Vec<u8>> {
    let Some(user) = std::str::from_utf8(user)
        .ok()
        .and_then(|n| User::from_name(n).ok().flatten())
    else {
        return Vec::new();
    };
    groups_of(&user)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|gid| Group::from_gid(Gid::from_raw(gid)).ok().flatten())
        .map(|group| group.name.into_bytes())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_of_a_root_daemon() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let nobody = user_id(b"nobody").expect("nobody");
        let nogroup = nobody_group().expect("nogroup");
        let some = |uid, gid, groups: &[u32]| {
            Ok(Some(Identity {
                uid,
                gid,
                groups: groups.to_vec(),
            }))
        };
        for (uid, gid, expected) in [
            ("", "", some(nobody, nogroup, &[nogroup])),
            ("12345", "", some(12345, nogroup, &[nogroup])),
            ("root", "root", some(0, 0, &[0])),
            ("", "root, 901 902", some(nobody, 0, &[0, 901, 902])),
            ("root", "* 901", some(0, 0, &[0, 901])),
            ("root", "901 *", Err(IdentityError::InvalidGid("*".into()))),
            ("12345", "*", Err(IdentityError::NoPasswdEntry)),
            ("-2", "", Err(IdentityError::InvalidUid("-2".into()))),
            ("0x10", "", Err(IdentityError::InvalidUid("0x10".into()))),
            (
                "4294967295",
                "",
                Err(IdentityError::InvalidUid("4294967295".into())),
            ),
            (
                "4294967296",
                "",
                Err(IdentityError::InvalidUid("4294967296".into())),
            ),
            (
                "no such user",
                "",
                Err(IdentityError::InvalidUid("no such user".into())),
            ),
            (
                "",
                "nosuchgrp",
                Err(IdentityError::InvalidGid("nosuchgrp".into())),
            ),
        ] {
            let mut found = resolve(uid.as_bytes(), gid.as_bytes());
            if let Ok(Some(identity)) = &mut found {
                identity.groups.dedup();
            }
            assert_eq!(found, expected, "{uid:?} {gid:?}");
        }
    }

    #[test]
    fn groups_of_users() {
        assert!(group_names(b"root").contains(&b"root".to_vec()));
        assert!(group_names(b"no such user").is_empty());
    }
}
