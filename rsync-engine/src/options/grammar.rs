//! The options of a transfer as words: one table for the client's command line and for the words a
//! client sends to a server, since rsync reads both with the same parser (06-client 2.2).

use std::time::Duration;

use super::error::text;
use super::size::{SizeRule, parse_integer};
use super::words::{Word, Words};
use super::{
    ChecksumChoice, Delete, FilterText, ListOnly, OptionError, SizeError, TransferOptions,
};

/// One option: its names and what it does.
#[derive(Debug)]
pub struct OptionSpec {
    /// The long name without dashes; empty if there is only the letter.
    pub long: &'static str,
    /// The letter.
    pub short: Option<u8>,
    /// Further long names.
    pub aliases: &'static [&'static str],
    /// What it does.
    pub effect: Effect,
}

/// What an option does to the [`TransferOptions`].
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// A switch that cannot be taken back.
    On(fn(&mut TransferOptions)),
    /// A switch with `--no-` forms of all its names; counted ones add up.
    Switch(fn(&mut TransferOptions, bool)),
    /// Joins the moments of deletion, which may conflict.
    Delete(Delete),
    /// Takes an integer. With the second function there is a `--no-` form that resets it.
    Integer(
        fn(&mut TransferOptions, i32),
        Option<fn(&mut TransferOptions)>,
    ),
    /// Takes a value.
    Value(
        fn(&mut TransferOptions, &[u8]) -> Result<(), OptionError>,
        Option<fn(&mut TransferOptions)>,
    ),
    /// rsync has it, Syncline does not do it yet.
    Unsupported {
        /// Whether a value follows.
        takes_value: bool,
        /// Whether `--no-` forms exist; they ask for what is the case and are accepted.
        negatable: bool,
    },
}

impl Effect {
    /// Whether a value follows the option.
    pub fn takes_value(self) -> bool {
        match self {
            Self::Integer(..) | Self::Value(..) => true,
            Self::Unsupported { takes_value, .. } => takes_value,
            Self::On(_) | Self::Switch(_) | Self::Delete(_) => false,
        }
    }

    /// Whether the option's names have `--no-` forms.
    pub fn is_negatable(self) -> bool {
        match self {
            Self::Switch(_) => true,
            Self::Integer(_, reset) => reset.is_some(),
            Self::Value(_, reset) => reset.is_some(),
            Self::Unsupported { negatable, .. } => negatable,
            Self::On(_) | Self::Delete(_) => false,
        }
    }
}

impl OptionSpec {
    /// The name for messages: `--long`, or `-x` for an option without a long name.
    pub fn display_name(&self) -> String {
        match self.short {
            Some(letter) if self.long.is_empty() => format!("-{}", char::from(letter)),
            _ => format!("--{}", self.long),
        }
    }

    fn has_long(&self, name: &[u8]) -> bool {
        !name.is_empty()
            && (self.long.as_bytes() == name
                || self.aliases.iter().any(|alias| alias.as_bytes() == name))
    }
}

/// Every option of the table.
pub fn specs() -> impl Iterator<Item = &'static OptionSpec> {
    TRANSFER.iter().chain(UNSUPPORTED)
}

/// Finds the option of `word`; the flag says whether it was a `--no-` form.
pub fn find(word: Word<'_>) -> Option<(&'static OptionSpec, bool)> {
    match word {
        Word::Operand(_) => None,
        Word::Short(letter) => specs()
            .find(|spec| spec.short == Some(letter))
            .map(|spec| (spec, false)),
        Word::Long(name) => {
            if let Some(spec) = specs().find(|spec| spec.has_long(name)) {
                return Some((spec, false));
            }
            let negated = name.strip_prefix(b"no-")?;
            specs()
                .filter(|spec| spec.effect.is_negatable())
                .find(|spec| spec.has_long(negated) || matches!((negated, spec.short), ([letter], Some(short)) if *letter == short))
                .map(|spec| (spec, true))
        }
    }
}

