//! The pusher that speaks rsync: batches and comparisons over sessions with daemons, or to a local folder.

use std::collections::VecDeque;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rsync_engine::filter::Chain;
use rsync_engine::fs::Links;
use rsync_engine::options::{Delete, Direction, TransferOptions};
use rsync_engine::receive::Destination;
use rsync_engine::send::{Argument, Picked, Source};
use rsync_engine::{Cancel, Events, Outcome};
use syncline::daemon::{Connect, OpenSession};
use syncline::{DaemonTarget, Error, Filters, local};

use self::abilities::{Abilities, Check};
use self::names::Part;
use self::news::{EndProgress, News};
use crate::path::PathBytes;
use crate::push::{
    Batch, FailureKind, FullSync, PathFailure, PushEvent, PushResult, PushStats, Pusher,
};

mod abilities;
mod blame;
mod names;
mod news;

/// How long an idle session is kept open: daemons of 3.5.0 close silent ones after a minute at the earliest
/// stage, others when their own timeout says so.
const KEEP_OPEN: Duration = Duration::from_secs(40);
/// How often an idle session is renewed before it is given up until the next change.
const RENEWALS: u32 = 5;
/// How long a daemon may take to notice that a session ended, and how often it is asked meanwhile.
const ENDING: Duration = Duration::from_secs(1);
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The first protocol that says of each listed directory whether names that are not listed go there (03-transfer 8.2).
const MARKS_CONTENT: u32 = 30;

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

impl MirrorTarget {
    /// The absolute path of its directory; of a daemon, within the module.
    fn root(&self) -> Vec<u8> {
        match self {
            Self::Local(path) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                path.into_os_string().into_vec()
            }
            Self::Daemon { target, .. } => [b"/", &target.path[..]].concat(),
        }
    }
}

