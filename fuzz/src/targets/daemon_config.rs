//! rsyncd.conf, and what its values mean (04-daemon 4 to 9, 14).

use std::cell::OnceCell;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use rsyncd::access::HostList;
use rsyncd::auth::UserRules;
use rsyncd::config::{Config, ConfigError, Text};
use rsyncd::refuse::Refusals;
use tempfile::NamedTempFile;

use crate::vectors;

/// A configuration file.
pub fn run(data: &[u8]) {
    let first = load(data);
    match (&first, &load(data)) {
        (Ok(first), Ok(second)) => assert_eq!(without_stamps(first), without_stamps(second)),
        (Err(first), Err(second)) => assert_eq!(first.to_string(), second.to_string()),
        other => panic!("{other:?}"),
    }
    match first {
        Ok(config) => check(&config),
        // Parameters that we lack get a line each.
        Err(error) => error.to_string().lines().for_each(one_line),
    }
}

fn load(data: &[u8]) -> Result<Config, ConfigError> {
    thread_local! {
        static FILE: OnceCell<NamedTempFile> = const { OnceCell::new() };
    }
    FILE.with(|file| {
        let file = file.get_or_init(|| NamedTempFile::new().expect("a temporary file"));
        fs::write(file.path(), data).expect("a temporary file");
        Config::load(file.path())
    })
}

/// All that is said, but not which version of the file said it.
fn without_stamps(config: &Config) -> String {
    let text = format!("{config:?}");
    text.split(", stamps: ").next().unwrap_or_default().to_owned()
}

fn one_line(text: &str) {
    assert!(!text.contains(|c: char| c.is_control() && c != '\t'), "{text:?}");
}

fn check(config: &Config) {
    assert_ne!(config.port, 0);
    config.notices.iter().for_each(|notice| one_line(&notice.to_string()));
    for module in &config.modules {
        let found = config.module(&module.name).expect("a module of that name");
        assert_eq!(found.name, module.name);
        let texts = [&module.path, &module.comment, &module.log_format, &module.filter, &module.secrets_file];
        texts.into_iter().for_each(expand);
        let _ = HostList::new(module.hosts_allow.raw());
        let _ = UserRules::new(module.auth_users.raw()).decide(b"alice", &[b"users".to_vec()]);
        let refusals = Refusals::new(module.refuse_options.raw(), false);
        let words: [&[u8]; 5] = [b"--server", b"-vlogDtpre.iLsfxCIvu", b"--delete", b".", b"m/"];
        let refused = refusals.check(&words.map(<[u8]>::to_vec));
        assert_eq!(refused, refusals.check(&words.map(<[u8]>::to_vec)));
    }
}

/// Variables make a value longer by what they hold only, within a limit; a value without them stays.
fn expand(text: &Text) {
    let unknown = text.expand(&|_| None).expect("no longer than it was");
    assert_eq!(unknown, text.raw());
    let home = std::ffi::OsStr::new("/home/me");
    if let Ok(known) = text.expand(&|_| Some(home.as_bytes().to_vec())) {
        assert!(known.len() <= text.raw().len() * 5 + 8);
    }
}

/// The configurations of the vectors, whole and module by module.
pub fn seeds() -> Vec<Vec<u8>> {
    let cases = vectors::json("daemon/config_cases.json");
    let header = cases["header"].as_str().unwrap_or_default();
    let texts = cases["cases"].as_array().into_iter().flatten();
    let mut seeds: Vec<Vec<u8>> = texts
        .filter_map(|case| Some(format!("{header}{}", case["config_after_header"].as_str()?).into_bytes()))
        .collect();
    let replies = vectors::json("daemon/handshake_replies.json");
    seeds.push(replies["config"].as_str().unwrap_or_default().as_bytes().to_vec());
    seeds.push(
        b"port = 8730\nuid = nobody\n[m]\npath = /srv/%RSYNC_USER_NAME%\nauth users = a:ro, @g:rw \\\n b:deny\n\
          secrets file = /etc/secrets\nhosts allow = 10.0.0.0/8 *.example.com\nhosts deny = *\n\
          refuse options = delete !delete-after c*\nuse chroot = no\nmax connections = 4\ntimeout = 600\n"
            .to_vec(),
    );
    seeds
}
