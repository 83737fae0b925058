//! Filter rules in force: what the language of [`crate::filter`] says of names while trees are walked.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use rsync_proto::PeerText;

use crate::error::Error;
use crate::filter::{Chain, Notice, Place, Requested, RequestedNames, SentRules};
use crate::fs::{Atime, Dir, Errno, Links, Name, ReadFile, RelPath, Tree};
use crate::io_clock::IoClock;
use crate::receive::{NameCheck, Protection, Wanted};
use crate::send::Selection;

/// Bytes of one per-directory rule file at most.
const RULE_FILE_MAX: u64 = 1 << 20;

/// Where per-directory rule files may be read.
#[derive(Debug, Clone)]
pub enum RuleFiles {
    /// Wherever the rules of this process's user name them.
    Anywhere,
    /// In a module only, as far as its own rules do not hide them.
    Module {
        /// The module's root.
        tree: Tree,
        /// Its rules.
        hidden: Box<Chain>,
        /// At the sending side the connection of the client: once it is gone no file is read, as there may be tens of
        /// thousands for one directory. Not at the receiving side, where a missing rule is a file deleted.
        clock: Option<Arc<IoClock>>,
    },
}

/// Rules at the sending side: a client's or server's own, and those of a module.
#[derive(Debug)]
pub struct SelectionRules {
    chain: Chain,
    files: RuleFiles,
    /// By number.
    roots: Vec<Vec<u8>>,
    /// The root that the chain is at.
    at: Option<u16>,
    /// A per-directory file that cannot be used ends the run.
    fault: Option<Error>,
}

/// Rules at the receiving side.
#[derive(Debug)]
pub struct ProtectionRules {
    chain: Chain,
    files: RuleFiles,
    module: Option<ModuleRules>,
    fault: Option<Error>,
}

/// The rules of a daemon's module; names below the transfer root lie below `prefix` in the module.
#[derive(Debug, Clone)]
pub struct ModuleRules {
    chain: Chain,
    prefix: Vec<u8>,
}

impl ModuleRules {
    /// `prefix`: the path of the transfer root in the module, empty for the module itself.
    #[must_use]
    pub fn new(chain: Chain, prefix: Vec<u8>) -> Option<Self> {
        (!chain.is_empty()).then_some(Self { chain, prefix })
    }

    /// Whether the module hides a name of the transfer, or a directory it lies in.
    #[must_use]
    pub fn excludes(&self, path: RelPath<'_>, is_dir: bool) -> bool {
        if self.prefix.is_empty() {
            return self.chain.excludes_path(path.as_bytes(), is_dir);
        }
        let whole = [&self.prefix[..], b"/", path.as_bytes()].concat();
        self.chain.excludes_path(&whole, is_dir)
    }
}

impl SelectionRules {
    /// Rules of `chain`, whose per-directory files are read from `files`.
    #[must_use]
    pub fn new(chain: Chain, files: RuleFiles) -> Self {
        Self {
            chain,
            files,
            roots: Vec::new(),
            at: None,
            fault: None,
        }
    }

    /// Goes to a root; the directories of the one before are left.
    fn go_to(&mut self, root: u16) {
        if self.at != Some(root) {
            self.at = Some(root);
            let absolute = self.roots.get(usize::from(root));
            self.chain.set_root(absolute.map_or(b"", Vec::as_slice));
        }
    }
}

impl ProtectionRules {
    /// Rules of `chain`, whose per-directory files are read from `files`, and those of a module in front of them.
    #[must_use]
    pub fn new(chain: Chain, files: RuleFiles, module: Option<ModuleRules>) -> Self {
        Self {
            chain,
            files,
            module,
            fault: None,
        }
    }
}

impl Selection for SelectionRules {
    fn add_root(&mut self, absolute: &[u8]) {
        self.roots.push(absolute.to_vec());
    }

    fn enter(&mut self, root: u16, path: RelPath<'_>, dir: &Dir, tree: &Tree) {
        if !self.chain.has_dir_merge() {
            return;
        }
        self.go_to(root);
        let absolute = self.chain.root().to_vec();
        let mut read = |place: Place<'_>, name: &[u8]| {
            let file = RuleFile { place, name };
            let held = (place == Place::Transfer(path.as_bytes())).then_some(dir);
            self.files.read(file, &absolute, held, tree, Links::Any)
        };
        if let Err(error) = self.chain.enter_dir(path.as_bytes(), &mut read) {
            self.fault
                .get_or_insert_with(|| Error::request(error.exit_code(), error.to_string()));
        }
    }

    fn hides(&mut self, root: u16, path: RelPath<'_>, is_dir: bool) -> bool {
        if self.chain.is_empty() {
            return false;
        }
        self.go_to(root);
        self.chain.check(path.as_bytes(), is_dir).is_excluded()
    }

    fn take_fault(&mut self) -> Option<Error> {
        self.fault.take()
    }

    fn take_notices(&mut self) -> Vec<String> {
        worth_telling(self.chain.take_notices())
    }
}

impl Protection for ProtectionRules {
    fn set_root(&mut self, absolute: &[u8]) {
        self.chain.set_root(absolute);
    }

