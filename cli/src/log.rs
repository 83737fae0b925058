//! Diagnostic log lines for developers: off unless `SYNCLINE_LOG` asks for them.

use tracing_subscriber::EnvFilter;

/// Writes tracing lines to standard error as `SYNCLINE_LOG` says (`debug`, `rsync_engine=trace`, ...).
pub(crate) fn start() {
    let Ok(filter) = EnvFilter::try_from_env("SYNCLINE_LOG") else {
        return;
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
