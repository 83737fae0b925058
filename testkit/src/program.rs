//! Programs with their output captured.

use crate::wait;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use std::ffi::OsStr;
use std::fmt;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A program to run: a stock rsync, our binary, anything.
///
/// It starts in a process group of its own, so that it can be killed with all that it started, with no input, in the C
/// locale and UTC, and without the variables that change what rsync does (`RSYNC_*`).
#[derive(Debug)]
pub struct Program {
    command: Command,
    title: String,
}

impl Program {
    /// The program at `path` without arguments.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let mut command = Command::new(path);
        command
            .stdin(Stdio::null())
            .process_group(0)
            .env("LC_ALL", "C")
            .env("TZ", "UTC");
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"RSYNC_") {
                command.env_remove(name);
            }
        }
        Self {
            command,
            title: path.display().to_string(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.title.push(' ');
        self.title.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Answers a daemon's challenge with `password` (`RSYNC_PASSWORD`).
    #[must_use]
    pub fn password(self, password: &str) -> Self {
        self.env("RSYNC_PASSWORD", password)
    }

    /// The directory it starts in.
    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.command.current_dir(dir.into());
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started or does not end within [`wait::PATIENCE`].
    #[track_caller]
    pub fn run(self) -> Exit {
        self.spawn().wait()
    }

    /// Runs it to its end, however long up to `limit` it takes: for whole-tree transfers.
    ///
    /// # Panics
    /// When it cannot be started or does not end within `limit`.
    #[track_caller]
    pub fn run_for(self, limit: Duration) -> Exit {
        self.spawn().wait_for(limit)
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn spawn(mut self) -> Running {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match self.command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("cannot start {}: {error}", self.title),
        };
        let stdout = Capture::of(child.stdout.take().expect("stdout is piped"));
        let stderr = Capture::of(child.stderr.take().expect("stderr is piped"));
        Running {
            title: self.title,
            pid: Pid::from_child(&child),
            child,
            stdout,
            stderr,
        }
    }
}

/// A program that was started; killed on drop with its whole process group.
#[derive(Debug)]
pub struct Running {
    title: String,
    pid: Pid,
    child: Child,
    stdout: Capture,
    stderr: Capture,
}

impl Running {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed on standard output up to now.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it printed on standard error up to now.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until `needle` stands in its output or its errors.
    ///
    /// # Panics
    /// When it ends without, or after [`wait::PATIENCE`].
    #[track_caller]
    pub fn wait_output(&self, needle: &str) {
        self.wait_outputs(needle, 1);
    }

    /// Waits until `needle` stands at least `times` times in its output and its errors together.
    ///
    /// # Panics
    /// When it ends without, or after [`wait::PATIENCE`].
    #[track_caller]
    pub fn wait_outputs(&self, needle: &str, times: usize) {
        let seen = || {
            self.stdout.text().matches(needle).count() + self.stderr.text().matches(needle).count()
        };
        let found = wait::within(wait::PATIENCE, || {
            // Asked before looking: what a process that has ended printed is seen only once both pipes are dry.
            let over = self.stdout.closed() && self.stderr.closed();
            match seen() >= times {
                true => Some(true),
                false => over.then_some(false),
            }
        });
        assert!(
            found == Some(true),
            "no {needle:?} ({times} times) from {self}\n{}",
            match found {
                None => "(still running)",
                Some(_) => "(it closed its output)",
            }
        );
    }

    /// Waits for a line of standard output or standard error that `wanted` accepts, and gives the first one.
    ///
    /// # Panics
    /// After [`wait::PATIENCE`].
    #[track_caller]
    pub fn wait_line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let found = wait::within(wait::PATIENCE, || {
            let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
            let line = complete_lines(&stdout)
                .chain(complete_lines(&stderr))
                .find(|line| wanted(line))?;
            Some(line.to_owned())
        });
        let Some(line) = found else {
            panic!("no {what} from {self}");
        };
        line
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        // Gone already: then the signal has nothing left to do.
        let _ = rustix::process::kill_process(self.pid, signal);
    }

    /// Presses Ctrl-C.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Kills it with its whole group, as the kernel does when memory runs out, and waits for its end.
    pub fn kill(mut self) -> Exit {
        self.kill_group();
        self.reap()
    }

    /// Kills the group and collects the child.
    pub(crate) fn kill_group(&mut self) {
        // Before the leader is waited for: until then its number cannot belong to anybody else.
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        let _ = self.child.wait();
    }

    /// Whether it has ended; it stays a zombie, so that its accounts can still be read.
    #[must_use]
    pub fn ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(
            rustix::process::waitid(WaitId::Pid(self.pid), options),
            Ok(None)
        )
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// After [`wait::PATIENCE`].
    #[track_caller]
    pub fn wait(self) -> Exit {
        self.wait_for(wait::PATIENCE)
    }

    /// Waits for its end up to `limit`.
    ///
    /// # Panics
    /// When it runs longer.
    #[track_caller]
    pub fn wait_for(self, limit: Duration) -> Exit {
        assert!(
            wait::within(limit, || self.ended().then_some(())).is_some(),
            "still running after {} s: {self}",
            limit.as_secs()
        );
        self.reap()
    }

    /// Collects the child, which has ended, and what it printed.
    fn reap(mut self) -> Exit {
        let status = self.child.wait().expect("our own child can be waited for");
        Exit {
            title: std::mem::take(&mut self.title),
            status,
            stdout: self.stdout.finish(),
            stderr: self.stderr.finish(),
        }
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        report(f, &self.title, "", &self.stdout.text(), &self.stderr.text())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill_group();
        }
    }
}

