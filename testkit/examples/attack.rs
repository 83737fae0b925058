//! Asks a daemon for costly work, goes away, and says what that cost the daemon.
//!
//! `cargo run -p testkit --example attack -- PORT PID WHAT PROTOCOL COUNT`, with the daemon's port on the loopback and its
//! process, a module `m` that holds one large file and many names, and as WHAT:
//!
//! - `sums`: block sums that fit everywhere by half, for the file with index 1;
//! - `digests`: a list with `-c`;
//! - `wildcards`: 3,000 that match nothing.
//!
//! It does so COUNT times at once, waits until the daemon does nothing more, 30 seconds at most, and prints processor time
//! and the most memory so far.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use testkit::HostileReceiver;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, pid, what, protocol, count] = &arguments[..] else {
        panic!("PORT PID WHAT PROTOCOL COUNT");
    };
    let daemon = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().expect("a port")));
    let protocol = protocol.parse().expect("29 to 32");
    let client = HostileReceiver {
        protocol,
        server: false,
    };
    let before = cpu(pid);
    for _ in 0..count.parse().expect("a number") {
        ask(client, daemon, what);
    }
    let mut last = cpu(pid);
    for _ in 0..30 {
        std::thread::sleep(Duration::from_secs(1));
        let now = cpu(pid);
        if now == last {
            break;
        }
        last = now;
    }
    let memory = field(&format!("/proc/{pid}/status"), "VmHWM:");
    println!("{:.2} s of processor time, {memory} at most", last - before);
}

fn ask(client: HostileReceiver, daemon: SocketAddr, what: &str) {
    let all = ["m/".to_owned()];
    match what {
        "sums" => {
            let mut peer = client.pull(daemon, "m", &["-r"], &all);
            peer.send(client.costly_request(1));
            // It gets as far as the request.
            peer.receive(20);
            std::thread::sleep(Duration::from_millis(300));
        }
        "digests" => drop(client.pull(daemon, "m", &["-rc"], &all)),
        "wildcards" => {
            let paths: Vec<String> = (0..3000).map(|n| format!("m/*{n}*x")).collect();
            drop(client.pull(daemon, "m", &["-r"], &paths));
        }
        other => panic!("{other}: not sums, digests or wildcards"),
    }
}

/// Seconds that a process used.
fn cpu(pid: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    // The name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let ticks = |at: usize| -> f64 {
        let field = fields.split(' ').nth(at).expect("a field");
        field.parse().expect("a number")
    };
    (ticks(11) + ticks(12)) / 100.0
}

fn field(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).expect("a process");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.expect("a line of that name").trim().to_owned()
}
