//! The pusher that speaks rsync: batches and comparisons over sessions with daemons, or to a local folder.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rsync_engine::fs::Links;
use rsync_engine::options::{Delete, Direction, TransferOptions};
use rsync_engine::receive::Destination;
use rsync_engine::send::{Argument, Picked, PickedAction, PickedName, Source};
use rsync_engine::{Cancel, Event, Events, Outcome, TextKind};
use syncline::daemon::{Connect, OpenSession};
use syncline::{DaemonTarget, Error, Filters, local};

use crate::path::PathBytes;
use crate::push::{
    Batch, EntryKind, FailureKind, FullSync, PathFailure, PushEvent, PushResult, PushStats, Pusher,
    Retry, SessionError,
};

/// How long an idle session is kept open: daemons of 3.5.0 close silent ones after a minute at the earliest
/// stage, others when their own timeout says so.
const KEEP_OPEN: Duration = Duration::from_secs(40);
/// How often an idle session is renewed before it is given up until the next change.
const RENEWALS: u32 = 5;
/// Attribute changes of regular files up to this size ride along with content, which checks them by checksum.
const SMALL: u64 = 1 << 20;
/// How often a comparison tells how far it is.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// Where a mirror is.
#[derive(Debug, Clone)]
pub enum MirrorTarget {
    /// A folder of this machine.
    Local(PathBuf),
    /// A module of a daemon, or a path in one.
    Daemon {
        /// Where.
        target: DaemonTarget,
        /// Who we are, and how long we wait.
        connect: Connect,
    },
}

/// Pushes batches to one mirror.
pub struct Mirror {
    target: MirrorTarget,
    options: TransferOptions,
    filters: Filters,
    /// See [`Mirror::source`].
    source: Vec<u8>,
    deletes: bool,
    /// The target cannot delete named entries: rules say what goes (03-transfer 8.6).
    by_rules: bool,
    /// The target compares times to the nanosecond.
    nanoseconds: bool,
    /// The target refuses `--force`.
    no_force: bool,
    cancel: Cancel,
    spare: Option<Spare>,
    renewals: u32,
}

impl std::fmt::Debug for Mirror {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirror")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// A session opened in advance.
struct Spare {
    session: OpenSession,
    options: TransferOptions,
    since: Instant,
}

/// The sessions that a batch may need: options are fixed for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// Content goes past the quick check.
    Off,
    /// The receiver's quick check decides.
    On,
}

impl Mirror {
    /// `options`: what to keep of files, as for a transfer; recursion and deletions are set for each session.
    /// `deletes`: what is gone at the source may be deleted at the mirror.
    #[must_use]
    pub fn new(
        target: MirrorTarget,
        options: TransferOptions,
        filters: Filters,
        deletes: bool,
        cancel: Cancel,
    ) -> Self {
        Self {
            target,
            options,
            filters,
            source: Vec::new(),
            deletes,
            by_rules: false,
            nanoseconds: true,
            no_force: false,
            cancel,
            spare: None,
            renewals: 0,
        }
    }

    /// The absolute path of the source, for rules that are compared with such (07-filters 5.3).
    #[must_use]
    pub fn source(mut self, absolute: Vec<u8>) -> Self {
        self.source = absolute;
        self
    }

    /// The options of a session that lists just the names of a batch.
    fn batch_options(&self, check: Check) -> TransferOptions {
        TransferOptions {
            recursive: self.by_rules && self.deletes,
            dirs: false,
            delete: if self.by_rules && self.deletes {
                Delete::During
            } else {
                Delete::Off
            },
            delete_missing_args: self.deletes && !self.by_rules,
            force: self.deletes && !self.by_rules,
            ignore_times: check == Check::Off,
            modify_window: self.window(),
            inc_recursive: false,
            ..self.options.clone()
        }
    }

    /// How close times count as equal: to the nanosecond where the wire has them. In whole seconds two changes of one
    /// second, with a kill of ours between them, would look like one; and times of directories and symlinks, which are
    /// pushed within the second in which they changed, would only be set where the second differs.
    fn window(&self) -> Option<i32> {
        let known = self.nanoseconds && self.options.protocol.is_none_or(|number| number > 30);
        known.then_some(-1).or(self.options.modify_window)
    }

