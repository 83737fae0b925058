//! The `%VAR%`s of a connection (04-daemon 5).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::config::{Text, environment};

/// What is known of a connection so far; the rest comes from the environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables {
    pub(crate) module: Vec<u8>,
    pub(crate) address: String,
    pub(crate) host: Vec<u8>,
    pub(crate) user: Option<Vec<u8>>,
    pub(crate) module_path: Option<Vec<u8>>,
}

/// A value cannot be used with the variables of this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a variable makes the value unusable")]
pub(crate) struct Unusable;

impl Variables {
    fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
        match name {
            b"RSYNC_MODULE_NAME" => Some(self.module.clone()),
            b"RSYNC_HOST_ADDR" => Some(self.address.clone().into_bytes()),
            b"RSYNC_HOST_NAME" => Some(self.host.clone()),
            USER => self.user.clone(),
            b"RSYNC_MODULE_PATH" => self.module_path.clone(),
            other => environment(other),
        }
    }

    /// A text with its variables replaced.
    pub(crate) fn expand(&self, text: &Text) -> Result<Vec<u8>, Unusable> {
        text.expand(&|name| self.get(name)).map_err(|_| Unusable)
    }

    /// A path. The name of a user in it must be one plain component: it is the client's text.
    pub(crate) fn expand_path(&self, text: &Text) -> Result<PathBuf, Unusable> {
        if mentions_user(text) && !self.user.as_deref().is_some_and(is_plain_component) {
            return Err(Unusable);
        }
        Ok(PathBuf::from(OsStr::from_bytes(&self.expand(text)?)))
    }

    /// A name of a user or group. One that comes from the client is never a number, and never root.
    pub(crate) fn expand_identity(&self, text: &Text) -> Result<Vec<u8>, Unusable> {
        let name = self.expand(text)?;
        let chosen = mentions_user(text);
        if chosen && (name.iter().all(u8::is_ascii_digit) || name == b"root") {
            return Err(Unusable);
        }
        Ok(name)
    }
}

/// The value depends on who logged in.
pub(crate) fn mentions_user(text: &Text) -> bool {
    text.raw()
        .windows(USER.len() + 2)
        .any(|w| w == b"%RSYNC_USER_NAME%")
}

fn is_plain_component(name: &[u8]) -> bool {
    !name.is_empty()
        && name != b"."
        && name != b".."
        && !name.iter().any(|b| *b == b'/' || b.is_ascii_control())
}

const USER: &[u8] = b"RSYNC_USER_NAME";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_choose_no_path_and_no_identity() {
        let path = Text::new("/home/%RSYNC_USER_NAME%");
        let uid = Text::new("%RSYNC_USER_NAME%");
        for (user, path_ok, uid_ok) in [
            (Some("alice"), true, true),
            (Some(".."), false, true),
            (Some("."), false, true),
            (Some("a/b"), false, true),
            (Some("a\nb"), false, true),
            (Some("0"), true, false),
            (Some("root"), true, false),
            (Some(""), false, false),
            (None, false, true),
        ] {
            let variables = Variables {
                user: user.map(Into::into),
                ..Variables::default()
            };
            assert_eq!(variables.expand_path(&path).is_ok(), path_ok, "{user:?}");
            assert_eq!(variables.expand_identity(&uid).is_ok(), uid_ok, "{user:?}");
        }
        let variables = Variables {
            module: b"m".to_vec(),
            ..Variables::default()
        };
        assert_eq!(
            variables.expand_identity(&Text::new("0")),
            Ok(b"0".to_vec()),
            "the operator may"
        );
        let path = variables.expand_path(&Text::new("/srv/%RSYNC_MODULE_NAME%/%RSYNC_NOPE%"));
        assert_eq!(path, Ok(PathBuf::from("/srv/m/%RSYNC_NOPE%")));
    }
}
