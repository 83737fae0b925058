//! Copies on one machine: both roles in this process, over two in-memory pipes.

use std::io::Write;
use std::sync::Arc;

use rsync_engine::fs::{IdMapper, IdPolicy, NameService, SystemNames, umask};
use rsync_engine::options::TransferOptions;
use rsync_engine::pipe::{PipeCloser, pipe};
use rsync_engine::receive::{Destination, LinkTargets, Receive};
use rsync_engine::send::{Send, Source};
use rsync_engine::{
    Budget, Cancel, Event, Events, IoClock, NoEvents, Outcome, Session, Trouble, WireIn, WireOut,
    setup,
};
use rsync_proto::mux::Peer;
use rsync_proto::setup::{Capabilities, ClientOffer, Negotiated, ServerOffer};
use rsync_proto::{DecodeError, Protocol};

use crate::error::Error;
use crate::filters::Filters;
use crate::pace::Paced;

/// What the receiving end of a listing has to tell: the other end tells the rest.
struct Listing(Arc<dyn Events>);

impl Events for Listing {
    fn event(&self, event: Event<'_>) {
        if let Event::Listed(_) = event {
            self.0.event(event);
        }
    }
}

/// Copies `source` to `destination`, or only lists it.
///
/// # Errors
/// What ended the run; failures of single files are in the outcome.
pub fn copy(
    source: Source,
    destination: Option<Destination>,
    mut options: TransferOptions,
    mut filters: Filters,
    cancel: &Cancel,
    events: &Arc<dyn Events>,
) -> Result<Outcome, Error> {
    options.inc_recursive =
        setup::allows_inc_recurse(&options, false) && setup::allows_inc_recurse(&options, true);
    // Reading the old file costs as much as reading the new one.
    options.whole_file.get_or_insert(true);
    let negotiated = negotiate(&options).map_err(rsync_engine::Error::from)?;
    let protocol = negotiated.protocol;
    filters.complete(protocol, true)?;
    let (request_in, request_out, close_requests) = pipe();
    let (data_in, data_out, close_data) = pipe();
    // Each end has a handle of its own: one that fails closes the pipes, and the other then tells what it saw.
    let handle = || {
        let cancel = cancel.child();
        let pipes = [close_requests.clone(), close_data.clone()];
        cancel.on_cancel(move || pipes.iter().for_each(PipeCloser::close));
        cancel
    };
    let end = |client: bool, events: Arc<dyn Events>| Session {
        options: options.clone(),
        negotiated,
        client,
        events,
        cancel: handle(),
        clock: Arc::new(IoClock::new(None)),
        trouble: Arc::new(Trouble::default()),
        // Both ends are ours.
        budget: Budget::unlimited(),
    };
    let receiver = match destination {
        Some(_) => end(false, Arc::new(NoEvents)),
        None => end(false, Arc::new(Listing(Arc::clone(events)))),
    };
    let clock = &receiver.clock;
    let mut receiver_in = WireIn::new(Box::new(data_in), Vec::new(), Arc::clone(clock));
    receiver_in.start_framing(
        Peer {
            is_server: false,
            is_sender: true,
        },
        protocol,
    );
    let mut receiver_out = WireOut::new(Box::new(request_out), Arc::clone(clock));
    receiver_out.start_framing(protocol);
    let sender = end(true, Arc::clone(events));
    let clock = &sender.clock;
    let mut sender_in = WireIn::new(Box::new(request_in), Vec::new(), Arc::clone(clock));
    sender_in.start_framing(
        Peer {
            is_server: true,
            is_sender: false,
        },
        protocol,
    );
    let data_out: Box<dyn Write + std::marker::Send> = match options.bwlimit {
        Some(limit @ 1..) => Box::new(Paced::new(data_out, limit)),
        _ => Box::new(data_out),
    };
    let mut sender_out = WireOut::new(data_out, Arc::clone(clock));
    sender_out.start_framing(protocol);

    let (root, ids) = here(options.numeric_ids);
    let what = Receive {
        destination,
        asked_for: None,
        protection: filters.protection(),
        ids,
        root,
        umask: umask(),
        link_targets: LinkTargets::AsSent,
    };
    let receiving = std::thread::Builder::new()
        .name("generator".to_owned())
        .spawn(move || rsync_engine::receive(receiver, receiver_in, receiver_out, what))
        .map_err(|error| Error::Thread(error.to_string()))?;
    let what = Send {
        source,
        selection: filters.selection(),
        names: names(),
        munge_links: false,
    };
    let sent = rsync_engine::send(sender, sender_in, sender_out, what);
    let received = receiving
        .join()
        .map_err(|_| Error::Thread("receiver".to_owned()))?;
    match (sent, received) {
        (Ok(mut outcome), Ok(other)) => {
            outcome.io_error |= other.io_error;
            outcome.partial |= other.partial;
            Ok(outcome)
        }
        // It was told already, in the receiver's words.
        (Err(error @ rsync_engine::Error::Remote { .. }), Err(_)) => Err(error.into()),
        // The receiver's own reason says more than the end of its pipes.
        (
            Err(rsync_engine::Error::Disconnected { .. } | rsync_engine::Error::Connection { .. }),
            Err(error),
        )
        | (Ok(_), Err(error))
        | (Err(error), _) => Err(error.into()),
    }
}

fn negotiate(options: &TransferOptions) -> Result<Negotiated, DecodeError> {
    let protocol = options
        .protocol
        .and_then(Protocol::new)
        .unwrap_or(Protocol::MAX);
    let capabilities = Capabilities::current(options.inc_recursive);
    let compat = capabilities.answer(rsync_proto::setup::CompatFlags::ALL, options.inc_recursive);
    // Nobody chooses this seed to make blocks collide.
    let seed = options
        .checksum_seed
        .unwrap_or_else(|| random_seed().max(1));
    let mut client = ClientOffer::new(protocol, capabilities);
    let mut server = ServerOffer::new(protocol, compat, seed);
    if let Some(choice) = &options.checksum_choice {
        let choice = rsync_proto::setup::ChecksumChoice::parse(choice.to_arg().as_bytes())?;
        client.checksum_choice = choice;
        server.checksum_choice = choice;
    }
    Negotiated::in_process(client, server)
}

fn random_seed() -> i32 {
    getrandom::u32().map_or(1, |seed| (seed >> 1).cast_signed())
}

/// Whether we may set owners, and how ids are mapped here.
pub(crate) fn here(numeric: bool) -> (bool, IdMapper) {
    let policy = IdPolicy::of_this_thread(numeric);
    (policy.root, IdMapper::new(policy, names()))
}

/// The system's users and groups.
pub(crate) fn names() -> Box<dyn NameService> {
    Box::new(SystemNames::new())
}
