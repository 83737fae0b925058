//! One-shot transfers and listings: from a checked command line to events on the terminal and an exit code.

use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use rsync_engine::options::{Direction, TransferOptions};
use rsync_engine::receive::Destination;
use rsync_engine::send::Source;
use rsync_engine::{Cancel, Event, Events, Item, Outcome, TextKind};
use syncline::daemon::{Connect, OpenSession, list_modules};
use syncline::{Credentials, DaemonTarget, Filters, local, source};

use crate::escape::Escaper;
use crate::exit::{Failure, Role, USAGE};
use crate::hiargs::{Connection, Daemon, HiArgs, Job};
use crate::output::{Counts, Entry, Header, Report, Stats, TypeCounts};
use crate::password;

/// Runs a job to its end.
pub(crate) fn run(args: &HiArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let role = args.role();
    let cancel = Cancel::new();
    let interrupted = crate::interrupt::cancels(&cancel);
    let terminal = Arc::new(Terminal::new(args, role));
    let events: Arc<dyn Events> = Arc::clone(&terminal) as Arc<dyn Events>;
    let done = match &args.job {
        Job::ListModules { daemon } => return modules(daemon, args),
        Job::Local { sources, dest } => {
            let destination = dest.clone().map(Destination::from);
            open_sources(sources, &args.options).and_then(|source| {
                let filters = filters(&args.options)?;
                terminal.header(Header {
                    sending: true,
                    incremental: args.options.recursive,
                });
                local::copy(
                    source,
                    destination,
                    args.options.clone(),
                    filters,
                    &cancel,
                    &events,
                )
            })
        }
        Job::Push {
            sources,
            daemon,
            module,
            path,
        } => open_sources(sources, &args.options).and_then(|source| {
            let filters = filters(&args.options)?;
            let target = target(daemon, module);
            let connect = connect(&args.connection, &args.options, daemon, role);
            let session = OpenSession::open(
                &target,
                Direction::Push,
                std::slice::from_ref(path),
                args.options.clone(),
                &connect,
                cancel.clone(),
                &events,
            )?;
            terminal.header(Header {
                sending: true,
                incremental: session.inc_recurse(),
            });
            session.push(source, filters, &events)
        }),
        Job::Pull {
            daemon,
            module,
            paths,
            dest,
        } => filters(&args.options).and_then(|filters| {
            let target = target(daemon, module);
            let connect = connect(&args.connection, &args.options, daemon, role);
            let session = OpenSession::open(
                &target,
                Direction::Pull,
                paths,
                args.options.clone(),
                &connect,
                cancel.clone(),
                &events,
            )?;
            terminal.header(Header {
                sending: false,
                incremental: session.inc_recurse(),
            });
            session.pull(dest.clone().map(Destination::from), filters, &events)
        }),
    };
    match done {
        Ok(outcome) => {
            let code = terminal.finish(&outcome, started);
            if code == 0 {
                Ok(())
            } else {
                let entries = &outcome.stats.entries;
                let role = match role {
                    Role::Receiver if entries.files + entries.dirs + entries.links > 0 => {
                        Role::Generator
                    }
                    role => role,
                };
                Err(Failure::shown(code, role))
            }
        }
        Err(_) if interrupted.load(Ordering::SeqCst) => Err(Failure::shown(20, role)),
        Err(error) => Err(failure(&error, role)),
    }
}

/// An error of the library as the closing lines of the run.
pub(crate) fn failure(error: &syncline::Error, role: Role) -> Failure {
    use rsync_engine::Error as Session;
    use syncline::Error;

    let (code, name) = (error.exit_code(), role.as_str());
    match error {
        // The peer's own words were shown when they came.
        Error::Session(Session::Remote { .. }) => Failure::told_by_peer(code, role),
        Error::Refused(text) => Failure::new(code, role, text.as_bytes()),
        Error::Password(text) if text.starts_with(password::NO_TERMINAL) => {
            Failure::new(code, role, text.as_bytes())
        }
        // Why the password file cannot be used.
        Error::Password(text) => Failure::new(USAGE, role, text.as_bytes()),
        Error::Filter { text, .. } => Failure::new(code, Role::Client, text.as_bytes()),
        Error::Session(Session::Disconnected { .. }) => {
            Failure::new(code, role, format!("rsync: {error} [{name}]"))
        }
        Error::Connect { .. }
        | Error::Session(Session::Connection { .. } | Session::File { .. }) => {
            Failure::new(code, role, format!("rsync: [{name}] {error}"))
        }
        error => {
            let text = error.to_string();
            // As rsync has them.
            let bare = text.starts_with("ERROR: ") || text.starts_with("found \"..\"");
            Failure::new(
                code,
                role,
                if bare { text } else { format!("rsync: {text}") },
            )
        }
    }
}

