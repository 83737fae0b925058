//! Who may log in: `auth users` and the secrets file (04-daemon 9, 05-security 19).

use std::path::Path;

use crate::config::describe;
use crate::limits;
use crate::operator;
use crate::text::escape;
use crate::wildcard;

/// What a rule allows beyond the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `:ro`.
    ReadOnly,
    /// `:rw`.
    ReadWrite,
}

/// The rules of `auth users`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRules {
    required: bool,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    text: Vec<u8>,
    group: bool,
    pattern: Vec<u8>,
    option: RuleOption,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RuleOption {
    None,
    Deny,
    Access(Access),
    Unknown,
}

/// What the first matching rule says of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// With the right password. `group` is the group that matched, if the rule was one for groups.
    Password {
        /// Overrides the module's `read only`.
        access: Option<Access>,
        /// Its line in the secrets file counts too.
        group: Option<Vec<u8>>,
    },
    /// Not, and why.
    No(Failure),
}

/// Why a login failed, in the words of the log. A client never learns which (04-daemon 9.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
#[non_exhaustive]
pub enum Failure {
    #[error("invalid challenge response")]
    InvalidResponse,
    #[error("no matching rule")]
    NoMatchingRule,
    #[error("denied by rule")]
    DeniedByRule,
    #[error("secret not found")]
    SecretNotFound,
    #[error("password mismatch")]
    PasswordMismatch,
    #[error("no secrets file")]
    NoSecretsFile,
    #[error("ignoring secrets file")]
    IgnoringSecretsFile,
    #[error("invalid username")]
    InvalidUsername,
    #[error("too many failures from this address")]
    TooManyFailures,
}

impl UserRules {
    /// Reads the value of `auth users`. Tokens are split at white space and commas; after a leading comma, at
    /// commas only.
    #[must_use]
    pub fn new(value: &[u8]) -> Self {
        let rules = words(value).map(Rule::new).collect();
        Self {
            required: value.iter().any(|b| !b.is_ascii_whitespace()),
            rules,
        }
    }

    /// A client must log in.
    #[must_use]
    pub fn required(&self) -> bool {
        self.required
    }

    /// Some rule is one for groups: the user's groups are needed.
    #[must_use]
    pub fn asks_for_groups(&self) -> bool {
        self.rules.iter().any(|rule| rule.group)
    }

    /// What the first matching rule says. `groups` are the names of the user's groups in the host's database.
    #[must_use]
    pub fn decide(&self, user: &[u8], groups: &[Vec<u8>]) -> Verdict {
        for rule in &self.rules {
            let group = if rule.group {
                let Some(group) = groups.iter().find(|g| wildcard::matches(&rule.pattern, g))
                else {
                    continue;
                };
                Some(group.clone())
            } else if wildcard::matches(&rule.pattern, user) {
                None
            } else {
                continue;
            };
            return match rule.option {
                RuleOption::None => Verdict::Password {
                    access: None,
                    group,
                },
                RuleOption::Access(access) => Verdict::Password {
                    access: Some(access),
                    group,
                },
                RuleOption::Deny | RuleOption::Unknown => Verdict::No(Failure::DeniedByRule),
            };
        }
        Verdict::No(Failure::NoMatchingRule)
    }

    /// Rules whose option we do not know; they deny.
    pub(crate) fn unknown_options(&self) -> impl Iterator<Item = String> + '_ {
        self.rules
            .iter()
            .filter(|r| r.option == RuleOption::Unknown)
            .map(|r| escape(&r.text))
    }
}

impl Rule {
    fn new(text: &[u8]) -> Self {
        let (name, option) = match text.iter().position(|&b| b == b':') {
            Some(colon) => (&text[..colon], Some(text[colon + 1..].to_ascii_lowercase())),
            None => (text, None),
        };
        let option = match option.as_deref() {
            None => RuleOption::None,
            Some(b"deny") => RuleOption::Deny,
            Some(b"ro") => RuleOption::Access(Access::ReadOnly),
            Some(b"rw") => RuleOption::Access(Access::ReadWrite),
            Some(_) => RuleOption::Unknown,
        };
        let group = name.first() == Some(&b'@');
        let pattern = name[usize::from(group)..].to_vec();
        Self {
            text: text.to_vec(),
            group,
            pattern,
            option,
        }
    }
}

/// Words of a list of users or groups (04-daemon 9.1): split at white space and commas; if the first byte that
/// is no white space is a comma, at commas only, so that names may hold spaces.
pub(crate) fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let commas_only = value.trim_ascii().first() == Some(&b',');
    value
        .split(move |b| *b == b',' || (!commas_only && b" \t\r\n".contains(b)))
        .map(<[u8]>::trim_ascii)
        .filter(|word| !word.is_empty())
}

