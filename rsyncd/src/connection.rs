//! One connection, from the greeting to its session (04-daemon 1, 01-session 4).
//!
//! All of it is a task with deadlines: a stranger costs no thread. What follows the arguments is a thread's.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rsync_engine::filter::{MAX_RULE_BYTES, RuleList};
use rsync_engine::options::{Delete, OptionError, ServerRequest, from_server_args};
use rsync_proto::args::{ArgumentsReader, second_pass_follows};
use rsync_proto::auth::{self, AuthDigest};
use rsync_proto::greeting::{Greeting, put_greeting};
use rsync_proto::limits::{GREETING_LINE, TEXT_LINE};
use rsync_proto::replies::{self, Refusal};
use rsync_proto::request::Request;
use rsync_proto::{Protocol, Violation};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use crate::access::{self, Host, HostList, UNDETERMINED};
use crate::admission::Permit;
use crate::auth::{Access, Failure, Login, UserRules, read_secrets};
use crate::config::{Config, Module, Text, describe};
use crate::confine::{Cell, Entered};
use crate::identity::{self, IdentityError};
use crate::line::{LineError, TextStream};
use crate::log::{Destination, Log};
use crate::logfmt::{LogContext, LogFormat};
use crate::motd;
use crate::operator;
use crate::refuse::Refusals;
use crate::request;
use crate::resolve::{ClientName, SystemResolver, client_name};
use crate::server::Shared;
use crate::session::{Location, Rejection, SessionLog, SessionRequest, StartError, Waiting};
use crate::slots::{self, SlotError};
use crate::text::escape;
use crate::variables::{Unusable, Variables};

/// How a connection ends that does not become a session.
enum End {
    /// These lines, then close.
    Say(Vec<u8>),
    /// Close without a word.
    Silent,
    /// The time is up.
    Deadline,
}

impl End {
    fn refuse(refusal: &Refusal<'_>) -> Self {
        let mut line = Vec::new();
        refusal.put(&mut line);
        Self::Say(line)
    }

    fn error(text: impl std::fmt::Display) -> Self {
        Self::Say(format!("@ERROR: {text}\n").into_bytes())
    }
}

impl From<LineError> for End {
    fn from(_: LineError) -> Self {
        Self::Silent
    }
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        Self::Silent
    }
}

impl From<tokio::time::error::Elapsed> for End {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::Deadline
    }
}

impl From<Unusable> for End {
    fn from(_: Unusable) -> Self {
        Self::error(CONFIGURATION_ERROR)
    }
}

const CONFIGURATION_ERROR: &str = "daemon configuration error -- contact admin";

