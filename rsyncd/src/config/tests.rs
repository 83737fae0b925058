use std::collections::BTreeMap;
use std::io;

use super::*;

/// Files in memory.
struct Memory(BTreeMap<&'static str, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let name = path.to_str().expect("name");
        self.0
            .get(name)
            .cloned()
            .ok_or_else(|| io::Error::from_raw_os_error(2))
    }

    fn directory(&self, path: &Path) -> io::Result<Option<Vec<Vec<u8>>>> {
        let prefix = format!("{}/", path.to_str().expect("name"));
        let names: Vec<Vec<u8>> = self
            .0
            .keys()
            .filter_map(|name| Some(name.strip_prefix(&prefix)?.as_bytes().to_vec()))
            .collect();
        if !names.is_empty() {
            return Ok(Some(names));
        }
        self.read(path).map(|_| None)
    }

    fn stamp(&self, _: &Path) -> Option<Stamp> {
        None
    }
}

/// The includes of vectors/daemon/config_cases.json.
fn load(text: &str) -> Result<Config, ConfigError> {
    let files = Memory(BTreeMap::from([
        ("main", text.as_bytes().to_vec()),
        ("/srv/inc/.hid.conf", b"[hid]\npath=/srv/mod\n".to_vec()),
        ("/srv/inc/a.conf", b"[amod]\npath=/srv/mod\n".to_vec()),
        (
            "/srv/inc/b.conf",
            b"comment=from-b\n[bmod]\npath=/srv/mod\n".to_vec(),
        ),
        ("/srv/inc/x.inc", b"comment=from-inc\n".to_vec()),
        ("/loop", b"&merge /loop\n".to_vec()),
    ]));
    Config::load_from(Path::new("main"), &files)
}

fn vector() -> serde_json::Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../testkit/vectors/daemon/config_cases.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).expect("vector")).expect("json")
}

/// The list that a client saw, without greeting, message of the day and end.
fn seen_list(reply: &str) -> Option<String> {
    let (_, lines) = reply.split_once('\n')?;
    let (lines, _) = lines.split_once("@RSYNCD: EXIT\n")?;
    Some(lines.to_owned())
}

#[test]
fn vectors() {
    let vector = vector();
    let mut evaluated = 0;
    for case in vector["cases"].as_array().expect("cases") {
        let name = case["name"].as_str().expect("name");
        let text = case["config_after_header"].as_str().expect("config");
        // The variables of this case come from the environment, which a test must not change.
        let text = if name == "env-vars" {
            text.replace("%FOO%", "foo val")
                .replace("%BASE%", "/srv")
                .replace("%RO%", "no")
                .replace("%MC%", "3")
        } else {
            text.to_owned()
        };
        let header = vector["header"].as_str().expect("header");
        let loaded = load(&format!("{header}{text}"));
        for reply in case["result"]["replies"].as_array().expect("replies") {
            let request = reply["request"]
                .as_str()
                .expect("request")
                .trim_end_matches('\n');
            let text = reply["reply"].as_str().expect("reply");
            let fatal = text.contains("Connection re");
            assert_eq!(loaded.is_err(), fatal, "{name}: {loaded:?}");
            let Ok(config) = &loaded else {
                evaluated += 1;
                continue;
            };
            if let Some(mut expected) = seen_list(text) {
                // In front of the list is the message of the day.
                for motd in ["Welcome\nLine2\n", "Welcome\n\n", "\n"] {
                    if name.starts_with("motd") && expected.starts_with(motd) {
                        expected = expected[motd.len()..].to_owned();
                        break;
                    }
                }
                let mut found = String::from_utf8(crate::motd::listing(config)).expect("text");
                if name == "name-parameter" {
                    // Ours differs on purpose: no parameter renames a module (04-daemon 22, row 10).
                    found = found.replace("y              \t", "other          \t");
                }
                assert_eq!(found, expected, "{name}");
            } else if !request.starts_with('#') && name != "name-parameter" {
                let unknown = text.contains("Unknown module");
                assert_eq!(
                    config.module(request.as_bytes()).is_none(),
                    unknown,
                    "{name}: {request}"
                );
            }
            // Every complaint of rsync about the file is one of ours.
            for line in reply["log"].as_array().expect("log") {
                let line = line.as_str().expect("line");
                if ["params.c", "Unknown Param", "IGNORING", "Badly", "Global"]
                    .iter()
                    .any(|p| line.starts_with(p))
                {
                    assert!(
                        config.notices.iter().any(|n| n.kind.to_string() == line),
                        "{name}: {line}"
                    );
                }
            }
            evaluated += 1;
        }
    }
    assert_eq!(evaluated, 53);
}

