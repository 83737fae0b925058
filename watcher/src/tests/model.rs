//! The contract: once writes stop, the mirror equals the source, whatever happened before.
//!
//! Several writers do random things to a small tree (few names, so that they get into each other's way) while events are lost, sessions are cut,
//! names are refused, the target is away and the watcher is stopped and started. Then everything is let be, and the trees are compared.
//!
//! `SYNCLINE_MODEL_SEEDS=first..end` runs more of it, `SYNCLINE_MODEL_SEEDS=n..` until it is ended.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rsync_engine::Cancel;
use rsync_engine::fs::Timestamp;
use rsync_engine::options::TransferOptions;
use syncline::Filters;

use super::faults::{Faults, Faulty};
use super::mirror::{Control, Mirror};
use super::privilege::as_a_user;
use super::random::Random;
use super::snapshot::differences;
use super::writer::Writer;
use crate::dirty::Timing;
use crate::driver::{TargetSpec, Watcher};
use crate::event::WatchEvent;
use crate::mirror::{self, MirrorTarget};
use crate::shared::{DeletePolicy, WatchOptions};

#[test]
fn the_mirror_converges() {
    for seed in seeds() {
        run(seed, By::Both);
    }
}

/// The same with rsync sessions to the second folder.
#[test]
fn the_mirror_of_rsync_converges() {
    for seed in seeds() {
        run(seed, By::Rsync);
    }
}

/// The same with rsync sessions to both, and for somebody who cannot read everything.
#[test]
fn the_mirror_of_a_user_converges() {
    as_a_user(|| {
        for seed in seeds() {
            run(seed, By::RsyncOfUser);
        }
    });
}

/// Who brings the folders up to date.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// Both by [`Mirror`].
    Both,
    /// The second by rsync.
    Rsync,
    /// Both by rsync, and permissions count.
    RsyncOfUser,
}

fn seeds() -> std::ops::Range<u64> {
    match std::env::var("SYNCLINE_MODEL_SEEDS") {
        Err(_) => 0..6,
        Ok(text) => {
            let (first, end) = text.split_once("..").expect("first..end");
            let first = first.parse().unwrap();
            first..end.parse().unwrap_or(u64::MAX)
        }
    }
}

fn run(seed: u64, by: By) {
    let user = by == By::RsyncOfUser;
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    let mirrors = [dir.path().join("mirror-0"), dir.path().join("mirror-1")];
    for path in [
        &source,
        &mirrors[0],
        &mirrors[1],
        &dir.path().join("outside"),
    ] {
        fs::create_dir(path).unwrap();
    }
    let mut random = Random::new(seed);
    let hostile = random.below(4);
    println!("seed {seed}, kind {hostile}");
    let controls = [Arc::new(Control::default()), Arc::new(Control::default())];
    let faults = Arc::new(Faults::default());
    faults
        .break_pairs
        .store(random.one_in(4), Ordering::Relaxed);
    if hostile >= 1 {
        controls[0].cut_one_in.store(40, Ordering::Relaxed);
    }
    if hostile >= 2 {
        controls[0].refuse_one_in.store(50, Ordering::Relaxed);
    }
    // A tree to start with, made before anybody watches.
    let mut first = Writer::new(&source, random.next(), user);
    for _ in 0..60 {
        first.act();
    }
    let options = WatchOptions {
        timing: timing(&mut random),
        delete: DeletePolicy::All,
        delete_limit: None,
        max_batch: *random.pick(&[7, 60, 50_000]),
        large: *random.pick(&[30, 8_000, u64::MAX]),
        max_watches: *random.pick(&[usize::MAX, usize::MAX, 5]),
        poll_interval: Duration::from_millis(50),
        audit_interval: None,
        ..WatchOptions::default()
    };
    let mut stamps: [Option<Timestamp>; 2] = [None, None];
    let mut rounds = 1 + random.below(3);
    loop {
        rounds -= 1;
        let last = rounds == 0;
        let targets = (0..2)
            .map(|i| TargetSpec {
                pusher: if user || (by == By::Rsync && i == 1) {
                    Box::new(mirror::Mirror::new(
                        MirrorTarget::Local(mirrors[i].clone()),
                        // Times are compared to the nanosecond below.
                        TransferOptions {
                            modify_window: Some(-1),
                            ..TransferOptions::archive()
                        },
                        Filters::default(),
                        true,
                        Cancel::new(),
                    ))
                } else {
                    let seed = random.next();
                    Box::new(Mirror::new(&source, &mirrors[i], &controls[i], seed))
                },
                confirmed_until: stamps[i],
                known_names: 0,
            })
            .collect();
        let (watcher, events) = Watcher::start_with(&source, targets, options.clone(), |applier| {
            Faulty::new(applier, faults.clone())
        })
        .unwrap();
        disturb(&mut random, hostile, &source, &controls, &faults, user);
        if !last {
            watcher.begin_stop();
            let status = watcher.status();
            for (stamp, target) in stamps.iter_mut().zip(&status.targets) {
                *stamp = Some(target.confirmed_until);
            }
            watcher.stop();
            // Nobody watches this.
            let mut writer = Writer::new(&source, random.next(), user);
            for _ in 0..random.below(40) {
                writer.act();
            }
            continue;
        }
        for control in &controls {
            control.cut_one_in.store(0, Ordering::Relaxed);
            control.refuse_one_in.store(0, Ordering::Relaxed);
        }
        if user {
            make_readable(&source);
        }
        let mut in_sync = watcher.wait_in_sync(Duration::from_millis(300));
        for _ in 0..100 {
            if in_sync {
                break;
            }
            if user {
                // A receiver that is no superuser cannot delete in what it may not read.
                mirrors.iter().for_each(|mirror| make_readable(mirror));
            }
            in_sync = watcher.wait_in_sync(Duration::from_millis(300));
        }
        let status = watcher.status();
        let mut report = String::new();
        for (mirror, control) in mirrors.iter().zip(&controls) {
            let differences = differences(&source, mirror);
            if !differences.is_empty() || !in_sync {
                let log = control.log.lock().unwrap();
                report += &format!("{mirror:?}:\n{differences}\nlast sessions:\n");
                let last = &log[log.len().saturating_sub(200)..];
                report += &last.join("\n");
                report.push('\n');
            }
        }
        if !report.is_empty() {
            let events: Vec<_> = events.try_iter().map(|event| brief(&event)).collect();
            let events = events[events.len().saturating_sub(25)..].join("\n");
            let targets = status.targets.iter().map(|target| {
                format!(
                    "{:?} in_sync={} waiting={} held={} failing:{}",
                    target.phase,
                    target.in_sync,
                    target.waiting,
                    target.held,
                    target
                        .failing
                        .iter()
                        .fold(String::new(), |text, (path, why, times)| {
                            format!("{text} {}: {why} ({times})", path.escape_ascii())
                        })
                )
            });
            let targets: Vec<_> = targets.collect();
            panic!("seed {seed}: in sync: {in_sync} {options:?}\n{report}\n{targets:#?}\n{events}");
        }
        watcher.stop();
        break;
    }
}

