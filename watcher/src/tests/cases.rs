//! What the watcher promises, one promise a test.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::scene::Setup;
use crate::driver::Watcher;
use crate::event::WatchEvent;
use crate::guard::DeleteLimit;
use crate::shared::{DeletePolicy, WatchOptions};
use crate::state::Excludes;
use crate::target::Phase;

#[test]
fn a_batch_names_what_changed_and_nothing_else() {
    let scene = Setup {
        source: vec!["a/b/c", "a/b/d", "a/e", "f"],
        ..Setup::default()
    }
    .start();
    scene.check();
    scene.clear_log();
    scene.write("a/b/c", "new");
    scene.check();
    assert_eq!(
        scene.log(),
        [
            "push Parent ",
            "push Parent a",
            "push Parent a/b",
            "push Content a/b/c"
        ]
    );
    scene.clear_log();
    fs::remove_dir_all(scene.at("a/b")).unwrap();
    scene.check();
    assert_eq!(
        scene.log(),
        ["push Parent ", "push Parent a", "push Delete a/b"],
        "the topmost missing name"
    );
}

#[test]
fn a_rename_comes_with_its_old_name() {
    let scene = Setup {
        source: vec!["old/f", "old/g", "other"],
        ..Setup::default()
    }
    .start();
    scene.check();
    scene.clear_log();
    fs::rename(scene.at("old"), scene.at("new")).unwrap();
    scene.check();
    let log = scene.log();
    let renamed = log.iter().position(|line| line == "rename old new");
    let deleted = log.iter().position(|line| line == "push Delete old");
    assert!(renamed.is_some() && renamed < deleted, "{log:#?}");
}

#[test]
fn same_size_in_the_same_second() {
    let scene = Setup {
        source: vec!["file"],
        ..Setup::default()
    }
    .start();
    scene.check();
    for i in 0..50 {
        scene.write("file", &format!("{i:04}"));
        if i % 7 == 0 {
            scene.settle();
        }
    }
    scene.check();
}

#[test]
fn many_files_in_new_directories() {
    let scene = Setup::default().start();
    scene.check();
    let before = scene.controls[0].sessions.load(Ordering::Relaxed);
    for dir in 0..100 {
        fs::create_dir_all(scene.at(&format!("{dir}/in/side"))).unwrap();
        for file in 0..20 {
            scene.write(&format!("{dir}/in/side/{file}"), "content");
        }
    }
    scene.check();
    let sessions = scene.controls[0].sessions.load(Ordering::Relaxed) - before;
    assert!(sessions < 200, "{sessions} sessions for 2000 files");
}

#[test]
fn a_queue_that_overflows() {
    let scene = Setup {
        source: vec!["d/gone", "d/kept", "gone/f"],
        ..Setup::default()
    }
    .start();
    scene.check();
    scene.faults.pause(true);
    scene.write("d/kept", "one event that the reader takes");
    fs::remove_file(scene.at("d/gone")).unwrap();
    let queued: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    for i in 0..queued / 2 + 100 {
        scene.write(&format!("d/{i}"), "");
    }
    // All of this comes after the queue is full.
    fs::remove_dir_all(scene.at("gone")).unwrap();
    fs::remove_file(scene.at("d/7")).unwrap();
    fs::create_dir_all(scene.at("new/dir")).unwrap();
    scene.write("new/dir/f", "content");
    scene.faults.pause(false);
    scene.event(|event| matches!(event, WatchEvent::Overflow).then_some(()));
    scene.check();
    assert!(scene.watcher().status().overflows > 0);
    // The watches are still good.
    scene.write("new/dir/f", "changed");
    scene.check();
}

#[test]
fn without_enough_watches() {
    let mut setup = Setup {
        source: vec!["a/b/c/f", "d/f", "e/f"],
        ..Setup::default()
    };
    setup.options.max_watches = 3;
    let scene = setup.start();
    let (used, needed, advice) = scene.event(|event| match event {
        WatchEvent::WatchLimit {
            used,
            needed,
            advice,
            ..
        } => Some((*used, *needed, advice.clone())),
        _ => None,
    });
    assert_eq!((used, needed), (3, 6));
    let advised = advice.strip_prefix("sysctl fs.inotify.max_user_watches=");
    let advised: usize = advised.unwrap().parse().unwrap();
    assert!(advised > crate::inotify::watch_limit().unwrap(), "{advice}");
    scene.check();
    for (path, content) in [("a/b/c/f", "x"), ("d/f", "yy"), ("e/new", "z")] {
        scene.write(path, content);
    }
    fs::remove_file(scene.at("e/f")).unwrap();
    fs::create_dir(scene.at("a/b/c/deep")).unwrap();
    scene.write("a/b/c/deep/f", "f");
    scene.check();
}

