//! Drives the set-up of a session over its streams: compat flags, negotiation lists, seed, start of framing
//! (01-session 9).

use rsync_proto::Protocol;
use rsync_proto::filter::{self, FilterReader};
use rsync_proto::mux::Peer;
use rsync_proto::setup::{
    Capabilities, ChecksumChoice, ClientOffer, ClientSetup, CompatFlags, Compression,
    CompressionRequest, Negotiated, Progress, ServerOffer, ServerSetup,
};

use crate::error::Error;
use crate::options::{Delete, TransferOptions};
use crate::wire_in::WireIn;
use crate::wire_out::WireOut;

/// The compat flags that we can honour as a server. INPLACE_PARTIAL_DIR is safe to grant: we have no partial
/// dirs that it could concern. Symlink times are set on every system we run on.
const SUPPORTED: CompatFlags = CompatFlags(
    CompatFlags::INC_RECURSE.0
        | CompatFlags::SYMLINK_TIMES.0
        | CompatFlags::SAFE_FLIST.0
        | CompatFlags::AVOID_XATTR_OPTIM.0
        | CompatFlags::CHKSUM_SEED_FIX.0
        | CompatFlags::INPLACE_PARTIAL_DIR.0
        | CompatFlags::VARINT_FLIST_FLAGS.0
        | CompatFlags::ID0_NAMES.0,
);

/// Whether this side allows incremental recursion (02-file-list 9.1). `receiving`: we are the receiving side.
#[must_use]
pub fn allows_inc_recurse(options: &TransferOptions, receiving: bool) -> bool {
    // A listing in parts would show the directories of a level before what is in them.
    let flat = receiving
        && (options.list_only.is_on() || matches!(options.delete, Delete::Before | Delete::After));
    // With -R the lists of implied directories would have to be put together from all arguments.
    let composed = !receiving && options.relative;
    options.recursive && options.inc_recursive && !flat && !composed
}

/// The forced checksums of the options, checked.
///
/// # Errors
/// A name that we do not know, with rsync's exit code 4.
fn choice(options: &TransferOptions) -> Result<Option<ChecksumChoice>, Error> {
    match &options.checksum_choice {
        None => Ok(None),
        Some(choice) => {
            ChecksumChoice::parse(choice.to_arg().as_bytes()).map_err(Error::Unsupported)
        }
    }
}

/// The client's side, after its arguments are sent. Both streams are framed afterwards where the protocol says
/// so.
///
/// # Errors
/// What the server's bytes break, or a failed connection.
pub fn client(
    input: &mut WireIn,
    out: &mut WireOut,
    protocol: Protocol,
    capabilities: Capabilities,
    options: &TransferOptions,
    sending: bool,
) -> Result<Negotiated, Error> {
    let offer = ClientOffer {
        checksum_choice: choice(options)?,
        ..ClientOffer::new(protocol, capabilities)
    };
    let mut state = ClientSetup::new(offer);
    let negotiated = loop {
        let mut reply = Vec::new();
        let progress = input.step(|cursor| state.advance(cursor, &mut reply))?;
        out.data(|buf| buf.append(&mut reply))?;
        out.flush()?;
        match progress.map_err(Error::from)? {
            Progress::More(next) => state = next,
            Progress::Done(negotiated) => break negotiated,
        }
    };
    input.end_steps();
    input.start_framing(
        Peer {
            is_server: true,
            is_sender: !sending,
        },
        protocol,
    );
    if protocol.frames_client() || (!sending && options.remove_source_files) {
        out.start_framing(protocol);
    }
    Ok(negotiated)
}

/// What a server brings to the set-up beside the options.
#[derive(Debug, Clone, Copy)]
pub struct ServerSide<'a> {
    /// The agreed protocol.
    pub protocol: Protocol,
    /// The client's capabilities (01-session 7.4).
    pub letters: Option<&'a [u8]>,
    /// The client negotiates a compression; only for a session that ends with a message, since nothing here
    /// compresses yet.
    pub compression: bool,
    /// Not 0.
    pub seed: i32,
}

/// The server's side, after it has read the arguments.
///
/// # Errors
/// What the client's bytes break, or a failed connection.
pub fn server(
    input: &mut WireIn,
    out: &mut WireOut,
    side: ServerSide<'_>,
    options: &TransferOptions,
    sending: bool,
) -> Result<Negotiated, Error> {
    let ServerSide {
        protocol,
        letters,
        compression,
        seed,
    } = side;
    let offered = Capabilities::parse(letters.unwrap_or_default());
    let compat = offered.answer(SUPPORTED, allows_inc_recurse(options, !sending));
    let seed = options
        .checksum_seed
        .filter(|&seed| seed != 0)
        .unwrap_or(seed);
    let offer = ServerOffer {
        checksum_choice: choice(options)?,
        compression: match compression {
            true => CompressionRequest::Negotiate,
            false => CompressionRequest::Off,
        },
        compressions: match compression {
            true => vec![Compression::Zlibx, Compression::Zlib],
            false => Vec::new(),
        },
        ..ServerOffer::new(protocol, compat, seed)
    };
    let mut reply = Vec::new();
    let mut state = ServerSetup::new(offer, &mut reply);
    let mut progress = state.advance(&mut rsync_proto::wire::Cursor::new(&[]), &mut reply);
    let negotiated = loop {
        out.data(|buf| buf.append(&mut reply))?;
        out.flush()?;
        match progress.map_err(Error::from)? {
            Progress::Done(negotiated) => break negotiated,
            Progress::More(next) => state = next,
        }
        progress = input.step(|cursor| state.advance(cursor, &mut reply))?;
    };
    input.end_steps();
    if protocol.frames_client() || (sending && options.remove_source_files) {
        input.start_framing(
            Peer {
                is_server: false,
                is_sender: !sending,
            },
            protocol,
        );
    }
    out.start_framing(protocol);
    Ok(negotiated)
}

/// Sends the filter list of a client (02-file-list 2).
///
/// # Errors
/// A failed connection.
pub fn send_filter_rules(out: &mut WireOut, rules: &[Vec<u8>]) -> Result<(), Error> {
    for rule in rules {
        let mut put = Ok(());
        out.data(|buf| put = filter::put_rule(buf, rule))?;
        put.map_err(|error| Error::request(1, error.to_string()))?;
    }
    out.data(filter::put_end)
}

/// Reads the filter list of a client (02-file-list 2), and gives each rule to `take` as it comes.
///
/// # Errors
/// A rule that no client may send, or a failed connection; what `take` says.
pub fn read_filter_rules(
    input: &mut WireIn,
    mut take: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = FilterReader::new();
    let mut rule = Vec::new();
    while input.record(|cursor| {
        let found = reader.read(cursor)?;
        rule.clear();
        rule.extend_from_slice(found.unwrap_or_default());
        Ok(found.is_some())
    })? {
        take(&rule)?;
    }
    Ok(())
}

/// Whether a filter list goes from client to server (02-file-list 2.1). `sending`: the client sends files.
#[must_use]
pub fn wants_filter_rules(options: &TransferOptions, sending: bool) -> bool {
    !sending || options.delete != Delete::Off
}
