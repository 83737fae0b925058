//! Ctrl-C and its relatives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rsync_engine::Cancel;
use tokio::signal::unix::{SignalKind, signal};

/// Cancels the transfer on SIGINT, SIGTERM and SIGHUP, so that temporary files go and the peer is told. Gives whether
/// that has happened.
pub(crate) fn cancels(cancel: &Cancel) -> Arc<AtomicBool> {
    let cancel = cancel.clone();
    let interrupted = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&interrupted);
    on_signal(move || {
        set.store(true, Ordering::SeqCst);
        cancel.cancel();
    });
    interrupted
}

/// Runs `then` on the first SIGINT, SIGTERM or SIGHUP. A second one ends the process as usual would.
pub(crate) fn on_signal(then: impl FnOnce() + Send + 'static) {
    let wait = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
        else {
            return;
        };
        runtime.block_on(async {
            let kinds = [
                SignalKind::interrupt(),
                SignalKind::terminate(),
                SignalKind::hangup(),
            ];
            let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else {
                return;
            };
            let mut next = async || {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
            };
            next().await;
            then();
            next().await;
            std::process::exit(20);
        });
    };
    // Without the thread a signal ends the process at once, which loses nothing but the farewell.
    let _ = std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait);
}