/// Serves a connection up to the start of its session, or to its end. `done` is held as long as the connection
/// lives, session included.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    mut permit: Permit,
    number: u32,
    done: mpsc::Sender<()>,
) {
    let config = shared.current_config();
    let log = shared.log_of(&config).numbered(number);
    log.rotate();
    let mut stop = shared.stop.subscribe();
    let handshake = shared.limits.handshake;
    let mut connection = Connection {
        host: Host::new(peer),
        text: TextStream::new(stream),
        config,
        log,
        shared,
        number,
    };
    let result = tokio::select! {
        result = connection.handshake(&mut permit, done) => result,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let line = match result {
        Ok(handover) => return handover(connection.text, permit),
        Err(End::Say(line)) => line,
        Err(End::Silent) => return,
        Err(End::Deadline) => {
            return connection
                .log
                .warn("[Receiver] daemon handshake timeout -- exiting");
        }
    };
    // Nobody has to read what we say.
    let _ = tokio::time::timeout(handshake, async {
        if connection.text.write(&line).await.is_ok() {
            connection.text.close().await;
        }
    })
    .await;
}

/// Tells a client that there is no room, in words that a stock client prints.
pub(crate) async fn refuse_overload(stream: TcpStream, limit: usize) {
    let mut lines = Vec::new();
    put_greeting(&mut lines, Protocol::MAX, &AuthDigest::ALL);
    Refusal::MaxConnections(limit as i64).put(&mut lines);
    let mut text = TextStream::new(stream);
    if text.write(&lines).await.is_ok() {
        text.close().await;
    }
}

struct Connection {
    shared: Arc<Shared>,
    config: Arc<Config>,
    log: Log,
    number: u32,
    host: Host,
    text: TextStream,
}

/// What both greetings say.
struct Agreed {
    protocol: Protocol,
    greeting: Greeting,
}

/// Hands the socket over to the session's thread.
type Handover = Box<dyn FnOnce(TextStream, Permit) + Send>;

impl Connection {
    async fn handshake(
        &mut self,
        permit: &mut Permit,
        done: mpsc::Sender<()>,
    ) -> Result<Handover, End> {
        let deadline = self.deadline(self.config.timeout);
        let (agreed, module) = timeout_at(deadline, self.choose_module()).await??;
        let mut variables = self.variables(&module);
        self.check_access(&module, &variables).await?;
        let slot = self.take_slot(&module, &variables)?;

        let deadline = self.deadline(module.timeout);
        let user = timeout_at(deadline, self.authenticate(&agreed, &module, &variables)).await??;
        let (user, access) = user.map_or((None, None), |(user, access)| (Some(user), access));
        variables.user = user.clone();
        let read_only = access.map_or(module.read_only, |access| access == Access::ReadOnly);

        let plan = self.plan(&module, &mut variables, user, read_only).await?;
        let place = self.shared.track(&self.text);
        let name = format!("{} {}", escape(&module.name), self.host.address);
        let guards = Box::new((slot, place, done));
        let waiting = Waiting::start(name, plan.cell.clone(), plan.log.clone(), guards).await;
        let waiting = waiting.map_err(|error| self.cannot_enter(&error))?;

        let deadline = self.deadline(module.timeout);
        let arguments = timeout_at(deadline, self.read_arguments(agreed.protocol)).await??;
        permit.handshake_done();
        Ok(self.hand_over(waiting, plan, &agreed, &arguments))
    }

    /// The end of a phase of the handshake: a timeout can only shorten it.
    fn deadline(&self, timeout: Option<Duration>) -> tokio::time::Instant {
        let most = self.shared.limits.handshake;
        tokio::time::Instant::now() + timeout.map_or(most, |t| t.min(most))
    }

    async fn choose_module(&mut self) -> Result<(Agreed, Arc<Module>), End> {
        let mut hello = Vec::new();
        put_greeting(&mut hello, Protocol::MAX, &AuthDigest::ALL);
        if let Some(file) = &self.config.motd_file {
            let file = Variables::default().expand_path(file)?;
            hello.extend(motd::message(&file));
        }
        // A slow name server must not keep the greeting back.
        let address = self.host.address;
        let lookup = async {
            if self.config.early_lookup {
                Some(client_name(address).await)
            } else {
                None
            }
        };
        let text = &mut self.text;
        let greeting = async {
            text.write(&hello).await?;
            Ok::<_, LineError>(text.line(GREETING_LINE).await?)
        };
        let (name, greeting) = tokio::join!(lookup, greeting);
        self.log_connect(name.as_ref());
        let greeting = parse_greeting(&greeting?)?;
        let module = self.read_request(name).await?;
        Ok((greeting, module))
    }

    fn log_connect(&mut self, name: Option<&ClientName>) {
        if let Some(name) = name {
            if let Some(complaint) = &name.complaint {
                self.log.warn(complaint);
            }
            if self.config.reverse_lookup {
                self.host.name.clone_from(&name.name);
            }
        }
        self.log.info([b"connect from ", &self.who()[..]].concat());
    }

    async fn read_request(&mut self, name: Option<ClientName>) -> Result<Arc<Module>, End> {
        loop {
            let line = self.text.line(GREETING_LINE).await?;
            match Request::parse(&line) {
                Err(_) => return Err(End::refuse(&Refusal::EarlyInputLength)),
                // No module has a program to give it to.
                Ok(Request::EarlyInput(len)) => self.text.skip(len).await?,
                Ok(Request::List) => {
                    self.log
                        .info([b"module-list request from ", &self.who()[..]].concat());
                    let mut list = motd::listing(&self.config);
                    list.extend_from_slice(replies::EXIT);
                    return Err(End::Say(list));
                }
                Ok(Request::Unknown(line)) => {
                    return Err(End::refuse(&Refusal::UnknownCommand(line)));
                }
                Ok(Request::Module(wanted)) => {
                    let Some(module) = self.config.module(wanted).cloned() else {
                        let text =
                            [b"unknown module '", wanted, b"' tried from ", &self.who()].concat();
                        self.log.warn(text);
                        return Err(End::refuse(&Refusal::UnknownModule(wanted)));
                    };
                    self.host.name = match name {
                        Some(name) if module.reverse_lookup => name.name,
                        _ => UNDETERMINED.to_vec(),
                    };
                    return Ok(module);
                }
            }
        }
    }

    async fn check_access(&mut self, module: &Module, variables: &Variables) -> Result<(), End> {
        let allow = HostList::new(&variables.expand(&module.hosts_allow)?);
        let deny = HostList::new(&variables.expand(&module.hosts_deny)?);
        let decision = access::decide(
            &allow,
            &deny,
            &self.host,
            module.forward_lookup,
            &SystemResolver,
        )
        .await;
        let name = &module.name[..];
        self.host.name = decision.name;
        if !decision.allowed {
            self.log
                .warn([b"rsync denied on module ", name, b" from ", &self.who()].concat());
            let address = self.host.address.to_string();
            return Err(End::refuse(&if module.list {
                Refusal::AccessDenied {
                    module: name,
                    host: &self.host.name,
                    address: address.as_bytes(),
                }
            } else {
                Refusal::UnknownModule(name)
            }));
        }
        self.log.info(
            [
                b"rsync allowed access on module ",
                name,
                b" from ",
                &self.who(),
            ]
            .concat(),
        );
        match &module.closed {
            Some(why) => {
                self.log
                    .warn(format!("module {} is closed: {why}", escape(name)));
                Err(End::error(CONFIGURATION_ERROR))
            }
            None => Ok(()),
        }
    }

    fn take_slot(&self, module: &Module, variables: &Variables) -> Result<slots::Slot, End> {
        let file = variables.expand_path(&module.lock_file)?;
        slots::take(&file, module.max_connections).map_err(|error| match error {
            SlotError::Full => {
                let max = module.max_connections;
                self.log.warn(format!("max connections ({max}) reached"));
                End::refuse(&Refusal::MaxConnections(max.into()))
            }
            SlotError::Open(error) => {
                let file = escape(file.as_os_str().as_encoded_bytes());
                self.log.warn(format!(
                    "rsync: [Receiver] failed to open lock file {file}: {}",
                    describe(&error)
                ));
                End::refuse(&Refusal::LockFile)
            }
        })
    }

    /// The user who logged in and what its rule allows; `None` where nobody has to.
    async fn authenticate(
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
        let address = self.host.address;
        if self.shared.admission.is_blocked(address, Instant::now()) {
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
                self.shared.admission.record_failure(address, asked);
                // Measured from the answer, so that the work behind it does not show.
                tokio::time::sleep_until((asked + self.shared.limits.auth_delay).into()).await;
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
        self.log.warn([&text, complaint.as_bytes()].concat());
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
        self.log.warn(text);
    }

    /// Everything about the session that does not depend on its arguments.
    async fn plan(
        &self,
        module: &Arc<Module>,
        variables: &mut Variables,
        user: Option<Vec<u8>>,
        read_only: bool,
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
        let filter = self.filter(module, variables).await?;
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
                let chosen = crate::variables::mentions_user(&module.uid);
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
    async fn filter(&self, module: &Module, variables: &Variables) -> Result<RuleList, End> {
        let texts = module.filter_texts(|text| variables.expand(text))?;
        let rules = tokio::task::spawn_blocking(move || texts.rules(&mut read_rules)).await;
        rules.map_err(|_| End::Silent)?.map_err(|error| {
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
        })
    }

    fn cannot_enter(&self, error: &StartError) -> End {
        match error {
            StartError::Confine(error) => self.log.warn(error.log_line()),
            StartError::Thread(why) => self
                .log
                .warn(format!("rsync: [Receiver] fork failed: {}", describe(why))),
        }
        End::error(error)
    }

    async fn read_arguments(&mut self, protocol: Protocol) -> Result<Arguments, End> {
        self.text.write(replies::OK).await?;
        let first = self.text.arguments(ArgumentsReader::new(protocol)).await;
        let first = first.map_err(|e| self.bad_arguments(e))?;
        let second = if second_pass_follows(&first) {
            let second = self.text.arguments(ArgumentsReader::second_pass()).await;
            Some(second.map_err(|e| self.bad_arguments(e))?)
        } else {
            None
        };
        Ok(Arguments { first, second })
    }

    fn bad_arguments(&self, error: LineError) -> End {
        if let LineError::Violation(violation) = error {
            let text = match violation {
                Violation::TooManyArguments { .. } => "too many daemon arguments".to_owned(),
                other => other.to_string(),
            };
            self.log.warn(text);
            self.log
                .warn("rsync error: protocol incompatibility (code 2)");
        }
        End::Silent
    }

    /// The last step: everything goes to the thread.
    fn hand_over(
        &self,
        waiting: Waiting,
        plan: Plan,
        agreed: &Agreed,
        arguments: &Arguments,
    ) -> Handover {
        let Plan {
            module,
            log,
            location,
            filter,
            refusals,
            user,
            read_only,
            munge_symlinks,
            ..
        } = plan;
        let request = arguments.parse(&refusals, module.max_verbosity, agreed.protocol);
        let sender = request
            .as_ref()
            .map_or_else(|rejection| rejection.sender, |request| request.sender);
        let raw = arguments.paths();
        let direction: &[u8] = if sender { b"on " } else { b"to " };
        let user_at = user
            .as_ref()
            .map_or_else(Vec::new, |user| [user, &b"@"[..]].concat());
        log.info(
            [
                b"rsync ",
                direction,
                &request::logged(raw),
                b" from ",
                &user_at,
                &self.who(),
            ]
            .concat(),
        );
        let refused = if sender { module.write_only } else { read_only };
        if request.is_ok() && !refused {
            log.info(if sender {
                "building file list"
            } else {
                "receiving file list"
            });
        }
        let client = request.as_ref().ok().map(|request| &request.options);
        let numeric_ids = module
            .numeric_ids
            .unwrap_or_else(|| location.regime.numeric_ids())
            || client.is_some_and(|options| options.numeric_ids);
        let timeout = [module.timeout, client.and_then(|options| options.timeout)]
            .into_iter()
            .flatten()
            .min();
        let (peer, names, runner) = (
            self.host.clone(),
            self.shared.names.clone(),
            Arc::clone(&self.shared.runner),
        );
        let protocol = agreed.protocol;
        let shared_log = self.log.clone();
        Box::new(move |text, permit| {
            let (stream, unread) = match text.into_blocking() {
                Ok(parts) => parts,
                Err(error) => {
                    return shared_log.warn(format!("connection lost: {}", describe(&error)));
                }
            };
            let write_only = module.write_only;
            let session = move |Entered { root, umask }| SessionRequest {
                module,
                root,
                umask,
                module_path: location.full,
                regime: location.regime,
                filter,
                read_only,
                write_only,
                munge_symlinks,
                numeric_ids,
                timeout,
                protocol,
                request,
                peer,
                user,
                names,
                log,
                stream,
                unread,
            };
            waiting.go(session, runner, permit);
        })
    }

    fn variables(&self, module: &Module) -> Variables {
        Variables {
            module: module.name.clone(),
            address: self.host.address.to_string(),
            host: self.host.name.clone(),
            user: None,
            module_path: None,
        }
    }

    /// `NAME (ADDRESS)`.
    fn who(&self) -> Vec<u8> {
        [
            &self.host.name,
            format!(" ({})", self.host.address).as_bytes(),
        ]
        .concat()
    }
}

/// What is decided about a session before its arguments are known.
struct Plan {
    module: Arc<Module>,
    cell: Cell,
    log: SessionLog,
    location: Location,
    filter: RuleList,
    refusals: Refusals,
    user: Option<Vec<u8>>,
    read_only: bool,
    munge_symlinks: bool,
}

fn parse_greeting(line: &[u8]) -> Result<Agreed, End> {
    let greeting = Greeting::parse(line).map_err(|violation| {
        End::refuse(&match violation {
            Violation::GreetingWithoutSubversion => Refusal::NoSubversion(line),
            Violation::GreetingWithoutDigests => Refusal::NoDigests(line),
            _ => Refusal::StartUp,
        })
    })?;
    let protocol = greeting.agree(Protocol::MAX).map_err(End::error)?;
    Ok(Agreed { protocol, greeting })
}

fn read_rules(name: &[u8]) -> std::io::Result<Vec<u8>> {
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(name));
    operator::read(path, MAX_RULE_BYTES).map(|(content, _)| content)
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

/// A client's arguments as they came.
struct Arguments {
    first: Vec<Vec<u8>>,
    /// The second pass of secluded arguments, with the dummy program name in front.
    second: Option<Vec<Vec<u8>>>,
}

impl Arguments {
    /// What they mean, unless the module refuses it.
    fn parse(
        &self,
        refusals: &Refusals,
        max_verbosity: i32,
        protocol: Protocol,
    ) -> Result<ServerRequest, Rejection> {
        let second = self
            .second
            .as_deref()
            .map(|all| all.get(1..).unwrap_or_default());
        let refused = refusals
            .check(&self.first)
            .or_else(|| refusals.check(second?));
        if let Some(refused) = refused {
            return Err(self.reject(format!("rsync: {refused}"), NOT_SUPPORTED));
        }
        let parsed = from_server_args(&self.first).and_then(|mut request| {
            if let Some(second) = &self.second {
                request.add_secluded(second)?;
            }
            Ok(request)
        });
        let mut request = parsed.map_err(|error| {
            let code = if matches!(error, OptionError::Unsupported { .. }) {
                NOT_SUPPORTED
            } else {
                SYNTAX
            };
            self.reject(format!("rsync: {error}"), code)
        })?;
        let options = &mut request.options;
        options.verbose = options
            .verbose
            .min(u8::try_from(max_verbosity.max(0)).unwrap_or(u8::MAX));
        if options.delete == Delete::Default {
            options.delete = match Delete::Default.resolved(protocol.number()) {
                Delete::During if refusals.refuses_option("delete-during") => Delete::Before,
                Delete::Before if refusals.refuses_option("delete-before") => Delete::During,
                _ => Delete::Default,
            };
        }
        Ok(request)
    }

    fn reject(&self, text: String, exit_code: u8) -> Rejection {
        let options = self.first.iter().take_while(|argument| *argument != b".");
        let capabilities = options
            .clone()
            .filter(|argument| !argument.starts_with(b"--"))
            .find_map(|argument| {
                let at = argument.windows(2).position(|w| w == b"e.")?;
                Some(argument[at + 2..].to_vec())
            });
        let sender = options.clone().any(|argument| argument == b"--sender");
        Rejection {
            text,
            exit_code,
            sender,
            capabilities,
        }
    }

    /// What stands behind the dot.
    fn paths(&self) -> &[Vec<u8>] {
        let all = self.second.as_deref().unwrap_or(&self.first);
        let dot = all.iter().position(|argument| argument == b".");
        dot.map_or(&[], |dot| &all[dot + 1..])
    }
}

/// Exit codes (01-session 12.3).
const SYNTAX: u8 = 1;
const NOT_SUPPORTED: u8 = 4;
