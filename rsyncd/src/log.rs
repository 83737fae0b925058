//! The daemon's log: files or the system log, one writer thread (04-daemon 18, 05-security 19).
//!
//! A line never waits for the disk: when the queue is full it is dropped and counted.

mod strangers;

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rsync_engine::fs::FileId;

use self::strangers::Strangers;
use crate::config::describe;
use crate::limits;
use crate::logfmt::local_time;
use crate::operator;
use crate::text::{escape, escape_into};

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Destination {
    File(PathBuf),
    /// Facility number and tag.
    Syslog(u8, Vec<u8>),
}

impl Destination {
    /// The destination that a `log file`, a `syslog facility` and a `syslog tag` make.
    pub(crate) fn new(file: &[u8], facility: &[u8], tag: &[u8]) -> Self {
        if file.is_empty() {
            let tag = if tag.is_empty() { b"rsyncd" } else { tag };
            Self::Syslog(facility_number(facility), tag.to_vec())
        } else {
            Self::File(Path::new(std::ffi::OsStr::from_bytes(file)).to_owned())
        }
    }
}

/// How urgent a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// What happened.
    Info,
    /// An operator should look.
    Warning,
}

enum Job {
    Line {
        to: Arc<Destination>,
        priority: Priority,
        number: u32,
        text: Vec<u8>,
    },
    /// Lines of strangers are left out from now on; where to say so, and as whom.
    LeftOut(Arc<Destination>, u32),
    /// Look whether a file was renamed away.
    Rotate,
    Flush(SyncSender<()>),
}

/// The writer thread; it ends when the last [`Log`] is gone.
#[derive(Debug)]
struct Hub {
    queue: SyncSender<Job>,
    dropped: AtomicU64,
    strangers: Arc<Mutex<Strangers>>,
    /// The daemon's own number.
    number: u32,
}

/// A log to write to: a destination, and the number that stands between brackets in each line. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Log {
    hub: Arc<Hub>,
    to: Arc<Destination>,
    number: u32,
    /// The client that causes its lines has not logged in: such lines share this rate, in lines a second.
    strangers: Option<u32>,
}

