//! The argument vector on its way to a daemon (01-session 7.1, 7.9). What the arguments mean is not known here.

use crate::error::{DecodeError, EncodeError, Violation};
use crate::limits;
use crate::version::Protocol;
use crate::wire::Cursor;

/// Collects the arguments of one pass.
///
/// An incremental decoder: it takes what there is, so a long vector is not read over and over.
#[derive(Debug, Clone)]
pub struct ArgumentsReader {
    separator: u8,
    arguments: Vec<Vec<u8>>,
    current: Vec<u8>,
    bytes: usize,
}

impl ArgumentsReader {
    /// For the first pass, or the only one.
    #[must_use]
    pub fn new(protocol: Protocol) -> Self {
        Self::separated_by(separator(protocol))
    }

    /// For the second pass of secluded arguments, NUL-terminated at every protocol. Its first argument is a
    /// dummy program name, which [`read`](Self::read) leaves in.
    #[must_use]
    pub fn second_pass() -> Self {
        Self::separated_by(0)
    }

    fn separated_by(separator: u8) -> Self {
        Self {
            separator,
            arguments: Vec::new(),
            current: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes bytes from the cursor up to the end of the vector, and gives the arguments then. On Incomplete all
    /// the bytes have been taken and kept: call again with the next ones only.
    ///
    /// # Errors
    /// Incomplete; [`Violation::TooManyArguments`], [`Violation::ArgumentTooLong`],
    /// [`Violation::ArgumentsTooLong`]; [`Violation::NulInside`] where newlines separate.
    pub fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<Vec<Vec<u8>>, DecodeError> {
        loop {
            let input = cursor.rest();
            let end = input.iter().position(|&byte| byte == self.separator);
            let piece = cursor.take(end.unwrap_or(input.len()))?;
            self.append(piece)?;
            if end.is_none() {
                return Err(DecodeError::Incomplete);
            }
            self.bytes += cursor.take(1)?.len();
            if self.current.is_empty() {
                return Ok(std::mem::take(&mut self.arguments));
            }
            if self.arguments.len() == limits::ARGUMENTS {
                let max = limits::ARGUMENTS;
                return Err(Violation::TooManyArguments { max }.into());
            }
            self.arguments.push(std::mem::take(&mut self.current));
        }
    }

    fn append(&mut self, piece: &[u8]) -> Result<(), Violation> {
        if self.current.len() + piece.len() > limits::ARGUMENT_LEN {
            let max = limits::ARGUMENT_LEN;
            return Err(Violation::ArgumentTooLong { max });
        }
        self.bytes += piece.len();
        if self.bytes > limits::ARGUMENT_BYTES {
            let max = limits::ARGUMENT_BYTES;
            return Err(Violation::ArgumentsTooLong { max });
        }
        if self.separator == 0 {
            self.current.extend_from_slice(piece);
            return Ok(());
        }
        if piece.contains(&0) {
            return Err(Violation::NulInside);
        }
        let kept = piece.iter().filter(|&&byte| byte != b'\r');
        self.current.extend(kept);
        Ok(())
    }
}

/// Whether the first pass asks for secluded arguments: then a second pass follows, without any reply between
/// (01-session 7.9). Understands the first pass as clients write it: flags, one cluster, no value of its own.
#[must_use]
pub fn second_pass_follows(first: &[Vec<u8>]) -> bool {
    first.iter().any(|argument| match &argument[..] {
        b"--secluded-args" | b"--protect-args" => true,
        [b'-', b'-', ..] => false,
        [b'-', letters @ ..] => letters
            .iter()
            .take_while(|letter| !TAKE_VALUE.contains(letter))
            .any(|&letter| letter == b's'),
        _ => false,
    })
}

/// Appends the vector of an ordinary session.
///
/// # Errors
/// For an argument without a form: empty, too long, with the separator inside. `out` may have grown.
pub fn put_arguments<A: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    protocol: Protocol,
    arguments: &[A],
) -> Result<(), EncodeError> {
    put_pass(out, separator(protocol), arguments)
}

/// Appends both passes of secluded arguments. `second` comes without the dummy program name.
///
/// # Errors
/// As [`put_arguments`]; an empty argument of the second pass is sent as `.`, as rsync does.
pub fn put_secluded_arguments<A: AsRef<[u8]>, B: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    protocol: Protocol,
    first: &[A],
    second: &[B],
) -> Result<(), EncodeError> {
    put_arguments(out, protocol, first)?;
    let mut pass: Vec<&[u8]> = vec![PROGRAM];
    pass.extend(second.iter().map(|argument| match argument.as_ref() {
        b"" => b".",
        argument => argument,
    }));
    put_pass(out, 0, &pass)
}

fn put_pass<A: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    separator: u8,
    arguments: &[A],
) -> Result<(), EncodeError> {
    let what = "argument";
    if arguments.len() > limits::ARGUMENTS {
        return Err(EncodeError::TooMany {
            what: "arguments",
            max: limits::ARGUMENTS,
        });
    }
    for argument in arguments {
        let argument = argument.as_ref();
        if argument.is_empty() {
            return Err(EncodeError::Empty { what });
        }
        if argument.len() > limits::ARGUMENT_LEN {
            return Err(EncodeError::TooLong {
                what,
                len: argument.len(),
                max: limits::ARGUMENT_LEN,
            });
        }
        // Nobody reads a NUL where newlines separate, and carriage returns are dropped there.
        let forbidden: &[u8] = if separator == 0 { b"\0" } else { b"\0\n\r" };
        if let Some(&byte) = argument.iter().find(|byte| forbidden.contains(byte)) {
            return Err(EncodeError::ForbiddenByte { what, byte });
        }
        out.extend_from_slice(argument);
        out.push(separator);
    }
    out.push(separator);
    Ok(())
}

