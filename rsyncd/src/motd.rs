//! The message of the day and the list of modules: text for strangers (04-daemon 2.3, 6).

use std::path::Path;

use rsync_proto::replies::{put_listed_module, put_motd};

use crate::config::{Config, environment};
use crate::limits;
use crate::operator;

/// What follows the greeting: the file and one more newline, also if the file cannot be read. Lines that a
/// client would take for the protocol's are left out.
pub(crate) fn message(file: &Path) -> Vec<u8> {
    let content = operator::read(file, limits::CONFIG_FILE)
        .map(|(content, _)| content)
        .unwrap_or_default();
    let mut kept = Vec::with_capacity(content.len());
    for line in content.split_inclusive(|&b| b == b'\n') {
        if !line.starts_with(b"@RSYNCD:") && !line.starts_with(b"@ERROR") {
            kept.extend_from_slice(line);
        }
    }
    let mut out = Vec::with_capacity(kept.len() + 1);
    put_motd(&mut out, &kept);
    out
}

/// The lines of the module list, without the end of the session.
pub(crate) fn listing(config: &Config) -> Vec<u8> {
    let mut out = Vec::new();
    for module in config.modules.iter().filter(|m| m.list) {
        let comment = module.comment.expand(&environment).unwrap_or_default();
        // Only a variable can bring a line end into a name or comment; such a module is not shown.
        let _ = put_listed_module(&mut out, &module.name, &comment);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_lines_are_left_out() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("motd");
        for (content, expected) in [
            ("Welcome\nLine2", "Welcome\nLine2\n"),
            ("Welcome\n", "Welcome\n\n"),
            ("a\n@RSYNCD: EXIT\n@ERROR: x\n@b\n", "a\n@b\n\n"),
            ("", "\n"),
        ] {
            std::fs::write(&path, content).expect("write");
            assert_eq!(message(&path), expected.as_bytes(), "{content:?}");
        }
        assert_eq!(message(&dir.path().join("none")), b"\n");
    }
}
