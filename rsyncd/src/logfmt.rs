//! `log format`: the line of the transfer log for one file (04-daemon 18.3).

use crate::text::escape_into;

/// The default of `log format`.
pub const DEFAULT_FORMAT: &str = "%o %h [%a] %m (%u) %f %l";

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// We sent it.
    Send,
    /// We received it.
    Receive,
    /// We deleted it.
    Delete,
}

/// One file for the log. Times are seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct LoggedItem<'a> {
    /// What happened.
    pub operation: Operation,
    /// The name in the transfer, without a slash at the end.
    pub name: &'a [u8],
    /// The path relative to the module, without a slash at the start.
    pub path: &'a [u8],
    /// Type and permission bits.
    pub mode: u32,
    /// Length.
    pub size: u64,
    /// Time of the last change.
    pub mtime: i64,
    /// Owner.
    pub uid: u32,
    /// Group; `None` if the receiver does not set it.
    pub gid: Option<u32>,
    /// Target of a symbolic link.
    pub link_target: Option<&'a [u8]>,
    /// Name of the file this one was linked to.
    pub hard_link: Option<&'a [u8]>,
    /// Checksum of the whole file, if it is known.
    pub checksum: Option<&'a [u8]>,
    /// Length of a checksum, to pad where there is none.
    pub checksum_len: usize,
    /// Bytes that were transferred for it.
    pub bytes: u64,
    /// Bytes of block sums that were received for it.
    pub sums: u64,
    /// The itemised string of eleven characters.
    pub itemized: &'a str,
}

impl LoggedItem<'_> {
    fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }
}

/// What is the same for all lines of a session.
#[derive(Debug, Clone)]
pub struct LogContext {
    /// Name of the client.
    pub host: Vec<u8>,
    /// Address of the client.
    pub address: String,
    /// Name of the module.
    pub module: Vec<u8>,
    /// The user, if one logged in.
    pub user: Vec<u8>,
    /// Directory of the module.
    pub module_path: Vec<u8>,
    /// The number between brackets of this session's lines.
    pub number: u32,
}

/// A format, and what it makes us log.
#[derive(Debug, Clone)]
pub struct LogFormat {
    text: Vec<u8>,
}

impl LogFormat {
    /// A format as it stands in the configuration, variables already replaced.
    #[must_use]
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        Self { text: text.into() }
    }

    /// With `%i`, also directories, links and mere changes of attributes are logged.
    #[must_use]
    pub fn itemizes(&self) -> bool {
        self.contains(b'i')
    }

    /// With `%B` the permissions of an entry are shown.
    #[must_use]
    pub fn shows_permissions(&self) -> bool {
        self.contains(b'B')
    }

    /// No text at all: what is transferred has no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The line for an item. A deletion has a text of its own if the format would not tell it apart.
    #[must_use]
    pub fn line(&self, item: &LoggedItem<'_>, context: &LogContext) -> Vec<u8> {
        let mut out = Vec::new();
        if item.operation == Operation::Delete && !self.contains(b'i') && !self.contains(b'o') {
            out.extend_from_slice(b"deleting ");
            escape_into(&mut out, item.name);
            if item.is_dir() {
                out.push(b'/');
            }
            return out;
        }
        let mut rest = &self.text[..];
        while let Some(percent) = rest.iter().position(|&b| b == b'%') {
            out.extend_from_slice(&rest[..percent]);
            rest = &rest[percent..];
            match Escape::parse(rest).and_then(|e| Some((e.len, e.render(item, context)?))) {
                Some((len, text)) => {
                    out.extend_from_slice(&text);
                    rest = &rest[len..];
                }
                None => {
                    out.push(b'%');
                    rest = &rest[1..];
                }
            }
        }
        out.extend_from_slice(rest);
        out
    }

    fn contains(&self, letter: u8) -> bool {
        let mut rest = &self.text[..];
        while let Some(percent) = rest.iter().position(|&b| b == b'%') {
            rest = &rest[percent..];
            match Escape::parse(rest) {
                Some(escape) if escape.letter == letter => return true,
                Some(escape) => rest = &rest[escape.len..],
                None => rest = &rest[1..],
            }
        }
        false
    }
}

