//! `syncline watch` against a stock daemon set up as users do: the first sync, then whatever changes.

use testkit::{Mutator, TreeSpec, real_tree, require_rsync};

use crate::setup::{Pair, USER, leaves};

/// First sync of `source`'s tree, then rounds of random changes; after each the mirror becomes equal.
#[track_caller]
fn follows(pair: &Pair, words: &[&str], seed: u64, rounds: usize, steps: usize) {
    let rsync = require_rsync!();
    let daemon = pair.daemon(&rsync);
    let words = [&["-H"], words].concat();
    let watch = pair.watch(&words, &[&daemon.url_as(USER, "mirror")]);
    watch.wait_output("in sync");
    pair.settles(&watch, &|| "the first sync".to_owned());
    let mut mutator = Mutator::new(&pair.source, seed);
    for _ in 0..rounds {
        mutator.steps(steps);
        pair.settles(&watch, &|| mutator.told());
    }
    leaves(watch);
}

#[test]
fn a_big_real_tree_and_then_changes() {
    let pair = Pair::new();
    assert!(real_tree(&pair.source, 20_000) >= 20_000);
    TreeSpec::sample(1).build(pair.source.join("sample"));
    follows(&pair, &[], 1, 4, 250);
}

#[test]
fn protocol_30() {
    let pair = Pair::new();
    TreeSpec::sample(30).build(&pair.source);
    follows(&pair, &["--protocol=30"], 30, 10, 40);
}

#[test]
fn protocol_31() {
    let pair = Pair::new();
    TreeSpec::sample(31).build(&pair.source);
    follows(&pair, &["--protocol=31"], 31, 10, 40);
}

#[test]
fn protocol_32() {
    let pair = Pair::new();
    TreeSpec::sample(32).build(&pair.source);
    follows(&pair, &["--protocol=32"], 32, 10, 40);
}
