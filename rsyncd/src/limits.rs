//! Caps of the daemon and their defaults, with why (05-security 18).

use std::time::Duration;

use rsync_engine::fs::machine_memory;

/// Nesting of `&include` and `&merge` (04-daemon 4.8).
pub(crate) const INCLUDE_DEPTH: usize = 16;

/// Growth of a configuration value by its variables (04-daemon 5).
pub(crate) const EXPANSION: usize = 2048;

/// Size of a configuration file, of a secrets file (05-security O-8) and of the message of the day.
pub(crate) const CONFIG_FILE: usize = 1 << 20;

/// Bytes of a line of a secrets file that count; the rest is the next line (04-daemon 9.2).
pub(crate) const SECRETS_LINE: usize = 1023;

/// A line of the log (04-daemon 18.1).
pub(crate) const LOG_LINE: usize = 2047;

/// The request in a log line (04-daemon 11.1).
pub(crate) const LOGGED_REQUEST: usize = 1024;

/// Log lines that wait for the disk. Beyond it lines are counted and dropped: a full disk must not stop sessions.
pub(crate) const LOG_QUEUE: usize = 4096;

/// Log lines of one session in a second, transfer log apart (05-security 18).
pub(crate) const SESSION_LOG_LINES: u32 = 100;

/// Work that the wildcards of one request may cost, in bytes compared or copied and what costs as much: about a second.
/// Enough for 200 patterns in a directory of 20,000 names.
pub(crate) const WILDCARD_WORK: u64 = 1 << 28;

/// What opening a directory costs in that unit.
pub(crate) const DIRECTORY_WORK: u64 = 1024;

/// What reading a name of a directory costs in that unit.
pub(crate) const NAME_WORK: u64 = 64;

/// Bytes of all paths that a request means.
pub(crate) const PATH_BYTES: usize = 16 << 20;

/// How long a name lookup may take; then the client has no name (04-daemon 8.4).
pub(crate) const LOOKUP: Duration = Duration::from_secs(5);

/// What is read and thrown away before a connection is closed, so that the client sees our last line
/// (04-daemon 2.2).
pub(crate) const DRAIN_BYTES: usize = 1 << 20;

/// How long that may take.
pub(crate) const DRAIN: Duration = Duration::from_secs(2);

/// Refused connections that may drain at once; more are closed without a word.
pub(crate) const REFUSALS: usize = 64;

/// Addresses whose authentication failures are remembered. When full, the oldest are forgotten.
pub(crate) const FAILURE_TABLE: usize = 4096;

/// Stack of a session's first thread (05-security 19).
pub(crate) const SESSION_STACK: usize = 2 << 20;

/// The most memory of a session unless the machine is small.
const SESSION_MEMORY: u64 = 4 << 30;

/// The default of `max session memory`, in bytes: a quarter of what there is, at most [`SESSION_MEMORY`].
pub(crate) fn session_memory() -> u64 {
    (machine_memory() / 4).min(SESSION_MEMORY)
}

/// The default of `max memory`, in bytes: half of what there is.
pub(crate) fn all_memory() -> u64 {
    machine_memory() / 2
}

/// Bytes of a client that are read ahead while its name is looked up.
pub(crate) const UNREAD: usize = 64 << 10;

/// How long a client may take to read a refusal.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(5);

/// The end of a phase of the handshake where `handshake timeout = 0` asks for none.
pub(crate) const NO_DEADLINE: Duration = Duration::from_secs(1 << 30);

/// How often, and after which pauses, a client looks for the place that another has to leave.
pub(crate) const PLACE_TRIES: u32 = 50;
/// See [`PLACE_TRIES`].
pub(crate) const PLACE_PAUSE: Duration = Duration::from_millis(20);

/// Failed logins from one IPv6 network, in those of one address: a customer has thousands of addresses.
pub(crate) const NETWORK_FAILURES: u32 = 10;

/// Name lookups that run at once, whoever waits for them: they cannot be called off.
pub(crate) const LOOKUPS: usize = 32;

/// Log lines of strangers that may come at once, in seconds of [`Limits::log_rate`].
pub(crate) const LOG_BURST: u32 = 20;

/// Bytes of a stranger's line in the log that count as one line.
pub(crate) const STRANGER_LINE: usize = 256;

/// How long left-out lines are counted before a line says how many there were.
pub(crate) const LEFT_OUT: Duration = Duration::from_secs(10);

/// Addresses whose left-out failures to log in are counted apart.
pub(crate) const LEFT_OUT_ADDRESSES: usize = 1024;

/// What a daemon allows; every number can be changed, 0 switches a count off. The configuration wins
/// (docs/daemon.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `total connections`: at once, handshakes included.
    pub total_connections: usize,
    /// `network connections`: at once from one network, 24 bits of IPv4 or 48 of IPv6.
    pub network_connections: usize,
    /// `address connections`: at once from one address, of IPv6 64 bits.
    pub address_connections: usize,
    /// `total handshakes`: connections at once whose arguments have not come yet.
    pub total_handshakes: usize,
    /// `network handshakes`.
    pub network_handshakes: usize,
    /// `address handshakes`.
    pub address_handshakes: usize,
    /// `handshake timeout`: the longest that each phase of the handshake may take: up to the module line; the
    /// authentication; the arguments. The module's `timeout` can only shorten it (04-daemon 17).
    pub handshake: Duration,
    /// `idle timeout`: how long a session of a module without a `timeout` may stand still; zero is for ever.
    pub idle: Duration,
    /// Failed authentications are answered after this time.
    pub auth_delay: Duration,
    /// `auth failures`: failed authentications of one address within [`Self::auth_window`], before it is refused
    /// for as long.
    pub auth_failures: u32,
    /// See [`Self::auth_failures`].
    pub auth_window: Duration,
    /// `log rate`: lines a second that clients who have not logged in may cause, all together.
    pub log_rate: u32,
    /// A handshake that has taken so long may have to make room for another: honest clients are done, unless a person
    /// types a password.
    pub grace: Duration,
    /// A session that has stood still for so long may lose its place when the daemon is full.
    pub idle_when_full: Duration,
    /// How long running sessions may go on after shutdown was asked for.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total_connections: 512,
            network_connections: 256,
            address_connections: 64,
            total_handshakes: 128,
            network_handshakes: 64,
            address_handshakes: 16,
            handshake: Duration::from_secs(60),
            idle: Duration::from_secs(3600),
            auth_delay: Duration::from_millis(250),
            auth_failures: 10,
            auth_window: Duration::from_secs(60),
            log_rate: 50,
            grace: Duration::from_secs(2),
            idle_when_full: Duration::from_secs(60),
            drain: Duration::from_secs(30),
        }
    }
}
