//! From an authenticated connection to a thread that runs a session.
//!
//! The thread is started before the client gets its `@RSYNCD: OK`, so that a module that cannot be entered is
//! refused with the right words and nothing goes on with the daemon's identity. It confines itself, reports, and
//! waits for the arguments.

use std::io;
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt as _;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rsync_engine::filter::RuleList;
use rsync_engine::fs::Tree;
use rsync_engine::options::ServerRequest;
use rsync_engine::{Budget, IoClock};
use rsync_proto::Protocol;
use tokio::sync::oneshot;

use crate::access::Host;
use crate::admission::Permit;
use crate::config::Module;
use crate::confine::{self, Cell, ConfineError, Entered};
use crate::limits;
use crate::log::{Log, Priority};
use crate::logfmt::{LogContext, LogFormat, LoggedItem, Operation};
use crate::names::HostNames;

/// Runs sessions. The one method is called on a thread of its own, which has the module's identity already and
/// ends with it; threads started from there inherit it. It must not use a runtime or a pool of threads.
pub trait SessionRunner: Send + Sync {
    /// Runs one session to its end: set-up, transfer, goodbye, and a close that lets the client see the last
    /// message. A panic is caught and ends this session only.
    fn run(&self, request: SessionRequest) -> SessionEnd;
}

/// How a module's paths relate to the process' root (04-daemon 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Regime {
    /// No chroot; the module is a part of the file system.
    Plain,
    /// No chroot; the module is the whole file system.
    Root,
    /// The module is the new root.
    Chroot,
    /// The module is inside the new root.
    ChrootInner,
}

impl Regime {
    /// Links are munged unless the module says otherwise (04-daemon 11.3).
    #[must_use]
    pub fn munges(self) -> bool {
        self != Self::Chroot
    }

    /// Ids go without names unless the module says otherwise (04-daemon 12).
    #[must_use]
    pub fn numeric_ids(self) -> bool {
        matches!(self, Self::Chroot | Self::ChrootInner)
    }

    /// Incoming link targets that are not munged are rewritten to stay in the module (04-daemon 11.3).
    #[must_use]
    pub fn sanitizes(self) -> bool {
        matches!(self, Self::Plain | Self::ChrootInner)
    }
}

/// Everything that is known when the arguments have been read.
#[derive(Debug)]
pub struct SessionRequest {
    /// The module as configured.
    pub module: Arc<Module>,
    /// The module's directory, opened by the operator rule before the identity changed.
    pub root: Tree,
    /// The umask, which the thread cannot ask for any more.
    pub umask: u32,
    /// The module's directory as configured, variables replaced.
    pub module_path: Vec<u8>,
    /// How its paths relate to the process' root.
    pub regime: Regime,
    /// The module's own filter rules: what they exclude is not there for the client.
    pub filter: RuleList,
    /// Pushes are refused, after the set-up: the module's `read only`, or the rule of the user.
    pub read_only: bool,
    /// Pulls are refused, after the set-up.
    pub write_only: bool,
    /// Links are stored munged, and sent without it.
    pub munge_symlinks: bool,
    /// Ids go without names: the module says so, or the client.
    pub numeric_ids: bool,
    /// The smaller of the module's `timeout` and the client's, if either is set.
    pub timeout: Option<Duration>,
    /// The agreed protocol.
    pub protocol: Protocol,
    /// What the client asks for; the paths still as sent, see [`crate::request::paths`].
    pub request: Result<ServerRequest, Rejection>,
    /// The client's address and name.
    pub peer: Host,
    /// Who logged in.
    pub user: Option<Vec<u8>>,
    /// Names of users and groups: the thread cannot look them up itself.
    pub names: HostNames,
    /// The log.
    pub log: SessionLog,
    /// When the connection moved bytes, and how long it may stand still: [`Self::timeout`], or the idle time-out,
    /// which is not announced to the client.
    pub clock: Arc<IoClock>,
    /// The connection, blocking, with TCP_NODELAY.
    pub stream: TcpStream,
    /// Bytes that were read from it already.
    pub unread: Vec<u8>,
    /// Memory that the client may make the session hold.
    pub budget: Budget,
}

/// Why a client's arguments are not carried out. It is told after the set-up, in a message; then the session
/// ends (01-session 12.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The text, with rsync's `rsync: ` in front.
    pub text: String,
    /// The exit code that goes with it.
    pub exit_code: u8,
    /// The client pulls, as far as its arguments tell.
    pub sender: bool,
    /// Its capability letters (01-session 7.4), as far as its arguments tell: the set-up needs them.
    pub capabilities: Option<Vec<u8>>,
    /// It wants to negotiate a compression, as far as its arguments tell: the set-up needs that too.
    pub compression: bool,
}

