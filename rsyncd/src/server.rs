//! The daemon: listening sockets, admission, reload, shutdown.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rsync_engine::Budget;
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::admission::{Admission, Source};
use crate::config::{Config, ConfigError, Text, describe, environment};
use crate::confine::Fences;
use crate::connection::{self, Accepted};
use crate::limits::{self, Limits};
use crate::line::TextStream;
use crate::log::{Destination, Log};
use crate::names::HostNames;
use crate::pid_file::PidFile;
use crate::resolve::Lookups;
use crate::session::SessionRunner;

/// A daemon with its configuration.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What an operator chose on the command line, against the configuration.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// Caps.
    pub limits: Limits,
    /// Fences around sessions.
    pub fences: Fences,
    /// The address or name to listen on.
    pub address: Option<String>,
    /// The port to listen on; `Some(0)` lets the system choose.
    pub port: Option<u16>,
    /// The log file of the daemon; a module's own log file wins.
    pub log_file: Option<PathBuf>,
}

/// Why a daemon cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The pid file is another daemon's, or cannot be written.
    #[error("failed to lock pid file {}: {}", path.display(), describe(error))]
    PidFile {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// No socket could be bound.
    #[error(
        "unable to bind any inbound sockets on port {port}: {}",
        describe(error)
    )]
    Bind {
        /// The port.
        port: u16,
        /// Why the last one could not.
        error: io::Error,
    },
    /// The system refuses something else.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) fences: Fences,
    pub(crate) admission: Arc<Admission>,
    /// Memory of all sessions together.
    pub(crate) budget: Budget,
    pub(crate) runner: Arc<dyn SessionRunner>,
    pub(crate) names: HostNames,
    pub(crate) lookups: Lookups,
    /// Room for refused connections that may still read why.
    pub(crate) refusals: Arc<Semaphore>,
    /// A password that nobody has.
    pub(crate) decoy: [u8; 32],
    /// Becomes true when the daemon stops: handshakes end then.
    pub(crate) stop: watch::Sender<bool>,
    options: ServerOptions,
    config_path: PathBuf,
    current: Mutex<Current>,
    log: Log,
    sessions: Mutex<HashMap<u64, OwnedFd>>,
    next_number: AtomicU32,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("config_path", &self.config_path)
            .finish_non_exhaustive()
    }
}

struct Current {
    config: Arc<Config>,
    /// The daemon's limits with what the configuration says of them.
    limits: Arc<Limits>,
    /// What is wrong with the file on the disk; said once.
    complaint: Option<String>,
}

