//! A batch or a comparison, session by session, until what can arrive has arrived.
//!
//! A target that speaks of an error is asked once more, this time for an acknowledgement of each name: what it has is found equal and
//! costs no data, and what it does not acknowledge did not arrive. A target that ends its session because it cannot store a file (its disk
//! is full, the file too large) gets the others without that file, which goes in a session of its own. When several such sessions end in
//! a row and nothing new was stored, it is the target that fails and not the files.

use std::collections::VecDeque;
use std::sync::Arc;

use rsync_engine::Outcome;
use rsync_engine::send::{PickedAction, PickedName};

use super::Mirror;
use super::abilities::Check;
use super::names::{is_large, sort};
use super::news::News;
use crate::path::PathBytes;
use crate::push::{Batch, FailureKind, FullSync, PathFailure, PushEvent, PushResult, PushStats};

/// Sessions in a row that a file ended and in which nothing was stored: after so many the target is full.
const BARREN: u32 = 4;
/// Names that are sent alone; more are tried with the others.
const ALONE: usize = 10_000;
/// Large files whose last state is remembered; then it is forgotten, and they are compared once more.
const SENT: usize = 100_000;

impl Mirror {
    /// Whether sessions ask for acknowledgements.
    pub(super) fn asks(&self) -> bool {
        self.troubled && self.abilities.acknowledges()
    }

    /// Asks for acknowledgements from now on; false if that was done already or cannot be done.
    fn begin_asking(&mut self) -> bool {
        let before = self.asks();
        self.troubled = true;
        !before && self.asks()
    }

    /// Brings over what a batch names.
    pub(super) fn deliver(
        &mut self,
        batch: &Batch,
        events: &mut dyn FnMut(PushEvent),
    ) -> PushResult {
        let mut result = PushResult::default();
        let sessions = sort(
            batch,
            self.abilities.deletes,
            &self.protected,
            |path, stat| {
                self.sent
                    .get(path)
                    .is_some_and(|&sent| sent != (stat.size, stat.mtime))
            },
        );
        let mut waiting: VecDeque<_> = sessions.into();
        for at in 0..waiting.len() {
            let (check, names) = &mut waiting[at];
            let (alone, together) = std::mem::take(names)
                .into_iter()
                .partition(|name| self.alone.contains_key(&name.path[..]));
            let check = *check;
            waiting[at].1 = together;
            let alone: Vec<PickedName> = alone;
            waiting.extend(alone.into_iter().map(|name| (check, vec![name])));
        }
        while let Some((check, names)) = waiting.pop_front() {
            if names.is_empty() {
                continue;
            }
            self.session(batch, check, names, &mut waiting, &mut result, events);
            if result.error.is_some() {
                return result;
            }
        }
        self.remember(batch, &result);
        result
    }

    /// One session with these names of a batch. What it leaves undone is put before what is `waiting` or behind it, or is in the result.
    fn session(
        &mut self,
        batch: &Batch,
        check: Check,
        names: Vec<PickedName>,
        waiting: &mut VecDeque<(Check, Vec<PickedName>)>,
        result: &mut PushResult,
        events: &mut dyn FnMut(PushEvent),
    ) {
        let news = Arc::new(News::new(self.asks(), &self.halting));
        let done = self.push_names(batch, names.clone(), check, &news);
        let words = news.last_words();
        news.deliver(events);
        match done {
            Ok(outcome) => {
                add(&mut result.stats, &outcome, &news);
                if self.abilities.told(&words) || news.is_troubled() && self.begin_asking() {
                    waiting.push_front((check, names));
                    return;
                }
                self.troubled = news.is_troubled();
                self.barren = 0;
                let failed = result.failed.len();
                news.failures(batch, &names, &mut result.failed);
                if failed == result.failed.len() {
                    names.iter().for_each(|name| {
                        self.alone.remove(&name.path[..]);
                    });
                }
            }
            Err(error) if self.abilities.failed(&error, &words) => {
                waiting.push_front((check, names));
            }
            Err(error) if news.broke_off(&error) => {
                // The one file of a session needs no acknowledgement to be known.
                if names.len() > 1 && self.begin_asking() {
                    waiting.push_front((check, names));
                } else if !self.set_aside(batch, check, names, waiting, &news, &words, result) {
                    result.error = Some(self.abilities.verdict(&error, &words));
                }
            }
            Err(error) => {
                result.confirmed.extend(news.acknowledged());
                result.error = Some(self.abilities.verdict(&error, &words));
            }
        }
    }