fn separator(protocol: Protocol) -> u8 {
    if protocol.nul_separates_arguments() {
        0
    } else {
        b'\n'
    }
}

/// The dummy program name in front of a second pass.
const PROGRAM: &[u8] = b"rsync";
/// Letters of a cluster whose value is the rest of it (01-session 7.10).
const TAKE_VALUE: &[u8] = b"@BefMT";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(protocol: Protocol, bytes: &[u8]) -> Result<Vec<Vec<u8>>, DecodeError> {
        ArgumentsReader::new(protocol).read(&mut Cursor::new(bytes))
    }

    #[test]
    fn caps() {
        let longest = [&[b'x'; limits::ARGUMENT_LEN][..], b"\0\0"].concat();
        assert!(read(Protocol::V32, &longest).is_ok());
        let too_long = vec![b'x'; limits::ARGUMENT_LEN + 1];
        let max = limits::ARGUMENT_LEN;
        let got = read(Protocol::V32, &too_long);
        assert_eq!(got, Err(Violation::ArgumentTooLong { max }.into()));

        let most = [b"x\0".repeat(limits::ARGUMENTS), vec![0]].concat();
        assert_eq!(read(Protocol::V32, &most).unwrap().len(), limits::ARGUMENTS);
        let too_many = b"x\0".repeat(limits::ARGUMENTS + 1);
        let max = limits::ARGUMENTS;
        let got = read(Protocol::V32, &too_many);
        assert_eq!(got, Err(Violation::TooManyArguments { max }.into()));

        let too_much = [&[b'x'; 5000][..], b"\0"].concat().repeat(840);
        let max = limits::ARGUMENT_BYTES;
        let got = read(Protocol::V32, &too_much);
        assert_eq!(got, Err(Violation::ArgumentsTooLong { max }.into()));
        assert_eq!(
            read(Protocol::V29, b"a\0b\n"),
            Err(Violation::NulInside.into())
        );
    }

    #[test]
    fn bytes_after_the_vector_are_left() {
        let mut cursor = Cursor::new(b"-r\0.\0m/\0\0\x1exxh128");
        let arguments = ArgumentsReader::new(Protocol::V31)
            .read(&mut cursor)
            .unwrap();
        assert_eq!(arguments, [&b"-r"[..], b".", b"m/"]);
        assert_eq!(cursor.rest(), b"\x1exxh128");
    }

    #[test]
    fn arguments_without_a_form() {
        let long = vec![b'x'; limits::ARGUMENT_LEN + 1];
        for argument in [&b""[..], b"a\0b", &long] {
            assert!(put_arguments(&mut Vec::new(), Protocol::V32, &[argument]).is_err());
        }
        for argument in [&b"a\nb"[..], b"a\rb", b"a\0b"] {
            assert!(put_arguments(&mut Vec::new(), Protocol::V29, &[argument]).is_err());
        }
        let many = vec![b"x"; limits::ARGUMENTS + 1];
        assert!(put_arguments(&mut Vec::new(), Protocol::V32, &many).is_err());
    }

    #[test]
    fn secluded_arguments_are_announced() {
        let rows: [(&[&str], bool); 8] = [
            (&["--server", "-sltre.iLsfxCIvu"], true),
            (&["--server", "-ltre.iLsfxCIvu"], false),
            (&["--server", "--sender", "-r", "-s"], true),
            (&["--server", "--secluded-args"], true),
            (&["--server", "--stats"], false),
            (&["--server", "-B700s"], false),
            (&["--server", ".", "s/"], false),
            (&[], false),
        ];
        for (arguments, follows) in rows {
            let first: Vec<Vec<u8>> = arguments.iter().map(|a| a.as_bytes().to_vec()).collect();
            assert_eq!(second_pass_follows(&first), follows, "{arguments:?}");
        }
    }

    #[test]
    fn empty_arguments_of_the_second_pass() {
        let mut out = Vec::new();
        put_secluded_arguments(&mut out, Protocol::V31, &["--server", "-s"], &["", "a b/"])
            .unwrap();
        assert_eq!(out, b"--server\0-s\0\0rsync\0.\0a b/\0\0");
    }

    proptest! {
        #[test]
        fn vectors_round_trip_at_every_split(
            arguments in proptest::collection::vec(proptest::collection::vec(32_u8.., 1..20), 0..6),
            split: proptest::sample::Index,
        ) {
            for protocol in Protocol::ALL {
                let mut bytes = Vec::new();
                put_arguments(&mut bytes, protocol, &arguments).unwrap();
                let (head, tail) = bytes.split_at(split.index(bytes.len()));
                let mut reader = ArgumentsReader::new(protocol);
                prop_assert_eq!(reader.read(&mut Cursor::new(head)), Err(DecodeError::Incomplete));
                let got = reader.read(&mut Cursor::new(tail));
                prop_assert_eq!(got.as_ref(), Ok(&arguments));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            for protocol in Protocol::ALL {
                let _ = read(protocol, &bytes);
            }
        }
    }
}
