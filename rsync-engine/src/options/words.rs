//! Cuts a list of words into options, values and operands (06-client 1.1).

use super::{OptionError, error::text};

/// One item of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// One letter of a `-xyz` cluster.
    Short(u8),
    /// A `--name`, without the dashes and without `=value`.
    Long(&'a [u8]),
    /// Not an option: a path, a lone `-`, or anything after `--`.
    Operand(&'a [u8]),
}

/// Walks over words. Letters of a cluster come one by one, [`Words::value`] takes the value of the option
/// just seen. No abbreviations; a value left over is an error.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    words: &'a [Vec<u8>],
    /// The word that errors name: the option's, or the one its value was taken from.
    current: &'a [u8],
    /// What is left of the current cluster.
    cluster: &'a [u8],
    /// The `=value` of the current long option.
    attached: Option<&'a [u8]>,
    only_operands: bool,
}

impl<'a> Words<'a> {
    /// Starts before the first word.
    pub fn new(words: &'a [Vec<u8>]) -> Self {
        Self {
            words,
            current: &[],
            cluster: &[],
            attached: None,
            only_operands: false,
        }
    }

    /// The next item, or `None` at the end.
    ///
    /// # Errors
    /// [`OptionError::UnexpectedArgument`] if the last option had a value that was not taken.
    pub fn next_word(&mut self) -> Result<Option<Word<'a>>, OptionError> {
        if self.attached.is_some() || self.cluster.first() == Some(&b'=') {
            return Err(OptionError::UnexpectedArgument {
                word: text(self.current),
            });
        }
        if let Some((&letter, rest)) = self.cluster.split_first() {
            self.cluster = rest;
            return Ok(Some(Word::Short(letter)));
        }
        let Some((word, rest)) = self.words.split_first() else {
            return Ok(None);
        };
        self.words = rest;
        self.current = word;
        if self.only_operands {
            return Ok(Some(Word::Operand(word)));
        }
        match word.as_slice() {
            b"--" => {
                self.only_operands = true;
                self.next_word()
            }
            [b'-', b'-', name @ ..] => {
                let end = name.iter().position(|&byte| byte == b'=');
                self.attached = end.map(|end| &name[end + 1..]);
                Ok(Some(Word::Long(&name[..end.unwrap_or(name.len())])))
            }
            [b'-', letter, rest @ ..] => {
                self.cluster = rest;
                Ok(Some(Word::Short(*letter)))
            }
            operand => Ok(Some(Word::Operand(operand))),
        }
    }

    /// The value of the option just returned: the rest of its word, minus one leading `=`, else the next
    /// word whatever it looks like.
    ///
    /// # Errors
    /// [`OptionError::MissingArgument`] at the end of the words.
    pub fn value(&mut self) -> Result<&'a [u8], OptionError> {
        if let Some(value) = self.attached.take() {
            return Ok(value);
        }
        if !self.cluster.is_empty() {
            let rest = std::mem::take(&mut self.cluster);
            return Ok(rest.strip_prefix(b"=").unwrap_or(rest));
        }
        let Some((word, rest)) = self.words.split_first() else {
            return Err(OptionError::MissingArgument {
                word: text(self.current),
            });
        };
        self.words = rest;
        self.current = word;
        Ok(word)
    }

    /// The word that a message about the current option names.
    pub fn current(&self) -> &'a [u8] {
        self.current
    }

    /// All words that were not looked at yet.
    pub fn rest(&self) -> &'a [Vec<u8>] {
        self.words
    }

    /// The error for an option that is not known.
    pub fn unknown(&self) -> OptionError {
        OptionError::Unknown {
            word: text(self.current),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Vec<Vec<u8>> {
        list.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn clusters_values_and_operands() {
        let list = words(&[
            "-avB=700",
            "src",
            "-",
            "--port=1=2",
            "--rsh",
            "-x",
            "--",
            "-z",
        ]);
        let mut parsed = Words::new(&list);
        let mut next = || parsed.next_word().unwrap();
        assert_eq!(next(), Some(Word::Short(b'a')));
        assert_eq!(next(), Some(Word::Short(b'v')));
        assert_eq!(next(), Some(Word::Short(b'B')));
        assert_eq!(parsed.value().unwrap(), b"700");
        assert_eq!(parsed.next_word().unwrap(), Some(Word::Operand(b"src")));
        assert_eq!(parsed.next_word().unwrap(), Some(Word::Operand(b"-")));
        assert_eq!(parsed.next_word().unwrap(), Some(Word::Long(b"port")));
        assert_eq!(parsed.value().unwrap(), b"1=2");
        assert_eq!(parsed.next_word().unwrap(), Some(Word::Long(b"rsh")));
        assert_eq!(parsed.value().unwrap(), b"-x");
        assert_eq!(parsed.next_word().unwrap(), Some(Word::Operand(b"-z")));
        assert_eq!(parsed.next_word().unwrap(), None);
    }

    #[test]
    fn leftover_and_missing_values() {
        for word in ["--archive=1", "-a=1"] {
            let list = words(&[word]);
            let mut parsed = Words::new(&list);
            parsed.next_word().unwrap();
            assert_eq!(
                parsed.next_word(),
                Err(OptionError::UnexpectedArgument {
                    word: word.to_owned()
                })
            );
        }
        let list = words(&["--exclude"]);
        let mut parsed = Words::new(&list);
        parsed.next_word().unwrap();
        assert_eq!(
            parsed.value(),
            Err(OptionError::MissingArgument {
                word: "--exclude".to_owned()
            })
        );
    }
}
