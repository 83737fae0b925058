//! What a session says while it runs: progress, messages, what arrived and what did not.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rsync_engine::fs::{Errno, Links, RelPath, Tree};
use rsync_engine::{Event, Events, TextKind};
use syncline::{Error, PeerText};

use super::blame::{mentioned, plain, topmost_unproven};
use super::halting::Halting;
use super::names::Part;
use crate::path::{self, PathBytes};
use crate::push::{Batch, EntryKind, FailureKind, FullSync, PathFailure, PushEvent};

/// How often a comparison reports how far it is.
const REPORT_EVERY: Duration = Duration::from_millis(200);
/// Texts of a target that are kept; acknowledgements say the rest.
const TEXTS: usize = 1_000;
/// Files on their way that are remembered: a receiver that acknowledges has at most 50 of them (03-transfer 8.8).
const PENDING: usize = 1_000;

/// The end of what a receiver says when it deletes nothing (03-transfer 8.3).
const SKIPPED: &str = "IO error encountered -- skipping file deletion";

/// The beginning of what it says when nothing takes the place of a directory. A kind of object and its name follow.
const IN_THE_WAY: &[u8] = b"could not make way for new ";

/// What a session says, gathered from its threads.
#[derive(Debug)]
pub(super) struct News {
    /// Acknowledgements were asked for.
    asked: bool,
    /// A comparison: which names arrived is not asked.
    nameless: bool,
    halting: Arc<Halting>,
    gathered: Mutex<Gathered>,
    progress: Mutex<Option<Sender<PushEvent>>>,
}

#[derive(Debug, Default)]
struct Gathered {
    failed: Vec<PathFailure>,
    /// Texts of errors, as they came.
    errors: Vec<Vec<u8>>,
    acknowledged: HashSet<PathBytes>,
    /// Directories in or below which something was acknowledged.
    proven: HashSet<PathBytes>,
    unacknowledged: Vec<PathBytes>,
    /// Files whose data was sent and not acknowledged, in this order.
    pending: VecDeque<PathBytes>,
    /// Files that were sent and acknowledged.
    stored: u64,
    /// The names to delete that are still to come.
    to_delete: HashSet<PathBytes>,
    gone: Vec<PathBytes>,
    deletions: u64,
    /// The target deleted nothing for want of names in the list, because of a read error at the source.
    skipped_deletion: bool,
    files: u64,
    bytes: u64,
    messages: Vec<String>,
    entries: u64,
    reported: Option<Instant>,
}

impl News {
    pub(super) fn new(asked: bool, halting: &Arc<Halting>) -> Self {
        Self {
            asked,
            nameless: false,
            halting: Arc::clone(halting),
            gathered: Mutex::default(),
            progress: Mutex::default(),
        }
    }

    /// Those of a comparison, whose progress goes to `progress` at once.
    pub(super) fn of_comparison(self, progress: Sender<PushEvent>) -> Self {
        Self {
            nameless: true,
            progress: Mutex::new(Some(progress)),
            ..self
        }
    }

    /// Those of a session that is to delete these names.
    pub(super) fn of_deletions(self, names: HashSet<PathBytes>) -> Self {
        self.with(|news| news.to_delete = names);
        self
    }