/// Applies `word`, taking its value from `words` where it has one. `Ok(false)`: not an option of this table.
///
/// # Errors
/// What is wrong with the option or its value; [`OptionError::Unsupported`] for one that Syncline lacks.
pub fn apply(
    options: &mut TransferOptions,
    word: Word<'_>,
    words: &mut Words<'_>,
) -> Result<bool, OptionError> {
    let Some((spec, negated)) = find(word) else {
        return Ok(false);
    };
    match (spec.effect, negated) {
        (Effect::On(set), _) => set(options),
        (Effect::Switch(set), _) => set(options, !negated),
        (Effect::Delete(when), _) => options.delete = options.delete.and(when)?,
        (Effect::Integer(_, reset) | Effect::Value(_, reset), true) => {
            if let Some(reset) = reset {
                reset(options);
            }
        }
        (Effect::Integer(set, _), false) => {
            let value = words.value()?;
            set(options, parse_integer(value, words.current())?);
        }
        (Effect::Value(set, _), false) => set(options, words.value()?)?,
        (Effect::Unsupported { .. }, true) => {}
        (Effect::Unsupported { .. }, false) => {
            return Err(OptionError::Unsupported {
                name: spec.display_name(),
            });
        }
    }
    Ok(true)
}

/// The limits of `--bwlimit`.
pub const BWLIMIT: SizeRule = SizeRule {
    option: "bwlimit",
    unit: 1024,
    min: 512,
    max: None,
};

/// `--bwlimit`: bytes a second, rounded to whole KiB; 0 = no limit (06-client 2.1, RATE).
///
/// # Errors
/// [`OptionError::Size`]; also from 2 TiB/s on, where the number of KiB leaves the 32 bits it travels in.
pub fn parse_bwlimit(argument: &[u8]) -> Result<u64, OptionError> {
    let kib = BWLIMIT.parse(argument)?.saturating_add(512) / 1024;
    if kib > i32::MAX as u64 {
        let error = SizeError::TooLarge;
        return Err(OptionError::Size {
            option: BWLIMIT.option,
            argument: text(argument),
            error,
        });
    }
    Ok(kib * 1024)
}

/// The limits of `--block-size`, which depend on the `--protocol` given so far (06-client 2.2, `-B`).
pub fn block_size_rule(protocol: Option<u32>) -> SizeRule {
    let max = if protocol.is_some_and(|protocol| protocol < 30) {
        1 << 29
    } else {
        128 << 10
    };
    SizeRule {
        option: "block-size",
        unit: 1,
        min: 0,
        max: Some(max),
    }
}

const fn spec(long: &'static str, short: Option<u8>, effect: Effect) -> OptionSpec {
    OptionSpec {
        long,
        short,
        aliases: &[],
        effect,
    }
}

const fn also(long: &'static str, aliases: &'static [&'static str], effect: Effect) -> OptionSpec {
    OptionSpec {
        long,
        short: None,
        aliases,
        effect,
    }
}

/// A switch that no `--no-` form takes back.
const fn missing(long: &'static str, short: Option<u8>) -> OptionSpec {
    spec(
        long,
        short,
        Effect::Unsupported {
            takes_value: false,
            negatable: false,
        },
    )
}

const fn missing_switch(long: &'static str, short: Option<u8>) -> OptionSpec {
    spec(
        long,
        short,
        Effect::Unsupported {
            takes_value: false,
            negatable: true,
        },
    )
}

const fn missing_value(
    long: &'static str,
    short: Option<u8>,
    aliases: &'static [&'static str],
) -> OptionSpec {
    OptionSpec {
        long,
        short,
        aliases,
        effect: Effect::Unsupported {
            takes_value: true,
            negatable: false,
        },
    }
}

fn count(counter: &mut u8, on: bool) {
    *counter = if on { counter.saturating_add(1) } else { 0 };
}