    /// After a session that a file ended: finds the file and lets the rest go on. False if it is the target that fails.
    #[expect(
        clippy::too_many_arguments,
        reason = "what is known of the session and of those to come"
    )]
    fn set_aside(
        &mut self,
        batch: &Batch,
        check: Check,
        names: Vec<PickedName>,
        waiting: &mut VecDeque<(Check, Vec<PickedName>)>,
        news: &News,
        words: &str,
        result: &mut PushResult,
    ) -> bool {
        let arrived = news.acknowledged();
        let is_known = names.len() == 1 && self.alone.contains_key(&names[0].path[..]);
        if !arrived.is_empty() {
            self.barren = 0;
        } else if !is_known {
            self.barren += 1;
        }
        result.confirmed.extend(arrived);
        if self.barren >= BARREN {
            return false;
        }
        let is_file = |name: &PickedName| {
            name.action == PickedAction::Send && !batch.has_directory(&name.path)
        };
        let mut left: Vec<PickedName> = names
            .into_iter()
            .filter(|name| !news.is_acknowledged(&name.path))
            .collect();
        let files: Vec<usize> = (0..left.len()).filter(|&at| is_file(&left[at])).collect();
        let culprit = match files[..] {
            [] => return false,
            [only] => Some(only),
            _ => news
                .being_stored()
                .and_then(|path| left.iter().position(|name| name.path == *path)),
        };
        match culprit {
            Some(culprit) if left.len() == 1 => {
                let path: PathBytes = left[culprit].path.as_slice().into();
                if self.alone.len() < ALONE {
                    self.alone.insert(path.clone(), words.into());
                }
                result.failed.push(PathFailure {
                    path,
                    kind: FailureKind::Refused,
                    text: words.to_owned(),
                    below: false,
                });
            }
            Some(culprit) => {
                let culprit = left.remove(culprit);
                waiting.push_front((check, left));
                waiting.push_back((check, vec![culprit]));
            }
            // A target that does not acknowledge: it is in one half or the other.
            None if news.asked() => return false,
            None => {
                let half = left.split_off(left.len() / 2);
                waiting.push_front((check, half));
                waiting.push_front((check, left));
            }
        }
        true
    }

    /// Notes what large files were sent, to know what differs the next time.
    fn remember(&mut self, batch: &Batch, result: &PushResult) {
        if self.sent.len() >= SENT {
            self.sent.clear();
        }
        for entry in &batch.entries {
            match entry.stat.filter(is_large) {
                Some(stat) => drop(
                    self.sent
                        .insert(entry.path.clone(), (stat.size, stat.mtime)),
                ),
                None if self.sent.is_empty() => return,
                None => drop(self.sent.remove(&entry.path)),
            }
        }
        for failure in &result.failed {
            self.sent.remove(&failure.path);
        }
    }

    /// Brings over what a comparison finds.
    pub(super) fn deliver_all(
        &mut self,
        request: &FullSync,
        events: &mut dyn FnMut(PushEvent),
    ) -> PushResult {
        let mut result = PushResult::default();
        let mut withheld = self.alone.clone();
        let mut barren = 0;
        loop {
            let (done, news) = self.compare(request, &withheld, events);
            let words = news.last_words();
            news.deliver(events);
            match done {
                Ok(outcome) => {
                    add(&mut result.stats, &outcome, &news);
                    if news.is_troubled() && self.begin_asking() {
                        continue;
                    }
                    self.troubled = news.is_troubled();
                    news.failures_below(request, &mut result.failed);
                }
                Err(error) if self.abilities.failed(&error, &words) => continue,
                Err(error) => {
                    if news.broke_off(&error) {
                        if self.begin_asking() {
                            continue;
                        }
                        barren = match news.stored() {
                            0 => barren + 1,
                            _ => 0,
                        };
                        if let Some(path) = news.being_stored()
                            && barren < BARREN
                            && withheld.len() < ALONE
                        {
                            // It is tried alone when its failure is due again.
                            self.alone.insert(path.clone(), words.as_str().into());
                            withheld.insert(path, words.into());
                            continue;
                        }
                    }
                    result.error = Some(self.abilities.verdict(&error, &words));
                }
            }
            return result;
        }
    }
}

fn add(stats: &mut PushStats, outcome: &Outcome, news: &News) {
    stats.add(PushStats {
        files: outcome.stats.transferred,
        deleted: news.deletions(),
        sent: outcome.stats.sent,
        received: outcome.stats.received,
    });
}
