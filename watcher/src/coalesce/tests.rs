use std::collections::BTreeSet;

use proptest::prelude::*;
use rsync_engine::fs::Timestamp;

use super::*;

fn at(ms: u64) -> Moment {
    Moment {
        mono: Duration::from_millis(ms),
        real: Timestamp {
            secs: 1_000 + (ms / 1_000) as i64,
            nsec: (ms % 1_000) as u32 * 1_000_000,
        },
    }
}

fn key(path: &str) -> PathBytes {
    path.as_bytes().into()
}

fn names(taken: &[Taken]) -> Vec<String> {
    taken
        .iter()
        .map(|taken| String::from_utf8_lossy(&taken.path).into_owned())
        .collect()
}

fn take(set: &mut DirtySet, ms: u64) -> Vec<String> {
    names(&set.take(at(ms).mono, usize::MAX))
}

#[test]
fn ready_names_go_others_stay() {
    let mut set = DirtySet::new(Timing::default());
    set.hint(&key("closed"), Hint::Closed, at(0));
    set.hint(&key("open"), Hint::Modified, at(0));
    set.hint(&key("gone"), Hint::Gone, at(0));
    assert_eq!(set.next_due(), Some(at(10).mono));
    assert!(take(&mut set, 9).is_empty());
    assert_eq!(take(&mut set, 10), ["closed"]);
    assert_eq!(take(&mut set, 60), ["gone"]);
    assert_eq!(take(&mut set, 1_000), ["open"]);
    assert_eq!(set.next_due(), None);
    assert!(!set.is_empty());
    set.confirm_rest();
    assert!(set.is_empty());
}

#[test]
fn a_mark_made_while_its_name_is_in_flight_stays() {
    let mut set = DirtySet::new(Timing::default());
    set.hint(&key("a"), Hint::Closed, at(0));
    assert_eq!(take(&mut set, 10), ["a"]);
    set.hint(&key("a"), Hint::Attributes, at(11));
    set.confirm_rest();
    assert_eq!(set.oldest(), Some(at(11)));
    let again = set.take(at(21).mono, 9);
    assert_eq!(names(&again), ["a"]);
    assert!(!again[0].mark.content);
}

#[test]
fn what_comes_back_is_the_union() {
    let mut set = DirtySet::new(Timing::default());
    set.hint(&key("a"), Hint::Closed, at(0));
    take(&mut set, 10);
    set.hint(&key("a"), Hint::Attributes, at(11));
    set.give_back();
    let again = set.take(at(21).mono, 9);
    assert!(again[0].mark.content && again[0].mark.closed);
    assert_eq!(again[0].mark.first, at(0));
}

#[test]
fn failures_back_off_and_an_event_ends_the_wait() {
    let mut set = DirtySet::new(Timing::default());
    set.hint(&key("a"), Hint::Closed, at(0));
    let mut now = 10;
    for expected in [1_000, 2_000, 4_000] {
        assert_eq!(take(&mut set, now), ["a"]);
        set.fail(&key("a"), "permission denied", Subtree::default(), at(now));
        assert_eq!(set.next_due(), Some(at(now + expected).mono));
        assert!(set.only_problems_left());
        now += expected;
    }
    assert_eq!(set.problems().next().unwrap().1.attempts, 3);
    set.hint(&key("a"), Hint::Attributes, at(now - 3_000));
    assert_eq!(take(&mut set, now - 2_990), ["a"]);
    set.confirm_rest();
    assert_eq!(set.problems().len(), 0);
}

#[test]
fn a_directory_that_fails_takes_what_is_below_it() {
    let mut set = DirtySet::new(Timing::default());
    for path in ["d", "d/x", "e"] {
        set.hint(&key(path), Hint::Closed, at(0));
    }
    set.take(at(10).mono, 9);
    set.fail(&key("d"), "no space left", Subtree::FORCE, at(10));
    set.confirm_rest();
    assert_eq!(set.len(), 2);
    assert!(take(&mut set, 1_009).is_empty());
    assert_eq!(take(&mut set, 1_010), ["d", "d/x"]);
}

