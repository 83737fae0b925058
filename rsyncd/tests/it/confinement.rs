//! A session really runs as its module says, through the daemon's own start-up (05-security D-9).

use std::fs;
use std::net::Shutdown;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::Arc;
use std::sync::mpsc::channel;

use rsync_engine::fs::NameService as _;
use rsyncd::limits::Limits;
use rsyncd::session::{Regime, SessionEnd, SessionRequest};
use rustix::fs::{Mode, OFlags};

use crate::harness::{Daemon, Run, directory, is_root};

const REQUEST: &[u8] = b"@RSYNCD: 31.0 md5\nm\n--server\0-r\0.\0m/\0\0";

/// Serves one session of a module with these parameters and gives what `look` finds in it.
fn in_session<T: Send + 'static>(
    parameters: &str,
    look: impl Fn(&mut SessionRequest) -> T + Send + Sync + 'static,
) -> T {
    let dir = directory();
    let module = dir.path().join("mod");
    fs::set_permissions(&module, fs::Permissions::from_mode(0o777)).expect("chmod");
    fs::write(module.join("secret"), "secret").expect("write");
    fs::set_permissions(module.join("secret"), fs::Permissions::from_mode(0o600)).expect("chmod");
    fs::write(dir.path().join("outside"), "public").expect("write");
    let (found, result) = channel();
    let found = std::sync::Mutex::new(found);
    let run = move |mut request: SessionRequest| {
        found
            .lock()
            .expect("lock")
            .send(look(&mut request))
            .expect("test waits");
        let _ = request.stream.shutdown(Shutdown::Both);
        SessionEnd::default()
    };
    let config = format!("[m]\npath = DIR/mod\nread only = no\n{parameters}");
    let daemon = Daemon::start(dir, &config, Arc::new(Run(run)), Limits::default());
    let reply = daemon.talk(REQUEST);
    assert!(reply.ends_with("@RSYNCD: OK\n"), "{reply}");
    let found = result.recv().expect("session");
    drop(daemon);
    assert!(
        rustix::process::geteuid().is_root(),
        "the process is root still"
    );
    found
}

fn reads(request: &SessionRequest, name: &str) -> bool {
    rustix::fs::openat(request.root.root(), name, OFlags::RDONLY, Mode::empty()).is_ok()
}

/// Lines of a thread's status that tell who it is.
const IDENTITY: [&str; 7] = [
    "Uid:",
    "Gid:",
    "Groups:",
    "CapPrm:",
    "CapEff:",
    "NoNewPrivs:",
    "Seccomp:",
];

#[test]
fn a_module_of_another_user() {
    if !is_root() {
        testkit::skipped("a daemon that changes its identity needs root");
        return;
    }
    let parameters = "uid = 65534\ngid = 65534 12345\n";
    let (readable, outside, owner, name) = in_session(parameters, |request| {
        let secret = reads(request, "secret");
        let absolute = [&request.module_path[..], b"/../outside"].concat();
        let outside = rustix::fs::open(&absolute[..], OFlags::RDONLY, Mode::empty()).is_ok();
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let made = rustix::fs::openat(
            request.root.root(),
            "made",
            flags,
            Mode::from_raw_mode(0o644),
        )
        .expect("create");
        let owner = fs::File::from(made)
            .metadata()
            .map(|m| (m.uid(), m.gid()))
            .expect("stat");
        let name = request.names.user_name(0).map(<[u8]>::to_vec);
        (secret, outside, owner, name)
    });
    assert!(!readable, "a file of root");
    assert!(!outside, "a public file outside the module");
    assert_eq!(owner, (65534, 65534));
    assert_eq!(name.as_deref(), Some(&b"root"[..]), "names are still known");
}

