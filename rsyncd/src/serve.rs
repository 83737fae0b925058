//! Runs the sessions of modules with the engine: set-up, refusals that come after it, transfer (04-daemon 1).

mod events;
mod pull;

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rsync_engine::filter::{Chain, CvsSources, FilterError, Role, RuleList, RuleSettings};
use rsync_engine::fs::{IdMapper, IdPolicy, Links, RelPath, RelPathBuf};
use rsync_engine::options::{Delete, ServerRequest, TransferOptions};
use rsync_engine::receive::{Destination, LinkTargets, Receive};
use rsync_engine::rules::{self, ModuleRules, ProtectionRules, RuleFiles};
use rsync_engine::{
    Cancel, Charge, Error, IoClock, Outcome, Session, TextKind, Trouble, WireIn, WireOut,
    exit_text, setup,
};
use rsync_proto::PeerText;
use rsync_proto::mux::Message;
use rsync_proto::setup::Negotiated;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use syncline::tcp::{TcpReader, TcpWriter};

use self::events::Logged;
use crate::limits;
use crate::request::{self, PathsError, TreeNames};
use crate::session::{Regime, Rejection, SessionEnd, SessionRequest, SessionRunner};

/// How long a refused client may take to read why.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs sessions with the engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct EngineRunner;

impl SessionRunner for EngineRunner {
    fn run(&self, request: SessionRequest) -> SessionEnd {
        let sender = match &request.request {
            Ok(asked) => asked.sender,
            Err(rejection) => rejection.sender,
        };
        let role = if sender { "sender" } else { "receiver" };
        let log = request.log.clone();
        let stream = request.stream.try_clone();
        let result = run(request);
        if let Ok(stream) = stream {
            match &result {
                // Nobody is there to read our last bytes, or nobody reads.
                Err(
                    Error::Timeout { .. } | Error::Connection { .. } | Error::Disconnected { .. },
                ) => {
                    // Closed already: the aim.
                    let _ = stream.shutdown(Shutdown::Both);
                }
                _ => close(&stream),
            }
        }
        match result {
            Ok(outcome) => end(role, outcome.exit_code(), &outcome),
            Err(error) => {
                let text = error.to_string();
                let text = text.strip_prefix("rsync: ").unwrap_or(&text);
                log.warn(format!("rsync: [{role}] {text}"));
                end(role, error.exit_code(), &Outcome::default())
            }
        }
    }
}

