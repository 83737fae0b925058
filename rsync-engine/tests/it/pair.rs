//! Both roles in this process, over two pipes that a test may break.

use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rsync_engine::fs::{IdMapper, IdPolicy, Links, SystemNames, Tree};
use rsync_engine::options::words::Words;
use rsync_engine::options::{TransferOptions, grammar};
use rsync_engine::pipe::{PipeCloser, PipeReader, PipeWriter, pipe};
use rsync_engine::receive::{Destination, LinkTargets, Receive, Unprotected};
use rsync_engine::send::{Argument, Everything, Send, Source};
use rsync_engine::{
    Budget, Cancel, Error, Event, Events, IoClock, Outcome, Session, Trouble, WireIn, WireOut,
    setup,
};
use rsync_proto::Protocol;
use rsync_proto::mux::Peer;
use rsync_proto::setup::{Capabilities, ClientOffer, CompatFlags, Negotiated, ServerOffer};
use testkit::Faulty;

/// How long a transfer of a few files may take before it counts as hanging.
const HANGS: Duration = Duration::from_secs(60);

/// A transfer between the two roles.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) options: TransferOptions,
    pub(crate) protocol: u32,
    /// The client sends.
    pub(crate) push: bool,
    /// Where the stream from the sender to the receiving side breaks.
    pub(crate) data: Option<Break>,
    /// Where the stream from the receiving side to the sender breaks.
    pub(crate) requests: Option<Break>,
    /// Bytes that one read gives at most.
    pub(crate) at_most: usize,
    /// Memory of both ends.
    pub(crate) budget: Budget,
}

/// A stream that breaks at a byte.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Break {
    End(u64),
    Fails(u64),
}

/// How both ends saw the transfer.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) sent: Result<Outcome, Error>,
    pub(crate) received: Result<Outcome, Error>,
    /// What the client was told, a line for each event.
    pub(crate) events: Vec<String>,
}

impl Ends {
    /// Both ends reached the end, with the same exit code.
    #[track_caller]
    pub(crate) fn assert_code(&self, code: u8) -> &Self {
        match (&self.sent, &self.received) {
            (Ok(sent), Ok(received)) => assert_eq!(
                (sent.exit_code(), received.exit_code()),
                (code, code),
                "{self:#?}\n{}",
                self.events.join("\n")
            ),
            _ => panic!("{self:#?}"),
        }
        self
    }
}

impl Pair {
    /// A push at the newest protocol.
    pub(crate) fn new(options: TransferOptions) -> Self {
        Self {
            options,
            protocol: 32,
            push: true,
            data: None,
            requests: None,
            at_most: usize::MAX,
            budget: Budget::unlimited(),
        }
    }

    pub(crate) fn pull(mut self) -> Self {
        self.push = false;
        self
    }

    pub(crate) fn protocol(mut self, protocol: u32) -> Self {
        self.protocol = protocol;
        self
    }

    /// Copies the contents of `source` into `destination`.
    pub(crate) fn copy(&self, source: &Path, destination: &Path) -> Ends {
        self.run(contents(&tree(source)), into(destination))
    }

    /// Runs both roles to their ends.
    ///
    /// # Panics
    /// When one of them does not end.
    pub(crate) fn run(&self, source: Source, destination: Destination) -> Ends {
        let recorder = Arc::new(Recorder::default());
        let events = Arc::clone(&recorder) as Arc<dyn Events>;
        let mut ends = self.run_with(source, destination, &Cancel::new(), events);
        ends.events = std::mem::take(&mut *recorder.0.lock().expect("no panic in events"));
        ends
    }

