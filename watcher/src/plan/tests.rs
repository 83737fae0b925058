use std::fmt::Write as _;

use rsync_engine::fs::Timestamp;

use super::*;
use crate::dirty::Hint;

/// A source to plan from, and what differs from the usual context.
struct Scene {
    dir: tempfile::TempDir,
    policy: DeletePolicy,
    max_batch: usize,
    waiting: Vec<&'static str>,
    blocked: Vec<&'static str>,
    attached: bool,
}

impl Scene {
    fn new(paths: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for path in paths {
            let full = dir.path().join(path);
            std::fs::create_dir_all(full.parent().unwrap()).unwrap();
            if path.ends_with('/') {
                std::fs::create_dir_all(full).unwrap();
            } else {
                std::fs::write(full, path).unwrap();
            }
        }
        Self {
            dir,
            policy: DeletePolicy::Watched,
            max_batch: 1_000,
            waiting: Vec::new(),
            blocked: Vec::new(),
            attached: true,
        }
    }

    /// The plan for these marks as text: `+` content, `=` attributes, `/` parent, `-` deletion; then what else it says.
    fn plan(&self, marks: &[(&str, Mark)]) -> String {
        let source = Source::open(self.dir.path()).unwrap();
        let excludes = Excludes::new(|path, _| path.ends_with(b"~"), false);
        let keys = |paths: &[&str]| paths.iter().map(|path| path.as_bytes().into()).collect();
        let attached = self.attached;
        let context = Context {
            source: &source,
            excludes: &excludes,
            timing: &Timing::default(),
            policy: self.policy,
            now: at(LATER),
            max_batch: self.max_batch,
            is_attached: &|_, _| attached,
            waiting: BTreeSet::from_iter::<Vec<PathBytes>>(keys(&self.waiting)),
            blocked: keys(&self.blocked),
            is_stopping: &|| false,
        };
        let mut taken: Vec<_> = marks
            .iter()
            .map(|(path, mark)| Taken {
                path: path.as_bytes().into(),
                mark: mark.clone(),
            })
            .collect();
        taken.sort_by(|a, b| a.path.cmp(&b.path));
        describe_plan(&plan(&context, &taken))
    }
}

fn describe_plan(plan: &Plan) -> String {
    let mut text = String::new();
    for entry in plan.entries.values() {
        let sign = match entry.kind {
            EntryKind::Content => '+',
            EntryKind::Attr => '=',
            EntryKind::Parent => '/',
            EntryKind::Delete => '-',
        };
        write!(text, "{sign}{} ", entry.path.escape_ascii()).unwrap();
    }
    for comparison in &plan.comparisons {
        let deletes = if comparison.delete_extras { "!" } else { "" };
        let force = if comparison.ignore_times { "+" } else { "" };
        write!(
            text,
            "compare{force}{deletes}:{} ",
            comparison.path.escape_ascii()
        )
        .unwrap();
    }
    for (path, wait) in &plan.deferred {
        write!(text, "wait:{}:{wait:?} ", path.escape_ascii()).unwrap();
    }
    for path in &plan.strengthened {
        write!(text, "own:{} ", path.escape_ascii()).unwrap();
    }
    for (path, _) in &plan.found {
        write!(text, "later:{} ", path.escape_ascii()).unwrap();
    }
    for (path, _, _) in &plan.problems {
        write!(text, "problem:{} ", path.escape_ascii()).unwrap();
    }
    for (path, _) in &plan.barred {
        write!(text, "barred:{} ", path.escape_ascii()).unwrap();
    }
    text.trim_end().to_owned()
}

/// Long after every mark, and after every file was written.
const LATER: u64 = 9_000;

fn at(ms: u64) -> Moment {
    Moment {
        mono: Duration::from_millis(ms),
        real: Timestamp {
            secs: 4_000_000_000,
            nsec: 0,
        },
    }
}

fn marked(hint: Hint) -> Mark {
    let mut mark = Mark::new(at(0));
    mark.note(hint, at(0));
    mark
}

fn with(subtree: Subtree) -> Mark {
    let mut mark = marked(Hint::DirCreated);
    mark.subtree = subtree;
    mark
}

