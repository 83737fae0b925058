//! One connection, from the greeting to its session (04-daemon 1, 01-session 4).
//!
//! All of it is a task with deadlines: a stranger costs no thread. What follows the arguments is a thread's.

mod arguments;
mod ask;
mod login;
mod plan;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rsync_engine::IoClock;
use rsync_proto::Protocol;
use rsync_proto::auth::AuthDigest;
use rsync_proto::greeting::put_greeting;
use rsync_proto::replies::{self, Refusal};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use self::arguments::Arguments;
use self::ask::{Agreed, Asked, name_and_ask};
use self::plan::Plan;
use crate::access::{self, Host, HostList, UNDETERMINED};
use crate::admission::Permit;
use crate::auth::Access;
use crate::config::{Config, Module, describe};
use crate::confine::Entered;
use crate::limits::{self, Limits};
use crate::line::{LineError, TextStream};
use crate::log::Log;
use crate::motd;
use crate::request;
use crate::resolve::ClientName;
use crate::server::Shared;
use crate::session::{SessionRequest, Waiting};
use crate::slots::{self, SlotError};
use crate::text::{escape, escape_into};
use crate::variables::{Unusable, Variables};

/// How a connection ends that does not become a session.
enum End {
    /// These lines, then close.
    Say(Vec<u8>),
    /// Close without a word.
    Silent,
    /// The time is up.
    Deadline,
    /// This limit is reached, and another connection goes before this one.
    GivesWay(usize),
}

impl End {
    fn refuse(refusal: &Refusal<'_>) -> Self {
        let mut line = Vec::new();
        refusal.put(&mut line);
        Self::line(&line)
    }

    fn error(text: impl std::fmt::Display) -> Self {
        Self::line(format!("@ERROR: {text}\n").as_bytes())
    }