    /// As [`Pair::run`], with a handle and events of the test's own.
    pub(crate) fn run_with(
        &self,
        source: Source,
        destination: Destination,
        cancel: &Cancel,
        events: Arc<dyn Events>,
    ) -> Ends {
        let protocol = Protocol::new(self.protocol).expect("a protocol we have");
        let negotiated = self.negotiated(protocol);
        let (data_in, data_out, close_data) = pipe();
        let (request_in, request_out, close_requests) = pipe();
        let pipes = [close_data, close_requests];
        let sender = End {
            session: self.session(self.push, negotiated, cancel, &pipes, &events),
            input: Box::new(self.broken(request_in, self.requests)),
            output: Box::new(data_out),
        };
        let receiver = End {
            session: self.session(!self.push, negotiated, cancel, &pipes, &events),
            input: Box::new(self.broken(data_in, self.data)),
            output: Box::new(request_out),
        };
        let (tell_sent, sent) = channel();
        let (tell_received, received) = channel();
        std::thread::spawn(move || {
            // Nobody waits any more.
            let _ = tell_sent.send(sender.send(source));
        });
        std::thread::spawn(move || {
            let _ = tell_received.send(receiver.receive(destination));
        });
        let wait = |role| {
            move |error| match error {
                RecvTimeoutError::Timeout => panic!("the {role} hangs"),
                RecvTimeoutError::Disconnected => panic!("the {role} panicked"),
            }
        };
        let sent = sent.recv_timeout(HANGS).unwrap_or_else(wait("sender"));
        let received = received
            .recv_timeout(HANGS)
            .unwrap_or_else(wait("receiver"));
        Ends {
            sent,
            received,
            events: Vec::new(),
        }
    }

    fn negotiated(&self, protocol: Protocol) -> Negotiated {
        let options = &self.options;
        let inc_recurse = setup::allows_inc_recurse(options, false)
            && setup::allows_inc_recurse(options, true)
            && protocol.has_compat_flags();
        let capabilities = Capabilities::current(inc_recurse);
        let compat = capabilities.answer(CompatFlags::ALL, inc_recurse);
        let mut client = ClientOffer::new(protocol, capabilities);
        let mut server = ServerOffer::new(protocol, compat, 12345);
        if let Some(choice) = &options.checksum_choice {
            let text = choice.to_arg();
            let choice = rsync_proto::setup::ChecksumChoice::parse(text.as_bytes());
            client.checksum_choice = choice.expect("a known name");
            server.checksum_choice = client.checksum_choice;
        }
        Negotiated::in_process(client, server).expect("both ends agree")
    }

    fn session(
        &self,
        client: bool,
        negotiated: Negotiated,
        cancel: &Cancel,
        pipes: &[PipeCloser; 2],
        events: &Arc<dyn Events>,
    ) -> Session {
        let cancel = cancel.child();
        let pipes = pipes.clone();
        cancel.on_cancel(move || pipes.iter().for_each(PipeCloser::close));
        let events: Arc<dyn Events> = if client {
            Arc::clone(events)
        } else {
            Arc::new(rsync_engine::NoEvents)
        };
        Session {
            options: self.options.clone(),
            negotiated,
            client,
            events,
            cancel,
            clock: Arc::new(IoClock::new(None)),
            trouble: Arc::new(Trouble::default()),
            budget: self.budget.clone(),
        }
    }

    fn broken(&self, reader: PipeReader, at: Option<Break>) -> Faulty<PipeReader> {
        let reader = Faulty::new(reader).at_most(self.at_most);
        match at {
            None => reader,
            Some(Break::End(at)) => reader.ends_at(at),
            Some(Break::Fails(at)) => reader.fails_at(at, ErrorKind::ConnectionReset),
        }
    }
}

/// One end of a transfer.
pub(crate) struct End<R, W> {
    pub(crate) session: Session,
    pub(crate) input: Box<R>,
    pub(crate) output: Box<W>,
}

