//! TCP in between two peers: it counts, and does what networks do.

use crate::wait;
use rustix::net::sockopt::set_socket_linger;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client that connected to us.
    ToServer,
    /// From the server that we relay to.
    ToClient,
}

/// How a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Both sides see an orderly end (FIN).
    Close,
    /// Both sides see a reset (RST), and may lose what they have not read.
    Reset,
}

/// What happens to a connection; nothing by default.
///
/// Offsets count the bytes that came in from the direction's own side.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    cut: Option<(Direction, u64, Ending)>,
    stall: Option<(Direction, u64)>,
    garbage: Option<(Direction, u64, Vec<u8>)>,
    delay: Duration,
    bytes_per_second: Option<u64>,
    protocol: Option<u32>,
    refuse: bool,
}

impl Faults {
    /// None.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Cuts the connection once `after` bytes have gone that way; the bytes before arrive (unless a reset eats them).
    #[must_use]
    pub fn cut(mut self, direction: Direction, after: u64, ending: Ending) -> Self {
        self.cut = Some((direction, after, ending));
        self
    }

    /// Passes nothing more that way once `after` bytes have; the connection stays open and the other way goes on.
    #[must_use]
    pub fn stall(mut self, direction: Direction, after: u64) -> Self {
        self.stall = Some((direction, after));
        self
    }

    /// Inserts `bytes` once `after` bytes have gone that way.
    #[must_use]
    pub fn garbage(mut self, direction: Direction, after: u64, bytes: impl Into<Vec<u8>>) -> Self {
        self.garbage = Some((direction, after, bytes.into()));
        self
    }

    /// Delays every chunk, both ways.
    #[must_use]
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Limits the rate of each way.
    #[must_use]
    pub const fn rate(mut self, bytes_per_second: u64) -> Self {
        self.bytes_per_second = Some(bytes_per_second);
        self
    }

    /// Makes both sides believe that the other one speaks protocol `version`: rewrites the number in both greetings
    /// (01-session, the greeting), so that any two peers can be made to speak an older protocol.
    #[must_use]
    pub const fn force_protocol(mut self, version: u32) -> Self {
        self.protocol = Some(version);
        self
    }

    /// Closes at once what connects, as a port without a server behind a forwarder does.
    #[must_use]
    pub const fn refuse(mut self) -> Self {
        self.refuse = true;
        self
    }
}

/// What went through a relay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections that were accepted.
    pub connections: u64,
    /// Bytes from clients to the server.
    pub to_server: u64,
    /// Bytes from the server to clients.
    pub to_client: u64,
}

impl Traffic {
    /// Bytes both ways together.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.to_server + self.to_client
    }
}

/// A relay on a free port of the loopback; it ends all its connections on drop.
#[derive(Debug)]
pub struct Relay {
    addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    server: Mutex<SocketAddr>,
    faults: Mutex<Faults>,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    over: AtomicBool,
    connections: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
}

