//! Where the password for a daemon comes from (06-client 1.8).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::exit::{Failure, Role, START, USAGE};

/// Why there is no password when none is configured and nobody can be asked.
pub(crate) const NO_TERMINAL: &str = "ERROR: the daemon wants a password (RSYNC_PASSWORD, --password-file), and there is no terminal to ask for it";
/// rsync reads no more of a password file.
const MAX_LEN: u64 = 511;

/// The user for a daemon that asks: named in the argument, else from the environment.
pub(crate) fn user(named: Option<&[u8]>, variable: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<u8> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    named
        .map(<[u8]>::to_vec)
        .or_else(|| set("USER"))
        .or_else(|| set("LOGNAME"))
        .unwrap_or_else(|| b"nobody".to_vec())
}

/// The password: from `file`, else `$RSYNC_PASSWORD`, else the terminal. To be called when a daemon asks,
/// not before.
pub(crate) fn password(
    file: Option<&[u8]>,
    role: Role,
    variable: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<Vec<u8>, Failure> {
    if let Some(file) = file {
        return from_file(file, role);
    }
    if let Some(password) = variable("RSYNC_PASSWORD") {
        return Ok(password);
    }
    rpassword::prompt_password("Password: ")
        .map(String::into_bytes)
        .map_err(|error| {
            let reason = system_error(&error);
            Failure::new(START, role, format!("{NO_TERMINAL}: {reason}"))
        })
}

/// The first non-empty line of the file; `-` is standard input.
fn from_file(name: &[u8], role: Role) -> Result<Vec<u8>, Failure> {
    let failure = |parts: &[&[u8]]| Failure::new(USAGE, role, parts.concat());
    let line = if name == b"-" {
        read_line(io::stdin().lock())
    } else {
        let path = Path::new(std::ffi::OsStr::from_bytes(name));
        let file = File::open(path).map_err(|error| {
            let reason = system_error(&error);
            let role = if role == Role::Sender {
                "sender"
            } else {
                "Receiver"
            };
            failure(&[
                format!("rsync: [{role}] could not open password file ").as_bytes(),
                name,
                b": ",
                reason.as_bytes(),
            ])
        })?;
        let metadata = file
            .metadata()
            .map_err(|error| failure(&[system_error(&error).as_bytes()]))?;
        check_access(
            metadata.mode(),
            metadata.uid(),
            rustix::process::geteuid().is_root(),
        )
        .map_err(|text| failure(&[text.as_bytes()]))?;
        read_line(file)
    };
    match line {
        Ok(line) if !line.is_empty() => Ok(line),
        _ => Err(failure(&[b"ERROR: failed to read a password from ", name])),
    }
}

/// Others must not be able to read or write the file; root takes only its own.
fn check_access(mode: u32, owner: u32, running_as_root: bool) -> Result<(), &'static str> {
    if mode & 0o006 != 0 {
        return Err("ERROR: password file must not be other-accessible");
    }
    if running_as_root && owner != 0 {
        return Err("ERROR: password file must be owned by root when running as root");
    }
    Ok(())
}

fn read_line(source: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    source.take(MAX_LEN).read_to_end(&mut text)?;
    let line = text
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .find(|line| !line.is_empty());
    Ok(line.unwrap_or_default().to_vec())
}

/// `No such file or directory (2)`.
fn system_error(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => format!(
            "{} ({code})",
            text.split(" (os error").next().unwrap_or_default()
        ),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(text: &[u8], mode: u32) -> (tempfile::TempDir, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let name = path.as_os_str().as_bytes().to_vec();
        (dir, name)
    }

    #[test]
    fn the_first_line_that_is_not_empty() {
        for (text, expected) in [
            (&b"pass\n"[..], &b"pass"[..]),
            (b"\r\n\npass word\r\nmore", b"pass word"),
            (b"last", b"last"),
        ] {
            let (_dir, name) = file(text, 0o600);
            assert_eq!(
                password(Some(&name), Role::Receiver, |_| None).unwrap(),
                expected
            );
        }
        let (_dir, name) = file(&[b'x'; 1000], 0o600);
        assert_eq!(
            password(Some(&name), Role::Receiver, |_| None)
                .unwrap()
                .len(),
            511
        );
    }

    #[test]
    fn refused_files() {
        let (_dir, name) = file(b"\n\n", 0o600);
        let failure = password(Some(&name), Role::Receiver, |_| None).unwrap_err();
        assert_eq!(
            (failure.code, &failure.lines[0][..36]),
            (1, &b"ERROR: failed to read a password fro"[..])
        );
        let (_dir, name) = file(b"pass\n", 0o604);
        let failure = password(Some(&name), Role::Receiver, |_| None).unwrap_err();
        assert_eq!(
            failure.lines,
            [b"ERROR: password file must not be other-accessible".to_vec()]
        );
        let failure = password(Some(b"/nonexistent/f"), Role::Sender, |_| None).unwrap_err();
        let expected = "rsync: [sender] could not open password file /nonexistent/f: No such file or directory (2)";
        assert_eq!(failure.lines, [expected.as_bytes().to_vec()]);
        assert!(check_access(0o100_600, 1000, true).is_err());
        assert!(check_access(0o100_640, 1000, false).is_ok());
    }

    #[test]
    fn environment() {
        let variable = |name: &str| (name == "RSYNC_PASSWORD").then(|| b"from env".to_vec());
        assert_eq!(
            password(None, Role::Receiver, variable).unwrap(),
            b"from env"
        );
        assert_eq!(user(Some(b"me"), variable), b"me");
        assert_eq!(user(None, variable), b"nobody");
        assert_eq!(
            user(None, |name| (name == "LOGNAME").then(|| b"log".to_vec())),
            b"log"
        );
    }
}
