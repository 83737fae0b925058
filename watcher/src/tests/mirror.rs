//! A pusher that applies batches to a folder, with the traps of a real receiver: a quick check that compares size and whole seconds, sessions
//! that end half way, names that are refused.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::random::Random;
use crate::path::PathBytes;
use crate::push::{
    Batch, EntryKind, FailureKind, FullSync, PathFailure, PushEvent, PushResult, Pusher, Retry,
    SessionError,
};

/// What goes wrong, and what was asked.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// No session at all.
    pub(crate) down: AtomicBool,
    /// A session ends at an entry, once in so many entries (0: never).
    pub(crate) cut_one_in: AtomicU64,
    /// A name is refused, once in so many (0: never).
    pub(crate) refuse_one_in: AtomicU64,
    /// Deletions are refused.
    pub(crate) no_deletes: AtomicBool,
    /// Names that are always refused.
    pub(crate) refused: Mutex<Vec<PathBytes>>,
    /// Sessions wait here until it is opened again.
    pub(crate) gate: Gate,
    /// What was asked, a line each.
    pub(crate) log: Mutex<Vec<String>>,
    pub(crate) sessions: AtomicU64,
    pub(crate) comparisons: AtomicU64,
}

/// Lets sessions pass, or keeps them.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Closed, and whether somebody waits.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn close(&self) {
        self.state.lock().unwrap().0 = true;
    }

    pub(crate) fn open(&self) {
        self.state.lock().unwrap().0 = false;
        self.changed.notify_all();
    }

    /// Returns when a session stands before the gate.
    pub(crate) fn wait_for_session(&self) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| !state.1).unwrap());
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        if state.0 {
            state.1 = true;
            self.changed.notify_all();
            let mut state = self.changed.wait_while(state, |state| state.0).unwrap();
            state.1 = false;
        }
    }
}

pub(crate) struct Mirror {
    source: PathBuf,
    target: PathBuf,
    control: Arc<Control>,
    random: Random,
}

impl Mirror {
    pub(crate) fn new(source: &Path, target: &Path, control: &Arc<Control>, seed: u64) -> Self {
        Self {
            source: source.to_owned(),
            target: target.to_owned(),
            control: control.clone(),
            random: Random::new(seed),
        }
    }

    fn log(&self, line: String) {
        self.control.log.lock().unwrap().push(line);
    }

    fn cut(&mut self) -> Option<SessionError> {
        let one_in = self.control.cut_one_in.load(Ordering::Relaxed);
        let down = self.control.down.load(Ordering::Relaxed);
        (down || (one_in > 0 && self.random.one_in(one_in))).then(|| SessionError {
            text: "connection lost".to_owned(),
            retry: Retry::Backoff,
        })
    }

    fn refuses(&mut self, path: &PathBytes) -> bool {
        let one_in = self.control.refuse_one_in.load(Ordering::Relaxed);
        (one_in > 0 && self.random.one_in(one_in))
            || self.control.refused.lock().unwrap().contains(path)
    }

