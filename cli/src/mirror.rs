//! `syncline watch`: runs the watcher and says what it does, a line a batch.

mod place;
mod screen;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rsync_engine::Cancel;
use rsync_engine::filter::Chain;
use syncline::Filters;
use syncline_watcher::mirror::Mirror;
use syncline_watcher::{
    DeleteLimit, DeletePolicy as Policy, Excludes, TargetSpec, Timing, WatchError, WatchOptions,
    Watcher,
};
use tokio::signal::unix::SignalKind;

use crate::exit::{Failure, Role, USAGE};
use crate::memory::Memory;
use crate::transfer;
use crate::watch::{DeletePolicy, WatchPlan, WatchTarget};

use self::place::{identity, place, refuse_nested, refuse_own_tail, source};
use self::screen::Screen;

/// How often it is stored what the targets have.
const REMEMBER: Duration = Duration::from_secs(10);
/// How often it is said again that deletions wait.
const REMIND: Duration = Duration::from_secs(3600);

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
    refuse_nested(plan)?;
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
        .map(|(target, memory)| {
            let known = memory.as_mut().and_then(Memory::load);
            TargetSpec {
                pusher: Box::new(pusher(plan, target, &filters, &cancel)),
                confirmed_until: known.map(|(until, _)| until),
                known_names: known.map_or(0, |(_, names)| names),
            }
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
    let (watcher, events) = Watcher::start(
        &plan.source,
        targets,
        options(plan, chain, filters.receiver_chain()),
    )
    .map_err(|error| {
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

/// Stores until when each target has everything. A place that cannot be written is told once.
fn remember(watcher: &Watcher, memories: &mut [Option<Memory>], screen: &Screen) {
    let status = watcher.status();
    if !status.watching || status.source_lost {
        return;
    }
    for (target, slot) in status.targets.iter().zip(memories) {
        let Some(memory) = slot.as_mut().filter(|_| target.held == 0) else {
            continue;
        };
        if let Err(error) = memory.store(target.confirmed_until, status.entries) {
            screen.problem(&format!(
                "cannot remember what is done ({error}); the next start compares by size and time only"
            ));
            *slot = None;
        }
    }
}

fn cause(error: &dyn std::error::Error) -> String {
    error
        .source()
        .map_or_else(String::new, |source| format!(": {source}"))
}

fn options(plan: &WatchPlan, chain: Chain, protected: Chain) -> WatchOptions {
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
        exclude: Excludes::by_filters(chain, protected),
        ..WatchOptions::default()
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
