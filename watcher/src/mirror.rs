//! The pusher that speaks rsync: batches and comparisons over sessions with daemons, or to a local folder.

use std::collections::HashMap;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rsync_engine::filter::Chain;
use rsync_engine::fs::{FileId, Links, ListBuf, RelPath, Timestamp, Tree};
use rsync_engine::options::{Delete, Direction, TransferOptions};
use rsync_engine::receive::Destination;
use rsync_engine::send::{Argument, Picked, Source};
use rsync_engine::{Cancel, Events, Outcome};
use syncline::daemon::{Connect, OpenSession};
use syncline::{DaemonTarget, Error, Filters, local};

use self::abilities::{Abilities, Check};
use self::halting::Halting;
use self::names::Part;
use self::news::{EndProgress, News};
use crate::path::PathBytes;
use crate::push::{Batch, FailureKind, FullSync, Halt, PathFailure, PushEvent, PushResult, Pusher};

mod abilities;
mod blame;
mod delivery;
mod halting;
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
/// How often it is looked whether a folder of this machine is still the one that was filled.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How much longer than else a session waits for a peer that may be summing up files of any size, and says nothing meanwhile.
const PATIENCE: u32 = 10;

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
    halting: Arc<Halting>,
    /// Of all mirrors.
    cancel: Cancel,
    spare: Option<Spare>,
    renewals: u32,
    /// When the last session or spare was closed.
    ended: Option<Instant>,
    /// The target spoke of an error in the last session: it is asked to acknowledge what arrives.
    troubled: bool,
    /// Names that the target could not store, ending their session, and what it said. Each is sent in a session of its own.
    alone: Reasons,
    /// Sessions in a row that ended so and in which nothing new was stored.
    barren: u32,
    /// Size and time of large files as they were sent last: what has others now differs at the target.
    sent: HashMap<PathBytes, (u64, Timestamp)>,
    /// The folder, as the last session left it.
    folder: Option<Folder>,
}

/// Names, and why each is not sent with others.
type Reasons = HashMap<PathBytes, Arc<str>>;

/// What tells a folder of this machine from another, or from itself when it was emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Folder {
    id: FileId,
    is_empty: bool,
}

