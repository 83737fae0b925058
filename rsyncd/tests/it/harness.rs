//! A daemon in this process, and clients for it.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rsyncd::limits::Limits;
use rsyncd::session::{SessionEnd, SessionRequest, SessionRunner};
use rsyncd::{Server, ServerOptions};
use tempfile::TempDir;
use testkit::{Exit, Rsync};
use tokio::sync::oneshot;

/// A running daemon. Dropping it stops it.
pub(crate) struct Daemon {
    pub(crate) dir: Arc<TempDir>,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Runs a closure as a session.
pub(crate) struct Run<F>(pub(crate) F);

impl<F: Fn(SessionRequest) -> SessionEnd + Send + Sync> SessionRunner for Run<F> {
    fn run(&self, request: SessionRequest) -> SessionEnd {
        (self.0)(request)
    }
}

/// Remembers what sessions were asked for, and ends them at once.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<SessionRequest>>);

impl Recorder {
    pub(crate) fn take(&self) -> Vec<SessionRequest> {
        std::mem::take(&mut self.0.lock().expect("lock"))
    }
}

impl SessionRunner for Recorder {
    fn run(&self, request: SessionRequest) -> SessionEnd {
        let mut seen = self.0.lock().expect("lock");
        seen.push(request);
        // The client must not wait for the recorded socket; when it ends, the record is there.
        let _ = seen
            .last()
            .expect("one")
            .stream
            .shutdown(std::net::Shutdown::Both);
        SessionEnd {
            exit_code: 12,
            role: "receiver",
            reason: "recorded".into(),
            ..SessionEnd::default()
        }
    }
}

/// A directory for a daemon, with a module directory `mod`.
pub(crate) fn directory() -> Arc<TempDir> {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = testkit::temp_dir();
    std::fs::create_dir(dir.path().join("mod")).expect("mkdir");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
    Arc::new(dir)
}

impl Daemon {
    /// Starts a daemon. `DIR` in the configuration is its directory; the log is `DIR/log`.
    pub(crate) fn start(
        dir: Arc<TempDir>,
        config: &str,
        runner: Arc<dyn SessionRunner>,
        limits: Limits,
    ) -> Self {
        let path = write_config(&dir, config);
        let options = ServerOptions {
            limits,
            address: Some("127.0.0.1".into()),
            port: Some(0),
            ..ServerOptions::default()
        };
        let server = Server::new(&path, runner, options).expect("server");
        let listeners = server.bind().expect("bind");
        let address = listeners[0].local_addr().expect("address");
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("runtime");
            let shutdown = async {
                let _ = stopped.await;
            };
            runtime
                .block_on(server.serve(listeners, shutdown))
                .expect("served");
        });
        Self {
            dir,
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Asks the daemon to stop, and waits for it.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
    }

    /// Stops the daemon and gives the lines of its log by connection, without time and number.
    pub(crate) fn log(&mut self) -> BTreeMap<u32, Vec<String>> {
        self.stop();
        let log = std::fs::read(self.dir.path().join("log")).unwrap_or_default();
        let mut lines = BTreeMap::<u32, Vec<String>>::new();
        for line in String::from_utf8_lossy(&log).lines() {
            let (_, rest) = line.split_once('[').expect("number");
            let (number, text) = rest.split_once("] ").expect("text");
            lines
                .entry(number.parse().expect("number"))
                .or_default()
                .push(text.into());
        }
        lines
    }

    /// All lines of the log in order, without time and number.
    pub(crate) fn all_log(&mut self) -> Vec<String> {
        self.log().into_values().flatten().collect()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream
    }

    /// Sends bytes at once and reads what comes back, up to the end or to `@RSYNCD: OK`.
    pub(crate) fn talk(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // The daemon may have closed before everything is sent.
        let _ = stream.write_all(bytes);
        read_reply(&mut stream)
    }

    /// Runs the stock client. `URL` in an argument is the daemon's.
    pub(crate) fn rsync(&self, rsync: &Rsync, arguments: &[&str]) -> Exit {
        self.rsync_as(rsync, "", arguments)
    }

    /// The same with a password.
    pub(crate) fn rsync_as(&self, rsync: &Rsync, password: &str, arguments: &[&str]) -> Exit {
        let url = format!("rsync://{}", self.address);
        rsync
            .client()
            .args(arguments.iter().map(|a| a.replace("URL", &url)))
            .password(password)
            .run()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the daemon panicked");
        }
    }
}

/// A test that needs longer than this waits for something that does not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn write_config(dir: &TempDir, config: &str) -> PathBuf {
    let root = dir.path().to_str().expect("text");
    let header = format!(
        "log file = {root}/log\nlock file = {root}/lock\nreverse lookup = no\nuse chroot = no\n"
    );
    let path = dir.path().join("rsyncd.conf");
    // Replaced whole: a running daemon must not see half of it.
    let new = dir.path().join("rsyncd.conf.new");
    std::fs::write(&new, header + &config.replace("DIR", root)).expect("write");
    std::fs::rename(&new, &path).expect("rename");
    path
}

/// What a daemon says up to its end, or to its OK.
pub(crate) fn read_reply(stream: &mut TcpStream) -> String {
    let mut reply = Vec::new();
    while let Some(byte) = read_byte(stream) {
        reply.push(byte);
        if reply.ends_with(b"@RSYNCD: OK\n") {
            break;
        }
    }
    String::from_utf8_lossy(&reply).into_owned()
}

/// The next byte; `None` at the end. A socket with a timeout may be interrupted at any time.
pub(crate) fn read_byte(stream: &mut TcpStream) -> Option<u8> {
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(0) => return None,
            Ok(_) => return Some(byte[0]),
            // The daemon does not read what nobody should send.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Identities change for root only.
pub(crate) fn is_root() -> bool {
    let root = testkit::is_root();
    if !root {
        testkit::skipped("needs root");
    }
    root
}

/// What both streams of a command say, for messages.
pub(crate) fn said(exit: &Exit) -> String {
    exit.out() + &exit.err()
}
