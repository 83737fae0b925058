//! The table.

use std::time::Duration;

use rsync_engine::options::size::parse_integer;

use super::{Effect, Flag};

const fn transfer(name: &'static str, metavar: &'static str, help: &'static str) -> Flag {
    Flag {
        name,
        short: None,
        aliases: &[],
        metavar,
        help,
        effect: Effect::Transfer,
    }
}

const fn missing(name: &'static str, short: Option<u8>, metavar: &'static str) -> Flag {
    Flag {
        name,
        short,
        aliases: &[],
        metavar,
        help: "",
        effect: Effect::Missing { negatable: false },
    }
}

const fn missing_switch(
    name: &'static str,
    short: Option<u8>,
    aliases: &'static [&'static str],
) -> Flag {
    Flag {
        name,
        short,
        aliases,
        metavar: "",
        help: "",
        effect: Effect::Missing { negatable: true },
    }
}

/// Every option of the client, in the order of the help text.
pub(super) static FLAGS: &[Flag] = &[
    transfer("archive", "", "mirror a tree with its attributes: -rlptgoD"),
    transfer("recursive", "", "descend into directories"),
    transfer(
        "inc-recursive",
        "",
        "list directories while files already move (default)",
    ),
    transfer("dirs", "", "transfer directories without descending"),
    transfer(
        "relative",
        "",
        "keep the path of each source as it was given",
    ),
    transfer(
        "implied-dirs",
        "",
        "with -R, send attributes of the directories above (default)",
    ),
    transfer("links", "", "transfer symlinks as symlinks"),
    transfer(
        "hard-links",
        "",
        "keep hard links between transferred files",
    ),
    transfer("perms", "", "keep permissions"),
    transfer(
        "executability",
        "",
        "without -p, keep whether a file is executable",
    ),
    transfer("times", "", "keep modification times"),
    transfer("omit-dir-times", "", "but not those of directories"),
    transfer("omit-link-times", "", "but not those of symlinks"),
    transfer("owner", "", "keep the owner (the receiver must be root)"),
    transfer("group", "", "keep the group"),
    transfer("-D", "", "short for --devices --specials"),
    transfer("devices", "", "transfer device nodes"),
    transfer("specials", "", "transfer fifos and sockets"),
    transfer(
        "numeric-ids",
        "",
        "take user and group ids as numbers, not by name",
    ),
    transfer(
        "one-file-system",
        "",
        "stay on the file system of each source",
    ),
    transfer("update", "", "skip files that are newer at the destination"),
    transfer("existing", "", "create nothing at the destination"),
    transfer(
        "ignore-existing",
        "",
        "leave files alone that exist at the destination",
    ),
    transfer(
        "ignore-times",
        "",
        "look into every file, equal time or not",
    ),
    transfer("size-only", "", "take files of equal size as equal"),
    transfer("checksum", "", "compare files by checksum, not by time"),
    transfer(
        "modify-window",
        "N",
        "take times as equal up to N seconds apart",
    ),
    transfer("whole-file", "", "send changed files whole, without delta"),
    transfer("block-size", "SIZE", "length of the blocks of the delta"),
    transfer(
        "checksum-choice",
        "NAME",
        "algorithm of the checksums, or two: TRANSFER,LIST",
    ),
    transfer("checksum-seed", "N", "seed of the checksums"),
    transfer("max-size", "SIZE", "leave bigger files out"),
    transfer("min-size", "SIZE", "leave smaller files out"),
    transfer("partial", "", "keep files that were interrupted"),
    transfer("progress", "", "show how far each file is"),
    transfer("-P", "", "short for --partial --progress"),
    transfer("filter", "RULE", "add a filter rule"),
    transfer(
        "-F",
        "",
        "obey the rules in .rsync-filter files (twice: leave those out)",
    ),
    transfer("cvs-exclude", "", "leave out what CVS would"),
    transfer("exclude", "PATTERN", "leave out what matches"),
    transfer("include", "PATTERN", "do not leave out what matches"),
    transfer("exclude-from", "FILE", "read exclude patterns from FILE"),
    transfer("include-from", "FILE", "read include patterns from FILE"),
    transfer(
        "delete",
        "",
        "delete at the destination what the source has not",
    ),
    transfer("delete-before", "", "... before the transfer"),
    transfer("delete-during", "", "... directory by directory"),
    transfer(
        "delete-delay",
        "",
        "... found during, done after the transfer",
    ),
    transfer("delete-after", "", "... after the transfer"),
    transfer(
        "delete-excluded",
        "",
        "delete what is left out by a filter as well",
    ),
    transfer(
        "delete-missing-args",
        "",
        "delete the counterparts of missing sources",
    ),
    transfer("ignore-missing-args", "", "pass over missing sources"),
    transfer("ignore-errors", "", "delete in spite of read errors"),
    transfer("force", "", "replace a directory with contents by a file"),
    transfer("max-delete", "N", "delete no more than N entries"),
    transfer("dry-run", "", "only say what would be done"),
    transfer("list-only", "", "list the sources"),
    transfer("verbose", "", "say more (repeatable)"),
    transfer("quiet", "", "say nothing but errors"),
    transfer("itemize-changes", "", "say what changes in each entry"),
    transfer("stats", "", "give statistics at the end"),
    Flag {
        name: "human-readable",
        short: Some(b'h'),
        aliases: &[],
        metavar: "",
        help: "numbers in K, M, G (twice: units of 1024)",
        effect: Effect::Switch(
            |low, on| {
                low.human_readable = if on {
                    low.human_readable.saturating_add(1)
                } else {
                    0
                };
                low.dash_h |= on;
            },
            true,
        ),
    },
    Flag {
        name: "8-bit-output",
        short: Some(b'8'),
        aliases: &[],
        metavar: "",
        help: "print bytes above 127 as they are",
        effect: Effect::Switch(|low, on| low.eight_bit_output = on, true),
    },
    Flag {
        name: "out-format",
        short: None,
        aliases: &["log-format"],
        metavar: "FORMAT",
        help: "what to print for each change",
        effect: Effect::Value(
            |low, value, _| {
                low.out_format = Some(value.to_vec());
                Ok(())
            },
            None,
        ),
    },
    transfer("timeout", "SECONDS", "give up after so long without data"),
    Flag {
        name: "contimeout",
        short: None,
        aliases: &[],
        metavar: "SECONDS",
        help: "give up connecting to a daemon after so long",
        effect: Effect::Value(
            |low, value, word| {
                let seconds = u64::try_from(parse_integer(value, word)?).unwrap_or(0);
                low.contimeout = Some(Duration::from_secs(seconds)).filter(|time| !time.is_zero());
                Ok(())
            },
            Some(|low| low.contimeout = None),
        ),
    },
    transfer("bwlimit", "RATE", "send no more than so many KiB a second"),
    transfer("protocol", "N", "use at most this protocol version"),
    Flag {
        name: "port",
        short: None,
        aliases: &[],
        metavar: "PORT",
        help: "port of the daemon",
        effect: Effect::Value(
            |low, value, word| {
                let port = parse_integer(value, word)?;
                low.port = match u16::try_from(port) {
                    Ok(port) => Some(port).filter(|&port| port != 0),
                    Err(_) => {
                        let word = String::from_utf8_lossy(word).into_owned();
                        return Err(rsync_engine::options::OptionError::NumberRange { word });
                    }
                };
                Ok(())
            },
            None,
        ),
    },
    Flag {
        name: "password-file",
        short: None,
        aliases: &[],
        metavar: "FILE",
        help: "read the password for the daemon from FILE",
        effect: Effect::Value(
            |low, value, _| {
                low.password_file = Some(value.to_vec());
                Ok(())
            },
            None,
        ),
    },
    Flag {
        name: "motd",
        short: None,
        aliases: &[],
        metavar: "",
        help: "show the daemon's greeting and module list (default)",
        effect: Effect::Switch(|low, on| low.motd = on, true),
    },
    // The watcher asks for it; a user cannot yet: nothing here removes sources.
    Flag {
        name: "remove-source-files",
        short: None,
        aliases: &[],
        metavar: "",
        help: "",
        effect: Effect::Missing { negatable: false },
    },
    missing("address", None, "ADDRESS"),
    missing_switch("blocking-io", None, &[]),
    missing("early-input", None, "FILE"),
    missing("ipv4", Some(b'4'), ""),
    missing("ipv6", Some(b'6'), ""),
    missing_switch("old-args", None, &[]),
    missing("outbuf", None, "MODE"),
    missing("remote-option", Some(b'M'), "OPTION"),
    missing("rsh", Some(b'e'), "COMMAND"),
    missing("rsync-path", None, "PROGRAM"),
    missing_switch("secluded-args", Some(b's'), &["protect-args"]),
    missing("sockopts", None, "LIST"),
    missing("trust-sender", None, ""),
    missing("server", None, ""),
    Flag {
        name: "version",
        short: Some(b'V'),
        aliases: &[],
        metavar: "",
        help: "say the version (twice: as JSON)",
        effect: Effect::Switch(|low, _| low.version = low.version.saturating_add(1), false),
    },
    Flag {
        name: "help",
        short: None,
        aliases: &[],
        metavar: "",
        help: "this text (-h alone as well)",
        effect: Effect::Switch(|low, _| low.help = true, false),
    },
];
