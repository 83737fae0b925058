//! What is decided about a session before its arguments are known: identity, directory, filter, log.

use std::os::unix::ffi::{OsStrExt as _, OsStringExt};
use std::sync::Arc;

use rsync_engine::filter::{CvsSources, MAX_RULE_BYTES, Notice, RuleList};
use rsync_engine::rules::worth_telling;
use rsync_proto::Protocol;
use rsync_proto::replies::Refusal;

use super::{Connection, End};
use crate::config::{Module, Text, describe};
use crate::confine::Cell;
use crate::identity::{self, IdentityError};
use crate::log::Destination;
use crate::logfmt::{LogContext, LogFormat};
use crate::operator;
use crate::refuse::Refusals;
use crate::session::{Location, SessionLog, StartError};
use crate::text::escape;
use crate::variables::{Variables, mentions_user};

/// What is decided about a session before its arguments are known.
pub(super) struct Plan {
    pub(super) module: Arc<Module>,
    pub(super) cell: Cell,
    pub(super) log: SessionLog,
    pub(super) location: Location,
    pub(super) filter: RuleList,
    pub(super) refusals: Refusals,
    pub(super) user: Option<Vec<u8>>,
    pub(super) read_only: bool,
    pub(super) munge_symlinks: bool,
}

impl Connection {
    /// Everything about the session that does not depend on its arguments.
    pub(super) async fn plan(
        &self,
        module: &Arc<Module>,
        variables: &mut Variables,
        user: Option<Vec<u8>>,
        read_only: bool,
        protocol: Protocol,
    ) -> Result<Plan, End> {
        let identity = self.identity(module, variables).await?;
        let path = variables.expand_path(&module.path).map_err(|_| {
            self.log.warn(format!(
                "No path for this user of module {}",
                escape(&module.name)
            ));
            End::refuse(&Refusal::Failed("chdir"))
        })?;
        let path = path.as_os_str().as_encoded_bytes();
        if path.is_empty() {
            self.log.warn(format!(
                "No path specified for module {}",
                escape(&module.name)
            ));
            return Err(End::refuse(&Refusal::NoPath));
        }
        let can_chroot = rustix::process::geteuid().is_root();
        let location = Location::new(path, module.use_chroot, can_chroot);
        if module.use_chroot.is_none() && location.chroot.is_none() {
            self.log.info(
                "chroot test failed: Operation not permitted (1). \
                 Switching 'use chroot' from unset to false.",
            );
        }
        variables.module_path = Some(location.full.clone());
        let text = |text: &Text| variables.expand(text);
        let destination = match &module.log_file {
            Some(file) => Destination::new(&text(file)?, b"", b""),
            None => Destination::new(
                b"",
                &text(&module.syslog_facility)?,
                &text(&module.syslog_tag)?,
            ),
        };
        let munge_symlinks = module
            .munge_symlinks
            .unwrap_or_else(|| location.regime.munges());
        let cell = Cell {
            chroot: location.chroot.clone(),
            path: location.path.clone(),
            identity,
            writable: !read_only,
            munge: munge_symlinks,
            fences: self.shared.fences,
        };
        let log = SessionLog {
            log: self.log.to(destination),
            context: LogContext {
                host: self.host.name.clone(),
                address: self.host.address.to_string(),
                module: module.name.clone(),
                user: user.clone().unwrap_or_default(),
                module_path: location.full.clone(),
                number: self.number,
            },
            format: LogFormat::new(text(&module.log_format)?),
            transfers: module.transfer_logging,
            rate: Arc::default(),
        };
        let filter = self.filter(module, variables, protocol).await?;
        let refusals = Refusals::new(&text(&module.refuse_options)?, false);
        Ok(Plan {
            module: Arc::clone(module),
            cell,
            log,
            location,
            filter,
            refusals,
            user,
            read_only,
            munge_symlinks,
        })
    }

    async fn identity(
        &self,
        module: &Module,
        variables: &Variables,
    ) -> Result<Option<identity::Identity>, End> {
        let uid = variables.expand_identity(&module.uid);
        let gid = variables.expand_identity(&module.gid);
        let result = match (uid, gid) {
            (Ok(uid), Ok(gid)) => {
                let chosen = mentions_user(&module.uid);
                // The user database may be far away.
                let found =
                    tokio::task::spawn_blocking(move || identity::resolve(&uid, &gid)).await;
                match found {
                    // What a client chose is not to be another name of root.
                    Ok(Ok(Some(identity))) if chosen && identity.uid == 0 => {
                        Err(IdentityError::InvalidUid("root".into()))
                    }
                    Ok(result) => result,
                    Err(_) => Err(IdentityError::GroupList),
                }
            }
            _ => {
                let user = escape(variables.user.as_deref().unwrap_or_default());
                Err(IdentityError::InvalidUid(user))
            }
        };
        result.map_err(|error| {
            self.log.warn(error.log_line());
            End::error(error)
        })
    }

    /// The module's filter rules; its files of rules may be anywhere.
    async fn filter(
        &self,
        module: &Module,
        variables: &Variables,
        protocol: Protocol,
    ) -> Result<RuleList, End> {
        let texts = module.filter_texts(|text| variables.expand(text))?;
        let rules = tokio::task::spawn_blocking(move || {
            texts.rules(cvs_sources(), protocol, &mut read_rules)
        })
        .await;
        let mut rules = rules.map_err(|_| End::Silent)?.map_err(|error| {
            let code = error.exit_code();
            let reason = if code == 11 {
                "error in file IO"
            } else {
                "syntax or usage error"
            };
            self.log.warn(format!("rsync: [Receiver] {error}"));
            self.log
                .warn(format!("rsync error: {reason} (code {code})"));
            End::Silent
        })?;
        // Those of the parameters themselves were noted when the configuration was read.
        let left_out = rules.take_notices().into_iter();
        let left_out = left_out.filter(|notice| !matches!(notice, Notice::SenderOnly(_)));
        for text in worth_telling(left_out.collect()) {
            self.log.warn(text);
        }
        Ok(rules)
    }

    pub(super) fn cannot_enter(&self, error: &StartError) -> End {
        match error {
            StartError::Confine(error) => self.log.warn(error.log_line()),
            StartError::Thread(why) => self
                .log
                .warn(format!("rsync: [Receiver] fork failed: {}", describe(why))),
        }
        End::error(error)
    }
}

/// What a `-C` among a module's rules adds: the daemon's own file and variable (07-filters 9).
fn cvs_sources() -> CvsSources {
    let home = std::env::var_os("HOME").map(|home| std::path::Path::new(&home).join(".cvsignore"));
    CvsSources {
        home: home
            .and_then(|path| operator::read(&path, MAX_RULE_BYTES).ok())
            .map(|(content, _)| content),
        environment: std::env::var_os("CVSIGNORE").map(OsStringExt::into_vec),
    }
}

fn read_rules(name: &[u8]) -> std::io::Result<Vec<u8>> {
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(name));
    operator::read(path, MAX_RULE_BYTES).map(|(content, _)| content)
}
