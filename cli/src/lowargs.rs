//! The command line as it was given, option by option.

use std::time::Duration;

use rsync_engine::options::TransferOptions;

/// The options in the order of their effects, and the arguments. Nothing is derived yet: see
/// [`crate::hiargs::HiArgs`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LowArgs {
    /// Everything the engine knows about.
    pub(crate) transfer: TransferOptions,
    /// `--no-d` was the last word about `--dirs`.
    pub(crate) no_dirs: bool,
    /// Style of numbers: 0 digits, 1 groups, 2 units of 1000, 3 units of 1024 (06-client 3.5).
    pub(crate) human_readable: u8,
    /// `-h` was given.
    pub(crate) dash_h: bool,
    /// `-8`.
    pub(crate) eight_bit_output: bool,
    /// `--out-format`.
    pub(crate) out_format: Option<Vec<u8>>,
    /// `--port`; 0 is none.
    pub(crate) port: Option<u16>,
    /// `--password-file`.
    pub(crate) password_file: Option<Vec<u8>>,
    /// `--contimeout`.
    pub(crate) contimeout: Option<Duration>,
    /// `--no-motd` turns it off.
    pub(crate) motd: bool,
    /// `--help`.
    pub(crate) help: bool,
    /// How often `-V` was given.
    pub(crate) version: u8,
    /// The arguments that are no options.
    pub(crate) operands: Vec<Vec<u8>>,
}

impl Default for LowArgs {
    fn default() -> Self {
        Self {
            transfer: TransferOptions::default(),
            no_dirs: false,
            human_readable: 1,
            dash_h: false,
            eight_bit_output: false,
            out_format: None,
            port: None,
            password_file: None,
            contimeout: None,
            motd: true,
            help: false,
            version: 0,
            operands: Vec::new(),
        }
    }
}
