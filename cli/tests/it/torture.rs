//! Random changes with hard links, under rules, while the daemon goes and comes, connections break and the watch itself is
//! stopped, killed and started: when all is well again, stock rsync finds nothing left to do.
//!
//! `SYNCLINE_TORTURE_SEEDS=first..end` runs more of it, or one that failed.

use std::ops::Range;

use testkit::{Ending, Mutator, Program, Random, Relay, Running, TreeSpec, require_rsync, wait};

use crate::setup::{PASSWORD, Pair, USER, leaves, without_hard_links};

#[test]
fn rounds_of_changes_and_outages() {
    let rsync = require_rsync!();
    for seed in seeds() {
        torture(&rsync, seed);
    }
}

fn seeds() -> Range<u64> {
    match std::env::var("SYNCLINE_TORTURE_SEEDS") {
        Err(_) => 0..2,
        Ok(text) => {
            let (first, end) = text.split_once("..").expect("first..end");
            first.parse().unwrap()..end.parse().unwrap()
        }
    }
}

/// What a watch and stock rsync are given alike, and whether files get second names: what is written through one that is left out
/// has no event.
const RULES: [(&[&str], bool); 6] = [
    (&[], true),
    (&[], true),
    (&["--filter=P *2"], true),
    (&["--exclude=*3"], false),
    (&["--filter=- */*1", "--filter=P *2"], false),
    (&["--include=*7", "--exclude=?*7*"], false),
];

fn torture(rsync: &testkit::Rsync, seed: u64) {
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let pair = Pair::new();
    TreeSpec::random(seed, 60, 10, 3_000).build(&pair.source);
    let mut daemon = pair.daemon(rsync);
    let relay = Relay::start(daemon.addr());
    let url = relay.url_as(USER, "mirror");
    let (rules, links) = *random.pick(&RULES);
    let words = [&["-H", "--delete"], rules].concat();
    let start = || pair.watch(&words, &[&url]);
    let mut mutator = Mutator::new(&pair.source, seed).max_size(3_000);
    if !links {
        mutator = mutator.mix(without_hard_links());
    }
    let mut story = format!("rules {rules:?}\n");
    let mut watch: Option<Running> = None;
    let mut up = true;
    for _ in 0..4 + random.below(8) {
        match random.below(7) {
            0 if up => {
                story += "the daemon is killed\n";
                daemon.kill();
                relay.cut_all(Ending::Reset);
                up = false;
            }
            0 | 1 if !up => {
                story += "the daemon comes back\n";
                daemon.restart();
                up = true;
            }
            1 | 2 => {
                story += "connections break\n";
                relay.cut_all(Ending::Reset);
            }
            3 => {
                if let Some(watch) = watch.take() {
                    story += "the watch is stopped\n";
                    // Before, a signal simply ends it.
                    watch.wait_output("reading the tree");
                    leaves(watch);
                }
            }
            4 => {
                if let Some(watch) = watch.take() {
                    story += "the watch is killed\n";
                    watch.kill();
                }
            }
            5 if up => {
                if let Some(watch) = &watch {
                    story += "equal in between\n";
                    settles(rsync, &pair, rules, watch, &mutator, &story);
                }
            }
            _ => {}
        }
        if watch.is_none() && random.one_in(2) {
            story += "the watch is started\n";
            watch = Some(start());
        }
        mutator.steps(random.index(25));
        story += &format!("{} changes so far\n", mutator.told().lines().count());
    }
    if !up {
        daemon.restart();
    }
    let watch = watch.unwrap_or_else(start);
    settles(rsync, &pair, rules, &watch, &mutator, &story);
    leaves(watch);
}

/// Waits until stock rsync would change nothing, content and hard links included.
#[track_caller]
fn settles(
    rsync: &testkit::Rsync,
    pair: &Pair,
    rules: &[&str],
    watch: &Running,
    mutator: &Mutator,
    story: &str,
) {
    let mirror = format!("{}/", pair.mirror.display());
    let left = || {
        let judge = Program::new(rsync.path())
            .password(PASSWORD)
            .args(["-acHin", "--delete"])
            .args(rules)
            // A name that is left out changes the time of its directory, and nothing tells.
            .args((!rules.is_empty()).then_some("--omit-dir-times"))
            .args([&pair.contents(), &mirror])
            .run();
        // While sessions run, what it looks at may vanish.
        if judge.code() != Some(0) {
            return judge.err();
        }
        // What is protected stays, and what holds it, though a dry run also says the opposite of it.
        let left = judge.out();
        let stays = |line: &str| {
            line.strip_prefix("cannot delete non-empty directory: ")
                .map(str::to_owned)
        };
        let kept: Vec<String> = left.lines().filter_map(stays).collect();
        let is_kept = |line: &str| {
            let name = line
                .strip_prefix("*deleting   ")
                .and_then(|name| name.strip_suffix('/'));
            name.is_some_and(|name| kept.iter().any(|kept| kept == name))
        };
        let left = left
            .lines()
            .filter(|line| stays(line).is_none() && !is_kept(line));
        left.collect::<Vec<_>>().join("\n")
    };
    let settled = wait::within(crate::setup::PATIENCE, || {
        (watch.ended() || left().is_empty()).then_some(())
    });
    assert!(
        settled.is_some() && !watch.ended(),
        "left to do:\n{}\n{watch}\n{story}\n{}",
        left(),
        mutator.told()
    );
}
