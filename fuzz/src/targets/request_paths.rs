//! The paths that a client asks a daemon for, and its login (04-daemon 9, 11).

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use rsyncd::auth::UserRules;
use rsyncd::request::{ModuleNames, logged, paths};

use crate::header::Header;
use crate::vectors;

/// Header: whether one argument may hold several paths. Then arguments, divided by NUL.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let split = header.byte() & 1 != 0;
    let arguments: Vec<Vec<u8>> = header.rest().split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
    assert!(logged(&arguments).len() <= header_limit(&arguments));
    let Ok(wanted) = paths(&arguments, b"m", split, &mut Module) else {
        return;
    };
    for path in &wanted {
        assert!(!path.is_empty() && !path.starts_with(b"/"));
        assert!(path.split(|&byte| byte == b'/').all(|part| part != b".."), "{}", path.escape_ascii());
    }
    // Login rules are words like these.
    if let [rules, user, ..] = &arguments[..] {
        let rules = UserRules::new(rules);
        assert_eq!(rules.decide(user, &[]), rules.decide(user, &[]));
    }
}

fn header_limit(arguments: &[Vec<u8>]) -> usize {
    arguments.iter().map(|argument| argument.len() + 1).sum()
}

/// A module with some files.
struct Module;

impl ModuleNames for Module {
    fn names(&mut self, directory: &[u8], each: &mut dyn FnMut(&[u8], bool) -> ControlFlow<()>) {
        assert!(directory.split(|&byte| byte == b'/').all(|part| part != b".." && part != b"."));
        let prefix = if directory.is_empty() { Vec::new() } else { [directory, b"/"].concat() };
        let below = FILES.iter().filter_map(|file| file.as_bytes().strip_prefix(&prefix[..]));
        let names: BTreeSet<(&[u8], bool)> = below
            .map(|rest| match rest.iter().position(|&byte| byte == b'/') {
                Some(slash) => (&rest[..slash], true),
                None => (rest, false),
            })
            .collect();
        // It may have enough before the end.
        let _ = names.into_iter().try_for_each(|(name, is_dir)| each(name, is_dir));
    }
}

const FILES: [&str; 10] =
    ["a.txt", "b.txt", "c d.txt", "sub/x.txt", "sub/deep/y", "[q].txt", "-dash", "m/in", ".dot", "other/a.txt"];

/// The requests of the vectors, and rules of logins.
pub fn seeds() -> Vec<Vec<u8>> {
    let vectors = vectors::json("daemon/request_args.json");
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for case in vectors["cases"].as_array().into_iter().flatten() {
        let arguments = vectors::strings(&case["args_after_dot"]).join("\0");
        for split in [0, 1] {
            seeds.push([&[split], arguments.as_bytes()].concat());
        }
    }
    seeds.push(b"\x00alice:ro, @staff:rw bob:deny *\0alice".to_vec());
    seeds.push(b"\x00,a b:x, [a-c]?z\0cz".to_vec());
    seeds.push(b"\x01m/*/*/../x m/./sub/./y\0m/../../etc".to_vec());
    seeds
}
