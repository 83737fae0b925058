//! What a client says to a daemon before its arguments: greeting, early input, module, response (01-session 4, 5).

use rsync_proto::auth::{AuthDigest, parse_response, put_response};
use rsync_proto::greeting::Greeting;
use rsync_proto::line::read_line;
use rsync_proto::request::{Request, put_early_input, put_module};
use rsync_proto::wire::Cursor;
use rsync_proto::{DecodeError, limits};

use crate::incremental::any_split;
use crate::{recording, vectors};

/// A daemon's end that asks everyone for a password.
#[derive(Debug, Clone, Copy)]
enum State {
    Greeting,
    Request,
    EarlyInput(usize),
    Response,
    Over,
}

#[derive(Debug, PartialEq)]
enum Event {
    Greeting(Greeting),
    Line(Vec<u8>),
    EarlyInput(Vec<u8>),
    Response(Vec<u8>, Vec<u8>),
}

impl State {
    fn step(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<Event>, DecodeError> {
        let event = match *self {
            Self::Greeting => {
                let line = read_line(cursor, limits::GREETING_LINE)?;
                *self = Self::Request;
                Event::Greeting(Greeting::parse(&line)?)
            }
            Self::Request => {
                let line = read_line(cursor, limits::GREETING_LINE)?;
                *self = match Request::parse(&line)? {
                    Request::EarlyInput(len) => Self::EarlyInput(len),
                    Request::Module(_) => Self::Response,
                    Request::List | Request::Unknown(_) => Self::Over,
                };
                Event::Line(line.into_owned())
            }
            Self::EarlyInput(len) => {
                let input = cursor.take(len)?.to_vec();
                *self = Self::Request;
                Event::EarlyInput(input)
            }
            Self::Response => {
                let line = read_line(cursor, limits::TEXT_LINE)?;
                *self = Self::Over;
                let (user, response) = parse_response(&line)?;
                Event::Response(user.to_vec(), response.to_vec())
            }
            Self::Over => return Ok(None),
        };
        Ok(Some(event))
    }
}

/// All that a client sends before its arguments.
pub fn run(data: &[u8]) {
    let run = any_split(data, || {
        let mut state = State::Greeting;
        move |cursor: &mut Cursor<'_>| state.step(cursor)
    });
    for event in run.events {
        match event {
            Event::Greeting(_) => {}
            Event::Line(line) => module_again(&line),
            Event::EarlyInput(input) => early_input_again(&input),
            Event::Response(user, response) => response_again(&user, &response),
        }
    }
}

fn module_again(line: &[u8]) {
    let mut out = Vec::new();
    if let Ok(Request::Module(name)) = Request::parse(line)
        && put_module(&mut out, name).is_ok()
    {
        assert_eq!(out.strip_suffix(b"\n"), Some(line));
    }
}

fn early_input_again(input: &[u8]) {
    let mut out = Vec::new();
    put_early_input(&mut out, input).expect("as long as one that was read");
    let mut cursor = Cursor::new(&out);
    let line = read_line(&mut cursor, limits::GREETING_LINE).expect("a line");
    assert_eq!(Request::parse(&line), Ok(Request::EarlyInput(input.len())));
    assert_eq!(cursor.rest(), input);
}

fn response_again(user: &[u8], response: &[u8]) {
    assert!(!user.is_empty() && !user.contains(&b' '));
    let digests = [AuthDigest::OldMd4].into_iter().chain(AuthDigest::ALL);
    let accepted = digests.filter(|digest| digest.verify(b"s3cret", b"challenge", response)).count();
    assert!(accepted <= 1);
    if let Ok(text) = std::str::from_utf8(response) {
        let mut out = Vec::new();
        put_response(&mut out, user, text).expect("a user that was read");
        assert_eq!(parse_response(out.strip_suffix(b"\n").expect("a line")), Ok((user, response)));
    }
}

/// The lines of the recordings, and of the vectors of authentication and early input.
pub fn seeds() -> Vec<Vec<u8>> {
    let lines = |bytes: &[u8]| {
        let mut seed = Vec::new();
        for line in bytes.split_inclusive(|&byte| byte == b'\n').take(3) {
            seed.extend_from_slice(line.get(..200).unwrap_or(line));
        }
        seed
    };
    let mut seeds: Vec<Vec<u8>> = recording::raw().iter().map(|(c2s, _)| lines(c2s)).collect();
    let table = vectors::text("session/auth.tsv");
    let responses = table.lines().filter(|line| line.starts_with('@')).filter_map(|line| line.split('\t').nth(6));
    seeds.extend(responses.map(|line| format!("@RSYNCD: 31.0 sha512\nmod\n{line}\n").into_bytes()));
    let digest = AuthDigest::Sha256.response(b"s3cret", b"challenge");
    seeds.push(format!("@RSYNCD: 31.0\nmod\nalice {digest}\n").into_bytes());
    seeds.push(b"@RSYNCD: 32.0 md5\n#early_input=5\nhellomod\nalice x\n".to_vec());
    seeds.push(b"@RSYNCD: 32.0 md5\n#list\n".to_vec());
    seeds.sort();
    seeds.dedup();
    seeds
}
