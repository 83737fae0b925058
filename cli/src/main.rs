//! The syncline command: rsync's command line, `syncline watch` and `syncline daemon`.
//!
//! Words become [`lowargs`] (what was typed), then [`hiargs`] (what it means: a job, options, output), then
//! [`transfer`] or [`mirror`] run it and [`output`] says what happened, in rsync's words. Exit codes and the last
//! lines of a failed run are in [`exit`] alone. Nothing here is anything that another crate could want.

#![forbid(unsafe_code)]
mod client;
mod daemon;
mod escape;
mod exit;
mod flags;
mod hiargs;
mod hostspec;
mod interrupt;
mod log;
mod lowargs;
mod memory;
mod mirror;
mod output;
mod password;
#[cfg(test)]
mod testing;
mod transfer;
mod watch;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use clap::Parser;

use crate::daemon::DaemonPlan;
use crate::escape::Escaper;
use crate::exit::{Failure, USAGE};
use crate::hiargs::HiArgs;
use crate::watch::WatchPlan;

fn main() -> ExitCode {
    log::start();
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match words.first().and_then(|word| word.to_str()) {
        Some("watch") => match WatchPlan::parse(words.into_iter().skip(1)) {
            Ok(plan) => plan.and_then(|plan| client::run_watch(&plan)),
            Err(error) => return clap_exit(&error),
        },
        Some("daemon") => match DaemonPlan::try_parse_from(daemon_words(words.into_iter().skip(1)))
        {
            Ok(plan) => client::run_daemon(&plan),
            Err(error) => return clap_exit(&error),
        },
        // rsync's own way to say it; the words are the same.
        _ if words.iter().any(|word| word == "--daemon")
            && !words.iter().any(|word| word == "--server") =>
        {
            match DaemonPlan::try_parse_from(daemon_words(
                words.into_iter().filter(|word| word != "--daemon"),
            )) {
                Ok(plan) => client::run_daemon(&plan),
                Err(error) => return clap_exit(&error),
            }
        }
        _ => transfer(words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let escaper = Escaper::for_locale(|name| std::env::var(name).ok());
            // Without standard error there is nobody to tell.
            let _ = failure.print(escaper, &mut io::stderr().lock());
            failure.exit_code()
        }
    }
}

/// rsync's command line.
fn transfer(words: Vec<OsString>) -> Result<(), Failure> {
    let words: Vec<Vec<u8>> = words.into_iter().map(OsString::into_vec).collect();
    let low = flags::parse(&words)?;
    let text = match low.version {
        _ if low.help => Some(flags::help()),
        0 => None,
        1 => Some(flags::version()),
        _ => Some(flags::version_json()),
    };
    if let Some(text) = text {
        // A closed pipe (`| head`) is no failure.
        let _ = io::stdout().lock().write_all(text.as_bytes());
        return Ok(());
    }
    client::run_transfer(&HiArgs::new(low)?)
}

fn daemon_words(words: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    std::iter::once(OsString::from("syncline daemon")).chain(words)
}

/// Prints what clap has to say; help and version are no errors. Bad usage is code 1, as everywhere here.
fn clap_exit(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() {
        ExitCode::from(USAGE)
    } else {
        ExitCode::SUCCESS
    }
}
