//! Tests of the module as a whole.

mod command;
mod directories;
mod names;
mod properties;
mod reference;
mod rules;
mod trees;
mod vectors;

use std::io;

use rsync_proto::Protocol;

use super::{Chain, FilterError, Role, RuleList, RuleSettings};
use crate::options::FilterText;

/// A file of the captured filter data.
fn vector(name: &str) -> String {
    let path = format!(
        "{}/../testkit/vectors/filters/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A reader for lists that name no files.
fn no_files(name: &[u8]) -> io::Result<Vec<u8>> {
    panic!("unexpected file {}", name.escape_ascii())
}

/// A list from `--filter` texts.
fn rules(texts: &[&str]) -> Result<RuleList, FilterError> {
    let texts: Vec<_> = texts
        .iter()
        .map(|text| FilterText::Rule(text.as_bytes().to_vec()))
        .collect();
    RuleList::from_options(&texts, RuleSettings::default(), &mut no_files)
}

/// True for a rule that both a pulling and a pushing client send.
fn travels_both_ways<S: AsRef<str>>(rule: &S) -> bool {
    let prefix = rule.as_ref().split(' ').next().unwrap();
    !prefix.contains('r') || prefix.contains('s')
}

/// What a list sends at the newest protocol.
fn wire(list: &RuleList, role: Role) -> Vec<String> {
    let rules = list.wire_rules(Protocol::V32, role).unwrap();
    rules
        .into_iter()
        .map(|rule| String::from_utf8(rule).unwrap())
        .collect()
}

fn excluded(chain: &Chain, name: &str) -> bool {
    chain.check(name.as_bytes(), false).is_excluded()
}
