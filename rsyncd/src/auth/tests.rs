use std::os::unix::fs::{PermissionsExt as _, chown};

use super::*;

/// The set-up of vectors/daemon/auth_rules.json.
struct Vector {
    json: serde_json::Value,
    secrets: Vec<u8>,
}

impl Vector {
    fn read() -> Self {
        let text = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../testkit/vectors/daemon/auth_rules.json"
        ))
        .expect("vector");
        let json: serde_json::Value = serde_json::from_str(&text).expect("json");
        let secrets = json["secrets_file"]
            .as_str()
            .expect("secrets")
            .replace("<2000 x L>", &"L".repeat(2000));
        // Non-ASCII text of the vector stands for bytes.
        let secrets = secrets
            .chars()
            .map(|c| u8::try_from(u32::from(c)).expect("byte"))
            .collect();
        Self { json, secrets }
    }
}

fn groups(user: &str) -> Vec<Vec<u8>> {
    let names: &[&str] = match user {
        "alice" => &["alice", "team", "extra one"],
        "bob" => &["bob", "team"],
        _ => &[],
    };
    names.iter().map(|n| n.as_bytes().to_vec()).collect()
}

fn login(
    rules: &str,
    user: &str,
    password: &[u8],
    secrets: &[u8],
) -> Result<Option<Access>, Failure> {
    Login {
        rules: &UserRules::new(rules.as_bytes()),
        user: user.as_bytes(),
        groups: &groups(user),
        secrets: Ok(secrets),
        matches: &|candidate| candidate == password,
        decoy: b"\0",
    }
    .decide()
}

#[test]
fn vectors() {
    let vector = Vector::read();
    let mut evaluated = 0;
    for case in vector.json["push_cases"].as_array().expect("cases") {
        let text = |name: &str| case[name].as_str().expect("text");
        let (module, user, password) = (text("module"), text("user"), text("password"));
        let password: Vec<u8> = match password.split_once(" x \"L\"") {
            Some((count, _)) => vec![b'L'; count.parse().expect("count")],
            // A client sends what it was given: UTF-8.
            None => password.as_bytes().to_vec(),
        };
        let rules = vector.json["modules"][module].as_str().expect("rules");
        let rules = rules.split("  (").next().expect("rules");
        let log = case["log"][0].as_str().expect("log");
        let found = if UserRules::new(rules.as_bytes()).required() {
            login(rules, user, &password, &vector.secrets)
        } else {
            Ok(None)
        };
        // Ours differs on purpose: an unknown option denies (04-daemon 22, row 5).
        let unknown_option = module == "m8" && matches!(user, "dave" | "eve");
        match (found, text("outcome")) {
            (Err(failure), _) if unknown_option => assert_eq!(failure, Failure::DeniedByRule),
            (Err(failure), "auth failed") => {
                assert!(
                    log.ends_with(&format!(": {failure}")),
                    "{case:#}: {failure}"
                );
            }
            (Ok(access), outcome) => {
                let writable = match access {
                    Some(access) => access == Access::ReadWrite,
                    None => module != "ro",
                };
                let expected = if writable {
                    "authenticated, read/write"
                } else {
                    "authenticated, read only"
                };
                assert_eq!(outcome, expected, "{case:#}");
            }
            (Err(failure), outcome) => panic!("{outcome} expected, {failure} found: {case:#}"),
        }
        evaluated += 1;
    }
    assert_eq!(evaluated, 52);
}

#[test]
fn modes_of_the_secrets_file() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("secrets");
    std::fs::write(&path, "u:p\n").expect("write");
    let vector = Vector::read();
    let mut evaluated = 0;
    for case in vector.json["secrets_file_modes"].as_array().expect("cases") {
        let mode = case["mode"]
            .as_str()
            .expect("mode")
            .trim_start_matches("0o");
        let mode = u32::from_str_radix(mode, 8).expect("octal");
        let foreign = case["owner"].as_str().expect("owner") != "root";
        chown(&path, Some(if foreign { 65534 } else { 0 }), None).expect("chown");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
        let expected = case["outcome"] == "authenticated, read/write";
        assert_eq!(read_secrets(&path, true).is_ok(), expected, "{case:#}");
        assert!(
            read_secrets(&path, false).is_ok(),
            "without strict modes: {case:#}"
        );
        evaluated += 1;
    }
    assert_eq!(evaluated, 12);
}

#[test]
fn a_missing_file_is_no_secrets_file() {
    for path in ["", "/nonexistent/secrets", "/"] {
        let (failure, _) = read_secrets(Path::new(path), true).expect_err(path);
        assert_eq!(failure, Failure::NoSecretsFile);
    }
}

#[test]
fn leading_comma_splits_at_commas_only() {
    for (value, expected) in [
        ("a b,c\td", vec!["a", "b", "c", "d"]),
        (", @extra one:rw , * ,", vec!["@extra one:rw", "*"]),
        (",", vec![]),
    ] {
        let found: Vec<_> = words(value.as_bytes())
            .map(|w| String::from_utf8_lossy(w).into_owned())
            .collect();
        assert_eq!(found, expected, "{value}");
    }
    // D-5: the deny of a name with a space is not split off.
    assert_eq!(
        login(", @extra one:deny, *", "alice", b"apw", b"alice:apw"),
        Err(Failure::DeniedByRule)
    );
}

#[test]
fn every_login_computes_two_responses() {
    let count = std::cell::Cell::new(0);
    for (rules, user, secrets) in [
        ("alice", "alice", Ok(&b"alice:x"[..])),
        ("alice", "nobody", Ok(b"alice:x")),
        ("alice:deny", "alice", Ok(b"alice:x")),
        ("@team", "alice", Ok(b"alice:x\n@team:y")),
        ("alice", "alice", Err(Failure::NoSecretsFile)),
        ("*", "#alice", Ok(b"#alice:x")),
    ] {
        count.set(0);
        let _ = Login {
            rules: &UserRules::new(rules.as_bytes()),
            user: user.as_bytes(),
            groups: &groups(user),
            secrets,
            matches: &|_| {
                count.set(count.get() + 1);
                false
            },
            decoy: b"",
        }
        .decide();
        assert_eq!(count.get(), 2, "{rules} {user}");
    }
}
