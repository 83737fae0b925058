//! `syncline watch`: runs the watcher and says what it does, a line a batch.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Zoned;
use rsync_engine::Cancel;
use rsync_engine::filter::Chain;
use syncline::Filters;
use syncline_watcher::mirror::{Mirror, MirrorTarget};
use syncline_watcher::{
    BatchSummary, DeleteLimit, DeletePolicy as Policy, PathBytes, PushEvent, TargetSpec, Timing,
    WatchError, WatchEvent, WatchOptions, Watcher,
};
use tokio::signal::unix::SignalKind;

use crate::escape::Escaper;
use crate::exit::{Failure, Role, USAGE};
use crate::hiargs::Job;
use crate::memory::Memory;
use crate::transfer;
use crate::watch::{DeletePolicy, WatchPlan, WatchTarget};

/// How often it is stored what the targets have.
const REMEMBER: Duration = Duration::from_secs(10);
/// How often it is said again that deletions wait.
const REMIND: Duration = Duration::from_secs(3600);
/// How many names a line shows.
const NAMES_SHOWN: usize = 3;

/// Watches until a signal comes.
pub(crate) fn run(plan: &WatchPlan) -> Result<(), Failure> {
    let filters = transfer::filters(&plan.options)
        .map_err(|error| transfer::failure(&error, Role::Sender))?;
    let chain = filters.sender_chain(&source(plan));
    if chain.has_dir_merge() {
        let text =
            "rsync: per-directory filter files (dir-merge) are not supported yet by syncline watch";
        return Err(Failure::new(USAGE, Role::Client, text));
    }
    for target in &plan.targets {
        refuse_own_tail(plan, target, &chain)?;
    }
    let cancel = Cancel::new();
    let mut memories: Vec<_> = plan
        .targets
        .iter()
        .map(|target| {
            Memory::new(&plan.source, &identity(target), |name| {
                std::env::var_os(name)
            })
        })
        .collect();
    let targets = plan
        .targets
        .iter()
        .zip(&mut memories)
        .map(|(target, memory)| TargetSpec {
            pusher: Box::new(pusher(plan, target, &filters, &cancel)),
            confirmed_until: memory.as_mut().and_then(Memory::load),
        })
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    crate::interrupt::on_end(&crate::interrupt::END_OR_HANGUP, move || {
        stopping.store(true, Ordering::SeqCst);
    });
    let release = Arc::new(AtomicBool::new(false));
    let releasing = Arc::clone(&release);
    crate::interrupt::on_each(SignalKind::user_defined1(), move || {
        releasing.store(true, Ordering::SeqCst);
    });
    let (watcher, events) =
        Watcher::start(&plan.source, targets, options(plan, chain)).map_err(|error| {
            let code = match error {
                WatchError::Root { .. } => 3,
                _ => 14,
            };
            Failure::new(
                code,
                Role::Sender,
                format!("syncline watch: {error}{}", cause(&error)),
            )
        })?;
    let mut screen = Screen::new(plan);
    let mut remembered = Instant::now();
    let mut reminded = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        if release.swap(false, Ordering::SeqCst) {
            (0..plan.targets.len()).for_each(|target| watcher.release(target));
        }
        if remembered.elapsed() >= REMEMBER {
            remember(&watcher, &mut memories, &screen);
            remembered = Instant::now();
        }
        if reminded.elapsed() >= REMIND {
            screen.held(&watcher);
            reminded = Instant::now();
        }
        // A signal has no other way in here than a look now and then.
        match events.recv_timeout(Duration::from_millis(100)) {
            Ok(event) => screen.event(event),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => screen.flush(),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    screen.line("stopping: finishing what is being sent (again to leave at once)");
    remember(&watcher, &mut memories, &screen);
    watcher.begin_stop();
    watcher.stop();
    while let Ok(event) = events.try_recv() {
        screen.event(event);
    }
    screen.flush();
    Ok(())
}

/// A folder that would be copied into itself, or would delete its own source.
fn refuse_own_tail(plan: &WatchPlan, target: &WatchTarget, chain: &Chain) -> Result<(), Failure> {
    let MirrorTarget::Local(folder) = place(plan, target) else {
        return Ok(());
    };
    let (Ok(source), Some(folder)) = (plan.source.canonicalize(), real_path(&folder)) else {
        // What is wrong with them is said when they are used.
        return Ok(());
    };
    let inside = folder.strip_prefix(&source).is_ok_and(|path| {
        let path = path.as_os_str().as_bytes();
        path.is_empty() || !chain.excludes_path(path, true)
    });
    let above = plan.delete == DeletePolicy::All && source.starts_with(&folder);
    let text = match (inside, above) {
        (true, _) => {
            "lies in the source: it would be copied into itself (exclude it, or choose another place)"
        }
        (_, true) => "holds the source, which --delete would delete",
        _ => return Ok(()),
    };
    let text = format!("syncline watch: {}: {text}", target.name);
    Err(Failure::new(USAGE, Role::Client, text))
}

/// A path without links, though its end may not exist yet.
fn real_path(path: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(path).ok()?;
    let (real, rest) = whole.ancestors().find_map(|above| {
        let real = above.canonicalize().ok()?;
        Some((real, whole.strip_prefix(above).ok()?))
    })?;
    Some(if rest.as_os_str().is_empty() {
        real
    } else {
        real.join(rest)
    })
}

/// Stores until when each target has everything. A place that cannot be written is told once.
fn remember(watcher: &Watcher, memories: &mut [Option<Memory>], screen: &Screen) {
    for (status, slot) in watcher.status().targets.iter().zip(memories) {
        let Some(memory) = slot else { continue };
        if let Err(error) = memory.store(status.confirmed_until) {
            screen.problem(&format!(
                "cannot remember what is done ({error}); the next start compares by size and time only"
            ));
            *slot = None;
        }
    }
}

/// What tells a target from others.
fn identity(target: &WatchTarget) -> String {
    match &target.job {
        Job::Push { daemon, path, .. } => {
            format!("{}:{}/{}", daemon.host, daemon.port, path.escape_ascii())
        }
        _ => std::path::absolute(&target.name)
            .map_or_else(|_| target.name.clone(), |path| path.display().to_string()),
    }
}

fn cause(error: &dyn std::error::Error) -> String {
    error
        .source()
        .map_or_else(String::new, |source| format!(": {source}"))
}

fn options(plan: &WatchPlan, chain: Chain) -> WatchOptions {
    WatchOptions {
        timing: Timing {
            settle: plan.settle,
            quiet: plan.quiet_after,
            max_delay: plan.max_delay,
            ..Timing::default()
        },
        delete: match plan.delete {
            DeletePolicy::Tracked => Policy::Watched,
            DeletePolicy::All => Policy::All,
            DeletePolicy::Never => Policy::Keep,
        },
        delete_limit: (plan.hold_deletions < 100).then(|| DeleteLimit {
            percent: plan.hold_deletions,
            ..DeleteLimit::default()
        }),
        exclude: Arc::new(move |path, is_dir| chain.excludes_path(path, is_dir)),
        ..WatchOptions::default()
    }
}

/// Where a target is.
fn place(plan: &WatchPlan, target: &WatchTarget) -> MirrorTarget {
    match &target.job {
        Job::Push {
            daemon,
            module,
            path,
            ..
        } => {
            let mut address = transfer::target(daemon, module);
            address.path = below_module(path, module);
            let connect = transfer::connect(&plan.connection, &plan.options, daemon, Role::Sender);
            MirrorTarget::Daemon {
                target: address,
                connect,
            }
        }
        Job::Local {
            dest: Some(dest), ..
        } => MirrorTarget::Local(OsString::from_vec(dest.clone()).into()),
        // A destination is always one of the two.
        Job::Local { .. } | Job::Pull { .. } | Job::ListModules { .. } => {
            MirrorTarget::Local(".".into())
        }
    }
}

fn pusher(plan: &WatchPlan, target: &WatchTarget, filters: &Filters, cancel: &Cancel) -> Mirror {
    let deletes = plan.delete != DeletePolicy::Never;
    Mirror::new(
        place(plan, target),
        plan.options.clone(),
        filters.clone(),
        deletes,
        cancel.clone(),
    )
    .source(source(plan))
}

/// The absolute path of the source.
fn source(plan: &WatchPlan) -> Vec<u8> {
    let absolute = std::path::absolute(&plan.source);
    absolute.map_or_else(|_| Vec::new(), |path| path.into_os_string().into_vec())
}

/// The path behind the module's name.
fn below_module(path: &[u8], module: &[u8]) -> Vec<u8> {
    let rest = path.strip_prefix(module).unwrap_or(path);
    rest.iter()
        .skip_while(|&&byte| byte == b'/')
        .copied()
        .collect()
}

/// What the user sees.
struct Screen {
    names: Vec<String>,
    verbosity: u8,
    escaper: Escaper,
    /// On a terminal, while a target is compared for the first time.
    bar: Option<ProgressBar>,
    total: u64,
    in_sync: Vec<bool>,
    /// That a comparison is under way was said.
    told: Vec<bool>,
}

impl Screen {
    fn new(plan: &WatchPlan) -> Self {
        Self {
            names: plan
                .targets
                .iter()
                .map(|target| target.name.clone())
                .collect(),
            verbosity: plan.verbosity,
            escaper: Escaper::for_locale(|name| std::env::var(name).ok()),
            bar: None,
            total: 0,
            in_sync: vec![false; plan.targets.len()],
            told: vec![false; plan.targets.len()],
        }
    }

    /// A line with the time in front; a progress bar makes way for it.
    fn line(&self, text: &str) {
        let now = Zoned::now().strftime("%H:%M:%S").to_string();
        let print = || {
            // Nobody to tell is no reason to stop mirroring.
            let _ = writeln!(io::stdout().lock(), "{now}  {text}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn problem(&self, text: &str) {
        let now = Zoned::now().strftime("%H:%M:%S").to_string();
        let print = || {
            let _ = writeln!(io::stderr().lock(), "{now}  {text}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn say(&self, text: &str) {
        if self.verbosity > 0 {
            self.line(text);
        }
    }

    fn flush(&mut self) {
        let _ = io::stdout().lock().flush();
    }

    fn name(&self, target: usize) -> &str {
        self.names.get(target).map_or("?", String::as_str)
    }

    fn event(&mut self, event: WatchEvent) {
        match event {
            WatchEvent::Scanning => self.say("reading the tree and setting watches"),
            WatchEvent::Watching {
                directories,
                names,
                took,
            } => {
                self.total = (directories + names) as u64;
                let text = format!(
                    "watching {} and {} in {}",
                    count(directories, "directory", "directories"),
                    count(names, "other name", "other names"),
                    time(took)
                );
                self.say(&text);
            }
            WatchEvent::Comparing { target } => {
                // A target that is away is tried again and again.
                let first = self.told.get(target).is_some_and(|told| !told);
                if let Some(told) = self.told.get_mut(target) {
                    *told = true;
                }
                if first || self.verbosity > 1 {
                    self.say(&format!("{}: comparing everything", self.name(target)));
                }
                if self.verbosity > 0 && io::stdout().is_terminal() && self.bar.is_none() {
                    self.bar = Some(bar(self.total));
                }
            }
            WatchEvent::Push {
                event:
                    PushEvent::Progress {
                        files,
                        files_total,
                        bytes,
                        ..
                    },
                ..
            } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(files_total.min(self.total));
                    bar.set_message(format!("{files} sent, {}", size(bytes)));
                }
            }
            WatchEvent::Push {
                target,
                event: PushEvent::Message(text),
            } => {
                if self.verbosity > 1 {
                    self.line(&format!("{}: {text}", self.name(target)));
                }
            }
            WatchEvent::BatchDone { target, summary } => {
                if let Some(told) = self.told.get_mut(target) {
                    *told = false;
                }
                self.batch(target, &summary);
            }
            WatchEvent::InSync { target } => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
                let first = self.in_sync.get(target).is_some_and(|seen| !seen);
                if let Some(seen) = self.in_sync.get_mut(target) {
                    *seen = true;
                }
                if first || self.verbosity > 1 {
                    self.say(&format!("{}: in sync", self.name(target)));
                }
            }
            other => self.trouble(other),
        }
    }

    fn batch(&self, target: usize, summary: &BatchSummary) {
        if self.verbosity == 0
            || (summary.full && summary.stats.files == 0 && summary.stats.deleted == 0)
        {
            return;
        }
        let stats = &summary.stats;
        let mut what = Vec::new();
        if summary.full {
            what.push(format!("compared, {} sent", stats.files));
        } else if summary.changed > 0 {
            what.push(format!("{} sent", summary.changed));
        }
        let deleted = if summary.full {
            usize::try_from(stats.deleted).unwrap_or(usize::MAX)
        } else {
            summary.deleted
        };
        if deleted > 0 {
            what.push(format!("{deleted} deleted"));
        }
        if summary.failed > 0 {
            what.push(format!("{} failed", summary.failed));
        }
        let shown = summary
            .examples
            .iter()
            .take(NAMES_SHOWN)
            .map(|path| self.path(path))
            .collect::<Vec<_>>();
        let more = if summary.changed + summary.deleted > shown.len() && !shown.is_empty() {
            ", ..."
        } else {
            ""
        };
        let names = if shown.is_empty() {
            String::new()
        } else {
            format!(" ({}{more})", shown.join(", "))
        };
        let lag = if summary.full {
            String::new()
        } else {
            format!(", lag {}", time(summary.lag))
        };
        self.line(&format!(
            "{}: {}{names}, {} out, {} in, took {}{lag}",
            self.name(target),
            what.join(", "),
            size(stats.sent),
            size(stats.received),
            time(summary.took),
        ));
    }

    fn trouble(&self, event: WatchEvent) {
        let text = match event {
            WatchEvent::WatchLimit {
                used,
                limit,
                needed,
                advice,
                interval,
            } => {
                let limit = limit.map_or_else(String::new, |limit| format!(" of {limit} allowed"));
                format!(
                    "not enough watches: {needed} directories, {used} watches in use{limit}; \
                     the rest is looked at every {}. To watch all of it: {advice}",
                    time(interval)
                )
            }
            WatchEvent::NotWatchable {
                path,
                file_system,
                interval,
            } => format!(
                "{}: changes made elsewhere on {file_system} are not told; looked at every {}",
                self.path(&path),
                time(interval)
            ),
            WatchEvent::Unreadable { path, text } => {
                format!(
                    "{}: {text}; nothing below it is sent or deleted",
                    self.path(&path)
                )
            }
            WatchEvent::Overflow => {
                "the kernel dropped events, looking at the whole tree again".to_owned()
            }
            WatchEvent::Rescanned { took } => {
                format!("looked at the whole tree again in {}", time(took))
            }
            WatchEvent::SourceLost { text } => {
                format!(
                    "the watched directory is gone ({text}); nothing is sent or deleted until it is back"
                )
            }
            WatchEvent::SourceBack => "the watched directory is back".to_owned(),
            WatchEvent::ReaderFailed { text } => {
                format!("events cannot be read any more: {text}; start again")
            }
            WatchEvent::TargetDown {
                target,
                text,
                retry_in,
                waiting,
            } => format!(
                "{}: {}; trying again in {}, {waiting} waiting",
                self.name(target),
                self.text(&text),
                time(retry_in)
            ),
            WatchEvent::TargetUp { target, away } => {
                format!("{}: back after {}", self.name(target), time(away))
            }
            WatchEvent::DeletesRefused { target, text } => format!(
                "{}: the target refuses deletions ({}); everything else goes on",
                self.name(target),
                self.text(&text)
            ),
            WatchEvent::DeletesHeld {
                target,
                vanished,
                known,
            } => format!(
                "{}: {vanished} of {known} names vanished at once; deletions are held back. \
                 If that is right, let them go with: kill -USR1 {}",
                self.name(target),
                std::process::id()
            ),
            WatchEvent::PathFailed {
                target,
                path,
                text,
                failing,
            } => format!(
                "{}: {} failed and is tried again: {} ({failing} failing)",
                self.name(target),
                self.path(&path),
                self.text(&text)
            ),
            _ => return,
        };
        self.problem(&text);
    }

    /// Says again which targets have deletions waiting.
    fn held(&self, watcher: &Watcher) {
        for (target, status) in watcher.status().targets.iter().enumerate() {
            if status.held > 0 {
                self.problem(&format!(
                    "{}: {} deletions are still held back; to let them go: kill -USR1 {}",
                    self.name(target),
                    status.held,
                    std::process::id()
                ));
            }
        }
    }

    fn path(&self, path: &PathBytes) -> String {
        if path.is_empty() {
            ".".to_owned()
        } else {
            self.escaper.text(path)
        }
    }

    fn text(&self, text: &str) -> String {
        self.escaper.text(text.as_bytes())
    }
}

fn bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} looked at, {msg}, {elapsed}");
    let bar = ProgressBar::new(total);
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// A duration as a person says it.
fn time(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms if ms < 60_000.0 => format!("{:.1} s", ms / 1000.0),
        ms => format!("{:.0} min", ms / 60_000.0),
    }
}

/// A number of bytes as a person says it.
#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" {
                format!("{bytes} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_read() {
        let times = [
            (3, "3.0 ms"),
            (42, "42 ms"),
            (1500, "1.5 s"),
            (125_000, "2 min"),
        ];
        for (ms, expected) in times {
            assert_eq!(time(Duration::from_millis(ms)), expected);
        }
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1500, "1.5 kB"),
            (3_200_000_000, "3.2 GB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        assert_eq!(below_module(b"mod/a/b", b"mod"), b"a/b");
        assert_eq!(below_module(b"mod/", b"mod"), b"");
    }
}
