//! `refuse options`: which options of a client a module refuses (04-daemon 14).

use std::fmt;

use rsync_engine::options::grammar;
use rsync_engine::options::words::{Word, Words};

use crate::text::escape;
use crate::wildcard;

/// The words of `refuse options`, read from left to right.
#[derive(Debug, Clone)]
pub struct Refusals {
    words: Vec<RefuseWord>,
    has_charset: bool,
}

#[derive(Debug, Clone)]
struct RefuseWord {
    /// As written, without the `!`.
    text: Vec<u8>,
    refuse: bool,
}

/// An option that is refused; as text, what the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusedOption {
    /// The long name and the letter.
    Option {
        /// Empty for an option that is only a letter.
        long: String,
        /// The letter, if there is one.
        letter: Option<u8>,
    },
    /// An option that no client may send to a daemon.
    Attack,
}

impl fmt::Display for RefusedOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option { long, letter } => {
                write!(f, "The server is configured to refuse --{long}")?;
                letter.map_or(Ok(()), |letter| write!(f, " (-{})", char::from(letter)))
            }
            Self::Attack => f.write_str("Attempt to hack rsync thwarted!"),
        }
    }
}

/// An option as the rules see it.
#[derive(Debug, Clone)]
struct Name<'a> {
    long: &'a str,
    letter: Option<u8>,
    aliases: &'a [&'a str],
}

impl Refusals {
    /// Reads the value of `refuse options`: words between spaces (and commas, which rsync does not split at).
    /// `has_charset`: the module has a `charset`, so that `--iconv` has a meaning.
    #[must_use]
    pub fn new(value: &[u8], has_charset: bool) -> Self {
        let words = value
            .split(|b| b" \t,".contains(b))
            .filter(|word| !word.is_empty())
            .map(|word| match word.strip_prefix(b"!") {
                Some(text) => RefuseWord {
                    text: text.to_vec(),
                    refuse: false,
                },
                None => RefuseWord {
                    text: word.to_vec(),
                    refuse: true,
                },
            })
            .collect();
        Self { words, has_charset }
    }

    /// Words that are no option, or match none: whoever wrote them meant a restriction that is not there.
    pub fn unmatched(&self) -> impl Iterator<Item = &[u8]> {
        self.words
            .iter()
            .map(|word| &word.text[..])
            .filter(|text| !all_names().any(|name| name.matches(text)))
    }

    /// The first option in a server's arguments that is refused by itself, else the first that implies a
    /// refused one. The arguments behind the `.` are paths.
    #[must_use]
    pub fn check(&self, arguments: &[Vec<u8>]) -> Option<RefusedOption> {
        let sender = arguments
            .iter()
            .take_while(|a| *a != b".")
            .any(|a| a == b"--sender");
        let mut words = Words::new(arguments);
        let mut implied = None;
        // Words that cannot be cut are the parser's to refuse.
        while let Ok(Some(word)) = words.next_word() {
            let found = match word {
                Word::Operand(_) => None,
                Word::Long(long) => std::str::from_utf8(long).ok().and_then(find),
                Word::Short(letter) => find_letter(letter),
            };
            let Some((name, takes_value)) = found else {
                break;
            };
            let value = if takes_value {
                words.value()
            } else {
                Ok(&b""[..])
            };
            let Ok(value) = value else { break };
            if ATTACKS.contains(&name.long) {
                return Some(RefusedOption::Attack);
            }
            if self.refuses(&name) {
                return Some(name.refusal());
            }
            implied = implied.or_else(|| self.check_implied(&name, value, sender));
        }
        implied
    }

    /// The refused option that `name` implies.
    fn check_implied(&self, name: &Name<'_>, value: &[u8], sender: bool) -> Option<RefusedOption> {
        let by_name = |long: &str| {
            let (name, _) = find(long)?;
            self.refuses(&name).then(|| name.refusal())
        };
        match name.long {
            "archive" => ARCHIVE
                .iter()
                .filter_map(|l| find_letter(*l))
                .find_map(|(n, _)| self.refuses(&n).then(|| n.refusal())),
            "delete" => by_name("delete-during").and_then(|_| by_name("delete-before")),
            "delete-before" | "delete-during" | "delete-delay" | "delete-after"
            | "delete-excluded" => by_name("delete"),
            "remove-source-files" | "remove-sent-files" if sender => by_name("delete"),
            "compress-choice" | "compress-level" | "new-compress" | "old-compress"
            | "compress-threads" => by_name("compress"),
            "partial-dir" if value == b"." => by_name("partial"),
            "inplace" => by_name("partial"),
            "write-devices" => by_name("inplace"),
            "append" | "append-verify" => by_name("inplace").or_else(|| by_name("partial")),
            _ => None,
        }
    }

