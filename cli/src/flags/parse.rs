//! Words to [`LowArgs`] (06-client 1.1 and 1.2).

use rsync_engine::options::grammar;
use rsync_engine::options::words::{Word, Words};

use super::table::FLAGS;
use super::{Effect, Flag};
use crate::exit::{Failure, Role, USAGE};
use crate::lowargs::LowArgs;

/// Reads the words after the program's name.
///
/// # Errors
/// rsync's text and code for what is wrong; code 4 for an option of rsync that Syncline lacks.
pub(crate) fn parse(words: &[Vec<u8>]) -> Result<LowArgs, Failure> {
    if words.is_empty() {
        return Err(Failure::usage());
    }
    let mut low = LowArgs::default();
    let mut parsed = Words::new(words);
    while let Some(word) = parsed.next_word()? {
        match word {
            Word::Operand(operand) => low.operands.push(operand.to_vec()),
            // A server's word without `--server`.
            Word::Long(b"sender") => return Err(Failure::usage()),
            Word::Long(b"daemon" | b"config" | b"dparam" | b"detach" | b"no-detach") => {
                return Err(daemon_words());
            }
            word => match find(word) {
                Some((flag, negated)) => apply(&mut low, flag, negated, &mut parsed)?,
                None if grammar::apply(&mut low.transfer, word, &mut parsed)? => match word {
                    Word::Long(b"no-dirs" | b"no-d") => low.no_dirs = true,
                    Word::Short(b'd') | Word::Long(b"dirs") => low.no_dirs = false,
                    _ => {}
                },
                None => return Err(parsed.unknown().into()),
            },
        }
    }
    // `-h`, or a cluster with it, and nothing else asks for help.
    low.help |= low.dash_h && words.len() == 1;
    Ok(low)
}

/// The client's option of `word`, and whether it is a `--no-` form. Transfer options are left to the grammar.
fn find(word: Word<'_>) -> Option<(&'static Flag, bool)> {
    let mut flags = FLAGS
        .iter()
        .filter(|flag| !matches!(flag.effect, Effect::Transfer));
    match word {
        Word::Operand(_) => None,
        Word::Short(letter) => flags
            .find(|flag| flag.short == Some(letter))
            .map(|flag| (flag, false)),
        Word::Long(name) => {
            let named = |flag: &Flag, name: &[u8]| {
                flag.name.as_bytes() == name
                    || flag.aliases.iter().any(|alias| alias.as_bytes() == name)
            };
            if let Some(flag) = flags.clone().find(|flag| named(flag, name)) {
                return Some((flag, false));
            }
            let name = name.strip_prefix(b"no-")?;
            flags
                .filter(|flag| flag.effect.is_negatable())
                .find(|flag| {
                    named(flag, name) || matches!((name, flag.short), ([a], Some(b)) if *a == b)
                })
                .map(|flag| (flag, true))
        }
    }
}

fn apply(
    low: &mut LowArgs,
    flag: &Flag,
    negated: bool,
    words: &mut Words<'_>,
) -> Result<(), Failure> {
    match flag.effect {
        Effect::Switch(set, _) => set(low, !negated),
        Effect::Value(_, Some(reset)) if negated => reset(low),
        Effect::Value(set, _) => {
            let value = words.value()?;
            set(low, value, words.current())?;
        }
        Effect::Missing { .. } if negated => {}
        Effect::Missing { .. } => return Err(Failure::unsupported(&format!("--{}", flag.name))),
        // `find` does not return these.
        Effect::Transfer => {}
    }
    Ok(())
}

fn daemon_words() -> Failure {
    let mut failure = Failure::new(
        USAGE,
        Role::Client,
        "Daemon option(s) used without --daemon.",
    );
    failure
        .lines
        .push(b"(Type \"rsync --daemon --help\" for assistance with daemon mode.)".to_vec());
    failure
}

#[cfg(test)]
mod tests;
