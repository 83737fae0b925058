//! Two trees compared by what a mirror promises: type, permissions, mtime, content, link targets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    kind: &'static str,
    mode: u32,
    mtime: (i64, i64),
    content: Vec<u8>,
}

impl Seen {
    pub(crate) fn is_directory(&self) -> bool {
        self.kind == "dir"
    }

    pub(crate) fn forget_time(&mut self) {
        self.mtime = (0, 0);
    }

    /// Protocols below 31 do not have them.
    pub(crate) fn forget_nanoseconds(&mut self) {
        self.mtime.1 = 0;
    }
}

/// Everything below `root`, the root included as an empty path.
pub(crate) fn snapshot(root: &Path) -> BTreeMap<Vec<u8>, Seen> {
    let mut all = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let Ok(meta) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        let kind = meta.file_type();
        let (kind, content) = if kind.is_dir() {
            // A mode that should not be so any more may forbid it, and what is below.
            for entry in std::fs::read_dir(&path).into_iter().flatten() {
                todo.push(entry.unwrap().path());
            }
            ("dir", Vec::new())
        } else if kind.is_symlink() {
            let target = std::fs::read_link(&path).unwrap();
            ("link", target.as_os_str().as_bytes().to_vec())
        } else if kind.is_fifo() {
            ("fifo", Vec::new())
        } else {
            ("file", std::fs::read(&path).unwrap_or_default())
        };
        let relative = path.strip_prefix(root).unwrap();
        all.insert(
            relative.as_os_str().as_bytes().to_vec(),
            Seen {
                kind,
                mode: if kind == "link" {
                    0
                } else {
                    meta.mode() & 0o7777
                },
                mtime: (meta.mtime(), meta.mtime_nsec()),
                content,
            },
        );
    }
    all
}

/// What differs, a line each; empty if nothing does.
pub(crate) fn differences(source: &Path, mirror: &Path) -> String {
    let (a, b) = (snapshot(source), snapshot(mirror));
    let mut text = String::new();
    for (path, seen) in &a {
        let path_text = path.escape_ascii();
        match b.get(path) {
            None => writeln!(text, "missing: {path_text} ({})", seen.kind),
            Some(other) if other != seen => writeln!(
                text,
                "differs: {path_text}: {} {:o} {:?} {} bytes <> {} {:o} {:?} {} bytes, content {}",
                seen.kind,
                seen.mode,
                seen.mtime,
                seen.content.len(),
                other.kind,
                other.mode,
                other.mtime,
                other.content.len(),
                if seen.content == other.content {
                    "equal"
                } else {
                    "differs"
                },
            ),
            Some(_) => Ok(()),
        }
        .unwrap();
    }
    for path in b.keys().filter(|path| !a.contains_key(*path)) {
        writeln!(text, "extra: {}", path.escape_ascii()).unwrap();
    }
    text
}
