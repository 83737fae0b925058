//! Runs what the command line asks for.

use crate::daemon::DaemonPlan;
use crate::exit::{Failure, UNSUPPORTED};
use crate::hiargs::HiArgs;
use crate::transfer;
use crate::watch::WatchPlan;

/// A one-shot transfer or listing.
pub(crate) fn run_transfer(args: &HiArgs) -> Result<(), Failure> {
    transfer::run(args)
}

/// Follows a tree until told to stop.
pub(crate) fn run_watch(plan: &WatchPlan) -> Result<(), Failure> {
    tracing::debug!(?plan, "watch");
    Err(Failure::new(
        UNSUPPORTED,
        crate::exit::Role::Client,
        "watching is not built in yet",
    ))
}

/// Serves modules until told to stop.
pub(crate) fn run_daemon(plan: &DaemonPlan) -> Result<(), Failure> {
    tracing::debug!(?plan, "daemon");
    Err(Failure::new(
        UNSUPPORTED,
        crate::exit::Role::Client,
        "the daemon is not built in yet",
    ))
}