    fn push_names(
        &mut self,
        batch: &Batch,
        names: Vec<PickedName>,
        check: Check,
        news: &Arc<News>,
    ) -> Result<Outcome, Error> {
        let options = self.batch_options(check);
        let mut filters = Filters::default();
        let picked = if self.by_rules && self.deletes {
            let (names, content, rules) = by_rules(names);
            filters = Filters::from_wire_texts(rules);
            Picked {
                tree: batch.root.clone(),
                names,
                content,
            }
        } else {
            Picked {
                tree: batch.root.clone(),
                names,
                content: HashSet::new(),
            }
        };
        self.run(Source::Picked(picked), options, filters, news)
    }

    fn run(
        &mut self,
        source: Source,
        options: TransferOptions,
        filters: Filters,
        news: &Arc<News>,
    ) -> Result<Outcome, Error> {
        let events: Arc<dyn Events> = Arc::clone(news) as Arc<dyn Events>;
        let (target, connect) = match &self.target {
            MirrorTarget::Local(path) => {
                let mut path = path.clone().into_os_string();
                path.push("/");
                let destination = Destination::Local(path.into());
                return local::copy(
                    source,
                    Some(destination),
                    options,
                    filters,
                    &self.cancel,
                    &events,
                );
            }
            MirrorTarget::Daemon { target, connect } => (target, connect),
        };
        let session = match self.spare.take() {
            Some(spare) if spare.fits(&options) => spare.session,
            _ => open(target, connect, options, &self.cancel, &events)?,
        };
        let outcome = session.push(source, filters, &events)?;
        if outcome
            .protocol
            .is_some_and(|protocol| protocol.number() < 31)
        {
            // Whole seconds only: with the window every file would differ, every time.
            self.nanoseconds = false;
        }
        Ok(outcome)
    }

    /// One comparison; its progress goes to `events` while it runs.
    fn compare(
        &mut self,
        request: &FullSync,
        events: &mut dyn FnMut(PushEvent),
    ) -> (Result<Outcome, Error>, Arc<News>) {
        let options = TransferOptions {
            recursive: true,
            relative: !request.path.is_empty(),
            ignore_times: request.ignore_times,
            delete: if request.delete_extras && self.deletes {
                Delete::During
            } else {
                Delete::Off
            },
            force: self.deletes && !self.no_force,
            modify_window: self.window(),
            ..self.options.clone()
        };
        let name = if request.path.is_empty() {
            b".".to_vec()
        } else {
            request.path.to_vec()
        };
        let argument = Argument {
            tree: request.root.clone(),
            absolute: self.source.clone(),
            links: Links::Refuse,
            implied: !request.path.is_empty(),
            contents: true,
            shown: name.clone(),
            name,
            place: Vec::new(),
        };
        let (progress, reports) = channel();
        let news = Arc::new(News {
            progress: Mutex::new(Some(progress)),
            ..News::default()
        });
        let filters = self.filters.clone();
        // The session runs beside, so that its progress can be told meanwhile.
        let done = std::thread::scope(|scope| {
            let end = EndProgress(Arc::clone(&news));
            let running = std::thread::Builder::new()
                .name("comparison".to_owned())
                .spawn_scoped(scope, || {
                    let end = end;
                    self.run(Source::Arguments(vec![argument]), options, filters, &end.0)
                });
            reports.iter().for_each(&mut *events);
            match running.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(done)) => done,
                Ok(Err(_)) => Err(Error::Thread("comparison".to_owned())),
                Err(error) => Err(Error::Thread(error.to_string())),
            }
        });
        (done, news)
    }

    /// Learns from a failed session what this target cannot do. True: it is worth trying again at once.
    fn learn(&mut self, error: &Error, words: &str) -> bool {
        if !self.no_force && words.contains("refuse --force") {
            // Rules need no --force: the right to delete includes it.
            self.no_force = true;
            self.by_rules = true;
            return true;
        }
        let cannot = [
            "invalid file mode",
            "skipping non-regular file",
            "unknown option",
            "--delete-missing-args",
        ];
        let refused = error.exit_code() == 4 || error.exit_code() == 2;
        if self.nanoseconds && refused && words.contains("-@") {
            // 3.1.0 knows no negative window.
            self.nanoseconds = false;
            return true;
        }
        if self.deletes
            && !self.by_rules
            && refused
            && cannot.iter().any(|text| words.contains(text))
        {
            self.by_rules = true;
            return true;
        }
        false
    }

    fn session_error(&mut self, error: &Error, words: &str) -> SessionError {
        let text = if words.is_empty() {
            error.to_string()
        } else {
            words.to_owned()
        };
        let refuses = words.contains("refuse --delete");
        let retry = match error {
            _ if self.deletes && refuses => {
                self.deletes = false;
                Retry::WithoutDeletes
            }
            Error::Refused(reason)
                if reason
                    .as_bytes()
                    .windows(15)
                    .any(|w| w == b"max connections") =>
            {
                Retry::Backoff
            }
            Error::Refused(_) | Error::Password(_) => Retry::Slow,
            Error::Session(rsync_engine::Error::Remote { code: 1 | 4 }) => Retry::Slow,
            _ => Retry::Backoff,
        };
        SessionError { text, retry }
    }
}

