use std::fmt::Write as _;

use rsync_engine::fs::{FileId, Timestamp};

use super::*;
use crate::dirty::Timing;
use crate::inotify::{EventBits, Record};

/// A state with one target and the directories `root` (watch 1), `a` (2), `a/b` (3) and `c` (4), and files `a/f` and `c/g`.
fn state() -> State {
    let target = Target::new(Timing::default());
    let excludes = Excludes::new(|path, _| path.ends_with(b"~"), false);
    let mut state = State::new(vec![target], excludes, at(0));
    state.tree.set_watch(Tree::ROOT, 1, id(1));
    let a = add(&mut state, Tree::ROOT, "a", 2);
    add(&mut state, a, "b", 3);
    let c = add(&mut state, Tree::ROOT, "c", 4);
    state.tree.add_name(a, b"f", 100);
    state.tree.add_name(c, b"g", 101);
    state
}

fn add(state: &mut State, parent: NodeId, name: &str, wd: i32) -> NodeId {
    let node = state.tree.ensure(&place(parent, name)).unwrap();
    state.tree.set_watch(node, wd, id(wd as u64));
    node
}

fn place(parent: NodeId, name: &str) -> Place {
    Place {
        parent,
        name: name.as_bytes().into(),
    }
}

fn id(ino: u64) -> FileId {
    FileId { dev: 1, ino }
}

fn at(ms: u64) -> Moment {
    Moment {
        mono: Duration::from_millis(ms),
        real: Timestamp {
            secs: 1_000,
            nsec: 0,
        },
    }
}

const MKDIR: EventBits = of_directory(EventBits::CREATE);
const RMDIR: EventBits = of_directory(EventBits::DELETE);
const DIR_FROM: EventBits = of_directory(EventBits::MOVED_FROM);
const DIR_TO: EventBits = of_directory(EventBits::MOVED_TO);
const DIR_ATTRIB: EventBits = of_directory(EventBits::ATTRIB);

const fn of_directory(bits: EventBits) -> EventBits {
    EventBits(bits.0 | EventBits::ISDIR.0)
}

fn apply(state: &mut State, records: &[(i32, EventBits, u32, &str)]) {
    for &(wd, bits, cookie, name) in records {
        let record = Record {
            wd,
            bits,
            cookie,
            name: name.as_bytes(),
        };
        state.apply(&record, at(1));
    }
}

/// The marks of the target, then the places to look at.
fn outcome(state: &mut State) -> String {
    let mut text = String::new();
    for taken in state.targets[0].set.take(at(1_000_000).mono, 99) {
        let mark = &taken.mark;
        write!(text, "{}", taken.path.escape_ascii()).unwrap();
        for (set, name) in [
            (!mark.content, " attr"),
            (mark.subtree.force, " force"),
            (mark.subtree.purge, " purge"),
        ] {
            if set {
                text += name;
            }
        }
        text += "; ";
    }
    while let Some(place) = state.next_job() {
        let path = state.tree.path_in(place.parent, &place.name);
        let path = path.map_or_else(
            || "nowhere".to_owned(),
            |path| path.escape_ascii().to_string(),
        );
        write!(text, "look {path}; ").unwrap();
    }
    text.trim_end_matches("; ").to_owned()
}

