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
fn a_fold_keeps_what_no_ctime_tells_and_the_oldest_change() {
    let mut set = DirtySet::with_limit(Timing::default(), 3);
    set.found(&key("d/e/young"), at(9_000).mono, at(5));
    for (path, ms) in [("d/e", 1), ("d/e/x", 7), ("d/e/y", 8)] {
        set.hint(&key(path), Hint::Attributes, at(ms));
    }
    assert_eq!(set.len(), 1);
    // Once more, now as what is below another directory.
    for path in ["d/f", "d/g", "d/h"] {
        set.hint(&key(path), Hint::Attributes, at(20));
    }
    let taken = set.take(at(100_000).mono, 99);
    assert_eq!(names(&taken), ["d"]);
    assert!(taken[0].mark.subtree.force);
    assert_eq!(taken[0].mark.subtree.since, Some(at(1).real));
}

#[test]
fn a_directory_that_goes_is_as_old_as_what_was_held_below_it() {
    let mut set = DirtySet::new(Timing::default());
    set.hint(&key("d/x"), Hint::Gone, at(0));
    take(&mut set, 50);
    set.hold(&key("d/x"));
    set.hint(&key("d"), Hint::DirGone, at(60));
    assert_eq!((set.held(), set.owed_since()), (0, Some(at(0).real)));
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

mod property;