#[test]
fn a_directory_that_goes_takes_the_marks_below_it() {
    let mut set = DirtySet::new(Timing::default());
    for path in ["d/x", "d/y/z", "d.x", "e"] {
        set.hint(&key(path), Hint::Closed, at(0));
    }
    set.hint(&key("d"), Hint::DirGone, at(5));
    assert_eq!(set.len(), 3);
    let taken = set.take(at(1_000).mono, 9);
    let dir = taken.iter().find(|taken| &*taken.path == b"d").unwrap();
    assert!(dir.mark.subtree.purge);
    assert_eq!(dir.mark.first, at(0), "lag counts from the oldest change");
}

#[test]
fn forced_directories_below_a_forced_one_need_no_mark() {
    let mut set = DirtySet::new(Timing::default());
    set.subtree(&key("d"), Subtree::FORCE, at(0));
    set.subtree(&key("d/e"), Subtree::FORCE, at(0));
    assert_eq!(set.len(), 1);
    take(&mut set, 10);
    // The walk of "d" may be past it by now.
    set.subtree(&key("d/e"), Subtree::FORCE, at(11));
    assert_eq!(set.len(), 1);
}

#[test]
fn held_deletions_wait_for_the_release() {
    let mut set = DirtySet::new(Timing::default());
    set.hint(&key("a"), Hint::Gone, at(0));
    take(&mut set, 50);
    set.hold(&key("a"));
    set.confirm_rest();
    assert_eq!((set.held(), set.next_due()), (1, None));
    assert!(set.is_empty());
    set.release();
    assert_eq!(take(&mut set, 60), ["a"]);
}

#[test]
fn above_the_limit_full_directories_fold_but_deletions_do_not() {
    let mut set = DirtySet::with_limit(Timing::default(), 20);
    set.hint(&key("a/gone"), Hint::Gone, at(1));
    for i in 0..14 {
        set.hint(&key(&format!("a/{i}")), Hint::Closed, at(10 + i));
    }
    for i in 0..6 {
        set.hint(&key(&format!("b/{i}")), Hint::Closed, at(40));
    }
    assert!(set.len() <= 10, "{}", set.len());
    let taken = set.take(at(100_000).mono, 99);
    let folded = taken.iter().find(|taken| &*taken.path == b"a").unwrap();
    assert_eq!(folded.mark.subtree.since, Some(at(10).real));
    assert!(!folded.mark.subtree.force && !folded.mark.subtree.purge);
    assert!(names(&taken).contains(&"a/gone".to_owned()));
}

#[test]
fn thinly_spread_marks_fold_further_up() {
    let mut set = DirtySet::with_limit(Timing::default(), 10);
    for i in 0..11 {
        set.hint(&key(&format!("top/{i}/f")), Hint::Closed, at(0));
    }
    let names = take(&mut set, 1_000);
    assert_eq!(names, ["top"]);
}

/// One step of the property test.
#[derive(Clone, Debug)]
enum Step {
    Hint(u8, u8),
    Subtree(u8, u8),
    Found(u8),
    Take(u8),
    Confirm(u8),
    Rest,
    Defer(u8),
    Again(u8),
    Fail(u8),
    GiveBack,
    Release,
    Hold(u8),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<u8>(), any::<u8>()).prop_map(|(path, hint)| Step::Hint(path, hint)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(path, kind)| Step::Subtree(path, kind)),
        1 => any::<u8>().prop_map(Step::Found),
        3 => any::<u8>().prop_map(Step::Take),
        1 => any::<u8>().prop_map(Step::Confirm),
        1 => Just(Step::Rest),
        1 => any::<u8>().prop_map(Step::Defer),
        1 => any::<u8>().prop_map(Step::Again),
        1 => any::<u8>().prop_map(Step::Fail),
        1 => Just(Step::GiveBack),
        1 => Just(Step::Release),
        1 => any::<u8>().prop_map(Step::Hold),
        3 => (0..3_000u16).prop_map(Step::Wait),
    ]
}

/// Everything in flight at or below `top` is owed again.
fn land<'a>(flying: &mut BTreeSet<&'a str>, owed: &mut BTreeSet<&'a str>, top: &str) {
    let below: Vec<_> = flying
        .iter()
        .copied()
        .filter(|path| path::is_within(path.as_bytes(), top.as_bytes()))
        .collect();
    for path in below {
        flying.remove(path);
        owed.insert(path);
    }
}

