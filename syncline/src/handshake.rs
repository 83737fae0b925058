//! The text lines before a session: greeting, module, password (01-session 4, 5).

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rsync_proto::auth::{self, AuthDigest};
use rsync_proto::greeting::{Greeting, put_greeting};
use rsync_proto::line::read_line;
use rsync_proto::replies::{Replies, Reply};
use rsync_proto::wire::Cursor;
use rsync_proto::{DecodeError, PeerText, Protocol, Violation, limits, request};

use crate::error::Error;

/// What a daemon may be told when it asks who we are.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: Arc<dyn Fn() -> Result<Vec<u8>, String> + Send + Sync>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// `password` is only called when the daemon asks; its error says what the user can do.
    pub fn new(
        user: impl Into<String>,
        password: impl Fn() -> Result<Vec<u8>, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            user: user.into(),
            password: Arc::new(password),
        }
    }

    /// A user with a known password.
    #[must_use]
    pub fn known(user: impl Into<String>, password: impl Into<Vec<u8>>) -> Self {
        let password = password.into();
        Self::new(user, move || Ok(password.clone()))
    }

    /// Nobody: a daemon that asks is an error.
    #[must_use]
    pub fn none() -> Self {
        Self::new("nobody", || Err("no password is configured".to_owned()))
    }
}

/// A connection whose module was granted: arguments come next.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) stream: TcpStream,
    /// Bytes that came behind the daemon's OK.
    pub(crate) unread: Vec<u8>,
    pub(crate) protocol: Protocol,
}

/// Digests that we compute, in the one order that works with every daemon (01-session 5.2).
const DIGESTS: [AuthDigest; 5] = [
    AuthDigest::Sha512,
    AuthDigest::Sha256,
    AuthDigest::Sha1,
    AuthDigest::Md5,
    AuthDigest::Md4,
];

/// Asks for a module. `line` gets what the daemon says beside the protocol (its message of the day).
pub(crate) fn ask_module(
    stream: TcpStream,
    ours: Protocol,
    module: &[u8],
    credentials: &Credentials,
    line: &mut dyn FnMut(PeerText<&[u8]>),
) -> Result<Granted, Error> {
    let mut talk = Talk {
        stream,
        unread: Vec::new(),
    };
    let mut out = Vec::new();
    put_greeting(&mut out, ours, &DIGESTS);
    request::put_module(&mut out, module)?;
    let (greeting, protocol) = talk.greet(ours, &out)?;
    let mut replies = Replies::new();
    loop {
        match talk.read("the daemon's start-up line", |cursor| replies.read(cursor))? {
            Reply::Ok => {
                return Ok(Granted {
                    stream: talk.stream,
                    unread: talk.unread,
                    protocol,
                });
            }
            Reply::Challenge(challenge) => {
                let digest = AuthDigest::for_client(&DIGESTS, &greeting, protocol)
                    .map_err(|error| Error::Greeting(error.into()))?;
                let password = (credentials.password)().map_err(Error::Password)?;
                let mut answer = Vec::new();
                let response = digest.response(&password, &challenge);
                auth::put_response(&mut answer, credentials.user.as_bytes(), &response)?;
                talk.write(&answer)?;
            }
            Reply::Exit => {
                return Err(Error::Closed {
                    during: "the request for the module",
                });
            }
            Reply::Error(text) => return Err(Error::Refused(text)),
            Reply::Text(text) => line(PeerText(text.as_bytes())),
        }
    }
}

/// Asks for the list of modules; every line, message of the day included, goes to `line`.
pub(crate) fn ask_list(
    stream: TcpStream,
    ours: Protocol,
    line: &mut dyn FnMut(PeerText<&[u8]>),
) -> Result<(), Error> {
    let mut talk = Talk {
        stream,
        unread: Vec::new(),
    };
    let mut out = Vec::new();
    put_greeting(&mut out, ours, &DIGESTS);
    request::put_list_request(&mut out);
    talk.greet(ours, &out)?;
    let mut replies = Replies::new();
    loop {
        match talk.read("the list of modules", |cursor| replies.read(cursor))? {
            Reply::Exit => return Ok(()),
            Reply::Error(text) => return Err(Error::Refused(text)),
            Reply::Text(text) => line(PeerText(text.as_bytes())),
            Reply::Ok | Reply::Challenge(_) => {
                return Err(Error::Closed {
                    during: "the list of modules",
                });
            }
        }
    }
}

/// A connection in its text phase.
struct Talk {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Talk {
    fn greet(&mut self, ours: Protocol, out: &[u8]) -> Result<(Greeting, Protocol), Error> {
        // Daemons read line by line, so the request can follow the greeting at once (01-session 4.10).
        self.write(out)?;
        let greeting = self.read("the daemon's greeting", |cursor| {
            let mut probe = cursor.clone();
            let line = read_line(&mut probe, limits::GREETING_LINE)?;
            let greeting = match Greeting::parse(&line) {
                Err(Violation::NoGreeting) => Err(Error::NoDaemon(PeerText(line.to_vec()))),
                greeting => Ok(greeting?),
            };
            *cursor = probe;
            Ok(greeting)
        })??;
        let protocol = greeting.agree(ours)?;
        Ok((greeting, protocol))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stream.write_all(bytes).map_err(Error::Handshake)
    }

    fn read<T>(
        &mut self,
        during: &'static str,
        mut decode: impl FnMut(&mut Cursor<'_>) -> Result<T, DecodeError>,
    ) -> Result<T, Error> {
        loop {
            let mut cursor = Cursor::new(&self.unread);
            match decode(&mut cursor) {
                Ok(value) => {
                    let used = cursor.position();
                    self.unread.drain(..used);
                    return Ok(value);
                }
                Err(DecodeError::Incomplete) => {}
                Err(error) => return Err(error.into()),
            }
            let mut buf = [0; 4096];
            #[cfg(target_os = "linux")]
            rustix::net::sockopt::set_tcp_quickack(&self.stream, true)
                .map_err(|errno| Error::Handshake(errno.into()))?;
            match self.stream.read(&mut buf) {
                Ok(0) => return Err(Error::Closed { during }),
                Ok(n) => self.unread.extend_from_slice(&buf[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(Error::Handshake(io::ErrorKind::TimedOut.into()));
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(Error::Closed { during });
                }
                Err(error) => return Err(Error::Handshake(error)),
            }
        }
    }
}