/// How a session ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionEnd {
    /// rsync's exit code.
    pub exit_code: u8,
    /// What the exit code means, in rsync's words; for the log, if the code is not 0.
    pub reason: String,
    /// `sender`, `receiver` or `generator`; for the log.
    pub role: &'static str,
    /// Bytes written to the connection.
    pub sent: u64,
    /// Bytes read from it.
    pub received: u64,
    /// Length of all files of the transfer.
    pub total_size: u64,
}

/// The log of one session.
#[derive(Debug, Clone)]
pub struct SessionLog {
    pub(crate) log: Log,
    pub(crate) context: LogContext,
    pub(crate) format: LogFormat,
    pub(crate) transfers: bool,
    pub(crate) rate: Arc<Mutex<Rate>>,
}

/// Counts the lines of a second (05-security L-13).
#[derive(Debug, Default)]
pub(crate) struct Rate {
    since: Option<Instant>,
    lines: u32,
    missed: u64,
}

impl Rate {
    /// Takes room for a line: the number of lines that had none before it. `None`: no room.
    fn take(&mut self, now: Instant) -> Option<u64> {
        if self
            .since
            .is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1))
        {
            self.since = Some(now);
            self.lines = 0;
        }
        if self.lines == limits::SESSION_LOG_LINES {
            self.missed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.missed))
    }
}

impl SessionLog {
    /// Writes an information. A client can cause such lines: above a rate they are counted only.
    pub fn info(&self, text: impl AsRef<[u8]>) {
        self.limited(Priority::Info, text.as_ref());
    }

    /// Writes a warning or an error text, with the same limit.
    pub fn warn(&self, text: impl AsRef<[u8]>) {
        self.limited(Priority::Warning, text.as_ref());
    }

    fn limited(&self, priority: Priority, text: &[u8]) {
        let missed = self
            .rate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(Instant::now());
        match missed {
            None => return,
            Some(0) => {}
            Some(missed) => self
                .log
                .warn(format!("{missed} log lines of this session were left out")),
        }
        self.log.line(priority, text);
    }

    /// Each transferred and deleted file is to be given to [`SessionLog::item`].
    #[must_use]
    pub fn wants_items(&self) -> bool {
        self.transfers
    }

    /// Directories, links and changes of attributes too.
    #[must_use]
    pub fn wants_itemized(&self) -> bool {
        self.transfers && self.format.itemizes()
    }

    /// Permission bits of deleted files too.
    #[must_use]
    pub fn wants_modes(&self) -> bool {
        self.transfers && self.format.shows_permissions()
    }

    /// Writes the line for a file, if `transfer logging` is on. An empty format has lines for deletions only.
    pub fn item(&self, item: &LoggedItem<'_>) {
        if self.transfers && !(self.format.is_empty() && item.operation != Operation::Delete) {
            self.log
                .escaped_line(Priority::Info, self.format.line(item, &self.context));
        }
    }

    /// The last lines of a session.
    fn end(&self, end: &SessionEnd) {
        if end.exit_code == 0 || end.role == "sender" {
            let SessionEnd {
                sent,
                received,
                total_size,
                ..
            } = end;
            self.info(format!(
                "sent {sent} bytes  received {received} bytes  total size {total_size}"
            ));
        }
        if end.exit_code != 0 {
            let kind = if end.exit_code == 24 {
                "warning"
            } else {
                "error"
            };
            let SessionEnd {
                exit_code,
                reason,
                role,
                ..
            } = end;
            let version = env!("CARGO_PKG_VERSION");
            self.warn(format!(
                "rsync {kind}: {reason} (code {exit_code}) at session [{role}={version}]"
            ));
        }
    }
}

/// Where a module is, and in which regime it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) regime: Regime,
    pub(crate) chroot: Option<PathBuf>,
    /// As seen in the new root.
    pub(crate) path: PathBuf,
    /// As configured.
    pub(crate) full: Vec<u8>,
}

impl Location {
    /// `path` is the configured one, not empty; `chroot` says whether the root directory changes, where `None`
    /// leaves it to the path and to what we can do.
    pub(crate) fn new(path: &[u8], chroot: Option<bool>, can_chroot: bool) -> Self {
        let full = absolute(path);
        let inner = path.windows(3).position(|w| w == b"/./");
        let chroot = chroot.unwrap_or_else(|| inner.is_some() || can_chroot);
        let to_path = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
        let (regime, chroot, inside) = match (chroot, inner) {
            (false, _) if full == b"/" => (Regime::Root, None, full.clone()),
            (false, _) => (Regime::Plain, None, full.clone()),
            (true, Some(at)) => {
                let outer = absolute(&path[..at.max(1)]);
                let inner = clean(&path[at + 2..]);
                (Regime::ChrootInner, Some(to_path(&outer)), inner)
            }
            (true, None) => (Regime::Chroot, Some(to_path(&full)), b"/".to_vec()),
        };
        Self {
            regime,
            chroot,
            path: to_path(&inside),
            full,
        }
    }
}

