//! Changes that fall between the looks, and names that cannot be looked at for a while.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::Ordering;

use testkit::wait;

use super::privilege::as_a_user;
use super::scene::{Scene, Setup};
use crate::event::WatchEvent;
use crate::shared::DeletePolicy;

fn chmod(scene: &Scene, path: &str, mode: u32) {
    fs::set_permissions(scene.at(path), fs::Permissions::from_mode(mode)).unwrap();
}

/// Waits until something at this path failed.
fn wait_failed(scene: &Scene, path: &str) {
    scene.event(|event| match event {
        WatchEvent::PathFailed { path: failed, .. } => (**failed == *path.as_bytes()).then_some(()),
        _ => None,
    });
}

#[test]
fn what_is_in_an_unreadable_directory_is_owed_until_it_can_be_read() {
    as_a_user(|| {
        let scene = Setup {
            source: vec!["a"],
            ..Setup::default()
        }
        .start();
        scene.check();
        scene.controls[0].down.store(true, Ordering::Relaxed);
        // It moves in as a whole, gets its watches, and nothing in it has an event any more.
        let made = scene.dir.path().join("made");
        fs::create_dir_all(made.join("d")).unwrap();
        let file = fs::File::create_new(made.join("d/x")).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        fs::rename(&made, scene.at("m")).unwrap();
        scene.event(|event| matches!(event, WatchEvent::TargetDown { .. }).then_some(()));
        while scene.watcher().status().directories < 3 {
            std::thread::yield_now();
        }
        chmod(&scene, "m/d", 0);
        scene.controls[0].down.store(false, Ordering::Relaxed);
        wait_failed(&scene, "m/d");
        chmod(&scene, "m/d", 0o755);
        scene.check();
    });
}

#[test]
fn another_name_in_an_unreadable_directory_follows_when_it_can_be_read() {
    as_a_user(|| {
        let scene = Setup {
            source: vec!["a", "locked/c"],
            ..Setup::default()
        }
        .start();
        fs::hard_link(scene.at("a"), scene.at("locked/b")).unwrap();
        scene.check();
        chmod(&scene, "locked", 0);
        scene.write("a", "written through the other name");
        wait_failed(&scene, "locked/b");
        chmod(&scene, "locked", 0o755);
        scene.check();
    });
}

#[test]
fn a_directory_that_moves_while_it_is_unreadable_is_followed_again() {
    as_a_user(|| {
        let scene = Setup {
            source: vec!["d/x", "d/gone", "d/e/y"],
            ..Setup::default()
        }
        .start();
        scene.check();
        chmod(&scene, "d", 0);
        fs::rename(scene.at("d"), scene.at("moved")).unwrap();
        scene.event(|event| matches!(event, WatchEvent::Unreadable { .. }).then_some(()));
        chmod(&scene, "moved", 0o755);
        scene.check();
        fs::remove_file(scene.at("moved/gone")).unwrap();
        scene.write("moved/e/y", "seen");
        scene.check();
    });
}

/// Does something while a session that sends `d/x` stands before the target.
fn meanwhile(source: Vec<&'static str>, links: &[(&str, &str)], act: impl FnOnce(&Scene)) {
    let scene = Setup {
        source,
        ..Setup::default()
    }
    .start();
    for (name, other) in links {
        fs::hard_link(scene.at(name), scene.at(other)).unwrap();
    }
    scene.check();
    scene.controls[0].gate.close();
    scene.write("d/x", "on its way");
    scene.controls[0].gate.wait_for_session();
    act(&scene);
    scene.controls[0].gate.open();
    scene.check();
}