const PATHS: [&str; 8] = ["", "a", "a/b", "a/b/c", "a/d", "e", "e/f", "g"];
const HINTS: [Hint; 9] = [
    Hint::Created,
    Hint::DirCreated,
    Hint::Modified,
    Hint::Closed,
    Hint::MovedIn,
    Hint::Attributes,
    Hint::Gone,
    Hint::DirGone,
    Hint::Differs,
];

proptest! {
    /// Nothing is ever forgotten: a name hinted at and not confirmed since is covered by a mark of its own or of a directory above it, and
    /// a mark is due within the longest wait. The limit is low, so that folding takes part.
    #[test]
    fn every_hint_stays_covered(steps in prop::collection::vec(step(), 1..80), limit in 2usize..9) {
        let mut set = DirtySet::with_limit(Timing::default(), limit);
        let mut now = 0u64;
        // Content hints not confirmed yet.
        let mut owed: BTreeSet<&str> = BTreeSet::new();
        let mut flying: BTreeSet<&str> = BTreeSet::new();
        for step in steps {
            let path = |i: u8| PATHS[i as usize % PATHS.len()];
            match step {
                Step::Hint(i, h) => {
                    set.hint(&key(path(i)), HINTS[h as usize % HINTS.len()], at(now));
                    owed.insert(path(i));
                }
                Step::Subtree(i, kind) => {
                    let kind = if kind % 2 == 0 { Subtree::FORCE } else { Subtree::FULL };
                    set.subtree(&key(path(i)), kind, at(now));
                    owed.insert(path(i));
                }
                Step::Found(i) => {
                    set.found(&key(path(i)), at(now + 250).mono, at(now));
                    owed.insert(path(i));
                }
                Step::Take(max) => {
                    for taken in set.take(at(now).mono, max as usize % 4) {
                        let name = std::str::from_utf8(&taken.path).unwrap();
                        let name = *PATHS.iter().find(|path| **path == name).unwrap();
                        flying.insert(name);
                        owed.remove(name);
                        // What is below a folded or purged directory is looked at with it.
                        if !taken.mark.subtree.is_none() {
                            let below: Vec<_> = owed.iter().copied()
                                .filter(|path| path::is_within(path.as_bytes(), name.as_bytes()))
                                .filter(|path| !set.marks.contains_key(path.as_bytes()))
                                .collect();
                            for path in below {
                                owed.remove(path);
                            }
                        }
                    }
                }
                Step::Confirm(i) => {
                    set.confirm(path(i).as_bytes());
                    flying.remove(path(i));
                }
                Step::Rest => {
                    set.confirm_rest();
                    flying.clear();
                }
                Step::Defer(i) => {
                    set.defer(&key(path(i)), Wait::Open);
                    if flying.remove(path(i)) { owed.insert(path(i)); }
                }
                Step::Again(i) => {
                    set.again(&key(path(i)), at(now));
                    land(&mut flying, &mut owed, path(i));
                    owed.insert(path(i));
                }
                Step::Fail(i) => {
                    set.fail(&key(path(i)), "no", Subtree::default(), at(now));
                    land(&mut flying, &mut owed, path(i));
                    owed.insert(path(i));
                }
                Step::GiveBack => {
                    set.give_back();
                    owed.append(&mut flying);
                }
                Step::Release => set.release(),
                Step::Hold(i) => {
                    set.hold(&key(path(i)));
                    if flying.remove(path(i)) { owed.insert(path(i)); }
                }
                Step::Wait(ms) => now += u64::from(ms),
            }
            for name in &owed {
                let covered = set.marks.contains_key(name.as_bytes())
                    || set.held.contains_key(name.as_bytes())
                    || path::ancestors(name.as_bytes()).any(|above| {
                        [&set.marks, &set.in_flight].into_iter().any(|map| {
                            map.get(above).is_some_and(|mark| !mark.subtree.is_none())
                        })
                    });
                prop_assert!(covered, "{name} was forgotten");
            }
            // The index of due times holds exactly the marks.
            prop_assert_eq!(set.due.len(), set.marks.len());
            for (path, mark) in &set.marks {
                prop_assert!(set.due.contains(&(mark.due(&set.timing), path.clone())));
            }
        }
        // In the end everything comes out: the longest waits are max_delay and the path retries.
        set.give_back();
        set.release();
        set.take(at(now + 700_000).mono, usize::MAX);
        prop_assert_eq!(set.len(), 0);
    }
}
