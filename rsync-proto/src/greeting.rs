//! The first line of both sides, and the protocol number that follows from the two (01-session 4.1, 4.3).

use crate::auth::AuthDigest;
use crate::error::{DecodeError, Unsupported, Violation};
use crate::limits;
use crate::names;
use crate::version::Protocol;

/// A peer's greeting: `@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The highest protocol that the peer offers, any number. [`agree`](Self::agree) judges it.
    pub number: u32,
    /// Its sub-version, 0 for every release. 0 also if the line has none, which only old peers may send.
    pub sub: u32,
    /// The digests of the peer's list that we know, in its order. `None` without a list; an empty list is not
    /// the same (01-session 5.2).
    pub digests: Option<Vec<AuthDigest>>,
}

impl Greeting {
    /// Parses a line, without its newline.
    ///
    /// # Errors
    /// [`Violation::NoGreeting`], [`Violation::GreetingWithoutSubversion`],
    /// [`Violation::GreetingWithoutDigests`].
    pub fn parse(line: &[u8]) -> Result<Self, Violation> {
        let rest = line.strip_prefix(PREFIX).ok_or(Violation::NoGreeting)?;
        let (version, list) = match rest.iter().position(|&byte| byte == b' ') {
            Some(at) => {
                let (version, list) = rest.split_at(at);
                (version, list.get(1..))
            }
            None => (rest, None),
        };
        let (number, version) = leading_number(version).ok_or(Violation::NoGreeting)?;
        let sub = version.strip_prefix(b".").and_then(leading_number);
        if sub.is_none() && number >= FIRST_WITH_SUBVERSION {
            return Err(Violation::GreetingWithoutSubversion);
        }
        if list.is_none() && number >= FIRST_WITH_DIGESTS {
            return Err(Violation::GreetingWithoutDigests);
        }
        Ok(Self {
            number,
            sub: sub.map_or(0, |(sub, _)| sub),
            digests: list.map(|list| {
                let kept = list.get(..limits::DIGEST_LIST).unwrap_or(list);
                names::parse_list(kept)
            }),
        })
    }

    /// The protocol of the session, if we offered `ours`: the lower of both, less one if the peer runs a
    /// pre-release of it.
    ///
    /// # Errors
    /// [`Violation::ProtocolNumber`] for a number that no rsync accepts, [`Unsupported::Protocol`] for a result
    /// that we do not speak.
    pub fn agree(&self, ours: Protocol) -> Result<Protocol, DecodeError> {
        let number = self.number;
        if !PLAUSIBLE_NUMBERS.contains(&number) {
            return Err(Violation::ProtocolNumber { number }.into());
        }
        let number = if number > ours.number() {
            ours.number()
        } else if self.sub != 0 {
            number - 1
        } else {
            number
        };
        Protocol::new(number).ok_or_else(|| Unsupported::Protocol { number }.into())
    }
}

/// Appends our greeting, the same for client and daemon, with its newline. The digests are put into the only
/// order that works with every peer (01-session 5.2).
pub fn put_greeting(out: &mut Vec<u8>, protocol: Protocol, digests: &[AuthDigest]) {
    let list = names::list(digests);
    out.extend_from_slice(PREFIX);
    out.extend_from_slice(format!("{protocol}.0 {list}\n").as_bytes());
}

/// The decimal number at the front, kept at `u32::MAX` if it is larger, and what follows it.
fn leading_number(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at_checked(digits).filter(|_| digits > 0)?;
    let number = number.iter().fold(0_u32, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    });
    Some((number, rest))
}

const PREFIX: &[u8] = b"@RSYNCD: ";
const FIRST_WITH_SUBVERSION: u32 = 30;
const FIRST_WITH_DIGESTS: u32 = 32;
/// What rsync 3.5.0 takes for a protocol number at all.
const PLAUSIBLE_NUMBERS: std::ops::RangeInclusive<u32> = 20..=40;

#[cfg(test)]
mod tests {
    use super::*;
    use AuthDigest::{Md4, Md5, Sha1, Sha256, Sha512};
    use proptest::prelude::*;

