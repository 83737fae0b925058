//! The first line of both sides, and what the two come to (01-session 4.1, 4.3, 5.2).

use rsync_proto::Protocol;
use rsync_proto::auth::AuthDigest;
use rsync_proto::greeting::{Greeting, put_greeting};
use rsync_proto::limits;
use rsync_proto::line::read_line;
use rsync_proto::wire::Cursor;

use crate::incremental::one_of_any_split;
use crate::{recording, vectors};

/// Two lines: a client's greeting and a daemon's.
pub fn run(data: &[u8]) {
    let line = |cursor: &mut Cursor<'_>| Ok(read_line(cursor, limits::GREETING_LINE)?.into_owned());
    let Some(first) = one_of_any_split(data, line) else {
        return;
    };
    let Ok(client) = Greeting::parse(&first) else {
        return;
    };
    judge(&client);
    let mut cursor = Cursor::new(data);
    let second = line(&mut cursor).and_then(|_| line(&mut cursor));
    let Some(daemon) = second.ok().and_then(|line| Greeting::parse(&line).ok()) else {
        return;
    };
    judge(&daemon);
    both_choose_the_same(&client, &daemon);
}

/// What is agreed on lies in our range, and our own form of the greeting says the same.
fn judge(greeting: &Greeting) {
    for ours in Protocol::ALL {
        if let Ok(agreed) = greeting.agree(ours) {
            assert!(agreed <= ours && agreed.number() <= greeting.number);
        }
    }
    let Some(protocol) = Protocol::new(greeting.number) else {
        return;
    };
    let digests = greeting.digests.clone().unwrap_or_default();
    let mut line = Vec::new();
    put_greeting(&mut line, protocol, &digests);
    let line = line.strip_suffix(b"\n").expect("a line");
    let again = Greeting::parse(line).expect("our own greeting");
    assert_eq!((again.number, again.sub), (greeting.number, 0));
    let mut sorted = digests;
    sorted.sort_by(|a, b| b.cmp(a));
    sorted.dedup();
    assert_eq!(again.digests, Some(sorted));
}

/// A client that sent the digests of `client` to a daemon that sent those of `daemon`, and the daemon.
fn both_choose_the_same(client: &Greeting, daemon: &Greeting) {
    let (Some(ours), Some(theirs)) = (&client.digests, &daemon.digests) else {
        return;
    };
    let mut sent = Vec::new();
    put_greeting(&mut sent, Protocol::MAX, ours);
    let sent = sent.strip_suffix(b"\n").expect("a line");
    let sent = Greeting::parse(sent).expect("our own greeting");
    for protocol in Protocol::ALL {
        assert_eq!(
            AuthDigest::for_client(ours, daemon, protocol),
            AuthDigest::for_daemon(theirs, &sent, protocol),
        );
    }
}

/// Both greetings of every recording, and those of the authentication vectors.
pub fn seeds() -> Vec<Vec<u8>> {
    let first_line = |bytes: &[u8]| bytes.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default().to_vec();
    let mut seeds: Vec<Vec<u8>> =
        recording::raw().iter().map(|(c2s, s2c)| [first_line(c2s), first_line(s2c)].concat()).collect();
    let table = vectors::text("session/auth.tsv");
    let greetings = table.lines().filter(|line| line.starts_with('@')).filter_map(|line| line.split('\t').next());
    seeds.extend(greetings.map(|line| format!("{line}\n@RSYNCD: 31.0 sha512 md5 md4\n").into_bytes()));
    seeds.push(b"@RSYNCD: 30.14\n@RSYNCD: 29\n".to_vec());
    seeds.sort();
    seeds.dedup();
    seeds
}
