//! Runs the sessions of modules with the engine: set-up, refusals that come after it, transfer (04-daemon 1).

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use rsync_engine::filter::{Chain, Role, RuleList, RuleSettings};
use rsync_engine::fs::{IdMapper, IdPolicy, Links, RelPath, RelPathBuf, Tree};
use rsync_engine::options::{ServerRequest, TransferOptions};
use rsync_engine::receive::{Destination, Receive};
use rsync_engine::rules::{ModuleRules, ProtectionRules, SelectionRules};
use rsync_engine::send::{Argument, Send, Source};
use rsync_engine::{
    Cancel, Error, Event, Events, IoClock, Item, Outcome, Session, TextKind, Trouble, WireIn,
    WireOut, setup,
};
use rsync_proto::PeerText;
use rsync_proto::mux::Message;
use rsync_proto::setup::Negotiated;
use syncline::tcp::{TcpReader, TcpWriter};

use crate::logfmt::{LoggedItem, Operation};
use crate::request::{self, TreeNames};
use crate::session::{Rejection, SessionEnd, SessionLog, SessionRequest, SessionRunner};

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
        match run(request) {
            Ok(outcome) => end(role, outcome.exit_code(), &outcome),
            Err(error) => {
                log.warn(format!("rsync: [{role}] {error}"));
                end(role, error.exit_code(), &Outcome::default())
            }
        }
    }
}

fn end(role: &'static str, exit_code: u8, outcome: &Outcome) -> SessionEnd {
    SessionEnd {
        exit_code,
        reason: reason(exit_code).to_owned(),
        role,
        sent: outcome.stats.sent,
        received: outcome.stats.received,
        total_size: outcome.stats.total_size,
    }
}

