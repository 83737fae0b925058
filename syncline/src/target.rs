//! Where a transfer goes to or comes from.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use rsync_proto::PeerText;

/// The port of an rsync daemon.
pub const DAEMON_PORT: u16 = 873;

/// A local path, or a path in a module of a daemon.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A path on this machine.
    Local(PathBuf),
    /// A module of a daemon.
    Daemon(DaemonTarget),
}

/// A path in a module of a daemon.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DaemonTarget {
    /// Host name or address, without brackets.
    pub host: String,
    /// Port, 873 unless the target names another.
    pub port: u16,
    /// User for the password, if named.
    pub user: Option<String>,
    /// The module; empty asks for the list of modules.
    pub module: Vec<u8>,
    /// The path below the module, without a leading slash.
    pub path: Vec<u8>,
}

/// A text that is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing.
    #[error("empty source or destination")]
    Empty,
    /// `host:path` needs a remote shell.
    #[error(
        "{0}: targets over a remote shell are not supported yet, use host::module or rsync://host/module"
    )]
    Shell(String),
    /// A port that is no number.
    #[error("{0}: invalid port")]
    Port(String),
    /// No host.
    #[error("{0}: no host")]
    Host(String),
    /// A source of a transfer with `relative` that leads upwards.
    #[error("found \"..\" dir in relative path: {0}")]
    Upwards(PeerText<Vec<u8>>),
}

impl Target {
    /// Whether it is a daemon's.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::Daemon(_))
    }
}

/// `rsync://[user@]host[:port]/module/path`, `[user@]host::module/path`, or else a local path (06-client 1.3).
impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.is_empty() {
            return Err(TargetError::Empty);
        }
        if let Some(scheme) = text.get(..8)
            && scheme.eq_ignore_ascii_case("rsync://")
        {
            return url(text, &text[8..]).map(Self::Daemon);
        }
        let before_slash = text.split('/').next().unwrap_or_default();
        let host_end = match before_slash.rfind('@').map_or(0, |at| at + 1) {
            start if before_slash[start..].starts_with('[') => {
                before_slash[start..].find("]:").map(|at| start + at + 1)
            }
            _ => before_slash.find(':'),
        };
        let Some(colon) = host_end else {
            return Ok(Self::Local(PathBuf::from(text)));
        };
        let (login, rest) = text.split_at(colon);
        let Some(rest) = rest.strip_prefix("::") else {
            return Err(TargetError::Shell(text.to_owned()));
        };
        let (user, host) = split_login(login);
        let host = strip_brackets(host);
        if host.is_empty() {
            return Err(TargetError::Host(text.to_owned()));
        }
        Ok(Self::Daemon(DaemonTarget::new(
            host,
            DAEMON_PORT,
            user,
            rest,
        )))
    }
}

fn url(text: &str, rest: &str) -> Result<DaemonTarget, TargetError> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host_port) = split_login(authority);
    let (host, port) = match host_port
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
        None => host_port.split_once(':').unwrap_or((host_port, "")),
    };
    if host.is_empty() {
        return Err(TargetError::Host(text.to_owned()));
    }
    let port = match port {
        "" | "0" => DAEMON_PORT,
        port => port
            .parse()
            .map_err(|_| TargetError::Port(text.to_owned()))?,
    };
    Ok(DaemonTarget::new(host, port, user, path))
}

fn split_login(login: &str) -> (Option<String>, &str) {
    match login.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()).filter(|user| !user.is_empty()), host),
        None => (None, login),
    }
}

/// Only a whole host in brackets loses them.
fn strip_brackets(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

impl DaemonTarget {
    fn new(host: &str, port: u16, user: Option<String>, rest: &str) -> Self {
        let (module, path) = rest.split_once('/').unwrap_or((rest, ""));
        Self {
            host: host.to_owned(),
            port,
            user,
            module: module.as_bytes().to_vec(),
            path: path.trim_start_matches('/').as_bytes().to_vec(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Daemon(daemon) => daemon.fmt(f),
        }
    }
}

impl fmt::Display for DaemonTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rsync://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?
        } else {
            f.write_str(&self.host)?
        }
        if self.port != DAEMON_PORT {
            write!(f, ":{}", self.port)?;
        }
        let (module, path) = (
            String::from_utf8_lossy(&self.module),
            String::from_utf8_lossy(&self.path),
        );
        write!(f, "/{module}/{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let daemon = |host: &str, port, user: Option<&str>, module: &str, path: &str| {
            Ok(Target::Daemon(DaemonTarget {
                host: host.into(),
                port,
                user: user.map(Into::into),
                module: module.into(),
                path: path.into(),
            }))
        };
        let local = |path: &str| Ok(Target::Local(path.into()));
        for (text, expected) in [
            ("rsync://h/m", daemon("h", 873, None, "m", "")),
            (
                "RSYNC://u@h:8730/m/p/q/",
                daemon("h", 8730, Some("u"), "m", "p/q/"),
            ),
            ("rsync://[::1]:99/m/", daemon("::1", 99, None, "m", "")),
            ("rsync://u@[::1]/m/", daemon("::1", 873, Some("u"), "m", "")),
            ("u@x@h::m/p", daemon("h", 873, Some("u@x"), "m", "p")),
            ("[fe80::1]::m", daemon("fe80::1", 873, None, "m", "")),
            ("h::", daemon("h", 873, None, "", "")),
            ("./a:b", local("./a:b")),
            ("/a:b", local("/a:b")),
            ("dir/x::y", local("dir/x::y")),
            ("h:p", Err(TargetError::Shell("h:p".into()))),
            (
                "rsync://h:9x/m",
                Err(TargetError::Port("rsync://h:9x/m".into())),
            ),
            ("rsync:///m", Err(TargetError::Host("rsync:///m".into()))),
            ("", Err(TargetError::Empty)),
        ] {
            assert_eq!(text.parse::<Target>(), expected, "{text}");
        }
    }

    #[test]
    fn shown_as_it_can_be_read_back() {
        for text in ["rsync://u@h:8730/m/p", "rsync://[::1]/m/", "/a/b"] {
            assert_eq!(text.parse::<Target>().expect("a target").to_string(), text);
        }
    }
}
