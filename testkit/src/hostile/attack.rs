//! One row of a table of attacks.

use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{Gone, Options, Session};
use crate::TreeSpec;

/// A rule that a peer breaks, and how the session must end then.
#[derive(Debug, Clone)]
pub struct Attack {
    /// What the peer does.
    pub name: &'static str,
    /// Protocols that have the words for it.
    pub protocols: RangeInclusive<u32>,
    /// Options of the transfer beside `-r`: letters.
    pub letters: &'static str,
    /// Incremental recursion is on.
    pub incremental: bool,
    /// What the peer sends behind the set-up.
    pub play: fn(&mut Session) -> Result<(), Gone>,
    /// Exit code of the other side.
    pub code: u8,
    /// Its words.
    pub says: &'static str,
}

impl Attack {
    pub(super) const fn new(
        name: &'static str,
        play: fn(&mut Session) -> Result<(), Gone>,
        code: u8,
        says: &'static str,
    ) -> Self {
        Self {
            name,
            protocols: 29..=32,
            letters: "",
            incremental: false,
            play,
            code,
            says,
        }
    }

    pub(super) const fn since(self, protocol: u32) -> Self {
        Self {
            protocols: protocol..=32,
            ..self
        }
    }

    pub(super) const fn with(self, letters: &'static str) -> Self {
        Self { letters, ..self }
    }

    pub(super) const fn incremental(self) -> Self {
        Self {
            incremental: true,
            ..self.since(30)
        }
    }

    /// What the peer needs to know of the session.
    #[must_use]
    pub fn options(&self) -> Options {
        let id_lists = self.letters.chars().filter(|letter| "og".contains(*letter));
        Options {
            compat: self.incremental.into(),
            id_lists: id_lists.count(),
        }
    }

    /// The option word of a client.
    #[must_use]
    pub fn client_word(&self) -> String {
        format!("-r{}", self.letters)
    }

    /// The arguments that a client sends to a daemon for the contents of module `m`. `pull`: it receives.
    #[must_use]
    pub fn arguments(&self, pull: bool) -> Vec<String> {
        let offer = if self.incremental { "e.i" } else { "" };
        let mut words = vec!["--server".to_owned()];
        words.extend(pull.then(|| "--sender".to_owned()));
        words.extend([
            format!("-r{}{offer}", self.letters),
            ".".into(),
            "m/".into(),
        ]);
        words
    }
}

/// What an attack finds at the side that it is made on, and must leave so.
#[derive(Debug)]
pub struct Outcome {
    place: PathBuf,
    outside: PathBuf,
}

impl Outcome {
    /// Puts into `dir` a place with the file `f`, and with a link `out` to a directory outside of it.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn prepare(dir: &Path) -> Self {
        let (place, outside) = (dir.join("mod"), dir.join("outside"));
        TreeSpec::new().file("f", CONTENT).build(&place);
        TreeSpec::new().file("canary", "sings").build(&outside);
        symlink(&outside, place.join("out")).expect("a link");
        Self { place, outside }
    }

    /// The place.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// # Panics
    /// When something was changed outside, a file inside that no attack gets whole, or half a file is left.
    #[track_caller]
    pub fn check(&self, story: &str) {
        let names = |dir: &Path| -> Vec<String> {
            let entries = fs::read_dir(dir).expect("a directory");
            let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
            let mut names: Vec<_> = entries
                .map(|entry| name(entry).to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&self.outside), ["canary"], "{story}");
        let canary = fs::read(self.outside.join("canary")).expect("a file");
        assert_eq!(canary, b"sings", "{story}");
        let kept = fs::read(self.place.join("f")).expect("a file");
        assert_eq!(kept, CONTENT.as_bytes(), "{story}");
        let there = names(&self.place);
        let may_be = ["d", "f", "link", "out"];
        let odd = there.iter().find(|name| !may_be.contains(&name.as_str()));
        assert_eq!(odd, None, "{story}");
    }
}

/// Of the file `f`.
const CONTENT: &str = "old content";
