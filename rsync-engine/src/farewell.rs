//! The last words of a side that fails (01-session 12.2).

use rsync_proto::mux::Message;
use rsync_proto::{PeerText, Protocol};

use crate::error::Error;
use crate::event::TextKind;
use crate::exit::exit_text;
use crate::wire_out::WireOut;

/// Who says farewell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Role {
    /// What messages call us.
    pub(crate) name: &'static str,
    /// We are the server, so the client shows our texts.
    pub(crate) server: bool,
    /// We answer the peer's exit code with an empty one: a sender, or a receiving side that has not begun.
    pub(crate) acknowledges: bool,
}

/// Tells the peer why we end: a text if it is the client, and the exit code where the protocol has it.
pub(crate) fn send(out: &mut WireOut, protocol: Protocol, role: Role, error: &Error) {
    if matches!(error, Error::Timeout { .. }) {
        // The peer had its time.
        out.wait_no_more();
    }
    // What cannot be written any more is lost, as the connection is anyway.
    let _ = try_send(out, protocol, role, error);
}

fn try_send(out: &mut WireOut, protocol: Protocol, role: Role, error: &Error) -> Result<(), Error> {
    let code = error.exit_code();
    if role.server && !matches!(error, Error::Remote { .. }) {
        let (name, version) = (role.name, env!("CARGO_PKG_VERSION"));
        let what = match error {
            // These are whole sentences of rsync's.
            Error::Request { text, .. } if text.starts_with("ERROR: ") => text.clone(),
            error => format!("rsync: [{name}] {error}"),
        };
        let class = exit_text(code);
        let last = format!("rsync error: {class} (code {code}) at syncline(1) [{name}={version}]");
        for line in [what, last] {
            // It may name what the peer asked for.
            let text = PeerText(format!("{line}\n"));
            out.message(&Message::Text {
                kind: TextKind::Error,
                text: PeerText(&*text.without_controls()),
            })?;
        }
    }
    // 10, 12, 19 and 30 mean that nobody listens or nobody should.
    if protocol.has_error_exit() && !matches!(code, 10 | 12 | 19 | 30) {
        // An empty code says: seen, go.
        let seen = role.acknowledges && matches!(error, Error::Remote { .. });
        out.message(&Message::ErrorExit((!seen).then_some(code.into())))?;
    }
    out.flush()
}