/// What an exit code means, in rsync's words (01-session 12.3).
fn reason(code: u8) -> &'static str {
    match code {
        0 => "",
        1 => "syntax or usage error",
        2 => "protocol incompatibility",
        3 => "errors selecting input/output files, dirs",
        4 => "requested action not supported",
        10 => "error in socket IO",
        11 => "error in file IO",
        12 => "error in rsync protocol data stream",
        20 => "received SIGINT, SIGTERM, or SIGHUP",
        22 => "error allocating core memory buffers",
        23 => "some files/attrs were not transferred (see previous errors)",
        24 => "some files vanished before they could be transferred",
        25 => "the --max-delete limit stopped deletions",
        30 => "timeout in data send/receive",
        _ => "unexplained error",
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
    let mut ready = set_up(&request, &asked)?;
    if let Some(rejection) = rejection {
        return Err(reject(ready, &request, &rejection));
    }
    if let Some(timeout) = request.timeout {
        let seconds = u32::try_from(timeout.as_secs()).ok();
        ready.out.message(&Message::IoTimeout(seconds))?;
        ready.out.flush()?;
    }
    let rules = read_rules(&mut ready, &asked)?;
    // In this role whatever the direction, since the rules are read before it is known (07-filters 13).
    let module = Chain::new(&request.filter, Role::Receiver);
    let tree = request.root.clone();
    if asked.sender {
        send(ready, &request, asked, &rules, module, &tree)
    } else {
        receive(ready, &request, asked, &rules, module, tree)
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
    let text = match asked.sender {
        true if request.write_only => "ERROR: module is write only",
        false if request.read_only => "ERROR: module is read only",
        _ => return None,
    };
    Some(Rejection {
        text: text.to_owned(),
        exit_code: 1,
        sender: asked.sender,
        capabilities: asked.capabilities.clone(),
    })
}

fn connection(op: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Connection { op, source }
}

fn set_up(request: &SessionRequest, asked: &ServerRequest) -> Result<Ready, Error> {
    let clock = Arc::new(IoClock::new(request.timeout));
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
        request.protocol,
        asked.capabilities.as_deref(),
        &asked.options,
        asked.sender,
        seed,
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
fn reject(mut ready: Ready, request: &SessionRequest, rejection: &Rejection) -> Error {
    let code = rejection.exit_code;
    let version = env!("CARGO_PKG_VERSION");
    let role = if rejection.sender {
        "sender"
    } else {
        "Receiver"
    };
    let last = format!(
        "rsync error: {} (code {code}) at serve [{role}={version}]",
        reason(code)
    );
    let told = [&rejection.text, &last].into_iter().try_for_each(|text| {
        let text = format!("{text}\n");
        ready.out.message(&Message::Text {
            kind: TextKind::Error,
            text: PeerText(text.as_bytes()),
        })
    });
    let told = told
        .and_then(|()| ready.out.message(&Message::ErrorExit(Some(code.into()))))
        .and_then(|()| ready.out.flush());
    if told.is_ok() {
        // Closing with unread input would reset the connection and lose these words.
        let _ = request.stream.shutdown(Shutdown::Write);
        ready.clock.set_timeout(Some(LAST_WORDS));
        let _ = ready.input.drain();
    }
    Error::Request {
        text: rejection.text.clone(),
        code,
    }
}

fn read_rules(ready: &mut Ready, asked: &ServerRequest) -> Result<RuleList, Error> {
    let texts = if setup::wants_filter_rules(&asked.options, !asked.sender) {
        setup::read_filter_rules(&mut ready.input)?
    } else {
        Vec::new()
    };
    let settings = RuleSettings {
        delete_excluded: asked.options.delete_excluded,
        ..RuleSettings::default()
    };
    RuleList::from_wire(&texts, settings).map_err(|error| Error::Request {
        code: error.exit_code(),
        text: error.to_string(),
    })
}

fn session(ready: &Ready, request: &SessionRequest, options: TransferOptions) -> Session {
    Session {
        options,
        negotiated: ready.negotiated,
        client: false,
        events: Arc::new(Logged {
            log: request.log.clone(),
        }),
        cancel: ready.cancel.clone(),
        clock: Arc::clone(&ready.clock),
        trouble: Arc::new(Trouble::default()),
    }
}

fn send(
    ready: Ready,
    request: &SessionRequest,
    asked: ServerRequest,
    rules: &RuleList,
    module: Chain,
    tree: &Tree,
) -> Result<Outcome, Error> {
    let paths = paths(request, &asked, &module)?;
    let session = session(&ready, request, asked.options);
    let mut arguments = Vec::new();
    for path in &paths {
        arguments.extend(argument(tree, path, session.options.relative));
    }
    let chain = Chain::new(rules, Role::Sender);
    let what = Send {
        source: Source::Arguments(arguments),
        selection: Box::new(SelectionRules::new(
            chain,
            ModuleRules::new(module, Vec::new()),
        )),
        names: Box::new(request.names.clone()),
        munge_links: request.munge_symlinks,
    };
    rsync_engine::send(session, ready.input, ready.out, what)
}

/// One path of a pull, relative to the module: split as a client would split it (06-client 1.4).
fn argument(tree: &Tree, path: &[u8], relative: bool) -> Option<Argument> {
    let shown = path.to_vec();
    let contents = path.ends_with(b"/") || path == b"." || path.ends_with(b"/.");
    let (base, rest) = match path.windows(3).position(|window| window == b"/./") {
        Some(at) if relative => (&path[..at], &path[at + 3..]),
        _ => (&b""[..], path),
    };
    let rel = RelPathBuf::resolve(RelPath::ROOT, rest).ok()?;
    let base = RelPathBuf::resolve(RelPath::ROOT, base).ok()?;
    let root = |path: RelPath<'_>| tree.subtree(path, Links::Beneath).ok();
    if relative {
        let name = rel.as_path();
        let whole = name.is_root();
        return Some(Argument {
            tree: root(base.as_path())?,
            links: Links::Beneath,
            name: if whole {
                b".".to_vec()
            } else {
                name.as_bytes().to_vec()
            },
            implied: !whole,
            contents,
            shown,
        });
    }
    match rel.as_path().split() {
        Some((parent, name)) if !contents => Some(Argument {
            tree: root(parent)?,
            links: Links::Refuse,
            name: name.as_bytes().to_vec(),
            implied: false,
            contents: false,
            shown,
        }),
        _ => Some(Argument {
            tree: root(rel.as_path())?,
            links: Links::Refuse,
            name: b".".to_vec(),
            implied: false,
            contents: true,
            shown,
        }),
    }
}

fn receive(
    ready: Ready,
    request: &SessionRequest,
    asked: ServerRequest,
    rules: &RuleList,
    module: Chain,
    tree: Tree,
) -> Result<Outcome, Error> {
    let paths = paths(request, &asked, &module)?;
    let path = paths.first().map_or(&b"."[..], Vec::as_slice);
    let rel = RelPathBuf::resolve(RelPath::ROOT, path).map_err(|error| Error::Request {
        text: error.to_string(),
        code: 1,
    })?;
    if !rel.as_path().is_root() && module.excludes_path(rel.as_path().as_bytes(), true) {
        let text = format!(
            "ERROR: daemon has excluded destination \"{}\"",
            PeerText(path)
        );
        return Err(Error::Request { text, code: 3 });
    }
    let mut options = asked.options;
    options.numeric_ids |= request.numeric_ids && ready.negotiated.inc_recurse();
    let session = session(&ready, request, options);
    let policy = IdPolicy::of_this_thread(request.numeric_ids || session.options.numeric_ids);
    let root = policy.root;
    let chain = Chain::new(rules, Role::Receiver);
    let prefix = rel.as_path().as_bytes().to_vec();
    let what = Receive {
        destination: Some(Destination::Within {
            tree,
            links: Links::Beneath,
            slash: path.ends_with(b"/"),
            path: rel,
        }),
        asked_for: None,
        protection: Box::new(ProtectionRules::new(
            chain,
            ModuleRules::new(module, prefix),
        )),
        ids: IdMapper::new(policy, Box::new(request.names.clone())),
        root,
        umask: request.umask,
        munge_links: request.munge_symlinks,
    };
    rsync_engine::receive(session, ready.input, ready.out, what)
}

/// The paths of the request, wildcards expanded to what the module's rules do not hide.
fn paths(
    request: &SessionRequest,
    asked: &ServerRequest,
    module: &Chain,
) -> Result<Vec<Vec<u8>>, Error> {
    let hidden = |path: &[u8], is_dir: bool| module.excludes_path(path, is_dir);
    let mut names = TreeNames::new(&request.root, &hidden);
    let name = &request.module.name;
    request::paths(&asked.paths, name, !asked.secluded, &mut names).map_err(|error| {
        Error::Request {
            text: error.to_string(),
            code: 1,
        }
    })
}

/// Writes what happens to files to the module's log.
struct Logged {
    log: SessionLog,
}

impl Logged {
    fn item(&self, operation: Operation, item: &Item<'_>, bytes: u64) {
        self.log.item(&LoggedItem {
            operation,
            name: item.name,
            path: item.name,
            mode: item.mode,
            size: item.size,
            mtime: item.mtime,
            uid: item.uid,
            gid: Some(item.gid),
            link_target: item.link_target,
            hard_link: item.xname,
            checksum: None,
            checksum_len: 0,
            bytes,
            sums: 0,
            itemized: "",
        });
    }
}

impl Events for Logged {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Failed(failure) => self.log.warn(format!("rsync: {failure}")),
            Event::Transferred { item, literal, .. } if self.log.wants_items() => {
                let operation = if item.sending {
                    Operation::Send
                } else {
                    Operation::Receive
                };
                self.item(operation, &item, literal);
            }
            Event::Deleted { name, is_dir } if self.log.wants_items() => {
                let item = Item {
                    flags: rsync_proto::item::ItemFlags::default(),
                    name,
                    mode: if is_dir { 0o040_000 } else { 0o100_000 },
                    size: 0,
                    mtime: 0,
                    uid: 0,
                    gid: 0,
                    link_target: None,
                    xname: None,
                    sending: false,
                };
                self.item(Operation::Delete, &item, 0);
            }
            _ => {}
        }
    }
}