impl Folder {
    fn look(path: &Path) -> Option<Self> {
        let tree = Tree::open(path).ok()?;
        let id = tree.root().id().ok()?;
        let mut list = ListBuf::default();
        let handle = tree.open_list(RelPath::ROOT, Links::Refuse).ok()?;
        let is_empty = handle.list(&mut list).ok()?.next().is_none();
        Some(Self { id, is_empty })
    }
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
            halting: Arc::new(Halting::new(cancel.child())),
            cancel,
            spare: None,
            renewals: 0,
            ended: None,
            troubled: false,
            alone: Reasons::new(),
            barren: 0,
            sent: HashMap::new(),
            folder: None,
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
    fn batch_options(&self, check: Check, acknowledged: bool) -> TransferOptions {
        let options = TransferOptions {
            remove_source_files: acknowledged,
            ..self.abilities.batch(&self.options, check)
        };
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

    /// One session with just these names. What cannot be put into its rules is in `failed`.
    fn push_names(
        &mut self,
        batch: &Batch,
        part: &Part,
        news: &Arc<News>,
        failed: &mut Vec<PathFailure>,
    ) -> Result<Outcome, Error> {
        let options = self.batch_options(part.check, news.asked());
        let deletes = options.delete != Delete::Off;
        // A receiver that deletes nothing by name is an old one: it gets the second safety, too.
        let old = self.abilities.deletes_by_rules();
        let patient = part.check == Check::Sum && part.has_large(batch);
        let filters = self.withholding(self.filters.clone(), news, Reasons::new());
        let absolute = self.source.clone();
        self.run(options, patient, news, |protocol| {
            let all = deletes && (old || protocol < MARKS_CONTENT);
            let by_rules = names::by_rules(part, all, |path| batch.has_directory(path));
            let too_long = |path| PathFailure {
                path,
                kind: FailureKind::Refused,
                text: "its path is too long for the rule that would delete or protect it"
                    .to_owned(),
                below: true,
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

    /// Keeps the data of these files here, and once this mirror is to stop that of all.
    fn withholding(&self, filters: Filters, news: &Arc<News>, these: Reasons) -> Filters {
        let (halting, news) = (Arc::clone(&self.halting), Arc::clone(news));
        filters.withholding(Arc::new(move |name| {
            match these.get(name) {
                Some(why) => news.withheld(name, FailureKind::Refused, why),
                None if halting.is_winding_down() => {
                    news.withheld(name, FailureKind::Changed, "the watch is being stopped");
                }
                None => return false,
            }
            true
        }))
    }

    /// Runs a session. `patient`: the target may be busy for long without a word. `what` gives what to send, and the rules, once the
    /// protocol is known.
    fn run(
        &mut self,
        mut options: TransferOptions,
        patient: bool,
        news: &Arc<News>,
        what: impl FnOnce(u32) -> Result<(Source, Filters), Error>,
    ) -> Result<Outcome, Error> {
        let events: Arc<dyn Events> = Arc::clone(news) as Arc<dyn Events>;
        let halting = Arc::clone(&self.halting);
        let (target, connect) = match &self.target {
            MirrorTarget::Local(path) => {
                let mut place = path.clone().into_os_string();
                place.push("/");
                let (source, filters) = what(options.protocol.unwrap_or(MARKS_CONTENT))?;
                halting.session(None);
                let outcome = local::copy(
                    source,
                    Some(Destination::Local(place.into())),
                    options,
                    filters,
                    halting.cancel(),
                    &events,
                );
                halting.session(None);
                self.folder = Folder::look(path);
                return outcome;
            }
            MirrorTarget::Daemon { target, connect } => (target.clone(), connect.clone()),
        };
        let mut connect = connect;
        if patient {
            connect.io_timeout = connect.io_timeout.map(|timeout| timeout * PATIENCE);
            options.timeout = options.timeout.map(|timeout| timeout * PATIENCE);
        }
        let session = match self.take_spare(&options) {
            Some(session) => session,
            None => self.open(&target, &connect, options, &events)?,
        };
        let (source, filters) = what(session.protocol().number())?;
        halting.session(Some(session.clock()));
        let outcome = session.push(source, filters, &events);
        halting.session(None);
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
                self.halting.cancel().clone(),
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
            remove_source_files: self.asks(),
            ..options
        }
    }

    /// One comparison that gives these files no data; its progress goes to `events` while it runs.
    fn compare(
        &mut self,
        request: &FullSync,
        withheld: &Reasons,
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
        let news = News::new(self.asks(), &self.halting).of_comparison(progress);
        let news = Arc::new(news);
        let filters = self.withholding(self.filters.clone(), &news, withheld.clone());
        // The session runs beside, so that its progress can be reported meanwhile.
        let done = std::thread::scope(|scope| {
            let end = EndProgress(Arc::clone(&news));
            let running = std::thread::Builder::new()
                .name("comparison".to_owned())
                .spawn_scoped(scope, || {
                    let end = end;
                    let source = Source::Arguments(vec![argument]);
                    self.run(options, request.ignore_times, &end.0, |_| {
                        Ok((source, filters))
                    })
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
        self.renewals = 0;
        self.deliver(batch, events)
    }

    fn full_sync(&mut self, request: &FullSync, events: &mut dyn FnMut(PushEvent)) -> PushResult {
        self.renewals = 0;
        self.deliver_all(request, events)
    }

    fn prepare(&mut self) -> Option<Duration> {
        let MirrorTarget::Daemon { target, connect } = &self.target else {
            return Some(LOOK_AGAIN);
        };
        let options = self.batch_options(Check::Sum, self.asks());
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
        let events: Arc<dyn Events> = Arc::new(News::new(false, &self.halting));
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

    fn second(&self) -> Option<Box<dyn Pusher>> {
        let mut second = Self::new(
            self.target.clone(),
            self.options.clone(),
            self.filters.clone(),
            self.abilities.deletes,
            self.cancel.clone(),
        );
        second.source = self.source.clone();
        Some(Box::new(second))
    }

    fn holds_a_place(&mut self) -> bool {
        // With a session of ours waiting, another one that is let in has a place of its own.
        self.renewals = 0;
        matches!(self.target, MirrorTarget::Local(_)) || self.prepare().is_some()
    }

    fn was_replaced(&mut self) -> bool {
        let (MirrorTarget::Local(path), Some(filled)) = (&self.target, self.folder) else {
            return false;
        };
        // What was empty may have been filled by anybody.
        let now = Folder::look(path);
        let replaced =
            now.is_none_or(|now| now.id != filled.id || now.is_empty && !filled.is_empty);
        if replaced {
            self.folder = None;
        }
        replaced
    }

    fn halt(&self) -> Option<Arc<dyn Halt>> {
        Some(Arc::clone(&self.halting) as Arc<dyn Halt>)
    }
}