#[test]
fn a_root_that_goes_away_deletes_nothing() {
    let scene = Setup {
        source: vec!["a/f", "g"],
        ..Setup::default()
    }
    .start();
    scene.check();
    let away = scene.dir.path().join("away");
    fs::rename(&scene.source, &away).unwrap();
    scene.event(|event| matches!(event, WatchEvent::SourceLost { .. }).then_some(()));
    // An empty directory in its place is another directory.
    fs::create_dir(&scene.source).unwrap();
    fs::remove_file(away.join("g")).unwrap();
    assert!(scene.watcher().status().source_lost);
    assert!(!scene.watcher().wait_in_sync(Duration::from_millis(20)));
    assert!(scene.mirrored("g").exists() && scene.mirrored("a/f").exists());
    fs::remove_dir(&scene.source).unwrap();
    fs::rename(&away, &scene.source).unwrap();
    scene.event(|event| matches!(event, WatchEvent::SourceBack).then_some(()));
    scene.check();
    scene.write("a/f", "and on");
    scene.check();
}

#[test]
fn what_is_deleted_at_the_target() {
    for (policy, extra, gone) in [
        (DeletePolicy::Keep, true, true),
        (DeletePolicy::Watched, true, false),
        (DeletePolicy::All, false, false),
    ] {
        let mut setup = Setup {
            source: vec!["dir/f", "dir/g", "h", "moved/f"],
            mirror: vec!["extra", "dir/extra"],
            ..Setup::default()
        };
        setup.options.delete = policy;
        let scene = setup.start();
        scene.settle();
        fs::remove_file(scene.at("h")).unwrap();
        fs::remove_file(scene.at("dir/g")).unwrap();
        fs::rename(scene.at("moved"), scene.dir.path().join("out")).unwrap();
        scene.settle();
        for path in ["extra", "dir/extra"] {
            assert_eq!(scene.mirrored(path).exists(), extra, "{policy:?} {path}");
        }
        for path in ["h", "dir/g", "moved/f"] {
            assert_eq!(scene.mirrored(path).exists(), gone, "{policy:?} {path}");
        }
        assert!(scene.mirrored("dir/f").exists());
    }
}

#[test]
fn a_directory_replaced_as_a_whole() {
    let scene = Setup {
        source: vec!["site/old", "site/same", "site.new/same", "site.new/new"],
        mirror: vec!["site/", "unknown"],
        ..Setup::default()
    }
    .start();
    scene.settle();
    fs::rename(scene.at("site"), scene.at("site.old")).unwrap();
    fs::rename(scene.at("site.new"), scene.at("site")).unwrap();
    scene.settle();
    assert!(
        !scene.mirrored("site/old").exists(),
        "it was there while watched"
    );
    assert!(scene.mirrored("unknown").exists(), "it never was");
    fs::remove_file(scene.mirrored("unknown")).unwrap();
    scene.write("touched", "");
    scene.check();
}

#[test]
fn too_many_deletions_wait_for_a_release() {
    let mut setup = Setup {
        source: vec!["d/1", "d/2", "d/3", "d/4", "d/5", "d/6", "e"],
        ..Setup::default()
    };
    setup.options.delete_limit = Some(DeleteLimit {
        names: 3,
        percent: 25,
    });
    let scene = setup.start();
    scene.check();
    fs::remove_dir_all(scene.at("d")).unwrap();
    scene.write("e", "goes on");
    let vanished = scene.event(|event| match event {
        WatchEvent::DeletesHeld { vanished, .. } => Some(*vanished),
        _ => None,
    });
    assert!(vanished > 3, "{vanished}");
    while fs::read(scene.mirrored("e")).unwrap() != b"goes on" {
        scene.event(|event| matches!(event, WatchEvent::BatchDone { .. }).then_some(()));
    }
    assert!(scene.mirrored("d/6").exists());
    assert!(scene.watcher().status().targets[0].held > 0);
    // What is there again is not deleted.
    fs::create_dir(scene.at("d")).unwrap();
    scene.write("d/1", "anew");
    scene.watcher().release(0);
    scene.check();
}

