//! The client against daemons that break rules; where rsync has an answer of its own, the stock client gives it too.

mod deletion;
mod pull;
mod push;
mod text;

use std::fs;
use std::path::Path;

use testkit::hostile::HostileDaemon;
use testkit::{Exit, Program};

/// The protocols we speak.
const PROTOCOLS: [u32; 4] = [29, 30, 31, 32];

/// One run of a client against a daemon for it: options, paths on the daemon, then the local place, which is the first
/// operand of a push and the last of a pull.
fn transfer(
    client: Program,
    daemon: HostileDaemon,
    protocol: u32,
    options: &[&str],
    paths: &[&str],
    place: &Path,
) -> Exit {
    let urls = paths.iter().map(|path| daemon.url(path));
    let exit = client
        .arg(format!("--protocol={protocol}"))
        .args(options)
        .args(urls)
        .arg(format!("{}/", place.display()))
        .run();
    daemon.finish();
    exit
}

/// The files below a directory, sorted.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap();
                found.push(name.display().to_string());
            }
        }
    }
    found.sort();
    found
}