fn modules(daemon: &Daemon, args: &HiArgs) -> Result<(), Failure> {
    let role = args.role();
    let terminal = Terminal::new(args, role);
    let connect = connect(&args.connection, &args.options, daemon, role);
    let show = args.connection.motd;
    let listed = list_modules(&target(daemon, b""), &connect, &mut |line| {
        if show {
            terminal.with(|report| report.info(line.as_bytes()));
        }
    });
    listed.map_err(|error| failure(&error, role))
}

pub(crate) fn target(daemon: &Daemon, module: &[u8]) -> DaemonTarget {
    DaemonTarget {
        host: daemon.host.clone(),
        port: daemon.port,
        user: daemon
            .user
            .as_ref()
            .map(|user| String::from_utf8_lossy(user).into_owned()),
        module: module.to_vec(),
        path: Vec::new(),
    }
}

/// How to reach a daemon. The password is only looked for when the daemon asks.
pub(crate) fn connect(
    connection: &Connection,
    options: &TransferOptions,
    daemon: &Daemon,
    role: Role,
) -> Connect {
    let variable = |name: &str| std::env::var_os(name).map(|value| value.as_bytes().to_vec());
    let user = password::user(daemon.user.as_deref(), variable);
    let file = connection.password_file.clone();
    let credentials = Credentials::new(String::from_utf8_lossy(&user), move || {
        password::password(file.as_deref(), role, variable).map_err(|failure| failure.text())
    });
    Connect {
        credentials,
        connect_timeout: connection.contimeout,
        io_timeout: options.timeout,
        ..Connect::default()
    }
}

/// The rules of the filter options; files are read now.
pub(crate) fn filters(options: &TransferOptions) -> Result<Filters, syncline::Error> {
    let mut filters = Filters::new(options, &mut read_rules)?;
    for notice in filters.take_notices() {
        // Nobody to tell is no reason to stop.
        let _ = writeln!(io::stderr(), "{notice}");
    }
    Ok(filters)
}

fn read_rules(file: &[u8]) -> io::Result<Vec<u8>> {
    if file == b"-" {
        let mut text = Vec::new();
        io::Read::read_to_end(&mut io::stdin().lock(), &mut text)?;
        return Ok(text);
    }
    std::fs::read(std::ffi::OsStr::from_bytes(file))
}

/// Opens the sources; the engine reports those that cannot be opened.
fn open_sources(sources: &[Vec<u8>], options: &TransferOptions) -> Result<Source, syncline::Error> {
    let (arguments, unopened) = source::arguments(sources, options.relative)?;
    Ok(match unopened.is_empty() {
        true => Source::Arguments(arguments),
        false => Source::Partial {
            arguments,
            unopened,
        },
    })
}

/// Standard output and error of a run, fed by the events of its threads.
struct Terminal {
    report: Mutex<Report<BufWriter<io::Stdout>, io::Stderr>>,
    role: Role,
    progress: bool,
    extras: Extras,
    /// Directories are listed while files already move.
    incremental: AtomicBool,
}

impl Terminal {
    fn new(args: &HiArgs, role: Role) -> Self {
        let escaper = Escaper::for_locale(|name| std::env::var(name).ok());
        let out = BufWriter::new(io::stdout());
        let shows = |letter| {
            let format = args.output.format.as_ref();
            format.is_some_and(|format| format.has(letter))
        };
        let report = Report::new(
            args.output.clone(),
            escaper,
            TimeZone::system(),
            out,
            io::stderr(),
        );
        Self {
            report: Mutex::new(report),
            role,
            progress: args.output.progress,
            extras: Extras {
                checksum: shows(b'C'),
                long_name: shows(b'f'),
            },
            incremental: AtomicBool::new(false),
        }
    }