    /// Sends one object that is no directory, or makes a directory. `quick`: leave content alone if size and whole seconds agree.
    fn send(&self, path: &[u8], quick: bool) -> io::Result<()> {
        let (from, to) = (at(&self.source, path), at(&self.target, path));
        let meta = fs::symlink_metadata(&from)?;
        let there = fs::symlink_metadata(&to).ok();
        if meta.is_dir() {
            if there.as_ref().is_some_and(|there| !there.is_dir()) {
                fs::remove_file(&to)?;
            }
            if !there.is_some_and(|there| there.is_dir()) {
                fs::create_dir(&to)?;
            }
            return Ok(());
        }
        if let Some(there) = &there {
            let same = there.is_file()
                && meta.is_file()
                && there.len() == meta.len()
                && there.mtime() == meta.mtime();
            if quick && same {
                return set_attributes(&to, &meta);
            }
        }
        let parent = to.parent().unwrap();
        // Two sessions may be at work in one directory.
        let thread = std::thread::current();
        let temp = parent.join(format!(".tmp.{}", thread.name().unwrap_or("mirror")));
        let _ = fs::remove_file(&temp);
        if meta.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&from)?, &temp)?;
        } else if meta.file_type().is_fifo() {
            rustix::fs::mknodat(
                CWD,
                &temp,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from_raw_mode(0o600),
                0,
            )?;
        } else if meta.is_file() {
            fs::write(&temp, read(&from)?)?;
        } else {
            return Ok(());
        }
        let after = fs::symlink_metadata(&from)?;
        let state = |meta: &fs::Metadata| (meta.ino(), meta.len(), meta.ctime(), meta.ctime_nsec());
        if state(&meta) != state(&after) {
            let _ = fs::remove_file(&temp);
            return Err(io::Error::other("changed"));
        }
        set_attributes(&temp, &meta)?;
        if there.is_some_and(|there| there.is_dir()) {
            fs::remove_dir_all(&to)?;
        }
        fs::rename(&temp, &to)
    }

    fn directory_attributes(&self, path: &[u8]) {
        if let Ok(meta) = fs::symlink_metadata(at(&self.source, path)) {
            let to = at(&self.target, path);
            if meta.is_dir() && fs::symlink_metadata(&to).is_ok_and(|there| there.is_dir()) {
                set_attributes(&to, &meta).unwrap();
            }
        }
    }

    /// False: there was nothing.
    fn delete(&self, path: &[u8]) -> bool {
        let to = at(&self.target, path);
        match fs::symlink_metadata(&to) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&to).unwrap(),
            Ok(_) => fs::remove_file(&to).unwrap(),
            Err(_) => return false,
        }
        true
    }

    fn compare(&mut self, dir: &PathBytes, request: &FullSync, result: &mut PushResult) {
        if let Some(error) = self.cut() {
            result.error = Some(error);
            return;
        }
        if let Err(error) = self.send(dir, !request.ignore_times) {
            result.failed.push(failure(dir, &error));
            return;
        }
        let Ok(listing) = fs::read_dir(at(&self.source, dir)) else {
            let vanished = io::Error::other("vanished");
            result.failed.push(failure(dir, &vanished));
            return;
        };
        let mut names = std::collections::BTreeSet::new();
        for entry in listing {
            let Ok(entry) = entry else { return };
            let path = crate::path::join(dir, entry.file_name().as_bytes());
            names.insert(entry.file_name());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.compare(&path, request, result);
                if result.error.is_some() {
                    return;
                }
            } else if at(&self.source, &path).is_dir() && !at(&self.source, &path).is_symlink() {
                // It is in the list as something else.
                let changed = io::Error::other("changed");
                result.failed.push(failure(&path, &changed));
            } else if let Err(error) = self.send(&path, !request.ignore_times) {
                result.failed.push(failure(&path, &error));
            }
        }
        if request.delete_extras {
            for entry in fs::read_dir(at(&self.target, dir)).into_iter().flatten() {
                let name = entry.unwrap().file_name();
                if !names.contains(&name) {
                    self.delete(&crate::path::join(dir, name.as_bytes()));
                }
            }
        }
        self.directory_attributes(dir);
    }
}

impl Pusher for Mirror {
    fn second(&self) -> Option<Box<dyn Pusher>> {
        let mut random = self.random.clone();
        let seed = random.next();
        Some(Box::new(Self::new(
            &self.source,
            &self.target,
            &self.control,
            seed,
        )))
    }