impl<R: Read + std::marker::Send + 'static, W: Write + std::marker::Send + 'static> End<R, W> {
    fn wires(self, sending: bool) -> (Session, WireIn, WireOut) {
        let session = self.session;
        let (protocol, client) = (session.protocol(), session.client);
        let framed = |from_client: bool| !from_client || protocol.frames_client();
        let mut input = WireIn::new(self.input, Vec::new(), Arc::clone(&session.clock));
        if framed(!client) {
            let peer = Peer {
                is_server: client,
                is_sender: !sending,
            };
            input.start_framing(peer, protocol);
        }
        let mut out = WireOut::new(self.output, Arc::clone(&session.clock));
        if framed(client) {
            out.start_framing(protocol);
        }
        (session, input, out)
    }

    /// Runs the sender.
    pub(crate) fn send(self, source: Source) -> Result<Outcome, Error> {
        let (session, input, out) = self.wires(true);
        let what = Send {
            source,
            selection: Box::new(Everything),
            names: Box::new(SystemNames::new()),
            munge_links: false,
        };
        rsync_engine::send(session, input, out, what)
    }

    /// Runs the receiving side.
    pub(crate) fn receive(self, destination: Destination) -> Result<Outcome, Error> {
        let (session, input, out) = self.wires(false);
        let policy = IdPolicy::of_this_thread(session.options.numeric_ids);
        let what = Receive {
            destination: Some(destination),
            asked_for: None,
            protection: Box::new(Unprotected),
            root: policy.root,
            ids: IdMapper::new(policy, Box::new(SystemNames::new())),
            umask: 0o022,
            link_targets: LinkTargets::AsSent,
        };
        rsync_engine::receive(session, input, out, what)
    }
}

/// Events as lines.
#[derive(Debug, Default)]
pub(crate) struct Recorder(pub(crate) Mutex<Vec<String>>);

impl Events for Recorder {
    fn event(&self, event: Event<'_>) {
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let line = match event {
            Event::Item(item) => format!("{:04x} {}", item.flags.0, text(item.name)),
            Event::Deleted { name, .. } => format!("deleted {}", text(name)),
            Event::Message { text, .. } => format!("message {text}"),
            Event::Note { text, .. } => format!("note {text}"),
            Event::Failed(failure) => format!("failed {failure}"),
            Event::ChangedWhileRead { name } => format!("changed {}", text(name)),
            Event::Acknowledged { name } => format!("acknowledged {}", text(name)),
            _ => return,
        };
        self.0.lock().expect("no panic in events").push(line);
    }
}

/// A tree handle.
pub(crate) fn tree(path: &Path) -> Tree {
    Tree::open(path).expect("the directory is there")
}

/// `path/` as source argument.
pub(crate) fn contents(tree: &Tree) -> Source {
    Source::Arguments(vec![argument(tree, b".", true)])
}

/// A name in `tree` as source argument.
pub(crate) fn argument(tree: &Tree, name: &[u8], contents: bool) -> Argument {
    Argument {
        tree: tree.clone(),
        absolute: Vec::new(),
        links: Links::Refuse,
        name: name.to_vec(),
        implied: false,
        contents,
        shown: name.to_vec(),
        place: Vec::new(),
    }
}

/// `path/` as destination.
pub(crate) fn into(path: &Path) -> Destination {
    let mut bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec();
    bytes.push(b'/');
    Destination::from(bytes)
}

/// Both pipes of a scripted peer: what it writes, what it reads, and how to end it.
pub(crate) fn pipes() -> ((PipeReader, PipeWriter), (PipeReader, PipeWriter)) {
    let (to_us, from_peer, _) = pipe();
    let (to_peer, from_us, _) = pipe();
    ((to_us, from_us), (to_peer, from_peer))
}

/// Reads to the end.
pub(crate) fn read_all(mut reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The options that words of rsync's command line give.
pub(crate) fn options(words: &[&str]) -> TransferOptions {
    let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let mut options = TransferOptions::default();
    let mut parsed = Words::new(&words);
    while let Some(word) = parsed.next_word().expect("a word of rsync") {
        let known = grammar::apply(&mut options, word, &mut parsed).expect("a value of rsync");
        assert!(known, "{word:?}");
    }
    options
}