    fn enter(&mut self, path: RelPath<'_>, tree: &Tree) {
        if !self.chain.has_dir_merge() {
            return;
        }
        let absolute = self.chain.root().to_vec();
        let mut read = |place: Place<'_>, name: &[u8]| {
            let file = RuleFile { place, name };
            // A peer may have planted links here.
            self.files.read(file, &absolute, None, tree, Links::Beneath)
        };
        if let Err(error) = self.chain.enter_dir(path.as_bytes(), &mut read) {
            self.fault
                .get_or_insert_with(|| Error::request(error.exit_code(), error.to_string()));
        }
    }

    fn protects(&mut self, path: RelPath<'_>, is_dir: bool, whole: bool) -> bool {
        if self
            .module
            .as_ref()
            .is_some_and(|module| module.excludes(path, is_dir))
        {
            return true;
        }
        let name = path.as_bytes();
        let verdict = if whole {
            self.chain.check_removing(name, is_dir)
        } else {
            self.chain.check(name, is_dir)
        };
        verdict.is_excluded()
    }

    fn refuses(&mut self, path: RelPath<'_>, is_dir: bool) -> bool {
        self.module
            .as_ref()
            .is_some_and(|module| module.excludes(path, is_dir))
    }

    fn take_fault(&mut self) -> Option<Error> {
        self.fault.take()
    }

    fn take_notices(&mut self) -> Vec<String> {
        worth_telling(self.chain.take_notices())
    }
}

/// The lines about rules that were left out. What might be a slip of the pen rsync tells at `-vv` only.
#[must_use]
pub fn worth_telling(notices: Vec<Notice>) -> Vec<String> {
    let told = notices
        .iter()
        .filter(|notice| !matches!(notice, Notice::TrailingBlank(_)));
    told.map(Notice::to_string).collect()
}

/// A file of rules that is looked for.
#[derive(Clone, Copy)]
struct RuleFile<'a> {
    place: Place<'a>,
    name: &'a [u8],
}

impl RuleFile<'_> {
    /// Its path below the directory that a place starts at: the transfer root, or `/`.
    fn path(&self) -> Vec<u8> {
        match self.place {
            Place::Transfer(dir) => join(dir, self.name),
            Place::Outside(dir) => join(dir.strip_prefix(b"/").unwrap_or(dir), self.name),
        }
    }
}

impl RuleFiles {
    /// The content of a file in the module's root, or in that of the file system.
    ///
    /// # Errors
    /// What keeps it from being read; a file that is not there is `None`.
    pub fn read_in_root(&self, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let tree = match self {
            Self::Module { tree, .. } => tree.clone(),
            Self::Anywhere => Tree::open(Path::new("/"))?,
        };
        let place = Place::Outside(b"/");
        self.read(RuleFile { place, name }, b"", None, &tree, Links::Any)
    }

    /// Reads a file, `None` if there is none. `root`: absolute path of the transfer root without the leading slash,
    /// `tree`: its directory, `links`: which links are followed there. `held` is the directory of the file, if it is
    /// at hand.
    fn read(
        &self,
        file: RuleFile<'_>,
        root: &[u8],
        held: Option<&Dir>,
        tree: &Tree,
        links: Links,
    ) -> io::Result<Option<Vec<u8>>> {
        let mut path = file.path();
        if let Self::Module { hidden, clock, .. } = self {
            if clock
                .as_ref()
                .is_some_and(|clock| clock.check_peer().is_err())
            {
                return Err(io::ErrorKind::NotConnected.into());
            }
            if let Place::Transfer(_) = file.place {
                path = join(root, &path);
            }
            if hidden.excludes_path(&path, false) {
                return Ok(None);
            }
        }
        let Ok(name) = Name::new(file.name) else {
            return Ok(None);
        };
        // Most directories have no such file, and those that have one have no link.
        match held.map(|dir| dir.open_read(name, Atime::Update)) {
            None | Some(Err(Errno::LOOP)) => {}
            Some(opened) => return content(opened),
        }
        let Ok(path) = RelPath::new(&path) else {
            return Ok(None);
        };
        content(match (self, file.place) {
            (Self::Module { tree, .. }, _) => tree.open_read(path, Links::Beneath, Atime::Update),
            (Self::Anywhere, Place::Transfer(_)) => tree.open_read(path, links, Atime::Update),
            (Self::Anywhere, Place::Outside(_)) => Tree::open(Path::new("/"))
                .and_then(|system| system.open_read(path, Links::Any, Atime::Update)),
        })
    }
}

fn content(opened: Result<ReadFile, Errno>) -> io::Result<Option<Vec<u8>>> {
    let file = match opened {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let mut text = Vec::new();
    file.take(RULE_FILE_MAX).read_to_end(&mut text)?;
    Ok(Some(text))
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        name.to_vec()
    } else {
        [directory, b"/", name].concat()
    }
}

/// What a client asked for and what its rules allow, checked against what a sender lists (02-file-list 13.4,
/// 13.5).
#[derive(Debug)]
pub struct AskedFor {
    /// The source arguments.
    pub names: RequestedNames,
    /// The rules that the sender was given.
    pub rules: SentRules,
}

impl NameCheck for AskedFor {
    fn check(&self, name: &[u8], is_dir: bool) -> Result<Wanted, Error> {
        match self.names.check(name, is_dir) {
            Requested::Yes if self.rules.reject(name, is_dir) => {
                let text = format!(
                    "ERROR: rejecting excluded file-list name: {}",
                    PeerText(name)
                );
                Err(Error::request(4, text))
            }
            Requested::Yes => Ok(Wanted::Whole),
            Requested::Parent => Ok(Wanted::AsParent),
            Requested::No => {
                let text = format!(
                    "ERROR: rejecting unrequested file-list name: {}",
                    PeerText(name)
                );
                Err(Error::request(4, text))
            }
        }
    }
}
