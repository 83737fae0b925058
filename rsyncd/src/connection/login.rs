//! The authentication of a connection (04-daemon 9, 01-session 5).

use std::path::PathBuf;
use std::time::Instant;

use rsync_proto::auth::{self, AuthDigest};
use rsync_proto::limits::TEXT_LINE;
use rsync_proto::replies::{self, Refusal};

use super::{Agreed, Connection, End};
use crate::admission::Source;
use crate::auth::{Access, Failure, Login, UserRules, read_secrets};
use crate::config::Module;
use crate::identity;
use crate::line::LineError;
use crate::log::Log;
use crate::text::escape;
use crate::variables::Variables;

impl Connection {
    /// The user who logged in and what its rule allows; `None` where nobody has to.
    pub(super) async fn authenticate(
        &mut self,
        agreed: &Agreed,
        module: &Module,
        variables: &Variables,
    ) -> Result<Option<(Vec<u8>, Option<Access>)>, End> {
        let rules = UserRules::new(&variables.expand(&module.auth_users)?);
        if !rules.required() {
            return Ok(None);
        }
        let digest = self.auth_digest(agreed, module, variables)?;
        let source = Source::of(self.host.address);
        if self.shared.admission.is_blocked(source, Instant::now()) {
            self.log_auth_failure(module, None, Failure::TooManyFailures);
            return Err(End::refuse(&Refusal::AuthFailed(&module.name)));
        }
        let challenge = auth::challenge(&random()?);
        let mut line = Vec::new();
        replies::put_challenge(&mut line, &challenge);
        self.text.write(&line).await?;
        let answer = match self.text.line(TEXT_LINE).await {
            Ok(line) => line,
            Err(LineError::Violation(_)) => Vec::new(),
            Err(other) => return Err(other.into()),
        };
        let asked = Instant::now();
        let (user, result) = match auth::parse_response(&answer) {
            Err(_) => (None, Err(Failure::InvalidResponse)),
            Ok((user, response)) => {
                let job = LoginJob {
                    rules,
                    user: user.to_vec(),
                    response: response.to_vec(),
                    secrets_file: variables.expand_path(&module.secrets_file)?,
                    strict_modes: module.strict_modes,
                    challenge,
                    digest,
                    decoy: self.shared.decoy,
                    log: self.log.clone(),
                };
                let user = user.to_vec();
                let result = tokio::task::spawn_blocking(move || job.run()).await;
                (Some(user), result.unwrap_or(Err(Failure::InvalidResponse)))
            }
        };
        match (user, result) {
            (Some(user), Ok(access)) => Ok(Some((user, access))),
            (user, result) => {
                let failure = result.err().unwrap_or(Failure::InvalidResponse);
                self.log_auth_failure(module, user.as_deref(), failure);
                self.shared
                    .admission
                    .record_failure(source, &self.limits, asked);
                // Measured from the answer, so that the work behind it does not show.
                tokio::time::sleep_until((asked + self.limits.auth_delay).into()).await;
                Err(End::refuse(&Refusal::AuthFailed(&module.name)))
            }
        }
    }

    /// The digest that both greetings lead to, if it is strong enough.
    fn auth_digest(
        &self,
        agreed: &Agreed,
        module: &Module,
        variables: &Variables,
    ) -> Result<AuthDigest, End> {
        let digest = AuthDigest::for_daemon(&AuthDigest::ALL, &agreed.greeting, agreed.protocol)
            .map_err(|_| {
                self.log
                    .warn("rsync error: requested action not supported (code 4)");
                End::refuse(&Refusal::NoCommonDigest(
                    AuthDigest::list(&AuthDigest::ALL).as_bytes(),
                ))
            })?;
        let floor = variables.expand(&module.auth_digest)?;
        let complaint = match AuthDigest::from_name(&floor) {
            _ if floor.is_empty() => return Ok(digest),
            Some(floor) if digest >= floor => return Ok(digest),
            Some(_) => {
                let name = if digest == AuthDigest::OldMd4 {
                    "md4"
                } else {
                    digest.name()
                };
                format!(
                    "negotiated auth digest {name} is weaker than the required 'auth digest = {}'",
                    escape(&floor)
                )
            }
            None => {
                format!(
                    "the configured 'auth digest = {}' is not a supported digest on this build",
                    escape(&floor)
                )
            }
        };
        let text = [
            b"auth failed on module ",
            &module.name[..],
            b" from ",
            &self.who(),
            b": ",
        ]
        .concat();
        let text = [&text, complaint.as_bytes()].concat();
        self.log.auth_failure(self.host.address, text);
        Err(End::refuse(&Refusal::AuthFailed(&module.name)))
    }

    fn log_auth_failure(&self, module: &Module, user: Option<&[u8]>, failure: Failure) {
        let mut text = [
            b"auth failed on module ",
            &module.name[..],
            b" from ",
            &self.who(),
        ]
        .concat();
        if let Some(user) = user {
            text.extend_from_slice(b" for ");
            text.extend_from_slice(user);
        }
        text.extend_from_slice(format!(": {failure}").as_bytes());
        self.log.auth_failure(self.host.address, text);
    }
}

fn random() -> Result<[u8; 32], End> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| End::Silent)?;
    Ok(bytes)
}

/// The part of a login that reads files and asks the user database.
struct LoginJob {
    rules: UserRules,
    user: Vec<u8>,
    response: Vec<u8>,
    secrets_file: PathBuf,
    strict_modes: bool,
    challenge: String,
    digest: AuthDigest,
    decoy: [u8; 32],
    log: Log,
}

impl LoginJob {
    fn run(self) -> Result<Option<Access>, Failure> {
        let groups = if self.rules.asks_for_groups() {
            identity::group_names(&self.user)
        } else {
            Vec::new()
        };
        let secrets = read_secrets(&self.secrets_file, self.strict_modes);
        let secrets = secrets.as_deref().map_err(|(failure, explanation)| {
            if let Some(explanation) = explanation {
                self.log.warn(explanation);
            }
            *failure
        });
        Login {
            rules: &self.rules,
            user: &self.user,
            groups: &groups,
            secrets,
            matches: &|password| {
                self.digest
                    .verify(password, self.challenge.as_bytes(), &self.response)
            },
            decoy: &self.decoy,
        }
        .decide()
    }
}