#[test]
fn records_mark_names_and_places() {
    type Case = (
        &'static str,
        &'static [(i32, EventBits, u32, &'static str)],
        &'static str,
    );
    let cases: &[Case] = &[
        ("write", &[(2, EventBits::MODIFY, 0, "f")], "a/f"),
        ("chmod", &[(3, EventBits::ATTRIB, 0, "x")], "a/b/x attr"),
        ("excluded", &[(3, EventBits::MODIFY, 0, "x~")], ""),
        // Its directory has another time.
        (
            "excluded name",
            &[(3, EventBits::CREATE, 0, "x~")],
            "a/b attr",
        ),
        (
            "excluded name at the root",
            &[(1, DIR_FROM, 9, "x~")],
            " attr",
        ),
        ("stale watch", &[(77, EventBits::CREATE, 0, "x")], ""),
        ("new directory", &[(1, MKDIR, 0, "n")], "n; look n"),
        (
            "removed directory",
            &[
                (3, EventBits::MODIFY, 0, "x"),
                (3, EventBits::DELETE_SELF, 0, ""),
                (3, EventBits::IGNORED, 0, ""),
                (2, RMDIR, 0, "b"),
            ],
            "a/b purge",
        ),
        ("lost watch", &[(3, EventBits::IGNORED, 0, "")], "look a/b"),
        (
            "renamed file",
            &[
                (2, EventBits::MOVED_FROM, 9, "f"),
                (4, EventBits::MOVED_TO, 9, "f2"),
            ],
            "c/f2; a/f",
        ),
        (
            "renamed directory",
            &[
                (1, DIR_FROM, 9, "a"),
                (4, DIR_TO, 9, "n"),
                (3, EventBits::MODIFY, 0, "x"),
            ],
            "c/n force; a purge; c/n/b/x; look a; look c/n",
        ),
        (
            "something between the halves",
            &[
                (1, DIR_FROM, 9, "a"),
                (2, EventBits::DELETE, 0, "f"),
                (4, DIR_TO, 9, "n"),
            ],
            "c/n force purge; a purge; a/f; look a; look c/n",
        ),
        ("moved in", &[(4, DIR_TO, 9, "n")], "c/n force; look c/n"),
        (
            "exchanged directories",
            &[
                (1, DIR_FROM, 9, "a"),
                (1, DIR_TO, 9, "c"),
                (1, DIR_FROM, 10, "c"),
                (1, DIR_TO, 10, "a"),
            ],
            "a force purge; c force purge; look a; look c",
        ),
        ("root attributes", &[(1, DIR_ATTRIB, 0, "")], " attr"),
        (
            "attributes told twice",
            &[(1, DIR_ATTRIB, 0, "c"), (4, DIR_ATTRIB, 0, "")],
            "c attr",
        ),
    ];
    for (name, records, expected) in cases {
        let mut state = state();
        apply(&mut state, records);
        assert_eq!(outcome(&mut state), *expected, "{name}");
    }
}

#[test]
fn what_moved_away_is_forgotten_after_the_queue_was_empty() {
    let mut state = state();
    apply(&mut state, &[(1, DIR_FROM, 9, "a")]);
    assert!(state.is_moving());
    state.expire_moves(at(200).mono);
    assert!(state.is_moving(), "the second half may be in the queue");
    state.queue_empty(at(2));
    assert_eq!(state.expire_moves(at(50).mono), Some(at(51).mono));
    assert!(state.expire_moves(at(51).mono).is_none());
    state.unused.sort_unstable();
    assert_eq!(state.unused, [2, 3]);
    assert!(!state.is_moving());
    // A second half that comes too late is a directory from elsewhere.
    outcome(&mut state);
    apply(&mut state, &[(4, DIR_TO, 9, "n")]);
    assert_eq!(outcome(&mut state), "c/n force; look c/n");
}

#[test]
fn a_loss_counts_from_the_last_empty_queue() {
    let mut state = state();
    state.queue_empty(at(5));
    apply(&mut state, &[(-1, EventBits::Q_OVERFLOW, 0, "")]);
    let lost = state.lost.unwrap();
    assert_eq!(lost.since.mono, at(5).mono);
    assert_eq!(
        lost.since.real.secs, 999,
        "file times may lag behind the clock"
    );
    state.queue_empty(at(9));
    apply(&mut state, &[(-1, EventBits::Q_OVERFLOW, 0, "")]);
    assert_eq!(state.lost, Some(lost), "the older loss covers both");
}

#[test]
fn the_root_is_checked_when_something_happens_to_it() {
    for bits in [
        EventBits::UNMOUNT,
        EventBits::DELETE_SELF,
        EventBits::MOVE_SELF,
        EventBits::IGNORED,
    ] {
        let mut state = state();
        apply(&mut state, &[(1, bits, 0, "")]);
        assert!(state.check_root, "{bits:?}");
        assert_eq!(outcome(&mut state), "");
    }
}

#[test]
fn an_unmounted_directory_is_neither_looked_at_nor_deleted() {
    let mut state = state();
    apply(
        &mut state,
        &[
            (4, EventBits::UNMOUNT, 0, ""),
            (4, EventBits::IGNORED, 0, ""),
        ],
    );
    assert_eq!(outcome(&mut state), "");
    let blocked: Vec<_> = state.tree.blocked().collect();
    assert_eq!(blocked, [PathBytes::from(&b"c"[..])]);
}

#[test]
fn a_place_below_a_directory_that_moves_waits() {
    let mut state = state();
    let a = state.tree.find(b"a").unwrap();
    apply(&mut state, &[(1, DIR_FROM, 9, "a")]);
    outcome(&mut state);
    state.look_above_first(&place(a, "new"));
    assert_eq!(outcome(&mut state), "");
    apply(&mut state, &[(4, DIR_TO, 9, "n")]);
    assert_eq!(outcome(&mut state), "c/n force; look c/n/new; look c/n");
    // One whose directory is only not where the tree has it is looked at after that.
    state.look_above_first(&place(a, "new"));
    assert_eq!(outcome(&mut state), "look c/n; look c/n/new");
}

