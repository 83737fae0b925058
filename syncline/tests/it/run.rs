//! Runs of the library and of the real rsync, reduced to what can be compared: reports and exit code.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rsync_engine::options::words::Words;
use rsync_engine::options::{Direction, TransferOptions, grammar};
use rsync_engine::receive::Destination;
use rsync_engine::send::Source;
use rsync_engine::{Event, Events, Item, Outcome};
use rsync_proto::item::ItemFlags;
use syncline::daemon::{Connect, OpenSession};
use syncline::{Cancel, DaemonTarget, Error, Filters, local, source};
use testkit::{Daemon, Exit};

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// The lines of `-i`, sorted.
    pub(crate) items: Vec<String>,
    pub(crate) code: u8,
    /// What else was said.
    pub(crate) texts: Vec<String>,
}

impl Run {
    /// Of a real rsync with `-i`.
    pub(crate) fn of_stock(exit: &Exit) -> Self {
        let text = exit.out();
        let (mut items, mut texts) = (Vec::new(), Vec::new());
        for line in text.lines().filter(|line| !line.is_empty()) {
            if is_item(line) {
                items.push(line.to_owned());
            } else {
                texts.push(line.to_owned());
            }
        }
        items.sort();
        texts.extend(exit.err().lines().map(str::to_owned));
        Self {
            items,
            code: exit.code().map_or(255, |code| code as u8),
            texts,
        }
    }

    fn of(result: Result<Outcome, Error>, collector: &Collector) -> Self {
        let mut seen = std::mem::take(&mut *collector.seen.lock().expect("no panic in events"));
        seen.items.sort();
        let code = match result {
            Ok(outcome) => outcome.exit_code(),
            Err(error) => {
                seen.texts.push(error.to_string());
                error.exit_code()
            }
        };
        Self {
            items: seen.items,
            code,
            texts: seen.texts,
        }
    }
}

/// `>f+++++++++ name` or `*deleting   name`.
fn is_item(line: &str) -> bool {
    let mut letters = line.bytes();
    line.starts_with("*deleting")
        || (letters
            .next()
            .is_some_and(|first| b"<>ch.".contains(&first))
            && letters
                .next()
                .is_some_and(|second| b"fdLDS".contains(&second))
            && line.as_bytes().get(11) == Some(&b' '))
}

#[derive(Debug, Default)]
struct Seen {
    items: Vec<String>,
    texts: Vec<String>,
}

/// Gathers events as the lines that `-i` prints.
#[derive(Debug)]
struct Collector {
    seen: Mutex<Seen>,
    local: bool,
    times: bool,
}

impl Events for Collector {
    fn event(&self, event: Event<'_>) {
        let mut seen = self.seen.lock().expect("no panic in events");
        match event {
            Event::Item(item) => seen.items.push(self.line(&item)),
            Event::Deleted { name, is_dir, .. } => {
                let slash = if is_dir { "/" } else { "" };
                let name = shown(name);
                seen.items.push(format!("*deleting   {name}{slash}"));
            }
            Event::Message { text, .. } => seen.texts.push(text.to_string()),
            Event::Note { text, .. } => seen.texts.push(text.to_string()),
            Event::Failed(failure) => seen.texts.push(failure.to_string()),
            _ => {}
        }
    }
}

impl Collector {
    /// 03-transfer 9.1.
    fn line(&self, item: &Item<'_>) -> String {
        let flags = item.flags;
        let kind = match item.mode & 0o170_000 {
            0o040_000 => 'd',
            0o120_000 => 'L',
            0o020_000 | 0o060_000 => 'D',
            0o010_000 | 0o140_000 => 'S',
            _ => 'f',
        };
        let has = |bits: ItemFlags| flags.contains(bits);
        let action = if has(ItemFlags::LOCAL_CHANGE | ItemFlags::XNAME_FOLLOWS) {
            'h'
        } else if has(ItemFlags::LOCAL_CHANGE) {
            'c'
        } else if !has(ItemFlags::TRANSFER) {
            '.'
        } else if item.sending && !self.local {
            '<'
        } else {
            '>'
        };
        let time = if self.times { 't' } else { 'T' };
        let columns: String = [
            (ItemFlags::REPORT_CHANGE, 'c'),
            (ItemFlags::REPORT_SIZE, if kind == 'L' { '.' } else { 's' }),
            (ItemFlags::REPORT_TIME, time),
            (ItemFlags::REPORT_PERMS, 'p'),
            (ItemFlags::REPORT_OWNER, 'o'),
            (ItemFlags::REPORT_GROUP, 'g'),
        ]
        .iter()
        .map(|&(bit, letter)| if has(bit) { letter } else { '.' })
        .chain("...".chars())
        .collect();
        let columns = if has(ItemFlags::IS_NEW) {
            "+++++++++".to_owned()
        } else if columns == "........." && "hc.".contains(action) {
            " ".repeat(9)
        } else {
            columns
        };
        let mut name = shown(item.name);
        if kind == 'd' {
            name.push('/');
        }
        let more = match (item.link_target, item.xname) {
            (Some(target), _) if action != 'h' => {
                format!(" -> {}", shown(target))
            }
            (_, Some(xname)) if !xname.is_empty() && action == 'h' => {
                format!(" => {}", shown(xname))
            }
            _ => String::new(),
        };
        format!("{action}{kind}{columns} {name}{more}")
    }
}