    type Row = (&'static [u8], u32, Option<Vec<AuthDigest>>);

    #[test]
    fn greetings_of_every_release() {
        let openssl = vec![Sha512, Sha256, Sha1, Md5, Md4];
        let rows: [Row; 6] = [
            (b"@RSYNCD: 29", 29, None),
            (b"@RSYNCD: 30.0", 30, None),
            (b"@RSYNCD: 31.0", 31, None),
            (b"@RSYNCD: 31.0 md5 md4", 31, Some(vec![Md5, Md4])),
            (
                b"@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4",
                32,
                Some(openssl),
            ),
            (b"@RSYNCD: 32.0 BLAKE9 Sha1 ", 32, Some(vec![Sha1])),
        ];
        for (line, number, digests) in rows {
            let greeting = Greeting {
                number,
                sub: 0,
                digests,
            };
            assert_eq!(Greeting::parse(line), Ok(greeting));
        }
        let empty = Greeting::parse(b"@RSYNCD: 31.0 ").unwrap();
        assert_eq!(empty.digests, Some(vec![]));
    }

    #[test]
    fn refusals() {
        let rows: [(&[u8], Violation); 8] = [
            (b"", Violation::NoGreeting),
            (b"SSH-2.0-OpenSSH_9.2", Violation::NoGreeting),
            (b"@RSYNCD: ", Violation::NoGreeting),
            (b"@RSYNCD:31.0", Violation::NoGreeting),
            (b"@RSYNCD: x31.0", Violation::NoGreeting),
            (b"@RSYNCD: 30", Violation::GreetingWithoutSubversion),
            (b"@RSYNCD: 31. md5", Violation::GreetingWithoutSubversion),
            (b"@RSYNCD: 32.0", Violation::GreetingWithoutDigests),
        ];
        for (line, violation) in rows {
            assert_eq!(Greeting::parse(line), Err(violation), "{line:?}");
        }
    }

    #[test]
    fn versions_agree_on_the_lower() {
        let rows: [(&[u8], u32, Option<u32>); 11] = [
            (b"@RSYNCD: 32.0 md5", 32, Some(32)),
            (b"@RSYNCD: 32.0 md5", 30, Some(30)),
            (b"@RSYNCD: 31.0", 32, Some(31)),
            (b"@RSYNCD: 29", 32, Some(29)),
            (b"@RSYNCD: 40.0 md5", 32, Some(32)),
            // Pre-releases.
            (b"@RSYNCD: 31.14", 32, Some(30)),
            (b"@RSYNCD: 31.14", 31, Some(30)),
            (b"@RSYNCD: 33.1 md5", 32, Some(32)),
            (b"@RSYNCD: 29.1", 32, None),
            (b"@RSYNCD: 41.0 md5", 32, None),
            (b"@RSYNCD: 99999999999.0 md5", 32, None),
        ];
        for (line, ours, agreed) in rows {
            let ours = Protocol::new(ours).unwrap();
            let got = Greeting::parse(line).unwrap().agree(ours);
            assert_eq!(got.ok().map(Protocol::number), agreed, "{line:?}");
        }
        let old = Greeting::parse(b"@RSYNCD: 27")
            .unwrap()
            .agree(Protocol::MAX);
        assert_eq!(old, Err(Unsupported::Protocol { number: 27 }.into()));
        let weird = Greeting::parse(b"@RSYNCD: 19")
            .unwrap()
            .agree(Protocol::MAX);
        assert_eq!(weird, Err(Violation::ProtocolNumber { number: 19 }.into()));
    }

    #[test]
    fn our_greeting_is_rsyncs() {
        let mut out = Vec::new();
        put_greeting(&mut out, Protocol::V32, &[Md4, Md5, Sha1, Sha256, Sha512]);
        assert_eq!(out, b"@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4\n");
    }

    proptest! {
        #[test]
        fn arbitrary_lines_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..40)) {
            let line = [PREFIX, &tail].concat();
            if let Ok(greeting) = Greeting::parse(&line) {
                let _ = greeting.agree(Protocol::MAX);
            }
        }

        #[test]
        fn our_greetings_parse(digests in proptest::sample::subsequence(vec![Sha512, Sha256, Sha1, Md5, Md4], 0..=5)) {
            for protocol in Protocol::ALL {
                let mut out = Vec::new();
                put_greeting(&mut out, protocol, &digests);
                let got = Greeting::parse(out.strip_suffix(b"\n").unwrap()).unwrap();
                prop_assert_eq!((got.number, got.sub), (protocol.number(), 0));
                prop_assert_eq!(got.digests.as_ref(), Some(&digests));
                prop_assert_eq!(got.agree(Protocol::MAX), Ok(protocol));
            }
        }
    }
}
