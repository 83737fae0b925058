//! Lists of names for `--files-from` (07-filters 10, 02-file-list 3).

use super::records::{Split, is_comment, records};

/// The names in a list. `from0`: they end in NUL, else in LF or CR. `comments`: lines that begin with `#` or `;`
/// are none, which holds only if the sender itself opens the file.
pub fn files_from_names(bytes: &[u8], from0: bool, comments: bool) -> impl Iterator<Item = &[u8]> {
    let split = if from0 { Split::Nul } else { Split::Lines };
    records(bytes, split)
        .map(|(_, name)| name)
        .filter(move |name| !(comments && is_comment(name)))
}

/// A list as it is forwarded to a sender: each name with a NUL behind it, and one more NUL. Nothing is a comment.
#[must_use]
pub fn forwarded_files_from(bytes: &[u8], from0: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 2);
    for name in files_from_names(bytes, from0, false) {
        out.extend_from_slice(name);
        out.push(0);
    }
    out.push(0);
    out
}

/// A name of a list as the sender takes it, relative to the source directory: without leading slashes, with
/// `..` resolved by its letters and never above the directory. `.` components stay (`/./` marks where the name
/// in the transfer begins), and so does one trailing slash. Never empty: what is left of `..` is `.`.
///
/// ```
/// use rsync_engine::filter::clamp_name;
/// assert_eq!(clamp_name(b"../../d/b"), b"d/b");
/// assert_eq!(clamp_name(b"/etc/./x/"), b"etc/./x/");
/// ```
#[must_use]
pub fn clamp_name(name: &[u8]) -> Vec<u8> {
    let mut components: Vec<&[u8]> = Vec::new();
    for component in name.split(|&b| b == b'/').filter(|c| !c.is_empty()) {
        if component == b".." {
            // A marker that follows what is dropped has nothing to mark.
            while components.pop_if(|last| *last == b".").is_some() {}
            components.pop();
        } else {
            components.push(component);
        }
    }
    let mut out = components.join(&b'/');
    if out.is_empty() {
        out.push(b'.');
    }
    if name.ends_with(b"/") {
        out.push(b'/');
    }
    out
}