/// `%`, quotes, `-`, width, quotes, letter.
struct Escape {
    len: usize,
    letter: u8,
    left: bool,
    width: usize,
    /// How human numbers are: 0 digits, 1 groups, 2 units of 1000, 3 units of 1024.
    human: usize,
}

impl Escape {
    fn parse(text: &[u8]) -> Option<Self> {
        let mut at = 1;
        let mut take = |set: &dyn Fn(u8) -> bool| {
            let start = at;
            while text.get(at).is_some_and(|b| set(*b)) {
                at += 1;
            }
            &text[start..at]
        };
        let mut human = take(&|b| b == b'\'').len();
        let left = !take(&|b| b == b'-').is_empty();
        let width = take(&|b| b.is_ascii_digit());
        let width = std::str::from_utf8(width)
            .ok()?
            .parse::<usize>()
            .unwrap_or(0)
            .min(MAX_WIDTH);
        human += take(&|b| b == b'\'').len();
        let letter = *text.get(at)?;
        Some(Self {
            len: at + 1,
            letter,
            left,
            width,
            human: human.min(3),
        })
    }

    fn render(&self, item: &LoggedItem<'_>, context: &LogContext) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        match self.letter {
            b'%' => text.push(b'%'),
            b'a' => text.extend_from_slice(context.address.as_bytes()),
            b'h' => escape_into(&mut text, &context.host),
            b'm' => escape_into(&mut text, &context.module),
            b'u' => escape_into(&mut text, &context.user),
            b'P' => escape_into(&mut text, &context.module_path),
            b'p' => text.extend_from_slice(context.number.to_string().as_bytes()),
            b'o' => text.extend_from_slice(match item.operation {
                Operation::Send => b"send",
                Operation::Receive => b"recv",
                Operation::Delete => b"del.",
            }),
            b'f' => escape_into(&mut text, item.path),
            b'n' => {
                escape_into(&mut text, item.name);
                if item.is_dir() {
                    text.push(b'/');
                }
            }
            b'l' => text.extend_from_slice(number(item.size, self.human).as_bytes()),
            b'b' => text.extend_from_slice(number(item.bytes, self.human).as_bytes()),
            b'c' => text.extend_from_slice(number(item.sums, self.human).as_bytes()),
            b'L' => {
                if let Some(target) = item.hard_link {
                    text.extend_from_slice(b" => ");
                    escape_into(&mut text, target);
                } else if let Some(target) = item.link_target {
                    text.extend_from_slice(b" -> ");
                    escape_into(&mut text, target);
                }
            }
            b'i' => text.extend_from_slice(match item.operation {
                Operation::Delete => b"*deleting  ",
                _ => item.itemized.as_bytes(),
            }),
            b'M' => text.extend_from_slice(local_time(item.mtime, "%Y/%m/%d-%H:%M:%S").as_bytes()),
            b't' => {
                let now = jiff::Timestamp::now().as_second();
                text.extend_from_slice(local_time(now, "%Y/%m/%d %H:%M:%S").as_bytes());
            }
            b'B' => text.extend_from_slice(permissions(item.mode).as_bytes()),
            b'U' => text.extend_from_slice(item.uid.to_string().as_bytes()),
            b'G' => match item.gid {
                Some(gid) => text.extend_from_slice(gid.to_string().as_bytes()),
                None => text.extend_from_slice(b"DEFAULT"),
            },
            b'C' => match item.checksum {
                Some(sum) => {
                    for byte in sum {
                        text.extend_from_slice(format!("{byte:02x}").as_bytes());
                    }
                }
                None => text.resize(item.checksum_len * 2, b' '),
            },
            _ => return None,
        }
        let padding = self.width.saturating_sub(text.len());
        if self.left {
            text.resize(text.len() + padding, b' ');
        } else {
            text.splice(..0, std::iter::repeat_n(b' ', padding));
        }
        Some(text)
    }
}

const MAX_WIDTH: usize = 1000;

/// Seconds since 1970 in local time.
pub(crate) fn local_time(seconds: i64, format: &str) -> String {
    let timestamp = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    timestamp
        .to_zoned(jiff::tz::TimeZone::system())
        .strftime(format)
        .to_string()
}

