//! rsyncd.conf: what the file says, as values (04-daemon 4 to 7).
//!
//! [`Config::load`] reads the whole file and everything it includes. Parameters that rsync has and we do not
//! have yet are an error if they would change what happens, and a [`Notice`] if they would not.

mod lexer;
mod load;
mod notice;
mod parameters;
mod source;
mod value;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use lexer::SyntaxError;
pub(crate) use notice::describe;
pub use notice::{ConfigError, Notice, NoticeKind, Place, Unsupported};
pub(crate) use value::environment;
pub use value::{ExpansionError, Text};

use rsync_engine::filter::{
    CvsSources, FilterError, ModuleParameters, ReadRules, RuleList, module_rules,
};
use rsync_engine::rules::worth_telling;
use rsync_proto::Protocol;

use load::{Loaded, Section, Values};
use parameters::Id;
use source::{Files, Stamp, System};

use value::Number;

use crate::access::HostList;
use crate::auth::UserRules;
use crate::limits::{self, Limits};
use crate::refuse::Refusals;
use crate::text::escape;

/// A configuration that can be served.
#[derive(Debug)]
pub struct Config {
    /// The address or name to listen on; all addresses if empty.
    pub address: Text,
    /// The port to listen on.
    pub port: u16,
    /// Connections that may wait to be accepted.
    pub listen_backlog: i32,
    /// File to send after the greeting.
    pub motd_file: Option<Text>,
    /// File that gets our process number while we listen.
    pub pid_file: Option<Text>,
    /// The log of the daemon, and of modules without one of their own; syslog if `None`.
    pub log_file: Option<Text>,
    /// Facility of the system log for lines outside modules; empty is `daemon`.
    pub syslog_facility: Text,
    /// Tag in the system log for lines outside modules; empty is `rsyncd`.
    pub syslog_tag: Text,
    /// The global `timeout`, which may shorten the handshake deadline.
    pub timeout: Option<Duration>,
    /// Bytes of memory for what the clients of all sessions make us hold; 0 is no limit, `None` the default.
    pub max_memory: Option<u64>,
    /// Clients' names are looked up as soon as they connect: a module wants it, or the default does.
    pub early_lookup: bool,
    /// The names are also written to the log before a module is chosen.
    pub reverse_lookup: bool,
    /// What the file says about limits.
    pub(crate) limits: SetLimits,
    /// The modules in the order of the file.
    pub modules: Vec<Arc<Module>>,
    /// What an operator should know about the file.
    pub notices: Vec<Notice>,
    stamps: Vec<(PathBuf, Option<Stamp>)>,
}

/// One module. Booleans and numbers are the file's; texts still hold their `%VAR%`s.
#[derive(Debug)]
pub struct Module {
    /// The name that clients ask for, exactly.
    pub name: Vec<u8>,
    /// Why nobody may use this module: what an operator wrote to restrict it cannot be understood.
    pub closed: Option<String>,
    /// Text beside the name in the list.
    pub comment: Text,
    /// The directory to serve.
    pub path: Text,
    /// Shown in the list.
    pub list: bool,
    /// Nothing may be written, unless the user's rule says so.
    pub read_only: bool,
    /// Nothing may be read.
    pub write_only: bool,
    /// Whether to change the root directory of a session: `None` is "if we can".
    pub use_chroot: Option<bool>,
    /// Who may log in; empty is everybody without a password.
    pub auth_users: Text,
    /// Weakest digest of an authentication.
    pub auth_digest: Text,
    /// Passwords.
    pub secrets_file: Text,
    /// The secrets file must be readable by its owner only.
    pub strict_modes: bool,
    /// Hosts to let in.
    pub hosts_allow: Text,
    /// Hosts to keep out.
    pub hosts_deny: Text,
    /// Names in the host lists are looked up.
    pub forward_lookup: bool,
    /// The client's name is looked up.
    pub reverse_lookup: bool,
    /// User that a session runs as.
    pub uid: Text,
    /// Groups that a session runs with.
    pub gid: Text,
    /// Sessions at once: 0 is any number, below 0 is none.
    pub max_connections: i32,
    /// Bytes of memory for what the client of one session makes us hold; 0 is no limit, `None` the default.
    pub max_session_memory: Option<u64>,
    /// Where the places for `max_connections` are taken.
    pub lock_file: Text,
    /// Idle time after which a transfer ends.
    pub timeout: Option<Duration>,
    /// `idle timeout`: how long a session may stand still if no `timeout` is set or asked for; `None` is the
    /// daemon's default, zero for ever.
    pub idle_timeout: Option<Duration>,
    /// Highest verbosity that a client may ask for.
    pub max_verbosity: i32,
    /// Links are stored so that they lead nowhere; `None` depends on the chroot.
    pub munge_symlinks: Option<bool>,
    /// Ids go without names; `None` depends on the chroot.
    pub numeric_ids: Option<bool>,
    /// Filter rules, the first of the module's filter.
    pub filter: Text,
    /// File of patterns to include.
    pub include_from: Text,
    /// Patterns to include.
    pub include: Text,
    /// File of patterns to exclude.
    pub exclude_from: Text,
    /// Patterns to exclude.
    pub exclude: Text,
    /// Options that clients may not use.
    pub refuse_options: Text,
    /// The log of this module's sessions; syslog if `None`.
    pub log_file: Option<Text>,
    /// Facility of the system log.
    pub syslog_facility: Text,
    /// Tag in the system log.
    pub syslog_tag: Text,
    /// A line in the log for each file.
    pub transfer_logging: bool,
    /// That line.
    pub log_format: Text,
}