/// A name as rsync prints it with `-8`.
fn shown(name: &[u8]) -> String {
    let mut text = Vec::new();
    for (at, &byte) in name.iter().enumerate() {
        let looks_escaped = name[at..].starts_with(b"\\#")
            && name.len() >= at + 5
            && name[at + 2..at + 5].iter().all(u8::is_ascii_digit);
        if byte < b' ' && byte != b'\t' || looks_escaped {
            text.extend_from_slice(format!("\\#{byte:03o}").as_bytes());
        } else {
            text.push(byte);
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The options that a command line of rsync gives.
pub(crate) fn options(words: &[&str]) -> TransferOptions {
    let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let mut options = TransferOptions::default();
    let mut parsed = Words::new(&words);
    while let Some(word) = parsed.next_word().expect("a word of rsync") {
        let known = grammar::apply(&mut options, word, &mut parsed).expect("a value of rsync");
        assert!(known, "{word:?}");
    }
    options
}

fn collector(options: &TransferOptions, local: bool) -> (Arc<Collector>, Arc<dyn Events>) {
    let collector = Arc::new(Collector {
        seen: Mutex::default(),
        local,
        times: options.times,
    });
    let events: Arc<dyn Events> = Arc::clone(&collector) as Arc<dyn Events>;
    (collector, events)
}

fn filters(options: &TransferOptions) -> Filters {
    Filters::new(options, &mut |_| Ok(Vec::new())).expect("rules")
}

fn bytes(path: &Path) -> Vec<u8> {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec()
}

/// Sources that are all there.
fn arguments(sources: &[&str], options: &TransferOptions) -> Source {
    let sources: Vec<Vec<u8>> = sources
        .iter()
        .map(|path| path.as_bytes().to_vec())
        .collect();
    let (arguments, missing) = source::arguments(&sources, options.relative).unwrap();
    assert!(missing.is_empty(), "{missing:?}");
    Source::Arguments(arguments)
}

/// A local copy by the library. Sources as on a command line.
pub(crate) fn copy(words: &[&str], sources: &[&str], destination: &Path) -> Run {
    let options = options(words);
    let (collector, events) = collector(&options, true);
    let source = arguments(sources, &options);
    let destination = Destination::from(bytes(destination));
    let filters = filters(&options);
    let cancel = Cancel::new();
    let result = local::copy(
        source,
        Some(destination),
        options,
        filters,
        &cancel,
        &events,
    );
    Run::of(result, &collector)
}

fn target(port: u16) -> DaemonTarget {
    DaemonTarget {
        host: "127.0.0.1".to_owned(),
        port,
        user: None,
        module: b"m".to_vec(),
        path: Vec::new(),
    }
}

/// A push by the library into `path` of module `m`.
pub(crate) fn push(words: &[&str], sources: &[&str], daemon: &Daemon, path: &str) -> Run {
    push_to(words, sources, daemon.addr().port(), path)
}

/// The same to a port of the loopback.
pub(crate) fn push_to(words: &[&str], sources: &[&str], port: u16, path: &str) -> Run {
    let options = options(words);
    let (collector, events) = collector(&options, false);
    let source = arguments(sources, &options);
    let result = OpenSession::open(
        &target(port),
        Direction::Push,
        &[format!("m/{path}").into_bytes()],
        options.clone(),
        &Connect::default(),
        Cancel::new(),
        &events,
    )
    .and_then(|session| session.push(source, filters(&options), &events));
    Run::of(result, &collector)
}

/// A pull by the library of paths in module `m`.
pub(crate) fn pull(words: &[&str], daemon: &Daemon, paths: &[&str], destination: &Path) -> Run {
    let options = options(words);
    let (collector, events) = collector(&options, false);
    let paths: Vec<Vec<u8>> = paths
        .iter()
        .map(|path| format!("m/{path}").into_bytes())
        .collect();
    let result = OpenSession::open(
        &target(daemon.addr().port()),
        Direction::Pull,
        &paths,
        options.clone(),
        &Connect::default(),
        Cancel::new(),
        &events,
    )
    .and_then(|session| {
        let destination = Destination::from(bytes(destination));
        session.pull(Some(destination), filters(&options), &events)
    });
    Run::of(result, &collector)
}