#[test]
fn values_of_the_vectors() {
    let config =
        load("  MaxVerbosity=3\n[m]\n\tP A T H = /srv/mod///\n read  only=No\n").expect("config");
    let module = config.module(b"m").expect("module");
    assert_eq!(
        (module.path.raw(), module.read_only, module.max_verbosity),
        (&b"/srv/mod"[..], false, 3)
    );
    let config = load("[m]\npath = /srv/m\\\nod\n").expect("config");
    assert_eq!(config.modules[0].path.raw(), b"/srv/mod");
}

#[test]
fn globals_count_wherever_they_stand() {
    let text = "[global]\nport=1234\nmotd file=/motd\n[m]\npath=/x\n[GLO BAL]\naddress=::1\npid file=/p/\ntimeout=7\n";
    let config = load(text).expect("config");
    assert_eq!((config.port, config.address.raw()), (1234, &b"::1"[..]));
    assert_eq!(config.timeout, Some(Duration::from_secs(7)));
    assert_eq!(
        config.modules[0].timeout, None,
        "numbers do not fall back late"
    );
    assert_eq!(config.motd_file, Some(Text::new("/motd")));
    assert_eq!(load("port = 0\n").expect("config").port, 873);
}

#[test]
fn limits_of_memory_are_sizes() {
    let text = "max memory = 6G\nmax session memory = 1.5MB\n[a]\npath=/x\n\
                [b]\npath=/x\nmax session memory=0\n";
    let config = load(text).expect("config");
    assert_eq!(config.max_memory, Some(6 << 30));
    let of_session = |module: usize| config.modules[module].max_session_memory;
    assert_eq!((of_session(0), of_session(1)), (Some(1_500_000), Some(0)));
    let unset = load("[a]\npath=/x\n").expect("config");
    assert_eq!(unset.max_memory, None);
    assert_eq!(unset.modules[0].max_session_memory, None);
    assert!(unset.memory_of_all() > 1 << 20);
}

#[test]
fn late_texts_protect_earlier_modules() {
    let config =
        load("[a]\npath=/x\n[b]\nauth users =\n[global]\nauth users = u\nsecrets file=/s\n")
            .expect("config");
    assert_eq!(config.modules[0].auth_users.raw(), b"u");
    assert_eq!(config.modules[1].auth_users.raw(), b"");
}

#[test]
fn what_we_do_not_have_is_refused_by_name() {
    let text = "proxy protocol = yes\nproxy protocol = no\n[m]\npath=/x\ncharset=utf8\nfake super=no\n\
                pre-xfer exec=\nincoming chmod=a+r\n[n]\nopen noatime=unset\nignore errors = true\n";
    let error = load(text).expect_err("refused").to_string();
    assert_eq!(
        error,
        "main line 1: parameter \"proxy protocol\" is not supported yet\n\
         main line 5: parameter \"charset\" is not supported yet\n\
         main line 8: parameter \"incoming chmod\" is not supported yet\n\
         main line 11: parameter \"ignore errors\" is not supported yet"
    );
}

#[test]
fn every_parameter_is_used_refused_or_noted() {
    use parameters::{Kind, Support, TABLE};
    for spec in &TABLE {
        let value = match spec.kind {
            Kind::Bool(default) => {
                if default {
                    "no"
                } else {
                    "yes"
                }
            }
            Kind::Tristate => "yes",
            Kind::Number(_) => "3",
            Kind::Size => "3M",
            Kind::Text | Kind::Path => "/something",
        };
        let text = match spec.scope {
            parameters::Scope::Global => format!("{} = {value}\n", spec.name),
            parameters::Scope::Module => format!("[m]\n{} = {value}\n", spec.name),
        };
        match (spec.support, load(&text)) {
            (Support::Later, Err(ConfigError::Unsupported(all))) => {
                assert_eq!(all[0].name, spec.name)
            }
            (Support::Inert(_), Ok(config)) => {
                assert!(
                    matches!(
                        config.notices[..],
                        [Notice {
                            kind: NoticeKind::Inert(..),
                            ..
                        }]
                    ),
                    "{}",
                    spec.name
                );
            }
            (Support::Works | Support::WorksOrCloses | Support::Ours, Ok(_)) => {}
            (_, other) => panic!("{}: {other:?}", spec.name),
        }
    }
}

