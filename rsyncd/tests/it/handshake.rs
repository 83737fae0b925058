//! vectors/daemon/handshake_replies.json, byte for byte.

use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::sync::Arc;

use rsyncd::limits::Limits;

use crate::harness::{Daemon, Recorder, directory, is_root};

const GREETING: &[u8] = b"@RSYNCD: 31.0 sha512 sha256 sha1 md5 md4\n";

/// The vector's set-up, without the modules whose parameters we refuse.
fn start(vector: &serde_json::Value) -> Daemon {
    let dir = directory();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("mg")).expect("mkdir");
    std::fs::create_dir(at("run")).expect("mkdir");
    symlink("mod", at("lnk_root")).expect("symlink");
    symlink("mod", at("lnk_alice")).expect("symlink");
    lchown(at("lnk_alice"), Some(801), None).expect("lchown");
    std::fs::write(at("run/sec"), "u:pw\n").expect("write");
    std::fs::set_permissions(at("run/sec"), std::fs::Permissions::from_mode(0o600)).expect("chmod");
    let config = vector["config"].as_str().expect("config");
    let (_, modules) = config.split_once("[ok]").expect("modules");
    let unsupported = ["early", "lnkaliceinsecure"];
    let modules: String = format!("[ok]{modules}")
        .split_inclusive('\n')
        .collect::<Vec<_>>()
        .chunk_by(|_, next| !next.starts_with('['))
        .filter(|section| {
            !unsupported
                .iter()
                .any(|name| section[0] == format!("[{name}]\n"))
        })
        .map(<[_]>::concat)
        .collect();
    let limits = Limits {
        auth_delay: std::time::Duration::ZERO,
        auth_failures: 0,
        ..Limits::default()
    };
    Daemon::start(
        Arc::clone(&dir),
        &modules.replace("/srv", "DIR"),
        Arc::new(Recorder::default()),
        limits,
    )
}

/// What the vector's client sent.
fn request(case: &serde_json::Value) -> Option<Vec<u8>> {
    let text = case["request"].as_str().expect("request");
    let name = case["name"].as_str().unwrap_or_default();
    let greeting: &[u8] = match name {
        "greeting garbage" => b"hello\n",
        "greeting without subprotocol (30+)" => b"@RSYNCD: 31\n",
        "greeting 32 without digest list" => b"@RSYNCD: 32.0\n",
        "greeting 29 without subprotocol" => b"@RSYNCD: 29\n",
        "greeting with unknown digests only" => b"@RSYNCD: 31.0 blake9\n",
        _ => GREETING,
    };
    let long = |len: usize| [vec![b'x'; len - 1], b"\n".to_vec()].concat();
    let body = match text {
        "early\n" | "lnkaliceinsecure\n" => return None,
        _ if name == "early input then module" => return None,
        _ if name == "17000 args" => {
            let mut body = b"ok\n".to_vec();
            body.extend((0..17000).flat_map(|i| format!("a{i:05}\0").into_bytes()));
            body
        }
        _ if text.starts_with("(1023 bytes)") => long(1023),
        _ if text.starts_with("(1024 bytes)") => long(1024),
        _ if text.starts_with("(1025 bytes)") => long(1025),
        other => other.as_bytes().to_vec(),
    };
    Some([greeting, &body].concat())
}

#[test]
fn vectors() {
    if !is_root() {
        testkit::skipped("a daemon that changes its identity needs root");
        return;
    }
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../testkit/vectors/daemon/handshake_replies.json"
    );
    let vector: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("vector")).expect("json");
    let mut daemon = start(&vector);
    let root = daemon.dir.path().to_str().expect("text").to_owned();
    let mut cases = Vec::new();
    for case in vector["results"]["replies"].as_array().expect("replies") {
        let Some(request) = request(case) else {
            continue;
        };
        let mut reply = daemon.talk(&request);
        if let Some((before, rest)) = reply.split_once("AUTHREQD ") {
            let (_, after) = rest.split_once('\n').expect("line");
            reply = format!("{before}AUTHREQD <challenge>\n{after}");
        }
        let expected = case["reply"].as_str().expect("reply");
        let (expected, _end) = expected.rsplit_once('<').expect("end");
        let expected: String = expected
            .lines()
            .filter(|l| {
                !["early ", "lnkaliceinsecure"]
                    .iter()
                    .any(|m| l.starts_with(m))
            })
            .flat_map(|l| [l, "\n"])
            .collect();
        assert_eq!(reply, expected, "{case:#}");
        cases.push(case);
    }
    assert_eq!(cases.len(), 36);
    let log = daemon.log();
    for (number, case) in (1..).zip(&cases) {
        let expected: Vec<String> = case["log"]
            .as_array()
            .expect("log")
            .iter()
            .map(|line| line.as_str().expect("line"))
            // Where in its sources rsync was is not told by us, nor which link the module's path went through.
            .map(|line| {
                line.split_once(" at ")
                    .filter(|_| line.starts_with("rsync error"))
                    .map_or(line, |(l, _)| l)
            })
            .filter(|line| !line.starts_with("refusing to follow a symlink"))
            .map(str::to_owned)
            .collect();
        let found: Vec<String> = log[&number]
            .iter()
            .map(|line| line.replace(&root, "/srv"))
            .collect();
        assert_eq!(found, expected, "{case:#}");
    }
}
