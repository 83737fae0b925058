//! A client's arguments, and what the module makes of them (01-session 7, 04-daemon 14).

use rsync_engine::options::{Delete, OptionError, ServerRequest, from_server_args};
use rsync_proto::args::{ArgumentsReader, second_pass_follows};
use rsync_proto::replies;
use rsync_proto::{Protocol, Violation};

use super::{Connection, End};
use crate::line::LineError;
use crate::refuse::Refusals;
use crate::session::Rejection;

impl Connection {
    pub(super) async fn read_arguments(&mut self, protocol: Protocol) -> Result<Arguments, End> {
        self.text.write(replies::OK).await?;
        let first = self.text.arguments(ArgumentsReader::new(protocol)).await;
        let first = first.map_err(|e| self.bad_arguments(e))?;
        let second = if second_pass_follows(&first) {
            let second = self.text.arguments(ArgumentsReader::second_pass()).await;
            Some(second.map_err(|e| self.bad_arguments(e))?)
        } else {
            None
        };
        Ok(Arguments { first, second })
    }

    fn bad_arguments(&self, error: LineError) -> End {
        if let LineError::Violation(violation) = error {
            let text = match violation {
                Violation::TooManyArguments { .. } => "too many daemon arguments".to_owned(),
                other => other.to_string(),
            };
            self.log.warn(text);
            self.log
                .warn("rsync error: protocol incompatibility (code 2)");
        }
        End::Silent
    }
}

/// A client's arguments as they came.
pub(super) struct Arguments {
    first: Vec<Vec<u8>>,
    /// The second pass of secluded arguments, with the dummy program name in front.
    second: Option<Vec<Vec<u8>>>,
}

impl Arguments {
    /// What they mean, unless the module refuses it.
    pub(super) fn parse(
        &self,
        refusals: &Refusals,
        max_verbosity: i32,
        protocol: Protocol,
    ) -> Result<ServerRequest, Rejection> {
        let second = self
            .second
            .as_deref()
            .map(|all| all.get(1..).unwrap_or_default());
        let refused = refusals
            .check(&self.first)
            .or_else(|| refusals.check(second?));
        if let Some(refused) = refused {
            return Err(self.reject(format!("rsync: {refused}"), NOT_SUPPORTED));
        }
        let parsed = from_server_args(&self.first).and_then(|mut request| {
            if let Some(second) = &self.second {
                request.add_secluded(second)?;
            }
            Ok(request)
        });
        let mut request = parsed.map_err(|error| {
            let code = if matches!(error, OptionError::Unsupported { .. }) {
                NOT_SUPPORTED
            } else {
                SYNTAX
            };
            self.reject(format!("rsync: {error}"), code)
        })?;
        let options = &mut request.options;
        options.verbose = options
            .verbose
            .min(u8::try_from(max_verbosity.max(0)).unwrap_or(u8::MAX));
        if options.delete == Delete::Default {
            options.delete = match Delete::Default.resolved(protocol.number()) {
                Delete::During if refusals.refuses_option("delete-during") => Delete::Before,
                Delete::Before if refusals.refuses_option("delete-before") => Delete::During,
                _ => Delete::Default,
            };
        }
        Ok(request)
    }

    fn reject(&self, text: String, exit_code: u8) -> Rejection {
        let options = self.first.iter().take_while(|argument| *argument != b".");
        let mut letters = options
            .clone()
            .filter(|argument| !argument.starts_with(b"--"));
        let capabilities = letters.clone().find_map(|argument| {
            let at = argument.windows(2).position(|w| w == b"e.")?;
            Some(argument[at + 2..].to_vec())
        });
        let named = [
            b"--compress-choice".as_slice(),
            b"--new-compress",
            b"--old-compress",
        ];
        let compression = letters.any(|argument| {
            argument
                .split(|&letter| letter == b'e')
                .next()
                .is_some_and(|before| before.contains(&b'z'))
        }) && !options
            .clone()
            .any(|argument| named.iter().any(|name| argument.starts_with(name)));
        let sender = options.clone().any(|argument| argument == b"--sender");
        Rejection {
            text,
            exit_code,
            sender,
            capabilities,
            compression,
        }
    }

    /// What stands behind the dot.
    pub(super) fn paths(&self) -> &[Vec<u8>] {
        let all = self.second.as_deref().unwrap_or(&self.first);
        let dot = all.iter().position(|argument| argument == b".");
        dot.map_or(&[], |dot| &all[dot + 1..])
    }
}

/// Exit codes (01-session 12.3).
const SYNTAX: u8 = 1;
const NOT_SUPPORTED: u8 = 4;
