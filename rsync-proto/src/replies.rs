//! The daemon's lines between its greeting and its OK, both ways (01-session 4.7, 4.8, 13).
//!
//! Clients match on these texts: they are constants of the protocol and live here only.

use crate::error::{DecodeError, EncodeError, Violation};
use crate::limits;
use crate::line::{check_part, read_line};
use crate::text::PeerText;
use crate::wire::Cursor;

/// Go on with the arguments. With its newline.
pub const OK: &[u8] = b"@RSYNCD: OK\n";

/// The list of modules ends. With its newline.
pub const EXIT: &[u8] = b"@RSYNCD: EXIT\n";

/// A line from the daemon, after its greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Answer with the response to this challenge (01-session 5).
    Challenge(Vec<u8>),
    /// Send the arguments. The bytes after this line are no text any more.
    Ok,
    /// The list of modules is over.
    Exit,
    /// The daemon refuses and closes: the whole line.
    Error(PeerText<Vec<u8>>),
    /// Text for the user: message of the day, or a line of the module list. Nobody can tell which.
    Text(PeerText<Vec<u8>>),
}

/// Reads the daemon's lines up to OK, and bounds them: in bytes, and to one challenge, since every answer is a
/// sample to guess the password by.
#[derive(Debug, Clone, Default)]
pub struct Replies {
    bytes: usize,
    challenged: bool,
}

impl Replies {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the next line. The state and the cursor stay as they were unless the result is `Ok`.
    ///
    /// # Errors
    /// Incomplete; [`Violation::LineTooLong`], [`Violation::NulInside`], [`Violation::TextFlood`],
    /// [`Violation::SecondChallenge`].
    pub fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<Reply, DecodeError> {
        let mut probe = cursor.clone();
        let line = read_line(&mut probe, limits::TEXT_LINE)?;
        let bytes = self.bytes + (probe.position() - cursor.position());
        if bytes > limits::TEXT_BEFORE_OK {
            let max = limits::TEXT_BEFORE_OK;
            return Err(Violation::TextFlood { max }.into());
        }
        let reply = Self::parse(line.into_owned());
        if matches!(reply, Reply::Challenge(_)) {
            if self.challenged {
                return Err(Violation::SecondChallenge.into());
            }
            self.challenged = true;
        }
        self.bytes = bytes;
        *cursor = probe;
        Ok(reply)
    }

    fn parse(line: Vec<u8>) -> Reply {
        if let Some(challenge) = line.strip_prefix(CHALLENGE) {
            return Reply::Challenge(challenge.to_vec());
        }
        if OK.strip_suffix(b"\n") == Some(&line) {
            return Reply::Ok;
        }
        if EXIT.strip_suffix(b"\n") == Some(&line) {
            return Reply::Exit;
        }
        if line.starts_with(ERROR_MARK) {
            return Reply::Error(PeerText(line));
        }
        Reply::Text(PeerText(line))
    }
}

/// Appends the request for a password. The challenge is text of [`challenge`](crate::auth::challenge).
pub fn put_challenge(out: &mut Vec<u8>, challenge: &str) {
    out.extend_from_slice(CHALLENGE);
    out.extend_from_slice(challenge.as_bytes());
    out.push(b'\n');
}

/// Appends the message of the day: the file's bytes, then a newline.
pub fn put_motd(out: &mut Vec<u8>, motd: &[u8]) {
    out.extend_from_slice(motd);
    out.push(b'\n');
}

/// Appends a line of the module list.
///
/// # Errors
/// [`EncodeError::ForbiddenByte`] for a line end or NUL in name or comment.
pub fn put_listed_module(
    out: &mut Vec<u8>,
    name: &[u8],
    comment: &[u8],
) -> Result<(), EncodeError> {
    check_part("module name", name)?;
    check_part("module comment", comment)?;
    out.extend_from_slice(name);
    out.resize(out.len() + NAME_COLUMNS.saturating_sub(name.len()), b' ');
    out.push(b'\t');
    out.extend_from_slice(comment);
    out.push(b'\n');
    Ok(())
}