impl Relay {
    /// Relays to `server`.
    ///
    /// # Panics
    /// When no port can be had.
    #[must_use]
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of the loopback");
        let addr = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            server: Mutex::new(server),
            faults: Mutex::default(),
            open: Mutex::default(),
            over: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            to_server: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
        });
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        });
        Self {
            addr,
            shared,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of a module behind it, `rsync://127.0.0.1:PORT/MODULE/`.
    #[must_use]
    pub fn url(&self, module: &str) -> String {
        format!("rsync://{}/{module}/", self.addr)
    }

    /// The address of a module behind it for a user.
    #[must_use]
    pub fn url_as(&self, user: &str, module: &str) -> String {
        format!("rsync://{user}@{}/{module}/", self.addr)
    }

    /// Sets what happens to the connections that come from now on.
    pub fn set_faults(&self, faults: Faults) {
        *lock(&self.shared.faults) = faults;
    }

    /// What went through up to now.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic {
            connections: self.shared.connections.load(Ordering::SeqCst),
            to_server: self.shared.to_server.load(Ordering::SeqCst),
            to_client: self.shared.to_client.load(Ordering::SeqCst),
        }
    }

    /// Waits until at least `bytes` have gone both ways together since the start: a moment in the middle of something.
    ///
    /// # Panics
    /// After [`wait::PATIENCE`].
    #[track_caller]
    pub fn wait_bytes(&self, bytes: u64) {
        wait::until("bytes through the relay", || {
            self.traffic().bytes() >= bytes
        });
    }

    /// Cuts all open connections now.
    pub fn cut_all(&self, ending: Ending) {
        for (_, connection) in lock(&self.shared.open).drain() {
            connection.end(ending);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.cut_all(Ending::Close);
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for number in 0.. {
            let Ok((client, _)) = listener.accept() else {
                return;
            };
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            self.connections.fetch_add(1, Ordering::SeqCst);
            let faults = lock(&self.faults).clone();
            if faults.refuse {
                continue;
            }
            let Ok(server) = TcpStream::connect(*lock(&self.server)) else {
                continue;
            };
            for stream in [&client, &server] {
                stream.set_nodelay(true).expect("a TCP option");
                stream
                    .set_write_timeout(Some(POLL))
                    .expect("a time-out above zero");
            }
            let connection = Arc::new(Connection {
                client,
                server,
                ended: AtomicBool::new(false),
            });
            lock(&self.open).insert(number, Arc::clone(&connection));
            for direction in [Direction::ToServer, Direction::ToClient] {
                let way = Way {
                    number,
                    shared: Arc::clone(self),
                    connection: Arc::clone(&connection),
                    direction,
                    faults: faults.clone(),
                };
                std::thread::spawn(move || way.run());
            }
        }
    }
}

/// The two sockets of one connection.
#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    ended: AtomicBool,
}

