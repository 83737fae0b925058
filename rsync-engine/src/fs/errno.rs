//! Results of file-system calls and their wording.

use rustix::io::Errno;

/// What every call of this module returns.
pub type Result<T, E = Errno> = std::result::Result<T, E>;

/// The text of an error as rsync words it: `No such file or directory (2)`.
pub fn describe(errno: Errno) -> String {
    let code = errno.raw_os_error();
    let text = std::io::Error::from_raw_os_error(code).to_string();
    // The standard library appends " (os error N)".
    let plain = text
        .rsplit_once(" (os error")
        .map_or(text.as_str(), |(plain, _)| plain);
    format!("{plain} ({code})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_worded_as_rsync_does() {
        assert_eq!(describe(Errno::NOENT), "No such file or directory (2)");
        assert_eq!(
            describe(Errno::LOOP),
            "Too many levels of symbolic links (40)"
        );
        assert_eq!(describe(Errno::XDEV), "Invalid cross-device link (18)");
    }
}
