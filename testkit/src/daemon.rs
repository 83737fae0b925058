//! A daemon on a free port of the loopback: stock rsync's or ours.

use crate::conf::DaemonConf;
use crate::program::{Exit, Program, Running};
use crate::rsync::Rsync;
use crate::spawned::Stat;
use crate::wait;
use std::collections::HashSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whose daemon to start.
#[derive(Debug, Clone, Copy)]
pub enum Server<'a> {
    /// `rsync --daemon --no-detach --config=FILE`.
    Stock(&'a Rsync),
    /// `syncline daemon --config FILE`; the path of our binary (`env!("CARGO_BIN_EXE_syncline")` in its tests).
    Ours(&'a Path),
}

impl Server<'_> {
    fn program(&self, conf: &Path) -> Program {
        match self {
            Self::Stock(rsync) => Program::new(rsync.path())
                .args(["--daemon", "--no-detach"])
                .arg(format!("--config={}", conf.display())),
            Self::Ours(binary) => Program::new(binary).args(["daemon", "--config"]).arg(conf),
        }
    }
}

/// A running daemon; it and all its sessions are killed on drop.
///
/// It listens on 127.0.0.1 only. Its configuration, log, lock and secrets live in a directory of its own.
#[derive(Debug)]
pub struct Daemon {
    dir: tempfile::TempDir,
    binary: Binary,
    port: u16,
    running: Option<Running>,
}

/// A [`Server`] that owns its path, to be started again.
#[derive(Debug)]
enum Binary {
    Stock(Rsync),
    Ours(PathBuf),
}

impl Daemon {
    /// Starts a daemon and waits until it listens.
    ///
    /// # Panics
    /// When it does not come up, showing what it printed and logged.
    #[track_caller]
    #[must_use]
    pub fn start(server: &Server<'_>, conf: DaemonConf) -> Self {
        let mut daemon = Self {
            dir: crate::temp_dir(),
            binary: match *server {
                Server::Stock(rsync) => Binary::Stock(rsync.clone()),
                Server::Ours(path) => Binary::Ours(path.to_owned()),
            },
            port: 0,
            running: None,
        };
        // Somebody else may take the port between our look and the daemon's bind.
        for _ in 0..5 {
            daemon.port = free_port();
            daemon.configure(&conf);
            if daemon.try_launch().is_ok() {
                return daemon;
            }
        }
        match daemon.try_launch() {
            Ok(()) => daemon,
            Err(exit) => panic!(
                "the daemon does not start: {exit}\n--- log\n{}",
                daemon.log()
            ),
        }
    }

    /// Writes a new configuration. Stock rsync reads the file anew for every connection; ours may need a restart.
    pub fn configure(&self, conf: &DaemonConf) {
        let secrets = |name: &str| self.dir.path().join(format!("{name}.secrets"));
        for module in conf.modules() {
            let path = secrets(module.name());
            let _ = fs::remove_file(&path);
            let file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path);
            let written = file.and_then(|mut file| {
                std::io::Write::write_all(&mut file, module.secrets().as_bytes())
            });
            written.expect("the secrets file is ours to write");
        }
        let own = [
            ("address", Ipv4Addr::LOCALHOST.to_string()),
            ("port", self.port.to_string()),
            ("log file", self.log_path().display().to_string()),
            (
                "lock file",
                self.dir.path().join("rsyncd.lock").display().to_string(),
            ),
        ];
        let text = conf.text(&own, |module| secrets(module.name()));
        fs::write(self.conf_path(), text).expect("the configuration is ours to write");
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The address of a module, `rsync://127.0.0.1:PORT/MODULE/`.
    #[must_use]
    pub fn url(&self, module: &str) -> String {
        format!("rsync://{}/{module}/", self.addr())
    }

    /// The address of a module for a user, `rsync://USER@127.0.0.1:PORT/MODULE/`.
    #[must_use]
    pub fn url_as(&self, user: &str, module: &str) -> String {
        format!("rsync://{user}@{}/{module}/", self.addr())
    }

    /// The directory with its own files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The file that it was started with.
    #[must_use]
    pub fn conf_path(&self) -> PathBuf {
        self.dir.path().join("rsyncd.conf")
    }

    /// What its log file holds up to now.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until `needle` stands in its log file.
    ///
    /// # Panics
    /// After [`wait::PATIENCE`], showing the log.
    #[track_caller]
    pub fn wait_log(&self, needle: &str) {
        let found = wait::within(wait::PATIENCE, || self.log().contains(needle).then_some(()));
        assert!(
            found.is_some(),
            "no {needle:?} in the daemon's log:\n{}",
            self.log()
        );
    }

    /// The running process.
    ///
    /// # Panics
    /// When it was killed.
    #[track_caller]
    #[must_use]
    pub fn running(&self) -> &Running {
        self.running.as_ref().expect("the daemon was killed")
    }

