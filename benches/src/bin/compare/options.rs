//! The command line.

use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;

/// Compare syncline with rsync as a client, end to end. rsync is the first of SYNCLINE_RSYNC, else the one in PATH.
#[derive(Debug, Parser)]
#[command(name = "compare")]
pub(crate) struct Options {
    /// A small run, to see that everything works.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Timed runs of each client and case [default: 5, with --quick 3].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: Option<u32>,
    /// Only cases whose name contains WORD; may be repeated.
    #[arg(long = "case", value_name = "WORD")]
    cases: Vec<String>,
    /// The binary to compare [default: the one beside this program].
    #[arg(long, value_name = "PATH")]
    syncline: Option<PathBuf>,
    /// Where the trees lie [default: the temporary directory].
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// An option for `syncline watch`; may be repeated.
    #[arg(
        long,
        value_name = "OPTION",
        default_value = "--settle=0",
        allow_hyphen_values = true
    )]
    pub(crate) watch_option: Vec<OsString>,
}

impl Options {
    /// Whether a case is asked for.
    pub(crate) fn wants(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|word| case.contains(word.as_str()))
    }

    /// Our binary, or why it cannot be had.
    pub(crate) fn syncline(&self) -> Result<PathBuf, String> {
        let path = match &self.syncline {
            Some(path) => path.clone(),
            None => std::env::current_exe()
                .map_err(|error| error.to_string())?
                .with_file_name("syncline"),
        };
        path.canonicalize().map_err(|error| {
            format!(
                "{}: {error} (cargo build --release makes it)",
                path.display()
            )
        })
    }
}