#[test]
fn names_as_they_are_found() {
    let scene = Scene::new(&["a/b/f", "a/g", "d/", "file", "x~"]);
    std::os::unix::fs::symlink("a", scene.dir.path().join("link")).unwrap();
    let closed = || marked(Hint::Closed);
    let gone = || marked(Hint::Gone);
    type Case<'a> = (&'a str, &'a [(&'a str, Mark)], &'a str);
    let cases: &[Case<'_>] = &[
        ("file", &[("a/b/f", closed())], "/ /a /a/b +a/b/f"),
        (
            "attributes",
            &[
                ("a/b/f", marked(Hint::Attributes)),
                ("d", marked(Hint::Attributes)),
            ],
            "/ /a /a/b =a/b/f =d",
        ),
        ("link", &[("link", closed())], "/ =link"),
        ("directory", &[("d", marked(Hint::DirCreated))], "/ =d"),
        ("deletion that is none", &[("a/g", gone())], "/ /a +a/g"),
        ("gone", &[("a/no", gone())], "/ /a -a/no"),
        (
            "gone with its directory",
            &[("no", gone()), ("no/x/y", closed()), ("no/z", gone())],
            "/ -no",
        ),
        (
            "a link in the place of a directory",
            &[("link/x", gone())],
            "/ =link",
        ),
        (
            "a file in the place of a directory",
            &[("file/x/y", gone())],
            "/ +file",
        ),
        ("root", &[("", marked(Hint::Attributes))], "="),
    ];
    for (name, marks, expected) in cases {
        assert_eq!(scene.plan(marks), *expected, "{name}");
    }
}

#[test]
fn nothing_is_deleted_that_may_still_be_there() {
    let mut scene = Scene::new(&["closed/f", "d/f"]);
    scene.blocked = vec!["closed"];
    let gone = marked(Hint::Gone);
    assert_eq!(
        scene.plan(&[("closed/x", gone.clone())]),
        "problem:closed/x"
    );
    assert_eq!(scene.plan(&[("d/x", gone.clone())]), "/ /d -d/x");
    let purged = with(Subtree {
        purge: true,
        ..Subtree::FORCE
    });
    assert_eq!(
        scene.plan(&[("", purged.clone())]),
        "= +closed/f +d/f barred:"
            .replace("= ", "= =closed ")
            .replace("+d/f", "=d +d/f")
    );
    scene.blocked = Vec::new();
    assert_eq!(scene.plan(&[("d", purged)]), "/ =d compare+!:d");
    scene.policy = DeletePolicy::Keep;
    assert_eq!(scene.plan(&[("d/x", gone)]), "/ =d");
}

#[test]
fn what_is_excluded_as_what_it_is_now_is_gone() {
    let scene = Scene::new(&["d/x~", "a/f", "file~"]);
    let gone = || marked(Hint::Gone);
    assert_eq!(scene.plan(&[("d/x~", gone())]), "/ /d -d/x~");
    assert_eq!(scene.plan(&[("file~/below", gone())]), "/ -file~");
}

#[test]
fn paths_that_no_list_can_hold_fail_without_a_look() {
    let scene = Scene::new(&["a/f"]);
    let long = ["n".repeat(255).as_str(), ""].join("/").repeat(17);
    // Nothing is there, but nobody looks.
    let below = format!("{long}x");
    let plan = scene.plan(&[("a/f", marked(Hint::Closed)), (&below, marked(Hint::Gone))]);
    assert_eq!(plan, format!("/ /a +a/f problem:{below}"));
}

#[test]
fn a_watcher_that_stops_plans_no_more() {
    let scene = Scene::new(&["a/f", "b"]);
    let (source, excludes) = (Source::open(scene.dir.path()).unwrap(), Excludes::default());
    let looks = std::cell::Cell::new(0);
    let context = Context {
        source: &source,
        excludes: &excludes,
        timing: &Timing::default(),
        policy: scene.policy,
        now: at(LATER),
        max_batch: scene.max_batch,
        is_attached: &|_, _| true,
        waiting: BTreeSet::new(),
        blocked: Vec::new(),
        is_stopping: &|| looks.replace(looks.get() + 1) > 0,
    };
    let taken = ["a", "b"].map(|path| Taken {
        path: path.as_bytes().into(),
        mark: with(Subtree::FORCE),
    });
    let plan = plan(&context, &taken);
    assert!(plan.stopped);
    assert!(!plan.entries.contains_key(&b"b"[..]));
    assert_eq!(looks.get(), 2);
}