#[test]
fn a_target_that_is_down_holds_up_nobody() {
    let scene = Setup {
        source: vec!["a", "b/c"],
        targets: 2,
        ..Setup::default()
    }
    .start_with(|controls| controls[1].down.store(true, Ordering::Relaxed));
    scene.event(|event| matches!(event, WatchEvent::TargetDown { target: 1, .. }).then_some(()));
    scene.write("b/c", "changed");
    scene.event(|event| matches!(event, WatchEvent::InSync { target: 0 }).then_some(()));
    let status = scene.watcher().status();
    assert_eq!(status.targets[1].phase, Phase::Down);
    assert!(status.targets[1].lag > Duration::ZERO);
    fs::remove_file(scene.at("a")).unwrap();
    scene.controls[1].down.store(false, Ordering::Relaxed);
    scene.event(|event| matches!(event, WatchEvent::TargetUp { target: 1, .. }).then_some(()));
    scene.check();
}

#[test]
fn a_name_that_is_refused_holds_up_nothing_else() {
    let scene = Setup::default().start();
    scene.check();
    let refused = || scene.controls[0].refused.lock().unwrap();
    refused().push(b"d"[..].into());
    fs::create_dir(scene.at("d")).unwrap();
    scene.write("d/f", "below it");
    scene.write("other", "arrives");
    let text = scene.event(|event| match event {
        WatchEvent::PathFailed { path, text, .. } if &**path == b"d" => Some(text.clone()),
        _ => None,
    });
    assert_eq!(text, "permission denied");
    while !scene.mirrored("other").exists() {
        scene.event(|event| matches!(event, WatchEvent::BatchDone { .. }).then_some(()));
    }
    assert!(!scene.watcher().status().targets[0].failing.is_empty());
    refused().clear();
    scene.check();
    assert!(scene.watcher().status().targets[0].failing.is_empty());
}

#[test]
fn a_target_that_refuses_deletions_gets_the_rest() {
    let scene = Setup {
        source: vec!["a", "b"],
        ..Setup::default()
    }
    .start_with(|controls| controls[0].no_deletes.store(true, Ordering::Relaxed));
    scene.check();
    fs::remove_file(scene.at("a")).unwrap();
    scene.write("b", "new");
    scene.event(|event| matches!(event, WatchEvent::DeletesRefused { .. }).then_some(()));
    scene.settle();
    assert!(scene.mirrored("a").exists());
    assert_eq!(fs::read(scene.mirrored("b")).unwrap(), b"new");
}

#[test]
fn excluded_names_cost_nothing() {
    let mut setup = Setup {
        source: vec!["a/f"],
        ..Setup::default()
    };
    let excluded =
        |path: &[u8], directory| path.ends_with(b".tmp") || (directory && path.ends_with(b"skip"));
    setup.options.exclude = Excludes::new(excluded, false);
    let scene = setup.start();
    scene.check();
    let watches = scene.watcher().status().watches;
    fs::create_dir_all(scene.at("skip/deep/deeper")).unwrap();
    scene.write("skip/f", "no");
    scene.write("a/x.tmp", "no");
    scene.write("a/skip", "a file of that name is fine");
    scene.settle();
    assert_eq!(scene.watcher().status().watches, watches);
    assert!(!scene.mirrored("skip").exists() && !scene.mirrored("a/x.tmp").exists());
    // Out of what is excluded it is new.
    fs::rename(scene.at("a/x.tmp"), scene.at("a/x")).unwrap();
    fs::rename(scene.at("skip/deep"), scene.at("deep")).unwrap();
    scene.settle();
    assert!(scene.mirrored("a/x").exists() && scene.mirrored("deep/deeper").exists());
    // And into it, gone.
    fs::rename(scene.at("deep"), scene.at("skip/deep")).unwrap();
    scene.settle();
    assert!(!scene.mirrored("deep").exists());
}