/// Pushes batches to one mirror.
pub struct Mirror {
    target: MirrorTarget,
    options: TransferOptions,
    filters: Filters,
    /// The rules at the target: what they exclude is not deleted.
    protected: Chain,
    /// See [`Mirror::source`].
    source: Vec<u8>,
    abilities: Abilities,
    cancel: Cancel,
    spare: Option<Spare>,
    renewals: u32,
    /// When the last session or spare was closed.
    ended: Option<Instant>,
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
        let mut protected = filters.receiver_chain();
        protected.set_root(&target.root());
        Self {
            target,
            options,
            protected,
            filters,
            source: Vec::new(),
            abilities: Abilities::new(deletes),
            cancel,
            spare: None,
            renewals: 0,
            ended: None,
        }
    }

    /// The absolute path of the source, for rules that are compared with such (07-filters 5.3).
    #[must_use]
    pub fn source(mut self, absolute: Vec<u8>) -> Self {
        self.source = absolute;
        self
    }

    /// The options of a session that lists just the names of a batch. With rules that protect something the session deletes as rsync's
    /// `--delete` does; only then the target takes rules, which also say what may be lost when something takes the place of a directory.
    fn batch_options(&self, check: Check) -> TransferOptions {
        let options = self.abilities.batch(&self.options, check);
        if !self.abilities.deletes || self.protected.is_empty() {
            return options;
        }
        TransferOptions {
            recursive: true,
            delete: Delete::During,
            // The right to delete includes it.
            force: false,
            ..options
        }
    }

    fn push_names(
        &mut self,
        batch: &Batch,
        part: &Part,
        news: &Arc<News>,
        failed: &mut Vec<PathFailure>,
    ) -> Result<Outcome, Error> {
        let options = self.batch_options(part.check);
        let deletes = options.delete != Delete::Off;
        // A receiver that deletes nothing by name is an old one: it gets the second safety, too.
        let old = self.abilities.deletes_by_rules();
        let (filters, absolute) = (self.filters.clone(), self.source.clone());
        self.run(options, news, |protocol| {
            let all = deletes && (old || protocol < MARKS_CONTENT);
            let by_rules = names::by_rules(part, all, |path| batch.has_directory(path));
            let too_long = |path| PathFailure {
                path,
                kind: FailureKind::Refused,
                text: "its path is too long for the rule that would delete or protect it"
                    .to_owned(),
            };
            failed.extend(by_rules.unable.into_iter().map(too_long));
            let picked = Picked {
                tree: batch.root.clone(),
                absolute,
                names: by_rules.names,
                content: by_rules.content,
            };
            let filters = filters.with_first(&by_rules.rules)?;
            Ok((Source::Picked(picked), filters))
        })
    }

    /// Runs a session. `what` gives what to send, and the rules, once the protocol is known.
    fn run(
        &mut self,
        options: TransferOptions,
        news: &Arc<News>,
        what: impl FnOnce(u32) -> Result<(Source, Filters), Error>,
    ) -> Result<Outcome, Error> {
        let events: Arc<dyn Events> = Arc::clone(news) as Arc<dyn Events>;
        let spare = self.take_spare(&options);
        let (target, connect) = match &self.target {
            MirrorTarget::Local(path) => {
                let mut path = path.clone().into_os_string();
                path.push("/");
                let destination = Destination::Local(path.into());
                let (source, filters) = what(options.protocol.unwrap_or(MARKS_CONTENT))?;
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
        let session = match spare {
            Some(session) => session,
            None => self.open(target, connect, options, &events)?,
        };
        let (source, filters) = what(session.protocol().number())?;
        let outcome = session.push(source, filters, &events);
        self.ended = Some(Instant::now());
        let outcome = outcome?;
        if let Some(protocol) = outcome.protocol {
            self.abilities.spoke(protocol.number());
        }
        Ok(outcome)
    }

    /// The session opened in advance, if it has these options. Any other is closed before a new one is opened.
    fn take_spare(&mut self, options: &TransferOptions) -> Option<OpenSession> {
        let spare = self.spare.take()?;
        if spare.fits(options) {
            return Some(spare.session);
        }
        self.ended = Some(Instant::now());
        None
    }

    /// Opens a session. While the daemon may not have noticed yet that our last one ended, a module that is full is asked again: we
    /// may have its only place.
    fn open(
        &self,
        target: &DaemonTarget,
        connect: &Connect,
        options: TransferOptions,
        events: &Arc<dyn Events>,
    ) -> Result<OpenSession, Error> {
        // The slash says that the path is a directory, even for a batch of one name (03-transfer 7.8).
        let mut path = [&target.module[..], b"/", &target.path].concat();
        if !path.ends_with(b"/") {
            path.push(b'/');
        }
        loop {
            let session = OpenSession::open(
                target,
                Direction::Push,
                &[path.clone()],
                options.clone(),
                connect,
                self.cancel.clone(),
                events,
            );
            let just_ended = self.ended.is_some_and(|at| at.elapsed() < ENDING);
            match session {
                Err(error) if abilities::is_full(&error) && just_ended => {
                    std::thread::sleep(ASK_AGAIN);
                }
                session => return session,
            }
        }
    }

    /// The options of a comparison. A target takes no rules in one that deletes nothing, and with `--force` a name would take the place of a
    /// directory whatever the rules protect in it: without, it waits for a batch.
    fn comparison_options(&self, request: &FullSync) -> TransferOptions {
        let options = self.abilities.comparison(&self.options, request);
        TransferOptions {
            force: options.force && self.protected.is_empty(),
            ..options
        }
    }

    /// One comparison; its progress goes to `events` while it runs.
    fn compare(
        &mut self,
        request: &FullSync,
        events: &mut dyn FnMut(PushEvent),
    ) -> (Result<Outcome, Error>, Arc<News>) {
        let options = self.comparison_options(request);
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
        let news = Arc::new(News::of_comparison(progress));
        let filters = self.filters.clone();
        // The session runs beside, so that its progress can be told meanwhile.
        let done = std::thread::scope(|scope| {
            let end = EndProgress(Arc::clone(&news));
            let running = std::thread::Builder::new()
                .name("comparison".to_owned())
                .spawn_scoped(scope, || {
                    let end = end;
                    let source = Source::Arguments(vec![argument]);
                    self.run(options, &end.0, |_| Ok((source, filters)))
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
}

impl Spare {
    fn fits(&self, options: &TransferOptions) -> bool {
        self.options == *options && self.since.elapsed() < KEEP_OPEN && self.session.is_alive()
    }
}

impl Pusher for Mirror {
    fn push(&mut self, batch: &Batch, events: &mut dyn FnMut(PushEvent)) -> PushResult {
        let mut result = PushResult::default();
        self.renewals = 0;
        let parts = names::sort(batch, self.abilities.deletes, &self.protected);
        let mut parts: VecDeque<Part> = parts.into();
        while let Some(part) = parts.pop_front() {
            if self.abilities.deletes_by_rules() && part.deletes_by_name() {
                for part in part.by_rules_alone().into_iter().rev() {
                    parts.push_front(part);
                }
                continue;
            }
            let news = Arc::new(News::of_deletions(part.to_delete().collect()));
            let mut failed = Vec::new();
            let done = self.push_names(batch, &part, &news, &mut failed);
            let words = news.last_words();
            news.deliver(events);
            match done {
                Ok(outcome) => {
                    add(&mut result.stats, &outcome, &news);
                    result.deleted.append(&mut news.take_gone());
                    if self.abilities.told(&words) {
                        parts.push_front(part);
                        continue;
                    }
                    result.failed.append(&mut failed);
                    if news.skipped_deletion() {
                        let skipped = part.by_rules.iter().map(|gone| PathFailure {
                            path: gone.path.as_slice().into(),
                            kind: FailureKind::Changed,
                            text: "not deleted, as something could not be read".to_owned(),
                        });
                        result.failed.extend(skipped);
                    }
                    let named: Vec<PathBytes> = part.paths().collect();
                    news.failures(&named, &mut result.failed);
                }
                Err(error) if self.abilities.failed(&error, &words) => parts.push_front(part),
                Err(error) => {
                    result.error = Some(self.abilities.verdict(&error, &words));
                    return result;
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
                Err(error) if self.abilities.failed(&error, &words) => continue,
                Err(error) => result.error = Some(self.abilities.verdict(&error, &words)),
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
        if self.spare.take().is_some() {
            self.ended = Some(Instant::now());
        }
        if self.renewals >= RENEWALS {
            return None;
        }
        self.renewals += 1;
        let events: Arc<dyn Events> = Arc::new(News::default());
        // A spare is a convenience: whatever is wrong shows when there is something to send.
        let session = self.open(target, connect, options.clone(), &events).ok()?;
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

fn add(stats: &mut PushStats, outcome: &Outcome, news: &News) {
    stats.add(PushStats {
        files: outcome.stats.transferred,
        deleted: news.deleted(),
        sent: outcome.stats.sent,
        received: outcome.stats.received,
    });
}