/// Ends a connection so that the client sees our last bytes: what it still sends is thrown away for a while,
/// since unread bytes would make the kernel reset the connection (04-daemon 2.2). Other handles of the socket
/// may be open in threads that still read.
fn close(mut stream: &TcpStream) {
    // The peer may be gone; then there is nothing to wait for.
    if stream.shutdown(Shutdown::Write).is_ok() {
        let deadline = Instant::now() + limits::DRAIN;
        let mut left = limits::DRAIN_BYTES;
        let mut buffer = [0; 16 << 10];
        while left > 0 {
            let wait = deadline.saturating_duration_since(Instant::now());
            let Ok(wait) = Timespec::try_from(wait) else {
                break;
            };
            let mut poll = [PollFd::new(stream, PollFlags::IN)];
            if !matches!(rustix::event::poll(&mut poll, Some(&wait)), Ok(1..)) {
                break;
            }
            match stream.read(&mut buffer) {
                Ok(count @ 1..) => left = left.saturating_sub(count),
                _ => break,
            }
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn end(role: &'static str, exit_code: u8, outcome: &Outcome) -> SessionEnd {
    SessionEnd {
        exit_code,
        reason: match exit_code {
            0 => String::new(),
            code => exit_text(code).to_owned(),
        },
        role,
        sent: outcome.stats.sent,
        received: outcome.stats.received,
        total_size: outcome.stats.total_size,
    }
}

/// The connection with its set-up done.
struct Ready {
    input: WireIn,
    out: WireOut,
    negotiated: Negotiated,
    clock: Arc<IoClock>,
    cancel: Cancel,
}

fn run(request: SessionRequest) -> Result<Outcome, Error> {
    let (asked, rejection) = match &request.request {
        Ok(asked) => (asked.clone(), refusal(&request, asked)),
        Err(rejection) => (placeholder(rejection), Some(rejection.clone())),
    };
    let compression = rejection
        .as_ref()
        .is_some_and(|rejection| rejection.compression);
    let mut ready = set_up(&request, &asked, compression)?;
    if let Some(rejection) = rejection {
        reject(ready, &request, &rejection);
        return Err(Error::Request {
            text: rejection.text,
            code: rejection.exit_code,
        });
    }
    if let Some(timeout) = request
        .timeout
        .filter(|_| request.protocol.has_error_exit())
    {
        let seconds = u32::try_from(timeout.as_secs()).ok();
        ready.out.message(&Message::IoTimeout(seconds))?;
        ready.out.flush()?;
    }
    let role = if asked.sender {
        Role::Sender
    } else {
        Role::Receiver
    };
    let module = Chain::new(&request.filter, role);
    let (rules, _charge) = match read_rules(&mut ready, &request, &asked, &module) {
        Ok(read) => read,
        Err(error) => return Err(give_up(ready, &request, error)),
    };
    if asked.sender {
        pull::send(ready, &request, asked, &rules, module)
    } else {
        receive(ready, &request, asked, &rules, module)
    }
}

/// Tells the client of an error that is ours to tell; other errors need no words or cannot have any.
fn give_up(mut ready: Ready, request: &SessionRequest, error: Error) -> Error {
    match error {
        Error::Request { .. } | Error::Budget { .. } | Error::OutOfMemory { .. } => {
            let (text, code) = (error.to_string(), error.exit_code());
            let sender = request.request.as_ref().is_ok_and(|asked| asked.sender);
            let rejection = Rejection {
                text,
                exit_code: code,
                sender,
                capabilities: None,
                compression: false,
            };
            reject(ready, request, &rejection);
            error
        }
        // The client failed and waits for this answer (01-session 12.2).
        Error::Remote { .. } => {
            let answer = Message::ErrorExit(None);
            let _ = ready.out.message(&answer).and_then(|()| ready.out.flush());
            error
        }
        other => other,
    }
}

/// The options of a client whose arguments could not be understood: enough for the set-up.
fn placeholder(rejection: &Rejection) -> ServerRequest {
    ServerRequest {
        sender: rejection.sender,
        options: TransferOptions::default(),
        capabilities: rejection.capabilities.clone(),
        paths: Vec::new(),
        secluded: false,
    }
}

/// What the module does not allow; told after the set-up (04-daemon 12).
fn refusal(request: &SessionRequest, asked: &ServerRequest) -> Option<Rejection> {
    let (text, exit_code) = match asked.sender {
        true if request.write_only => ("ERROR: module is write only".to_owned(), 1),
        false if request.read_only => ("ERROR: module is read only".to_owned(), 1),
        // The client would have us print what it sends, and change nothing.
        false if asked.options.list_only.is_on() => (
            "ERROR: --list-only of what is pushed is not supported by this daemon".to_owned(),
            1,
        ),
        _ => (asked.options.check_checksums().err()?.to_string(), 4),
    };
    Some(Rejection {
        text,
        exit_code,
        sender: asked.sender,
        capabilities: asked.capabilities.clone(),
        compression: false,
    })
}

fn connection(op: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Connection { op, source }
}

/// `compression`: the client negotiates one, though nothing will ever be compressed.
fn set_up(
    request: &SessionRequest,
    asked: &ServerRequest,
    compression: bool,
) -> Result<Ready, Error> {
    let clock = Arc::clone(&request.clock);
    let clone = || request.stream.try_clone().map_err(connection("set-up"));
    let reader = TcpReader::new(clone()?, Arc::clone(&clock)).map_err(connection("set-up"))?;
    let writer = TcpWriter::new(clone()?, Arc::clone(&clock), asked.options.bwlimit)
        .map_err(connection("set-up"))?;
    let cancel = Cancel::new();
    let closer = clone()?;
    cancel.on_cancel(move || {
        // Closed already: the aim.
        let _ = closer.shutdown(Shutdown::Both);
    });
    let mut input = WireIn::new(Box::new(reader), request.unread.clone(), Arc::clone(&clock));
    let mut out = WireOut::new(Box::new(writer), Arc::clone(&clock));
    let seed = getrandom::u32().map_or(1, |seed| (seed >> 1).max(1).cast_signed());
    let negotiated = setup::server(
        &mut input,
        &mut out,
        setup::ServerSide {
            protocol: request.protocol,
            letters: asked.capabilities.as_deref(),
            compression,
            seed,
        },
        &asked.options,
        asked.sender,
    )?;
    Ok(Ready {
        input,
        out,
        negotiated,
        clock,
        cancel,
    })
}

/// Tells a client why nothing happens, and gives it time to read that.
fn reject(mut ready: Ready, request: &SessionRequest, rejection: &Rejection) {
    let code = rejection.exit_code;
    let version = env!("CARGO_PKG_VERSION");
    let role = if rejection.sender {
        "sender"
    } else {
        "Receiver"
    };
    let last = format!(
        "rsync error: {} (code {code}) at serve [{role}={version}]",
        exit_text(code)
    );
    let told = [&rejection.text, &last].into_iter().try_for_each(|text| {
        let text = PeerText(format!("{text}\n"));
        ready.out.message(&Message::Text {
            kind: TextKind::Error,
            text: PeerText(&*text.without_controls()),
        })
    });
    let told = told
        .and_then(|()| match request.protocol.has_error_exit() {
            true => ready.out.message(&Message::ErrorExit(Some(code.into()))),
            false => Ok(()),
        })
        .and_then(|()| ready.out.flush());
    if told.is_ok() {
        // Closing with unread input would reset the connection and lose these words.
        let _ = request.stream.shutdown(Shutdown::Write);
        ready.clock.set_timeout(Some(LAST_WORDS));
        let _ = ready.input.drain();
    }
}

/// The rules that the client sends, and what their memory is charged to.
fn read_rules(
    ready: &mut Ready,
    request: &SessionRequest,
    asked: &ServerRequest,
    module: &Chain,
) -> Result<(RuleList, Charge), Error> {
    let settings = RuleSettings {
        delete_excluded: asked.options.delete_excluded,
        cvs: cvs_sources(request, module),
        ..RuleSettings::default()
    };
    let unusable = |error: FilterError| Error::Request {
        code: error.exit_code(),
        text: error.to_string(),
    };
    let mut list = RuleList::of_peer(settings);
    let mut charge = request.budget.charge(rules::HELD_AS);
    if setup::wants_filter_rules(&asked.options, !asked.sender) {
        setup::read_filter_rules(&mut ready.input, |rule| {
            list.add_wire_rule(rule).map_err(unusable)?;
            charge.set(list.memory())
        })?;
    }
    // A client that sends has sent these rules (07-filters 9).
    if asked.sender && asked.options.cvs_exclude {
        list.add_cvs_exclude(request.protocol, Role::Sender)
            .map_err(unusable)?;
    }
    Ok((list, charge))
}

/// What adds to the rules of `-C` here: in a chroot the home is its root (07-filters 9), elsewhere it is out of the
/// session's reach.
fn cvs_sources(request: &SessionRequest, module: &Chain) -> CvsSources {
    let files = rule_files(request, module, None);
    let home = match request.regime {
        Regime::Chroot => files.read_in_root(b".cvsignore").ok().flatten(),
        _ => None,
    };
    CvsSources {
        home,
        environment: std::env::var_os("CVSIGNORE").map(OsString::into_vec),
    }
}

/// Where rules may name files to be read. `clock`: that of a client that pulls.
fn rule_files(request: &SessionRequest, module: &Chain, clock: Option<&Arc<IoClock>>) -> RuleFiles {
    RuleFiles::Module {
        tree: request.root.clone(),
        hidden: Box::new(module.clone()),
        clock: clock.map(Arc::clone),
    }
}

/// Where a module's own per-directory files are read: its rules themselves leave out those that they hide.
fn own_files(request: &SessionRequest, clock: Option<&Arc<IoClock>>) -> RuleFiles {
    let hides_nothing = Chain::new(&RuleList::default(), Role::Receiver);
    rule_files(request, &hides_nothing, clock)
}

/// `prefix`: the path of a push's names in the module, for the log.
fn session(
    ready: &Ready,
    request: &SessionRequest,
    options: TransferOptions,
    prefix: Vec<u8>,
) -> Session {
    let events = Arc::new(Logged {
        log: request.log.clone(),
        prefix,
        times: options.times,
        group: options.group,
        dry_run: options.dry_run,
    });
    Session {
        options,
        negotiated: ready.negotiated,
        client: false,
        events,
        cancel: ready.cancel.clone(),
        clock: Arc::clone(&ready.clock),
        trouble: Arc::new(Trouble::default()),
        budget: request.budget.clone(),
    }
}

fn receive(
    ready: Ready,
    request: &SessionRequest,
    asked: ServerRequest,
    rules: &RuleList,
    module: Chain,
) -> Result<Outcome, Error> {
    let (path, rel) = match destination(request, &asked, &module, &ready.input) {
        Ok(found) => found,
        Err(error) => return Err(give_up(ready, request, error)),
    };
    let prefix = rel.as_path().as_bytes().to_vec();
    let session = session(&ready, request, asked.options, prefix);
    let deletes_during = matches!(
        session.options.delete.resolved(session.protocol().number()),
        Delete::During | Delete::Delay
    );
    // Only what is done with names changes: the client sends them if it was not told otherwise.
    let policy = IdPolicy::of_this_thread(request.numeric_ids || session.options.numeric_ids);
    let root = policy.root;
    let chain = Chain::new(rules, Role::Receiver);
    let files = rule_files(request, &module, None);
    let link_targets = if request.munge_symlinks {
        LinkTargets::Munged
    } else if request.regime.sanitizes() {
        LinkTargets::Confined
    } else {
        LinkTargets::AsSent
    };
    let what = Receive {
        destination: Some(Destination::Within {
            tree: request.root.clone(),
            links: Links::Beneath,
            slash: path.ends_with(b"/") || path.ends_with(b"/."),
            path: rel,
        }),
        asked_for: None,
        protection: Box::new(
            ProtectionRules::new(
                chain,
                files,
                ModuleRules::new(module, own_files(request, None), deletes_during),
            )
            .counted_in(&request.budget),
        ),
        ids: IdMapper::new(policy, Box::new(request.names.clone())),
        root,
        umask: request.umask,
        link_targets,
    };
    rsync_engine::receive(session, ready.input, ready.out, what)
}

/// The destination of a push: as asked for, and as a path of the module.
fn destination(
    request: &SessionRequest,
    asked: &ServerRequest,
    module: &Chain,
    input: &WireIn,
) -> Result<(Vec<u8>, RelPathBuf), Error> {
    let path = paths(request, asked, module, input)?.into_iter().next();
    let path = path.unwrap_or_else(|| b".".to_vec());
    let rel = RelPathBuf::resolve(RelPath::ROOT, &path).map_err(|error| Error::Request {
        text: error.to_string(),
        code: 1,
    })?;
    if !rel.as_path().is_root() && module.excludes_path(rel.as_path().as_bytes(), true) {
        let shown = PeerText(&path);
        let text = format!("ERROR: daemon has excluded destination \"{shown}\"");
        return Err(Error::Request { text, code: 3 });
    }
    Ok((path, rel))
}

/// The paths of the request, wildcards expanded to what the module's rules do not hide.
fn paths(
    request: &SessionRequest,
    asked: &ServerRequest,
    module: &Chain,
    input: &WireIn,
) -> Result<Vec<Vec<u8>>, Error> {
    let hidden = |path: &[u8], is_dir: bool| module.excludes_path(path, is_dir);
    let wanted = || client_waits(request, input);
    let mut names = TreeNames::new(&request.root, &hidden, &wanted);
    let name = &request.module.name;
    let found = request::paths(&asked.paths, name, !asked.secluded, &mut names);
    found.map_err(|error| match error {
        PathsError::Unwanted => disconnected(input),
        PathsError::TooMany | PathsError::TooMuchWork => Error::Request {
            text: format!("ERROR: {error}"),
            code: 1,
        },
    })
}

/// Whether the client is still there, while no thread reads the connection. One that closed its direction is, as long as
/// something is left to be read: that may be all it has to say.
fn client_waits(request: &SessionRequest, input: &WireIn) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    input.ready()
        || match rustix::net::recv(&request.stream, &mut [0], flags) {
            Ok((_, bytes)) => bytes > 0,
            Err(errno) => matches!(errno, Errno::AGAIN | Errno::INTR),
        }
}

/// The error for a client that does not wait any more.
fn disconnected(input: &WireIn) -> Error {
    let received = input.received();
    Error::Disconnected { received }
}
