//! What the command line means: a job, the options of the transfer, and how to report it.

use rsync_engine::options::{ListOnly, TransferOptions};
use std::time::Duration;

use crate::exit::{Failure, PROTOCOL, Role, START, UNSUPPORTED, USAGE};
use crate::hostspec::{HostSpec, Remote};
use crate::lowargs::LowArgs;
use crate::output::Format;

#[cfg(test)]
mod tests;

/// The port of an rsync daemon.
const DEFAULT_PORT: u16 = 873;

/// A checked command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HiArgs {
    /// What to do.
    pub(crate) job: Job,
    /// The options, ready for the engine: implied ones are set, contradictions are out.
    pub(crate) options: TransferOptions,
    /// How to report.
    pub(crate) output: OutputOptions,
    /// How to reach a daemon.
    pub(crate) connection: Connection,
}

/// What to do. Paths are bytes as the user wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Between two places on this machine; no destination: list.
    Local {
        /// At least one.
        sources: Vec<Vec<u8>>,
        /// Where to.
        dest: Option<Vec<u8>>,
    },
    /// To a daemon.
    Push {
        /// At least one.
        sources: Vec<Vec<u8>>,
        /// Where it listens.
        daemon: Daemon,
        /// The module's name.
        module: Vec<u8>,
        /// The destination, module name first; see [`rsync_engine::options::daemon_path_arg`].
        path: Vec<u8>,
    },
    /// From a daemon; no destination: list.
    Pull {
        /// Where it listens.
        daemon: Daemon,
        /// The module's name.
        module: Vec<u8>,
        /// The sources as given, at least one, the first with the module's name.
        paths: Vec<Vec<u8>>,
        /// Where to.
        dest: Option<Vec<u8>>,
    },
    /// Print a daemon's modules.
    ListModules {
        /// Where it listens.
        daemon: Daemon,
    },
}

/// A daemon's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Daemon {
    /// The user named in the argument.
    pub(crate) user: Option<Vec<u8>>,
    /// Name or address, without brackets.
    pub(crate) host: String,
    /// From the URL, `--port`, or 873.
    pub(crate) port: u16,
}

/// How to reach a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    /// `--contimeout`.
    pub(crate) contimeout: Option<Duration>,
    /// `--password-file`; see [`crate::password`].
    pub(crate) password_file: Option<Vec<u8>>,
    /// Show the greeting and the module list.
    pub(crate) motd: bool,
}

/// How to report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputOptions {
    /// The line for each change; `None`: no such lines.
    pub(crate) format: Option<Format>,
    /// Style of numbers (06-client 3.5).
    pub(crate) human_readable: u8,
    /// `-8`.
    pub(crate) eight_bit: bool,
    /// Drop all that goes to standard output.
    pub(crate) quiet: bool,
    /// `sending incremental file list`.
    pub(crate) header: bool,
    /// The two lines at the end.
    pub(crate) summary: bool,
    /// The `--stats` block.
    pub(crate) stats: bool,
    /// Progress of each file.
    pub(crate) progress: bool,
    /// `NAME is uptodate`.
    pub(crate) uptodate: bool,
    /// Unchanged entries have a line as well (`-ii`).
    pub(crate) unchanged: bool,
    /// Nothing is written.
    pub(crate) dry_run: bool,
    /// Times are preserved: the itemized time column is `t`, not `T`.
    pub(crate) times: bool,
    /// Owners are preserved, for `%U`.
    pub(crate) owner: bool,
    /// Groups are preserved, for `%G`.
    pub(crate) group: bool,
    /// Symlinks show their target in listings.
    pub(crate) links: bool,
    /// Source and destination are on this machine: data always goes `>`.
    pub(crate) local: bool,
}