/// The options Syncline does.
static TRANSFER: &[OptionSpec] = &[
    spec(
        "archive",
        Some(b'a'),
        Effect::On(TransferOptions::set_archive),
    ),
    spec(
        "verbose",
        Some(b'v'),
        Effect::Switch(|o, on| count(&mut o.verbose, on)),
    ),
    spec("quiet", Some(b'q'), Effect::On(|o| o.quiet = true)),
    spec("dry-run", Some(b'n'), Effect::On(|o| o.dry_run = true)),
    spec(
        "list-only",
        None,
        Effect::On(|o| o.list_only = ListOnly::Requested),
    ),
    spec(
        "recursive",
        Some(b'r'),
        Effect::Switch(|o, on| o.recursive = on),
    ),
    also(
        "inc-recursive",
        &["i-r"],
        Effect::Switch(|o, on| o.inc_recursive = on),
    ),
    spec("dirs", Some(b'd'), Effect::Switch(|o, on| o.dirs = on)),
    spec(
        "relative",
        Some(b'R'),
        Effect::Switch(|o, on| o.relative = on),
    ),
    also(
        "implied-dirs",
        &["i-d"],
        Effect::Switch(|o, on| o.implied_dirs = on),
    ),
    spec("links", Some(b'l'), Effect::Switch(|o, on| o.links = on)),
    spec(
        "hard-links",
        Some(b'H'),
        Effect::Switch(|o, on| o.hard_links = on),
    ),
    spec("perms", Some(b'p'), Effect::Switch(|o, on| o.perms = on)),
    spec(
        "executability",
        Some(b'E'),
        Effect::On(|o| o.executability = true),
    ),
    spec("times", Some(b't'), Effect::Switch(|o, on| o.times = on)),
    spec(
        "omit-dir-times",
        Some(b'O'),
        Effect::Switch(|o, on| o.omit_dir_times = on),
    ),
    spec(
        "omit-link-times",
        Some(b'J'),
        Effect::Switch(|o, on| o.omit_link_times = on),
    ),
    spec("owner", Some(b'o'), Effect::Switch(|o, on| o.owner = on)),
    spec("group", Some(b'g'), Effect::Switch(|o, on| o.group = on)),
    spec(
        "",
        Some(b'D'),
        Effect::Switch(|o, on| {
            o.devices = on;
            o.specials = on;
        }),
    ),
    spec("devices", None, Effect::Switch(|o, on| o.devices = on)),
    spec("specials", None, Effect::Switch(|o, on| o.specials = on)),
    spec(
        "numeric-ids",
        None,
        Effect::Switch(|o, on| o.numeric_ids = on),
    ),
    spec(
        "one-file-system",
        Some(b'x'),
        Effect::Switch(|o, on| count(&mut o.one_file_system, on)),
    ),
    spec("update", Some(b'u'), Effect::On(|o| o.update = true)),
    also(
        "existing",
        &["ignore-non-existing"],
        Effect::On(|o| o.existing = true),
    ),
    spec(
        "ignore-existing",
        None,
        Effect::On(|o| o.ignore_existing = true),
    ),
    spec(
        "ignore-times",
        Some(b'I'),
        Effect::On(|o| o.ignore_times = true),
    ),
    spec("size-only", None, Effect::On(|o| o.size_only = true)),
    spec(
        "checksum",
        Some(b'c'),
        Effect::Switch(|o, on| o.checksum = on),
    ),
    spec(
        "modify-window",
        Some(b'@'),
        Effect::Integer(|o, value| o.modify_window = Some(value), None),
    ),
    spec(
        "whole-file",
        Some(b'W'),
        Effect::Switch(|o, on| o.whole_file = Some(on)),
    ),
    spec(
        "block-size",
        Some(b'B'),
        Effect::Value(
            |o, value| {
                let size = block_size_rule(o.protocol).parse(value)?;
                o.block_size = u32::try_from(size).ok().filter(|&size| size != 0);
                Ok(())
            },
            None,
        ),
    ),
    also(
        "checksum-choice",
        &["cc"],
        Effect::Value(
            |o, value| {
                o.checksum_choice = ChecksumChoice::parse(value)?;
                Ok(())
            },
            None,
        ),
    ),
    spec(
        "checksum-seed",
        None,
        Effect::Integer(
            |o, seed| o.checksum_seed = (seed != 0).then_some(seed),
            None,
        ),
    ),
    spec(
        "max-size",
        None,
        Effect::Value(
            |o, value| set_size(&mut o.max_size, "max-size", value),
            None,
        ),
    ),
    spec(
        "min-size",
        None,
        Effect::Value(
            |o, value| set_size(&mut o.min_size, "min-size", value),
            None,
        ),
    ),
    spec("partial", None, Effect::Switch(|o, on| o.partial = on)),
    spec("progress", None, Effect::Switch(|o, on| o.progress = on)),
    spec(
        "",
        Some(b'P'),
        Effect::On(|o| {
            o.partial = true;
            o.progress = true;
        }),
    ),
    spec("delete", None, Effect::Delete(Delete::Default)),
    spec("delete-before", None, Effect::Delete(Delete::Before)),
    also("delete-during", &["del"], Effect::Delete(Delete::During)),
    spec("delete-delay", None, Effect::Delete(Delete::Delay)),
    spec("delete-after", None, Effect::Delete(Delete::After)),
    spec(
        "delete-excluded",
        None,
        Effect::On(|o| {
            o.delete_excluded = true;
            if o.delete == Delete::Off {
                o.delete = Delete::Default;
            }
        }),
    ),
    spec(
        "delete-missing-args",
        None,
        Effect::On(|o| {
            o.delete_missing_args = true;
            o.ignore_missing_args = true;
        }),
    ),
    spec(
        "ignore-missing-args",
        None,
        Effect::On(|o| o.ignore_missing_args = true),
    ),
    spec(
        "ignore-errors",
        None,
        Effect::Switch(|o, on| o.ignore_errors = on),
    ),
    spec("force", None, Effect::Switch(|o, on| o.force = on)),
    spec(
        "max-delete",
        None,
        Effect::Integer(
            |o, value| o.max_delete = Some(u64::try_from(value).unwrap_or(0)),
            None,
        ),
    ),
    spec(
        "remove-source-files",
        None,
        Effect::On(|o| o.remove_source_files = true),
    ),
    spec(
        "itemize-changes",
        Some(b'i'),
        Effect::Switch(|o, on| count(&mut o.itemize, on)),
    ),
    spec("stats", None, Effect::On(|o| o.stats = true)),
    spec(
        "timeout",
        None,
        Effect::Integer(
            |o, seconds| {
                o.timeout = u64::try_from(seconds)
                    .ok()
                    .filter(|&s| s != 0)
                    .map(Duration::from_secs)
            },
            Some(|o| o.timeout = None),
        ),
    ),
    spec(
        "bwlimit",
        None,
        Effect::Value(
            |o, value| {
                o.bwlimit = Some(parse_bwlimit(value)?).filter(|&rate| rate != 0);
                Ok(())
            },
            Some(|o| o.bwlimit = None),
        ),
    ),
    spec(
        "protocol",
        None,
        Effect::Integer(
            |o, version| o.protocol = Some(u32::try_from(version).unwrap_or(0)),
            None,
        ),
    ),
    spec(
        "filter",
        Some(b'f'),
        Effect::Value(
            |o, text| add_filter(o, FilterText::Rule(text.to_vec())),
            None,
        ),
    ),
    spec("", Some(b'F'), Effect::On(add_rsync_filter)),
    spec(
        "cvs-exclude",
        Some(b'C'),
        Effect::On(|o| o.cvs_exclude = true),
    ),
    spec(
        "exclude",
        None,
        Effect::Value(
            |o, text| add_filter(o, FilterText::Exclude(text.to_vec())),
            None,
        ),
    ),
    spec(
        "include",
        None,
        Effect::Value(
            |o, text| add_filter(o, FilterText::Include(text.to_vec())),
            None,
        ),
    ),
    spec(
        "exclude-from",
        None,
        Effect::Value(
            |o, file| add_filter(o, FilterText::ExcludeFrom(file.to_vec())),
            None,
        ),
    ),
    spec(
        "include-from",
        None,
        Effect::Value(
            |o, file| add_filter(o, FilterText::IncludeFrom(file.to_vec())),
            None,
        ),
    ),
];

