//! The table against the engine's grammar, rsync's list of words, and its error texts.

use std::collections::BTreeSet;

use rsync_engine::options::{Delete, FilterText};

use super::super::help::spec_of;
use super::*;

fn words(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn low(list: &[&str]) -> LowArgs {
    parse(&words(list)).unwrap_or_else(|failure| panic!("{list:?}: {failure:?}"))
}

fn vector(name: &str) -> String {
    std::fs::read_to_string(format!(
        "{}/../testkit/vectors/cli/{name}",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
}

#[test]
fn the_table_and_the_grammar_agree() {
    let mut seen = BTreeSet::new();
    for flag in FLAGS
        .iter()
        .filter(|flag| matches!(flag.effect, Effect::Transfer))
    {
        let spec = spec_of(flag).unwrap_or_else(|| panic!("no grammar for {}", flag.name));
        assert_eq!(
            spec.effect.takes_value(),
            !flag.metavar.is_empty(),
            "{}",
            flag.name
        );
        assert!(seen.insert(spec.display_name()), "{} twice", flag.name);
    }
    for spec in grammar::specs() {
        let missing = matches!(spec.effect, grammar::Effect::Unsupported { .. });
        let ours = FLAGS
            .iter()
            .any(|flag| flag.name == spec.long && !matches!(flag.effect, Effect::Transfer));
        assert!(
            missing || ours || seen.contains(&spec.display_name()),
            "no help for {}",
            spec.display_name()
        );
    }
}

/// Every word that rsync 3.5.0 accepts is either done or refused by name; none is unknown.
#[test]
fn every_word_of_rsync_is_known() {
    let mut rows = 0;
    for line in vector("option-versions.tsv").lines().skip(1) {
        let mut columns = line.split('\t');
        let long = columns.next().unwrap();
        let short = columns.next().unwrap_or_default();
        for word in [long, short].into_iter().filter(|word| !word.is_empty()) {
            let list = words(&[word, "1"]);
            if let Err(failure) = parse(&list) {
                assert_eq!(failure.code, 4, "{word}: {failure:?}");
            }
            rows += 1;
        }
    }
    assert_eq!(rows, 299);
}

#[test]
fn forms() {
    assert_eq!(
        low(&["-av", "src", "-n", "dst"]).operands,
        words(&["src", "dst"])
    );
    assert!(low(&["--no-r", "-a"]).transfer.recursive);
    assert!(!low(&["-a", "--no-r"]).transfer.recursive);
    assert!(low(&["-a", "--no-links", "--no-D"]).transfer.perms);
    assert_eq!(low(&["-vvv", "--no-v", "-v"]).transfer.verbose, 1);
    assert_eq!(low(&["-B", "4k", "x"]).transfer.block_size, Some(4096));
    assert_eq!(low(&["-B=700", "x"]).transfer.block_size, Some(700));
    assert_eq!(
        low(&["--timeout", "0x10", "x"]).transfer.timeout,
        Some(std::time::Duration::from_secs(16))
    );
    assert_eq!(low(&["--port=99", "x"]).port, Some(99));
    assert_eq!(
        low(&["--contimeout=7", "--no-contimeout", "x"]).contimeout,
        None
    );
    assert_eq!(low(&["-hh", "x"]).human_readable, 3);
    assert_eq!(low(&["--no-h", "x"]).human_readable, 0);
    assert!(low(&["--no-d", "x"]).no_dirs && !low(&["--no-d", "-d", "x"]).no_dirs);
    assert!(low(&["-ah"]).help && low(&["-h"]).help && !low(&["-h", "x"]).help);
    assert_eq!(low(&["-VV"]).version, 2);
    assert!(!low(&["--no-motd", "x"]).motd);
    assert_eq!(
        low(&["-r", "--del", "--delete-delay", "x"]).transfer.delete,
        Delete::Delay
    );
    assert_eq!(low(&["--", "-a"]).operands, words(&["-a"]));
    assert_eq!(
        low(&["--exclude=a", "-f", "+ b", "--include-from", "c"])
            .transfer
            .filter_texts,
        [
            FilterText::Exclude(b"a".to_vec()),
            FilterText::Rule(b"+ b".to_vec()),
            FilterText::IncludeFrom(b"c".to_vec())
        ]
    );
}

/// The blocks of usage-errors.txt that fail in the parser: same first lines, same code. Options that
/// Syncline lacks fail with code 4 instead; those that fail later are in hiargs' tests.
#[test]
fn captured_errors() {
    let mut checked = Vec::new();
    let text = vector("usage-errors.txt");
    for block in crate::testing::blocks(&text) {
        // Daemon mode has a parser of its own.
        if block.words.iter().any(|word| word == b"--daemon") {
            continue;
        }
        let Err(failure) = parse(&block.words) else {
            continue;
        };
        if failure
            .lines
            .iter()
            .any(|line| line.ends_with(b"not supported yet by syncline"))
        {
            continue;
        }
        let shown: Vec<String> = failure
            .lines
            .iter()
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let expected: Vec<&str> = block
            .stderr
            .iter()
            .filter(|line| !line.starts_with("rsync error:") && **line != "<usage text>")
            .copied()
            .collect();
        assert_eq!(shown, expected, "{}", block.command);
        assert_eq!(i32::from(failure.code), block.exit, "{}", block.command);
        assert!(
            block
                .stderr
                .last()
                .unwrap()
                .contains(&format!("(code {}) at", failure.code))
        );
        assert!(block.stderr.last().unwrap().contains("[client="));
        checked.push(block.command);
    }
    assert_eq!(checked.len(), 28, "{checked:#?}");
}