/// A number as `%l` and its quotes want it.
fn number(value: u64, human: usize) -> String {
    let unit: f64 = match human {
        0 => return value.to_string(),
        1 => return grouped(value),
        2 => 1000.0,
        _ => 1024.0,
    };
    let mut scaled = value as f64;
    if scaled < unit {
        return value.to_string();
    }
    let mut suffix = ' ';
    for letter in ['K', 'M', 'G', 'T', 'P'] {
        if scaled < unit {
            break;
        }
        scaled /= unit;
        suffix = letter;
    }
    format!("{scaled:.2}{suffix}")
}

fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `rw-r--r--`, with the letters of set-id and sticky bits.
fn permissions(mode: u32) -> String {
    let mut out: Vec<u8> = (0..9)
        .map(|i| {
            if mode & (0o400 >> i) == 0 {
                b'-'
            } else {
                b"rwx"[i as usize % 3]
            }
        })
        .collect();
    for (bit, at, with, without) in [
        (0o4000, 2, b's', b'S'),
        (0o2000, 5, b's', b'S'),
        (0o1000, 8, b't', b'T'),
    ] {
        if mode & bit != 0 {
            out[at] = if out[at] == b'x' { with } else { without };
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(module: &str, user: &str) -> LogContext {
        LogContext {
            host: crate::access::UNDETERMINED.to_vec(),
            address: "127.0.0.1".into(),
            module: module.into(),
            user: user.into(),
            module_path: b"/srv/up".to_vec(),
            number: 1,
        }
    }

    fn item(operation: Operation, name: &'static [u8], size: u64) -> LoggedItem<'static> {
        LoggedItem {
            operation,
            name,
            path: name,
            mode: 0o100_644,
            size,
            mtime: 1_000_000_000,
            uid: 0,
            gid: None,
            link_target: None,
            hard_link: None,
            checksum: None,
            checksum_len: 16,
            bytes: 0,
            sums: 0,
            itemized: ">f+++++++++",
        }
    }

    /// The lines of a case of vectors/daemon/log_lines.json that come from a log format, as bytes.
    fn vector_lines(case: &str) -> Vec<Vec<u8>> {
        let text = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../testkit/vectors/daemon/log_lines.json"
        ))
        .expect("vector");
        let vector: serde_json::Value = serde_json::from_str(&text).expect("json");
        let cases = vector["cases"].as_array().expect("cases");
        let case = cases.iter().find(|c| c["case"] == case).expect("case");
        let fixed = [
            "connect from ",
            "rsync ",
            "building file list",
            "receiving file list",
            "sent ",
        ];
        case["daemon_log"]
            .as_array()
            .expect("log")
            .iter()
            .map(|line| line.as_str().expect("line"))
            .filter(|line| !fixed.iter().any(|f| line.starts_with(f)))
            .map(|line| {
                let (head, tail) = line
                    .split_once("\\xff")
                    .map_or((line, None), |(h, t)| (h, Some(t)));
                let mut bytes = head.as_bytes().to_vec();
                let mut tail = tail;
                while let Some(text) = tail {
                    bytes.push(0xff);
                    let (head, rest) = text
                        .split_once("\\xff")
                        .map_or((text, None), |(h, t)| (h, Some(t)));
                    bytes.extend_from_slice(head.as_bytes());
                    tail = rest;
                }
                bytes
            })
            .collect()
    }

    const ODD: &[u8] = b"ctl\x1b[31m\n\x9b\xff";

    #[test]
    fn default_format_vectors() {
        let format = LogFormat::new(DEFAULT_FORMAT);
        let names: [(&[u8], u64); 4] = [(ODD, 1), (b"hl", 1000), (b"up.txt", 1000), (b"d/two", 1)];
        let transfers = |operation| {
            names
                .map(|(name, size)| item(operation, name, size))
                .to_vec()
        };
        let mut deletions: Vec<LoggedItem<'_>> =
            [b"d/two", &b"d"[..], b"up.txt", b"sl", b"hl", ODD]
                .iter()
                .map(|name| item(Operation::Delete, name, 0))
                .collect();
        deletions.push(item(Operation::Receive, b"two", 1));
        let mut evaluated = 0;
        for (case, module, user, items) in [
            ("pull without transfer logging", "plain", "", vec![]),
            ("pull", "tl", "", transfers(Operation::Send)),
            ("pull again, nothing to do", "tl", "", vec![]),
            (
                "push, authenticated",
                "w",
                "u",
                transfers(Operation::Receive),
            ),
            ("push --delete", "w", "u", deletions),
        ] {
            let found: Vec<_> = items
                .iter()
                .map(|i| format.line(i, &context(module, user)))
                .collect();
            assert_eq!(found, vector_lines(case), "{case}");
            evaluated += found.len();
        }
        assert_eq!(evaluated, 15);
        assert!(!format.itemizes());
    }

    #[test]
    fn full_format_vectors() {
        let format =
            LogFormat::new("%i|%o|%n|%f|%L|%l|%h|%a|%m|%u|%P|%M|%B|%U|%G|%C|%%|%-10n|%8l|%'l|%''l");
        assert!(format.itemizes());
        let sum = |hex: &str| -> Vec<u8> {
            (0..16)
                .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex"))
                .collect()
        };
        let sums = [
            sum("12d8bdd17f74de858c40219a46b9f81b"),
            sum("50a1af5a5f2dcf01c0a4877b962cba82"),
            sum("cb358fcee0dfde56fb95a7322f5da314"),
        ];
        let received = |name, size| item(Operation::Receive, name, size);
        let push = [
            LoggedItem {
                checksum: Some(&sums[0]),
                ..received(ODD, 1)
            },
            LoggedItem {
                itemized: "cL+++++++++",
                mode: 0o120_777,
                link_target: Some(b"/rsyncd-munged/up.txt"),
                ..received(b"sl", 6)
            },
            LoggedItem {
                checksum: Some(&sums[1]),
                ..received(b"up.txt", 1000)
            },
            LoggedItem {
                itemized: "cd+++++++++",
                mode: 0o040_755,
                ..received(b"d", 60)
            },
            LoggedItem {
                checksum: Some(&sums[2]),
                ..received(b"d/two", 1)
            },
            LoggedItem {
                itemized: "hf+++++++++",
                hard_link: Some(b"up.txt"),
                ..received(b"hl", 1000)
            },
        ];
        let deleted = |name, mode| LoggedItem {
            mode,
            mtime: 0,
            gid: Some(0),
            ..item(Operation::Delete, name, 0)
        };
        let delete = [
            deleted(b"d/two", 0o100_644),
            deleted(b"d", 0o040_755),
            deleted(b"up.txt", 0o100_644),
            deleted(b"sl", 0o120_777),
            deleted(b"hl", 0o100_644),
            deleted(ODD, 0o100_644),
        ];
        let context = context("fmt", "");
        let utc = |line: &[u8]| {
            // The vector was made in UTC; the test machine may be anywhere.
            let text = String::from_utf8_lossy(line).into_owned();
            text.replace(
                &local_time(1_000_000_000, "%Y/%m/%d-%H:%M:%S"),
                "2001/09/09-01:46:40",
            )
            .replace(&local_time(0, "%Y/%m/%d-%H:%M:%S"), "1970/01/01-00:00:00")
        };
        for (case, items) in [
            ("push with a full log format", &push),
            ("push --delete with a full log format", &delete),
        ] {
            let found: Vec<_> = items
                .iter()
                .map(|i| utc(&format.line(i, &context)))
                .collect();
            let expected: Vec<_> = vector_lines(case).iter().map(|l| utc(l)).collect();
            assert_eq!(found, expected, "{case}");
        }
    }

    #[test]
    fn escapes() {
        let item = LoggedItem {
            mode: 0o106_745,
            bytes: 1_536,
            ..item(Operation::Delete, b"n", 1_234_567)
        };
        for (format, expected) in [
            ("%q %", "deleting n"),
            ("x%''l", "deleting n"),
            ("%q %o %", "%q del. %"),
            ("%5o|%-5o|", " del.|del. |"),
            ("%i%l", "*deleting  1234567"),
            ("%o%'l %''l %'''b %'6b", "del.1,234,567 1.23M 1.50K  1,536"),
            ("%o%B", "del.rwsr-Sr-x"),
        ] {
            let line = LogFormat::new(format).line(&item, &context("m", ""));
            assert_eq!(String::from_utf8_lossy(&line), expected, "{format}");
        }
    }
}