#[test]
fn the_other_names_of_a_lost_name_are_told() {
    type Case = (
        &'static str,
        &'static [(i32, EventBits, u32, &'static str)],
        bool,
    );
    const WRITE: (i32, EventBits, u32, &str) = (2, EventBits::MODIFY, 0, "f");
    let cases: &[Case] = &[
        ("removed", &[(2, EventBits::DELETE, 0, "f")], false),
        (
            "written, removed",
            &[WRITE, (2, EventBits::DELETE, 0, "f")],
            true,
        ),
        (
            "written, replaced",
            &[
                WRITE,
                (4, EventBits::MOVED_FROM, 9, "g"),
                (2, EventBits::MOVED_TO, 9, "f"),
            ],
            true,
        ),
        (
            "written, moved out",
            &[WRITE, (2, EventBits::MOVED_FROM, 9, "f")],
            true,
        ),
        (
            "written, moved out with its directory",
            &[WRITE, (1, DIR_FROM, 9, "a")],
            true,
        ),
        (
            "another written",
            &[
                (2, EventBits::MODIFY, 0, "x"),
                (2, EventBits::DELETE, 0, "f"),
            ],
            false,
        ),
    ];
    for (what, records, told) in cases {
        let mut state = state_with_two_names();
        apply(&mut state, records);
        assert_eq!(is_told(&mut state), *told, "{what}");
    }
}

/// It was written and replaced before the events of that are read.
#[test]
fn the_other_names_are_marked_if_a_look_finds_another_file() {
    for (ino, marked) in [(100, false), (200, true)] {
        let mut state = state_with_two_names();
        let a = state.tree.find(b"a").unwrap();
        state.seen(a, b"f", ino, at(1));
        assert_eq!(state.tree.file(a, b"f"), Some(id(ino)));
        assert_eq!(is_told(&mut state), marked, "{ino}");
    }
}

/// The file `a/f` is `c/other`, too.
fn state_with_two_names() -> State {
    let mut state = state();
    let c = state.tree.find(b"c").unwrap();
    state.tree.add_name(c, b"other", 100);
    state
}

/// Whether `c/other` is marked when what was marked before is confirmed.
fn is_told(state: &mut State) -> bool {
    let target = &mut state.targets[0];
    let since = target.owed_since();
    target.set.take(at(1_000_000).mono, 99);
    target.adopt_forsaken(&state.tree, later());
    target.set.confirm_rest();
    let told = !target.set.is_clean_below(b"c/other");
    assert!(
        !told || target.owed_since() == since,
        "as old as the change"
    );
    told
}

fn later() -> Moment {
    let mut now = at(2);
    now.real.secs += 500;
    now
}

#[test]
fn a_directory_that_is_owed_as_a_whole_owes_each_name() {
    let whole = [
        (Subtree::FORCE, true),
        (
            Subtree {
                since: Some(at(0).real),
                ..Subtree::default()
            },
            true,
        ),
        // Each name is compared for itself.
        (Subtree::FULL, false),
    ];
    for (subtree, told) in whole {
        let mut state = state_with_two_names();
        state.subtree(&PathBytes::from(&b"a"[..]), subtree, at(0));
        apply(&mut state, &[(2, EventBits::DELETE, 0, "f")]);
        assert_eq!(is_told(&mut state), told, "{subtree:?}");
    }
}

#[test]
fn what_a_displaced_directory_owes_is_told_of_other_names() {
    let mut state = state_with_two_names();
    apply(&mut state, &[(2, EventBits::MODIFY, 0, "f")]);
    let a = state.tree.find(b"a").unwrap();
    state.displace(a, at(1));
    assert!(is_told(&mut state));
}

#[test]
fn marks_are_as_old_as_the_last_moment_when_all_was_known() {
    let mut state = state();
    let record = Record {
        wd: 2,
        bits: EventBits::MODIFY,
        cookie: 0,
        name: b"f",
    };
    state.apply(&record, later());
    assert_eq!(state.targets[0].owed_since(), Some(at(0).real));
    // The wall clock was set back.
    let mut before = at(3);
    before.real.secs -= 500;
    state.apply(&record, before);
    assert_eq!(state.targets[0].owed_since(), Some(before.real));
}
