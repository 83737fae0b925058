//! The end-to-end comparison with real rsync, in one run:
//!
//! ```text
//! cargo build --release
//! cargo run --release -p syncline-benches --bin compare            # some minutes
//! cargo run --release -p syncline-benches --bin compare -- --quick # small, to see that it runs
//! ```
//!
//! `syncline` and `rsync` take turns as the client (A B A B), against the same stock rsync daemon on the loopback,
//! set up as users do (password, hosts allowed, limits). Per case it prints the medians of wall time, processor time of
//! client and daemon and the client's peak memory, the bytes on the wire of one more run through a counting relay, and
//! the ratios syncline/rsync; then how long a change takes through `syncline watch` from close to visible.

#![forbid(unsafe_code)]

mod cases;
mod measure;
mod mirror;
mod options;
mod table;

use cases::{Case, Scale};
use clap::Parser;
use measure::Client;
use options::Options;
use std::process::ExitCode;
use table::Sample;
use testkit::{Daemon, DaemonConf, Module, Relay, Rsync, Server};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if words.first().is_some_and(|word| word == measure::FLAG) {
        return measure::child(&words[1..]);
    }
    match compare(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<(), String> {
    let syncline = options.syncline()?;
    let rsync = Rsync::all().into_iter().next();
    let rsync = rsync.ok_or("no rsync to compare with (set SYNCLINE_RSYNC or install it)")?;
    let scale = match options.quick {
        true => Scale::quick(),
        false => Scale::full(),
    };
    let runs = options.runs.unwrap_or(scale.runs);
    println!(
        "syncline: {}\nrsync:    {} {}\n{runs} runs each, medians\n",
        syncline.display(),
        rsync.path().display(),
        rsync.version()
    );
    let clients = [
        Client::new("rsync", rsync.path()),
        Client::new("syncline", &syncline),
    ];
    let dir = match &options.dir {
        Some(dir) => testkit::temp_dir_in(dir),
        None => testkit::temp_dir(),
    };
    let module = dir.path().join("module");
    std::fs::create_dir(&module).expect("the module's directory");
    let conf = DaemonConf::new().module(Module::as_users_do(cases::MODULE, &module));
    let daemon = Daemon::start(&Server::Stock(&rsync), conf);

    for case in cases::all(dir.path(), &module, &scale) {
        if options.wants(case.name()) {
            case.prepare();
            table::print(case.name(), &run_case(&case, &clients, &daemon, runs));
            case.remove();
        }
    }
    if options.wants(mirror::NAME) {
        mirror::run(
            dir.path(),
            &module,
            &clients,
            &daemon,
            &scale,
            &options.watch_option,
        );
    }
    Ok(())
}

/// The samples of each client: one run that counts bytes (and warms the caches), then `runs` that are timed.
fn run_case(case: &Case, clients: &[Client; 2], daemon: &Daemon, runs: u32) -> [Vec<Sample>; 2] {
    let relay = Relay::start(daemon.addr());
    let wire = clients.each_ref().map(|client| {
        case.reset();
        let before = relay.traffic().bytes();
        client.push(
            case.options(),
            case.source(),
            &relay.url_as("alice", case.place()),
        );
        case.check(client.name());
        relay.traffic().bytes() - before
    });
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..runs {
        for (index, client) in clients.iter().enumerate() {
            case.reset();
            // What the reset and the last run wrote must not be written while we measure.
            rustix::fs::sync();
            testkit::wait::until("the daemon to be idle", || daemon.idle());
            let before = daemon.cpu_time();
            let usage = client.push(
                case.options(),
                case.source(),
                &daemon.url_as("alice", case.place()),
            );
            testkit::wait::until("the daemon to be idle", || daemon.idle());
            samples[index].push(Sample {
                wall: usage.wall,
                client_cpu: usage.cpu,
                daemon_cpu: daemon.cpu_time() - before,
                peak_bytes: usage.peak_bytes,
                wire_bytes: wire[index],
            });
        }
    }
    samples
}