impl Config {
    /// Reads a configuration file and what it includes.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, broken grammar, or parameters that we do not have yet.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_from(path, &System)
    }

    /// Reads a configuration from memory. Includes are not found.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        Self::load_from(Path::new(source::Text::NAME), &source::Text(text))
    }

    fn load_from(path: &Path, files: &dyn Files) -> Result<Self, ConfigError> {
        let mut loaded = load::load(path, files)?;
        let defaults = &loaded.defaults;
        let text = |id| defaults.text(id, defaults);
        let port = defaults.number(Id::Port);
        let Ok(port) = u16::try_from(port) else {
            let place = defaults.place(Id::Port, defaults).unwrap_or_else(|| Place {
                file: path.into(),
                line: 0,
            });
            return Err(ConfigError::Port { place, port });
        };
        let modules: Vec<Module> = loaded
            .sections
            .iter()
            .map(|s| Module::new(s, defaults))
            .collect();
        let mut config = Self {
            address: text(Id::Address).unwrap_or_default(),
            port: if port == 0 { DEFAULT_PORT } else { port },
            listen_backlog: defaults.number(Id::ListenBacklog),
            motd_file: set(text(Id::MotdFile)),
            pid_file: set(text(Id::PidFile)),
            log_file: set(text(Id::LogFile)),
            syslog_facility: text(Id::SyslogFacility).unwrap_or_default(),
            syslog_tag: text(Id::SyslogTag).unwrap_or_default(),
            timeout: seconds(defaults.number(Id::Timeout)),
            max_memory: defaults.size(Id::MaxMemory),
            early_lookup: defaults.bool(Id::ReverseLookup)
                || modules.iter().any(|m| m.reverse_lookup),
            reverse_lookup: defaults.bool(Id::ReverseLookup),
            limits: SetLimits::new(defaults),
            modules: Vec::new(),
            notices: std::mem::take(&mut loaded.notices),
            stamps: std::mem::take(&mut loaded.stamps),
        };
        for (mut module, section) in modules.into_iter().zip(&loaded.sections) {
            module.check(section, &loaded, &mut config.notices);
            config.modules.push(Arc::new(module));
        }
        Ok(config)
    }

    /// The module of exactly that name.
    #[must_use]
    pub fn module(&self, name: &[u8]) -> Option<&Arc<Module>> {
        self.modules.iter().find(|m| m.name == name)
    }

    /// The limit of the memory of all sessions.
    pub(crate) fn memory_of_all(&self) -> u64 {
        self.max_memory.unwrap_or_else(limits::all_memory)
    }

    /// A file of this configuration is not the one that was read.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.stamps
            .iter()
            .any(|(path, stamp)| System.stamp(path) != *stamp)
    }
}

