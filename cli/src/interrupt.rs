//! Ctrl-C and its relatives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rsync_engine::Cancel;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask a program to end, without SIGHUP.
pub(crate) const END: [SignalKind; 2] = [SignalKind::interrupt(), SignalKind::terminate()];

/// The signals that ask a program to end when it belongs to a terminal.
pub(crate) const END_OR_HANGUP: [SignalKind; 3] = [
    SignalKind::interrupt(),
    SignalKind::terminate(),
    SignalKind::hangup(),
];

/// Cancels the transfer on SIGINT, SIGTERM and SIGHUP, so that temporary files go and the peer is told. The
/// flag tells that it happened: whatever ends the transfer then, the reason is the signal.
pub(crate) fn cancels(cancel: &Cancel) -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let (cancel, flag) = (cancel.clone(), Arc::clone(&interrupted));
    on_end(&END_OR_HANGUP, move || {
        flag.store(true, Ordering::SeqCst);
        cancel.cancel();
    });
    interrupted
}

/// Runs `then` on the first of the signals. A second one ends the process as usual would.
pub(crate) fn on_end(kinds: &[SignalKind], then: impl FnOnce() + Send + 'static) {
    watch(kinds.to_vec(), async move |mut signals| {
        any(&mut signals).await;
        then();
        any(&mut signals).await;
        std::process::exit(20);
    });
}

/// Runs `then` each time the signal comes.
pub(crate) fn on_each(kind: SignalKind, mut then: impl FnMut() + Send + 'static) {
    watch(vec![kind], async move |mut signals| {
        loop {
            any(&mut signals).await;
            then();
        }
    });
}

/// Returns when the signals are caught.
fn watch(kinds: Vec<SignalKind>, work: impl AsyncFnOnce(Vec<Signal>) + Send + 'static) {
    let (caught, is_caught) = std::sync::mpsc::channel();
    let wait = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
        else {
            return;
        };
        runtime.block_on(async {
            let signals = kinds.into_iter().map(signal).collect();
            // The one who waits is there until it is told.
            let _ = caught.send(());
            if let Ok(signals) = signals {
                work(signals).await;
            }
        });
    };
    // Without the thread a signal ends the process at once, which loses nothing but the farewell.
    let started = std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait);
    if started.is_ok() {
        // An error: the thread had nothing to wait with, and is gone.
        let _ = is_caught.recv();
    }
}

async fn any(signals: &mut [Signal]) {
    std::future::poll_fn(|context| {
        let came = signals
            .iter_mut()
            .any(|signal| signal.poll_recv(context).is_ready());
        match came {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}
