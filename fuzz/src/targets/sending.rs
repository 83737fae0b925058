//! The engine's sending side against a receiver that says anything: it ends, and sends its own folder only.

use rsync_engine::fs::{Links, SystemNames, Tree};
use rsync_engine::send::{Argument, Everything, Send, Source};

use crate::header::Header;
use crate::session::{Agreed, in_a_folder};
use crate::{lists, recording, vectors};

/// Header: what was agreed on. Then a generator's stream.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let agreed = Agreed::read(&mut header);
    let stream = header.rest();
    in_a_folder(|folder| {
        let session = agreed.session();
        let (input, out) = agreed.streams(&session, stream, false);
        let argument = Argument {
            tree: Tree::open(folder).expect("our own folder"),
            absolute: Vec::new(),
            links: Links::Beneath,
            name: b".".to_vec(),
            implied: false,
            contents: true,
            shown: b"./".to_vec(),
            place: Vec::new(),
        };
        let what = Send {
            source: Source::Arguments(vec![argument]),
            selection: Box::new(Everything),
            names: Box::new(SystemNames::new()),
            munge_links: false,
        };
        if let Err(error) = rsync_engine::send(session, input, out, what) {
            assert_ne!(error.exit_code(), 0);
            assert!(!matches!(error, rsync_engine::Error::Internal { .. }), "{error}");
        }
    });
}

/// The generators of the recordings, and those of a hostile client.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = recording::seeds(|recording| {
        let options = lists::options_of_recording(recording);
        let choices = Agreed::choices(false, false, !recording.pull);
        ([&lists::header_of(&options)[..], &[choices]].concat(), &recording.generator)
    });
    let hostile = vectors::json("security/hostile_receiver.json");
    let options = lists::options_of(rsync_proto::Protocol::V29, 0, 16, &["-r"]);
    for case in hostile["cases"].as_array().into_iter().flatten() {
        let bytes = vectors::hex(case["client_hex"].as_str().unwrap_or_default());
        seeds.push([&lists::header_of(&options)[..], &[0], &bytes].concat());
    }
    seeds.sort();
    seeds.dedup();
    seeds
}
