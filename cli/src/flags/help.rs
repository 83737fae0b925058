//! Help and version texts.

use std::fmt::Write as _;

use rsync_engine::options::grammar::{self, OptionSpec};

use super::table::FLAGS;
use super::{Effect, Flag};

/// Column at which the help of an option starts.
const HELP_COLUMN: usize = 34;

/// Digests a daemon may ask for, best first (01-session 5).
const AUTH_NAMES: [&str; 5] = ["sha512", "sha256", "sha1", "md5", "md4"];
/// Checksums, in the order they are offered.
const CHECKSUM_NAMES: [&str; 6] = ["xxh128", "xxh3", "xxh64", "md5", "md4", "sha1"];

/// The usage text.
pub(crate) fn help() -> String {
    let mut text = String::from(
        "syncline - fast, exact copies of file trees over the rsync protocol\n\
         \n\
         Usage: syncline [OPTION]... SRC [SRC]... DEST\n\
         \x20  or  syncline [OPTION]... SRC [SRC]... [USER@]HOST::MODULE[/PATH]\n\
         \x20  or  syncline [OPTION]... SRC [SRC]... rsync://[USER@]HOST[:PORT]/MODULE[/PATH]\n\
         \x20  or  syncline [OPTION]... [USER@]HOST::MODULE[/PATH] [DEST]\n\
         \x20  or  syncline [OPTION]... rsync://[USER@]HOST[:PORT]/MODULE[/PATH] [DEST]\n\
         \x20  or  syncline watch [OPTION]... SRC DEST...     (syncline watch --help)\n\
         \x20  or  syncline daemon --config FILE [OPTION]...  (syncline daemon --help)\n\
         \n\
         The options are those of rsync. Without DEST the sources are listed.\n\
         A local source that is called \"watch\" or \"daemon\" is written ./watch.\n\
         \n\
         Options\n",
    );
    for flag in FLAGS.iter().filter(|flag| !flag.help.is_empty()) {
        let names = names(flag);
        let _ = if names.len() < HELP_COLUMN {
            writeln!(text, "{names:HELP_COLUMN$}{}", flag.help)
        } else {
            writeln!(text, "{names}\n{:HELP_COLUMN$}{}", "", flag.help)
        };
    }
    text.push_str("\nOptions of rsync that are not there yet (they are refused):\n");
    let missing = FLAGS
        .iter()
        .filter(|flag| matches!(flag.effect, Effect::Missing { .. }));
    let mut missing: Vec<String> = missing
        .map(|flag| format!("--{}", flag.name))
        .chain(
            grammar::specs()
                .filter(|spec| is_missing(spec))
                .map(OptionSpec::display_name),
        )
        .collect();
    missing.sort_unstable();
    let mut column = 0;
    for name in missing {
        if column + name.len() > 76 {
            text.push('\n');
            column = 0;
        }
        text.push_str(if column == 0 { "  " } else { " " });
        text.push_str(&name);
        column += name.len() + 1;
    }
    text.push('\n');
    text
}

/// The text of `--version`. Scripts read the first line: two blanks after the name.
pub(crate) fn version() -> String {
    format!(
        "syncline  version {}  protocol version 32\n\
         Checksum list:\n    {}\n\
         Compress list:\n    none\n\
         Daemon auth list:\n    {}\n\
         \n\
         Licensed under MIT or Apache-2.0, at your option.\n",
        env!("CARGO_PKG_VERSION"),
        CHECKSUM_NAMES.join(" "),
        AUTH_NAMES.join(" "),
    )
}

/// The text of `-VV`.
pub(crate) fn version_json() -> String {
    let list = |names: &[&str]| {
        names
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect::<Vec<_>>()
            .join(", ")
    };
    format!(
        "{{\n  \"program\": \"syncline\",\n  \"version\": \"{}\",\n  \"protocol\": \"32.0\",\n  \
         \"checksum_list\": [{}],\n  \"compress_list\": [\"none\"],\n  \"daemon_auth_list\": [{}],\n  \
         \"license\": \"MIT OR Apache-2.0\"\n}}\n",
        env!("CARGO_PKG_VERSION"),
        list(&CHECKSUM_NAMES),
        list(&AUTH_NAMES),
    )
}

fn is_missing(spec: &OptionSpec) -> bool {
    matches!(spec.effect, grammar::Effect::Unsupported { .. })
}

/// The grammar's row for a flag of ours.
pub(super) fn spec_of(flag: &Flag) -> Option<&'static OptionSpec> {
    matches!(flag.effect, Effect::Transfer).then(|| {
        grammar::specs().find(|spec| match flag.name.strip_prefix('-') {
            Some(letter) => spec.long.is_empty() && spec.short == letter.bytes().next(),
            None => spec.long == flag.name,
        })
    })?
}

/// `-B, --block-size=SIZE`, and `--no-` where the default is on.
fn names(flag: &Flag) -> String {
    let short = spec_of(flag).map_or(flag.short, |spec| spec.short);
    let short = short.map(|letter| format!("-{}", char::from(letter)));
    let long = (!flag.name.starts_with('-')).then(|| format!("--{}", flag.name));
    let mut names = match (short, long) {
        (Some(short), Some(long)) => format!("{short}, {long}"),
        (Some(short), None) => short,
        (None, Some(long)) => format!("    {long}"),
        (None, None) => String::new(),
    };
    if !flag.metavar.is_empty() {
        let _ = write!(names, "={}", flag.metavar);
    }
    if flag.help.ends_with("(default)") {
        let _ = write!(names, ", --no-{}", flag.name);
    }
    format!(" {names}")
}
