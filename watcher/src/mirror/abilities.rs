//! What a target can do, as far as its answers told, and the options of the sessions with it.

use rsync_engine::options::{Delete, TransferOptions};
use syncline::Error;

use crate::push::{FullSync, Retry, SessionError};

/// The sessions that a batch may need: options are fixed for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Content is sent whatever the receiver has.
    Off,
    /// Content is compared by its sum: what is equal is left as it is, so that nobody who watches the target sees a change.
    Sum,
    /// The receiver's quick check decides.
    Quick,
}

/// What is asked of one target.
#[derive(Debug)]
pub(super) struct Abilities {
    /// It deletes what is gone at the source.
    pub(super) deletes: bool,
    /// It cannot delete named entries: rules say what goes (03-transfer 8.6).
    by_rules: bool,
    /// It compares times to the nanosecond.
    nanoseconds: bool,
    /// It refuses `--force`.
    no_force: bool,
    /// It refuses `--remove-source-files`, which asks for acknowledgements (03-transfer 8.8).
    no_acknowledgements: bool,
}

impl Abilities {
    /// All there is, until an answer says otherwise.
    pub(super) fn new(deletes: bool) -> Self {
        Self {
            deletes,
            by_rules: false,
            nanoseconds: true,
            no_force: false,
            no_acknowledgements: false,
        }
    }

    /// Whether it can be asked what arrived.
    pub(super) fn acknowledges(&self) -> bool {
        !self.no_acknowledgements
    }

    /// Whether rules say what is deleted.
    pub(super) fn deletes_by_rules(&self) -> bool {
        self.deletes && self.by_rules
    }

    /// The options of a session that lists just the names of a batch.
    pub(super) fn batch(&self, options: &TransferOptions, check: Check) -> TransferOptions {
        let by_name = self.deletes && !self.by_rules;
        TransferOptions {
            recursive: self.deletes_by_rules(),
            dirs: false,
            delete: if self.deletes_by_rules() {
                Delete::During
            } else {
                Delete::Off
            },
            delete_missing_args: by_name,
            force: by_name,
            ignore_times: check == Check::Off,
            checksum: check == Check::Sum,
            modify_window: self.window(options),
            inc_recursive: false,
            ..options.clone()
        }
    }

    /// The options of a comparison.
    pub(super) fn comparison(
        &self,
        options: &TransferOptions,
        request: &FullSync,
    ) -> TransferOptions {
        TransferOptions {
            recursive: true,
            relative: !request.path.is_empty(),
            // What is equal is not written again: links to it would break, and others may watch it.
            checksum: request.ignore_times,
            delete: if request.delete_extras && self.deletes {
                Delete::During
            } else {
                Delete::Off
            },
            force: self.deletes && !self.no_force,
            modify_window: self.window(options),
            ..options.clone()
        }
    }

    /// How close times count as equal: to the nanosecond where the wire has them. In whole seconds two changes of one
    /// second, with a kill of ours between them, would look like one; and times of directories and symlinks, which are
    /// pushed within the second in which they changed, would only be set where the second differs.
    fn window(&self, options: &TransferOptions) -> Option<i32> {
        let known = self.nanoseconds && options.protocol.is_none_or(|number| number > 30);
        known.then_some(-1).or(options.modify_window)
    }

    /// Learns from the protocol of a session.
    pub(super) fn spoke(&mut self, protocol: u32) {
        if protocol < 31 {
            // Whole seconds only: with the window every file would differ, every time.
            self.nanoseconds = false;
        }
    }

    /// Learns from what was said in a session that came to its end. True: its deletions did not happen and are tried again at once.
    pub(super) fn told(&mut self, words: &str) -> bool {
        // An old daemon that was told not to delete named entries says so and goes on.
        let skipped = words.contains("skipping non-regular file");
        let learnt = skipped && self.deletes && !self.by_rules;
        self.by_rules |= learnt;
        learnt
    }

    /// Learns from a failed session. True: it is worth trying again at once.
    pub(super) fn failed(&mut self, error: &Error, words: &str) -> bool {
        if !self.no_force && words.contains("refuse --force") {
            // Rules need no --force: the right to delete includes it.
            self.no_force = true;
            self.by_rules = true;
            return true;
        }
        let refused = error.exit_code() == 4 || error.exit_code() == 2;
        if self.nanoseconds && refused && words.contains("-@") {
            // 3.1.0 knows no negative window.
            self.nanoseconds = false;
            return true;
        }
        if !self.no_acknowledgements && words.contains("refuse --remove-source-files") {
            self.no_acknowledgements = true;
            return true;
        }
        let cannot = [
            "invalid file mode",
            "skipping non-regular file",
            "unknown option",
            "--delete-missing-args",
        ];
        // Below protocol 31 a peer just ends after its last words: there is no exit code.
        if self.deletes && !self.by_rules && cannot.iter().any(|text| words.contains(text)) {
            self.by_rules = true;
            return true;
        }
        false
    }

    /// What a failed session means for the next.
    pub(super) fn verdict(&mut self, error: &Error, words: &str) -> SessionError {
        let text = if words.is_empty() {
            error.to_string()
        } else {
            words.to_owned()
        };
        let refuses = words.contains("refuse --delete");
        let retry = match error {
            _ if self.deletes && refuses => {
                self.deletes = false;
                Retry::WithoutDeletes
            }
            error if is_full(error) => Retry::Backoff,
            Error::Refused(_) | Error::Password(_) => Retry::Slow,
            Error::Session(rsync_engine::Error::Remote { code: 1 | 4 }) => Retry::Slow,
            _ => Retry::Backoff,
        };
        SessionError { text, retry }
    }
}

/// All places of the module are taken.
pub(super) fn is_full(error: &Error) -> bool {
    let Error::Refused(reason) = error else {
        return false;
    };
    let reason = reason.as_bytes();
    reason.windows(15).any(|words| words == b"max connections")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_decide_when_to_try_again() {
        let mut abilities = Abilities::new(true);
        let refused = |text: &str| Error::Refused(syncline::PeerText(text.as_bytes().to_vec()));
        for (error, words, retry) in [
            (refused("@ERROR: auth failed on module m"), "", Retry::Slow),
            (
                refused("@ERROR: max connections (1) reached -- try again later"),
                "",
                Retry::Backoff,
            ),
            (
                Error::Session(rsync_engine::Error::Remote { code: 4 }),
                "The server is configured to refuse --delete",
                Retry::WithoutDeletes,
            ),
            (
                Error::Session(rsync_engine::Error::Remote { code: 1 }),
                "ERROR: module is read only",
                Retry::Slow,
            ),
            (
                Error::Session(rsync_engine::Error::Disconnected { received: 7 }),
                "",
                Retry::Backoff,
            ),
        ] {
            abilities.deletes = true;
            let told = abilities.verdict(&error, words);
            assert_eq!(told.retry, retry, "{error}");
            assert!(!told.text.is_empty());
        }
    }
}