    /// The processor time of the daemon and of its sessions that have ended, to a clock tick (10 ms) each.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        let pid = self.running().pid();
        Stat::read(pid).map_or(Duration::ZERO, |stat| stat.cpu_time())
    }

    /// Whether it has no session left, those of stock rsync being its child processes.
    #[must_use]
    pub fn idle(&self) -> bool {
        crate::spawned::children(self.running().pid()).is_empty()
    }

    /// Kills it with all its sessions (`kill -9`). The port stays its own for [`Daemon::restart`].
    ///
    /// # Panics
    /// When it was killed already.
    #[track_caller]
    pub fn kill(&mut self) {
        let running = self.running.take().expect("the daemon was killed already");
        running.kill();
    }

    /// Starts it again on the same port with the same configuration, killing it first if it still runs.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn restart(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
        let mut last = None;
        // The kernel may need a moment to let go of the port of a killed process.
        let up = wait::within(wait::PATIENCE, || match self.try_launch() {
            Ok(()) => Some(()),
            Err(exit) => {
                last = Some(exit);
                None
            }
        });
        assert!(
            up.is_some(),
            "the daemon does not start again: {last:?}\n--- log\n{}",
            self.log()
        );
    }

    /// Starts the program and waits until it listens; gives its end if it ends instead.
    fn try_launch(&mut self) -> Result<(), Exit> {
        let server = match &self.binary {
            Binary::Stock(rsync) => Server::Stock(rsync),
            Binary::Ours(path) => Server::Ours(path),
        };
        let running = server.program(&self.conf_path()).spawn();
        wait::until("the daemon to listen", || {
            running.ended() || listens(running.pid(), self.port)
        });
        if running.ended() {
            return Err(running.wait());
        }
        self.running = Some(running);
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("rsyncd.log")
    }
}

/// A port of the loopback that nobody listens on at this moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of the loopback");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

/// Whether process `pid` listens on `port`; asked of the kernel, so that no connection is spent on the question.
fn listens(pid: u32, port: u16) -> bool {
    let listening: HashSet<_> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| {
            table
                .lines()
                .filter_map(|line| listener(line, port))
                .collect::<Vec<_>>()
        })
        .collect();
    let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    !listening.is_empty()
        && fds
            .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
            .any(|link| listening.contains(link.to_string_lossy().as_ref()))
}

/// What a descriptor's link says for the socket of this line of /proc/net/tcp, if it listens on `port`.
fn listener(line: &str, port: u16) -> Option<String> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let listens = u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == "0A";
    listens.then_some(format!("socket:[{}]", fields.get(9)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::Module;

    #[test]
    fn a_stock_daemon_serves_and_comes_back_on_its_port() {
        let rsync = crate::require_rsync!();
        let dir = crate::temp_dir();
        let target = dir.path().join("target");
        fs::create_dir(&target).unwrap();
        fs::write(dir.path().join("a"), "text").unwrap();
        let from = dir.path().join("a").display().to_string();
        let conf = DaemonConf::as_users_do("backup", &target)
            .module(Module::new("hidden", &target).unlisted());
        let mut daemon = Daemon::start(&Server::Stock(&rsync), conf);

        let list = rsync
            .client()
            .arg(format!("rsync://{}/", daemon.addr()))
            .run();
        assert!(
            list.out().starts_with("backup") && !list.out().contains("hidden"),
            "{list}"
        );

        let push = |daemon: &Daemon, password: &str| {
            let url = daemon.url_as("alice", "backup");
            rsync
                .client()
                .args(["-a", &from, &url])
                .password(password)
                .run()
        };
        push(&daemon, "wonderland").assert_code(0);
        assert_eq!(fs::read(target.join("a")).unwrap(), b"text");
        push(&daemon, "wrong").assert_code(5);
        daemon.wait_log("password mismatch");
        wait::until("the sessions' end", || daemon.idle());

        let addr = daemon.addr();
        daemon.kill();
        assert_eq!(push(&daemon, "wonderland").code(), Some(10));
        daemon.restart();
        assert_eq!(daemon.addr(), addr);
        push(&daemon, "wonderland").assert_code(0);
    }

    #[test]
    fn a_new_configuration_counts_for_the_next_connection() {
        let rsync = crate::require_rsync!();
        let dir = crate::temp_dir();
        let daemon = Daemon::start(
            &Server::Stock(&rsync),
            DaemonConf::new().module(Module::new("one", dir.path())),
        );
        daemon.configure(
            &DaemonConf::new().module(Module::new("two", dir.path()).set("comment", "second")),
        );
        let list = rsync
            .client()
            .arg(format!("rsync://{}/", daemon.addr()))
            .run();
        assert_eq!(list.out(), "two            \tsecond\n");
    }

    #[test]
    #[should_panic(expected = "the daemon does not start")]
    fn a_daemon_that_cannot_start_says_why() {
        let _ = Daemon::start(&Server::Ours(Path::new("/bin/false")), DaemonConf::new());
    }
}
