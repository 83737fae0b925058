//! `syncline watch`: its options, and the plan they make.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser};
use rsync_engine::options::{ChecksumChoice, Delete, FilterText, TransferOptions, grammar};

use crate::exit::Failure;
use crate::hiargs::{Connection, HiArgs, Job};
use crate::lowargs::LowArgs;

/// Keep one or several mirrors of a directory equal to it while it changes.
///
/// First everything that differs is brought over, then what changes is pushed as it changes. What
/// disappears at the source while it is watched disappears at the mirrors.
#[derive(Clone, Debug, Parser)]
#[command(name = "syncline watch", bin_name = "syncline watch", version)]
struct WatchArgs {
    /// The directory to watch.
    #[arg(value_name = "SRC")]
    source: OsString,
    /// The mirrors: PATH, [USER@]HOST::MODULE[/PATH] or rsync://[USER@]HOST[:PORT]/MODULE[/PATH].
    #[arg(value_name = "DEST", required = true)]
    targets: Vec<OsString>,
    /// Also delete at the mirrors what the source never had.
    #[arg(long, conflicts_with = "no_delete")]
    delete: bool,
    /// Delete nothing at the mirrors.
    #[arg(long)]
    no_delete: bool,
    /// Leave out what matches the pattern.
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<OsString>,
    /// Do not leave out what matches the pattern.
    #[arg(long, value_name = "PATTERN")]
    include: Vec<OsString>,
    /// Read exclude patterns from a file.
    #[arg(long, value_name = "FILE")]
    exclude_from: Vec<OsString>,
    /// Read include patterns from a file.
    #[arg(long, value_name = "FILE")]
    include_from: Vec<OsString>,
    /// Add a filter rule in rsync's notation.
    #[arg(short, long, value_name = "RULE")]
    filter: Vec<OsString>,
    /// Keep hard links between files.
    #[arg(short = 'H', long)]
    hard_links: bool,
    /// Take user and group ids as numbers, not by name.
    #[arg(long)]
    numeric_ids: bool,
    /// Algorithm of the checksums, as rsync's --checksum-choice.
    #[arg(long, alias = "cc", value_name = "NAME")]
    checksum_choice: Option<String>,
    /// Use at most this protocol version.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(29..=32))]
    protocol: Option<u32>,
    /// Send no more than so many KiB a second (rsync's units).
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    bwlimit: Option<u64>,
    /// Give a session up after so many seconds without data.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Give connecting up after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    contimeout: u64,
    /// Port of the daemons whose address names none.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Read the password from this file (mode 600).
    #[arg(long, value_name = "FILE")]
    password_file: Option<OsString>,
    /// How long a closed file must be left alone before it is sent.
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = parse_duration)]
    settle: Duration,
    /// How long a file that is still open must be left alone.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    quiet_after: Duration,
    /// Send a file that is never left alone at least so often.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    max_delay: Duration,
    /// Hold deletions back when more than 1,000 names and more than this share of all vanish within a minute; 100: never.
    #[arg(long, value_name = "PERCENT", default_value_t = 25, value_parser = clap::value_parser!(u8).range(0..=100))]
    hold_deletions: u8,
    /// Say more (repeatable).
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Say only what went wrong.
    #[arg(short, long)]
    quiet: bool,
}

/// What disappears at a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeletePolicy {
    /// What is deleted at the source while it is watched.
    Tracked,
    /// All that the source has not (`--delete`).
    All,
    /// Nothing (`--no-delete`).
    Never,
}

/// One mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WatchTarget {
    /// The argument as the user wrote it, for messages.
    pub(crate) name: String,
    /// [`Job::Local`] or [`Job::Push`] with the watched directory as source.
    pub(crate) job: Job,
}

/// What to watch and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WatchPlan {
    /// The directory to watch.
    pub(crate) source: PathBuf,
    /// At least one.
    pub(crate) targets: Vec<WatchTarget>,
    /// The options of every transfer: `-a`, and of the first one the deletions.
    pub(crate) options: TransferOptions,
    /// What disappears at the mirrors.
    pub(crate) delete: DeletePolicy,
    /// How to reach the daemons.
    pub(crate) connection: Connection,
    /// How long a closed file must be left alone.
    pub(crate) settle: Duration,
    /// How long an open file must be left alone.
    pub(crate) quiet_after: Duration,
    /// How long changes may wait at most.
    pub(crate) max_delay: Duration,
    /// Per cent of all names that may vanish at once before deletions wait for a person.
    pub(crate) hold_deletions: u8,
    /// 0 = only what went wrong, 1 = a line a batch, 2 and up: more.
    pub(crate) verbosity: u8,
}