fn set_size(
    field: &mut Option<u64>,
    option: &'static str,
    value: &[u8],
) -> Result<(), OptionError> {
    *field = Some(SizeRule::bytes(option).parse(value)?);
    Ok(())
}

fn add_filter(options: &mut TransferOptions, text: FilterText) -> Result<(), OptionError> {
    options.filter_texts.push(text);
    Ok(())
}

/// The first `-F` and the second; a third means nothing (07-filters 2).
fn add_rsync_filter(options: &mut TransferOptions) {
    let texts = &mut options.filter_texts;
    if !texts.contains(&FilterText::RsyncFilter) {
        texts.push(FilterText::RsyncFilter);
    } else if !texts.contains(&FilterText::NoRsyncFilter) {
        texts.push(FilterText::NoRsyncFilter);
    }
}

/// The transfer options of rsync 3.5.0 that Syncline does not do yet. They are refused by name.
static UNSUPPORTED: &[OptionSpec] = &[
    missing_switch("acls", Some(b'A')),
    missing_switch("append", None),
    missing("append-verify", None),
    missing_switch("atimes", Some(b'U')),
    missing_switch("backup", Some(b'b')),
    missing_value("backup-dir", None, &[]),
    missing_value("chmod", None, &[]),
    missing_value("chown", None, &[]),
    missing_value("compare-dest", None, &[]),
    missing_switch("compress", Some(b'z')),
    missing_value("compress-choice", None, &["zc"]),
    missing_value("compress-level", None, &["zl"]),
    missing_value("compress-threads", None, &["zt"]),
    missing_value("confine-root", None, &[]),
    missing_value("copy-as", None, &[]),
    missing_value("copy-dest", None, &[]),
    missing("copy-devices", None),
    missing("copy-dirlinks", Some(b'k')),
    missing("copy-links", Some(b'L')),
    missing("copy-unsafe-links", None),
    missing_switch("crtimes", Some(b'N')),
    missing_value("debug", None, &[]),
    missing_switch("delay-updates", None),
    missing_switch("drop-D", None),
    missing("fake-super", None),
    missing_value("files-from", None, &[]),
    missing_switch("from0", Some(b'0')),
    missing("fsync", None),
    missing_switch("fuzzy", Some(b'y')),
    missing_value("groupmap", None, &[]),
    OptionSpec {
        long: "iconv",
        short: None,
        aliases: &[],
        effect: Effect::Unsupported {
            takes_value: true,
            negatable: true,
        },
    },
    missing_value("info", None, &[]),
    missing_switch("inplace", None),
    missing_switch("insecure-links", None),
    missing("keep-dirlinks", Some(b'K')),
    missing_value("link-dest", None, &[]),
    missing_value("log-file", None, &[]),
    missing_value("log-file-format", None, &[]),
    missing_value("max-alloc", None, &[]),
    missing_switch("mkpath", None),
    // Messages through the protocol are all that a daemon connection has: the `--no-` form is no news.
    missing_switch("msgs2stderr", None),
    missing_switch("munge-links", None),
    missing("new-compress", None),
    missing("old-compress", None),
    also(
        "old-dirs",
        &["old-d"],
        Effect::Unsupported {
            takes_value: false,
            negatable: false,
        },
    ),
    missing_value("only-write-batch", None, &[]),
    missing_switch("open-noatime", None),
    missing_value("partial-dir", None, &[]),
    missing("preallocate", None),
    missing_switch("prune-empty-dirs", Some(b'm')),
    missing("qsort", None),
    missing_value("read-batch", None, &[]),
    missing("remove-sent-files", None),
    missing("safe-links", None),
    missing_value("skip-compress", None, &[]),
    missing_switch("sparse", Some(b'S')),
    missing_value("stderr", None, &[]),
    missing_value("stop-after", None, &["time-limit"]),
    missing_value("stop-at", None, &[]),
    missing_value("suffix", None, &[]),
    missing_switch("super", None),
    missing_value("temp-dir", Some(b'T'), &[]),
    missing_value("usermap", None, &[]),
    missing_value("write-batch", None, &[]),
    missing_switch("write-devices", None),
    missing_switch("xattrs", Some(b'X')),
];
