//! Filter rules in force: what the language of [`crate::filter`] says of names while trees are walked.

use std::io::{self, Read};

use rsync_proto::PeerText;

use crate::error::Error;
use crate::filter::{Chain, Place, Requested, RequestedNames, SentRules};
use crate::fs::{Atime, Dir, Errno, Links, Name, RelPath, Tree};
use crate::receive::{NameCheck, Protection, Wanted};
use crate::send::Selection;

/// Bytes of one per-directory rule file at most.
const RULE_FILE_MAX: u64 = 1 << 20;

/// Rules at the sending side: a client's or server's own, and those of a module.
#[derive(Debug)]
pub struct SelectionRules {
    chain: Chain,
    module: Option<ModuleRules>,
    root: Option<u16>,
    /// A per-directory file that cannot be used ends the run.
    fault: Option<Error>,
}

/// Rules at the receiving side.
#[derive(Debug)]
pub struct ProtectionRules {
    chain: Chain,
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
    /// Rules of `chain`, and those of a module in front of them.
    #[must_use]
    pub fn new(chain: Chain, module: Option<ModuleRules>) -> Self {
        Self {
            chain,
            module,
            root: None,
            fault: None,
        }
    }
}

impl ProtectionRules {
    /// Rules of `chain`, and those of a module in front of them.
    #[must_use]
    pub fn new(chain: Chain, module: Option<ModuleRules>) -> Self {
        Self {
            chain,
            module,
            fault: None,
        }
    }
}

impl Selection for SelectionRules {
    fn enter(&mut self, root: u16, path: RelPath<'_>, dir: &Dir, tree: &Tree) {
        if !self.chain.has_dir_merge() {
            return;
        }
        if self.root != Some(root) {
            self.chain.leave_all();
            self.root = Some(root);
        }
        let mut read = |place: Place<'_>, name: &[u8]| match place {
            Place::Transfer(at) if at == path.as_bytes() => read_rule_file(dir, name),
            Place::Transfer(at) => read_below(tree, at, name),
            // What lies above an argument is not ours to read through this tree.
            Place::Above(_) => Ok(None),
        };
        if let Err(error) = self.chain.enter_dir(path.as_bytes(), &mut read) {
            self.fault
                .get_or_insert_with(|| Error::request(error.exit_code(), error.to_string()));
        }
    }

    fn hides(&mut self, path: RelPath<'_>, is_dir: bool) -> bool {
        self.module
            .as_ref()
            .is_some_and(|module| module.excludes(path, is_dir))
            || self.chain.check(path.as_bytes(), is_dir).is_excluded()
    }

    fn take_fault(&mut self) -> Option<Error> {
        self.fault.take()
    }
}

impl Protection for ProtectionRules {
    fn enter(&mut self, path: RelPath<'_>, tree: &Tree) {
        if !self.chain.has_dir_merge() {
            return;
        }
        let mut read = |place: Place<'_>, name: &[u8]| match place {
            Place::Transfer(at) => read_below(tree, at, name),
            Place::Above(_) => Ok(None),
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
}

fn read_below(tree: &Tree, dir: &[u8], name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let Ok(path) = RelPath::new(dir) else {
        return Ok(None);
    };
    match tree.open_dir(path, Links::Refuse) {
        Ok(dir) => read_rule_file(&dir, name),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn read_rule_file(dir: &Dir, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    // A path instead of a name would have to be resolved outside of this directory.
    let Ok(name) = Name::new(name) else {
        return Ok(None);
    };
    let file = match dir.open_read(name, Atime::Update) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let mut text = Vec::new();
    file.take(RULE_FILE_MAX).read_to_end(&mut text)?;
    Ok(Some(text))
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
