//! A watched tree with mirrors, for tests of one promise each.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::faults::{Faults, Faulty};
use super::mirror::{Control, Mirror};
use super::snapshot::differences;
use crate::dirty::Timing;
use crate::driver::{TargetSpec, Watcher};
use crate::event::WatchEvent;
use crate::shared::WatchOptions;

/// A tree that is watched and its mirrors.
pub(super) struct Scene {
    pub(super) watcher: Option<Watcher>,
    pub(super) events: Receiver<WatchEvent>,
    pub(super) source: PathBuf,
    pub(super) mirrors: Vec<PathBuf>,
    pub(super) controls: Vec<Arc<Control>>,
    pub(super) faults: Arc<Faults>,
    pub(super) dir: tempfile::TempDir,
}

/// What is there before anybody watches.
pub(super) struct Setup {
    pub(super) source: Vec<&'static str>,
    pub(super) mirror: Vec<&'static str>,
    pub(super) targets: usize,
    pub(super) options: WatchOptions,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            source: Vec::new(),
            mirror: Vec::new(),
            targets: 1,
            options: WatchOptions {
                timing: Timing {
                    quiet: Duration::from_millis(50),
                    found: Duration::from_millis(20),
                    retry: Duration::from_millis(5),
                    session_retry_max: Duration::from_millis(20),
                    path_retry_max: Duration::from_millis(20),
                    ..Timing::default()
                },
                ..WatchOptions::default()
            },
        }
    }
}

impl Setup {
    pub(super) fn start(self) -> Scene {
        self.start_with(|_| {})
    }

    pub(super) fn start_with(self, prepare: impl FnOnce(&[Arc<Control>])) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fill(&source, &self.source);
        let mut scene = Scene {
            watcher: None,
            events: std::sync::mpsc::channel().1,
            source,
            mirrors: Vec::new(),
            controls: Vec::new(),
            faults: Arc::default(),
            dir,
        };
        let mut targets = Vec::new();
        for i in 0..self.targets {
            let mirror = scene.dir.path().join(format!("mirror-{i}"));
            fill(&mirror, &self.mirror);
            let control = Arc::new(Control::default());
            targets.push(TargetSpec {
                pusher: Box::new(Mirror::new(&scene.source, &mirror, &control, i as u64)),
                confirmed_until: None,
                known_names: 0,
            });
            scene.mirrors.push(mirror);
            scene.controls.push(control);
        }
        prepare(&scene.controls);
        let faults = scene.faults.clone();
        let (watcher, events) =
            Watcher::start_with(&scene.source, targets, self.options, |applier| {
                Faulty::new(applier, faults)
            })
            .unwrap();
        scene.watcher = Some(watcher);
        scene.events = events;
        scene
    }
}

impl Scene {
    pub(super) fn watcher(&self) -> &Watcher {
        self.watcher.as_ref().unwrap()
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.source.join(path)
    }

    pub(super) fn mirrored(&self, path: &str) -> PathBuf {
        self.mirrors[0].join(path)
    }

    pub(super) fn write(&self, path: &str, content: &str) {
        fs::write(self.at(path), content).unwrap();
    }

    /// Waits until everything is at all targets.
    #[track_caller]
    pub(super) fn settle(&self) {
        let in_sync = self.watcher().wait_in_sync(Duration::from_secs(30));
        assert!(in_sync, "{:#?}", self.watcher().status());
    }

    /// Waits until everything is at all targets, and compares.
    #[track_caller]
    pub(super) fn check(&self) {
        self.settle();
        for mirror in &self.mirrors {
            assert_eq!(differences(&self.source, mirror), "");
        }
    }

    /// The next event that `want` takes.
    #[track_caller]
    pub(super) fn event<T>(&self, want: impl Fn(&WatchEvent) -> Option<T>) -> T {
        loop {
            let event = self
                .events
                .recv_timeout(Duration::from_secs(30))
                .expect("the event comes");
            if let Some(wanted) = want(&event) {
                return wanted;
            }
        }
    }

    /// What the first target was asked from here on.
    pub(super) fn clear_log(&self) {
        self.controls[0].log.lock().unwrap().clear();
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.controls[0].log.lock().unwrap().clone()
    }
}

/// Makes files with their names as content; names that end in a slash are directories.
pub(super) fn fill(root: &Path, paths: &[&str]) {
    fs::create_dir_all(root).unwrap();
    for path in paths {
        let full = root.join(path);
        if path.ends_with('/') {
            fs::create_dir_all(full).unwrap();
        } else {
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, path).unwrap();
        }
    }
}
