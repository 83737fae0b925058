//! Sessions with a daemon, from the connection to the outcome.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rsync_engine::fs::{machine_memory, umask};
use rsync_engine::options::{self, Direction, TransferOptions};
use rsync_engine::receive::{Destination, LinkTargets, Receive};
use rsync_engine::send::{Send, Source};
use rsync_engine::{
    Budget, Cancel, Event, Events, IoClock, Outcome, Session, TextKind, Trouble, WireIn, WireOut,
    setup,
};
use rsync_proto::args::put_arguments;
use rsync_proto::setup::{Capabilities, Negotiated};
use rsync_proto::{PeerText, Protocol};

use crate::error::Error;
use crate::filters::Filters;
use crate::handshake::{Credentials, ask_list, ask_module};
use crate::local::{here, names};
use crate::target::DaemonTarget;
use crate::tcp::{self, TcpReader, TcpWriter};

/// How to reach a daemon.
#[derive(Debug, Clone)]
pub struct Connect {
    /// Who we are, if it asks.
    pub credentials: Credentials,
    /// How long the connection itself may take.
    pub connect_timeout: Option<Duration>,
    /// How long nothing may move, before and during the session.
    pub io_timeout: Option<Duration>,
    /// Bytes of memory that the daemon may make a session hold (file lists, block sums); 0 is no limit.
    pub max_memory: u64,
}

impl Default for Connect {
    fn default() -> Self {
        Self {
            credentials: Credentials::none(),
            connect_timeout: None,
            io_timeout: None,
            // The user's own list may be long, but the machine should live.
            max_memory: machine_memory() / 4 * 3,
        }
    }
}

/// The list of a daemon's modules, line by line as it comes.
///
/// # Errors
/// A failed connection or a refusal.
pub fn list_modules(
    target: &DaemonTarget,
    connect: &Connect,
    line: &mut dyn FnMut(PeerText<&[u8]>),
) -> Result<(), Error> {
    let stream = open(target, connect)?;
    ask_list(stream, Protocol::MAX, line)
}

fn open(target: &DaemonTarget, connect: &Connect) -> Result<TcpStream, Error> {
    let stream = tcp::connect(target, connect.connect_timeout)?;
    stream
        .set_read_timeout(connect.io_timeout)
        .and_then(|()| stream.set_write_timeout(connect.io_timeout))
        .map_err(Error::Handshake)?;
    Ok(stream)
}

/// A session whose set-up is done: the daemon waits for the file list (push) or the filter rules (pull).
///
/// Its options are fixed. It can be kept for a while, so that a later push only costs its data.
pub struct OpenSession {
    negotiated: Negotiated,
    options: TransferOptions,
    paths: Vec<Vec<u8>>,
    input: WireIn,
    out: WireOut,
    clock: Arc<IoClock>,
    cancel: Cancel,
    budget: Budget,
    /// For looking whether the daemon has closed meanwhile.
    stream: TcpStream,
}

impl std::fmt::Debug for OpenSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenSession")
            .field("negotiated", &self.negotiated)
            .finish_non_exhaustive()
    }
}