#[test]
fn who_the_threads_are() {
    if !is_root() {
        testkit::skipped("a daemon that changes its identity needs root");
        return;
    }
    // Without Landlock the thread could read its status itself; with it, ask the kernel from outside.
    let (tid, go) = (channel(), channel::<()>());
    let (send_tid, tids) = tid;
    let (let_go, wait) = go;
    let (send_tid, wait) = (std::sync::Mutex::new(send_tid), std::sync::Mutex::new(wait));
    let dir = directory();
    let run = move |request: SessionRequest| {
        let own = rustix::thread::gettid().as_raw_nonzero().get();
        let child = std::thread::Builder::new()
            .spawn(move || rustix::thread::gettid().as_raw_nonzero().get());
        let _ = child.expect("thread").join().expect("no panic");
        send_tid
            .lock()
            .expect("lock")
            .send(own)
            .expect("test waits");
        let _ = wait.lock().expect("lock").recv();
        drop(request);
        SessionEnd::default()
    };
    let config = "[m]\npath = DIR/mod\nuid = 65534\ngid = 65534 12345\n";
    let daemon = Daemon::start(dir, config, Arc::new(Run(run)), Limits::default());
    let reply = daemon.talk(REQUEST);
    assert!(reply.ends_with("@RSYNCD: OK\n"), "{reply}");
    let session = tids.recv().expect("session");
    // `None` for a thread that is gone.
    let of = |tid: i32| -> Option<Vec<String>> {
        let text = fs::read_to_string(format!("/proc/self/task/{tid}/status")).ok()?;
        let line = |l: &str| l.split_whitespace().collect::<Vec<_>>().join(" ");
        let wanted = text
            .lines()
            .filter(|l| IDENTITY.iter().any(|w| l.starts_with(w)));
        Some(wanted.map(line).collect())
    };
    assert_eq!(
        of(session).expect("the session waits"),
        [
            "Uid: 0 65534 0 65534",
            "Gid: 65534 65534 65534 65534",
            "Groups: 12345 65534",
            "CapPrm: 0000000000000000",
            "CapEff: 0000000000000000",
            "NoNewPrivs: 1",
            "Seccomp: 2",
        ]
    );
    // Every other thread of the daemon is root, too.
    for task in fs::read_dir("/proc/self/task").expect("tasks") {
        let tid: i32 = task
            .expect("task")
            .file_name()
            .into_string()
            .expect("text")
            .parse()
            .expect("number");
        // Other tests run beside this one and confine their own threads.
        let Ok(comm) = fs::read_to_string(format!("/proc/self/task/{tid}/comm")) else {
            continue;
        };
        if ["tokio", "log", "names"]
            .iter()
            .any(|name| comm.starts_with(name))
        {
            let root = |lines: Vec<String>| lines.contains(&"Uid: 0 0 0 0".to_owned());
            assert!(of(tid).is_none_or(root), "{comm}");
        }
    }
    drop(let_go);
    drop(daemon);
}

#[test]
fn a_module_of_root_in_a_new_root() {
    if !is_root() {
        testkit::skipped("a daemon that changes its identity needs root");
        return;
    }
    let parameters = "uid = root\ngid = root\nuse chroot = yes\n";
    let (regime, munge, numeric, secret, etc) = in_session(parameters, |request| {
        let etc = rustix::fs::stat("/etc").is_ok();
        (
            request.regime,
            request.munge_symlinks,
            request.numeric_ids,
            reads(request, "secret"),
            etc,
        )
    });
    assert_eq!((regime, munge, numeric), (Regime::Chroot, false, true));
    assert!(secret, "root reads it");
    assert!(!etc, "the old root is out of sight");
}

#[test]
fn regimes_without_chroot() {
    if !is_root() {
        testkit::skipped("a daemon that changes its identity needs root");
        return;
    }
    let look = |request: &mut SessionRequest| {
        (request.regime, request.munge_symlinks, request.numeric_ids)
    };
    assert_eq!(
        in_session("uid = 65534\n", look),
        (Regime::Plain, true, false)
    );
    let set = "uid = 65534\nmunge symlinks = no\nnumeric ids = yes\n";
    assert_eq!(in_session(set, look), (Regime::Plain, false, true));
}
