//! How a source or destination argument is understood (06-client 1.3).

/// One argument, taken apart. Texts are bytes as the user wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostSpec {
    /// A path on this machine.
    Local,
    /// `[USER@]HOST:PATH`: by remote shell.
    Shell(Remote),
    /// `[USER@]HOST::MODULE/PATH` or `rsync://[USER@]HOST[:PORT]/MODULE/PATH`.
    Daemon(Remote),
}

/// The parts of a remote argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// The text before the last `@`; never empty.
    pub(crate) user: Option<Vec<u8>>,
    /// The host without brackets. Empty in `::PATH`, which repeats the host of the first argument.
    pub(crate) host: Vec<u8>,
    /// The port of a URL, if it names one.
    pub(crate) port: Option<u16>,
    /// What follows; for a daemon the module's name comes first.
    pub(crate) path: Vec<u8>,
}

impl HostSpec {
    /// Understands `argument`.
    pub(crate) fn parse(argument: &[u8]) -> Self {
        if let Some(remote) = parse_url(argument) {
            return Self::Daemon(remote);
        }
        let Some((user, host, rest)) = split_host(argument) else {
            return Self::Local;
        };
        let remote = |path: &[u8]| Remote {
            user: user.clone(),
            host: host.clone(),
            port: None,
            path: path.to_vec(),
        };
        match rest {
            [b':', b':', path @ ..] => Self::Daemon(remote(path)),
            [b':', path @ ..] => Self::Shell(remote(path)),
            _ => Self::Local,
        }
    }
}

/// `rsync://[USER@]HOST[:PORT][/PATH]`; `None` if it is not quite that.
fn parse_url(argument: &[u8]) -> Option<Remote> {
    let (scheme, rest) = argument.split_at_checked(8)?;
    if !scheme.eq_ignore_ascii_case(b"rsync://") {
        return None;
    }
    let (user, host, rest) = split_host(rest)?;
    let (port, path) = match rest {
        [b':', rest @ ..] => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (digits, path) = rest.split_at(digits);
            let port = match digits {
                b"" => 0,
                digits => std::str::from_utf8(digits).ok()?.parse::<u16>().ok()?,
            };
            (Some(port).filter(|&port| port != 0), path)
        }
        path => (None, path),
    };
    match path {
        [] => Some(Remote {
            user,
            host,
            port,
            path: Vec::new(),
        }),
        [b'/', path @ ..] => Some(Remote {
            user,
            host,
            port,
            path: path.to_vec(),
        }),
        _ => None,
    }
}

type HostParts<'a> = (Option<Vec<u8>>, Vec<u8>, &'a [u8]);

/// Cuts `[USER@]HOST` off, up to the first `:` or `/` outside brackets or the end. `None` if brackets are
/// out of place: then it is no host.
fn split_host(text: &[u8]) -> Option<HostParts<'_>> {
    let mut host_start = 0;
    let mut end = 0;
    while let Some(&byte) = text.get(end) {
        match byte {
            b':' | b'/' => break,
            b'@' => host_start = end + 1,
            b'[' => {
                let length = text[end..].iter().position(|&byte| byte == b']')?;
                let closed = matches!(text.get(end + length + 1), None | Some(b':' | b'/'));
                if end != host_start || length < 2 || !closed {
                    return None;
                }
                end += length;
            }
            _ => {}
        }
        end += 1;
    }
    let user = host_start
        .checked_sub(1)
        .map(|at| text[..at].to_vec())
        .filter(|user| !user.is_empty());
    let host = &text[host_start..end];
    let host = host
        .strip_prefix(b"[")
        .and_then(|host| host.strip_suffix(b"]"))
        .unwrap_or(host);
    Some((user, host.to_vec(), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row of the captured table.
    #[test]
    fn captured_arguments() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../testkit/vectors/cli/hostspec.tsv"
        );
        let table = std::fs::read_to_string(path).unwrap();
        let mut rows = 0;
        for line in table.lines().skip(1) {
            let mut columns = line.split('\t').chain(std::iter::repeat(""));
            let [argument, kind, user, host, port, sent] =
                std::array::from_fn(|_| columns.next().unwrap());
            let spec = HostSpec::parse(argument.as_bytes());
            rows += 1;
            match (&spec, kind) {
                (HostSpec::Local, "local") => {}
                (HostSpec::Shell(remote), "shell") => {
                    assert_eq!(
                        remote.user.as_deref().unwrap_or_default(),
                        user.as_bytes(),
                        "{argument}"
                    );
                    assert_eq!(remote.host, host.as_bytes(), "{argument}");
                    // The capture shows the path quoted for the shell, and an empty one as ".".
                    let path = if remote.path.is_empty() {
                        &b"."[..]
                    } else {
                        &remote.path
                    };
                    assert_eq!(
                        String::from_utf8_lossy(path).replace('\\', "\\\\"),
                        sent,
                        "{argument}"
                    );
                }
                (HostSpec::Daemon(remote), "daemon") => {
                    let shown = remote.user.as_deref().unwrap_or(b"(default)");
                    assert_eq!(shown, user.as_bytes(), "{argument}");
                    assert_eq!(remote.host, host.as_bytes(), "{argument}");
                    assert_eq!(remote.port.unwrap_or(873).to_string(), port, "{argument}");
                    let module = remote.path.split(|&byte| byte == b'/').next().unwrap();
                    let arg = rsync_engine::options::daemon_path_arg(module, &remote.path);
                    assert_eq!(arg, sent.as_bytes(), "{argument}");
                }
                // A module name cannot be empty in front of a slash; that is found later.
                (HostSpec::Daemon(remote), "error") => {
                    assert!(remote.path.starts_with(b"/"), "{argument}")
                }
                _ => panic!("{argument}: {spec:?} should be {kind}"),
            }
        }
        assert_eq!(rows, 54);
    }
}
