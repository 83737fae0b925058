//! Authentication of a client at a daemon (01-session 5).
//!
//! The daemon sends a challenge, the client answers with a digest over password and challenge. Which digest is
//! named nowhere: both sides derive it from the two greetings. Nothing here makes random numbers.

use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use md4::Md4;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use crate::error::{EncodeError, Unsupported, Violation};
use crate::greeting::Greeting;
use crate::line::check_part;
use crate::names::{self, WireName};
use crate::version::Protocol;

/// A digest over the password, ordered by strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthDigest {
    /// MD4 after four zero bytes: protocol 29 without a list. Not for lists.
    OldMd4,
    /// MD4, from a list.
    Md4,
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl AuthDigest {
    /// Every digest that a list can name, strongest first.
    pub const ALL: [Self; 5] = [Self::Sha512, Self::Sha256, Self::Sha1, Self::Md5, Self::Md4];

    /// The name in lists; empty for [`OldMd4`](Self::OldMd4).
    #[must_use]
    pub fn name(self) -> &'static str {
        self.wire_name()
    }

    /// The digest of that name, in any case.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::from_wire(name)
    }

    /// The list of these digests as a greeting has it.
    #[must_use]
    pub fn list(digests: &[Self]) -> String {
        names::list(digests)
    }

    /// What a client uses that sent the list `ours` and got `daemon` as greeting.
    ///
    /// # Errors
    /// [`Unsupported::NoCommonDigest`].
    pub fn for_client(
        ours: &[Self],
        daemon: &Greeting,
        protocol: Protocol,
    ) -> Result<Self, Unsupported> {
        Self::choose(daemon, protocol, |theirs| {
            names::first_common(&names::in_order(ours), theirs)
        })
    }

    /// What a daemon uses that sent the list `ours` and got `client` as greeting. The choice of the client
    /// decides, whatever its version (01-session 5.2).
    ///
    /// # Errors
    /// [`Unsupported::NoCommonDigest`].
    pub fn for_daemon(
        ours: &[Self],
        client: &Greeting,
        protocol: Protocol,
    ) -> Result<Self, Unsupported> {
        Self::choose(client, protocol, |theirs| names::first_common(theirs, ours))
    }

    fn choose(
        peer: &Greeting,
        protocol: Protocol,
        common: impl Fn(&[Self]) -> Option<Self>,
    ) -> Result<Self, Unsupported> {
        match &peer.digests {
            Some(theirs) => common(theirs).ok_or(Unsupported::NoCommonDigest),
            None if protocol.defaults_to_md5() => Ok(Self::Md5),
            None => Ok(Self::OldMd4),
        }
    }

    /// The response to a challenge, which is its text as it came, not decoded.
    #[must_use]
    pub fn response(self, password: &[u8], challenge: &[u8]) -> String {
        fn digest<D: Digest>(parts: [&[u8]; 3]) -> String {
            let mut digest = D::new();
            for part in parts {
                digest.update(part);
            }
            STANDARD_NO_PAD.encode(digest.finalize())
        }
        match self {
            Self::OldMd4 => digest::<Md4>([&[0; 4], password, challenge]),
            Self::Md4 => digest::<Md4>([&[], password, challenge]),
            Self::Md5 => digest::<Md5>([&[], password, challenge]),
            Self::Sha1 => digest::<Sha1>([&[], password, challenge]),
            Self::Sha256 => digest::<Sha256>([&[], password, challenge]),
            Self::Sha512 => digest::<Sha512>([&[], password, challenge]),
        }
    }

    /// Whether `response` is the one to `challenge`. Takes the same time wherever they differ.
    #[must_use]
    pub fn verify(self, password: &[u8], challenge: &[u8], response: &[u8]) -> bool {
        same(self.response(password, challenge).as_bytes(), response)
    }
}

impl WireName for AuthDigest {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("sha512", Self::Sha512),
        ("sha256", Self::Sha256),
        ("sha1", Self::Sha1),
        ("md5", Self::Md5),
        ("md4", Self::Md4),
    ];
}

/// The text of a challenge, from 16 to 64 fresh random bytes.
#[must_use]
pub fn challenge(random: &[u8]) -> String {
    debug_assert!((16..=64).contains(&random.len()));
    STANDARD_NO_PAD.encode(random)
}

/// Appends the client's line of user name and response.
///
/// # Errors
/// For a user name that is empty or has a space or a line end inside.
pub fn put_response(out: &mut Vec<u8>, user: &[u8], response: &str) -> Result<(), EncodeError> {
    let what = "user name";
    if user.is_empty() {
        return Err(EncodeError::Empty { what });
    }
    check_part(what, user)?;
    if user.contains(&b' ') {
        return Err(EncodeError::ForbiddenByte { what, byte: b' ' });
    }
    out.extend_from_slice(user);
    out.push(b' ');
    out.extend_from_slice(response.as_bytes());
    out.push(b'\n');
    Ok(())
}