    /// Prints; a terminal that is gone is no reason to stop the transfer.
    fn with(
        &self,
        print: impl FnOnce(&mut Report<BufWriter<io::Stdout>, io::Stderr>) -> io::Result<()>,
    ) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = print(&mut report);
    }

    fn header(&self, header: Header) {
        self.incremental
            .store(header.incremental, Ordering::Relaxed);
        self.with(|report| report.header(header));
    }

    /// The closing lines. Returns the exit code.
    fn finish(&self, outcome: &Outcome, started: Instant) -> u8 {
        let stats = &outcome.stats;
        let counts = |counts: &rsync_engine::TypeCounts| TypeCounts {
            files: counts.files,
            dirs: counts.dirs,
            links: counts.links,
            devices: counts.devices,
            specials: counts.specials,
        };
        let deleted = &stats.deleted;
        let told = outcome
            .protocol
            .is_some_and(|protocol| protocol.has_delete_stats());
        let shown = Stats {
            entries: counts(&stats.entries),
            created: counts(&stats.created),
            deleted: told.then(|| TypeCounts {
                files: deleted.files.into(),
                dirs: deleted.dirs.into(),
                links: deleted.symlinks.into(),
                devices: deleted.devices.into(),
                specials: deleted.specials.into(),
            }),
            transferred: stats.transferred,
            total_size: stats.total_size,
            transferred_size: stats.transferred_size,
            literal: stats.literal,
            matched: stats.matched,
            list_size: stats.list_bytes,
            list_generation: Duration::from_millis(stats.list_build_ms),
            list_transfer: Duration::from_millis(stats.list_transfer_ms),
            sent: stats.sent,
            received: stats.received,
            elapsed: started.elapsed(),
        };
        self.with(|report| report.summary(&shown));
        outcome.exit_code()
    }
}

impl Events for Terminal {
    fn event(&self, event: Event<'_>) {
        let sending = self.role == Role::Sender;
        self.with(|report| match event {
            Event::Item(item) => self.extras.of(&item, |entry| report.item(&entry)),
            Event::Transferred { item, cost, .. } => self.extras.of(&item, |entry| {
                report.transferred(&Entry {
                    moved: cost.data,
                    sums: cost.sums,
                    ..entry
                })
            }),
            Event::Listed(item) => self.extras.of(&item, |entry| report.listed(&entry)),
            Event::Deleted { name, is_dir, .. } => report.deleted(name, is_dir, sending),
            Event::Message {
                kind: TextKind::Info,
                text,
            } => report.info(
                text.as_bytes()
                    .strip_suffix(b"\n")
                    .unwrap_or(text.as_bytes()),
            ),
            Event::Message { text, .. } => report.error(text.as_bytes()),
            Event::Note {
                kind: TextKind::Info,
                text,
            } => report.info(text.as_bytes()),
            Event::Note { text, .. } => report.error(text.as_bytes()),
            Event::Failed(failure) if failure.vanished => report.error(&failure.line()),
            Event::Failed(failure) => report.error(&[b"rsync: ", &failure.line()[..]].concat()),
            Event::ListComplete { entries, .. } if !self.incremental.load(Ordering::Relaxed) => {
                report.list_complete(entries)
            }
            Event::Progress(progress) if progress.finished => {
                let counts = Counts {
                    transferred: progress.files,
                    to_check: progress.to_check,
                    entries: progress.entries,
                    incomplete: progress.more,
                };
                report.progress_done(progress.total, counts, Instant::now())
            }
            Event::Progress(progress) => {
                report.progress(progress.done, progress.total, Instant::now())
            }
            _ => Ok(()),
        });
    }

    fn wants_progress(&self) -> bool {
        self.progress
    }
}

/// What the lines of a run show that takes work to find.
#[derive(Debug, Clone, Copy)]
struct Extras {
    checksum: bool,
    long_name: bool,
}

impl Extras {
    /// An event's entry as the output wants it.
    fn of<T>(self, item: &Item<'_>, show: impl FnOnce(Entry<'_>) -> T) -> T {
        let checksum = item.checksum.filter(|_| self.checksum).map(|sum| {
            let bytes = item.algorithm.shown(sum);
            bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        });
        let long_name = (self.long_name && item.sending).then(|| long_name(item.place, item.name));
        show(Entry {
            long_name: long_name.as_deref(),
            checksum: checksum.as_deref(),
            checksum_width: 2 * item.algorithm.digest_len(),
            ..entry(item)
        })
    }
}

/// `%f`: the name behind its directory as the command line has it, without a leading slash and lone dots.
fn long_name(place: &[u8], name: &[u8]) -> Vec<u8> {
    let name = name.strip_prefix(b"/").unwrap_or(name);
    let parts = place.split(|&byte| byte == b'/');
    let mut parts: Vec<_> = parts.filter(|part| !matches!(*part, b"" | b".")).collect();
    parts.push(name);
    parts.join(&b'/')
}

fn entry<'a>(item: &Item<'a>) -> Entry<'a> {
    Entry {
        flags: item.flags,
        name: item.name,
        long_name: None,
        mode: item.mode,
        size: item.size,
        mtime: item.mtime,
        uid: item.uid,
        gid: item.gid,
        link_target: item.link_target,
        xname: item.xname,
        sending: item.sending,
        deleted: false,
        moved: 0,
        sums: 0,
        checksum: None,
        checksum_width: 0,
    }
}
