//! One run of a client, with what it cost.
//!
//! A process learns what a child cost from getrusage, which adds up all children and keeps the highest peak of memory. So
//! each run is started by a fresh copy of this program, which has no other child and little memory of its own.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use testkit::Program;

/// The first word that makes this program the parent of a measured run.
pub(crate) const FLAG: &str = "--measure-into";

/// What a run cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) wall: Duration,
    /// User and system time of all its threads and children.
    pub(crate) cpu: Duration,
    pub(crate) peak_bytes: u64,
}

/// rsync or syncline.
#[derive(Debug)]
pub(crate) struct Client {
    name: &'static str,
    path: PathBuf,
}

impl Client {
    pub(crate) fn new(name: &'static str, path: &Path) -> Self {
        Self {
            name,
            path: path.to_owned(),
        }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Pushes what is in `source` with `-a` and `options` to `url`.
    ///
    /// # Panics
    /// When the run fails.
    pub(crate) fn push(&self, options: &[&str], source: &Path, url: &str) -> Usage {
        let dir = testkit::temp_dir();
        let report = dir.path().join("usage");
        let mut from = source.as_os_str().to_owned();
        from.push("/");
        let exit = Program::new(std::env::current_exe().expect("our own path"))
            .arg(FLAG)
            .arg(&report)
            .arg(&self.path)
            .arg("-a")
            .args(options)
            .args([from.as_os_str(), OsStr::new(url)])
            .password("wonderland")
            .run_for(LIMIT);
        exit.assert_code(0);
        let text = std::fs::read_to_string(&report).expect("a report of the run");
        let numbers: Vec<u64> = text
            .split(' ')
            .map(|word| word.parse().expect("a number"))
            .collect();
        let &[wall, cpu, peak] = &numbers[..] else {
            panic!("not a report of a run: {text}");
        };
        Usage {
            wall: Duration::from_micros(wall),
            cpu: Duration::from_micros(cpu),
            peak_bytes: peak * 1024,
        }
    }
}

/// The parent's part: `words` are the file to report into and the command.
pub(crate) fn child(words: &[OsString]) -> ExitCode {
    let [report, program, args @ ..] = words else {
        eprintln!("compare: {FLAG} FILE PROGRAM ARGS...");
        return ExitCode::from(2);
    };
    let start = Instant::now();
    let status = match Command::new(program).args(args).status() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("compare: {}: {error}", program.display());
            return ExitCode::FAILURE;
        }
    };
    let wall = start.elapsed().as_micros();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("our own accounts");
    let cpu = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let text = format!("{wall} {cpu} {}", usage.max_rss());
    std::fs::write(report, text).expect("the report is ours to write");
    match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        None => ExitCode::FAILURE,
    }
}

/// Far above any run: a client that hangs ends the comparison.
const LIMIT: Duration = Duration::from_secs(900);
