//! Servers of a push that ask for work and go, at each protocol.

use std::fs::File;

use testkit::{HostileReceiver, ScriptedServer};

use crate::run::push_to;

#[test]
fn a_push_ends_with_a_server_that_asked_for_costly_work() {
    let dir = testkit::temp_dir();
    let file = File::create(dir.path().join("big")).expect("a file of ours");
    file.set_len(1 << 40).expect("a file system with holes");
    let source = format!("{}/", dir.path().display());
    for protocol in 29..=32 {
        let server = ScriptedServer::start(1, move |_, mut peer| {
            let receiver = HostileReceiver {
                protocol,
                server: true,
            };
            receiver.accept(&mut peer);
            peer.send(receiver.costly_request(1));
            // The list; at protocol 29 data, since blocks that long are not searched for.
            peer.receive(if protocol == 29 { 256 << 10 } else { 1 });
        });
        let option = format!("--protocol={protocol}");
        let pushed = push_to(&["-r", &option], &[&source], server.addr().port(), "");
        server.finish();
        assert!(
            matches!(pushed.code, 10 | 12),
            "protocol {protocol}: {pushed:?}"
        );
    }
}
