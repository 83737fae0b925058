//! The command line itself: usage errors, help, version.

use std::process::{Command, Output};

/// Runs the command in an empty directory with a fixed environment.
fn syncline(words: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_syncline");
    Command::new(program)
        .args(words)
        .current_dir(dir.path())
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Words, exit code, and what standard error begins with.
const FAILURES: &[(&[&str], i32, &str)] = &[
    (
        &["--bogus", "a", "b"],
        1,
        "rsync: --bogus: unknown option\nrsync error: syntax or usage error (code 1) at ",
    ),
    (&["-aYv", "a", "b"], 1, "rsync: -aYv: unknown option\n"),
    (
        &["-az", "a", "b"],
        4,
        "rsync: --compress: not supported yet by syncline\nrsync error: requested action not supported (code 4) at ",
    ),
    (
        &["-a", "a", "host:b"],
        4,
        "rsync: host:b: a remote shell (SSH) is not supported yet by syncline\n",
    ),
    (
        &["-a", "a", ""],
        1,
        "Empty destination arg specified (use \".\" or see --old-args).\n",
    ),
    (
        &["h1::a", "h2::b"],
        1,
        "The source and destination cannot both be remote.\n",
    ),
    (
        &["rsync://h//m", "d"],
        5,
        "ERROR: The remote path must start with a module name not a /\n",
    ),
    (
        &["-a", "a\u{1b}::m/../\u{7}", "b::c", "d"],
        1,
        "All source args must come from the same machine.\n",
    ),
    (&["--\u{7}"], 1, "rsync: --\\#007: unknown option\n"),
    (
        &["--config=x"],
        1,
        "Daemon option(s) used without --daemon.\n",
    ),
    (&["watch", "src"], 1, "error: "),
    (
        &["watch", "src", "host:dst"],
        4,
        "rsync: host:dst: a remote shell (SSH) is not supported yet by syncline\n",
    ),
    (
        &["daemon", "--bogus"],
        1,
        "error: unexpected argument '--bogus' found",
    ),
    (&[], 1, "syncline - "),
];

#[test]
fn failures() {
    for (words, code, stderr) in FAILURES {
        let output = syncline(words);
        assert_eq!(output.status.code(), Some(*code), "{words:?}: {output:?}");
        assert!(
            text(&output.stderr).starts_with(stderr),
            "{words:?}: {}",
            text(&output.stderr)
        );
        assert_eq!(text(&output.stdout), "", "{words:?}");
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (words, begins) in [
        (&["--help"][..], "syncline - "),
        (&["-h"], "syncline - "),
        (&["-ah"], "syncline - "),
        (&["--version"], "syncline  version "),
        (&["-VV"], "{\n  \"program\": \"syncline\""),
        (&["watch", "--help"], "Keep one or several mirrors"),
        (&["daemon", "--version"], "syncline daemon "),
    ] {
        let output = syncline(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
        assert!(
            text(&output.stdout).starts_with(begins),
            "{words:?}: {}",
            text(&output.stdout)
        );
        assert_eq!(text(&output.stderr), "", "{words:?}");
    }
    // Words that the parser does not know fail all the same.
    assert_eq!(syncline(&["--help", "--bogus"]).status.code(), Some(1));
}
