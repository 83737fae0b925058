//! Filter rules in force: what the language of [`crate::filter`] says of names while trees are walked.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use rsync_proto::PeerText;

use crate::budget::{Budget, Charge};
use crate::error::Error;
use crate::filter::{Chain, FilterError, Notice, Place, Requested, RequestedNames, SentRules};
use crate::fs::{Atime, Dir, Errno, Links, Name, ReadFile, RelPath, Tree};
use crate::io_clock::IoClock;
use crate::receive::{NameCheck, Protection, Wanted};
use crate::send::Selection;

/// Bytes of one per-directory rule file at most.
const RULE_FILE_MAX: u64 = 1 << 20;

/// What errors call the rules.
pub const HELD_AS: &str = "filter rules";

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
    charge: Charge,
}

/// Rules at the receiving side.
#[derive(Debug)]
pub struct ProtectionRules {
    chain: Chain,
    files: RuleFiles,
    module: Option<ModuleRules>,
    fault: Option<Error>,
    charge: Charge,
}

/// The rules of a daemon's module at the receiving side.
#[derive(Debug)]
pub struct ModuleRules {
    chain: Chain,
    files: RuleFiles,
    /// Names that per-directory files hide are refused, too, and not only protected from deletion.
    refuses_by_files: bool,
}

impl ModuleRules {
    /// Rules of `chain`, whose per-directory files are read from `files` where a deletion
    /// looks at a directory. `None` if there is no rule.
    ///
    /// With `refuses_by_files` they also decide what is received there: as in rsync, that is for a session that
    /// deletes while it transfers (07-filters 13).
    #[must_use]
    pub fn new(chain: Chain, files: RuleFiles, refuses_by_files: bool) -> Option<Self> {
        (!chain.is_empty()).then_some(Self {
            chain,
            files,
            refuses_by_files,
        })
    }

    /// Whether a name of the transfer must not be deleted. `whole`: its directory is itself being deleted.
    #[must_use]
    pub fn protects(&self, path: RelPath<'_>, is_dir: bool, whole: bool) -> bool {
        match whole {
            true => self.chain.excludes_path_removing(path.as_bytes(), is_dir),
            false => self.chain.excludes_path(path.as_bytes(), is_dir),
        }
    }

    /// Whether a name of the transfer must not be received, or lies in a directory that must not.
    #[must_use]
    pub fn refuses(&self, path: RelPath<'_>, is_dir: bool) -> bool {
        match self.refuses_by_files {
            true => self.chain.excludes_path(path.as_bytes(), is_dir),
            false => self.chain.list_excludes_path(path.as_bytes(), is_dir),
        }
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
            charge: Charge::default(),
        }
    }

    /// Counts the rules and those of per-directory files in `budget`.
    #[must_use]
    pub fn counted_in(mut self, budget: &Budget) -> Self {
        self.charge = budget.charge(HELD_AS);
        account(&mut self.charge, &self.chain, &mut self.fault);
        self
    }

    /// Whether a name is hidden, or a directory of the transfer that it lies in.
    pub fn hides_path(&mut self, root: u16, path: RelPath<'_>, is_dir: bool) -> bool {
        if self.chain.is_empty() {
            return false;
        }
        self.go_to(root);
        self.chain.excludes_path(path.as_bytes(), is_dir)
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
            charge: Charge::default(),
        }
    }

    /// Counts the rules and those of per-directory files in `budget`.
    #[must_use]
    pub fn counted_in(mut self, budget: &Budget) -> Self {
        self.charge = budget.charge(HELD_AS);
        account(&mut self.charge, &self.chain, &mut self.fault);
        self
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
        account(&mut self.charge, &self.chain, &mut self.fault);
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
        if let Some(module) = &mut self.module {
            module.chain.set_root(absolute);
        }
    }

    fn enter(&mut self, path: RelPath<'_>, tree: &Tree) {
        let module = self.module.as_mut();
        let chains = module
            .map(|module| (&mut module.chain, &module.files))
            .into_iter()
            .chain([(&mut self.chain, &self.files)]);
        for (chain, files) in chains {
            if let Err(error) = enter_received(chain, files, path, tree) {
                self.fault
                    .get_or_insert_with(|| Error::request(error.exit_code(), error.to_string()));
            }
        }
        account(&mut self.charge, &self.chain, &mut self.fault);
    }

    fn protects(&mut self, path: RelPath<'_>, is_dir: bool, whole: bool) -> bool {
        if self
            .module
            .as_ref()
            .is_some_and(|module| module.protects(path, is_dir, whole))
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
            .is_some_and(|module| module.refuses(path, is_dir))
    }

    fn take_fault(&mut self) -> Option<Error> {
        self.fault.take()
    }

    fn take_notices(&mut self) -> Vec<String> {
        worth_telling(self.chain.take_notices())
    }
}

/// Takes a chain to a directory at the receiving side.
fn enter_received(
    chain: &mut Chain,
    files: &RuleFiles,
    path: RelPath<'_>,
    tree: &Tree,
) -> Result<(), FilterError> {
    if !chain.has_dir_merge() {
        return Ok(());
    }
    let absolute = chain.root().to_vec();
    let mut read = |place: Place<'_>, name: &[u8]| {
        let file = RuleFile { place, name };
        // A peer may have planted links here.
        files.read(file, &absolute, None, tree, Links::Beneath)
    };
    chain.enter_dir(path.as_bytes(), &mut read)
}

/// The lines about rules that were left out. What might be a slip of the pen rsync tells at `-vv` only.
#[must_use]
pub fn worth_telling(notices: Vec<Notice>) -> Vec<String> {
    let told = notices
        .iter()
        .filter(|notice| !matches!(notice, Notice::TrailingBlank(_)));
    told.map(Notice::to_string).collect()
}

/// Charges the rules in force.
fn account(charge: &mut Charge, chain: &Chain, fault: &mut Option<Error>) {
    if let Err(error) = charge.set(chain.memory()) {
        fault.get_or_insert(error);
    }
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
    fn check(&self, name: &[u8], mode: u32) -> Result<Wanted, Error> {
        let is_dir = mode & 0o170_000 == 0o040_000;
        let wanted = match self.names.check(name, is_dir) {
            // A deletion: of what is missing at the sender, the arguments are all that it can name.
            _ if mode == 0 && !self.names.is_argument(name) => {
                return Err(rejected("unrequested", name));
            }
            Requested::Whole => Wanted::Whole,
            Requested::Alone => Wanted::Alone,
            Requested::Parent => return Ok(Wanted::AsParent),
            Requested::No => return Err(rejected("unrequested", name)),
        };
        if self.rules.reject(name, is_dir) {
            return Err(rejected("excluded", name));
        }
        Ok(wanted)
    }
}

fn rejected(why: &str, name: &[u8]) -> Error {
    let name = PeerText(name);
    Error::request(4, format!("ERROR: rejecting {why} file-list name: {name}"))
}
