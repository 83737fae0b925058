//! Runs what the command line asks for.

use std::sync::Arc;

use rsyncd::serve::EngineRunner;
use rsyncd::{Server, ServerOptions};
use tokio::signal::unix::SignalKind;

use crate::daemon::DaemonPlan;
use crate::exit::{Failure, USAGE};
use crate::hiargs::HiArgs;
use crate::watch::WatchPlan;
use crate::{mirror, transfer};

/// A one-shot transfer or listing.
pub(crate) fn run_transfer(args: &HiArgs) -> Result<(), Failure> {
    transfer::run(args)
}

/// Follows a tree until told to stop.
pub(crate) fn run_watch(plan: &WatchPlan) -> Result<(), Failure> {
    mirror::run(plan)
}

/// Serves modules until told to stop.
pub(crate) fn run_daemon(plan: &DaemonPlan) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(
            USAGE,
            crate::exit::Role::Client,
            format!("syncline daemon: {error}"),
        )
    };
    if let Some((name, _)) = plan.dparam.first() {
        return Err(failed(&format!(
            "--dparam {name}: not supported yet, set it in the configuration"
        )));
    }
    let options = ServerOptions {
        address: plan.address.map(|address| address.to_string()),
        port: plan.port,
        log_file: plan.log_file.clone(),
        ..ServerOptions::default()
    };
    let server = Server::new(&plan.config, Arc::new(EngineRunner), options)
        .map_err(|error| failed(&error))?;
    let listeners = server.bind().map_err(|error| failed(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| failed(&error))?;
    let server = Arc::new(server);
    let reloaded = Arc::clone(&server);
    crate::interrupt::on_each(SignalKind::hangup(), move || reloaded.reload());
    let (stop, stopped) = tokio::sync::oneshot::channel();
    crate::interrupt::on_end(&crate::interrupt::END, move || {
        // The server has ended by itself otherwise.
        let _ = stop.send(());
    });
    let served = runtime.block_on(server.serve(listeners, async {
        let _ = stopped.await;
    }));
    served.map_err(|error| failed(&error))
}