impl Log {
    /// Starts the writer.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub(crate) fn start(to: Destination, number: u32) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(limits::LOG_QUEUE);
        let strangers = Arc::<Mutex<Strangers>>::default();
        let hub = Arc::new(Hub {
            queue,
            dropped: AtomicU64::new(0),
            strangers: Arc::clone(&strangers),
            number,
        });
        std::thread::Builder::new()
            .name("log".into())
            .spawn(move || Writer::default().run(&jobs, &strangers))?;
        Ok(Self {
            hub,
            to: Arc::new(to),
            number,
            strangers: None,
        })
    }

    /// The same writer, another destination.
    pub(crate) fn to(&self, to: Destination) -> Self {
        let to = if to == *self.to {
            Arc::clone(&self.to)
        } else {
            Arc::new(to)
        };
        Self { to, ..self.clone() }
    }

    /// The same destination with the number of a connection.
    pub(crate) fn numbered(&self, number: u32) -> Self {
        Self {
            number,
            ..self.clone()
        }
    }

    /// The same destination for a client that has not logged in: all such logs together write `rate` lines a second,
    /// any number if it is 0.
    pub(crate) fn of_strangers(&self, rate: u32) -> Self {
        Self {
            strangers: Some(rate),
            ..self.clone()
        }
    }

    /// The same destination for a client that has logged in.
    pub(crate) fn of_users(&self) -> Self {
        Self {
            strangers: None,
            ..self.clone()
        }
    }

    /// The number between brackets.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Writes a line. Control characters are escaped here.
    pub fn line(&self, priority: Priority, text: impl AsRef<[u8]>) {
        self.checked_line(priority, text.as_ref(), None);
    }

    /// Writes a line about a failed login from an address.
    pub(crate) fn auth_failure(&self, address: IpAddr, text: impl AsRef<[u8]>) {
        self.checked_line(Priority::Warning, text.as_ref(), Some(address));
    }

    fn checked_line(&self, priority: Priority, text: &[u8], failed: Option<IpAddr>) {
        if self
            .strangers
            .is_some_and(|rate| !self.has_room(rate, text.len(), failed))
        {
            return;
        }
        let mut escaped = Vec::with_capacity(text.len());
        escape_into(&mut escaped, text);
        self.escaped_line(priority, escaped);
    }

    /// Whether a stranger's line may be written; if not it is counted.
    fn has_room(&self, rate: u32, len: usize, failed: Option<IpAddr>) -> bool {
        let hub = &self.hub;
        let mut strangers = hub.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let room = strangers.take(rate, len, failed, Instant::now());
        if !room && !strangers.announced {
            let job = Job::LeftOut(Arc::clone(&self.to), hub.number);
            strangers.announced = hub.queue.try_send(job).is_ok();
        }
        room
    }

    /// Writes a line whose parts are escaped already; no rate holds for it.
    pub(crate) fn escaped_line(&self, priority: Priority, text: Vec<u8>) {
        let missed = self.hub.dropped.swap(0, Ordering::Relaxed);
        if missed > 0 {
            let text = format!("{missed} log lines were dropped: the log is too slow").into_bytes();
            if !self.send(Priority::Warning, text) {
                self.hub.dropped.fetch_add(missed, Ordering::Relaxed);
            }
        }
        if !self.send(priority, text) {
            self.hub.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes an information.
    pub fn info(&self, text: impl AsRef<[u8]>) {
        self.line(Priority::Info, text);
    }

    /// Writes a warning.
    pub fn warn(&self, text: impl AsRef<[u8]>) {
        self.line(Priority::Warning, text);
    }

    fn send(&self, priority: Priority, text: Vec<u8>) -> bool {
        let job = Job::Line {
            to: Arc::clone(&self.to),
            priority,
            number: self.number,
            text,
        };
        self.hub.queue.try_send(job).is_ok()
    }

    /// Files that were renamed away are opened again by name.
    pub(crate) fn rotate(&self) {
        let _ = self.hub.queue.try_send(Job::Rotate);
    }

    /// Waits until everything written so far is on its way to the disk.
    pub(crate) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.hub.queue.send(Job::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }
}

#[derive(Default)]
struct Writer {
    open: HashMap<Arc<Destination>, Sink>,
}

enum Sink {
    File(File),
    /// Connected to the system's logger.
    Syslog(UnixDatagram),
    /// There is no logger: standard error.
    Stderr,
}

impl Writer {
    fn run(&mut self, jobs: &Receiver<Job>, strangers: &Mutex<Strangers>) {
        // Since when lines are left out, and where that is to be said.
        let mut left_out: Option<(Instant, Arc<Destination>, u32)> = None;
        loop {
            let announced = left_out.as_ref().map(|(since, ..)| *since);
            let job = match strangers::due(announced, Instant::now()) {
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(Duration::ZERO) => Err(RecvTimeoutError::Timeout),
                Some(wait) => jobs.recv_timeout(wait),
            };
            // Whoever waits for a flush, or for the end, is to find the sum.
            if matches!(job, Err(_) | Ok(Job::Flush(_)))
                && let Some((_, to, number)) = left_out.take()
            {
                let sum = strangers
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .sum_up();
                for line in sum.lines() {
                    self.write(&to, Priority::Warning, number, line.as_bytes());
                }
            }
            let job = match job {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            match job {
                Job::LeftOut(to, number) => left_out = Some((Instant::now(), to, number)),
                Job::Line {
                    to,
                    priority,
                    number,
                    mut text,
                } => {
                    text.truncate(limits::LOG_LINE);
                    self.write(&to, priority, number, &text);
                }
                Job::Rotate => self.open.retain(|to, sink| match (&**to, sink) {
                    (Destination::File(path), Sink::File(file)) => is_same_file(path, file),
                    _ => false,
                }),
                Job::Flush(done) => drop(done.send(())),
            }
        }
    }

    fn write(&mut self, to: &Arc<Destination>, priority: Priority, number: u32, text: &[u8]) {
        let sink = self
            .open
            .entry(Arc::clone(to))
            .or_insert_with(|| Sink::open(to, number));
        sink.write(to, priority, number, text);
    }
}

impl Sink {
    fn open(to: &Destination, number: u32) -> Self {
        match to {
            Destination::File(path) => match open_file(path) {
                Ok(file) => Self::File(file),
                Err(error) => {
                    let mut sink = Self::syslog();
                    let name = escape(path.as_os_str().as_bytes());
                    for text in [
                        format!("failed to open log-file {name}: {}", describe(&error)),
                        "Ignoring \"log file\" setting.".into(),
                    ] {
                        sink.write(to, Priority::Warning, number, text.as_bytes());
                    }
                    sink
                }
            },
            Destination::Syslog(..) => Self::syslog(),
        }
    }

    fn syslog() -> Self {
        let socket = UnixDatagram::unbound().and_then(|socket| {
            socket.connect("/dev/log")?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        socket.map_or(Self::Stderr, Self::Syslog)
    }

    fn write(&mut self, to: &Destination, priority: Priority, number: u32, text: &[u8]) {
        let now = jiff::Timestamp::now().as_second();
        let mut line = Vec::with_capacity(text.len() + 64);
        // A full disk or a dead logger loses lines; there is nobody to tell.
        let _ = match self {
            Self::File(file) => {
                let time = local_time(now, "%Y/%m/%d %H:%M:%S");
                line.extend_from_slice(format!("{time} [{number}] ").as_bytes());
                line.extend_from_slice(text);
                line.push(b'\n');
                file.write_all(&line)
            }
            Self::Syslog(socket) => {
                let (facility, tag) = match to {
                    Destination::Syslog(facility, tag) => (*facility, &tag[..]),
                    Destination::File(_) => (facility_number(b""), &b"rsyncd"[..]),
                };
                let severity = if priority == Priority::Warning { 4 } else { 6 };
                let time = local_time(now, "%b %e %H:%M:%S");
                line.extend_from_slice(
                    format!("<{}>{time} ", u32::from(facility) * 8 + severity).as_bytes(),
                );
                escape_into(&mut line, tag);
                line.extend_from_slice(format!("[{number}]: ").as_bytes());
                line.extend_from_slice(text);
                socket.send(&line).map(drop)
            }
            Self::Stderr => {
                line.extend_from_slice(format!("rsyncd[{number}]: ").as_bytes());
                line.extend_from_slice(text);
                line.push(b'\n');
                std::io::stderr().write_all(&line)
            }
        };
    }
}

fn open_file(path: &Path) -> std::io::Result<File> {
    operator::append(path, 0o644).map(File::from)
}

fn is_same_file(path: &Path, file: &File) -> bool {
    match (operator::stat(path), rustix::fs::fstat(file)) {
        (Ok(named), Ok(open)) => {
            named.id
                == FileId {
                    dev: open.st_dev,
                    ino: open.st_ino,
                }
        }
        _ => false,
    }
}

/// The number of a `syslog facility`; `daemon` for a name nobody knows (04-daemon 18.1).
fn facility_number(name: &[u8]) -> u8 {
    let names: [(&[u8], u8); 13] = [
        (b"user", 1),
        (b"mail", 2),
        (b"daemon", 3),
        (b"auth", 4),
        (b"security", 4),
        (b"syslog", 5),
        (b"lpr", 6),
        (b"news", 7),
        (b"uucp", 8),
        (b"cron", 9),
        (b"authpriv", 10),
        (b"ftp", 11),
        (b"kern", 0),
    ];
    let name = name.to_ascii_lowercase();
    if let Some((_, number)) = names.iter().find(|(known, _)| *known == name) {
        return *number;
    }
    if let Some([digit @ b'0'..=b'7']) = name.strip_prefix(b"local") {
        return 16 + digit - b'0';
    }
    std::str::from_utf8(&name)
        .ok()
        .and_then(|n| n.parse().ok())
        .filter(|n| (1..24).contains(n))
        .unwrap_or(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_escaped_numbered_and_survive_rotation() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("log");
        let log = Log::start(Destination::File(path.clone()), 7).expect("thread");
        log.info("one\ntwo");
        log.numbered(8).warn("three");
        log.flush();
        std::fs::rename(&path, dir.path().join("old")).expect("rename");
        log.info("still old");
        log.flush();
        log.rotate();
        log.info("new");
        log.flush();
        let texts = |name: &str| -> Vec<String> {
            let content = std::fs::read_to_string(dir.path().join(name)).expect("log");
            content
                .lines()
                .map(|l| {
                    l.split_once(' ')
                        .expect("date")
                        .1
                        .split_once(' ')
                        .expect("time")
                        .1
                        .into()
                })
                .collect()
        };
        assert_eq!(
            texts("old"),
            ["[7] one\\#012two", "[8] three", "[7] still old"]
        );
        assert_eq!(texts("log"), ["[7] new"]);
    }

    #[test]
    fn facilities() {
        for (name, number) in [
            ("", 3),
            ("LOCAL3", 19),
            ("authpriv", 10),
            ("5", 5),
            ("99", 3),
            ("nonsense", 3),
        ] {
            assert_eq!(facility_number(name.as_bytes()), number, "{name}");
        }
    }
}
