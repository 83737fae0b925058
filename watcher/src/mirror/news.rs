//! What a session says while it runs: progress, messages, what arrived and what did not.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rsync_engine::fs::{Errno, Links, RelPath, Tree};
use rsync_engine::send::{PickedAction, PickedName};
use rsync_engine::{Event, Events, TextKind};
use syncline::{Error, PeerText};

use super::blame::{mentioned, plain, topmost_unproven};
use super::halting::Halting;
use crate::path::{self, PathBytes};
use crate::push::{Batch, FailureKind, FullSync, PathFailure, PushEvent};

/// How often a comparison reports how far it is.
const REPORT_EVERY: Duration = Duration::from_millis(200);
/// Texts of a target that are kept; acknowledgements say the rest.
const TEXTS: usize = 1_000;
/// Files on their way that are remembered: a receiver that acknowledges has at most 50 of them (03-transfer 8.8).
const PENDING: usize = 1_000;

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
    deleted: HashSet<PathBytes>,
    deletions: u64,
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

    /// The failures of a session with these names that came to its end.
    pub(super) fn failures(
        &self,
        batch: &Batch,
        names: &[PickedName],
        failed: &mut Vec<PathFailure>,
    ) {
        let own = self.with(|news| {
            let own = std::mem::take(&mut news.failed);
            if !news.errors.is_empty() {
                news.blame(self.asked, batch, names, failed);
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
    fn blame(
        &self,
        asked: bool,
        batch: &Batch,
        names: &[PickedName],
        failed: &mut Vec<PathFailure>,
    ) {
        let known: HashMap<&[u8], &PickedName> =
            names.iter().map(|name| (&name.path[..], name)).collect();
        let is_known =
            |path: &[u8]| known.contains_key(path) || batch.has_directory(path) && !path.is_empty();
        let mut texts: HashMap<Vec<u8>, &[u8]> = HashMap::new();
        let mut nameless = None;
        for text in &self.errors {
            match mentioned(text, |path| is_known(path).then(|| path.to_vec())) {
                Some(path) => drop(texts.entry(path).or_insert(text)),
                None => nameless = Some(&text[..]),
            }
        }
        let is_file = |name: &PickedName| {
            name.action == PickedAction::Send && !batch.has_directory(&name.path)
        };
        let any = nameless.or_else(|| self.errors.last().map(Vec::as_slice));
        let mut found = Vec::new();
        // Without acknowledgements all that is not mentioned is in doubt when a text mentions nothing.
        let arrived = |name: &PickedName| match asked {
            true => self.acknowledged.contains(&name.path[..]),
            false => nameless.is_none(),
        };
        for name in names.iter().filter(|name| is_file(name) && !arrived(name)) {
            if texts.contains_key(&name.path) {
                continue;
            }
            let above = path::ancestors(&name.path).find_map(|dir| texts.get(dir).copied());
            if let Some(text) = above.or(any) {
                found.push(refused(&name.path, text, false));
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
            for name in names.iter().filter(|name| !is_file(name)) {
                let done = match name.action {
                    PickedAction::Send => self.is_proven(&name.path),
                    PickedAction::Delete => self.deleted.contains(&name.path[..]),
                };
                if !done {
                    let below = name.action == PickedAction::Send;
                    found.push(refused(&name.path, text, below));
                }
            }
        }
        failed.append(&mut found);
    }

    /// What did not arrive in a comparison, given that something did not.
    fn blame_below(
        &self,
        asked: bool,
        request: &FullSync,
        all_ours: bool,
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
        if failed.len() == before && (all_ours || !asked) {
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
            event => news.note(event, self.asked),
        });
        self.report();
    }

    fn wants_progress(&self) -> bool {
        true
    }
}

impl Gathered {
    fn note(&mut self, event: Event<'_>, asked: bool) {
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
                if asked {
                    self.deleted.insert(name.into());
                }
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
            } => self.note_error(text.as_bytes()),
            Event::Message { text, .. } => {
                self.messages.push(text.to_string().trim_end().to_owned())
            }
            _ => {}
        }
    }

    fn note_error(&mut self, text: &[u8]) {
        if self.errors.len() < TEXTS {
            self.errors.push(text.trim_ascii_end().to_vec());
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

/// The root has an empty path here and the name "." in a transfer.
fn root_or(name: &[u8]) -> &[u8] {
    if name == b"." { b"" } else { name }
}