/// User name and response of the client's line, without its newline.
///
/// # Errors
/// [`Violation::ResponseWithoutUser`].
pub fn parse_response(line: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    let at = line.iter().position(|&byte| byte == b' ');
    match at.and_then(|at| line.split_at_checked(at)) {
        Some((user, [_, response @ ..])) if !user.is_empty() => Ok((user, response)),
        _ => Err(Violation::ResponseWithoutUser),
    }
}

/// Whether two byte strings are equal, in a time that depends on their lengths only.
fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = a
        .iter()
        .zip(b)
        .fold(0, |seen, (a, b)| black_box(seen | (a ^ b)));
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use AuthDigest::{Md4, Md5, OldMd4, Sha1, Sha256, Sha512};

    const VECTORS: &str = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../testkit/vectors/session/auth.tsv"
    ));

    #[test]
    fn golden_rows() {
        let mut rows = 0;
        for line in VECTORS.lines().filter(|l| !l.starts_with('#')) {
            let fields: Vec<&str> = line.split('\t').collect();
            let [greeting, protocol, _, user, password, challenge, expected] = fields[..] else {
                panic!("row {line:?}");
            };
            let protocol = Protocol::new(protocol.parse().unwrap()).unwrap();
            let daemon = Greeting::parse(greeting.as_bytes()).unwrap();
            let digest = AuthDigest::for_client(&AuthDigest::ALL, &daemon, protocol).unwrap();
            let response = digest.response(password.as_bytes(), challenge.as_bytes());
            let mut out = Vec::new();
            put_response(&mut out, user.as_bytes(), &response).unwrap();
            assert_eq!(out, format!("{expected}\n").as_bytes(), "{line}");

            let line = out.strip_suffix(b"\n").unwrap();
            let (parsed, response) = parse_response(line).unwrap();
            assert_eq!(parsed, user.as_bytes());
            assert!(digest.verify(password.as_bytes(), challenge.as_bytes(), response));
            assert!(!digest.verify(b"wrong", challenge.as_bytes(), response));
            assert!(!digest.verify(password.as_bytes(), b"other", response));
            assert!(!digest.verify(password.as_bytes(), challenge.as_bytes(), &response[1..]));
            rows += 1;
        }
        assert_eq!(rows, 7);
    }

    fn greeting(digests: Option<&[AuthDigest]>) -> Greeting {
        Greeting {
            number: 31,
            sub: 0,
            digests: digests.map(<[_]>::to_vec),
        }
    }

    #[test]
    fn both_sides_choose_the_same() {
        // Daemon's list, client's list, digest.
        let rows: [(&[AuthDigest], &[AuthDigest], Option<AuthDigest>); 4] = [
            (&AuthDigest::ALL, &AuthDigest::ALL, Some(Sha512)),
            (&[Md5, Md4], &AuthDigest::ALL, Some(Md5)),
            (&[Md4, Sha1], &[Sha256, Sha1, Md4], Some(Sha1)),
            (&[Sha512], &[Md5, Md4], None),
        ];
        for (daemon, client, digest) in rows {
            for protocol in Protocol::ALL {
                let got = AuthDigest::for_client(client, &greeting(Some(daemon)), protocol);
                assert_eq!(got.ok(), digest);
                let got = AuthDigest::for_daemon(daemon, &greeting(Some(client)), protocol);
                assert_eq!(got.ok(), digest);
            }
        }
        for (protocol, digest) in [(Protocol::V29, OldMd4), (Protocol::V30, Md5)] {
            let got = AuthDigest::for_daemon(&AuthDigest::ALL, &greeting(None), protocol);
            assert_eq!(got, Ok(digest));
        }
        let empty = AuthDigest::for_client(&[Md5], &greeting(Some(&[])), Protocol::V31);
        assert_eq!(empty, Err(Unsupported::NoCommonDigest));
    }

    #[test]
    fn strength_orders_digests() {
        assert!(AuthDigest::ALL.is_sorted_by(|a, b| a > b));
        assert!(OldMd4 < Md4);
    }

    #[test]
    fn response_lines() {
        assert_eq!(parse_response(b"a b c"), Ok((&b"a"[..], &b"b c"[..])));
        for line in [&b""[..], b"alice", b" x"] {
            assert_eq!(parse_response(line), Err(Violation::ResponseWithoutUser));
        }
        for user in [&b""[..], b"a b", b"a\n"] {
            assert!(put_response(&mut Vec::new(), user, "x").is_err());
        }
        assert_eq!(challenge(&[0; 16]), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Sha256.name(), "sha256");
    }
}
