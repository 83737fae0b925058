//! Captured data: single matches, and lists on the wire.

use rsync_proto::Protocol;

use super::command::Command;
use super::vector;
use crate::filter::{Pattern, Role, RuleList, RuleSettings};

#[test]
fn single_matches() {
    let cases = vector("cases.tsv");
    let mut count = 0;
    for line in cases.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[_, modifier, pattern, path, is_dir, expected] = &fields[..] else {
            panic!("{line}")
        };
        let rule = format!("-{} {pattern}", modifier.trim_start_matches('-'));
        let list = super::rules(&[&rule]).unwrap();
        let chain = crate::filter::Chain::new(&list, Role::Sender);
        let excluded = chain.check(path.as_bytes(), is_dir == "1").is_excluded();
        assert_eq!(excluded, expected == "1", "{line}");
        if modifier == "-" {
            let matched =
                super::reference::reference(pattern.as_bytes(), path.as_bytes(), is_dir == "1");
            assert_eq!(matched, expected == "1", "reference: {line}");
            let pattern = Pattern::new(pattern.as_bytes()).unwrap();
            assert_eq!(
                pattern.matches(path.as_bytes(), is_dir == "1"),
                excluded,
                "{line}"
            );
        }
        count += 1;
    }
    assert_eq!(count, 272);
}

/// One block of wire.txt.
struct Capture<'a> {
    name: &'a str,
    protocol: u32,
    role: Role,
    options: Vec<String>,
    rules: Vec<String>,
    payload: Vec<u8>,
}

fn captures(text: &str) -> Vec<Capture<'_>> {
    let blocks = text.split("\n\n").filter(|block| block.contains("name:"));
    let field = |block: &'_ str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("no {key} in {block}"))
            .trim()
            .to_owned()
    };
    blocks
        .map(|block| Capture {
            name: block
                .lines()
                .find_map(|line| line.strip_prefix("name: "))
                .unwrap(),
            protocol: field(block, "protocol:").parse().unwrap(),
            role: if field(block, "direction:").starts_with("pull") {
                Role::Receiver
            } else {
                Role::Sender
            },
            options: shell_words(&field(block, "options:")),
            rules: block
                .lines()
                .filter_map(|l| l.strip_prefix("rule: "))
                .map(|r| r.replace('␠', " "))
                .collect(),
            payload: from_hex(&field(block, "hex:")),
        })
        .collect()
}

/// Words of a line in which only single quotes quote.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn framed(rules: &[Vec<u8>]) -> Vec<u8> {
    let word = |len: usize| u32::try_from(len).unwrap().to_le_bytes();
    let mut out: Vec<u8> = rules
        .iter()
        .flat_map(|rule| [&word(rule.len()), &rule[..]].concat())
        .collect();
    out.extend(word(0));
    out
}

#[test]
fn lists_on_the_wire() {
    let text = vector("wire.txt");
    let mut count = 0;
    for capture in captures(&text) {
        // Protocol 28 is not spoken here.
        let Some(protocol) = Protocol::new(capture.protocol) else {
            continue;
        };
        let command = Command::parse(&capture.options).unwrap();
        let list = command
            .list(protocol, capture.role, &mut super::no_files)
            .unwrap();
        let sent = list.wire_rules(protocol, capture.role).unwrap();
        let shown: Vec<_> = sent
            .iter()
            .map(|rule| String::from_utf8_lossy(rule))
            .collect();
        assert_eq!(shown, capture.rules, "{}", capture.name);
        assert_eq!(framed(&sent), capture.payload, "{}", capture.name);

        // What was understood can be said again: the server's view of a rule is the client's.
        let received = RuleList::from_wire(&sent, RuleSettings::default()).unwrap();
        let both_ways = capture.rules.iter().filter(super::travels_both_ways);
        let again = received.wire_rules(protocol, Role::Receiver).unwrap();
        let again: Vec<_> = again
            .iter()
            .map(|rule| String::from_utf8_lossy(rule))
            .collect();
        assert!(
            both_ways.eq(again.iter().filter(super::travels_both_ways)),
            "{}",
            capture.name
        );
        count += 1;
    }
    assert_eq!(count, 16);
}

#[test]
fn perishable_rules_below_protocol_30() {
    let list = super::rules(&["-p x"]).unwrap();
    assert_eq!(
        list.wire_rules(Protocol::V29, Role::Receiver).unwrap(),
        [b"- x".to_vec()]
    );
    let error = list.wire_rules(Protocol::V29, Role::Sender).unwrap_err();
    assert_eq!(
        error.to_string(),
        "filter rules are too modern for remote rsync."
    );
    assert_eq!(error.exit_code(), 2);
}
