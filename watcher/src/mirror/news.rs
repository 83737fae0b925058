//! What a session tells while it runs: progress, messages, and the names that did not arrive.

use std::collections::HashSet;
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

/// The end of what a receiver says when it deletes nothing (03-transfer 8.3).
const SKIPPED: &str = "IO error encountered -- skipping file deletion";

/// The beginning of what it says when nothing takes the place of a directory. A kind of object and its name follow.
const IN_THE_WAY: &[u8] = b"could not make way for new ";

/// What a session tells, gathered from its threads.
#[derive(Debug, Default)]
pub(super) struct News {
    gathered: Mutex<Gathered>,
    progress: Mutex<Option<Sender<PushEvent>>>,
}

#[derive(Debug, Default)]
struct Gathered {
    comparison: bool,
    failed: Vec<PathFailure>,
    errors: Vec<String>,
    deleted: u64,
    /// The names to delete that are still to come.
    to_delete: HashSet<PathBytes>,
    gone: Vec<PathBytes>,
    /// The target deleted nothing for want of names in the list, because of a read error at the source.
    skipped_deletion: bool,
    files: u64,
    bytes: u64,
    messages: Vec<String>,
    entries: u64,
    reported: Option<Instant>,
}

impl News {
    /// News of a comparison, whose progress goes to `progress` at once.
    pub(super) fn of_comparison(progress: Sender<PushEvent>) -> Self {
        Self {
            progress: Mutex::new(Some(progress)),
            gathered: Mutex::new(Gathered {
                comparison: true,
                ..Gathered::default()
            }),
        }
    }

    /// News of a session that is to delete these names.
    pub(super) fn of_deletions(names: HashSet<PathBytes>) -> Self {
        let news = Self::default();
        news.with(|news| news.to_delete = names);
        news
    }

    /// Those that the target deleted.
    pub(super) fn take_gone(&self) -> Vec<PathBytes> {
        self.with(|news| std::mem::take(&mut news.gone))
    }

    /// True if rules had no effect: what they delete is to be asked for once more.
    pub(super) fn skipped_deletion(&self) -> bool {
        self.with(|news| news.skipped_deletion)
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
            Event::Deleted { name, .. } => {
                news.deleted += 1;
                news.gone.extend(news.to_delete.take(name));
            }
            Event::Transferred { item, .. } => {
                news.files += 1;
                news.bytes += item.size;
            }
            Event::Message {
                kind: TextKind::Error | TextKind::ErrorXfer,
                text,
            } => {
                let shown = text.to_string().trim_end().to_owned();
                match in_the_way(text.0) {
                    Some(path) => {
                        // A batch has the rules that say whether it may be replaced.
                        let kind = if news.comparison {
                            FailureKind::Changed
                        } else {
                            FailureKind::Refused
                        };
                        news.failed.push(failure(path, kind, shown));
                    }
                    None => news.errors.push(shown),
                }
            }
            Event::Message { text, .. } => {
                let text = text.to_string().trim_end().to_owned();
                news.skipped_deletion |= text.ends_with(SKIPPED);
                news.messages.push(text);
            }
            _ => {}
        });
        self.report();
    }
}

/// The name that a directory at the target keeps out, as rules protect something in it (07-filters 6.2).
fn in_the_way(text: &[u8]) -> Option<&[u8]> {
    let text = text.trim_ascii_end().strip_prefix(IN_THE_WAY)?;
    let colon = text.windows(2).position(|two| two == b": ")?;
    Some(&text[colon + 2..])
}

/// The root has an empty path here and the name "." in a transfer.
fn root_or(name: &[u8]) -> &[u8] {
    if name == b"." { b"" } else { name }
}