#[test]
fn directories_as_a_whole() {
    let mut scene = Scene::new(&["d/e/f", "d/g", "d/x~", "o"]);
    let force = || with(Subtree::FORCE);
    assert_eq!(scene.plan(&[("d", force())]), "/ =d =d/e +d/e/f +d/g");
    // A mark of its own knows better.
    let open = marked(Hint::Modified);
    let mut young = open.clone();
    young.first = at(LATER);
    young.last = at(LATER).mono;
    assert_eq!(
        scene.plan(&[("d", force()), ("d/g", young)]),
        "/ =d =d/e +d/e/f wait:d/g:Open own:d/g"
    );
    assert_eq!(
        scene.plan(&[("d", force()), ("d/g", marked(Hint::Attributes))]),
        "/ =d =d/e +d/e/f =d/g own:d/g"
    );
    scene.waiting = vec!["d/e/f"];
    assert_eq!(scene.plan(&[("d", force())]), "/ =d =d/e +d/g own:d/e/f");
    scene.waiting = Vec::new();
    assert_eq!(scene.plan(&[("", with(Subtree::FULL))]), "= compare:");
    scene.policy = DeletePolicy::All;
    assert_eq!(scene.plan(&[("", with(Subtree::FULL))]), "= compare!:");
    let since = |secs| {
        with(Subtree {
            since: Some(Timestamp { secs, nsec: 0 }),
            ..Subtree::default()
        })
    };
    assert_eq!(scene.plan(&[("d", since(0))]), "/ =d =d/e +d/e/f +d/g");
    assert_eq!(
        scene.plan(&[("d", since(0)), ("d/g", marked(Hint::Attributes))]),
        "/ =d =d/e +d/e/f =d/g own:d/g",
        "its content is in question"
    );
    assert_eq!(scene.plan(&[("d", since(5_000_000_000))]), "/ =d");
    // More than a batch holds is compared by a session.
    scene.max_batch = 2;
    assert_eq!(scene.plan(&[("d", force())]), "/ =d compare+:d");
    // What has no watch yet comes with its watch.
    scene.max_batch = 1_000;
    scene.attached = false;
    assert_eq!(scene.plan(&[("d", force())]), "/ =d");
}

#[test]
fn a_file_just_written_waits_until_it_may_be_complete() {
    let scene = Scene::new(&["d/f"]);
    let source = Source::open(scene.dir.path()).unwrap();
    let found = Looker::new(&source).look(b"d/f");
    let Ok(Found::Object(stat)) = found else {
        panic!("{found:?}");
    };
    let excludes = Excludes::default();
    let timing = Timing::default();
    let mut context = Context {
        source: &source,
        excludes: &excludes,
        timing: &timing,
        policy: DeletePolicy::Watched,
        now: Moment {
            mono: at(LATER).mono,
            real: stat.mtime,
        },
        max_batch: 9,
        is_attached: &|_, _| true,
        waiting: BTreeSet::new(),
        blocked: Vec::new(),
        is_stopping: &|| false,
    };
    let taken = [Taken {
        path: b"d"[..].into(),
        mark: with(Subtree::FORCE),
    }];
    assert_eq!(describe_plan(&plan(&context, &taken)), "/ =d later:d/f");
    context.now.real.secs += 1;
    assert_eq!(describe_plan(&plan(&context, &taken)), "/ =d +d/f");
}

#[test]
fn all_names_of_a_file_are_sent() {
    let scene = Scene::new(&["a/f"]);
    std::fs::hard_link(scene.dir.path().join("a/f"), scene.dir.path().join("g")).unwrap();
    let source = Source::open(scene.dir.path()).unwrap();
    let excludes = Excludes::default();
    let timing = Timing::default();
    let context = Context {
        source: &source,
        excludes: &excludes,
        timing: &timing,
        policy: DeletePolicy::Watched,
        now: at(LATER),
        max_batch: 9,
        is_attached: &|_, _| true,
        // It may have a mark for less.
        waiting: BTreeSet::from([PathBytes::from(&b"g"[..])]),
        blocked: Vec::new(),
        is_stopping: &|| false,
    };
    let mark = |path: &str, hint| Taken {
        path: path.as_bytes().into(),
        mark: marked(hint),
    };
    for (taken, expected) in [
        (vec![mark("a/f", Hint::Closed)], "/ /a +a/f +g"),
        (vec![mark("a/f", Hint::Attributes)], "/ /a =a/f =g"),
        (vec![mark("a/f", Hint::Differs)], "/ /a +a/f +g"),
        (
            vec![mark("a/f", Hint::Closed), mark("g", Hint::Attributes)],
            "/ /a +a/f +g",
        ),
    ] {
        let mut plan = plan(&context, &taken);
        let id = *plan.linked.keys().next().unwrap();
        let names = ["a/f", "g", "no/more"].map(|name| (PathBytes::from(name.as_bytes()), id));
        plan.add_links(&context, names.to_vec());
        assert_eq!(describe_plan(&plan), expected);
    }
}