    /// The option named `long` is refused by itself. A plain `--delete` needs this: it is carried out in the
    /// way that is not refused (04-daemon 14).
    #[must_use]
    pub fn refuses_option(&self, long: &str) -> bool {
        find(long).is_some_and(|(name, _)| self.refuses(&name))
    }

    fn refuses(&self, name: &Name<'_>) -> bool {
        if ALWAYS.contains(&name.long) || (name.long == "iconv" && !self.has_charset) {
            return true;
        }
        let mut refused = UNLESS_ACCEPTED.contains(&name.long);
        for word in self.words.iter().filter(|word| name.matches(&word.text)) {
            refused = word.refuse;
        }
        refused
    }
}

impl Name<'_> {
    fn matches(&self, word: &[u8]) -> bool {
        let letter = self.letter.as_slice();
        if word == b"a" || word == b"archive" {
            return self.long == "archive"
                || self.long == "dirs"
                || letter.iter().any(|l| ARCHIVE.contains(l));
        }
        let mut names = std::iter::once(self.long)
            .chain(self.aliases.iter().copied())
            .filter(|n| !n.is_empty());
        if wildcard::is_pattern(word) {
            !EXACT_ONLY.contains(&self.long)
                && (names.any(|n| wildcard::matches(word, n.as_bytes()))
                    || wildcard::matches(word, letter))
        } else {
            names.any(|n| n.as_bytes() == word) || (word.len() == 1 && letter == word)
        }
    }

    fn refusal(&self) -> RefusedOption {
        RefusedOption::Option {
            long: escape(self.long.as_bytes()),
            letter: self.letter,
        }
    }
}

/// The option of a long name, and whether a value follows it. A `--no-` form is an option of its own, without
/// a letter.
fn find(long: &str) -> Option<(Name<'_>, bool)> {
    if let Some((name, takes_value)) = SERVER
        .iter()
        .find(|(n, _)| n.long == long || n.aliases.contains(&long))
    {
        return Some((name.clone(), *takes_value));
    }
    match grammar::find(Word::Long(long.as_bytes()))? {
        (spec, false) => Some((Name::of(spec), spec.effect.takes_value())),
        (_, true) => Some((
            Name {
                long,
                letter: None,
                aliases: &[],
            },
            false,
        )),
    }
}

fn find_letter(letter: u8) -> Option<(Name<'static>, bool)> {
    if let Some((name, takes_value)) = SERVER.iter().find(|(n, _)| n.letter == Some(letter)) {
        return Some((name.clone(), *takes_value));
    }
    let (spec, _) = grammar::find(Word::Short(letter))?;
    Some((Name::of(spec), spec.effect.takes_value()))
}

impl Name<'static> {
    fn of(spec: &'static grammar::OptionSpec) -> Self {
        Self {
            long: spec.long,
            letter: spec.short,
            aliases: spec.aliases,
        }
    }
}

/// Every name that a word may mean.
fn all_names() -> impl Iterator<Item = Name<'static>> {
    let plain = |long| Name {
        long,
        letter: None,
        aliases: &[],
    };
    let negated = ["no-iconv"].into_iter().map(plain);
    grammar::specs()
        .map(Name::of)
        .chain(SERVER.iter().map(|(name, _)| name.clone()))
        .chain(CLIENT_ONLY.iter().copied().map(plain))
        .chain(negated)
}

const fn server(
    long: &'static str,
    letter: Option<u8>,
    aliases: &'static [&'static str],
) -> Name<'static> {
    Name {
        long,
        letter,
        aliases,
    }
}

