//! Peers that break rules: the recorded bytes of testkit/vectors, which real daemons and clients judged too.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use rsync_engine::{Cancel, Error, IoClock, NoEvents, Outcome, Session, Trouble};
use rsync_proto::Protocol;
use rsync_proto::mux::put_data;
use rsync_proto::setup::{Capabilities, ClientOffer, CompatFlags, Negotiated, ServerOffer};
use serde_json::Value;
use testkit::TreeSpec;

use crate::faults::snapshot;
use crate::pair::{End, contents, into, options, pipes, read_all, tree};

fn vectors(path: &str) -> String {
    let path = format!("{}/../testkit/vectors/{path}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(path).expect("the vectors are in the tree")
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("hex text");
    // A tail that was cut repeats one letter.
    hex.split(['.', '('])
        .next()
        .unwrap_or_default()
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            let text = std::str::from_utf8(pair).expect("digits");
            u8::from_str_radix(text, 16).expect("digits")
        })
        .collect()
}

fn words(value: &Value) -> Vec<&str> {
    let words = value.as_array().into_iter().flatten();
    words.filter_map(Value::as_str).collect()
}

pub(crate) fn session(words: &[&str], protocol: u32, compat: CompatFlags, client: bool) -> Session {
    let protocol = Protocol::new(protocol).expect("a protocol we have");
    let mut capabilities = Capabilities::current(compat.contains(CompatFlags::INC_RECURSE));
    if !protocol.has_compat_flags() {
        capabilities = Capabilities::default();
    }
    let negotiated = Negotiated::in_process(
        ClientOffer::new(protocol, capabilities),
        ServerOffer::new(protocol, compat, 1),
    )
    .expect("both ends agree");
    Session {
        options: options(words),
        negotiated,
        client,
        events: Arc::new(NoEvents),
        cancel: Cancel::new(),
        clock: Arc::new(IoClock::new(None)),
        trouble: Arc::new(Trouble::default()),
    }
}

/// What our receiving side makes of a stream that ends behind `stream`.
fn receive(session: Session, stream: &[u8], destination: &Path) -> Result<Outcome, Error> {
    let ((input, output), (_keep, mut peer)) = pipes();
    peer.write_all(stream).expect("the pipe holds it");
    drop(peer);
    let end = End {
        session,
        input: Box::new(input),
        output: Box::new(output),
    };
    end.receive(into(destination))
}

/// Whether the peer was refused, as opposed to missed when its bytes ended.
#[track_caller]
fn refused(name: &str, result: &Result<Outcome, Error>) -> bool {
    match result {
        Ok(_) | Err(Error::Disconnected { .. }) => false,
        Err(Error::Protocol(_) | Error::Limit { .. } | Error::Request { .. }) => true,
        Err(error) => panic!("{name}: {error:?}"),
    }
}

#[test]
fn bad_file_lists_are_refused_and_odd_ones_are_not() {
    let mut judged = 0;
    for line in vectors("flist/bad.jsonl").lines() {
        let case: Value = serde_json::from_str(line).expect("json");
        let name = case["name"].as_str().expect("text");
        let words = words(&case["client_options"]);
        if words.iter().any(|word| word.contains(['X', 'A'])) || name == "inc flag not offered" {
            // What we do not have, and what the set-up decides.
            continue;
        }
        judged += 1;
        let protocol = case["protocol"].as_u64().expect("a number") as u32;
        let compat = case["compat_flags"].as_str().expect("hex text");
        let compat = CompatFlags(u32::from_str_radix(compat, 16).expect("digits"));
        let mut stream = Vec::new();
        put_data(&mut stream, &bytes(&case["data_stream_hex"]));
        let dir = testkit::temp_dir();
        let result = receive(session(&words, protocol, compat, true), &stream, dir.path());
        let refuse = case["recommended"] == "refuse" && name != "truncated";
        assert_eq!(refused(name, &result), refuse, "{name}: {result:?}");
    }
    assert!(judged > 50, "{judged} cases");
}

