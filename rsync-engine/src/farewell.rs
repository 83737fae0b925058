//! The last words of a side that fails (01-session 12.2).

use rsync_proto::mux::Tag;
use rsync_proto::Protocol;

use crate::error::Error;
use crate::wire_out::WireOut;

/// Tells the peer why we end: a text if it is the client, and the exit code where the protocol has it. What
/// cannot be written any more is lost, as the connection is anyway.
pub(crate) fn send(out: &mut WireOut, protocol: Protocol, role: Role, error: &Error) {
    let code = error.exit_code();
    let words = || -> Result<(), Error> {
        let told = matches!(error, Error::Remote { .. } | Error::Internal { role: "receiver" });
        if role.server && !told {
            out.message(Tag::ERROR, format!("{error}\n").as_bytes())?;
        }
        // 10, 12, 19 and 30 mean that nobody listens or nobody should.
        if protocol.has_error_exit() && !matches!(code, 10 | 12 | 19 | 30) {
            match error {
                // An empty code says: seen, go.
                Error::Remote { .. } if role.sender => out.message(Tag::ERROR_EXIT, &[])?,
                Error::Internal { role: "receiver" } => {}
                _ => out.message(Tag::ERROR_EXIT, &i32::from(code).to_le_bytes())?,
            }
        }
        out.flush()
    };
    // The connection is given up either way.
    let _ = { words }();
}

/// Who says farewell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Role {
    /// We are the server, so the client shows our texts.
    pub(crate) server: bool,
    /// We are the sender.
    pub(crate) sender: bool,
}
