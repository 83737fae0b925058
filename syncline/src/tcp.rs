//! The TCP connection of a session: without the waits that Nagle and delayed ACK bring, with the I/O timeout and
//! the bandwidth limit.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rsync_engine::IoClock;

use crate::error::Error;
use crate::pace::Pace;
use crate::target::DaemonTarget;

/// Connects to a daemon, trying all its addresses in the resolver's order.
pub(crate) fn connect(
    target: &DaemonTarget,
    timeout: Option<Duration>,
) -> Result<TcpStream, Error> {
    let mut tried = None;
    let failed = |address, source| Error::Connect {
        host: target.host.clone(),
        address,
        port: target.port,
        source,
    };
    let addresses = (target.host.as_str(), target.port)
        .to_socket_addrs()
        .map_err(|error| failed(None, error))?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    for address in addresses {
        tried = Some(address.ip());
        let connected = match timeout {
            Some(timeout) => TcpStream::connect_timeout(&address, timeout),
            None => TcpStream::connect(address),
        };
        match connected {
            Ok(stream) => {
                // The daemon's small writes wait for our ACK and ours for its: 40 ms each without these.
                stream
                    .set_nodelay(true)
                    .map_err(|error| failed(tried, error))?;
                socket2::SockRef::from(&stream)
                    .set_keepalive(true)
                    .map_err(|error| failed(tried, error))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    if last.kind() == io::ErrorKind::TimedOut && timeout.is_some() {
        return Err(Error::ConnectTimeout {
            host: target.host.clone(),
            port: target.port,
        });
    }
    Err(failed(tried, last))
}

/// The reading half.
#[derive(Debug)]
pub struct TcpReader {
    stream: TcpStream,
    clock: Arc<IoClock>,
    set: Option<Duration>,
}

impl TcpReader {
    /// Reads `stream` with the timeout of `clock`.
    ///
    /// # Errors
    /// When the socket refuses a timeout.
    pub fn new(stream: TcpStream, clock: Arc<IoClock>) -> io::Result<Self> {
        stream.set_read_timeout(None)?;
        Ok(Self {
            stream,
            clock,
            set: None,
        })
    }
}

impl Read for TcpReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let timeout = self.clock.timeout();
            if timeout != self.set {
                self.stream.set_read_timeout(timeout)?;
                self.set = timeout;
            }
            // Not sticky: the kernel falls back to delayed ACKs by itself.
            #[cfg(target_os = "linux")]
            rustix::net::sockopt::set_tcp_quickack(&self.stream, true)?;
            match self.stream.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What went out in the meantime counts as life too.
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && !self.clock.expired() => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                done => return done,
            }
        }
    }
}

/// The writing half.
#[derive(Debug)]
pub struct TcpWriter {
    stream: TcpStream,
    clock: Arc<IoClock>,
    set: Option<Duration>,
    pace: Option<Pace>,
}

impl TcpWriter {
    /// Writes `stream` with the timeout of `clock`, and at most `limit` bytes a second.
    ///
    /// # Errors
    /// When the socket refuses a timeout.
    pub fn new(stream: TcpStream, clock: Arc<IoClock>, limit: Option<u64>) -> io::Result<Self> {
        stream.set_write_timeout(None)?;
        Ok(Self {
            stream,
            clock,
            set: None,
            pace: limit.filter(|&limit| limit > 0).map(Pace::new),
        })
    }
}

impl Write for TcpWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let piece = match &self.pace {
            Some(pace) => &buf[..buf.len().min(pace.piece())],
            None => buf,
        };
        let written = loop {
            let timeout = self.clock.timeout();
            if timeout != self.set {
                self.stream.set_write_timeout(timeout)?;
                self.set = timeout;
            }
            match self.stream.write(piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A peer that sends is alive, even if it does not read yet.
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && !self.clock.expired() => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                done => break done?,
            }
        };
        if let Some(pace) = &mut self.pace {
            pace.wrote(written);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// What ends a connection from another thread.
pub(crate) fn closer(stream: &TcpStream) -> io::Result<impl FnOnce() + Send + 'static> {
    let stream = stream.try_clone()?;
    Ok(move || {
        // Closed already: the aim.
        let _ = stream.shutdown(Shutdown::Both);
    })
}