fn absolute(path: &[u8]) -> Vec<u8> {
    if path.first() == Some(&b'/') {
        return clean(path);
    }
    let start = std::env::current_dir().unwrap_or_else(|_| Path::new("/").to_owned());
    clean(&[start.as_os_str().as_bytes(), b"/", path].concat())
}

/// Removes `.`, `..` and doubled slashes, without looking at the file system.
fn clean(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path
        .split(|&b| b == b'/')
        .filter(|p| !p.is_empty() && *p != b".")
    {
        if part == b".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    [&b"/"[..], &parts.join(&b'/')].concat()
}

/// A confined thread that waits for its session.
pub(crate) struct Waiting {
    go: mpsc::Sender<Start>,
}

struct Start {
    request: Box<dyn FnOnce(Entered) -> SessionRequest + Send>,
    runner: Arc<dyn SessionRunner>,
    _permit: Permit,
}

impl Waiting {
    /// Starts the thread; resolves when it is confined. `guards` are dropped when the thread ends: the places it
    /// holds.
    pub(crate) async fn start(
        name: String,
        cell: Cell,
        log: SessionLog,
        guards: Box<dyn Send>,
    ) -> Result<Self, StartError> {
        let (go, start) = mpsc::channel();
        let (ready, confined) = oneshot::channel();
        // A name for people who look at threads; the kernel shows its first 15 bytes.
        let name = name.replace('\0', "");
        std::thread::Builder::new()
            .name(name)
            .stack_size(limits::SESSION_STACK)
            .spawn(move || {
                // Dropped after everything else of the session.
                let _guards = guards;
                run(&cell, &log, ready, &start);
            })?;
        match confined.await {
            Ok(Ok(())) => Ok(Self { go }),
            Ok(Err(error)) => Err(StartError::Confine(error)),
            Err(_) => Err(StartError::Thread(io::Error::other(
                "the session thread ended",
            ))),
        }
    }

    /// Runs the session on the thread, and does not wait for it. `permit` is given back at its end.
    pub(crate) fn go(
        self,
        request: impl FnOnce(Entered) -> SessionRequest + Send + 'static,
        runner: Arc<dyn SessionRunner>,
        permit: Permit,
    ) {
        // The thread is there: it waits for nothing else.
        let _ = self.go.send(Start {
            request: Box::new(request),
            runner,
            _permit: permit,
        });
    }
}

/// Why there is no session thread.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("fork failed")]
    Thread(#[from] io::Error),
    #[error(transparent)]
    Confine(ConfineError),
}

fn run(
    cell: &Cell,
    log: &SessionLog,
    ready: oneshot::Sender<Result<(), ConfineError>>,
    start: &mpsc::Receiver<Start>,
) {
    let entered = match confine::enter(cell) {
        Ok(entered) => entered,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    if ready.send(Ok(())).is_err() {
        return;
    }
    // The connection ended before the arguments were complete.
    let Ok(start) = start.recv() else { return };
    let request = (start.request)(entered);
    let end = std::panic::catch_unwind(AssertUnwindSafe(|| start.runner.run(request)));
    match end {
        Ok(end) => log.end(&end),
        Err(_) => log.warn("session ended by a panic, which is a bug of this daemon"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_lines_is_counted() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let full = (0..150).filter(|_| rate.take(start) == Some(0)).count();
        assert_eq!(full, 100);
        assert_eq!(rate.take(start + Duration::from_secs(1)), Some(50));
        assert_eq!(rate.take(start + Duration::from_secs(1)), Some(0));
    }

    #[test]
    fn regimes() {
        for (path, chroot, can, regime, root, inside) in [
            ("/srv/m", Some(false), true, Regime::Plain, None, "/srv/m"),
            (
                "/srv//x/../m/.",
                Some(false),
                true,
                Regime::Plain,
                None,
                "/srv/m",
            ),
            ("/", Some(false), true, Regime::Root, None, "/"),
            (
                "/srv/m",
                Some(true),
                true,
                Regime::Chroot,
                Some("/srv/m"),
                "/",
            ),
            ("/srv/m", None, true, Regime::Chroot, Some("/srv/m"), "/"),
            ("/srv/m", None, false, Regime::Plain, None, "/srv/m"),
            (
                "/srv/./m",
                None,
                false,
                Regime::ChrootInner,
                Some("/srv"),
                "/m",
            ),
            ("/srv/./m", Some(false), true, Regime::Plain, None, "/srv/m"),
            (
                "/./m",
                Some(true),
                true,
                Regime::ChrootInner,
                Some("/"),
                "/m",
            ),
        ] {
            let found = Location::new(path.as_bytes(), chroot, can);
            let expected = (regime, root.map(PathBuf::from), PathBuf::from(inside));
            assert_eq!((found.regime, found.chroot, found.path), expected, "{path}");
        }
        let relative = Location::new(b"m", Some(false), true);
        assert!(relative.path.is_absolute() && relative.path.ends_with("m"));
    }
}
