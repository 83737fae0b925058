//! Real rsync binaries.

use crate::program::Program;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The rsync to test against, or nothing after a loud line; use it through [`require_rsync!`](crate::require_rsync).
///
/// # Panics
/// When there is none and `SYNCLINE_REQUIRE_INTEROP=1` says that there must be one.
#[must_use]
pub fn rsync_or_skip() -> Option<Rsync> {
    let found = Rsync::all().into_iter().next();
    if found.is_none() {
        assert!(
            std::env::var_os("SYNCLINE_REQUIRE_INTEROP").is_none_or(|value| value != "1"),
            "no rsync found, and SYNCLINE_REQUIRE_INTEROP=1"
        );
        crate::skipped("no rsync found (set SYNCLINE_RSYNC or install it)");
    }
    found
}

/// The rsync to test against; without one the test ends here, saying `SKIPPED: ...` on stderr.
#[macro_export]
macro_rules! require_rsync {
    () => {
        match $crate::rsync_or_skip() {
            Some(rsync) => rsync,
            None => return,
        }
    };
}

/// Ends the test, saying `SKIPPED: ...`, unless we are root.
#[macro_export]
macro_rules! require_root {
    () => {
        if !$crate::is_root() {
            $crate::skipped("needs root");
            return;
        }
    };
}

/// A real rsync binary.
#[derive(Debug, Clone)]
pub struct Rsync {
    path: PathBuf,
    version: Version,
    protocol: u32,
}

impl Rsync {
    /// Every rsync to test against: those that `SYNCLINE_RSYNC` lists (paths with `:` between them), else the one
    /// in `PATH`.
    ///
    /// # Panics
    /// When a listed path is no rsync.
    #[must_use]
    pub fn all() -> Vec<Self> {
        if let Some(list) = std::env::var_os("SYNCLINE_RSYNC").filter(|list| !list.is_empty()) {
            return std::env::split_paths(&list)
                .map(|path| {
                    Self::probe(&path).unwrap_or_else(|| {
                        panic!("{} in SYNCLINE_RSYNC is no rsync", path.display())
                    })
                })
                .collect();
        }
        let Some(path) = std::env::var_os("PATH") else {
            return Vec::new();
        };
        std::env::split_paths(&path)
            .find_map(|dir| Self::probe(&dir.join("rsync")))
            .into_iter()
            .collect()
    }

    /// The rsync at `path`, if it is one.
    #[must_use]
    pub fn probe(path: &Path) -> Option<Self> {
        let output = Command::new(path).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let (version, protocol) = parse_version(text.lines().next()?)?;
        Some(Self {
            path: path.to_owned(),
            version,
            protocol,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What `--version` says.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The newest protocol it speaks.
    #[must_use]
    pub const fn protocol(&self) -> u32 {
        self.protocol
    }

    /// The stock client, without arguments yet and with none of the environment that changes what rsync does.
    /// `--protocol=N` among the arguments forces an older protocol.
    #[must_use]
    pub fn client(&self) -> Program {
        Program::new(&self.path)
    }
}

/// A release of rsync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 3 in 3.4.1.
    pub major: u32,
    /// 4 in 3.4.1.
    pub minor: u32,
    /// 1 in 3.4.1.
    pub patch: u32,
}

impl Version {
    /// A release by its numbers, to compare with.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// `rsync  version 3.5.0  protocol version 32`; old ones put a `v` before the number, pre-releases text behind it.
fn parse_version(line: &str) -> Option<(Version, u32)> {
    let mut words = line.split_whitespace();
    if words.next()? != "rsync" || words.next()? != "version" {
        return None;
    }
    let mut numbers = words
        .next()?
        .trim_start_matches('v')
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse().ok());
    let version = Version::new(
        numbers.next()?,
        numbers.next()?,
        numbers.next().unwrap_or(0),
    );
    let protocol = words.nth(2)?.parse().ok()?;
    Some((version, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_every_age_are_read() {
        for (line, version, protocol) in [
            (
                "rsync  version 3.5.0  protocol version 32",
                Version::new(3, 5, 0),
                32,
            ),
            (
                "rsync  version v3.2.7  protocol version 31",
                Version::new(3, 2, 7),
                31,
            ),
            (
                "rsync  version 3.4.2pre1  protocol version 32",
                Version::new(3, 4, 2),
                32,
            ),
            (
                "rsync  version 3.0  protocol version 30",
                Version::new(3, 0, 0),
                30,
            ),
        ] {
            assert_eq!(parse_version(line), Some((version, protocol)), "{line}");
        }
        assert_eq!(parse_version("openrsync: protocol version 29"), None);
        assert!(Version::new(3, 2, 7) < Version::new(3, 4, 0));
        assert_eq!(Version::new(3, 4, 1).to_string(), "3.4.1");
    }

    #[test]
    fn what_is_no_rsync_is_not_found() {
        assert!(Rsync::probe(Path::new("/bin/true")).is_none());
        assert!(Rsync::probe(Path::new("/nonexistent/rsync")).is_none());
    }

    #[test]
    fn the_stock_client_runs() {
        let rsync = crate::require_rsync!();
        let dir = crate::temp_dir();
        std::fs::write(dir.path().join("a"), "text").unwrap();
        let from = format!("{}/", dir.path().display());
        let to = format!("{}/copy/", dir.path().display());
        let exit = rsync.client().args(["-a", &from, &to]).run();
        exit.assert_code(0);
        assert_eq!(std::fs::read(dir.path().join("copy/a")).unwrap(), b"text");
        assert!(rsync.protocol() >= 29);
        assert!(rsync.version() > Version::new(2, 6, 0));
    }
}
