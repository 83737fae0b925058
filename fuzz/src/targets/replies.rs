//! The daemon's lines between its greeting and its OK (01-session 4.7, 4.8).

use rsync_proto::replies::{self, Replies, Reply};
use rsync_proto::wire::Cursor;

use crate::incremental::any_split;
use crate::targets::peer_text::shown_safely;
use crate::{recording, vectors};

/// All that a daemon sends after its greeting.
pub fn run(data: &[u8]) {
    let run = any_split(data, || {
        let (mut replies, mut over) = (Replies::new(), false);
        move |cursor: &mut Cursor<'_>| {
            if over {
                return Ok(None);
            }
            let reply = replies.read(cursor)?;
            over = matches!(reply, Reply::Ok | Reply::Exit | Reply::Error(_));
            Ok(Some(reply))
        }
    });
    for reply in &run.events {
        let mut out = Vec::new();
        match reply {
            Reply::Ok => out.extend_from_slice(replies::OK),
            Reply::Exit => out.extend_from_slice(replies::EXIT),
            Reply::Challenge(challenge) => match std::str::from_utf8(challenge) {
                Ok(text) => replies::put_challenge(&mut out, text),
                Err(_) => continue,
            },
            Reply::Error(text) | Reply::Text(text) => {
                shown_safely(text.as_bytes());
                listed_module_again(text.as_bytes());
                replies::put_motd(&mut out, text.as_bytes());
            }
        }
        assert_eq!(Replies::new().read(&mut Cursor::new(&out)).as_ref(), Ok(reply));
    }
}

fn listed_module_again(line: &[u8]) {
    let Some((name, comment)) = replies::parse_listed_module(line) else {
        return;
    };
    let mut out = Vec::new();
    replies::put_listed_module(&mut out, name, comment).expect("parts of a line that was read");
    let again = out.strip_suffix(b"\n").expect("a line");
    assert_eq!(replies::parse_listed_module(again), Some((name, comment)));
}

/// The lines of the recordings, and of the daemon vectors.
pub fn seeds() -> Vec<Vec<u8>> {
    let after_greeting = |bytes: &[u8]| {
        let start = bytes.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        bytes[start..].iter().copied().take(300).collect::<Vec<u8>>()
    };
    let mut seeds: Vec<Vec<u8>> = recording::raw().iter().map(|(_, s2c)| after_greeting(s2c)).collect();
    let cases = vectors::json("daemon/config_cases.json");
    for case in cases["cases"].as_array().into_iter().flatten() {
        let replies = case["result"]["replies"].as_array().into_iter().flatten();
        seeds.extend(replies.filter_map(|reply| Some(after_greeting(reply["reply"].as_str()?.as_bytes()))));
    }
    seeds.push(b"@RSYNCD: AUTHREQD AAAAAAAAAAAAAAAAAAAAAA\n@ERROR: auth failed on module x\n".to_vec());
    seeds.sort();
    seeds.dedup();
    seeds
}
