//! The TCP connection of a session: without the waits that Nagle and delayed ACK bring, with the I/O timeout and
//! the bandwidth limit.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rsync_engine::IoClock;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::SendFlags;

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

    fn wait_at_most(&mut self, wait: Option<Duration>) -> io::Result<()> {
        let wait = wait.map(|wait| wait.max(LEAST_WAIT));
        if wait != self.set {
            self.stream.set_read_timeout(wait)?;
            self.set = wait;
        }
        Ok(())
    }
}

impl Read for TcpReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.wait_at_most(self.clock.patience())?;
        loop {
            // Not sticky: the kernel falls back to delayed ACKs by itself.
            #[cfg(target_os = "linux")]
            rustix::net::sockopt::set_tcp_quickack(&self.stream, true)?;
            match self.stream.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // What went out in the meantime counts as life too; the count began anew with it.
                    let left = self.clock.left();
                    if left.is_some_and(|left| left < LEAST_WAIT) {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    self.wait_at_most(left)?;
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
    pace: Option<Pace>,
    /// The kernel holds little that was not sent yet.
    shallow: bool,
    /// How often a write waited for the peer.
    #[cfg(test)]
    waits: u32,
}

impl TcpWriter {
    /// Writes `stream` with the timeout of `clock`, and at most `limit` bytes a second.
    ///
    /// # Errors
    /// When the socket refuses to wait without a timeout of its own.
    pub fn new(stream: TcpStream, clock: Arc<IoClock>, limit: Option<u64>) -> io::Result<Self> {
        stream.set_write_timeout(None)?;
        Ok(Self {
            stream,
            clock,
            pace: limit.filter(|&limit| limit > 0).map(Pace::new),
            shallow: false,
            #[cfg(test)]
            waits: 0,
        })
    }

    /// Writes what the kernel takes, after waiting for the time that `clock` allows until it takes something.
    ///
    /// A timeout of the socket would not do: the kernel would use it up to have the whole of `piece`, and then say that
    /// some of it was written.
    fn write_in_time(&mut self, piece: &[u8]) -> io::Result<usize> {
        let mut wait = self.clock.patience();
        loop {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(&self.stream, piece, flags) {
                Ok(written) => return Ok(written),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
            if wait.is_some_and(|wait| wait < LEAST_WAIT) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.wait(wait)?;
            // Other traffic may have begun the count anew.
            wait = self.clock.left();
        }
    }

    /// Waits until the kernel takes more.
    fn wait(&mut self, wait: Option<Duration>) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if !self.shallow {
            // A slow peer must be seen to take something within the timeout. Without this the kernel takes more only
            // when a third of its buffer is free, which may be megabytes.
            socket2::SockRef::from(&self.stream).set_tcp_notsent_lowat(UNSENT)?;
            self.shallow = true;
        }
        #[cfg(test)]
        {
            self.waits += 1;
        }
        let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
        let mut poll = [PollFd::new(&self.stream, PollFlags::OUT)];
        match rustix::event::poll(&mut poll, wait.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Write for TcpWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let piece = match &self.pace {
            Some(pace) => &buf[..buf.len().min(pace.piece())],
            None => buf,
        };
        let written = match self.clock.timeout() {
            None => self.stream.write(piece)?,
            Some(_) => self.write_in_time(piece)?,
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

/// Less is no wait: the clock counts milliseconds.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// Bytes that the kernel holds unsent at most while a timeout is in force: enough for a fast line until we wake, and
/// little enough for a slow one to send half of it within any timeout.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 << 10;

/// What ends a connection from another thread.
pub(crate) fn closer(stream: &TcpStream) -> io::Result<impl FnOnce() + Send + 'static> {
    let stream = stream.try_clone()?;
    Ok(move || {
        // Closed already: the aim.
        let _ = stream.shutdown(Shutdown::Both);
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    /// Both ends of a connection.
    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (ours, listener.accept().unwrap().0)
    }

    fn clock() -> Arc<IoClock> {
        Arc::new(IoClock::new(Some(Duration::from_secs(1))))
    }

    #[test]
    fn a_write_waits_for_the_timeout_once() {
        let (ours, _silent) = connection();
        let clock = clock();
        let mut writer = TcpWriter::new(ours, Arc::clone(&clock), None).unwrap();
        let error = loop {
            writer.waits = 0;
            match writer.write(&[0; 64 << 10]) {
                Ok(0) => panic!("the kernel takes something or waits"),
                Ok(_) => clock.touch(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(writer.waits, 1);
    }

    #[test]
    fn a_peer_that_reads_slowly_is_waited_for() {
        let (ours, mut peer) = connection();
        let clock = clock();
        let mut writer = TcpWriter::new(ours, Arc::clone(&clock), None).unwrap();
        let reader = std::thread::spawn(move || {
            let (mut total, mut buf) = (0, [0; 32 << 10]);
            loop {
                match peer.read(&mut buf).unwrap() {
                    0 => return total,
                    n => total += n,
                }
            }
        });
        const TOTAL: usize = 32 << 20;
        let mut left = TOTAL;
        while left > 0 {
            left -= writer.write(&vec![7; left.min(1 << 20)]).unwrap();
            clock.touch();
        }
        drop(writer);
        assert_eq!(reader.join().unwrap(), TOTAL);
    }

    #[test]
    fn a_read_ends_with_the_timeout() {
        let (ours, _silent) = connection();
        let mut reader = TcpReader::new(ours, clock()).unwrap();
        let error = reader.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