#[test]
fn every_name_of_a_hard_link_follows() {
    let scene = Setup {
        source: vec!["a/one"],
        ..Setup::default()
    }
    .start();
    fs::create_dir(scene.at("b")).unwrap();
    fs::hard_link(scene.at("a/one"), scene.at("b/two")).unwrap();
    scene.check();
    scene.write("b/two", "written through the second name");
    scene.check();
    scene.write("a/one", "and through the first");
    scene.check();
}

#[test]
fn what_left_the_tree_is_not_followed() {
    let scene = Setup {
        source: vec!["d/e/f"],
        ..Setup::default()
    }
    .start();
    scene.check();
    let watches = scene.watcher().status().watches;
    let out = scene.dir.path().join("out");
    fs::rename(scene.at("d"), &out).unwrap();
    fs::write(out.join("e/f"), "changed outside").unwrap();
    scene.check();
    assert_eq!(scene.watcher().status().watches, watches - 2);
    fs::rename(&out, scene.at("again")).unwrap();
    scene.check();
    assert_eq!(scene.watcher().status().watches, watches);
}

#[test]
fn names_of_any_bytes_and_paths_of_any_length() {
    let scene = Setup::default().start();
    scene.check();
    let mut name: Vec<u8> = (1..=255).filter(|&b| b != b'/').collect();
    name.truncate(254);
    let odd = scene.source.join(std::ffi::OsStr::from_bytes(&name));
    fs::write(&odd, "odd").unwrap();
    // Longer than the kernel takes in one piece: made step by step.
    let mut dir = rustix::fs::open(
        &scene.source,
        rustix::fs::OFlags::DIRECTORY,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    let long = "n".repeat(200);
    for _ in 0..40 {
        let mode = rustix::fs::Mode::from_raw_mode(0o755);
        rustix::fs::mkdirat(&dir, &long, mode).unwrap();
        dir = rustix::fs::openat(
            &dir,
            &long,
            rustix::fs::OFlags::DIRECTORY,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
    }
    // The mirror of this test takes whole paths, so that only the watcher's side is looked at. The first name that no list can hold
    // fails, and nothing below it is watched.
    let too_long = scene.event(|event| match event {
        WatchEvent::PathFailed { path, text, .. } if path.len() > 4_095 => {
            Some((path.len(), text.clone()))
        }
        _ => None,
    });
    assert_eq!(too_long.0, 21 * 201 - 1);
    assert!(too_long.1.contains("too long"), "{}", too_long.1);
    let status = scene.watcher().status();
    assert_eq!((status.directories, status.watches), (21, 21));
    // Where the same names are shorter, they are watched; where longer, not any more.
    fs::rename(scene.source.join(&long).join(&long), scene.source.join("n")).unwrap();
    while scene.watcher().status().directories < 23 {
        std::thread::yield_now();
    }
    fs::rename(scene.source.join("n"), scene.source.join(&long).join(&long)).unwrap();
    while scene.watcher().status().directories > 21 {
        std::thread::yield_now();
    }
    fs::rename(scene.source.join(&long), scene.dir.path().join("out")).unwrap();
    scene.check();
}

#[test]
fn stopping_finishes_the_batch_that_runs() {
    let mut scene = Setup {
        source: vec!["f"],
        ..Setup::default()
    }
    .start();
    scene.check();
    scene.controls[0].gate.close();
    scene.write("f", "in the batch");
    scene.controls[0].gate.wait_for_session();
    scene.watcher().begin_stop();
    scene.controls[0].gate.open();
    scene.watcher.take().unwrap().stop();
    assert_eq!(fs::read(scene.mirrored("f")).unwrap(), b"in the batch");
}

#[test]
fn a_change_while_its_name_is_sent_is_sent_again() {
    let scene = Setup {
        source: vec!["f"],
        ..Setup::default()
    }
    .start();
    scene.check();
    scene.controls[0].gate.close();
    scene.write("f", "first");
    scene.controls[0].gate.wait_for_session();
    scene.write("f", "other");
    scene.controls[0].gate.open();
    scene.check();
    assert_eq!(fs::read(scene.mirrored("f")).unwrap(), b"other");
}

#[test]
fn a_root_that_cannot_be_watched_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("no\nsuch");
    let error = Watcher::start(&missing, Vec::new(), WatchOptions::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("cannot watch "), "{text}");
    assert!(
        text.ends_with("no\\nsuch: No such file or directory (2)"),
        "{text}"
    );
}
