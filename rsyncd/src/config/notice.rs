//! What there is to say about a configuration file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::lexer::SyntaxError;

/// A line of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// The line on which the statement starts, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", shown(&self.file), self.line)
    }
}

/// Something an operator should know; the file works nevertheless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub kind: NoticeKind,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind, self.place)
    }
}

/// The kinds of notices; where rsync has a text for one, it is that text (04-daemon 4.7).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoticeKind {
    /// A line without `=` sets nothing.
    #[error("params.c:Parameter() - Ignoring badly formed line in config file: {0}")]
    NoEquals(String),
    /// No parameter has this name.
    #[error("Unknown Parameter encountered: \"{0}\"")]
    UnknownParameter(String),
    /// What follows [`Self::UnknownParameter`].
    #[error("IGNORING unknown parameter \"{0}\"")]
    IgnoringUnknown(String),
    /// A global parameter inside a module.
    #[error("Global parameter {0} found in module section!")]
    GlobalInModule(&'static str),
    /// Neither yes nor no.
    #[error("Badly formed boolean in configuration file: \"{0}\".")]
    BadBoolean(String),
    /// Not a number to its end.
    #[error("badly formed number for \"{0}\": \"{1}\"")]
    BadNumber(&'static str, String),
    /// A parameter that is accepted and changes nothing.
    #[error("parameter \"{0}\" has no effect: {1}")]
    Inert(&'static str, &'static str),
    /// A pattern of `hosts allow` that can never match, or of `hosts deny` that denies everybody because
    /// nobody knows what it means.
    #[error("module {module}: {parameter}: {why}: {token}")]
    HostPattern {
        /// The module.
        module: String,
        /// `hosts allow` or `hosts deny`.
        parameter: &'static str,
        /// The pattern.
        token: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An option of a user rule that we do not know: the rule denies (04-daemon 9.1).
    #[error("module {module}: auth users: unknown option in \"{token}\", the rule denies")]
    AuthOption {
        /// The module.
        module: String,
        /// The rule.
        token: String,
    },
    /// Users are asked for a password that nobody can have.
    #[error("module {0}: auth users without secrets file: nobody can log in")]
    NoSecrets(String),
    /// A word of `refuse options` that is no option: the module is closed (04-daemon 22, row 6).
    #[error("No match for refuse-options string \"{word}\": module {module} is closed")]
    RefuseWord {
        /// The module.
        module: String,
        /// The word.
        word: String,
    },
    /// Filter rules that cannot be read: what they should hide would be seen, so the module is closed.
    #[error("module {module} is closed: {error}")]
    Filter {
        /// The module.
        module: String,
        /// What is wrong.
        error: String,
    },
    /// A filter rule that is left out.
    #[error("module {module}: {text}")]
    FilterRule {
        /// The module.
        module: String,
        /// Which one, and why.
        text: String,
    },
    /// A value that closes the module since its default might be too open (04-daemon 22, row 3).
    #[error("module {module} is closed: badly formed \"{name}\"")]
    Closed {
        /// The module.
        module: String,
        /// The parameter.
        name: &'static str,
    },
}

/// A parameter that would change what happens, and that we do not have yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// Where it stands.
    pub place: Place,
    /// Its name.
    pub name: &'static str,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: parameter \"{}\" is not supported yet",
            self.place, self.name
        )
    }
}

/// Why a configuration cannot be used at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("unable to open config file \"{}\": {}", shown(path), describe(error))]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// An included path is not there.
    #[error("unable to stat config file \"{}\": {}", shown(path), describe(error))]
    Stat {
        /// The path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The grammar is broken.
    #[error("{place}: {error}")]
    Syntax {
        /// Where.
        place: Place,
        /// How.
        error: SyntaxError,
    },
    /// Variables make a value too long.
    #[error("{place}: variables make the value too long")]
    TooLong {
        /// Where.
        place: Place,
    },
    /// Not a port.
    #[error("{place}: port {port} is not in 0..65535")]
    Port {
        /// Where.
        place: Place,
        /// The number.
        port: i32,
    },
    /// A limit of ours that is no number.
    #[error("{place}: \"{name}\" must be a number from 0 on, not \"{value}\"")]
    Limit {
        /// Where.
        place: Place,
        /// The parameter.
        name: &'static str,
        /// What stands there.
        value: String,
    },
    /// Parameters of rsync that we do not have yet; every one of the file.
    #[error("{}", list(.0))]
    Unsupported(Vec<Unsupported>),
}

/// A path as a person may read it.
fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    crate::text::escape(path.as_os_str().as_bytes())
}

/// `STRERROR (ERRNO)`, as rsync words system errors.
pub(crate) fn describe(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => {
            let text = error.to_string();
            let plain = text.split(" (os error").next().unwrap_or(&text);
            format!("{plain} ({number})")
        }
        None => error.to_string(),
    }
}

fn list(all: &[Unsupported]) -> String {
    all.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
