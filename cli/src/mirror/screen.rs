//! What a watch prints: a line a batch, and what needs attention.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Zoned;
use syncline_watcher::{BatchSummary, PathBytes, PushEvent, WatchEvent, Watcher};

use crate::escape::Escaper;
use crate::watch::WatchPlan;

/// How many names a line shows.
const NAMES_SHOWN: usize = 3;

/// What the user sees.
pub(super) struct Screen {
    names: Vec<String>,
    verbosity: u8,
    escaper: Escaper,
    /// On a terminal, while a target is compared for the first time.
    bar: Option<ProgressBar>,
    total: u64,
    in_sync: Vec<bool>,
    /// Names failed since the target was last in sync.
    failing: Vec<bool>,
    /// That a comparison is under way was said.
    told: Vec<bool>,
}

impl Screen {
    pub(super) fn new(plan: &WatchPlan) -> Self {
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
            failing: vec![false; plan.targets.len()],
            told: vec![false; plan.targets.len()],
        }
    }

    /// A line with the time in front; a progress bar makes way for it.
    pub(super) fn line(&self, text: &str) {
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

    pub(super) fn problem(&self, text: &str) {
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

    pub(super) fn flush(&mut self) {
        let _ = io::stdout().lock().flush();
    }

    fn name(&self, target: usize) -> &str {
        self.names.get(target).map_or("?", String::as_str)
    }

    pub(super) fn event(&mut self, event: WatchEvent) {
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
                let failing = self.failing.get_mut(target);
                if failing.is_some_and(std::mem::take) {
                    self.problem(&format!(
                        "{}: what failed has arrived; in sync",
                        self.name(target)
                    ));
                } else if first || self.verbosity > 1 {
                    self.say(&format!("{}: in sync", self.name(target)));
                }
            }
            other => {
                if let WatchEvent::PathFailed { target, .. } = other
                    && let Some(failing) = self.failing.get_mut(target)
                {
                    *failing = true;
                }
                self.trouble(other);
            }
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
        } else if summary.changed > summary.failed {
            what.push(format!("{} sent", summary.changed - summary.failed));
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
                let limit = limit.map_or_else(String::new, |limit| {
                    format!(" (the limit of {limit} is for all programs of this user)")
                });
                format!(
                    "not enough watches: {needed} directories, {used} of them watched, {} watches are \
                     missing{limit}; the rest is looked at every {}. To watch all of it: {advice}",
                    needed.saturating_sub(used),
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
    pub(super) fn held(&self, watcher: &Watcher) {
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
    }
}