impl Connection {
    fn end(&self, ending: Ending) {
        if self.ended.swap(true, Ordering::SeqCst) {
            return;
        }
        for stream in [&self.client, &self.server] {
            // An error means that the stream is down already.
            let _ = match ending {
                Ending::Close => stream.shutdown(Shutdown::Both),
                // The last close sends the reset; a shutdown of both ways would send an orderly end before it.
                Ending::Reset => set_socket_linger(stream, Some(Duration::ZERO))
                    .map_err(Into::into)
                    .and_then(|()| stream.shutdown(Shutdown::Read)),
            };
        }
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

/// One direction of one connection.
struct Way {
    number: u64,
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    direction: Direction,
    faults: Faults,
}

impl Way {
    fn run(mut self) {
        let connection = Arc::clone(&self.connection);
        let (from, to) = match self.direction {
            Direction::ToServer => (&connection.client, &connection.server),
            Direction::ToClient => (&connection.server, &connection.client),
        };
        let end = self.pass(from, to);
        if !connection.ended() {
            match end {
                // Half of the connection is over; the other half goes on until its own end.
                End::Orderly => drop(to.shutdown(Shutdown::Write)),
                End::Cut(ending) => connection.end(ending),
            }
        }
        if connection.ended() {
            lock(&self.shared.open).remove(&self.number);
        }
    }

    /// Copies until something ends it; an I/O error of either side ends both.
    fn pass(&mut self, mut from: &TcpStream, to: &TcpStream) -> End {
        let mut offset = 0;
        let mut buffer = vec![0; 65_536];
        let mut greeting = self.faults.protocol.map(|version| (version, Vec::new()));
        loop {
            if let Some((_, _, garbage)) = self
                .faults
                .garbage
                .take_if(|(way, at, _)| *way == self.direction && *at == offset)
                && !self.send(to, &garbage)
            {
                return End::Cut(Ending::Close);
            }
            match self.faults.cut {
                Some((way, at, ending)) if way == self.direction && at == offset => {
                    return End::Cut(ending);
                }
                _ => {}
            }
            if self.faults.stall == Some((self.direction, offset)) {
                while !self.connection.ended() {
                    sleep(POLL);
                }
                return End::Orderly;
            }
            let limit = self.chunk(offset, buffer.len());
            let read = match from.read(&mut buffer[..limit]) {
                Ok(0) => return End::Orderly,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return End::Cut(Ending::Close),
            };
            offset += read as u64;
            self.pace(read);
            let sent = match &mut greeting {
                None => self.send(to, &buffer[..read]),
                Some((version, line)) => {
                    line.extend_from_slice(&buffer[..read]);
                    let Some(end) = line.iter().position(|&byte| byte == b'\n') else {
                        continue;
                    };
                    let mut forged = forge_greeting(&line[..end], *version);
                    forged.extend_from_slice(&line[end..]);
                    greeting = None;
                    self.send(to, &forged)
                }
            };
            if !sent {
                return End::Cut(Ending::Close);
            }
            let counter = match self.direction {
                Direction::ToServer => &self.shared.to_server,
                Direction::ToClient => &self.shared.to_client,
            };
            counter.fetch_add(read as u64, Ordering::SeqCst);
        }
    }

    /// How much to read at once: up to the next fault of this way, and little where the rate is limited.
    fn chunk(&self, offset: u64, most: usize) -> usize {
        let faults = [
            self.faults.garbage.as_ref().map(|&(way, at, _)| (way, at)),
            self.faults.cut.map(|(way, at, _)| (way, at)),
            self.faults.stall,
        ];
        let next = faults
            .into_iter()
            .flatten()
            .filter(|&(way, at)| way == self.direction && at > offset)
            .map(|(_, at)| at - offset);
        let slice = self.faults.bytes_per_second.map(|rate| (rate / 50).max(1));
        let least = next.chain(slice).min().unwrap_or(u64::MAX);
        usize::try_from(least).unwrap_or(usize::MAX).min(most)
    }

    /// Takes the time that the wished-for network would take.
    fn pace(&self, read: usize) {
        if !self.faults.delay.is_zero() {
            sleep(self.faults.delay);
        }
        if let Some(rate) = self.faults.bytes_per_second {
            sleep(Duration::from_nanos(
                read as u64 * 1_000_000_000 / rate.max(1),
            ));
        }
    }

    /// Writes everything; false when that cannot be done any more.
    fn send(&self, mut to: &TcpStream, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match to.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                // The write time-out: a reader that does not read must not keep us from ending.
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
                {
                    if self.connection.ended() {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
        true
    }
}

/// Why a direction ended.
enum End {
    Orderly,
    Cut(Ending),
}

/// The greeting with a protocol number that is at most `version`; anything else stays what it is.
fn forge_greeting(line: &[u8], version: u32) -> Vec<u8> {
    let forged = || {
        let rest = std::str::from_utf8(line).ok()?.strip_prefix("@RSYNCD: ")?;
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, rest) = rest.split_at(digits);
        let number = number.parse::<u32>().ok()?.min(version);
        Some(format!("@RSYNCD: {number}{rest}").into_bytes())
    };
    forged().unwrap_or_else(|| line.to_vec())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often a thread that waits looks whether its connection was ended.
const POLL: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::{DaemonConf, Module};
    use crate::daemon::{Daemon, Server};
    use crate::peer::{Peer, ScriptedServer};
    use crate::random::Random;

    /// A server that sends back all it gets, `connections` times.
    fn echo(connections: usize) -> ScriptedServer {
        ScriptedServer::start(connections, |_, mut peer| {
            let stream = peer.stream();
            let mut reader = stream.try_clone().unwrap();
            // An end by reset is none of this server's business.
            let _ = std::io::copy(&mut reader, stream);
        })
    }

    #[test]
    fn bytes_pass_both_ways_and_are_counted() {
        let server = echo(1);
        let relay = Relay::start(server.addr());
        let data = Random::new(1).bytes(300_000);
        let mut client = Peer::connect(relay.addr());
        let mut writer = client.stream().try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.write_all(&data).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            assert!(client.receive_rest() == data);
        });
        let traffic = relay.traffic();
        assert_eq!(
            (traffic.connections, traffic.to_server, traffic.to_client),
            (1, 300_000, 300_000)
        );
        assert_eq!(traffic.bytes(), 600_000);
        server.finish();
    }

    #[test]
    fn a_cut_comes_at_its_byte() {
        let server = echo(4);
        let relay = Relay::start(server.addr());
        for at in [0, 1, 5] {
            relay.set_faults(Faults::none().cut(Direction::ToClient, at, Ending::Close));
            let mut client = Peer::connect(relay.addr());
            client.send("0123456789");
            assert_eq!(
                client.receive_rest(),
                &b"0123456789"[..usize::try_from(at).unwrap()]
            );
        }
        relay.set_faults(Faults::none().cut(Direction::ToServer, 3, Ending::Reset));
        let mut client = Peer::connect(relay.addr());
        client.send("0123456789");
        let error = client.stream().read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        server.finish();
    }

    #[test]
    fn a_stalled_way_keeps_the_connection_until_it_is_cut() {
        let server = echo(1);
        let relay = Relay::start(server.addr());
        relay.set_faults(Faults::none().stall(Direction::ToClient, 4));
        let mut client = Peer::connect(relay.addr());
        client.send("0123456789");
        client.expect("0123");
        client
            .stream()
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let silence = client.stream().read(&mut [0]).unwrap_err();
        assert_eq!(silence.kind(), ErrorKind::WouldBlock);
        relay.cut_all(Ending::Close);
        client.expect_end();
        server.finish();
    }

    #[test]
    fn garbage_is_inserted_and_connections_are_refused() {
        let server = echo(1);
        let relay = Relay::start(server.addr());
        relay.set_faults(
            Faults::none()
                .garbage(Direction::ToClient, 2, *b"XX")
                .delay(Duration::from_millis(1))
                .rate(100_000),
        );
        let mut client = Peer::connect(relay.addr());
        client.send("abcd");
        client.finish_sending();
        assert_eq!(client.receive_rest(), b"abXXcd");
        relay.set_faults(Faults::none().refuse());
        Peer::connect(relay.addr()).expect_end();
        assert_eq!(relay.traffic().connections, 2);
        server.finish();
    }

    #[test]
    fn greetings_are_forged_downwards_only() {
        for (line, forged) in [
            ("@RSYNCD: 32.0 sha512 md5", "@RSYNCD: 30.0 sha512 md5"),
            ("@RSYNCD: 29", "@RSYNCD: 29"),
            ("@RSYNCD: x", "@RSYNCD: x"),
            ("hello", "hello"),
        ] {
            assert_eq!(forge_greeting(line.as_bytes(), 30), forged.as_bytes());
        }
    }

    #[test]
    fn stock_peers_speak_the_protocol_they_are_made_to() {
        let rsync = crate::require_rsync!();
        let dir = crate::temp_dir();
        std::fs::write(dir.path().join("a"), "text").unwrap();
        let daemon = Daemon::start(
            &Server::Stock(&rsync),
            DaemonConf::new().module(Module::new("m", dir.path())),
        );
        let relay = Relay::start(daemon.addr());
        for protocol in [29, 30, 31] {
            relay.set_faults(Faults::none().force_protocol(protocol));
            let exit = rsync
                .client()
                .args(["-n", "-vv", "-a", "--debug=proto"])
                .arg(relay.url("m"))
                .run();
            exit.assert_code(0);
            let said = format!("negotiated={protocol}");
            assert!(
                exit.out().contains(&said) || exit.err().contains(&said),
                "{protocol}: {exit}"
            );
        }
    }
}