/// Name and comment of a line of the module list. `None` for a line that cannot be one; that a line of the
/// message of the day looks like one cannot be excluded.
#[must_use]
pub fn parse_listed_module(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|&byte| byte == b'\t')?;
    let (name, comment) = line.split_at_checked(at)?;
    let name = if name.len() <= NAME_COLUMNS {
        name.trim_ascii_end()
    } else {
        name
    };
    (at >= NAME_COLUMNS && !name.is_empty()).then_some((name, comment.get(1..)?))
}

/// A refusal of the daemon, in rsync's words. The connection closes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// The client's first line was no greeting.
    StartUp,
    /// The greeting, quoted, has no sub-version.
    NoSubversion(&'a [u8]),
    /// The greeting, quoted, has no digests.
    NoDigests(&'a [u8]),
    /// Length of early input out of range.
    EarlyInputLength,
    /// The request, quoted, is no command.
    UnknownCommand(&'a [u8]),
    /// No such module; also said of a module that is hidden from this client.
    UnknownModule(&'a [u8]),
    /// The peer may not use the module.
    AccessDenied {
        /// The module.
        module: &'a [u8],
        /// Name of the peer's host, or `UNDETERMINED`.
        host: &'a [u8],
        /// Its address.
        address: &'a [u8],
    },
    /// The lock file of `max connections` cannot be opened.
    LockFile,
    /// So many sessions run already. The one refusal worth a retry.
    MaxConnections(i64),
    /// The client knows none of the digests listed.
    NoCommonDigest(&'a [u8]),
    /// Any failure to authenticate for the module.
    AuthFailed(&'a [u8]),
    /// The module's uid is unknown.
    InvalidUid(&'a [u8]),
    /// The module's gid is unknown.
    InvalidGid(&'a [u8]),
    /// The module's list of gids is unusable.
    InvalidGidSetting,
    /// The module has no path.
    NoPath,
    /// A step of entering the module failed: `chdir`, `chroot`, `setuid`, `early exec` ...
    Failed(&'static str),
    /// Munging of links is on and a directory of that name exists.
    SecurityIssue,
}

impl Refusal<'_> {
    /// Appends the line.
    pub fn put(&self, out: &mut Vec<u8>) {
        let mut put = |parts: &[&[u8]]| {
            out.extend_from_slice(b"@ERROR: ");
            for part in parts {
                out.extend_from_slice(part);
            }
            out.push(b'\n');
        };
        match *self {
            Self::StartUp => put(&[b"protocol startup error"]),
            Self::NoSubversion(line) => {
                put(&[b"your client omitted the subprotocol value: ", line])
            }
            Self::NoDigests(line) => put(&[b"your client omitted the digest name list: ", line]),
            Self::EarlyInputLength => put(&[b"invalid early_input length"]),
            Self::UnknownCommand(line) => put(&[b"Unknown command '", line, b"'"]),
            Self::UnknownModule(module) => put(&[b"Unknown module '", module, b"'"]),
            Self::AccessDenied {
                module,
                host,
                address,
            } => put(&[
                b"access denied to ",
                module,
                b" from ",
                host,
                b" (",
                address,
                b")",
            ]),
            Self::LockFile => put(&[b"failed to open lock file"]),
            Self::MaxConnections(limit) => {
                let limit = limit.to_string();
                put(&[
                    b"max connections (",
                    limit.as_bytes(),
                    b") reached -- try again later",
                ]);
            }
            Self::NoCommonDigest(list) => put(&[
                b"your client does not support one of our daemon-auth checksums: ",
                list,
            ]),
            Self::AuthFailed(module) => put(&[b"auth failed on module ", module]),
            Self::InvalidUid(name) => put(&[b"invalid uid ", name]),
            Self::InvalidGid(name) => put(&[b"invalid gid ", name]),
            Self::InvalidGidSetting => put(&[b"invalid gid setting."]),
            Self::NoPath => put(&[b"no path setting."]),
            Self::Failed(step) => put(&[step.as_bytes(), b" failed"]),
            Self::SecurityIssue => put(&[b"daemon security issue -- contact admin"]),
        }
    }
}

const CHALLENGE: &[u8] = b"@RSYNCD: AUTHREQD ";
/// Six bytes, no colon needed.
const ERROR_MARK: &[u8] = b"@ERROR";
const NAME_COLUMNS: usize = 15;

#[cfg(test)]
mod tests;
