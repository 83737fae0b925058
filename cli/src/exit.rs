//! Exit codes and the lines a failing run ends with (06-client 3.9 and 3.10).

use std::io::{self, Write};
use std::process::ExitCode;

use rsync_engine::exit_text;
use rsync_engine::options::OptionError;

use crate::escape::Escaper;

/// Bad options or arguments.
pub(crate) const USAGE: u8 = 1;
/// A version or feature that the two ends do not share.
pub(crate) const PROTOCOL: u8 = 2;
/// Something rsync can do and Syncline cannot.
pub(crate) const UNSUPPORTED: u8 = 4;
/// Anything before the daemon said OK.
pub(crate) const START: u8 = 5;

/// What this end was doing, as messages name it (06-client 3.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Reading the command line.
    Client,
    /// The source is here.
    Sender,
    /// The destination is here.
    Receiver,
    /// The destination is here, and a list of files has come.
    Generator,
}

impl Role {
    /// The name in messages.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Sender => "sender",
            Self::Receiver => "Receiver",
            Self::Generator => "generator",
        }
    }
}

/// The last line of a run that ends with `code`, which is not 0.
pub(crate) fn final_line(code: u8, role: Role) -> String {
    let class = if code == 24 { "warning" } else { "error" };
    let (name, role, version) = (exit_text(code), role.as_str(), env!("CARGO_PKG_VERSION"));
    // FILE(LINE) is rsync's business; scripts match the rest of the shape.
    format!("rsync {class}: {name} (code {code}) at syncline(1) [{role}={version}]")
}

/// Why the program ends without success: lines for standard error and an exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// rsync's exit code.
    pub(crate) code: u8,
    /// What this end was doing.
    pub(crate) role: Role,
    /// The lines before the last one, as they are: not yet escaped.
    pub(crate) lines: Vec<Vec<u8>>,
    /// The help text stands in place of a message.
    pub(crate) usage: bool,
    /// The peer has said it all, the last line included.
    pub(crate) told: bool,
}

impl Failure {
    /// A failure explained by one line.
    pub(crate) fn new(code: u8, role: Role, line: impl Into<Vec<u8>>) -> Self {
        Self {
            code,
            role,
            lines: vec![line.into()],
            usage: false,
            told: false,
        }
    }

    /// A failure whose lines were already shown.
    pub(crate) fn shown(code: u8, role: Role) -> Self {
        Self {
            code,
            role,
            lines: Vec::new(),
            usage: false,
            told: false,
        }
    }

    /// A failure that the peer has explained, as its programs do.
    pub(crate) fn told_by_peer(code: u8, role: Role) -> Self {
        Self {
            told: true,
            ..Self::shown(code, role)
        }
    }

    /// The lines as one text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.lines.join(&b' ')).into_owned()
    }

    /// A command line that is answered with the help text.
    pub(crate) fn usage() -> Self {
        Self {
            code: USAGE,
            role: Role::Client,
            lines: Vec::new(),
            usage: true,
            told: false,
        }
    }

    /// An option or form that rsync has and Syncline has not.
    pub(crate) fn unsupported(name: &str) -> Self {
        Self::new(
            UNSUPPORTED,
            Role::Client,
            format!("rsync: {name}: not supported yet by syncline"),
        )
    }

    /// Prints the lines and the final one.
    pub(crate) fn print(&self, escaper: Escaper, err: &mut impl Write) -> io::Result<()> {
        if self.usage {
            err.write_all(crate::flags::help().as_bytes())?;
        }
        for line in &self.lines {
            escaper.write(err, line)?;
            err.write_all(b"\n")?;
        }
        if self.told {
            return Ok(());
        }
        writeln!(err, "{}", final_line(self.code, self.role))
    }

    /// The code for the system.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl From<OptionError> for Failure {
    fn from(error: OptionError) -> Self {
        match error {
            OptionError::Unsupported { name } => Self::unsupported(&name),
            OptionError::UnknownChecksum { .. } | OptionError::NoListChecksum => {
                Self::new(UNSUPPORTED, Role::Client, error.to_string())
            }
            error => Self::new(USAGE, Role::Client, format!("rsync: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_lines_have_rsyncs_shape() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            final_line(1, Role::Client),
            format!(
                "rsync error: syntax or usage error (code 1) at syncline(1) [client={version}]"
            )
        );
        assert_eq!(
            final_line(24, Role::Sender),
            format!(
                "rsync warning: some files vanished before they could be transferred (code 24) at syncline(1) \
                 [sender={version}]"
            )
        );
    }

    #[test]
    fn lines_are_escaped() {
        let mut err = Vec::new();
        let failure = Failure::new(5, Role::Receiver, b"@ERROR: \x1b[31m".to_vec());
        failure.print(Escaper::utf8(), &mut err).unwrap();
        let text = String::from_utf8(err).unwrap();
        assert!(text.starts_with(
            "@ERROR: \\#033[31m\nrsync error: error starting client-server protocol (code 5)"
        ));
        assert_eq!(Failure::shown(23, Role::Sender).lines.len(), 0);
    }
}
