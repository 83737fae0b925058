//! The argument vector between client and server, both directions side by side (01-session 7).

use std::fmt::Display;

use super::error::text;
use super::grammar;
use super::words::{Word, Words};
use super::{ChecksumChoice, Delete, ListOnly, OptionError, TransferOptions};

#[cfg(test)]
mod tests;

/// Who sends the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The client sends, the server receives.
    Push,
    /// The server sends (`--sender`), the client receives.
    Pull,
}

/// The vector for a server, in rsync's exact order (01-session 7.3 to 7.6). `protocol_offered` is the
/// version of the client's greeting; `paths` are the words after the `.`, already in the form the
/// transport wants ([`daemon_path_arg`]), one for a push. Without the empty word that ends it on the wire.
pub fn to_server_args(
    options: &TransferOptions,
    direction: Direction,
    protocol_offered: u32,
    paths: &[Vec<u8>],
) -> Vec<Vec<u8>> {
    let mut list = ArgList(Vec::new());
    list.switch(true, "--server");
    list.switch(direction == Direction::Pull, "--sender");
    let cluster = short_cluster(options, direction, protocol_offered);
    if cluster.len() > 1 {
        list.0.push(cluster);
    }
    push_long_options(&mut list, options, direction, protocol_offered);
    list.switch(true, ".");
    let mut args = list.0;
    args.extend(paths.iter().map(|path| {
        if path.is_empty() {
            b".".to_vec()
        } else {
            path.clone()
        }
    }));
    args
}

/// A path for a daemon: `path` is what followed the host, module name first (01-session 7.7).
pub fn daemon_path_arg(module: &[u8], path: &[u8]) -> Vec<u8> {
    if path == module {
        return [path, b"/"].concat();
    }
    let mut arg = Vec::with_capacity(path.len() + 4);
    if path.starts_with(b"-") {
        arg.extend_from_slice(b"./");
    }
    // The daemon splits at " MODULE/"; a bracketed blank keeps the path in one piece.
    let split = [b" ", module, b"/"].concat();
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        if !module.is_empty() && rest.starts_with(&split) {
            arg.extend_from_slice(b"[ ]");
        } else {
            arg.push(byte);
        }
        rest = tail;
    }
    arg
}

/// 01-session 7.3, the letters of Syncline's options in their order.
fn short_cluster(
    options: &TransferOptions,
    direction: Direction,
    protocol_offered: u32,
) -> Vec<u8> {
    let push = direction == Direction::Push;
    let whole_file = options.whole_file == Some(true)
        || options
            .checksum_choice
            .as_ref()
            .is_some_and(|choice| choice.transfer == "none");
    let mut cluster = vec![b'-'];
    cluster.extend(std::iter::repeat_n(
        b'v',
        usize::from(options.verbose.min(9)),
    ));
    let switches = [
        (b'q', options.quiet),
        (b'u', options.update),
        (b'n', options.dry_run),
        (b'l', options.links),
        (b'd', options.dirs && !options.recursive),
        (b'O', push && options.omit_dir_times),
        (b'J', push && options.omit_link_times),
        (b'W', whole_file),
        (b'H', options.hard_links),
        (b'o', options.owner),
        (b'g', options.group),
        (b'D', options.devices),
        (b't', options.times),
        (b'p', options.perms),
        (b'E', push && options.executability && !options.perms),
        (b'r', options.recursive),
        (b'c', options.checksum),
        (b'C', options.cvs_exclude),
        (b'I', options.ignore_times),
        (b'R', options.relative),
        (b'x', options.one_file_system >= 1),
        (b'x', options.one_file_system >= 2),
    ];
    cluster.extend(
        switches
            .iter()
            .filter(|(_, on)| *on)
            .map(|(letter, _)| letter),
    );
    if protocol_offered >= 30 {
        cluster.extend_from_slice(if allows_inc_recursion(options, direction) {
            b"e.i"
        } else {
            b"e."
        });
        cluster.extend_from_slice(b"LsfxCIvu");
    }
    cluster
}

/// Whether the client offers incremental recursion (01-session 7.4).
fn allows_inc_recursion(options: &TransferOptions, direction: Direction) -> bool {
    let deletes_apart = matches!(options.delete, Delete::Before | Delete::After);
    options.recursive && options.inc_recursive && !(direction == Direction::Pull && deletes_apart)
}