    fn push(&mut self, batch: &Batch, _events: &mut dyn FnMut(PushEvent)) -> PushResult {
        self.control.sessions.fetch_add(1, Ordering::Relaxed);
        check_batch(batch);
        self.control.gate.pass();
        let mut result = PushResult::default();
        if let Some(error) = self.cut() {
            self.log("push: no connection".to_owned());
            result.error = Some(error);
            return result;
        }
        if batch.deleted() > 0 && self.control.no_deletes.load(Ordering::Relaxed) {
            result.error = Some(SessionError {
                text: "refusing --delete".to_owned(),
                retry: Retry::WithoutDeletes,
            });
            return result;
        }
        for entry in &batch.entries {
            self.log(format!(
                "push {:?} {}",
                entry.kind,
                entry.path.escape_ascii()
            ));
        }
        for hint in &batch.renames {
            self.log(format!(
                "rename {} {}",
                hint.from.escape_ascii(),
                hint.to.escape_ascii()
            ));
        }
        let mut skip = None::<PathBytes>;
        for entry in &batch.entries {
            if entry.kind == EntryKind::Delete {
                continue;
            }
            if let Some(error) = self.cut() {
                self.log("push: cut".to_owned());
                result.error = Some(error);
                return result;
            }
            // What is below a directory that failed is skipped without a word.
            if skip
                .as_ref()
                .is_some_and(|skip| crate::path::is_within(&entry.path, skip))
            {
                continue;
            }
            if entry.kind != EntryKind::Parent && self.refuses(&entry.path) {
                result.failed.push(PathFailure {
                    path: entry.path.clone(),
                    kind: FailureKind::Refused,
                    text: "permission denied".to_owned(),
                    below: true,
                });
                if entry.stat.unwrap().is_dir() {
                    skip = Some(entry.path.clone());
                }
                continue;
            }
            if let Err(error) = self.send(&entry.path, entry.kind != EntryKind::Content) {
                result.failed.push(failure(&entry.path, &error));
                if entry.stat.unwrap().is_dir() {
                    skip = Some(entry.path.clone());
                }
            } else if entry.kind == EntryKind::Content {
                result.stats.files += 1;
            }
            if self.random.one_in(3) {
                result.confirmed.push(entry.path.clone());
            }
        }
        if result
            .failed
            .iter()
            .any(|failure| result.confirmed.contains(&failure.path))
        {
            result.confirmed.clear();
        }
        for entry in batch.entries.iter().rev() {
            match entry.kind {
                EntryKind::Delete if self.delete(&entry.path) => {
                    result.deleted.push(entry.path.clone());
                }
                EntryKind::Delete => {}
                _ if entry.stat.unwrap().is_dir() => self.directory_attributes(&entry.path),
                _ => {}
            }
        }
        if let Some(error) = self.cut() {
            result.error = Some(error);
        }
        result
    }

    fn full_sync(&mut self, request: &FullSync, _events: &mut dyn FnMut(PushEvent)) -> PushResult {
        self.control.comparisons.fetch_add(1, Ordering::Relaxed);
        self.log(format!(
            "compare {} ignore_times={} delete={}",
            request.path.escape_ascii(),
            request.ignore_times,
            request.delete_extras
        ));
        let mut result = PushResult::default();
        if let Some(error) = self.cut() {
            result.error = Some(error);
            return result;
        }
        // The directory itself may have no parent at the target yet.
        for above in crate::path::ancestors(&request.path)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            if let Err(error) = self.send(above, true) {
                result.failed.push(failure(&request.path, &error));
                return result;
            }
        }
        self.compare(&request.path.clone(), request, &mut result);
        result
    }
}

/// What every pusher may rely on.
fn check_batch(batch: &Batch) {
    let paths: Vec<_> = batch.entries.iter().map(|entry| &entry.path).collect();
    assert!(paths.is_sorted() && paths.windows(2).all(|pair| pair[0] != pair[1]));
    for entry in &batch.entries {
        for above in crate::path::ancestors(&entry.path) {
            let parent = batch.entries.iter().find(|entry| &*entry.path == above);
            let parent = parent.expect("every directory above is listed");
            assert!(parent.stat.is_some_and(|stat| stat.is_dir()), "and is one");
        }
        assert_eq!(entry.kind == EntryKind::Delete, entry.stat.is_none());
    }
}

fn failure(path: &[u8], error: &io::Error) -> PathFailure {
    PathFailure {
        path: path.into(),
        kind: FailureKind::Changed,
        text: error.to_string(),
        below: true,
    }
}

fn set_attributes(path: &Path, meta: &fs::Metadata) -> io::Result<()> {
    if !meta.is_symlink() {
        fs::set_permissions(path, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    }
    let time = |secs, nsec| Timespec {
        tv_sec: secs,
        tv_nsec: nsec,
    };
    let times = Timestamps {
        last_access: time(meta.atime(), meta.atime_nsec()),
        last_modification: time(meta.mtime(), meta.mtime_nsec()),
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

/// Reads a file that may have become a FIFO meanwhile.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
        .open(path)?;
    let mut content = Vec::new();
    io::Read::read_to_end(&mut file, &mut content)?;
    Ok(content)
}

fn at(root: &Path, path: &[u8]) -> PathBuf {
    root.join(std::ffi::OsStr::from_bytes(path))
}
