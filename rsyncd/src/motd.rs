//! The message of the day and the list of modules: text for strangers (04-daemon 2.3, 6).

use std::path::Path;

use crate::config::{Config, environment};
use crate::limits;
use crate::operator;

/// What follows the greeting: the file and one more newline, also if the file cannot be read. Lines that a
/// client would take for the protocol's are left out.
pub(crate) fn message(file: &Path) -> Vec<u8> {
    let content = operator::read(file, limits::CONFIG_FILE).map(|(content, _)| content).unwrap_or_default();
    let mut out = Vec::with_capacity(content.len() + 1);
    for line in content.split_inclusive(|&b| b == b'\n') {
        if !line.starts_with(b"@RSYNCD:") && !line.starts_with(b"@ERROR") {
            out.extend_from_slice(line);
        }
    }
    out.push(b'\n');
    out
}

/// The lines of the module list, without the end of the session.
pub(crate) fn listing(config: &Config) -> Vec<u8> {
    let mut out = Vec::new();
    for module in config.modules.iter().filter(|m| m.list) {
        out.extend_from_slice(&module.name);
        out.resize(out.len() + NAME_WIDTH.saturating_sub(module.name.len()), b' ');
        out.push(b'\t');
        out.extend_from_slice(&module.comment.expand(&environment).unwrap_or_default());
        out.push(b'\n');
    }
    out
}

const NAME_WIDTH: usize = 15;

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
