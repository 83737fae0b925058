//! A batch or a comparison, session by session, until what can arrive has arrived.
//!
//! A target that speaks of an error is asked once more, this time for an acknowledgement of each name: what it has is found equal and
//! costs no data, and what it does not acknowledge did not arrive. A target that ends its session because it cannot store a file (its disk
//! is full, the file too large) gets the others without that file, which goes in a session of its own. When several such sessions end in
//! a row and nothing new was stored, it is the target that fails and not the files.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use rsync_engine::Outcome;
use rsync_engine::fs::Stat;

use super::Mirror;
use super::names::{Part, is_large, sort};
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
        let differs = |path: &PathBytes, stat: &Stat| {
            let sent = self.sent.get(path);
            sent.is_some_and(|&sent| sent != (stat.size, stat.mtime))
        };
        let parts = sort(batch, self.abilities.deletes, &self.protected, differs);
        let mut waiting: VecDeque<Part> = parts.into();
        let mut alone = Vec::new();
        for part in &mut waiting {
            let names = std::mem::take(&mut part.names).into_iter();
            let (apart, together): (Vec<_>, _) =
                names.partition(|name| self.alone.contains_key(&name.path[..]));
            part.names = together;
            let check = part.check;
            alone.extend(apart.into_iter().map(|name| Part::new(vec![name], check)));
        }
        waiting.extend(alone);
        while let Some(part) = waiting.pop_front() {
            if part.is_empty() {
                continue;
            }
            if self.abilities.deletes_by_rules() && part.deletes_by_name() {
                for part in part.by_rules_alone().into_iter().rev() {
                    waiting.push_front(part);
                }
                continue;
            }
            self.session(batch, part, &mut waiting, &mut result, events);
            if result.error.is_some() {
                return result;
            }
        }
        self.remember(batch, &result);
        result
    }

    /// One session with this part of a batch. What it leaves undone is put before what is `waiting` or behind it, or is in the result.
    fn session(
        &mut self,
        batch: &Batch,
        part: Part,
        waiting: &mut VecDeque<Part>,
        result: &mut PushResult,
        events: &mut dyn FnMut(PushEvent),
    ) {
        // A session before this one may have deleted some and left the rest undone.
        let gone: HashSet<&[u8]> = result.deleted.iter().map(|path| &path[..]).collect();
        let to_delete = part.to_delete().filter(|path| !gone.contains(path));
        let news = News::new(self.asks(), &self.halting)
            .of_deletions(to_delete.map(PathBytes::from).collect());
        let news = Arc::new(news);
        let mut unfit = Vec::new();
        let done = self.push_names(batch, &part, &news, &mut unfit);
        let words = news.last_words();
        news.deliver(events);
        result.deleted.append(&mut news.take_gone());
        match done {
            Ok(outcome) => {
                add(&mut result.stats, &outcome, &news);
                if self.abilities.told(&words) || news.is_troubled() && self.begin_asking() {
                    waiting.push_front(part);
                    return;
                }
                self.troubled = news.is_troubled();
                self.barren = 0;
                let failed = result.failed.len();
                result.failed.append(&mut unfit);
                news.failures(batch, &part, &mut result.failed);
                if failed == result.failed.len() {
                    part.paths().for_each(|path| {
                        self.alone.remove(path);
                    });
                }
            }
            Err(error) if self.abilities.failed(&error, &words) => waiting.push_front(part),
            Err(error) if news.broke_off(&error) => {
                // The one file of a session needs no acknowledgement to be known.
                if part.names.len() > 1 && self.begin_asking() {
                    waiting.push_front(part);
                } else if !self.set_aside(batch, part, waiting, &news, &words, result) {
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
    fn set_aside(
        &mut self,
        batch: &Batch,
        mut part: Part,
        waiting: &mut VecDeque<Part>,
        news: &News,
        words: &str,
        result: &mut PushResult,
    ) -> bool {
        let arrived = news.acknowledged();
        let is_known = match &part.names[..] {
            [only] => self.alone.contains_key(&only.path[..]),
            _ => false,
        };
        if !arrived.is_empty() {
            self.barren = 0;
        } else if !is_known {
            self.barren += 1;
        }
        result.confirmed.extend(arrived);
        if self.barren >= BARREN {
            return false;
        }
        part.names.retain(|name| !news.is_acknowledged(&name.path));
        let mut files = part.to_send().filter(|path| !batch.has_directory(path));
        let culprit: Option<PathBytes> = match (files.next(), files.next()) {
            (None, _) => return false,
            (Some(only), None) => Some(only.into()),
            _ => news.being_stored(),
        };
        drop(files);
        let at = culprit.and_then(|path| {
            let mut names = part.names.iter();
            names.position(|name| name.path == *path)
        });
        match at {
            Some(at) => {
                let culprit = part.names.remove(at);
                if !part.is_empty() {
                    let check = part.check;
                    waiting.push_front(part);
                    waiting.push_back(Part::new(vec![culprit], check));
                    return true;
                }
                let path: PathBytes = culprit.path.as_slice().into();
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
            // A target that does not acknowledge: it is in one half or the other.
            None if news.asked() => return false,
            None => {
                let half = part.names.split_off(part.names.len() / 2);
                waiting.push_front(Part::new(half, part.check));
                waiting.push_front(part);
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