impl HiArgs {
    /// Checks and completes a command line.
    ///
    /// # Errors
    /// rsync's text and code (06-client 1.3 and 2.4).
    pub(crate) fn new(low: LowArgs) -> Result<Self, Failure> {
        let LowArgs {
            transfer: mut options,
            operands,
            ..
        } = low;
        let (sources, dest) = split_operands(&operands, options.list_only.is_on())?;
        if dest.is_none() && !options.list_only.is_on() {
            options.list_only = ListOnly::Implied;
        }
        if options.list_only.is_on() && !options.recursive && !low.no_dirs {
            options.dirs = true;
        }
        options.check()?;
        options.check_checksums()?;
        check_protocol(&options)?;

        let job = find_job(sources, dest, low.port)?;
        if let Job::Local { .. } = job {
            let role = Role::Sender;
            let only = |what: &str| Failure::new(USAGE, role, format!("The {what} rsync daemon."));
            if low.password_file.is_some() {
                return Err(only(
                    "--password-file option may only be used when accessing an",
                ));
            }
            if low.contimeout.is_some() {
                return Err(only(
                    "--contimeout option may only be used when connecting to an",
                ));
            }
            options.whole_file.get_or_insert(true);
        }

        let format = match &low.out_format {
            Some(text) => {
                let format = Format::parse(text);
                // The format alone says whether entries are itemized; a second `-i` adds those without a change.
                options.itemize = match format.has(b'i') {
                    true => options.itemize.max(1),
                    false => 0,
                };
                options.log_format = server_log_format(&options, &format);
                Some(format)
            }
            None if options.itemize > 0 => Some(Format::parse(b"%i %n%L")),
            None if options.verbose > 0 || options.progress => Some(Format::parse(b"%n%L")),
            None => None,
        };
        let output = OutputOptions {
            format,
            human_readable: low.human_readable,
            eight_bit: low.eight_bit_output,
            quiet: options.quiet,
            header: (options.verbose > 0 || options.progress) && options.sends_dirs(),
            summary: options.verbose > 0 || options.stats,
            stats: options.stats,
            progress: options.progress && !options.dry_run,
            uptodate: options.verbose > 1,
            unchanged: options.itemize > 1 || (options.verbose > 1 && options.itemize > 0),
            dry_run: options.dry_run,
            times: options.times,
            owner: options.owner,
            group: options.group,
            links: options.links,
            local: matches!(job, Job::Local { .. }),
        };
        let connection = Connection {
            contimeout: low.contimeout,
            password_file: low.password_file,
            motd: low.motd,
        };
        Ok(Self {
            job,
            options,
            output,
            connection,
        })
    }

    /// The role that messages name once the transfer is under way.
    pub(crate) fn role(&self) -> Role {
        match self.job {
            Job::Local { .. } | Job::Push { .. } => Role::Sender,
            Job::Pull { .. } | Job::ListModules { .. } => Role::Receiver,
        }
    }
}

/// Sources and destination.
type Operands<'a> = (&'a [Vec<u8>], Option<&'a [u8]>);

/// Splits the arguments into sources and destination (06-client 1.3 and 1.6).
fn split_operands(operands: &[Vec<u8>], list_only: bool) -> Result<Operands<'_>, Failure> {
    match operands {
        [] => Err(Failure::usage()),
        [_] => Ok((operands, None)),
        // A last argument that only repeats the host is one more source: there is no destination.
        [.., last] if last.starts_with(b":") => Ok((operands, None)),
        // It would be ignored; two remote ends are told apart below.
        [sources @ .., dest] if list_only && !(is_remote(&sources[0]) && is_remote(dest)) => {
            Ok((sources, None))
        }
        [sources @ .., dest] => Ok((sources, Some(dest))),
    }
}

fn is_remote(argument: &[u8]) -> bool {
    HostSpec::parse(argument) != HostSpec::Local
}

/// The combination rules (06-client 1.3); the first argument decides.
fn find_job(sources: &[Vec<u8>], dest: Option<&[u8]>, port: Option<u16>) -> Result<Job, Failure> {
    let (first, further) = sources.split_first().ok_or_else(Failure::usage)?;
    match HostSpec::parse(first) {
        HostSpec::Local => {
            if let Some(remote) = sources.iter().find(|source| is_remote(source)) {
                return Err(usage(Role::Sender, &[b"Unexpected remote arg: ", remote]));
            }
            local_sources(sources, dest, port)
        }
        HostSpec::Shell(remote) => {
            check_sources(&remote, false, further)?;
            refuse_remote_dest(dest)?;
            Err(no_shell(first))
        }
        HostSpec::Daemon(remote) => {
            let further = check_sources(&remote, true, further)?;
            refuse_remote_dest(dest)?;
            let paths: Vec<Vec<u8>> = std::iter::once(remote.path.clone())
                .chain(further)
                .collect();
            let daemon = daemon(&remote, port, Role::Receiver)?;
            Ok(match module_of(&remote.path, Role::Receiver)? {
                module if module.is_empty() => Job::ListModules { daemon },
                module => Job::Pull {
                    daemon,
                    module,
                    paths,
                    dest: dest.map(<[u8]>::to_vec),
                },
            })
        }
    }
}

fn local_sources(
    sources: &[Vec<u8>],
    dest: Option<&[u8]>,
    port: Option<u16>,
) -> Result<Job, Failure> {
    let role = Role::Sender;
    if sources.iter().any(Vec::is_empty) {
        return Err(usage(role, &[b"Empty source arg specified."]));
    }
    let sources = sources.to_vec();
    let Some(dest) = dest else {
        return Ok(Job::Local {
            sources,
            dest: None,
        });
    };
    match HostSpec::parse(dest) {
        HostSpec::Local if dest.is_empty() => Err(usage(
            role,
            &[b"Empty destination arg specified (use \".\" or see --old-args)."],
        )),
        HostSpec::Local => Ok(Job::Local {
            sources,
            dest: Some(dest.to_vec()),
        }),
        HostSpec::Shell(remote) => {
            check_host(&remote.host, role)?;
            Err(no_shell(dest))
        }
        HostSpec::Daemon(remote) => {
            let module = module_of(&remote.path, role)?;
            if module.is_empty() {
                return Err(Failure::new(
                    START,
                    role,
                    "ERROR: The remote path must name a module",
                ));
            }
            Ok(Job::Push {
                sources,
                daemon: daemon(&remote, port, role)?,
                module,
                path: remote.path,
            })
        }
    }
}