impl WatchPlan {
    /// Reads the words after `watch`. The inner error is clap's own, which also carries help and version.
    pub(crate) fn parse(
        words: impl IntoIterator<Item = OsString>,
    ) -> Result<Result<Self, Failure>, clap::Error> {
        let words = std::iter::once(OsString::from("syncline watch")).chain(words);
        let command = WatchArgs::command().mut_args(|arg| {
            // A rule, a pattern or a name may begin with a dash; the word after such an option is its value whatever it is.
            let takes_any = arg.get_action().takes_values() && !arg.is_positional();
            arg.allow_hyphen_values(takes_any)
        });
        let matches = command.try_get_matches_from(words)?;
        let args = WatchArgs::from_arg_matches(&matches)?;
        Ok(Self::new(args, filters_in_order(&matches)))
    }

    fn new(args: WatchArgs, filter_texts: Vec<FilterText>) -> Result<Self, Failure> {
        let delete = match (args.delete, args.no_delete) {
            (true, _) => DeletePolicy::All,
            (_, true) => DeletePolicy::Never,
            _ => DeletePolicy::Tracked,
        };
        let checksum_choice = match &args.checksum_choice {
            Some(text) => ChecksumChoice::parse(text.as_bytes())?,
            None => None,
        };
        let seconds = |count: u64| Some(Duration::from_secs(count)).filter(|time| !time.is_zero());
        let options = TransferOptions {
            hard_links: args.hard_links,
            numeric_ids: args.numeric_ids,
            checksum_choice,
            protocol: args.protocol,
            bwlimit: args.bwlimit.filter(|&rate| rate != 0),
            timeout: seconds(args.timeout),
            delete: if delete == DeletePolicy::All {
                Delete::During
            } else {
                Delete::Off
            },
            filter_texts,
            ..TransferOptions::archive()
        };
        let targets = args
            .targets
            .iter()
            .map(|target| watch_target(&args, target))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            source: PathBuf::from(&args.source),
            targets,
            options,
            delete,
            connection: Connection {
                contimeout: seconds(args.contimeout),
                password_file: args.password_file.map(OsString::into_vec),
                motd: false,
            },
            settle: args.settle,
            quiet_after: args.quiet_after,
            max_delay: args.max_delay,
            hold_deletions: args.hold_deletions,
            verbosity: if args.quiet { 0 } else { 1 + args.verbose },
        })
    }
}

/// A mirror's address goes the way of a push's destination, so that both are understood alike.
fn watch_target(args: &WatchArgs, target: &OsString) -> Result<WatchTarget, Failure> {
    let low = LowArgs {
        transfer: TransferOptions::archive(),
        port: args.port,
        operands: vec![args.source.as_bytes().to_vec(), target.as_bytes().to_vec()],
        ..LowArgs::default()
    };
    let job = HiArgs::new(low)?.job;
    Ok(WatchTarget {
        name: target.to_string_lossy().into_owned(),
        job,
    })
}

/// The filter options in the order of the command line, which decides between them.
fn filters_in_order(matches: &ArgMatches) -> Vec<FilterText> {
    let mut found = Vec::new();
    let mut add = |id: &str, make: fn(Vec<u8>) -> FilterText| {
        let values = matches.get_many::<OsString>(id).into_iter().flatten();
        let places = matches.indices_of(id).into_iter().flatten();
        found.extend(
            places
                .zip(values)
                .map(|(place, value)| (place, make(value.as_bytes().to_vec()))),
        );
    };
    add("exclude", FilterText::Exclude);
    add("include", FilterText::Include);
    add("exclude_from", FilterText::ExcludeFrom);
    add("include_from", FilterText::IncludeFrom);
    add("filter", FilterText::Rule);
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, text)| text).collect()
}

fn parse_rate(text: &str) -> Result<u64, String> {
    grammar::parse_bwlimit(text.as_bytes()).map_err(|error| error.to_string())
}