/// How a program ended, and what it printed.
#[derive(Debug, Clone)]
pub struct Exit {
    title: String,
    status: ExitStatus,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// All of its standard error.
    pub stderr: Vec<u8>,
}

impl Exit {
    /// The exit code; nothing when a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Standard output as text.
    #[must_use]
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    #[must_use]
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Insists on an exit code.
    ///
    /// # Panics
    /// When it was another one, showing what was printed.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert!(
            self.code() == Some(code),
            "expected exit code {code} from {self}"
        );
        self
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        report(
            f,
            &self.title,
            &self.status.to_string(),
            &self.out(),
            &self.err(),
        )
    }
}

/// One captured stream.
#[derive(Debug)]
struct Capture {
    shared: Arc<Mutex<Captured>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Captured {
    bytes: Vec<u8>,
    closed: bool,
}

impl Capture {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let shared = Arc::new(Mutex::new(Captured::default()));
        let sink = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            loop {
                let read = stream.read(&mut buffer).unwrap_or(0);
                let mut captured = sink.lock().unwrap_or_else(PoisonError::into_inner);
                captured.bytes.extend_from_slice(&buffer[..read]);
                if read == 0 {
                    captured.closed = true;
                    return;
                }
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    fn text(&self) -> String {
        let captured = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&captured.bytes).into_owned()
    }

    fn closed(&self) -> bool {
        self.shared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed
    }

    /// The whole stream, once the process has ended. Something that the process left behind may hold the pipe open;
    /// it does not hold up the test.
    fn finish(&mut self) -> Vec<u8> {
        let closed = wait::within(Duration::from_secs(2), || self.closed().then_some(()));
        if let (Some(()), Some(thread)) = (closed, self.thread.take()) {
            let _ = thread.join();
        }
        let mut captured = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut captured.bytes)
    }
}

/// The lines of `text` that are ended: the last one may still grow.
fn complete_lines(text: &str) -> impl Iterator<Item = &str> {
    let end = text.rfind('\n').map_or(0, |last| last + 1);
    text[..end].lines()
}

fn report(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    status: &str,
    stdout: &str,
    stderr: &str,
) -> fmt::Result {
    write!(f, "`{title}`")?;
    if !status.is_empty() {
        write!(f, " ({status})")?;
    }
    write!(f, "\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Program {
        Program::new("/bin/sh").args(["-c", script])
    }

    #[test]
    fn output_and_exit_code_are_captured() {
        let exit = sh("echo out; echo err >&2; exit 3").run();
        assert_eq!((exit.code(), exit.signal()), (Some(3), None));
        assert_eq!(
            (exit.out().as_str(), exit.err().as_str()),
            ("out\n", "err\n")
        );
        exit.assert_code(3);
    }

    #[test]
    fn a_line_is_waited_for_and_a_signal_ends_it() {
        let running = sh("echo one; echo two; trap 'echo bye; exit 7' INT; echo ready; while :; do read -r x < /dev/null; done").spawn();
        running.wait_output("ready");
        assert_eq!(
            running.wait_line("a line with w", |line| line.contains('w')),
            "two"
        );
        assert!(!running.ended());
        running.interrupt();
        let exit = running.wait();
        assert_eq!(exit.code(), Some(7));
        assert!(exit.out().ends_with("bye\n"));
    }

    #[test]
    #[should_panic(expected = "it closed its output")]
    fn waiting_for_what_never_comes_ends_with_the_process() {
        sh("echo something else").spawn().wait_output("needle");
    }

    #[test]
    fn killing_takes_the_children_along() {
        let dir = crate::temp_dir();
        let pids = dir.path().join("pid");
        let running = sh(&format!(
            "sleep 1000 & echo $! > {}; echo started; wait",
            pids.display()
        ))
        .spawn();
        running.wait_output("started");
        let child: i32 = std::fs::read_to_string(&pids)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let exit = running.kill();
        assert_eq!(exit.signal(), Some(9));
        let child = Pid::from_raw(child).unwrap();
        wait::until("the child's end", || {
            match std::fs::read_to_string(format!("/proc/{child}/stat")) {
                Ok(stat) => stat.contains(") Z "),
                Err(_) => true,
            }
        });
    }

    #[test]
    fn the_environment_is_fixed() {
        let exit = sh("echo $TZ $LC_ALL $RSYNC_PASSWORD; pwd")
            .password("secret")
            .current_dir("/")
            .run();
        assert_eq!(exit.out(), "UTC C secret\n/\n");
    }
}