/// Options of a server's arguments that are no options of a transfer; with the flag that a value follows.
static SERVER: [(Name<'static>, bool); 10] = [
    (server("server", None, &[]), false),
    (server("sender", None, &[]), false),
    (server("rsh", Some(b'e'), &[]), true),
    (
        server("secluded-args", Some(b's'), &["protect-args"]),
        false,
    ),
    (server("log-format", None, &["out-format"]), true),
    (server("daemon", None, &[]), false),
    (server("config", None, &[]), true),
    (server("dparam", None, &[]), true),
    (server("detach", None, &[]), false),
    (server("no-detach", None, &[]), false),
];

/// Options that only a client has. A word for one of them refuses nothing and is no error.
const CLIENT_ONLY: [&str; 20] = [
    "8-bit-output",
    "address",
    "blocking-io",
    "contimeout",
    "early-input",
    "help",
    "human-readable",
    "ipv4",
    "ipv6",
    "motd",
    "no-motd",
    "old-args",
    "outbuf",
    "password-file",
    "port",
    "remote-option",
    "rsync-path",
    "sockopts",
    "trust-sender",
    "version",
];

/// What `-a` stands for.
const ARCHIVE: &[u8] = b"rlptgoD";
/// Wildcards do not reach these.
const EXACT_ONLY: [&str; 14] = [
    "server",
    "sender",
    "rsh",
    "log-format",
    "out-format",
    "dry-run",
    "secluded-args",
    "from0",
    "iconv",
    "no-iconv",
    "checksum-seed",
    "copy-devices",
    "write-devices",
    "protect-args",
];
const UNLESS_ACCEPTED: [&str; 2] = ["copy-devices", "write-devices"];
const ALWAYS: [&str; 3] = ["log-file", "log-file-format", "insecure-links"];
const ATTACKS: [&str; 5] = ["daemon", "config", "dparam", "detach", "no-detach"];

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stock 3.5.0 client sends for the option sets of vectors/daemon/refuse_options.json (01-session 7.6).
    fn arguments(pull: bool, options: &str) -> Vec<Vec<u8>> {
        let words: &str = match (pull, options) {
            (_, "-a" | "-rlptgoD") => "-logDtpre.iLsfxCIvu",
            (_, "-r") => "-re.iLsfxCIvu",
            (true, "-av") => "-vlogDtpre.iLsfxCIvu",
            (true, "-rt") => "-tre.iLsfxCIvu",
            (true, "-az") => "-logDtprze.iLsfxCIvu",
            (true, "-ac") => "-logDtprce.iLsfxCIvu",
            (true, "-aP") => "-logDtpre.iLsfxCIvu",
            (true, "-aAX") => "-logDtpAXre.iLsfxCIvu",
            (true, "-an") => "-nlogDtpre.iLsfxCIvu",
            (true, "-aL") => "-lLogDtpre.iLsfxCIvu",
            (true, "-ak") => "-lkogDtpre.iLsfxCIvu",
            (false, "-a --del") => "-logDtpre.iLsfxCIvu --delete-during",
            (false, "-a -T DIR") => "-logDtpre.iLsfxCIvu --temp-dir DIR",
            (false, "-ab --backup-dir=bk") => "-blogDtpre.iLsfxCIvu --backup-dir bk",
            (false, "-a --append") => "-logDtpre.iLsfxCIvu --append",
            (false, "-a --write-devices") => "-logDtpre.iLsfxCIvu --inplace --write-devices",
            (false, "-a --partial-dir=.p") => "-logDtpre.iLsfxCIvu --partial-dir .p",
            (false, "-a -z --zc=zstd") => "-logDtpre.iLsfxCIvu --compress-choice=zstd",
            (_, other) => {
                let (first, rest) = other.split_once(' ').expect("options");
                assert_eq!(first, "-a", "no arguments for {other}");
                return arguments_of(pull, &format!("-logDtpre.iLsfxCIvu {rest}"));
            }
        };
        arguments_of(pull, words)
    }

    fn arguments_of(pull: bool, words: &str) -> Vec<Vec<u8>> {
        let sender = if pull { "--sender " } else { "" };
        format!("--server {sender}{words} . m/")
            .split(' ')
            .map(|w| w.as_bytes().to_vec())
            .collect()
    }

    fn named(refusals: &Refusals, arguments: &[Vec<u8>]) -> Option<String> {
        let text = refusals.check(arguments)?.to_string();
        Some(
            text.trim_start_matches("The server is configured to refuse ")
                .to_owned(),
        )
    }

    #[test]
    fn vectors() {
        let text = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../testkit/vectors/daemon/refuse_options.json"
        ))
        .expect("vector");
        let vector: serde_json::Value = serde_json::from_str(&text).expect("json");
        let texts = |list: &serde_json::Value| -> Vec<String> {
            list.as_array()
                .expect("list")
                .iter()
                .map(|v| v.as_str().expect("text").to_owned())
                .collect()
        };
        let mut evaluated = 0;
        for rule in vector["rules"].as_array().expect("rules") {
            let value = rule["refuse_options"].as_str().expect("rule");
            // Ours differ on purpose: commas split, and a word refuses only what a client sends.
            if value == "checksum,delete" || value == "no-iconv" {
                continue;
            }
            let refusals = Refusals::new(value.as_bytes(), false);
            let unmatched = !texts(&rule["log"]).is_empty();
            assert_eq!(refusals.unmatched().next().is_some(), unmatched, "{value}");
            for (dir, list) in [("pull", "pull_option_sets"), ("push", "push_option_sets")] {
                for options in texts(&vector[list]) {
                    let listed = rule["refused"]
                        .as_array()
                        .expect("refused")
                        .iter()
                        .find(|r| r["dir"] == dir && r["client_opts"] == options.as_str());
                    let expected = match listed.map(|r| r["named_option"].as_str().expect("name")) {
                        Some("ok") => None,
                        Some(name) => Some(name.to_owned()),
                        // What every daemon refuses is not listed.
                        None if options.ends_with("-devices") => Some(options.replace("-a ", "")),
                        None => None,
                    };
                    let found = named(&refusals, &arguments(dir == "pull", &options));
                    assert_eq!(found, expected, "refuse options = {value}, {dir} {options}");
                    evaluated += 1;
                }
            }
        }
        assert_eq!(evaluated, 48 * 39);
    }

    #[test]
    fn every_spelling_is_refused() {
        for (rule, words, expected) in [
            ("delete-during", "--del", Some("--delete-during")),
            ("zt", "--compress-threads=3", Some("--compress-threads")),
            ("compress", "--zl=3", Some("--compress (-z)")),
            ("z", "-rzv", Some("--compress (-z)")),
            ("times", "--no-times --times", Some("--times (-t)")),
            ("times", "--no-times", None),
            ("archive", "-a", Some("--archive (-a)")),
            ("t", "-a", Some("--times (-t)")),
            ("temp-dir", "-T/tmp", Some("--temp-dir (-T)")),
            ("temp-dir", "-B T", None),
            ("out-format", "--log-format=%i", Some("--log-format")),
            ("delete-before", "--delete", None),
            ("D", "-D", Some("-- (-D)")),
            ("", "--log-file=/x", Some("--log-file")),
            ("!log-file", "--log-file=/x", Some("--log-file")),
            ("", "--iconv=utf8", Some("--iconv")),
            ("", "--insecure-links", Some("--insecure-links")),
            ("", "--daemon", Some("Attempt to hack rsync thwarted!")),
            ("", "--config=/x", Some("Attempt to hack rsync thwarted!")),
            ("checksum,delete", "-c", Some("--checksum (-c)")),
            ("z", "-r . -z", None),
        ] {
            let found = named(
                &Refusals::new(rule.as_bytes(), false),
                &arguments_of(false, words),
            );
            assert_eq!(found.as_deref(), expected, "{rule}: {words}");
        }
        assert!(Refusals::new(b"delete-during", false).refuses_option("delete-during"));
        assert!(!Refusals::new(b"delete-during", false).refuses_option("delete-before"));
    }

    #[test]
    fn unmatched_words() {
        let unmatched = |value: &str| Refusals::new(value.as_bytes(), false).unmatched().count();
        for (value, count) in [
            ("checksum delete* !a port progress e no-iconv *", 0),
            ("nosuchopt", 1),
            ("nosuch* ? Q", 2),
            ("archive*", 0),
        ] {
            assert_eq!(unmatched(value), count, "{value}");
        }
    }
}