/// Gives back all permissions that were taken away.
fn make_readable(path: &Path) {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return;
    };
    if meta.is_symlink() {
        return;
    }
    if meta.mode() & 0o700 != 0o700 {
        let mode = meta.mode() & 0o7777 | 0o700;
        // A session may be quicker.
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        make_readable(&entry.path());
    }
}

/// An event in one line; the paths of batches are in the log of the mirror.
fn brief(event: &WatchEvent) -> String {
    match event {
        WatchEvent::BatchDone { target, summary } => format!(
            "BatchDone {target}: {} changed, {} deleted, full {}, failed {}",
            summary.changed, summary.deleted, summary.full, summary.failed
        ),
        WatchEvent::PathFailed {
            target, path, text, ..
        } => format!("PathFailed {target}: {} {text}", path.escape_ascii()),
        other => format!("{other:?}"),
    }
}

/// Lets writers write while things go wrong.
fn disturb(
    random: &mut Random,
    hostile: u64,
    source: &Path,
    controls: &[Arc<Control>; 2],
    faults: &Arc<Faults>,
    user: bool,
) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..1 + random.below(4))
            .map(|_| {
                let mut writer = Writer::new(source, random.next(), user);
                let actions = 20 + random.below(200);
                let mut pauses = Random::new(random.next());
                scope.spawn(move || {
                    for _ in 0..actions {
                        writer.act();
                        if pauses.one_in(4) {
                            std::thread::sleep(Duration::from_micros(pauses.below(3_000)));
                        }
                    }
                })
            })
            .collect();
        let mut trouble = Random::new(random.next());
        let stop = &stop;
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(trouble.below(30)));
                if hostile >= 3 && trouble.one_in(3) {
                    faults
                        .lose
                        .store(trouble.below(60) as u32, Ordering::Relaxed);
                }
                let control = trouble.pick(controls);
                control.down.store(trouble.one_in(3), Ordering::Relaxed);
            }
            for control in controls {
                control.down.store(false, Ordering::Relaxed);
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

fn timing(random: &mut Random) -> Timing {
    let ms = Duration::from_millis;
    Timing {
        settle: ms(*random.pick(&[0, 1, 10])),
        quiet: ms(*random.pick(&[5, 50])),
        found: ms(*random.pick(&[1, 20])),
        delete_hold: ms(*random.pick(&[0, 10])),
        max_delay: ms(*random.pick(&[50, 300])),
        retry: ms(3),
        session_retry_max: ms(20),
        path_retry_max: ms(50),
    }
}
