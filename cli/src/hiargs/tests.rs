//! The command line as a whole, against what rsync said.

use rsync_engine::options::{Direction, daemon_path_arg, to_server_args};

use super::*;
use crate::flags::parse;

fn words(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn hi(list: &[&str]) -> Result<HiArgs, Failure> {
    HiArgs::new(parse(&words(list))?)
}

fn vector(name: &str) -> String {
    std::fs::read_to_string(format!(
        "{}/../testkit/vectors/cli/{name}",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
}

/// The blocks of usage-errors.txt that fail before a connection is made: same lines, code and role.
#[test]
fn captured_errors() {
    let mut checked = 0;
    for block in crate::testing::blocks(&vector("usage-errors.txt")) {
        let Ok(low) = parse(&block.words) else {
            continue;
        };
        let Err(failure) = HiArgs::new(low) else {
            continue;
        };
        if failure.lines[0].ends_with(b"not supported yet by syncline") {
            continue;
        }
        checked += 1;
        // Protocols below 29 do not exist here, so the text differs.
        if block.command.starts_with("--protocol=19") {
            assert_eq!(failure.code, 2);
            continue;
        }
        let shown: Vec<_> = failure
            .lines
            .iter()
            .map(|line| String::from_utf8_lossy(line))
            .collect();
        let (text, last): (Vec<&str>, Vec<&str>) = block
            .stderr
            .iter()
            .partition(|line| !line.starts_with("rsync error:"));
        assert_eq!(shown, text, "{}", block.command);
        assert_eq!(i32::from(failure.code), block.exit, "{}", block.command);
        let role = if failure.code == 2 {
            "[sender=".to_owned()
        } else {
            format!("[{}=", role_name(failure.role))
        };
        assert!(last[0].contains(&role), "{}: {last:?}", block.command);
    }
    assert_eq!(checked, 16);
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Sender => "sender",
        Role::Receiver | Role::Generator => "Receiver",
    }
}

/// What the parser makes of the captured command lines, as the daemon would see it.
#[test]
fn captured_daemon_args() {
    let mut reproduced = 0;
    for line in vector("daemon-args.jsonl").lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let strings = |key: &str| -> Vec<String> {
            line[key]
                .as_array()
                .unwrap()
                .iter()
                .map(|word| word.as_str().unwrap().to_owned())
                .collect()
        };
        let command = strings("command");
        let command: Vec<&str> = command[1..].iter().map(String::as_str).collect();
        let args = match hi(&command) {
            Ok(args) => args,
            Err(failure) => {
                assert_eq!(failure.code, 4, "{command:?}: {failure:?}");
                continue;
            }
        };
        let (direction, daemon, module, paths) = match &args.job {
            Job::Push {
                daemon,
                module,
                path,
                ..
            } => (Direction::Push, daemon, module.clone(), vec![path.clone()]),
            Job::Pull {
                daemon,
                module,
                paths,
                ..
            } => (Direction::Pull, daemon, module.clone(), paths.clone()),
            Job::ListModules { daemon } => (Direction::Pull, daemon, Vec::new(), vec![Vec::new()]),
            Job::Local { .. } => panic!("{command:?} is not local"),
        };
        assert_eq!(
            line["module_line"].as_str().unwrap().trim_end().as_bytes(),
            module,
            "{command:?}"
        );
        if let Some(user) = &daemon.user {
            assert_eq!(
                line["user"].as_str().unwrap().as_bytes(),
                user,
                "{command:?}"
            );
        }
        let paths: Vec<_> = paths
            .iter()
            .map(|path| daemon_path_arg(&module, path))
            .collect();
        let sent = to_server_args(
            &args.options,
            direction,
            args.options.protocol.unwrap_or(32),
            &paths,
        );
        let sent: Vec<_> = sent
            .iter()
            .map(|arg| String::from_utf8_lossy(arg))
            .collect();
        assert_eq!(sent, strings("args"), "{command:?}");
        reproduced += 1;
    }
    assert_eq!(reproduced, 14);
}

#[test]
fn jobs() {
    let job = |list: &[&str]| hi(list).unwrap().job;
    assert_eq!(
        job(&["-a", "src/", "./watch"]),
        Job::Local {
            sources: words(&["src/"]),
            dest: Some(b"./watch".to_vec())
        }
    );
    assert_eq!(
        job(&["src"]),
        Job::Local {
            sources: words(&["src"]),
            dest: None
        }
    );
    assert_eq!(
        job(&["--list-only", "a", "b", "c"]),
        Job::Local {
            sources: words(&["a", "b"]),
            dest: None
        }
    );
    let daemon = |port| Daemon {
        user: None,
        host: "h".to_owned(),
        port,
    };
    assert_eq!(
        job(&["--port=7", "h::"]),
        Job::ListModules { daemon: daemon(7) }
    );
    assert_eq!(
        job(&["--port=7", "rsync://h:8/m/p", "::q", "d"]),
        Job::Pull {
            daemon: daemon(8),
            module: b"m".to_vec(),
            paths: words(&["m/p", "q"]),
            dest: Some(b"d".to_vec())
        }
    );
    assert_eq!(
        job(&["a", "b", "h::m"]),
        Job::Push {
            sources: words(&["a", "b"]),
            daemon: daemon(873),
            module: b"m".to_vec(),
            path: b"m".to_vec()
        }
    );
}

#[test]
fn derived_options() {
    let options = |list: &[&str]| hi(list).unwrap().options;
    let listing = options(&["src"]);
    assert!(listing.list_only == ListOnly::Implied && listing.dirs);
    assert!(!options(&["--no-d", "src"]).dirs);
    assert!(!options(&["-r", "src"]).dirs);
    assert_eq!(options(&["-a", "a", "b"]).whole_file, Some(true));
    assert_eq!(options(&["-a", "--no-W", "a", "b"]).whole_file, Some(false));
    assert_eq!(options(&["-a", "a", "h::m"]).whole_file, None);
    assert_eq!(
        options(&["--out-format=%n", "a", "h::m"])
            .log_format
            .as_deref(),
        Some(&b"X"[..])
    );
    assert_eq!(
        options(&["-v", "--out-format=%n", "a", "h::m"]).log_format,
        None
    );

    let output = |list: &[&str]| hi(list).unwrap().output;
    assert_eq!(output(&["-a", "a", "b"]).format, None);
    assert!(output(&["-ai", "a", "b"]).format.is_some() && !output(&["-ai", "a", "b"]).header);
    assert!(output(&["-a", "--progress", "a", "b"]).header && !output(&["-v", "a", "b"]).header);
    assert!(!output(&["-an", "--progress", "a", "b"]).progress);
    assert!(output(&["-a", "--stats", "a", "b"]).summary);
}

#[test]
fn refused_forms() {
    let failure = |list: &[&str]| hi(list).unwrap_err();
    let shell = failure(&["-a", "src", "host:dst"]);
    assert_eq!(shell.code, 4);
    assert_eq!(
        shell.lines[0],
        b"rsync: host:dst: a remote shell (SSH) is not supported yet by syncline"
    );
    assert_eq!(
        failure(&["-a", "-z", "src", "h::m"]).lines[0],
        b"rsync: --compress: not supported yet by syncline"
    );
    assert_eq!(
        failure(&["--", "-h::m", "d"]).lines[0],
        b"Invalid remote host: hostnames may not start with '-'."
    );
    assert_eq!(failure(&["-c", "--cc=md5,none", "a", "b"]).code, 4);
    assert_eq!(failure(&["--protocol=28", "a", "b"]).code, 2);
    assert_eq!(failure(&["-v"]), Failure::usage());
}