#[test]
fn changes_while_a_session_runs() {
    // A directory becomes a file and a directory again.
    meanwhile(vec!["d/x", "d/y"], &[], |scene| {
        fs::remove_dir_all(scene.at("d")).unwrap();
        scene.write("d", "a file");
        fs::remove_file(scene.at("d")).unwrap();
        fs::create_dir(scene.at("d")).unwrap();
        scene.write("d/z", "in another directory");
    });
    // It moves away, and another one comes in its place.
    meanwhile(vec!["d/x", "e/x", "e/w"], &[], |scene| {
        fs::rename(scene.at("d"), scene.at("away")).unwrap();
        fs::rename(scene.at("e"), scene.at("d")).unwrap();
    });
    // It moves away and back.
    meanwhile(vec!["d/x"], &[], |scene| {
        fs::rename(scene.at("d"), scene.at("away")).unwrap();
        scene.write("away/x", "changed elsewhere");
        fs::rename(scene.at("away"), scene.at("d")).unwrap();
    });
    // A file is replaced while it is open, and the old one is written to.
    meanwhile(vec!["d/x", "d/new"], &[], |scene| {
        let mut open = fs::OpenOptions::new()
            .append(true)
            .open(scene.at("d/x"))
            .unwrap();
        fs::rename(scene.at("d/new"), scene.at("d/x")).unwrap();
        open.write_all(b"nobody sees this").unwrap();
    });
    // A change of size and of time only.
    meanwhile(vec!["d/x"], &[], |scene| {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(scene.at("d/x"))
            .unwrap();
        file.set_len(3).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    });
    // The only name that had an event of the last change is gone; others have the content.
    meanwhile(
        vec!["d/x"],
        &[("d/x", "other"), ("d/x", "d/third")],
        |scene| {
            scene.write("d/x", "the last change");
            fs::remove_file(scene.at("d/x")).unwrap();
        },
    );
    meanwhile(vec!["d/x"], &[("d/x", "other")], |scene| {
        scene.write("d/x", "and moved out");
        fs::rename(scene.at("d"), scene.dir.path().join("out")).unwrap();
    });
}

#[test]
fn a_session_that_fails_brings_back_the_other_names() {
    let scene = Setup {
        source: vec!["a"],
        ..Setup::default()
    }
    .start();
    fs::hard_link(scene.at("a"), scene.at("b")).unwrap();
    scene.check();
    for round in 0..40 {
        // Some names are confirmed one by one before it ends.
        scene.controls[0].cut_one_in.store(3, Ordering::Relaxed);
        let mut writes = 0;
        let ended = |event: &WatchEvent| match event {
            WatchEvent::TargetDown { .. } => Some(true),
            WatchEvent::BatchDone { .. } => Some(false),
            _ => None,
        };
        while writes == 0 || !scene.event(ended) {
            writes += 1;
            scene.write("a", &format!("round {round}, write {writes}"));
        }
        scene.controls[0].cut_one_in.store(0, Ordering::Relaxed);
        scene.check();
    }
}

#[test]
fn an_unreadable_directory_is_no_reason_to_compare_everything_again() {
    as_a_user(|| {
        let mut setup = Setup {
            source: vec!["open/x", "locked/y"],
            mirror: vec!["extra"],
            ..Setup::default()
        };
        setup.options.delete = DeletePolicy::All;
        let scene = setup.start();
        scene.check();
        chmod(&scene, "locked", 0);
        fs::rename(scene.at("locked"), scene.at("moved")).unwrap();
        scene.event(|event| matches!(event, WatchEvent::Unreadable { .. }).then_some(()));
        fs::write(scene.mirrored("extra"), "again").unwrap();
        scene.clear_log();
        scene.watcher().audit(0);
        let count = |start: &str| {
            let log = scene.log();
            log.iter().filter(|line| line.starts_with(start)).count()
        };
        wait::until("several attempts", || count("compare moved ") > 3);
        assert_eq!(count("compare  "), 1, "{:#?}", scene.log());
        assert!(
            scene.mirrored("extra").exists(),
            "nothing is deleted meanwhile"
        );
        chmod(&scene, "moved", 0o755);
        scene.check();
        assert_eq!(count("compare  "), 2, "{:#?}", scene.log());
    });
}
