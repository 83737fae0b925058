//! rsync's options on Syncline's command line: one table for the parser, the help text and the
//! negations. What a transfer option does is said once, in `rsync_engine::options::grammar`; the rows here
//! add its help, and the options that only a client has.

mod help;
mod parse;
mod table;

pub(crate) use help::{help, version, version_json};
pub(crate) use parse::parse;

use rsync_engine::options::OptionError;

use crate::lowargs::LowArgs;

/// One row.
#[derive(Debug)]
struct Flag {
    /// The long name, or `-x` for an option without one.
    name: &'static str,
    /// The letter, for options of the client; the grammar knows the others.
    short: Option<u8>,
    /// Further long names, for options of the client.
    aliases: &'static [&'static str],
    /// The word for its value in the help text; empty if it takes none.
    metavar: &'static str,
    /// One line of help. Empty: not shown.
    help: &'static str,
    effect: Effect,
}

/// Takes a value; the second one is the word to name in errors.
type SetValue = fn(&mut LowArgs, &[u8], &[u8]) -> Result<(), OptionError>;

/// What an option of the client does.
#[derive(Clone, Copy, Debug)]
enum Effect {
    /// The grammar of transfer options knows.
    Transfer,
    /// A switch; with `--no-` forms if the flag is true.
    Switch(fn(&mut LowArgs, bool), bool),
    /// Takes a value; with `--no-` forms if there is a function that resets it.
    Value(SetValue, Option<fn(&mut LowArgs)>),
    /// rsync has it, Syncline not yet.
    Missing {
        /// Whether `--no-` forms exist; they ask for what is the case.
        negatable: bool,
    },
}

impl Effect {
    fn is_negatable(self) -> bool {
        match self {
            Self::Transfer => false,
            Self::Switch(_, negatable) | Self::Missing { negatable } => negatable,
            Self::Value(_, reset) => reset.is_some(),
        }
    }
}
