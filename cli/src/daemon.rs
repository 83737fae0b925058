//! `syncline daemon`: its options.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Parser;

/// Serve the modules of an rsyncd.conf to rsync clients.
#[derive(Clone, Debug, Parser, PartialEq, Eq)]
#[command(name = "syncline daemon", bin_name = "syncline daemon", version)]
pub(crate) struct DaemonPlan {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "/etc/rsyncd.conf")]
    pub(crate) config: PathBuf,
    /// Listen on this port; overrides the configuration [default: 873].
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Listen on this address only; overrides the configuration.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<IpAddr>,
    /// Write log lines to this file; overrides the configuration.
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// Set a global parameter of the configuration.
    #[arg(short = 'M', long, value_name = "NAME=VALUE", value_parser = parse_parameter)]
    pub(crate) dparam: Vec<(String, String)>,
    /// Stay in the foreground. Always the case; accepted for the sake of existing scripts.
    #[arg(long)]
    pub(crate) no_detach: bool,
    /// Say more in the log (repeatable).
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

fn parse_parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("--dparam value is missing an '=': {text}"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &[&str]) -> Result<DaemonPlan, clap::Error> {
        DaemonPlan::try_parse_from(std::iter::once(&"syncline daemon").chain(words))
    }

    #[test]
    fn options() {
        let parsed = plan(&[
            "--config",
            "x.conf",
            "--port=8730",
            "--address",
            "::1",
            "--no-detach",
            "-M",
            "list = no",
        ]);
        let parsed = parsed.unwrap();
        assert_eq!(parsed.config, PathBuf::from("x.conf"));
        assert_eq!(
            (parsed.port, parsed.address),
            (Some(8730), Some("::1".parse().unwrap()))
        );
        assert_eq!(parsed.dparam, [("list".to_owned(), "no".to_owned())]);
        assert_eq!(plan(&[]).unwrap().config, PathBuf::from("/etc/rsyncd.conf"));
    }

    #[test]
    fn refused() {
        for words in [
            &["--bogus"][..],
            &["--dparam=x"],
            &["--port=70000"],
            &["--detach"],
            &["stray"],
        ] {
            assert!(plan(words).is_err(), "{words:?}");
        }
    }
}