impl Server {
    /// Reads the configuration and starts the log. Nothing is served yet.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be used, or a system without threads or random numbers.
    pub fn new(
        config: &Path,
        runner: Arc<dyn SessionRunner>,
        options: ServerOptions,
    ) -> Result<Self, ServerError> {
        let loaded = Arc::new(Config::load(config)?);
        let destination = destination(&loaded, options.log_file.as_deref());
        let log = Log::start(destination, std::process::id())?;
        let mut decoy = [0; 32];
        getrandom::fill(&mut decoy).map_err(io::Error::other)?;
        let shared = Shared {
            budget: Budget::of_all_sessions(loaded.memory_of_all()),
            fences: options.fences,
            admission: Arc::default(),
            runner,
            names: HostNames::start()?,
            lookups: Lookups::default(),
            refusals: Arc::new(Semaphore::new(limits::REFUSALS)),
            decoy,
            stop: watch::Sender::new(false),
            config_path: config.to_owned(),
            current: Mutex::new(Current {
                limits: Arc::new(loaded.limits.over(&options.limits)),
                config: loaded,
                complaint: None,
            }),
            log,
            options,
            sessions: Mutex::default(),
            next_number: AtomicU32::new(1),
        };
        shared.log_notices(&shared.current().config);
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The configuration that was read last.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.shared.current().config)
    }

    /// Looks at the configuration now, and opens log files again. Every new connection does the same.
    pub fn reload(&self) {
        self.shared.current_config();
        self.shared.log.rotate();
    }

    /// Binds the sockets that configuration and options ask for: without an address, one for IPv4 and one for
    /// IPv6.
    ///
    /// # Errors
    ///
    /// [`ServerError::Bind`] if none can be bound.
    pub fn bind(&self) -> Result<Vec<StdListener>, ServerError> {
        let config = self.config();
        let port = self.shared.options.port.unwrap_or(config.port);
        let configured = config.address.expand(&environment).unwrap_or_default();
        let address = self.shared.options.address.clone().or_else(|| {
            (!configured.is_empty()).then(|| String::from_utf8_lossy(&configured).into_owned())
        });
        let addresses: Vec<SocketAddr> = match &address {
            None => vec![
                (std::net::Ipv4Addr::UNSPECIFIED, port).into(),
                (std::net::Ipv6Addr::UNSPECIFIED, port).into(),
            ],
            Some(name) => (name.as_str(), port)
                .to_socket_addrs()
                .map_err(|error| ServerError::Bind { port, error })?
                .collect(),
        };
        let mut listeners = Vec::new();
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match listen(address, config.listen_backlog) {
                Ok(listener) => listeners.push(listener),
                Err(error) => last = error,
            }
        }
        if listeners.is_empty() {
            self.shared
                .log
                .warn(format!("unable to bind any inbound sockets on port {port}"));
            return Err(ServerError::Bind { port, error: last });
        }
        Ok(listeners)
    }

    /// Serves connections until `shutdown` is ready; then lets running sessions go on for a while. Holds the pid
    /// file meanwhile. Must run in a tokio runtime with time and I/O.
    ///
    /// # Errors
    ///
    /// The pid file, or sockets that the runtime refuses.
    pub async fn serve(
        &self,
        listeners: Vec<StdListener>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServerError> {
        let _pid_file = self.take_pid_file()?;
        let shared = &self.shared;
        let (done, mut all_done) = mpsc::channel::<()>(1);
        let mut port = shared.options.port.unwrap_or(self.config().port);
        let mut accepting = Vec::new();
        for listener in listeners {
            listener.set_nonblocking(true)?;
            port = listener.local_addr()?.port();
            let listener = TcpListener::from_std(listener)?;
            let accept = accept(Arc::clone(shared), listener, done.clone());
            accepting.push(tokio::spawn(accept));
        }
        drop(done);
        let version = env!("CARGO_PKG_VERSION");
        shared.log.info(format!(
            "rsyncd version {version} starting, listening on port {port}"
        ));
        shutdown.await;
        shared.stop.send_replace(true);
        for task in &accepting {
            task.abort();
        }
        for task in accepting {
            let _ = task.await;
        }
        // Every connection holds a sender; nothing is ever sent.
        if tokio::time::timeout(shared.options.limits.drain, all_done.recv())
            .await
            .is_err()
        {
            shared.shut_sessions_down();
            let _ = tokio::time::timeout(LAST_WORDS, all_done.recv()).await;
        }
        shared
            .log
            .info("sent 0 bytes  received 0 bytes  total size 0");
        shared.log.flush();
        Ok(())
    }

    fn take_pid_file(&self) -> Result<Option<PidFile>, ServerError> {
        let config = self.config();
        let Some(file) = &config.pid_file else {
            return Ok(None);
        };
        let path = expand_path(file);
        match PidFile::create(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) => {
                let error = ServerError::PidFile { path, error };
                self.shared.log.warn(error.to_string());
                Err(error)
            }
        }
    }
}

/// How long sessions that were cut off may take to end.
const LAST_WORDS: Duration = Duration::from_secs(5);

async fn accept(shared: Arc<Shared>, listener: TcpListener, done: mpsc::Sender<()>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most of the time: others must end first.
                shared
                    .log
                    .warn(format!("accept failed: {}", describe(&error)));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
                continue;
            }
        };
        pause = FIRST_PAUSE;
        // An option that a socket does not take is no reason to lose the connection.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
        let number = shared.next_number.fetch_add(1, Ordering::Relaxed);
        let source = Source::of(peer.ip().to_canonical());
        let limits = shared.limits();
        match shared.admission.admit(source, &limits, Instant::now()) {
            Ok(admitted) => {
                for session in admitted.cut_off {
                    shared.cut_off(session);
                }
                let accepted = Accepted {
                    stream,
                    peer,
                    number,
                    permit: admitted.permit,
                    end: admitted.end,
                };
                tokio::spawn(connection::serve(
                    Arc::clone(&shared),
                    accepted,
                    done.clone(),
                ));
            }
            Err(limit) => refuse(&shared, stream, peer, limit, number),
        }
    }
}