impl Spare {
    fn fits(&self, options: &TransferOptions) -> bool {
        self.options == *options && self.since.elapsed() < KEEP_OPEN && self.session.is_alive()
    }
}

fn open(
    target: &DaemonTarget,
    connect: &Connect,
    options: TransferOptions,
    cancel: &Cancel,
    events: &Arc<dyn Events>,
) -> Result<OpenSession, Error> {
    // The slash says that the path is a directory, even for a batch of one name (03-transfer 7.8).
    let mut path = [&target.module[..], b"/", &target.path].concat();
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    OpenSession::open(
        target,
        Direction::Push,
        &[path],
        options,
        connect,
        cancel.clone(),
        events,
    )
}

impl Pusher for Mirror {
    fn push(&mut self, batch: &Batch, events: &mut dyn FnMut(PushEvent)) -> PushResult {
        let mut result = PushResult::default();
        self.renewals = 0;
        let (content, attributes) = sort(batch, self.deletes);
        for (names, check) in [(content, Check::Off), (attributes, Check::On)] {
            if names.is_empty() {
                continue;
            }
            let named: Vec<PathBytes> = names
                .iter()
                .map(|name| name.path.as_slice().into())
                .collect();
            loop {
                let news = Arc::new(News::default());
                let done = self.push_names(batch, names.clone(), check, &news);
                let words = news.last_words();
                news.deliver(events);
                match done {
                    Ok(outcome) => {
                        add(&mut result.stats, &outcome, &news);
                        if words.contains("skipping non-regular file")
                            && !self.by_rules
                            && self.deletes
                        {
                            // An old daemon that was told not to delete named entries says so and goes on.
                            self.by_rules = true;
                            continue;
                        }
                        news.failures(&named, &mut result.failed);
                        break;
                    }
                    Err(error) if self.learn(&error, &words) => {}
                    Err(error) => {
                        result.error = Some(self.session_error(&error, &words));
                        return result;
                    }
                }
            }
        }
        result
    }

    fn full_sync(&mut self, request: &FullSync, events: &mut dyn FnMut(PushEvent)) -> PushResult {
        self.renewals = 0;
        let mut result = PushResult::default();
        loop {
            let (done, news) = self.compare(request, events);
            let words = news.last_words();
            news.deliver(events);
            match done {
                Ok(outcome) => {
                    add(&mut result.stats, &outcome, &news);
                    news.failures(std::slice::from_ref(&request.path), &mut result.failed);
                }
                Err(error) if self.learn(&error, &words) => continue,
                Err(error) => result.error = Some(self.session_error(&error, &words)),
            }
            return result;
        }
    }