    fn with<T>(&self, look: impl FnOnce(&mut Gathered) -> T) -> T {
        look(&mut self.gathered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn end_progress(&self) {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// Reports how far it is, now and then.
    fn report(&self) {
        let due = self.with(|news| {
            let due = news
                .reported
                .is_none_or(|last| last.elapsed() >= REPORT_EVERY);
            if due {
                news.reported = Some(Instant::now());
            }
            due.then_some(PushEvent::Progress {
                files: news.files,
                files_total: news.entries,
                bytes: news.bytes,
                bytes_total: 0,
            })
        });
        if let Some(event) = due
            && let Some(progress) = &*self.progress.lock().unwrap_or_else(PoisonError::into_inner)
        {
            // The one who listens may be gone already.
            let _ = progress.send(event);
        }
    }

    /// The number of names that the target deleted.
    pub(super) fn deletions(&self) -> u64 {
        self.with(|news| news.deletions)
    }

    /// Those of the names to delete that the target deleted.
    pub(super) fn take_gone(&self) -> Vec<PathBytes> {
        self.with(|news| std::mem::take(&mut news.gone))
    }

    /// What the peer said before the session ended.
    pub(super) fn last_words(&self) -> String {
        self.with(|news| {
            let texts: Vec<String> = news.errors.iter().map(|text| shown(text)).collect();
            texts.join("; ")
        })
    }

    /// Hands the messages on.
    pub(super) fn deliver(&self, events: &mut dyn FnMut(PushEvent)) {
        for message in self.with(|news| std::mem::take(&mut news.messages)) {
            events(PushEvent::Message(message));
        }
    }

    /// Acknowledgements were asked for.
    pub(super) fn asked(&self) -> bool {
        self.asked
    }

    /// The target spoke of an error.
    pub(super) fn is_troubled(&self) -> bool {
        self.with(|news| !news.errors.is_empty())
    }

    /// Whether the target ended the session because of a file that it could not store: its disk is full, or the file is too large for it.
    pub(super) fn broke_off(&self, error: &Error) -> bool {
        let ended = matches!(
            error,
            Error::Session(
                rsync_engine::Error::Disconnected { .. } | rsync_engine::Error::Connection { .. }
            )
        );
        // Before protocol 31 it cannot send its exit code.
        error.exit_code() == FILE_IO || (ended && self.is_troubled())
    }

    /// Whether the target has this name as it was in the list.
    pub(super) fn is_acknowledged(&self, path: &[u8]) -> bool {
        self.with(|news| news.acknowledged.contains(path))
    }

    /// The names that the target has.
    pub(super) fn acknowledged(&self) -> Vec<PathBytes> {
        self.with(|news| news.acknowledged.iter().cloned().collect())
    }

    /// The number of files that were sent and that the target has.
    pub(super) fn stored(&self) -> u64 {
        self.with(|news| news.stored)
    }

    /// The file that the target was about to store: a receiver stores them in the order in which they are sent.
    pub(super) fn being_stored(&self) -> Option<PathBytes> {
        self.with(|news| news.pending.front().cloned())
    }

    /// This name was asked for and its data kept here.
    pub(super) fn withheld(&self, path: &[u8], kind: FailureKind, why: &str) {
        self.with(|news| {
            news.failed.push(PathFailure {
                path: path.into(),
                kind,
                text: why.to_owned(),
                below: false,
            });
        });
    }

    /// The failures of a session of these names that came to its end.
    pub(super) fn failures(&self, batch: &Batch, part: &Part, failed: &mut Vec<PathFailure>) {
        let own = self.with(|news| {
            let mut own = std::mem::take(&mut news.failed);
            if news.skipped_deletion {
                let gone = part.by_rules.iter().map(|gone| &gone.path[..]);
                let left = gone.filter(|path| news.to_delete.contains(*path));
                own.extend(left.map(|path| PathFailure {
                    path: path.into(),
                    kind: FailureKind::Changed,
                    text: "not deleted, as something could not be read".to_owned(),
                    below: false,
                }));
            }
            if !news.errors.is_empty() {
                news.blame(self.asked, batch, part, failed);
            }
            own
        });
        add_failures(failed, own);
    }

    /// The failures of a comparison that came to its end.
    pub(super) fn failures_below(&self, request: &FullSync, failed: &mut Vec<PathFailure>) {
        let own = self.with(|news| {
            let own = std::mem::take(&mut news.failed);
            if !news.errors.is_empty() {
                news.blame_below(self.asked, request, own.is_empty(), failed);
            }
            own
        });
        add_failures(failed, own);
    }
}

/// rsync's exit code for a file that could not be written (01-session 12.3).
const FILE_IO: u8 = 11;

/// Adds failures of our own side, which say more than the target's of the same names.
fn add_failures(failed: &mut Vec<PathFailure>, own: Vec<PathFailure>) {
    failed.splice(..0, own);
    failed.sort_by(|a, b| a.path.cmp(&b.path));
    failed.dedup_by(|a, b| a.path == b.path);
}

impl Gathered {
    fn is_proven(&self, dir: &[u8]) -> bool {
        self.proven.contains(dir)
    }

    /// The names of a batch that did not arrive, given that something did not.
    fn blame(&self, asked: bool, batch: &Batch, part: &Part, failed: &mut Vec<PathFailure>) {
        let known: HashSet<&[u8]> = part.paths().collect();
        let is_known =
            |path: &[u8]| known.contains(path) || batch.has_directory(path) && !path.is_empty();
        let mut texts: HashMap<Vec<u8>, &[u8]> = HashMap::new();
        let mut nameless = None;
        for text in &self.errors {
            match mentioned(text, |path| is_known(path).then(|| path.to_vec())) {
                Some(path) => drop(texts.entry(path).or_insert(text)),
                None => nameless = Some(&text[..]),
            }
        }
        let any = nameless.or_else(|| self.errors.last().map(Vec::as_slice));
        let mut found = Vec::new();
        // Without acknowledgements all that is not mentioned is in doubt when a text mentions nothing.
        let arrived = |path: &[u8]| match asked {
            true => self.acknowledged.contains(path),
            false => nameless.is_none(),
        };
        let files = part.to_send().filter(|path| !batch.has_directory(path));
        for path in files.filter(|path| !arrived(path)) {
            if texts.contains_key(path) {
                continue;
            }
            let above = path::ancestors(path).find_map(|dir| texts.get(dir).copied());
            if let Some(text) = above.or(any) {
                found.push(refused(path, text, false));
            }
        }
        for (path, text) in &texts {
            let below = batch.has_directory(path) && !(asked && self.is_proven(path));
            found.push(refused(path, text, below));
        }
        if let Some(text) = nameless
            && found.is_empty()
        {
            // What is never acknowledged: directories with nothing in them, and deletions.
            let directories = part.to_send().filter(|path| batch.has_directory(path));
            for path in directories.filter(|path| !self.is_proven(path)) {
                let entry = batch.entry(path);
                // One from which nothing is deleted has nothing below it in this session.
                let below = entry.is_some_and(|entry| entry.kind != EntryKind::Parent);
                found.push(refused(path, text, below));
            }
            let deletions = part
                .to_delete()
                .filter(|path| self.to_delete.contains(*path));
            found.extend(deletions.map(|path| refused(path, text, false)));
        }
        failed.append(&mut found);
    }

    /// What did not arrive in a comparison, given that something did not. `unexplained`: no failure at this side is the reason.
    fn blame_below(
        &self,
        asked: bool,
        request: &FullSync,
        unexplained: bool,
        failed: &mut Vec<PathFailure>,
    ) {
        let before = failed.len();
        let mut texts: HashMap<PathBytes, &[u8]> = HashMap::new();
        for text in &self.errors {
            if let Some((path, below)) = mentioned(text, |path| on_the_way(&request.root, path)) {
                let path: PathBytes = path.into();
                let proven = asked && self.is_proven(&path);
                // What is there and not here may still have to go.
                let below = below.is_none_or(|is_dir| is_dir && !proven);
                texts.entry(path.clone()).or_insert(text);
                failed.push(refused(&path, text, below));
            }
        }
        let last = self.errors.last().map_or(&b""[..], Vec::as_slice);
        for name in &self.unacknowledged {
            let top = topmost_unproven(name, |dir| self.is_proven(dir));
            let (path, below) = top.map_or((&name[..], false), |dir| (dir, true));
            let text = texts.get(path).or_else(|| texts.get(name));
            failed.push(refused(path, text.copied().unwrap_or(last), below));
        }
        if failed.len() == before && (unexplained || !asked) {
            failed.push(refused(&request.path, last, true));
        }
    }
}

/// The deepest part of `path` that is there, if its first name is, and what it is: a directory, another object, or only the way to one
/// that is not there.
fn on_the_way(root: &Tree, path: &[u8]) -> Option<(Vec<u8>, Option<bool>)> {
    let stat = |path: &[u8]| {
        let path = RelPath::new(path).ok()?;
        root.stat(path, Links::Refuse).ok()
    };
    if let Some(stat) = stat(path) {
        return Some((path.to_vec(), Some(stat.is_dir())));
    }
    path::ancestors(path)
        .filter(|dir| !dir.is_empty())
        .find(|dir| stat(dir).is_some_and(|stat| stat.is_dir()))
        .map(|dir| (dir.to_vec(), None))
}

fn refused(path: &[u8], text: &[u8], below: bool) -> PathFailure {
    PathFailure {
        path: path.into(),
        kind: FailureKind::Refused,
        text: shown(text),
        below,
    }
}

/// A text as a person may read it: what the target escaped is not escaped twice.
fn shown(text: &[u8]) -> String {
    let text = plain(text.trim_ascii_end());
    PeerText(text).to_string()
}

/// Ends the reports of progress, however the session ends.
pub(super) struct EndProgress(pub(super) Arc<News>);

impl Drop for EndProgress {
    fn drop(&mut self) {
        self.0.end_progress();
    }
}

impl Events for News {
    fn event(&self, event: Event<'_>) {
        match &event {
            Event::Item(item) if item.is_transfer() => self.halting.file(true),
            Event::Progress(_) => self.halting.file(true),
            Event::Transferred { .. } => self.halting.file(false),
            _ => {}
        }
        self.with(|news| match event {
            Event::Acknowledged { name } => news.acknowledge(name, !self.nameless),
            event => news.note(event, self.asked, self.nameless),
        });
        self.report();
    }

    fn wants_progress(&self) -> bool {
        true
    }
}

impl Gathered {
    fn note(&mut self, event: Event<'_>, asked: bool, comparison: bool) {
        let failure = |path: &[u8], kind, text| PathFailure {
            path: path.into(),
            kind,
            text,
            below: true,
        };
        match event {
            Event::Failed(failed) => {
                // It shrank while it was read.
                let shrank = failed.source.as_ref().is_some_and(|error| {
                    error.raw_os_error() == Some(Errno::NODATA.raw_os_error())
                });
                let kind = if failed.vanished || shrank {
                    FailureKind::Changed
                } else {
                    FailureKind::Refused
                };
                self.failed
                    .push(failure(root_or(&failed.name), kind, failed.to_string()));
            }
            Event::ChangedWhileRead { name } => {
                let text = "changed while it was read".to_owned();
                self.failed
                    .push(failure(root_or(name), FailureKind::Changed, text));
            }
            Event::ListComplete { entries, .. } => self.entries = entries,
            Event::Deleted { name, .. } => {
                self.deletions += 1;
                self.gone.extend(self.to_delete.take(name));
            }
            Event::Item(item) if asked && item.is_transfer() => {
                if self.pending.len() == PENDING {
                    self.pending.pop_front();
                }
                self.pending.push_back(item.name.into());
            }
            Event::Unacknowledged { name } => self.unacknowledged.push(name.into()),
            Event::Transferred { item, .. } => {
                self.files += 1;
                self.bytes += item.size;
            }
            Event::Message {
                kind: TextKind::Error | TextKind::ErrorXfer,
                text,
            } => self.note_error(text.as_bytes(), comparison),
            Event::Message { text, .. } => {
                let text = text.to_string().trim_end().to_owned();
                self.skipped_deletion |= text.ends_with(SKIPPED);
                self.messages.push(text);
            }
            _ => {}
        }
    }

    fn note_error(&mut self, text: &[u8], comparison: bool) {
        let text = text.trim_ascii_end();
        match in_the_way(text) {
            Some(path) if self.failed.len() < TEXTS => {
                // A batch has the rules that say whether it may be replaced.
                let kind = match comparison {
                    true => FailureKind::Changed,
                    false => FailureKind::Refused,
                };
                self.failed.push(PathFailure {
                    kind,
                    ..refused(&path, text, false)
                });
            }
            _ if self.errors.len() < TEXTS => self.errors.push(text.to_vec()),
            _ => {}
        }
    }

    fn acknowledge(&mut self, name: &[u8], keep: bool) {
        if let Some(at) = self.pending.iter().position(|pending| **pending == *name) {
            self.pending.remove(at);
            self.stored += 1;
        }
        if keep {
            self.acknowledged.insert(name.into());
        }
        for dir in path::ancestors(name) {
            // Those above it were noted with it.
            if self.proven.contains(dir) {
                break;
            }
            self.proven.insert(dir.into());
        }
    }
}

/// The name that a directory at the target keeps out, as rules protect something in it (07-filters 6.2).
fn in_the_way(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_prefix(IN_THE_WAY)?;
    let colon = text.windows(2).position(|two| two == b": ")?;
    Some(plain(&text[colon + 2..]))
}

/// The root has an empty path here and the name "." in a transfer.
fn root_or(name: &[u8]) -> &[u8] {
    if name == b"." { b"" } else { name }
}
