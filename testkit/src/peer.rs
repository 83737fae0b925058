//! A hand-written peer: it expects bytes and sends bytes, over anything, or as a server on the loopback.

use std::fmt::Debug;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

/// One end of a conversation that is played by the test.
///
/// Every expectation panics with what came instead. The stream should have a read time-out, so that a test of a silent
/// program fails rather than hangs; streams of a [`ScriptedServer`] and of [`Peer::connect`] have one.
#[derive(Debug)]
pub struct Peer<S> {
    stream: S,
    received: u64,
}

impl Peer<TcpStream> {
    /// Connects to a server, to play its client.
    ///
    /// # Panics
    /// When nobody listens there.
    #[track_caller]
    #[must_use]
    pub fn connect(addr: SocketAddr) -> Self {
        Self::over_tcp(TcpStream::connect(addr).expect("a server to connect to"))
    }

    fn over_tcp(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(crate::wait::PATIENCE))
            .expect("a time-out above zero");
        stream.set_nodelay(true).expect("a TCP option");
        Self::new(stream)
    }

    /// Sends nothing more, and says so to the other side; reading goes on.
    pub fn finish_sending(&self) {
        // The other side may be gone already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl<S: Read + Write> Peer<S> {
    /// A peer over any stream.
    pub const fn new(stream: S) -> Self {
        Self {
            stream,
            received: 0,
        }
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// When the other side does not take them.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self
            .stream
            .write_all(bytes.as_ref())
            .and_then(|()| self.stream.flush());
        if let Err(error) = sent {
            panic!(
                "cannot send after {} bytes received: {error}",
                self.received
            );
        }
    }

    /// Reads exactly `len` bytes.
    ///
    /// # Panics
    /// When the stream ends or fails before.
    #[track_caller]
    pub fn receive(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut limited = Read::take(&mut self.stream, len as u64);
        let result = limited.read_to_end(&mut bytes);
        let at = self.received;
        self.received += bytes.len() as u64;
        assert!(
            bytes.len() == len,
            "{} of {len} bytes at {at}, then {}: {}",
            bytes.len(),
            result.map_or_else(|error| error.to_string(), |_| "the end".to_owned()),
            bytes.escape_ascii()
        );
        bytes
    }

    /// Reads as many bytes as `expected` has and compares.
    ///
    /// # Panics
    /// When others come, or fewer.
    #[track_caller]
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let at = self.received;
        let got = self.receive(expected.len());
        assert!(
            got == expected,
            "at byte {at} expected\n  {}\ngot\n  {}",
            expected.escape_ascii(),
            got.escape_ascii()
        );
    }

    /// Reads up to and with `end`, and gives what stood before.
    ///
    /// # Panics
    /// When the stream ends before, or after 64 KiB without.
    #[track_caller]
    pub fn receive_until(&mut self, end: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < 65_536 {
            match self.receive(1)[0] {
                byte if byte == end => return bytes,
                byte => bytes.push(byte),
            }
        }
        panic!("no byte {end:#04x} in 64 KiB");
    }

    /// Reads a line and gives it without its newline.
    ///
    /// # Panics
    /// When the stream ends before, or after 64 KiB without, or the line is not UTF-8.
    #[track_caller]
    pub fn receive_line(&mut self) -> String {
        String::from_utf8(self.receive_until(b'\n')).expect("a line of text")
    }

    /// Reads to the end of the stream; a reset counts as an end.
    ///
    /// # Panics
    /// When it neither ends nor is reset (a time-out, for example).
    #[track_caller]
    pub fn receive_rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let result = self.stream.read_to_end(&mut bytes);
        self.received += bytes.len() as u64;
        match result {
            Err(error)
                if !matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                ) =>
            {
                panic!(
                    "no end of the stream after {} bytes: {error}",
                    self.received
                )
            }
            _ => bytes,
        }
    }

    /// Insists on the end of the stream, with nothing before it.
    ///
    /// # Panics
    /// When bytes come.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let rest = self.receive_rest();
        assert!(
            rest.is_empty(),
            "expected the end, got {}",
            rest.escape_ascii()
        );
    }

    /// The stream itself.
    pub const fn stream(&mut self) -> &mut S {
        &mut self.stream
    }
}

/// A server on the loopback that plays a script for the first connections, one after the other.
#[derive(Debug)]
pub struct ScriptedServer {
    addr: SocketAddr,
    thread: JoinHandle<()>,
}

impl ScriptedServer {
    /// Listens, and plays `script` with each of `connections` connections (their number from 0 is passed); what is
    /// left open is closed when the script returns.
    ///
    /// # Panics
    /// When no port can be had.
    #[must_use]
    pub fn start(
        connections: usize,
        script: impl FnMut(usize, Peer<TcpStream>) + Send + 'static,
    ) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), connections, script)
    }

    /// The same at an address of this machine.
    ///
    /// # Panics
    /// When no port can be had there.
    #[must_use]
    pub fn start_at(
        address: IpAddr,
        connections: usize,
        mut script: impl FnMut(usize, Peer<TcpStream>) + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a port of the loopback");
        let addr = listener
            .local_addr()
            .expect("a bound socket has an address");
        let thread = std::thread::spawn(move || {
            for number in 0..connections {
                let (stream, _) = listener.accept().expect("a connection");
                script(number, Peer::over_tcp(stream));
            }
        });
        Self { addr, thread }
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of a module on it.
    #[must_use]
    pub fn url(&self, module: &str) -> String {
        format!("rsync://{}/{module}/", self.addr)
    }

    /// Waits until the script was played for all connections.
    ///
    /// # Panics
    /// With the script's own panic, or when it does not end.
    #[track_caller]
    pub fn finish(self) {
        crate::wait::until("the script's end", || self.thread.is_finished());
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_played_with_each_connection() {
        let server = ScriptedServer::start(2, |number, mut peer| {
            peer.send(format!("hello {number}\n"));
            peer.expect(b"\x00\xff");
            assert_eq!(peer.receive_until(b';'), b"abc");
            peer.send("bye");
        });
        for number in 0..2 {
            let mut client = Peer::connect(server.addr());
            assert_eq!(client.receive_line(), format!("hello {number}"));
            client.send([0, 255]);
            client.send("abc;");
            client.expect("bye");
            client.expect_end();
        }
        server.finish();
    }

    #[test]
    #[should_panic(expected = "at byte 1 expected")]
    fn a_broken_expectation_reaches_the_test() {
        let server = ScriptedServer::start(1, |_, mut peer| {
            peer.expect("a");
            peer.expect("bc");
        });
        let mut client = Peer::connect(server.addr());
        client.send("abx");
        client.finish_sending();
        client.receive_rest();
        server.finish();
    }
}