impl Module {
    fn new(section: &Section, defaults: &Values) -> Self {
        let values = &section.values;
        let text = |id| values.text(id, defaults).unwrap_or_default();
        Self {
            name: section.name.clone(),
            closed: None,
            comment: text(Id::Comment),
            path: text(Id::Path),
            list: values.bool(Id::List),
            read_only: values.bool(Id::ReadOnly),
            write_only: values.bool(Id::WriteOnly),
            use_chroot: values.tristate(Id::UseChroot),
            auth_users: text(Id::AuthUsers),
            auth_digest: text(Id::AuthDigest),
            secrets_file: text(Id::SecretsFile),
            strict_modes: values.bool(Id::StrictModes),
            hosts_allow: text(Id::HostsAllow),
            hosts_deny: text(Id::HostsDeny),
            forward_lookup: values.bool(Id::ForwardLookup),
            reverse_lookup: values.bool(Id::ReverseLookup),
            uid: text(Id::Uid),
            gid: text(Id::Gid),
            max_connections: values.number(Id::MaxConnections),
            max_session_memory: values.size(Id::MaxSessionMemory),
            lock_file: set(values.text(Id::LockFile, defaults))
                .unwrap_or_else(|| Text::new(DEFAULT_LOCK_FILE)),
            timeout: seconds(values.number(Id::Timeout)),
            // Who writes that there is no time-out means it.
            idle_timeout: match values.number_set(Id::IdleTimeout) {
                None if values.number_set(Id::Timeout) == Some(0) => Some(Duration::ZERO),
                set => set.map(duration),
            },
            max_verbosity: values.number(Id::MaxVerbosity),
            munge_symlinks: values.tristate(Id::MungeSymlinks),
            numeric_ids: values.tristate(Id::NumericIds),
            filter: text(Id::Filter),
            include_from: text(Id::IncludeFrom),
            include: text(Id::Include),
            exclude_from: text(Id::ExcludeFrom),
            exclude: text(Id::Exclude),
            refuse_options: text(Id::RefuseOptions),
            log_file: set(values.text(Id::LogFile, defaults)),
            syslog_facility: text(Id::SyslogFacility),
            syslog_tag: text(Id::SyslogTag),
            transfer_logging: values.bool(Id::TransferLogging),
            // Set to nothing it is none.
            log_format: values
                .text(Id::LogFormat, defaults)
                .unwrap_or_else(|| Text::new(crate::logfmt::DEFAULT_FORMAT)),
        }
    }

    /// The parameters that make the module's filter, with their variables replaced.
    pub(crate) fn filter_texts<E>(
        &self,
        mut expand: impl FnMut(&Text) -> Result<Vec<u8>, E>,
    ) -> Result<FilterTexts, E> {
        Ok(FilterTexts {
            filter: expand(&self.filter)?,
            include_from: expand(&self.include_from)?,
            include: expand(&self.include)?,
            exclude_from: expand(&self.exclude_from)?,
            exclude: expand(&self.exclude)?,
        })
    }

    /// Looks for what an operator meant as a restriction and what is none, or more than meant.
    fn check(&mut self, section: &Section, loaded: &Loaded, notices: &mut Vec<Notice>) {
        let module = escape(&self.name);
        let place = |id| {
            section
                .values
                .place(id, &loaded.defaults)
                .unwrap_or_else(|| Place {
                    file: loaded
                        .stamps
                        .first()
                        .map_or_else(|| Path::new("").into(), |(p, _)| p.as_path().into()),
                    line: 0,
                })
        };
        let now = |text: &Text| text.expand(&environment).unwrap_or_default();
        let mut note = |id, kind| {
            notices.push(Notice {
                place: place(id),
                kind,
            })
        };
        if let Some((name, _)) = section.values.malformed() {
            self.closed = Some(format!("badly formed \"{name}\""));
            let id = parameters::find(name.as_bytes()).map_or(Id::Path, |spec| spec.id);
            note(
                id,
                NoticeKind::Closed {
                    module: module.clone(),
                    name,
                },
            );
        }
        for (id, parameter, text, deny) in [
            (Id::HostsAllow, "hosts allow", &self.hosts_allow, false),
            (Id::HostsDeny, "hosts deny", &self.hosts_deny, true),
        ] {
            let list = HostList::new(&now(text));
            let named = self.reverse_lookup || loaded.defaults.bool(Id::ReverseLookup);
            let nameless = match named {
                true => Vec::new(),
                false => list.need_names(self.forward_lookup),
            };
            let nameless = nameless.into_iter().map(|token| (token, NO_NAMES));
            for (token, why) in list.suspects(deny).into_iter().chain(nameless) {
                note(
                    id,
                    NoticeKind::HostPattern {
                        module: module.clone(),
                        parameter,
                        token,
                        why,
                    },
                );
            }
        }
        let users = UserRules::new(&now(&self.auth_users));
        for token in users.unknown_options() {
            note(
                Id::AuthUsers,
                NoticeKind::AuthOption {
                    module: module.clone(),
                    token,
                },
            );
        }
        if users.required() && self.secrets_file.is_empty() {
            note(Id::AuthUsers, NoticeKind::NoSecrets(module.clone()));
        }
        // The files are read when a session starts.
        let texts = self
            .filter_texts(|text| text.expand(&environment))
            .unwrap_or_default();
        match texts.rules(
            CvsSources::default(),
            Protocol::MAX,
            &mut |_| Ok(Vec::new()),
        ) {
            Ok(mut rules) => {
                for text in worth_telling(rules.take_notices()) {
                    note(
                        Id::Filter,
                        NoticeKind::FilterRule {
                            module: module.clone(),
                            text,
                        },
                    );
                }
            }
            Err(error) => {
                self.closed.get_or_insert_with(|| "filter".into());
                note(
                    Id::Filter,
                    NoticeKind::Filter {
                        module: module.clone(),
                        error: error.to_string(),
                    },
                );
            }
        }
        let refusals = Refusals::new(&now(&self.refuse_options), false);
        for word in refusals.unmatched() {
            self.closed.get_or_insert_with(|| "refuse options".into());
            note(
                Id::RefuseOptions,
                NoticeKind::RefuseWord {
                    module: module.clone(),
                    word: escape(word),
                },
            );
        }
    }
}