    fn prepare(&mut self) -> Option<Duration> {
        let MirrorTarget::Daemon { target, connect } = &self.target else {
            return None;
        };
        let options = self.batch_options(Check::Off);
        if let Some(spare) = &self.spare
            && spare.fits(&options)
        {
            return Some(KEEP_OPEN.saturating_sub(spare.since.elapsed()));
        }
        self.spare = None;
        if self.renewals >= RENEWALS {
            return None;
        }
        self.renewals += 1;
        let events: Arc<dyn Events> = Arc::new(News::default());
        // A spare is a convenience: whatever is wrong shows when there is something to send.
        let session = open(target, connect, options.clone(), &self.cancel, &events).ok()?;
        let keep = connect
            .io_timeout
            .map_or(KEEP_OPEN, |timeout| KEEP_OPEN.min(timeout / 2));
        self.spare = Some(Spare {
            session,
            options,
            since: Instant::now(),
        });
        Some(keep)
    }
}

/// The names of a batch by the session that they need. Deletions go last.
fn sort(batch: &Batch, deletes: bool) -> (Vec<PickedName>, Vec<PickedName>) {
    let picked = |path: &PathBytes, action| PickedName {
        path: path.to_vec(),
        action,
    };
    let (mut content, mut attributes, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for entry in &batch.entries {
        match entry.kind {
            // Parents come with the names below them.
            EntryKind::Parent => {}
            EntryKind::Delete => gone.push(picked(&entry.path, PickedAction::Delete)),
            EntryKind::Attr
                if entry
                    .stat
                    .is_some_and(|stat| stat.is_file() && stat.size > SMALL) =>
            {
                attributes.push(picked(&entry.path, PickedAction::Send));
            }
            EntryKind::Attr | EntryKind::Content => {
                content.push(picked(&entry.path, PickedAction::Send))
            }
        }
    }
    if deletes {
        // A replaced directory must go in the session of its replacement, so all deletions go there.
        content.append(&mut gone);
    }
    (content, attributes)
}

/// Named deletion by filter rules (03-transfer 8.6): the names to send, the directories in which something goes,
/// and the rules that protect everything else.
fn by_rules(names: Vec<PickedName>) -> (Vec<PickedName>, HashSet<Vec<u8>>, Vec<Vec<u8>>) {
    let (gone, mut kept): (Vec<_>, Vec<_>) = names
        .into_iter()
        .partition(|name| name.action == PickedAction::Delete);
    let mut content = HashSet::new();
    let (mut rules, mut listed) = (Vec::new(), HashSet::from([Vec::new()]));
    for name in &gone {
        rules.push([&b"+ /"[..], &literal(&name.path)].concat());
        let parent = parent_of(&name.path).to_vec();
        if content.insert(parent.clone()) && !kept.iter().any(|name| name.path == parent) {
            kept.push(PickedName {
                path: parent,
                action: PickedAction::Send,
            });
        }
    }
    for path in kept.iter().map(|name| &name.path) {
        let mut at = &path[..];
        while !at.is_empty() {
            listed.insert(at.to_vec());
            at = parent_of(at);
        }
    }
    let mut listed: Vec<_> = listed.into_iter().collect();
    listed.sort();
    for dir in listed {
        let mut rule = b"- /".to_vec();
        if !dir.is_empty() {
            rule.extend(escaped(&dir));
            rule.push(b'/');
        }
        rule.push(b'*');
        rules.push(rule);
    }
    (kept, content, rules)
}

fn parent_of(path: &[u8]) -> &[u8] {
    path.iter()
        .rposition(|&byte| byte == b'/')
        .map_or(&path[..0], |slash| &path[..slash])
}

/// A path as a pattern that matches just it: a backslash only counts beside a wildcard.
fn literal(path: &[u8]) -> Vec<u8> {
    if path.iter().any(|byte| b"*?[".contains(byte)) {
        escaped(path)
    } else {
        path.to_vec()
    }
}

fn escaped(path: &[u8]) -> Vec<u8> {
    path.iter()
        .flat_map(|&byte| {
            if b"*?[\\".contains(&byte) {
                vec![b'\\', byte]
            } else {
                vec![byte]
            }
        })
        .collect()
}

fn add(stats: &mut PushStats, outcome: &Outcome, news: &News) {
    stats.add(PushStats {
        files: outcome.stats.transferred,
        deleted: news.deleted(),
        sent: outcome.stats.sent,
        received: outcome.stats.received,
    });
}

/// What a session tells, gathered from its threads.
#[derive(Debug, Default)]
struct News {
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

    fn deleted(&self) -> u64 {
        self.with(|news| news.deleted)
    }

    /// What the peer said before the session ended.
    fn last_words(&self) -> String {
        self.with(|news| news.errors.join("; "))
    }

    fn deliver(&self, events: &mut dyn FnMut(PushEvent)) {
        for message in self.with(|news| std::mem::take(&mut news.messages)) {
            events(PushEvent::Message(message));
        }
    }

    /// The failures of a session that came to its end. A text of the target that names no entry is held against
    /// all names of the session: better sent twice than never.
    fn failures(&self, named: &[PathBytes], failed: &mut Vec<PathFailure>) {
        self.with(|news| {
            failed.append(&mut news.failed);
            for text in &news.errors {
                let mentioned: Vec<&PathBytes> = named
                    .iter()
                    .filter(|path| {
                        !path.is_empty() && text.contains(&*String::from_utf8_lossy(path))
                    })
                    .collect();
                let blamed = if mentioned.is_empty() {
                    named.iter().collect()
                } else {
                    mentioned
                };
                failed.extend(blamed.into_iter().map(|path| PathFailure {
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
struct EndProgress(Arc<News>);

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
                let kind = if failed.vanished {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &[u8], action: PickedAction) -> PickedName {
        PickedName {
            path: path.to_vec(),
            action,
        }
    }

    #[test]
    fn rules_name_what_goes_and_protect_the_rest() {
        let names = vec![
            name(b"a/b/new", PickedAction::Send),
            name(b"a/x*y", PickedAction::Delete),
            name(b"top", PickedAction::Delete),
            name(b"o[d]d/back\\slash", PickedAction::Delete),
        ];
        let (kept, content, rules) = by_rules(names);
        let texts: Vec<String> = rules
            .iter()
            .map(|rule| String::from_utf8_lossy(rule).into_owned())
            .collect();
        assert_eq!(
            texts,
            [
                "+ /a/x\\*y",
                "+ /top",
                "+ /o\\[d]d/back\\\\slash",
                "- /*",
                "- /a/*",
                "- /a/b/*",
                "- /a/b/new/*",
                "- /o\\[d]d/*",
            ]
        );
        let content: std::collections::BTreeSet<_> = content.into_iter().collect();
        assert_eq!(
            content.into_iter().collect::<Vec<_>>(),
            [b"".to_vec(), b"a".to_vec(), b"o[d]d".to_vec()]
        );
        let kept: Vec<_> = kept.into_iter().map(|name| name.path).collect();
        assert_eq!(
            kept,
            [
                b"a/b/new".to_vec(),
                b"a".to_vec(),
                b"".to_vec(),
                b"o[d]d".to_vec()
            ]
        );
    }

    #[test]
    fn refusals_decide_when_to_try_again() {
        let mut mirror = Mirror::new(
            MirrorTarget::Local("/nowhere".into()),
            TransferOptions::archive(),
            Filters::default(),
            true,
            Cancel::new(),
        );
        let refused = |text: &str| Error::Refused(rsync_proto_text(text));
        for (error, words, retry) in [
            (refused("@ERROR: auth failed on module m"), "", Retry::Slow),
            (
                refused("@ERROR: max connections (1) reached -- try again later"),
                "",
                Retry::Backoff,
            ),
            (
                Error::Session(rsync_engine::Error::Remote { code: 4 }),
                "The server is configured to refuse --delete",
                Retry::WithoutDeletes,
            ),
            (
                Error::Session(rsync_engine::Error::Remote { code: 1 }),
                "ERROR: module is read only",
                Retry::Slow,
            ),
            (
                Error::Session(rsync_engine::Error::Disconnected { received: 7 }),
                "",
                Retry::Backoff,
            ),
        ] {
            mirror.deletes = true;
            let told = mirror.session_error(&error, words);
            assert_eq!(told.retry, retry, "{error}");
            assert!(!told.text.is_empty());
        }
    }

    fn rsync_proto_text(text: &str) -> syncline::PeerText<Vec<u8>> {
        syncline::PeerText(text.as_bytes().to_vec())
    }
}