/// 01-session 7.5, the rows of Syncline's options in their order.
fn push_long_options(
    args: &mut ArgList,
    options: &TransferOptions,
    direction: Direction,
    protocol_offered: u32,
) {
    let push = direction == Direction::Push;
    let deletes = options.delete != Delete::Off;
    args.switch(options.list_only == ListOnly::Requested, "--list-only");
    args.switch(
        push && deletes && options.dirs && !options.recursive,
        "--no-r",
    );
    args.switch(options.devices && !options.specials, "--no-specials");
    args.switch(options.specials && !options.devices, "--specials");
    if let Some(format) = log_format(options).filter(|_| push) {
        args.0.push([b"--log-format=", format].concat());
    }
    args.value("-B", options.block_size);
    args.value(
        "--timeout=",
        options.timeout.map(|timeout| timeout.as_secs().max(1)),
    );
    args.value(
        "--bwlimit=",
        options.bwlimit.map(|rate| rate.div_ceil(1024)),
    );
    args.value(
        "--checksum-choice=",
        options.checksum_choice.as_ref().map(ChecksumChoice::to_arg),
    );
    if push {
        match options.max_delete {
            Some(0) => args.switch(true, "--max-delete=-1"),
            max => args.value("--max-delete=", max),
        }
        args.value("--min-size=", options.min_size);
        args.value("--max-size=", options.max_size);
        match options.delete {
            Delete::Before => args.switch(true, "--delete-before"),
            Delete::Delay => args.switch(true, "--delete-delay"),
            Delete::During => args.switch(true, "--delete-during"),
            Delete::After => args.switch(true, "--delete-after"),
            Delete::Default => args.switch(!options.delete_excluded, "--delete"),
            Delete::Off => {}
        }
        args.switch(deletes && options.delete_excluded, "--delete-excluded");
        args.switch(options.force, "--force");
        args.switch(options.size_only, "--size-only");
        args.switch(options.stats, "--stats");
    }
    args.switch(options.delete_missing_args, "--delete-missing-args");
    args.switch(
        !push && options.ignore_missing_args && !options.delete_missing_args,
        "--ignore-missing-args",
    );
    if let Some(window) = options.modify_window.filter(|_| push) {
        args.value(
            if window < 0 { "-@" } else { "--modify-window=" },
            Some(window),
        );
    }
    args.value(
        "--checksum-seed=",
        options.checksum_seed.filter(|&seed| seed != 0),
    );
    args.switch(push && options.partial, "--partial");
    args.switch(options.ignore_errors, "--ignore-errors");
    args.switch(options.numeric_ids, "--numeric-ids");
    args.switch(push && options.ignore_existing, "--ignore-existing");
    args.switch(push && options.existing, "--existing");
    args.switch(
        options.relative && !options.implied_dirs && (!push || protocol_offered >= 30),
        "--no-implied-dirs",
    );
    args.switch(options.remove_source_files, "--remove-source-files");
}

/// The vector under construction.
struct ArgList(Vec<Vec<u8>>);

impl ArgList {
    fn switch(&mut self, on: bool, word: &str) {
        if on {
            self.0.push(word.as_bytes().to_vec());
        }
    }

    fn value(&mut self, prefix: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.0.push(format!("{prefix}{value}").into_bytes());
        }
    }
}

/// What the receiving server is told of the client's output format (01-session 7.6).
fn log_format(options: &TransferOptions) -> Option<&[u8]> {
    match options {
        TransferOptions {
            log_format: Some(format),
            ..
        } => Some(format),
        TransferOptions { itemize: 2.., .. } => Some(b"%i%I"),
        TransferOptions { itemize: 1, .. } => Some(b"%i"),
        TransferOptions {
            progress: true,
            verbose: 0,
            ..
        } => Some(b"X"),
        _ => None,
    }
}

/// What a client asks a server to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerRequest {
    /// `--sender`: the server sends, the client pulls.
    pub sender: bool,
    /// The options of the transfer. Filter rules are not among them: they come in-band.
    pub options: TransferOptions,
    /// The letters after `e.` (01-session 7.4). `None`: the client sent none, as below protocol 30.
    pub capabilities: Option<Vec<u8>>,
    /// The words after the `.`, as sent. Empty as long as the second pass of secluded arguments is missing.
    pub paths: Vec<Vec<u8>>,
    /// `-s`: the rest of the arguments follows as a second vector (01-session 7.9); read it and call
    /// [`ServerRequest::add_secluded`].
    pub secluded: bool,
}

impl ServerRequest {
    /// Whether the client has the capability `letter`.
    pub fn has_capability(&self, letter: u8) -> bool {
        self.capabilities
            .as_ref()
            .is_some_and(|letters| letters.contains(&letter))
    }

    /// Applies the second pass of secluded arguments on top of the first. `args` is as sent: a dummy
    /// program name, options, `.`, paths.
    ///
    /// # Errors
    /// As [`from_server_args`].
    pub fn add_secluded(&mut self, args: &[Vec<u8>]) -> Result<(), OptionError> {
        let (_program, words) = args
            .split_first()
            .ok_or(OptionError::NotServer { missing: "." })?;
        if !self.read(words)?.dot {
            return Err(OptionError::NotServer { missing: "." });
        }
        self.finish()
    }

