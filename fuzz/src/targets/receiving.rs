//! The engine's receiving side against a sender that says anything: it ends, and touches its own folder only.

use rsync_engine::fs::{IdMapper, IdPolicy, Links, RelPathBuf, SystemNames, Tree};
use rsync_engine::receive::{Destination, LinkTargets, Receive, Unprotected};

use crate::header::Header;
use crate::session::{Agreed, in_a_folder};
use crate::{lists, recording};

/// Header: what was agreed on. Then a sender's stream.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let agreed = Agreed::read(&mut header);
    let stream = header.rest();
    in_a_folder(|folder| {
        let session = agreed.session();
        let (input, out) = agreed.streams(&session, stream, true);
        let policy = IdPolicy { root: false, ..IdPolicy::of_this_thread(true) };
        let what = Receive {
            destination: Some(Destination::Within {
                tree: Tree::open(folder).expect("our own folder"),
                links: Links::Refuse,
                path: RelPathBuf::root(),
                slash: true,
            }),
            asked_for: None,
            protection: Box::new(Unprotected),
            ids: IdMapper::new(policy, Box::new(SystemNames::new())),
            root: false,
            umask: 0o022,
            link_targets: LinkTargets::AsSent,
        };
        if let Err(error) = rsync_engine::receive(session, input, out, what) {
            assert_ne!(error.exit_code(), 0);
            assert!(!matches!(error, rsync_engine::Error::Internal { .. }), "{error}");
        }
    });
}

/// The senders of the recordings, with and without deletion.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for delete in [false, true] {
        seeds.extend(recording::seeds(|recording| {
            let options = lists::options_of_recording(recording);
            let choices = Agreed::choices(false, delete, recording.pull);
            ([&lists::header_of(&options)[..], &[choices]].concat(), &recording.sender)
        }));
    }
    seeds
}
