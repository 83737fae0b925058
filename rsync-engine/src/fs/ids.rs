//! User and group ids and their names (02-file-list 7).

/// Looks up names of users and groups. A daemon may give its confined sessions one that asks another thread.
pub trait NameService: Send {
    /// The name of a user.
    fn user_name(&mut self, uid: u32) -> Option<Vec<u8>>;
    /// The name of a group.
    fn group_name(&mut self, gid: u32) -> Option<Vec<u8>>;
    /// The id of a user.
    fn user_id(&mut self, name: &[u8]) -> Option<u32>;
    /// The id of a group.
    fn group_id(&mut self, name: &[u8]) -> Option<u32>;
}

/// The system's users and groups (NSS), cached.
#[derive(Debug, Default)]
pub struct SystemNames {}

impl NameService for SystemNames {
    fn user_name(&mut self, uid: u32) -> Option<Vec<u8>> {
        todo!()
    }
    fn group_name(&mut self, gid: u32) -> Option<Vec<u8>> {
        todo!()
    }
    fn user_id(&mut self, name: &[u8]) -> Option<u32> {
        todo!()
    }
    fn group_id(&mut self, name: &[u8]) -> Option<u32> {
        todo!()
    }
}

/// Rules of `--usermap` or `--groupmap`.
#[derive(Clone, Debug, Default)]
pub struct IdRules {}

/// Why a map is refused; the texts are rsync's, the option's name is the caller's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdRulesError {
    /// A rule without a colon.
    #[error("No colon found in --{option}: {rule}")]
    NoColon {
        /// `usermap` or `groupmap`.
        option: &'static str,
        /// The rule, escaped.
        rule: String,
    },
    /// A rule with nothing behind the colon.
    #[error("No name found after colon --{option}: {rule}")]
    NoTarget {
        /// `usermap` or `groupmap`.
        option: &'static str,
        /// The rule, escaped.
        rule: String,
    },
    /// A number that is none.
    #[error("Invalid number in --{option}: {rule}")]
    BadNumber {
        /// `usermap` or `groupmap`.
        option: &'static str,
        /// The rule, escaped.
        rule: String,
    },
}

/// What decides about ids at a receiver.
#[derive(Clone, Debug)]
pub struct IdPolicy {
    /// We are root (uids can be set, any group too).
    pub root: bool,
    /// `--numeric-ids`, or a daemon's `numeric ids`.
    pub numeric: bool,
    /// Groups that a non-root receiver may set.
    pub groups: Vec<u32>,
    /// `--usermap`.
    pub usermap: IdRules,
    /// `--groupmap`.
    pub groupmap: IdRules,
}

/// Maps the sender's ids to ours (02-file-list 7.2). Each id is decided once.
pub struct IdMapper {}

impl IdMapper {
    /// A mapper that knows nothing yet.
    pub fn new(policy: IdPolicy, names: Box<dyn NameService>) -> Self {
        todo!()
    }
    /// Learns the name of a user, from an id list or beside an entry. The first name counts.
    pub fn name_user(&mut self, id: u32, name: &[u8]) {
        todo!()
    }
    /// Learns the name of a group.
    pub fn name_group(&mut self, id: u32, name: &[u8]) {
        todo!()
    }
    /// Our uid for the sender's; `None`: do not set.
    pub fn user(&mut self, id: u32) -> Option<u32> {
        todo!()
    }
    /// Our gid for the sender's; `None`: do not set.
    pub fn group(&mut self, id: u32) -> Option<u32> {
        todo!()
    }
}

impl std::fmt::Debug for IdMapper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdMapper").finish_non_exhaustive()
    }
}
