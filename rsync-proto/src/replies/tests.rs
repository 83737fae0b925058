use super::*;
use proptest::prelude::*;

fn read(bytes: &[u8]) -> Result<Reply, DecodeError> {
    Replies::new().read(&mut Cursor::new(bytes))
}

#[test]
fn replies() {
    let text = |line: &[u8]| Reply::Text(PeerText(line.to_vec()));
    let rows: [(&[u8], Reply); 8] = [
        (OK, Reply::Ok),
        (b"@RSYNCD: OK\r\n", Reply::Ok),
        (EXIT, Reply::Exit),
        (
            b"@RSYNCD: AUTHREQD a b=\n",
            Reply::Challenge(b"a b=".to_vec()),
        ),
        (
            b"@ERRORS happen\n",
            Reply::Error(PeerText(b"@ERRORS happen".to_vec())),
        ),
        (b"@RSYNCD: OK \n", text(b"@RSYNCD: OK ")),
        (b"@RSYNCD: xyz\n", text(b"@RSYNCD: xyz")),
        (b"\n", text(b"")),
    ];
    for (bytes, reply) in rows {
        assert_eq!(read(bytes), Ok(reply));
    }
}

#[test]
fn the_second_challenge_is_refused() {
    let mut replies = Replies::new();
    let mut cursor = Cursor::new(b"@RSYNCD: AUTHREQD a\n@RSYNCD: AUTHREQD b\n");
    replies.read(&mut cursor).unwrap();
    let got = replies.read(&mut cursor);
    assert_eq!(got, Err(Violation::SecondChallenge.into()));
}

#[test]
fn text_before_the_session_is_bounded() {
    let mut replies = Replies::new();
    let line = [&[b'x'; 4095][..], b"\n"].concat();
    for _ in 0..limits::TEXT_BEFORE_OK / line.len() {
        replies.read(&mut Cursor::new(&line)).unwrap();
    }
    let max = limits::TEXT_BEFORE_OK;
    let got = replies.read(&mut Cursor::new(&line));
    assert_eq!(got, Err(Violation::TextFlood { max }.into()));
    let long = vec![b'x'; limits::TEXT_LINE + 1];
    let max = limits::TEXT_LINE;
    assert_eq!(read(&long), Err(Violation::LineTooLong { max }.into()));
}

#[test]
fn bytes_after_ok_are_left() {
    let mut cursor = Cursor::new(b"@RSYNCD: OK\n\x81\xff");
    assert_eq!(Replies::new().read(&mut cursor), Ok(Reply::Ok));
    assert_eq!(cursor.rest(), b"\x81\xff");
}

#[test]
fn listed_modules() {
    let mut out = Vec::new();
    put_listed_module(&mut out, b"mod", b"test module").unwrap();
    put_listed_module(&mut out, b"a-name-of-more-than-15", b"").unwrap();
    assert_eq!(
        out,
        b"mod            \ttest module\na-name-of-more-than-15\t\n"
    );
    let parsed: Vec<_> = out
        .split(|&b| b == b'\n')
        .map(parse_listed_module)
        .collect();
    assert_eq!(
        parsed,
        [
            Some((&b"mod"[..], &b"test module"[..])),
            Some((b"a-name-of-more-than-15", b"")),
            None,
        ]
    );
    assert_eq!(parse_listed_module(b"too\tshort"), None);
    assert!(put_listed_module(&mut out, b"a\nb", b"").is_err());
}

/// The texts of 01-session 4.8, and of the recorded replies of rsync 3.5.0.
#[test]
fn refusals_are_rsyncs() {
    let denied = Refusal::AccessDenied {
        module: b"denied",
        host: b"UNDETERMINED",
        address: b"127.0.0.1",
    };
    let rows: [(Refusal<'_>, &str); 17] = [
        (Refusal::StartUp, "protocol startup error"),
        (
            Refusal::NoSubversion(b"@RSYNCD: 30"),
            "your client omitted the subprotocol value: @RSYNCD: 30",
        ),
        (
            Refusal::NoDigests(b"@RSYNCD: 32.0"),
            "your client omitted the digest name list: @RSYNCD: 32.0",
        ),
        (Refusal::EarlyInputLength, "invalid early_input length"),
        (Refusal::UnknownCommand(b"#frob"), "Unknown command '#frob'"),
        (Refusal::UnknownModule(b"nosuch"), "Unknown module 'nosuch'"),
        (
            denied,
            "access denied to denied from UNDETERMINED (127.0.0.1)",
        ),
        (Refusal::LockFile, "failed to open lock file"),
        (
            Refusal::MaxConnections(-1),
            "max connections (-1) reached -- try again later",
        ),
        (
            Refusal::NoCommonDigest(b"sha512 sha256"),
            "your client does not support one of our daemon-auth checksums: sha512 sha256",
        ),
        (Refusal::AuthFailed(b"data"), "auth failed on module data"),
        (Refusal::InvalidUid(b"nosuchuser"), "invalid uid nosuchuser"),
        (Refusal::InvalidGid(b"nosuchgrp"), "invalid gid nosuchgrp"),
        (Refusal::InvalidGidSetting, "invalid gid setting."),
        (Refusal::NoPath, "no path setting."),
        (Refusal::Failed("chdir"), "chdir failed"),
        (
            Refusal::SecurityIssue,
            "daemon security issue -- contact admin",
        ),
    ];
    for (refusal, text) in rows {
        let mut out = Vec::new();
        refusal.put(&mut out);
        assert_eq!(out, format!("@ERROR: {text}\n").as_bytes());
        assert!(matches!(read(&out), Ok(Reply::Error(_))));
    }
}

proptest! {
    #[test]
    fn prefixes_change_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut replies = Replies::new();
        let mut cursor = Cursor::new(&bytes);
        if replies.read(&mut cursor).is_ok() {
            let used = cursor.position();
            for cut in 0..used {
                let mut cursor = Cursor::new(&bytes[..cut]);
                prop_assert_eq!(Replies::new().read(&mut cursor), Err(DecodeError::Incomplete));
                prop_assert_eq!(cursor.position(), 0);
            }
        }
    }
}
