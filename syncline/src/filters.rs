//! What the filter options of a transfer hide from it and protect from deletion.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use rsync_engine::filter::{
    Chain, CvsSources, Descent, FilterError, RequestedNames, Role, RuleList, RuleSettings,
    SentRules,
};
use rsync_engine::fs::{Dir, RelPath, Tree};
use rsync_engine::options::TransferOptions;
use rsync_engine::receive::{NameCheck, Protection};
use rsync_engine::rules::{AskedFor, ProtectionRules, RuleFiles, SelectionRules, worth_telling};
use rsync_engine::send::Selection;
use rsync_proto::Protocol;

use crate::error::Error;

/// The rules of one transfer.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    rules: RuleList,
    /// The rules of `-C` are still to be added.
    cvs_exclude: bool,
    withheld: Option<Withheld>,
}

/// Says of a name in the transfer whether its data stays here.
#[derive(Clone)]
struct Withheld(Arc<AskName>);

/// A question about a name in the transfer.
type AskName = dyn Fn(&[u8]) -> bool + Send + Sync;

impl fmt::Debug for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Withheld")
    }
}

/// The rules of a sender that gives some files no data.
struct Withholding {
    rules: SelectionRules,
    withheld: Withheld,
}

impl Selection for Withholding {
    fn add_root(&mut self, absolute: &[u8]) {
        self.rules.add_root(absolute);
    }
    fn enter(&mut self, root: u16, path: RelPath<'_>, dir: &Dir, tree: &Tree) {
        self.rules.enter(root, path, dir, tree);
    }
    fn hides(&mut self, root: u16, path: RelPath<'_>, is_dir: bool) -> bool {
        self.rules.hides(root, path, is_dir)
    }
    fn take_fault(&mut self) -> Option<rsync_engine::Error> {
        self.rules.take_fault()
    }
    fn take_notices(&mut self) -> Vec<String> {
        self.rules.take_notices()
    }
    fn withholds(&mut self, name: &[u8]) -> bool {
        (self.withheld.0)(name)
    }
}

impl Filters {
    /// The rules that the options give; `read` opens the file of a from-file option (`-` is standard input).
    ///
    /// # Errors
    /// A rule that cannot be parsed, a file that cannot be read.
    pub fn new(
        options: &TransferOptions,
        read: &mut dyn FnMut(&[u8]) -> io::Result<Vec<u8>>,
    ) -> Result<Self, Error> {
        let cvs_exclude = options.cvs_exclude;
        let settings = RuleSettings {
            delete_excluded: options.delete_excluded,
            cvs: if cvs_exclude || !options.filter_texts.is_empty() {
                cvs_sources()
            } else {
                CvsSources::default()
            },
            ..RuleSettings::default()
        };
        let rules =
            RuleList::from_options(&options.filter_texts, settings, read).map_err(failed)?;
        Ok(Self {
            rules,
            cvs_exclude,
            withheld: None,
        })
    }

    /// What there is to say about rules that were left out, a line each.
    pub fn take_notices(&mut self) -> Vec<String> {
        worth_telling(self.rules.take_notices())
    }

    /// Adds the rules that depend on the protocol (07-filters 2).
    pub(crate) fn complete(&mut self, protocol: Protocol, sending: bool) -> Result<(), Error> {
        if std::mem::take(&mut self.cvs_exclude) {
            let role = own_role(sending);
            self.rules.add_cvs_exclude(protocol, role).map_err(failed)?;
        }
        Ok(())
    }

    /// The same rules with these of the receiver before them, each in full syntax (07-filters 3.1).
    ///
    /// # Errors
    /// A rule that cannot be parsed, more rules than the limit.
    pub fn with_first(self, rules: &[Vec<u8>]) -> Result<Self, Error> {
        Ok(Self {
            rules: self.rules.with_first(rules).map_err(failed)?,
            ..self
        })
    }

    /// Asks `withheld` for each file whose data the receiver wants, by its name in the transfer: true keeps the data here
    /// ([`Selection::withholds`]).
    #[must_use]
    pub fn withholding(mut self, withheld: Arc<AskName>) -> Self {
        self.withheld = Some(Withheld(withheld));
        self
    }

    pub(crate) fn wire_rules(
        &self,
        protocol: Protocol,
        sending: bool,
    ) -> Result<Vec<Vec<u8>>, Error> {
        self.rules
            .wire_rules(protocol, own_role(sending))
            .map_err(failed)
    }

    pub(crate) fn selection(&self) -> Box<dyn Selection> {
        let chain = Chain::new(&self.rules, Role::Sender);
        let rules = SelectionRules::new(chain, RuleFiles::Anywhere);
        match self.withheld.clone() {
            Some(withheld) => Box::new(Withholding { rules, withheld }),
            None => Box::new(rules),
        }
    }

    pub(crate) fn protection(&self) -> Box<dyn Protection> {
        Box::new(ProtectionRules::new(
            Chain::new(&self.rules, Role::Receiver),
            RuleFiles::Anywhere,
            None,
        ))
    }

    /// What a daemon may list when it was asked for these paths, module name first.
    pub(crate) fn asked_for(
        &self,
        paths: &[Vec<u8>],
        options: &TransferOptions,
    ) -> Box<dyn NameCheck> {
        let descent = match (options.recursive, options.dirs) {
            (true, _) => Descent::All,
            (false, true) => Descent::Children,
            (false, false) => Descent::None,
        };
        let mut names = RequestedNames::new(options.relative, descent);
        for path in paths {
            names.add_argument(path, true);
        }
        Box::new(AskedFor {
            names,
            rules: SentRules::new(&self.rules),
        })
    }

    /// The rules in force at the sending side, to ask often. `root`: the absolute path of the directory that names are
    /// relative to.
    #[must_use]
    pub fn sender_chain(&self, root: &[u8]) -> Chain {
        let mut chain = Chain::new(&self.rules, Role::Sender);
        chain.set_root(root);
        chain
    }

    /// The rules in force at the receiving side, to ask often: what they exclude is not deleted.
    #[must_use]
    pub fn receiver_chain(&self) -> Chain {
        Chain::new(&self.rules, Role::Receiver)
    }
}

fn own_role(sending: bool) -> Role {
    if sending {
        Role::Sender
    } else {
        Role::Receiver
    }
}

/// What the user and the environment add to the rules of `-C` (07-filters 9).
fn cvs_sources() -> CvsSources {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cvsignore"));
    CvsSources {
        home: home.and_then(|file| std::fs::read(file).ok()),
        environment: std::env::var_os("CVSIGNORE").map(OsString::into_vec),
    }
}

fn failed(error: FilterError) -> Error {
    Error::Filter {
        text: error.to_string(),
        code: error.exit_code(),
    }
}