fn refuse(shared: &Shared, stream: TcpStream, peer: SocketAddr, limit: usize, number: u32) {
    let address = peer.ip().to_canonical();
    let log = shared
        .log
        .numbered(number)
        .of_strangers(shared.limits().log_rate);
    log.warn(format!(
        "max connections ({limit}) reached: {address} refused"
    ));
    if let Ok(room) = Arc::clone(&shared.refusals).try_acquire_owned() {
        tokio::spawn(async move {
            connection::refuse_overload(stream, limit).await;
            drop(room);
        });
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// Idle time after which the kernel asks whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

fn listen(address: SocketAddr, backlog: i32) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    // Five, the default of the parameter, is from another time.
    socket.listen(backlog.max(LEAST_BACKLOG))?;
    Ok(socket.into())
}

const LEAST_BACKLOG: i32 = 128;

impl Shared {
    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The limits in force.
    fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.current().limits)
    }

    /// The newest configuration that works, and its limits: a file that changed is read again.
    pub(crate) fn current_config(&self) -> (Arc<Config>, Arc<Limits>) {
        let mut current = self.current();
        if current.config.is_outdated() {
            match Config::load(&self.config_path) {
                Ok(config) => {
                    self.budget.set_limit(config.memory_of_all());
                    current.limits = Arc::new(config.limits.over(&self.options.limits));
                    current.config = Arc::new(config);
                    current.complaint = None;
                    self.log_notices(&current.config);
                }
                Err(error) => {
                    let complaint = error.to_string();
                    if current.complaint.as_ref() != Some(&complaint) {
                        for line in complaint.lines() {
                            self.log.warn(line);
                        }
                        self.log.warn(
                            "the configuration file is broken: going on with the last good one",
                        );
                        current.complaint = Some(complaint);
                    }
                }
            }
        }
        (Arc::clone(&current.config), Arc::clone(&current.limits))
    }

    fn log_notices(&self, config: &Config) {
        let log = self.log_of(config);
        for notice in &config.notices {
            log.warn(notice.to_string());
        }
    }

    /// The log that a configuration asks for.
    pub(crate) fn log_of(&self, config: &Config) -> Log {
        self.log
            .to(destination(config, self.options.log_file.as_deref()))
    }

    /// Remembers a connection's socket while its session runs, under the number of its permit.
    pub(crate) fn track(self: &Arc<Self>, id: u64, text: &TextStream) -> Tracked {
        if let Ok(socket) = text.socket().try_clone_to_owned() {
            self.sessions().insert(id, socket);
        }
        Tracked {
            shared: Arc::clone(self),
            id,
        }
    }

    /// Cuts off a session that has stood still, for another.
    fn cut_off(&self, id: u64) {
        if let Some(socket) = self.sessions().get(&id) {
            // A peer that is gone already is what we want.
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
        }
        self.log
            .warn("all connections are taken: a session that stood still is cut off");
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<u64, OwnedFd>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shut_sessions_down(&self) {
        for socket in self.sessions().values() {
            // A peer that is gone already is what we want.
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
        }
    }
}

/// A connection that can be cut off from outside, until this is dropped.
#[derive(Debug)]
pub(crate) struct Tracked {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.shared.sessions().remove(&self.id);
    }
}

fn destination(config: &Config, override_file: Option<&Path>) -> Destination {
    if let Some(file) = override_file {
        return Destination::File(file.to_owned());
    }
    let text = |text: &Text| text.expand(&environment).unwrap_or_default();
    match &config.log_file {
        Some(file) => Destination::File(expand_path(file)),
        None => Destination::new(
            b"",
            &text(&config.syslog_facility),
            &text(&config.syslog_tag),
        ),
    }
}

fn expand_path(text: &Text) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    PathBuf::from(std::ffi::OsString::from_vec(
        text.expand(&environment).unwrap_or_default(),
    ))
}