#[test]
fn who_writes_no_timeout_means_it() {
    let config = load(
        "[a]\n[b]\ntimeout = 0\n[c]\ntimeout = 0\nidle timeout = 9\n[d]\nidle timeout = 0\n\
         [global]\ntimeout = 0\n[e]\n",
    )
    .expect("config");
    let idle = |name: &[u8]| config.module(name).expect("module").idle_timeout;
    let found = [b"a", b"b", b"c", b"d", b"e"].map(|name| idle(name).map(|idle| idle.as_secs()));
    assert_eq!(found, [None, Some(0), Some(9), Some(0), Some(0)]);
}

#[test]
fn rules_without_effect_are_noted() {
    let config = load("[m]\nfilter = H *.o : .f :s .g - x\n").expect("config");
    let notes: Vec<String> = config.notices.iter().map(|n| n.kind.to_string()).collect();
    let note = |text: &str| {
        format!(
            "module m: the filter rule \"{text}\" has no effect: a module has no rules for the sender alone"
        )
    };
    assert_eq!(notes, [note("*.o"), note(".g")]);
}

#[test]
fn fatal_errors() {
    for (text, expected) in [
        (
            "port = 65536\n",
            "main line 1: port 65536 is not in 0..65535",
        ),
        ("\n&foo bar\n", "main line 2: Unknown directive: &foo."),
        (
            "&merge /loop\n",
            "/loop line 1: includes are nested too deeply or in a circle: /loop",
        ),
        (
            "[a]\n&include /srv/nope\n",
            "unable to stat config file \"/srv/nope\": No such file or directory (2)",
        ),
        (
            "[a/b]\n",
            "main line 1: invalid section name in configuration file: a/b",
        ),
    ] {
        assert_eq!(load(text).expect_err(text).to_string(), expected);
    }
    let missing = Config::load(Path::new("/nonexistent/conf"))
        .expect_err("missing")
        .to_string();
    assert_eq!(
        missing,
        "unable to open config file \"/nonexistent/conf\": No such file or directory (2)"
    );
}

#[test]
fn what_restricts_and_cannot_be_read_closes_the_module() {
    for (line, closed) in [
        ("read only = maybe", true),
        ("write only = on", true),
        ("use chroot = perhaps", true),
        ("strict modes = y", true),
        ("max connections = 5x", true),
        ("list = off", true),
        ("refuse options = checksum nosuchopt", true),
        ("read only = maybe\nread only = no", false),
        ("transfer logging = maybe", false),
        ("timeout = 12abc", false),
        ("refuse options = checksum,delete", false),
    ] {
        for text in [
            format!("[m]\npath=/x\n{line}\n"),
            format!("{line}\n[m]\npath=/x\n"),
        ] {
            let config = load(&text).expect("config");
            assert_eq!(
                config.modules[0].closed.is_some(),
                closed,
                "{text}: {:?}",
                config.notices
            );
        }
    }
}

#[test]
fn the_backup_recipe_is_warned_about() {
    let text = "[backup]\npath=/backup\nignore errors\nhosts allow=192.168.1.0/24\nhosts deny=0.0.0.0/32\n\
                auth users=rsync_backup eve:readonly\n";
    let notices: Vec<String> = load(text)
        .expect("config")
        .notices
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        notices,
        [
            "params.c:Parameter() - Ignoring badly formed line in config file: ignore errors (main line 3)",
            "module backup: hosts deny: matches only the address 0.0.0.0 (0.0.0.0/0 is every IPv4 address): \
             0.0.0.0/32 (main line 5)",
            "module backup: auth users: unknown option in \"eve:readonly\", the rule denies (main line 6)",
            "module backup: auth users without secrets file: nobody can log in (main line 6)",
        ]
    );
}

#[test]
fn a_changed_file_is_noticed() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("rsyncd.conf");
    std::fs::create_dir(dir.path().join("d")).expect("mkdir");
    std::fs::write(
        &path,
        format!("&include {}/d\n[m]\npath=/x\n", dir.path().display()),
    )
    .expect("write");
    let config = Config::load(&path).expect("config");
    assert!(!config.is_outdated());
    std::fs::write(dir.path().join("d/new.conf"), "[n]\npath=/y\n").expect("write");
    assert!(config.is_outdated());
    assert_eq!(Config::load(&path).expect("config").modules.len(), 2);
}