#[test]
fn hostile_pushers_change_nothing() {
    let cases: Value =
        serde_json::from_str(&vectors("security/hostile_pusher.json")).expect("json");
    for case in cases["cases"].as_array().expect("cases") {
        let name = case["name"].as_str().expect("text");
        let dir = testkit::temp_dir();
        let module = dir.path().join("module");
        TreeSpec::new().file("keep/k", "kept").build(&module);
        let mut words = words(&case["options"]);
        words.push("--whole-file");
        let compat = CompatFlags::default();
        let session = session(&words, 29, compat, false);
        let result = receive(session, &bytes(&case["client_hex"]), &module);
        // We are stricter than rsync here: 02-file-list 13.3 and 5.7.
        let stricter = ["NUL inside the name", "link target length 0"];
        let refuse = case["daemons"]["3.5.0"]["outcome"] == "refused" || stricter.contains(&name);
        // The link that comes before the entry below it.
        let made = usize::from(name.starts_with("link, then"));
        let described = case["client_hex"]
            .as_str()
            .is_some_and(|hex| hex.starts_with('('));
        if !described {
            assert_eq!(refused(name, &result), refuse, "{name}: {result:?}");
        }
        let after = snapshot(&module);
        assert_eq!(after[Path::new("keep/k")], b"kept", "{name}");
        if refuse {
            assert!(after.len() <= 2 + made, "{name}: {:?}", after.keys());
        }
        assert_eq!(
            snapshot(dir.path())
                .keys()
                .filter(|path| !path.starts_with("module"))
                .count(),
            0
        );
    }
}

/// What our sender makes of a client's bytes, and what it sent.
fn serve(session: Session, stream: &[u8], module: &Path) -> (Result<Outcome, Error>, Vec<u8>) {
    let ((input, output), (answers, mut peer)) = pipes();
    let stream = stream.to_vec();
    let reader = std::thread::spawn(move || read_all(answers));
    peer.write_all(&stream).expect("the pipe holds it");
    drop(peer);
    let end = End {
        session,
        input: Box::new(input),
        output: Box::new(output),
    };
    let result = end.send(contents(&tree(module)));
    let sent = reader.join().expect("no panic").expect("a pipe");
    (result, sent)
}

#[test]
fn hostile_pullers_are_refused() {
    let dir = testkit::temp_dir();
    TreeSpec::new()
        .random_file("f", 7, 1000)
        .dir("d")
        .build(dir.path());
    let content = fs::read(dir.path().join("f")).expect("ours");
    let cases: Value =
        serde_json::from_str(&vectors("security/hostile_receiver.json")).expect("json");
    for case in cases["cases"].as_array().expect("cases") {
        let name = case["name"].as_str().expect("text");
        let mut stream = bytes(&case["client_hex"]);
        let length = case["client_len"].as_u64().expect("a number") as usize;
        if stream.len() < length {
            // Behind a long name follows an empty sum head.
            stream.resize(length - 16, b'x');
            stream.resize(length, 0);
        }
        let session = session(&["-r"], 29, CompatFlags::default(), false);
        let (result, sent) = serve(session, &stream, dir.path());
        // We read the sums of a count that we do not keep, so that there is no limit to refuse.
        let patient = ["count 2^31-1", "count 2^27, no sums follow"];
        let outcome = case["daemons"]["3.5.0"]["outcome"].as_str().expect("text");
        let refuse = outcome == "refused" && !patient.contains(&name);
        assert_eq!(refused(name, &result), refuse, "{name}: {result:?}");
        let served = sent.windows(content.len()).any(|window| window == content);
        assert_eq!(served, outcome == "accepted", "{name}");
        assert_eq!(
            result.is_ok(),
            outcome == "normal end",
            "{name}: {result:?}"
        );
    }
}

#[test]
fn the_keep_alive_of_old_receivers_is_no_item() {
    let dir = testkit::temp_dir();
    TreeSpec::new().file("f", "content").build(dir.path());
    let keep_alive = [2_i32.to_le_bytes().as_slice(), &0x2000_u16.to_le_bytes()].concat();
    let done = (-1_i32).to_le_bytes();
    // One between the phases, one before the goodbye.
    let stream = [&keep_alive[..], &done, &done, &done, &keep_alive, &done].concat();
    let served = session(&["-r"], 29, CompatFlags::default(), false);
    let (result, _) = serve(served, &stream, dir.path());
    assert!(result.is_ok(), "{result:?}");
    let behind = [&3_i32.to_le_bytes()[..], &0x2000_u16.to_le_bytes()].concat();
    let served = session(&["-r"], 29, CompatFlags::default(), false);
    let (result, _) = serve(served, &behind, dir.path());
    assert!(matches!(result, Err(Error::Protocol(_))), "{result:?}");
}
