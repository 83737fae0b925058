//! What a watch remembers from run to run: the moment until when a target is known to have every change, and how many names the
//! source had. What changed later is compared by content at the next start, for size and time do not tell every change; and a source
//! that lost most of its names is no reason to delete them everywhere.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rsync_engine::fs::Timestamp;
use xxhash_rust::xxh3::xxh3_128;

/// The file of one source and target.
#[derive(Debug)]
pub(crate) struct Memory {
    file: PathBuf,
    stored: Option<(Timestamp, usize)>,
}

impl Memory {
    /// Where this pair is remembered, if the environment (`variable`) tells a place for such files.
    pub(crate) fn new(
        source: &Path,
        target: &str,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Option<Self> {
        let absolute = |name: &str| {
            variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        // The first is set by systemd for a service with StateDirectory.
        let dir = absolute("STATE_DIRECTORY").or_else(|| {
            absolute("XDG_STATE_HOME")
                .or_else(|| Some(absolute("HOME")?.join(".local/state")))
                .map(|dir| dir.join("syncline"))
        })?;
        let source = std::fs::canonicalize(source).ok()?;
        let key = [source.as_os_str().as_bytes(), b"\0", target.as_bytes()].concat();
        Some(Self {
            file: dir.join(format!("watch-{:032x}", xxh3_128(&key))),
            stored: None,
        })
    }

    /// What was stored last; nothing if there is none or it cannot be read, which only costs certainty.
    pub(crate) fn load(&mut self) -> Option<(Timestamp, usize)> {
        let text = std::fs::read_to_string(&self.file).ok()?;
        let (until, names) = text.trim().split_once(' ')?;
        let (secs, nsec) = until.split_once('.')?;
        let until = Timestamp {
            secs: secs.parse().ok()?,
            nsec: nsec.parse().ok().filter(|&nsec| nsec < 1_000_000_000)?,
        };
        self.stored = Some((until, names.parse().ok()?));
        self.stored
    }

    /// Stores a later moment, and how many names the source has.
    pub(crate) fn store(&mut self, until: Timestamp, names: usize) -> io::Result<()> {
        if self.stored == Some((until, names)) {
            return Ok(());
        }
        if let Some(dir) = self.file.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let temporary = self.file.with_extension("new");
        std::fs::write(
            &temporary,
            format!("{}.{:09} {names}\n", until.secs, until.nsec),
        )?;
        std::fs::rename(&temporary, &self.file)?;
        self.stored = Some((until, names));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_remembered_for_each_pair() {
        let dir = tempfile::tempdir().unwrap();
        let memory = |target: &str| {
            Memory::new(Path::new("/"), target, |name| {
                (name == "XDG_STATE_HOME").then(|| dir.path().into())
            })
            .unwrap()
        };
        let until = Timestamp {
            secs: -3,
            nsec: 5_000_000,
        };
        assert_eq!(memory("a").load(), None);
        memory("a").store(until, 7).unwrap();
        assert_eq!(memory("a").load(), Some((until, 7)));
        assert_eq!(memory("b").load(), None);
        std::fs::write(memory("a").file, "1.9999999999 7").unwrap();
        assert_eq!(memory("a").load(), None);
    }

    #[test]
    fn places() {
        let place = |set: &[(&str, &str)]| {
            let memory = Memory::new(Path::new("/"), "t", |name| {
                let found = set.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| value.into())
            });
            Some(memory?.file.parent()?.to_owned())
        };
        assert_eq!(place(&[]), None);
        assert_eq!(place(&[("HOME", "relative")]), None);
        let home = ("HOME", "/h");
        assert_eq!(place(&[home]), Some("/h/.local/state/syncline".into()));
        assert_eq!(
            place(&[home, ("XDG_STATE_HOME", "/x")]),
            Some("/x/syncline".into())
        );
        assert_eq!(
            place(&[home, ("STATE_DIRECTORY", "/var/lib/s")]),
            Some("/var/lib/s".into())
        );
    }
}
