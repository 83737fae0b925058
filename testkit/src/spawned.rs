//! Whether a process ever started another one.
//!
//! Polling the process table misses what lives shorter than the interval, and tracing needs tools and rights. The
//! kernel keeps book instead: when a process has waited for a child, the child's page faults are added to its own
//! account of children (`cminflt` and `cmajflt` in /proc/PID/stat), and no program runs without a page fault. What was
//! not waited for stands in the process table, alive or a zombie. So one look at the end, with the process still there
//! (or a zombie, see [`Running::ended`](crate::Running::ended)), tells of the whole run, at no cost and without rights.
//!
//! The limits: a child without a single page fault (a bare `vfork` that ends at once, for example because the program
//! to run is missing; `posix_spawn`, which Rust's `Command` uses, is seen even then), and children that nobody waits
//! for because SIGCHLD is ignored, a case that is reported as a find.

use std::fs;
use std::time::Duration;

/// Insists that process `pid`, which is running or a zombie, has never started another process.
///
/// # Panics
/// When it has, or is gone.
#[track_caller]
pub fn assert_none(pid: u32) {
    let found = find(pid);
    assert!(
        found.is_empty(),
        "process {pid} started others: {}",
        found.join(", ")
    );
}

/// Signs of processes that `pid`, which is running or a zombie, has started; none when it never did.
///
/// # Panics
/// When it is gone.
#[track_caller]
#[must_use]
pub fn find(pid: u32) -> Vec<String> {
    let mut found = Vec::new();
    for child in children(pid) {
        let name = Stat::read(child).map(|stat| stat.name).unwrap_or_default();
        found.push(format!("{name} (pid {child})"));
    }
    let stat = Stat::read(pid).expect("the process is there");
    if stat.faults_of_children > 0 {
        found.push("one or more that it has waited for".to_owned());
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    if ignores_sigchld(&status) {
        found.push("unknown ones: SIGCHLD is ignored".to_owned());
    }
    found
}

/// The child processes that `pid` has now, zombies included.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&process| Stat::read(process).is_some_and(|stat| stat.parent == pid))
        .collect()
}

/// What /proc/PID/stat says.
#[derive(Debug)]
pub(crate) struct Stat {
    name: String,
    parent: u32,
    faults_of_children: u64,
    /// Its own and its waited-for children's, in clock ticks.
    ticks: u64,
}

impl Stat {
    pub(crate) fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    pub(crate) fn cpu_time(&self) -> Duration {
        Duration::from_millis(self.ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    fn parse(line: &str) -> Option<Self> {
        // The name may hold anything, a parenthesis included: the last one ends it.
        let (head, rest) = line.rsplit_once(") ")?;
        let name = head.split_once(" (")?.1.to_owned();
        let fields: Vec<_> = rest.split_whitespace().collect();
        // proc(5) counts from 1 and the state, first here, is field 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            name,
            parent: u32::try_from(field(4)?).ok()?,
            faults_of_children: field(11)? + field(13)?,
            ticks: field(14)? + field(15)? + field(16)? + field(17)?,
        })
    }
}

/// Whether /proc/PID/status says that the kernel waits for children itself, without an account.
fn ignores_sigchld(status: &str) -> bool {
    const SIGCHLD: u32 = 17;
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (SIGCHLD - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Program, Running};

    /// Runs a shell script until it has said "done"; it then waits to be killed.
    fn sh(script: &str) -> Running {
        let running = Program::new("/bin/sh")
            .args(["-c", &format!("{script}; echo done; read x < /dev/zero")])
            .spawn();
        running.wait_output("done");
        running
    }

    #[test]
    fn a_process_that_stays_alone_is_seen_as_such() {
        assert_none(sh("x=1; : > /dev/null").pid());
    }

    #[test]
    fn children_are_found_whether_waited_for_or_not() {
        let waited = find(sh("/bin/true").pid());
        assert_eq!(waited, ["one or more that it has waited for"]);
        let subshell = find(sh("(exit 0)").pid());
        assert_eq!(subshell, ["one or more that it has waited for"]);
        let running = sh("sleep 1000 & trap : EXIT");
        let alive = find(running.pid());
        assert!(alive.len() == 1 && alive[0].starts_with("s"), "{alive:?}");
        running.kill();
    }

    #[test]
    fn a_zombie_still_shows_its_accounts() {
        let running = Program::new("/bin/sh")
            .args(["-c", "/bin/true; exit 0"])
            .spawn();
        crate::wait::until("its end", || running.ended());
        assert_eq!(find(running.pid()).len(), 1);
        let running = Program::new("/bin/sh").args(["-c", "exit 0"]).spawn();
        crate::wait::until("its end", || running.ended());
        assert_none(running.pid());
    }

    #[test]
    fn the_tables_of_the_kernel_are_read() {
        let stat = Stat::parse("7 (a) b) S 3 7 7 0 -1 0 1 2 0 4 5 6 7 8 20 0 1 0 9").unwrap();
        assert_eq!((stat.name.as_str(), stat.parent), ("a) b", 3));
        assert_eq!(
            (stat.faults_of_children, stat.ticks),
            (2 + 4, 5 + 6 + 7 + 8)
        );
        assert!(ignores_sigchld(
            "SigBlk:\t0000000000000000\nSigIgn:\t0000000000011000\n"
        ));
        assert!(!ignores_sigchld(
            "SigBlk:\t0000000000011000\nSigIgn:\t0000000000001000\n"
        ));
    }
}
