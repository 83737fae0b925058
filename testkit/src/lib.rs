//! For tests and benches only: real rsync peers, our own binary as a peer, trees and their comparison, faults.
//!
//! Everything here is for a test that wants to read like its own description, so failures panic with what was
//! expected, what was there and what the processes printed; nothing returns an error that a test would only unwrap.
//! Nothing sleeps to synchronise: [`wait`] polls a condition under a generous deadline, and no test may judge by time.
//!
//! What to look for where:
//!
//! - [`Rsync`]: a real rsync, found through `SYNCLINE_RSYNC` or `PATH`; [`require_rsync!`] for tests that need one.
//! - [`DaemonConf`], [`Module`], [`Daemon`]: a daemon (stock rsync's or ours) on a free port of the loopback.
//! - [`Program`], [`Running`], [`Exit`]: any program with its output captured; lines can be waited for.
//! - [`spawned`]: whether a process ever started another one.
//! - [`tree`]: build trees by declaration, change them at random, compare them; [`real_tree`] for a big real one.
//! - [`Relay`], [`Faults`]: TCP in between, with counting, cutting, stalling, slowing, garbage and forced protocols.
//! - [`Faulty`]: the same ideas for any `Read` or `Write`, without a socket.
//! - [`Peer`], [`ScriptedServer`]: a hand-written peer that expects and sends bytes; [`HostileReceiver`]: what a receiving
//!   side says that asks for work and goes.
//! - [`hostile`]: whole sessions with a daemon or a client that breaks rules, at any protocol.
//! - [`Random`]: seeded random numbers; the same everywhere, for ever.
//!
//! ```no_run
//! use testkit::{Compare, Daemon, DaemonConf, Mutator, Server, TreeSpec, assert_same};
//!
//! let rsync = testkit::require_rsync!();
//! let dir = testkit::temp_dir();
//! let (source, target) = (dir.path().join("source"), dir.path().join("target"));
//! TreeSpec::sample(1).build(&source);
//! std::fs::create_dir(&target).unwrap();
//!
//! let daemon = Daemon::start(&Server::Stock(&rsync), DaemonConf::as_users_do("backup", &target));
//! let url = daemon.url_as("alice", "backup");
//! let watch = testkit::Program::new(env!("CARGO")) // CARGO_BIN_EXE_syncline in the tests of the binary
//!     .args(["watch", source.to_str().unwrap(), &url])
//!     .env("RSYNC_PASSWORD", "wonderland")
//!     .spawn();
//! watch.wait_output("in sync");
//! let mut mutator = Mutator::new(&source, 7);
//! mutator.steps(100);
//! testkit::wait::until("the mirror to follow", || testkit::same(&source, &target, &Compare::exact()));
//! watch.interrupt();
//! assert_eq!(watch.wait().code(), Some(0));
//! assert_same(&source, &target, &Compare::exact());
//! ```

#![forbid(unsafe_code)]

mod conf;
mod daemon;
mod faulty;
pub mod hostile;
mod peer;
mod program;
mod random;
mod relay;
mod rsync;
pub mod spawned;
pub mod tree;
pub mod wait;

pub use conf::{DaemonConf, Module};
pub use daemon::{Daemon, Server};
pub use faulty::Faulty;
pub use hostile::HostileReceiver;
pub use peer::{Peer, ScriptedServer};
pub use program::{Exit, Program, Running};
pub use random::Random;
pub use relay::{Direction, Ending, Faults, Relay, Traffic};
pub use rsync::{Rsync, Version, rsync_or_skip};
pub use tree::{Compare, Mix, Mutator, TreeSpec, assert_same, differences, real_tree, same};

pub use tempfile::TempDir;

use std::io::Write;
use std::path::Path;

/// A temporary directory in the system's place for them, removed on drop.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn temp_dir() -> TempDir {
    temp_dir_in(&std::env::temp_dir())
}

/// A temporary directory in `parent`, removed on drop.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn temp_dir_in(parent: &Path) -> TempDir {
    tempfile::Builder::new()
        .prefix("syncline-test-")
        .tempdir_in(parent)
        .expect("a temporary directory")
}

/// Whether we run as root: devices, foreign owners and module identities need it.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says loudly, past libtest's capture, that the running test does not run, and why.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // The macros that print are captured by libtest; the handle is not. A closed stderr is nobody's failure.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
}