/// The content of a secrets file, if it may be used.
///
/// # Errors
///
/// The reason for the log, and a line of its own that explains it.
pub(crate) fn read_secrets(
    path: &Path,
    strict_modes: bool,
) -> Result<Vec<u8>, (Failure, Option<String>)> {
    use std::os::unix::ffi::OsStrExt as _;
    if path.as_os_str().is_empty() {
        return Err((Failure::NoSecretsFile, None));
    }
    let (content, stat) = operator::read(path, limits::CONFIG_FILE).map_err(|error| {
        let name = escape(path.as_os_str().as_bytes());
        (
            Failure::NoSecretsFile,
            Some(format!(
                "unable to open secrets file {name}: {}",
                describe(&error)
            )),
        )
    })?;
    if strict_modes {
        if stat.mode & 0o006 != 0 {
            return Err((
                Failure::IgnoringSecretsFile,
                Some("secrets file must not be other-accessible (see strict modes option)".into()),
            ));
        }
        if rustix::process::geteuid().is_root() && stat.uid != 0 {
            return Err((
                Failure::IgnoringSecretsFile,
                Some(
                    "secrets file must be owned by root when running as root (see strict modes)"
                        .into(),
                ),
            ));
        }
    }
    Ok(content)
}

/// The passwords that `user` may use: the first line of the user, the first of the group. The whole content
/// is looked at in any case, so that the time tells nothing.
///
/// # Errors
///
/// [`Failure::InvalidUsername`] or [`Failure::SecretNotFound`].
pub(crate) fn passwords<'a>(
    content: &'a [u8],
    user: &[u8],
    group: Option<&[u8]>,
) -> Result<Vec<&'a [u8]>, Failure> {
    let (mut own, mut shared) = (None, None);
    for line in content
        .split(|b| *b == b'\n' || *b == b'\r')
        .flat_map(|l| l.chunks(limits::SECRETS_LINE))
    {
        let Some(colon) = line.iter().position(|&b| b == b':') else {
            continue;
        };
        let (name, password) = (&line[..colon], &line[colon + 1..]);
        match name.strip_prefix(b"@") {
            Some(name) if group == Some(name) => {
                shared.get_or_insert(password);
            }
            Some(_) => {}
            None if name == user => {
                own.get_or_insert(password);
            }
            None => {}
        }
    }
    if user.first() == Some(&b'#') {
        return Err(Failure::InvalidUsername);
    }
    let found: Vec<&[u8]> = own.into_iter().chain(shared).collect();
    if found.is_empty() {
        Err(Failure::SecretNotFound)
    } else {
        Ok(found)
    }
}

/// Everything about one login but the wire.
pub(crate) struct Login<'a> {
    pub(crate) rules: &'a UserRules,
    pub(crate) user: &'a [u8],
    /// Names of the user's groups.
    pub(crate) groups: &'a [Vec<u8>],
    /// What [`read_secrets`] gave.
    pub(crate) secrets: Result<&'a [u8], Failure>,
    /// Compares the client's response with the one for a password, in constant time.
    pub(crate) matches: &'a dyn Fn(&[u8]) -> bool,
    /// A password that nobody knows: the work for a user who cannot log in is the same.
    pub(crate) decoy: &'a [u8],
}

impl Login<'_> {
    /// Decides. The same number of responses is computed for every user.
    pub(crate) fn decide(&self) -> Result<Option<Access>, Failure> {
        let verdict = self.rules.decide(self.user, self.groups);
        let (access, group) = match &verdict {
            Verdict::Password { access, group } => (*access, group.as_deref()),
            Verdict::No(_) => (None, None),
        };
        let found = self
            .secrets
            .and_then(|content| passwords(content, self.user, group));
        let candidates = found.as_deref().unwrap_or(&[]);
        let mut equal = false;
        for i in 0..MAX_PASSWORDS {
            match candidates.get(i) {
                Some(password) => equal |= (self.matches)(password),
                None => {
                    let _ = std::hint::black_box((self.matches)(self.decoy));
                }
            }
        }
        match (verdict, found) {
            (Verdict::No(failure), _) | (_, Err(failure)) => Err(failure),
            _ if equal => Ok(access),
            _ => Err(Failure::PasswordMismatch),
        }
    }
}

/// A user's line and a group's.
const MAX_PASSWORDS: usize = 2;

#[cfg(test)]
mod tests;
