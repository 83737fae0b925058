//! What a receiver acknowledges of a push, and what it does without the data of some files (03-transfer 8.8).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rsync_engine::fs::{Links, Tree};
use rsync_engine::options::{Direction, TransferOptions};
use rsync_engine::send::{Argument, Source};
use rsync_engine::{Event, Events};
use syncline::daemon::{Connect, OpenSession};
use syncline::{Cancel, DaemonTarget, Filters};
use testkit::{Daemon, DaemonConf, Module, Server, TreeSpec, require_rsync};

#[derive(Debug, Default)]
struct Said(Mutex<(BTreeSet<String>, BTreeSet<String>)>);

impl Events for Said {
    fn event(&self, event: Event<'_>) {
        let mut said = self.0.lock().expect("no panic in events");
        match event {
            Event::Acknowledged { name } => drop(said.0.insert(text(name))),
            Event::Unacknowledged { name } => drop(said.1.insert(text(name))),
            _ => {}
        }
    }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Pushes the contents of `source`, but for the data of the files in `kept`; gives what was acknowledged and what was not.
fn push(source: &Path, daemon: &Daemon, protocol: u32, kept: &[&str]) -> [Vec<String>; 2] {
    let options = TransferOptions {
        recursive: true,
        hard_links: true,
        remove_source_files: true,
        protocol: Some(protocol),
        ..TransferOptions::archive()
    };
    let target = DaemonTarget {
        host: daemon.addr().ip().to_string(),
        port: daemon.addr().port(),
        user: None,
        module: b"m".to_vec(),
        path: Vec::new(),
    };
    let said = Arc::new(Said::default());
    let events: Arc<dyn Events> = Arc::clone(&said) as Arc<dyn Events>;
    let kept: Vec<String> = kept.iter().map(|&name| name.to_owned()).collect();
    let filters = Filters::default().withholding(Arc::new(move |name| kept.contains(&text(name))));
    let argument = Argument {
        tree: Tree::open(source).expect("it is there"),
        absolute: Vec::new(),
        links: Links::Refuse,
        name: b".".to_vec(),
        implied: false,
        contents: true,
        shown: b".".to_vec(),
        place: Vec::new(),
    };
    OpenSession::open(
        &target,
        Direction::Push,
        &[b"m/".to_vec()],
        options,
        &Connect::default(),
        Cancel::new(),
        &events,
    )
    .expect("a session")
    .push(Source::Arguments(vec![argument]), filters, &events)
    .expect("its end");
    let said = said.0.lock().expect("no panic in events");
    [&said.0, &said.1].map(|names| names.iter().cloned().collect())
}

#[test]
fn everything_in_place_is_acknowledged_and_nothing_else() {
    let rsync = require_rsync!();
    for protocol in 29..=32 {
        let dir = testkit::temp_dir();
        let (source, mirror) = (dir.path().join("s"), dir.path().join("m"));
        TreeSpec::new()
            .file("new", "1")
            .file("empty", "")
            .file("kept back", "2")
            .file("d/deep/file", "3")
            .file("refused/file", "4")
            .hard_link("refused link", "refused/file")
            .hard_link("link", "d/deep/file")
            .symlink("symlink", "nowhere")
            .fifo("fifo")
            .build(&source);
        std::fs::create_dir(&mirror).expect("a directory");
        let module = Module::new("m", &mirror).set("exclude", "/refused /refused?link");
        let conf = DaemonConf::new().module(module);
        let daemon = Daemon::start(&Server::Stock(&rsync), conf);
        let not = match protocol {
            // It has no way to say that a file does not come.
            29 => &["refused link", "refused/file"][..],
            _ => &["kept back", "refused link", "refused/file"],
        };
        let kept: &[&str] = if protocol > 29 { &["kept back"] } else { &[] };
        let mut arrived = vec!["d/deep/file", "empty", "fifo", "link", "new", "symlink"];
        if protocol == 29 {
            arrived.insert(3, "kept back");
        }
        // New, and found equal.
        for round in 0..2 {
            let [acknowledged, missing] = push(&source, &daemon, protocol, kept);
            assert_eq!(acknowledged, arrived, "protocol {protocol}, round {round}");
            assert_eq!(missing, not, "protocol {protocol}, round {round}");
        }
        assert_eq!(mirror.join("kept back").exists(), protocol == 29);
    }
}