    /// Reads words up to the end or the `.`; what was there is said in the result.
    fn read(&mut self, args: &[Vec<u8>]) -> Result<Seen, OptionError> {
        let mut words = Words::new(args);
        let mut seen = Seen::default();
        while let Some(word) = words.next_word()? {
            match word {
                Word::Operand(b".") => {
                    seen.dot = true;
                    self.paths.extend_from_slice(words.rest());
                    break;
                }
                Word::Operand(_) => return Err(words.unknown()),
                Word::Long(b"server") => seen.server = true,
                Word::Long(b"sender") => self.sender = true,
                Word::Short(b'e') | Word::Long(b"rsh") => {
                    self.capabilities = capability_letters(words.value()?)
                }
                Word::Short(b's') | Word::Long(b"secluded-args" | b"protect-args") => {
                    self.secluded = true
                }
                Word::Long(b"log-format" | b"out-format") => self.set_log_format(words.value()?),
                Word::Long(name) if is_forbidden(name) => {
                    return Err(OptionError::Forbidden {
                        name: format!("--{}", text(name)),
                    });
                }
                word => {
                    if !grammar::apply(&mut self.options, word, &mut words)? {
                        return Err(not_for_a_server(word).unwrap_or_else(|| words.unknown()));
                    }
                }
            }
        }
        Ok(seen)
    }

    fn set_log_format(&mut self, format: &[u8]) {
        self.options.itemize = match format {
            _ if contains(format, b"%I") => 2,
            _ if contains(format, b"%i") => 1,
            _ => 0,
        };
        self.options.log_format = Some(format.to_vec());
    }

    fn finish(&mut self) -> Result<(), OptionError> {
        // Nothing here removes sources; as a receiver the acknowledgements are all that is asked for.
        if self.sender && self.options.remove_source_files {
            return Err(OptionError::Unsupported {
                name: "--remove-source-files".to_owned(),
            });
        }
        // A file of rules would be opened with the server's eyes, and rules travel in-band anyway.
        if !self.options.filter_texts.is_empty() {
            return Err(OptionError::Unsupported {
                name: "--filter".to_owned(),
            });
        }
        self.options.check()
    }
}

#[derive(Default)]
struct Seen {
    server: bool,
    dot: bool,
}

/// Reads what a stock client 3.0 to 3.5 sends to a server: any order, clustered or separate letters,
/// `--opt=value` and `--opt value`, `--no-` forms (01-session 7.10).
///
/// # Errors
/// [`OptionError::Unsupported`] names an option of rsync that Syncline lacks, [`OptionError::Unknown`] one
/// that nobody knows, [`OptionError::Forbidden`] one that no client may use; others for bad values.
pub fn from_server_args(args: &[Vec<u8>]) -> Result<ServerRequest, OptionError> {
    let mut request = ServerRequest::default();
    let seen = request.read(args)?;
    if !seen.server {
        return Err(OptionError::NotServer {
            missing: "--server",
        });
    }
    if !request.secluded {
        if !seen.dot {
            return Err(OptionError::NotServer { missing: "." });
        }
        request.finish()?;
    }
    Ok(request)
}

/// The letters of an `-e` value: all after the first dot. Without a dot it is the remote shell of an old
/// client, which says nothing about capabilities.
fn capability_letters(value: &[u8]) -> Option<Vec<u8>> {
    let dot = value.iter().position(|&byte| byte == b'.')?;
    Some(value[dot + 1..].to_vec())
}

/// Options that no client may use on a daemon (01-session 7.10).
fn is_forbidden(name: &[u8]) -> bool {
    matches!(
        name,
        b"daemon" | b"config" | b"dparam" | b"no-detach" | b"detach" | b"insecure-links"
    ) || name.starts_with(b"log-file")
}

/// rsync's words that only mean something to a client. A server that gets one refuses it by name.
fn not_for_a_server(word: Word<'_>) -> Option<OptionError> {
    let name = match word {
        Word::Long(name) => text(name),
        Word::Short(letter) => {
            return b"hM846V"
                .contains(&letter)
                .then(|| OptionError::Unsupported {
                    name: format!("-{}", char::from(letter)),
                });
        }
        Word::Operand(_) => return None,
    };
    const CLIENT_ONLY: [&str; 20] = [
        "address",
        "blocking-io",
        "contimeout",
        "early-input",
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
        "8-bit-output",
        "version",
        "help",
    ];
    CLIENT_ONLY
        .contains(&name.as_str())
        .then(|| OptionError::Unsupported {
            name: format!("--{name}"),
        })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