    /// A line that may quote the client: no control character of it comes back.
    fn line(line: &[u8]) -> Self {
        let mut escaped = Vec::with_capacity(line.len());
        escape_into(&mut escaped, line.strip_suffix(b"\n").unwrap_or(line));
        escaped.push(b'\n');
        Self::Say(escaped)
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

/// What the accept task found out about a connection.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) number: u32,
    pub(crate) permit: Permit,
    /// Gives the limit when the handshake has to make room.
    pub(crate) end: oneshot::Receiver<usize>,
}

/// Serves a connection up to the start of its session, or to its end. `done` is held as long as the connection
/// lives, session included.
pub(crate) async fn serve(shared: Arc<Shared>, accepted: Accepted, done: mpsc::Sender<()>) {
    let (config, limits) = shared.current_config();
    let Accepted {
        stream,
        peer,
        number,
        permit,
        mut end,
    } = accepted;
    let log = shared
        .log_of(&config)
        .numbered(number)
        .of_strangers(limits.log_rate);
    log.rotate();
    let mut stop = shared.stop.subscribe();
    let mut connection = Connection {
        host: Host::new(peer),
        text: TextStream::new(stream),
        config,
        limits,
        log,
        shared,
        number,
    };
    let result = tokio::select! {
        result = connection.handshake(&permit, done) => result,
        limit = &mut end => Err(End::GivesWay(limit.unwrap_or(0))),
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let line = match result {
        Ok(handover) => return handover(connection.text, permit),
        Err(End::Say(line)) => line,
        Err(End::Silent) => return,
        Err(End::GivesWay(limit)) => {
            let line = connection.gives_way(limit);
            // Under a flood nobody waits for those who gave way to read why.
            let room = Arc::clone(&connection.shared.refusals).try_acquire_owned();
            if let Ok(_room) = room {
                connection.say_last(&line).await;
            }
            return;
        }
        Err(End::Deadline) => {
            return connection
                .log
                .warn("[Receiver] daemon handshake timeout -- exiting");
        }
    };
    tokio::select! {
        () = connection.say_last(&line) => {}
        _ = end => {}
    }
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
    limits: Arc<Limits>,
    log: Log,
    number: u32,
    host: Host,
    text: TextStream,
}

/// Hands the socket over to the session's thread.
type Handover = Box<dyn FnOnce(TextStream, Permit) + Send>;

impl Connection {
    async fn handshake(
        &mut self,
        permit: &Permit,
        done: mpsc::Sender<()>,
    ) -> Result<Handover, End> {
        let deadline = self.deadline(self.config.timeout);
        let (agreed, module) = timeout_at(deadline, self.choose_module()).await??;
        let mut variables = self.variables(&module);
        self.check_access(&module, &variables).await?;

        let deadline = self.deadline(module.timeout);
        let user = timeout_at(deadline, self.authenticate(&agreed, &module, &variables)).await??;
        let (user, access) = user.map_or((None, None), |(user, access)| (Some(user), access));
        variables.user = user.clone();
        // Not before the login: a stranger must not hold the place of those who may come in.
        let slot = self.take_slot(&module, &variables, permit).await?;
        if user.is_some() {
            self.log = self.log.of_users();
        }
        let read_only = access.map_or(module.read_only, |access| access == Access::ReadOnly);

        let plan = self
            .plan(&module, &mut variables, user, read_only, agreed.protocol)
            .await?;
        let place = self.shared.track(permit.id(), &self.text);
        let name = format!("{} {}", escape(&module.name), self.host.address);
        let guards = Box::new((slot, place, done));
        let waiting = Waiting::start(name, plan.cell.clone(), plan.log.clone(), guards).await;
        let waiting = waiting.map_err(|error| self.cannot_enter(&error))?;

        let deadline = self.deadline(module.timeout);
        let arguments = timeout_at(deadline, self.read_arguments(agreed.protocol)).await??;
        Ok(self.hand_over(waiting, plan, &agreed, &arguments))
    }

    /// The end of a phase of the handshake: a timeout can only shorten it.
    fn deadline(&self, timeout: Option<Duration>) -> tokio::time::Instant {
        let most = match self.limits.handshake {
            Duration::ZERO => limits::NO_DEADLINE,
            most => most,
        };
        tokio::time::Instant::now() + timeout.map_or(most, |t| t.min(most))
    }

    /// Writes the last lines and closes. Nobody has to read what we say, nor may that take as long as a handshake:
    /// others wait for the place.
    async fn say_last(mut self, lines: &[u8]) {
        let say = async {
            if self.text.write(lines).await.is_ok() {
                self.text.close().await;
            }
        };
        let _ = tokio::time::timeout(limits::LAST_WORDS, say).await;
    }

    /// The handshake ends so that another can begin: the line that says so.
    fn gives_way(&self, limit: usize) -> Vec<u8> {
        self.log.warn(format!(
            "max connections ({limit}) reached: {} has not finished its handshake",
            self.host.address
        ));
        let mut line = Vec::new();
        Refusal::MaxConnections(limit as i64).put(&mut line);
        line
    }

    async fn choose_module(&mut self) -> Result<(Agreed, Arc<Module>), End> {
        let mut hello = Vec::new();
        put_greeting(&mut hello, Protocol::MAX, &AuthDigest::ALL);
        if let Some(file) = &self.config.motd_file {
            let file = Variables::default().expand_path(file)?;
            hello.extend(motd::message(&file));
        }
        let shared = Arc::clone(&self.shared);
        let address = self.host.address;
        let lookup = async {
            if self.config.early_lookup {
                Some(shared.lookups.client_name(address).await)
            } else {
                None
            }
        };
        let (name, asked) = name_and_ask(lookup, &mut self.text, &hello).await;
        self.log_connect(name.as_ref());
        let (agreed, request) = asked?;
        let module = self.answer(request, name)?;
        Ok((agreed, module))
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

    /// The module that is asked for; anything else ends here.
    fn answer(&mut self, asked: Asked, name: Option<ClientName>) -> Result<Arc<Module>, End> {
        let wanted = match asked {
            Asked::List => {
                self.log
                    .info([b"module-list request from ", &self.who()[..]].concat());
                let mut list = motd::listing(&self.config);
                list.extend_from_slice(replies::EXIT);
                return Err(End::Say(list));
            }
            Asked::Module(wanted) => wanted,
        };
        let Some(module) = self.config.module(&wanted).cloned() else {
            let text = [
                b"unknown module '",
                &wanted[..],
                b"' tried from ",
                &self.who(),
            ]
            .concat();
            self.log.warn(text);
            return Err(End::refuse(&Refusal::UnknownModule(&wanted)));
        };
        // A name that the greeting was logged with stays, whatever the module says (04-daemon 8.4).
        let named = self.config.reverse_lookup || module.reverse_lookup;
        self.host.name = match name {
            Some(name) if named => name.name,
            _ => UNDETERMINED.to_vec(),
        };
        Ok(module)
    }

    async fn check_access(&mut self, module: &Module, variables: &Variables) -> Result<(), End> {
        let allow = HostList::new(&variables.expand(&module.hosts_allow)?);
        let deny = HostList::new(&variables.expand(&module.hosts_deny)?);
        let decision = access::decide(
            &allow,
            &deny,
            &self.host,
            module.forward_lookup,
            &self.shared.lookups,
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

    /// A place of `max connections`. Where there is none, a client that got its OK and then says nothing gives way.
    async fn take_slot(
        &self,
        module: &Module,
        variables: &Variables,
        permit: &Permit,
    ) -> Result<slots::Slot, End> {
        let file = variables.expand_path(&module.lock_file)?;
        let max = module.max_connections;
        let mut slot = slots::take(&file, max);
        let full = |slot: &Result<_, _>| matches!(slot, Err(SlotError::Full));
        if full(&slot) && self.free_place(&file, max) {
            // The thread of the one who had it lets go of it.
            for _ in 0..limits::PLACE_TRIES {
                tokio::time::sleep(limits::PLACE_PAUSE).await;
                slot = slots::take(&file, max);
                if !full(&slot) {
                    break;
                }
            }
        }
        let error = match slot {
            Ok(slot) => {
                permit.took_place(&file);
                return Ok(slot);
            }
            Err(error) => error,
        };
        Err(match error {
            SlotError::Full => {
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

    fn free_place(&self, lock_file: &Path, max: i32) -> bool {
        let (admission, limits) = (&self.shared.admission, &self.limits);
        usize::try_from(max)
            .is_ok_and(|max| admission.free_place(lock_file, max, limits, Instant::now()))
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
        let idle = match module.idle_timeout.unwrap_or(self.limits.idle) {
            Duration::ZERO => None,
            idle => Some(idle),
        };
        let clock = Arc::new(IoClock::new(timeout.or(idle)));
        let (peer, names, runner) = (
            self.host.clone(),
            self.shared.names.clone(),
            Arc::clone(&self.shared.runner),
        );
        let limit = module
            .max_session_memory
            .unwrap_or_else(limits::session_memory);
        let budget = self.shared.budget.session(limit);
        let protocol = agreed.protocol;
        let shared_log = self.log.clone();
        Box::new(move |text, permit| {
            let (stream, unread) = match text.into_blocking() {
                Ok(parts) => parts,
                Err(error) => {
                    return shared_log.warn(format!("connection lost: {}", describe(&error)));
                }
            };
            permit.session_started(Arc::clone(&clock));
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
                clock,
                stream,
                unread,
                budget,
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