/// The further sources of a pull: the same machine, kind and port as the first. Returns their paths.
fn check_sources(
    first: &Remote,
    is_daemon: bool,
    further: &[Vec<u8>],
) -> Result<Vec<Vec<u8>>, Failure> {
    let role = Role::Receiver;
    let mut paths = Vec::new();
    for source in further {
        let (remote, daemon) = match HostSpec::parse(source) {
            HostSpec::Local => {
                let mut failure = usage(role, &[b"Unexpected local arg: ", source]);
                failure
                    .lines
                    .push(b"If arg is a remote file/dir, prefix it with a colon (:).".to_vec());
                return Err(failure);
            }
            HostSpec::Shell(remote) => (remote, false),
            HostSpec::Daemon(remote) => (remote, true),
        };
        if !remote.host.is_empty() && remote.host != first.host {
            return Err(usage(
                role,
                &[b"All source args must come from the same machine."],
            ));
        }
        if daemon != is_daemon {
            return Err(usage(
                role,
                &[b"All source args must use the same hostspec format."],
            ));
        }
        if !remote.host.is_empty() && remote.port != first.port {
            return Err(usage(
                role,
                &[b"All source args must use the same port number."],
            ));
        }
        paths.push(remote.path);
    }
    Ok(paths)
}

fn refuse_remote_dest(dest: Option<&[u8]>) -> Result<(), Failure> {
    match dest {
        Some(dest) if is_remote(dest) => Err(usage(
            Role::Receiver,
            &[b"The source and destination cannot both be remote."],
        )),
        Some(b"") => Err(usage(
            Role::Receiver,
            &[b"Empty destination arg specified (use \".\" or see --old-args)."],
        )),
        _ => Ok(()),
    }
}

fn daemon(remote: &Remote, port: Option<u16>, role: Role) -> Result<Daemon, Failure> {
    check_host(&remote.host, role)?;
    Ok(Daemon {
        user: remote.user.clone(),
        host: String::from_utf8_lossy(&remote.host).into_owned(),
        port: remote.port.or(port).unwrap_or(DEFAULT_PORT),
    })
}

fn check_host(host: &[u8], role: Role) -> Result<(), Failure> {
    if host.starts_with(b"-") {
        return Err(usage(
            role,
            &[b"Invalid remote host: hostnames may not start with '-'."],
        ));
    }
    Ok(())
}

/// The module's name: the path up to its first slash. Empty: the list of modules is asked for.
fn module_of(path: &[u8], role: Role) -> Result<Vec<u8>, Failure> {
    if path.starts_with(b"/") {
        return Err(Failure::new(
            START,
            role,
            "ERROR: The remote path must start with a module name not a /",
        ));
    }
    Ok(path
        .split(|&byte| byte == b'/')
        .next()
        .unwrap_or_default()
        .to_vec())
}

fn usage(role: Role, parts: &[&[u8]]) -> Failure {
    Failure::new(USAGE, role, parts.concat())
}

fn no_shell(argument: &[u8]) -> Failure {
    let scheme = argument.get(..8).unwrap_or_default();
    if scheme.eq_ignore_ascii_case(b"rsync://") {
        // rsync takes that for a host called "rsync".
        let text = b": not an address of the form rsync://[USER@]HOST[:PORT]/MODULE/PATH \
            (a password goes into RSYNC_PASSWORD or --password-file)";
        return usage(Role::Client, &[b"rsync: ", argument, text]);
    }
    let mut failure = Failure::new(
        UNSUPPORTED,
        Role::Client,
        [
            b"rsync: ",
            argument,
            b": a remote shell (SSH) is not supported yet by syncline",
        ]
        .concat(),
    );
    failure.lines.push(
        b"(An rsync daemon is written HOST::MODULE/PATH or rsync://HOST/MODULE/PATH.)".to_vec(),
    );
    failure
}

/// `--protocol` beyond what there is (06-client 2.4).
fn check_protocol(options: &TransferOptions) -> Result<(), Failure> {
    let text = match options.protocol {
        Some(..=28) => "--protocol must be at least 29 on the Client.",
        Some(33..) => "--protocol must be no more than 32 on the Client.",
        _ => return Ok(()),
    };
    Err(Failure::new(PROTOCOL, Role::Client, text))
}

/// What the server arguments of a receiver say of `--out-format` beyond [`TransferOptions::itemize`] (01-session 7.6).
fn server_log_format(options: &TransferOptions, format: &Format) -> Option<Vec<u8>> {
    match options {
        _ if options.itemize > 0 => None,
        _ if format.has(b'o') => Some(b"%o".to_vec()),
        _ if options.verbose == 0 => Some(b"X".to_vec()),
        _ => None,
    }
}