/// `250ms`, `1.5s`, `2m`, or seconds without a unit.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let end = text
        .find(|letter: char| letter.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        _ => return Err(format!("unknown unit {unit:?}: use ms, s or m")),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("not a number: {number:?}"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &[&str]) -> WatchPlan {
        WatchPlan::parse(words.iter().map(OsString::from))
            .unwrap()
            .unwrap()
    }

    #[test]
    fn defaults() {
        let plan = plan(&["src", "dst"]);
        assert_eq!(plan.source, PathBuf::from("src"));
        assert_eq!(plan.delete, DeletePolicy::Tracked);
        assert_eq!(
            (plan.settle, plan.quiet_after),
            (Duration::from_millis(10), Duration::from_secs(1))
        );
        assert_eq!(
            (plan.max_delay, plan.verbosity),
            (Duration::from_secs(10), 1)
        );
        let expected = TransferOptions {
            timeout: Some(Duration::from_secs(60)),
            ..TransferOptions::archive()
        };
        assert_eq!(plan.options, expected);
    }

    #[test]
    fn targets_and_filters_in_order() {
        let plan = plan(&[
            "--exclude=a",
            "src",
            "--delete",
            "--include",
            "b",
            "rsync://u@h:99/m/p",
            "/mirror",
            "-f",
            "- c",
            "--exclude=d",
            "--settle=0.5s",
            "--bwlimit=1m",
            "--cc=md5",
            "-v",
        ]);
        assert_eq!(plan.options.filter_texts.len(), 4);
        assert_eq!(
            plan.options.filter_texts[0],
            FilterText::Exclude(b"a".to_vec())
        );
        assert_eq!(
            plan.options.filter_texts[1],
            FilterText::Include(b"b".to_vec())
        );
        assert_eq!(
            plan.options.filter_texts[2],
            FilterText::Rule(b"- c".to_vec())
        );
        assert_eq!(
            plan.options.filter_texts[3],
            FilterText::Exclude(b"d".to_vec())
        );
        assert_eq!(
            (plan.delete, plan.options.delete),
            (DeletePolicy::All, Delete::During)
        );
        assert_eq!(
            (plan.settle, plan.options.bwlimit),
            (Duration::from_millis(500), Some(1 << 20))
        );
        assert_eq!(plan.verbosity, 2);
        let [remote, local] = &plan.targets[..] else {
            panic!("two targets")
        };
        assert!(
            matches!(&remote.job, Job::Push { daemon, module, .. } if daemon.port == 99 && module == b"m")
        );
        assert!(matches!(&local.job, Job::Local { dest: Some(dest), .. } if dest == b"/mirror"));
    }

    #[test]
    fn values_that_begin_with_a_dash() {
        let plan = plan(&[
            "-f",
            "- *.tmp",
            "--filter=-! *.c",
            "--exclude",
            "-x",
            "--include",
            "--delete",
            "--exclude-from",
            "-",
            "--include-from",
            "-list",
            "--password-file",
            "-secret",
            "src",
            "dst",
        ]);
        let texts = [
            FilterText::Rule(b"- *.tmp".to_vec()),
            FilterText::Rule(b"-! *.c".to_vec()),
            FilterText::Exclude(b"-x".to_vec()),
            FilterText::Include(b"--delete".to_vec()),
            FilterText::ExcludeFrom(b"-".to_vec()),
            FilterText::IncludeFrom(b"-list".to_vec()),
        ];
        assert_eq!(plan.options.filter_texts, texts);
        assert_eq!(plan.delete, DeletePolicy::Tracked);
        assert_eq!(plan.connection.password_file, Some(b"-secret".to_vec()));
        // What is no value of its kind is refused as such, not as an option that nobody knows.
        for option in ["--timeout", "--bwlimit", "--settle", "--hold-deletions"] {
            let words = ["src", "dst", option, "-5"].map(OsString::from);
            let error = WatchPlan::parse(words).unwrap_err().to_string();
            assert!(error.contains("invalid value '-5'"), "{option}: {error}");
        }
    }

    #[test]
    fn refused() {
        for words in [
            &["src"][..],
            &["src", "dst", "--bogus"],
            &["src", "dst", "--settle=1h"],
            &["src", "dst", "--delete", "--no-delete"],
        ] {
            assert!(
                WatchPlan::parse(words.iter().map(OsString::from)).is_err(),
                "{words:?}"
            );
        }
        let shell = WatchPlan::parse(["src", "host:dst"].map(OsString::from))
            .unwrap()
            .unwrap_err();
        assert_eq!(shell.code, 4);
    }
}
