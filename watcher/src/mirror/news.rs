//! What a session tells while it runs: progress, messages, and the names that did not arrive.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rsync_engine::fs::Errno;
use rsync_engine::{Event, Events, TextKind};

use super::blame::Named;
use crate::path::PathBytes;
use crate::push::{FailureKind, PathFailure, PushEvent};

/// How often a comparison tells how far it is.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// What a session tells, gathered from its threads.
#[derive(Debug, Default)]
pub(super) struct News {
    gathered: Mutex<Gathered>,
    progress: Mutex<Option<Sender<PushEvent>>>,
}

#[derive(Debug, Default)]
struct Gathered {
    failed: Vec<PathFailure>,
    errors: Vec<String>,
    deleted: u64,
    files: u64,
    bytes: u64,
    messages: Vec<String>,
    entries: u64,
    reported: Option<Instant>,
}

impl News {
    /// News whose progress goes to `progress` at once.
    pub(super) fn with_progress(progress: Sender<PushEvent>) -> Self {
        Self {
            progress: Mutex::new(Some(progress)),
            ..Self::default()
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

    /// Tells how far it is, now and then.
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

    /// Names that the target deleted.
    pub(super) fn deleted(&self) -> u64 {
        self.with(|news| news.deleted)
    }

    /// What the peer said before the session ended.
    pub(super) fn last_words(&self) -> String {
        self.with(|news| news.errors.join("; "))
    }

    /// Hands the messages on.
    pub(super) fn deliver(&self, events: &mut dyn FnMut(PushEvent)) {
        for message in self.with(|news| std::mem::take(&mut news.messages)) {
            events(PushEvent::Message(message));
        }
    }

    /// The failures of a session with these names that came to its end.
    pub(super) fn failures(&self, named: &[PathBytes], failed: &mut Vec<PathFailure>) {
        self.with(|news| {
            failed.append(&mut news.failed);
            if news.errors.is_empty() {
                return;
            }
            let names = Named::new(named);
            for text in &news.errors {
                failed.extend(names.blamed(text).into_iter().map(|path| PathFailure {
                    path: path.clone(),
                    kind: FailureKind::Refused,
                    text: text.clone(),
                }));
            }
        });
        failed.sort_by(|a, b| a.path.cmp(&b.path));
        failed.dedup_by(|a, b| a.path == b.path);
    }
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
        let failure = |path: &[u8], kind, text| PathFailure {
            path: path.into(),
            kind,
            text,
        };
        self.with(|news| match event {
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
                news.failed
                    .push(failure(root_or(&failed.name), kind, failed.to_string()));
            }
            Event::ChangedWhileRead { name } => {
                let text = "changed while it was read".to_owned();
                news.failed
                    .push(failure(root_or(name), FailureKind::Changed, text));
            }
            Event::ListComplete { entries, .. } => news.entries = entries,
            Event::Deleted { .. } => news.deleted += 1,
            Event::Transferred { item, .. } => {
                news.files += 1;
                news.bytes += item.size;
            }
            Event::Message {
                kind: TextKind::Error | TextKind::ErrorXfer,
                text,
            } => {
                news.errors.push(text.to_string().trim_end().to_owned());
            }
            Event::Message { text, .. } => {
                news.messages.push(text.to_string().trim_end().to_owned())
            }
            _ => {}
        });
        self.report();
    }
}

/// The root has an empty path here and the name "." in a transfer.
fn root_or(name: &[u8]) -> &[u8] {
    if name == b"." { b"" } else { name }
}