impl OpenSession {
    /// Connects, logs in, sends the arguments and goes through the set-up. `paths` begin with the module's name
    /// (01-session 7.7); a push has exactly one.
    ///
    /// # Errors
    /// Everything that can go wrong until then. What the daemon refuses of the options shows later.
    pub fn open(
        target: &DaemonTarget,
        direction: Direction,
        paths: &[Vec<u8>],
        mut options: TransferOptions,
        connect: &Connect,
        cancel: Cancel,
        events: &Arc<dyn Events>,
    ) -> Result<Self, Error> {
        cancel.check()?;
        // What ends this session must not end others of the same user.
        let cancel = cancel.child();
        let sending = direction == Direction::Push;
        // Our -R sender and some deletions need the flat list.
        options.inc_recursive = setup::allows_inc_recurse(&options, !sending);
        let ours = options
            .protocol
            .and_then(Protocol::new)
            .unwrap_or(Protocol::MAX);
        let stream = open(target, connect)?;
        cancel.on_cancel(tcp::closer(&stream).map_err(Error::Handshake)?);
        let mut line = |text: PeerText<&[u8]>| {
            events.event(Event::Message {
                kind: TextKind::Info,
                text,
            });
        };
        let granted = ask_module(
            stream,
            ours,
            &target.module,
            &connect.credentials,
            &mut line,
        )?;
        let protocol = granted.protocol;
        let clock = Arc::new(IoClock::new(connect.io_timeout));
        let clone = || granted.stream.try_clone().map_err(Error::Handshake);
        let reader = TcpReader::new(clone()?, Arc::clone(&clock)).map_err(Error::Handshake)?;
        let writer = TcpWriter::new(clone()?, Arc::clone(&clock), options.bwlimit)
            .map_err(Error::Handshake)?;
        let mut input = WireIn::new(Box::new(reader), granted.unread, Arc::clone(&clock));
        let mut out = WireOut::new(Box::new(writer), Arc::clone(&clock));
        let sent: Vec<Vec<u8>> = paths
            .iter()
            .map(|path| options::daemon_path_arg(&target.module, path))
            .collect();
        let args = options::to_server_args(&options, direction, protocol.number(), &sent);
        let mut put = Ok(());
        out.data(|buf| put = put_arguments(buf, protocol, &args))?;
        put?;
        out.flush()?;
        let capabilities = if protocol.has_compat_flags() {
            Capabilities::current(options.inc_recursive)
        } else {
            Capabilities::default()
        };
        let negotiated = setup::client(
            &mut input,
            &mut out,
            protocol,
            capabilities,
            &options,
            sending,
        )?;
        Ok(Self {
            negotiated,
            options,
            paths: paths.to_vec(),
            input,
            out,
            clock,
            cancel,
            budget: Budget::unlimited().session(connect.max_memory),
            stream: granted.stream,
        })
    }

    /// Whether lists of directories follow each other while files already move.
    #[must_use]
    pub fn inc_recurse(&self) -> bool {
        self.negotiated.inc_recurse()
    }

    /// The protocol that both ends speak.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.negotiated.protocol
    }

    /// Whether the daemon still waits for us.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let mut byte = [0];
        if self.stream.set_nonblocking(true).is_err() {
            return false;
        }
        let peeked = self.stream.peek(&mut byte);
        let blocking = self.stream.set_nonblocking(false).is_ok();
        // A daemon may have announced its timeout; the end of the stream is what to look for.
        blocking
            && match peeked {
                Ok(n) => n > 0,
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            }
    }

    /// The clock of the connection: when it last moved bytes, and the I/O timeout that the daemon announced, as far as it was read.
    #[must_use]
    pub fn clock(&self) -> Arc<IoClock> {
        Arc::clone(&self.clock)
    }

    fn session(&self, events: &Arc<dyn Events>) -> Session {
        Session {
            options: self.options.clone(),
            negotiated: self.negotiated,
            client: true,
            events: Arc::clone(events),
            cancel: self.cancel.clone(),
            clock: Arc::clone(&self.clock),
            trouble: Arc::new(Trouble::default()),
            budget: self.budget.clone(),
        }
    }

    /// Sends what `source` names.
    ///
    /// # Errors
    /// What ended the session; failures of single files are in the outcome.
    pub fn push(
        mut self,
        source: Source,
        mut filters: Filters,
        events: &Arc<dyn Events>,
    ) -> Result<Outcome, Error> {
        let session = self.session(events);
        filters.complete(self.negotiated.protocol, true)?;
        if setup::wants_filter_rules(&self.options, true) {
            let rules = filters.wire_rules(self.negotiated.protocol, true)?;
            setup::send_filter_rules(&mut self.out, &rules)?;
        }
        let what = Send {
            source,
            selection: filters.selection(),
            names: names(),
            munge_links: false,
        };
        Ok(rsync_engine::send(session, self.input, self.out, what)?)
    }

    /// Receives what the arguments named.
    ///
    /// # Errors
    /// As of [`OpenSession::push`].
    pub fn pull(
        mut self,
        destination: Option<Destination>,
        mut filters: Filters,
        events: &Arc<dyn Events>,
    ) -> Result<Outcome, Error> {
        let session = self.session(events);
        filters.complete(self.negotiated.protocol, false)?;
        let rules = filters.wire_rules(self.negotiated.protocol, false)?;
        setup::send_filter_rules(&mut self.out, &rules)?;
        self.out.flush()?;
        let (root, ids) = here(self.options.numeric_ids);
        let what = Receive {
            destination,
            asked_for: Some(filters.asked_for(&self.paths, &self.options)),
            protection: filters.protection(),
            ids,
            root,
            umask: umask(),
            link_targets: LinkTargets::AsSent,
        };
        Ok(rsync_engine::receive(session, self.input, self.out, what)?)
    }
}
