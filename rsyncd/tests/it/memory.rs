//! Clients that make a session hold more memory than it may, and what is left of it afterwards.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rsync_engine::Budget;
use rsyncd::limits::Limits;
use rsyncd::serve::EngineRunner;
use rsyncd::session::{SessionRequest, SessionRunner as _};
use testkit::Exit;

use crate::harness::{Daemon, Run, directory, said, write_config};

/// Many names for a small budget.
const FILES: usize = 1500;

/// A daemon whose module is `DIR/mod`, with what its sessions may hold; and their budgets.
fn start(global: &str, module: &str) -> (Daemon, Arc<Mutex<Vec<Budget>>>) {
    let dir = directory();
    let budgets = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&budgets);
    let run = Run(move |request: SessionRequest| {
        let budget = request.budget.clone();
        let end = EngineRunner.run(request);
        seen.lock().expect("lock").push(budget);
        end
    });
    let config = config(global, module);
    let daemon = Daemon::start(dir, &config, Arc::new(run), Limits::default());
    (daemon, budgets)
}

fn config(global: &str, module: &str) -> String {
    let identity = match testkit::is_root() {
        true => "uid = root\ngid = root\n",
        false => "",
    };
    format!("{global}\n{identity}[m]\npath = DIR/mod\nread only = no\n{module}\n")
}

fn fill(dir: &Path) {
    fs::create_dir_all(dir).expect("mkdir");
    for number in 0..FILES {
        fs::write(dir.join(format!("{number:x}")), "").expect("write");
    }
}

#[track_caller]
fn assert_ended(exit: &Exit, text: &str, protocol: &str) {
    let said = said(exit);
    assert!(said.contains(text), "{protocol}: {text} in {said}");
    assert_ne!(exit.code(), Some(0), "{said}");
    // Older protocols have no way to pass a code on.
    if protocol >= "31" {
        assert_eq!(exit.code(), Some(22), "{said}");
    }
}

#[test]
fn a_session_that_reaches_its_budget_says_so() {
    let rsync = testkit::require_rsync!();
    let source = testkit::temp_dir();
    fill(&source.path().join("tree"));
    let rules = source.path().join("rules");
    fs::write(&rules, format!("- *{}\n", "x".repeat(200)).repeat(500)).expect("write");
    let from = format!("{}/tree/", source.path().display());
    let rules = format!("--exclude-from={}", rules.display());
    let (mut daemon, budgets) = start("", "max session memory = 64K");
    let limit = "the memory budget of this session (65536 bytes) is used up";
    let to = source.path().join("to").display().to_string();
    let module = daemon.dir.path().join("mod");
    for protocol in ["29", "30", "31", "32"] {
        let option = format!("--protocol={protocol}");
        let flat = "--no-inc-recursive";
        let pull = daemon.rsync(&rsync, &["-r", &option, &rules, "URL/m/", &to]);
        assert_ended(&pull, &format!("filter rules: {limit}"), protocol);
        let push = daemon.rsync(&rsync, &["-r", &option, flat, &from, "URL/m/"]);
        assert_ended(&push, &format!("file list: {limit}"), protocol);
        assert_eq!(fs::read_dir(&module).expect("there").count(), 0);
        fill(&module);
        let pull = daemon.rsync(&rsync, &["-r", &option, flat, "URL/m/", &to]);
        assert_ended(&pull, &format!("file list: {limit}"), protocol);
        fs::remove_dir_all(&module).expect("ours");
        fs::create_dir(&module).expect("mkdir");
    }
    testkit::wait::until("all memory to be given back", || {
        let budgets = budgets.lock().expect("lock");
        budgets.len() == 12 && budgets.iter().all(|budget| budget.used() == 0)
    });
    let log = daemon.all_log();
    for what in ["filter rules", "file list"] {
        let line = format!("{what}: {limit}");
        assert!(log.iter().any(|l| l.contains(&line)), "{line} in {log:?}");
    }
}

#[test]
fn all_sessions_have_a_budget_that_can_be_changed() {
    let rsync = testkit::require_rsync!();
    let source = testkit::temp_dir();
    fill(source.path());
    let from = format!("{}/", source.path().display());
    let (daemon, _) = start("max memory = 64K", "");
    let push = daemon.rsync(&rsync, &["-rn", "--no-i-r", &from, "URL/m/"]);
    let limit = "file list: the memory budget of all sessions (65536 bytes) is used up";
    assert_ended(&push, limit, "32");
    write_config(&daemon.dir, &config("max memory = 16M", ""));
    let push = daemon.rsync(&rsync, &["-r", "--no-i-r", &from, "URL/m/"]);
    assert_eq!(push.code(), Some(0), "{}", said(&push));
}

#[test]
fn what_is_no_size_closes_the_module() {
    let rsync = testkit::require_rsync!();
    for (global, module) in [("max memory = much", ""), ("", "max session memory = -1")] {
        let (daemon, _) = start(global, module);
        let pull = daemon.rsync(&rsync, &["-r", "URL/m/"]);
        assert_eq!(pull.code(), Some(5), "{}", said(&pull));
    }
}