/// See [`Module::filter_texts`].
#[derive(Debug, Clone, Default)]
pub(crate) struct FilterTexts {
    filter: Vec<u8>,
    include_from: Vec<u8>,
    include: Vec<u8>,
    exclude_from: Vec<u8>,
    exclude: Vec<u8>,
}

impl FilterTexts {
    /// The rules for a session; `read` opens files of rules, `cvs` is what `-C` in them adds to its built-in list.
    pub(crate) fn rules(
        &self,
        cvs: CvsSources,
        protocol: Protocol,
        read: &mut ReadRules<'_>,
    ) -> Result<RuleList, FilterError> {
        let parameters = ModuleParameters {
            filter: &self.filter,
            include_from: &self.include_from,
            include: &self.include,
            exclude_from: &self.exclude_from,
            exclude: &self.exclude,
        };
        module_rules(&parameters, cvs, protocol, read)
    }
}

/// The limits that a file sets; the others are the daemon's own.
#[derive(Debug, Clone, Default)]
pub(crate) struct SetLimits {
    total_connections: Option<usize>,
    network_connections: Option<usize>,
    address_connections: Option<usize>,
    total_handshakes: Option<usize>,
    network_handshakes: Option<usize>,
    address_handshakes: Option<usize>,
    handshake: Option<Duration>,
    auth_failures: Option<u32>,
    log_rate: Option<u32>,
}

impl SetLimits {
    fn new(defaults: &Values) -> Self {
        let number = |id| defaults.number_set(id).map(Number::cast_unsigned);
        let count = |id| number(id).and_then(|n| usize::try_from(n).ok());
        Self {
            total_connections: count(Id::TotalConnections),
            network_connections: count(Id::NetworkConnections),
            address_connections: count(Id::AddressConnections),
            total_handshakes: count(Id::TotalHandshakes),
            network_handshakes: count(Id::NetworkHandshakes),
            address_handshakes: count(Id::AddressHandshakes),
            handshake: defaults.number_set(Id::HandshakeTimeout).map(duration),
            auth_failures: number(Id::AuthFailures),
            log_rate: number(Id::LogRate),
        }
    }

    /// `limits` with what the file sets in its place.
    pub(crate) fn over(&self, limits: &Limits) -> Limits {
        Limits {
            total_connections: self.total_connections.unwrap_or(limits.total_connections),
            network_connections: self
                .network_connections
                .unwrap_or(limits.network_connections),
            address_connections: self
                .address_connections
                .unwrap_or(limits.address_connections),
            total_handshakes: self.total_handshakes.unwrap_or(limits.total_handshakes),
            network_handshakes: self.network_handshakes.unwrap_or(limits.network_handshakes),
            address_handshakes: self.address_handshakes.unwrap_or(limits.address_handshakes),
            handshake: self.handshake.unwrap_or(limits.handshake),
            auth_failures: self.auth_failures.unwrap_or(limits.auth_failures),
            log_rate: self.log_rate.unwrap_or(limits.log_rate),
            ..limits.clone()
        }
    }
}

/// A number of seconds from 0 on.
fn duration(number: Number) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

fn set(text: Option<Text>) -> Option<Text> {
    text.filter(|t| !t.is_empty())
}

fn seconds(number: i32) -> Option<Duration> {
    u64::try_from(number)
        .ok()
        .filter(|n| *n > 0)
        .map(Duration::from_secs)
}

const NO_NAMES: &str = "is matched against host names, and reverse lookup is off";
const DEFAULT_PORT: u16 = 873;
const DEFAULT_LOCK_FILE: &str = "/var/run/rsyncd.lock";

#[cfg(test)]
mod tests;
