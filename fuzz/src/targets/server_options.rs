//! What the arguments of a server mean (01-session 7).

use rsync_engine::options::{Direction, ServerRequest, from_server_args, to_server_args};

use crate::{recording, vectors};

/// Arguments, each ended by NUL; an empty one divides the two passes of secluded arguments.
pub fn run(data: &[u8]) {
    let words: Vec<Vec<u8>> = data.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
    let mut passes = words.split(Vec::is_empty);
    let Some(Ok(mut request)) = passes.next().map(from_server_args) else {
        return;
    };
    if request.secluded && request.add_secluded(passes.next().unwrap_or_default()).is_err() {
        return;
    }
    written_again(&request);
}

/// The vector that we would send for the same options is understood, and means the same from then on.
fn written_again(request: &ServerRequest) {
    let direction = if request.sender { Direction::Pull } else { Direction::Push };
    let write = |request: &ServerRequest| to_server_args(&request.options, direction, 32, &request.paths);
    let words = write(request);
    let again = from_server_args(&words).unwrap_or_else(|error| panic!("{error}: {:?}", shown(&words)));
    assert_eq!(again.sender, request.sender);
    let paths: Vec<&[u8]> =
        request.paths.iter().map(|path| if path.is_empty() { &b"."[..] } else { path }).collect();
    assert_eq!(again.paths, paths);
    assert_eq!(shown(&write(&again)), shown(&words));
}

fn shown(words: &[Vec<u8>]) -> Vec<String> {
    words.iter().map(|word| word.escape_ascii().to_string()).collect()
}

/// The vectors of the recordings and of the captured command lines.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> =
        recording::all().into_iter().map(|recording| recording.arguments.join(&0)).collect();
    let captured = vectors::json_lines("cli/server-args.jsonl");
    seeds.extend(captured.iter().map(|case| vectors::strings(&case["argv"])[1..].join("\0").into_bytes()));
    let captured = vectors::json_lines("cli/daemon-args.jsonl");
    for case in &captured {
        let mut words = vectors::strings(&case["args"]);
        let second = vectors::strings(&case["secluded_args"]);
        if !second.is_empty() {
            words.push("");
            words.extend(second);
        }
        seeds.push(words.join("\0").into_bytes());
    }
    seeds.sort();
    seeds.dedup();
    seeds
}
