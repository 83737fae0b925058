//! Directories at the receiving side: making them, their attributes, and setting their times once the work
//! inside is done (03-transfer 3.1, 7.6).

use std::collections::VecDeque;
use std::sync::Arc;

use rsync_proto::item::ItemFlags;

use crate::error::Error;
use crate::event::TextKind;
use crate::fs::{Attrs, Dir, Errno, Links, RelPath, RelPathBuf, Stat, Timestamp};
use crate::list::{FileEntry, FileList};
use crate::options::Delete;

use super::Failed;
use super::attributes::time_of;
use super::generator::Generator;

/// A directory being worked in.
#[derive(Debug)]
struct OpenDir {
    path: RelPathBuf,
    mtime: Option<Timestamp>,
    /// The mode to go back to after `u+rwx` was lent.
    mode: Option<u32>,
    changed: bool,
    /// All work in it belongs to lists in front of this index.
    until: i32,
}

/// The directories from the root to where the generator is, and those left behind that need their times set.
#[derive(Debug, Default)]
pub(super) struct OpenDirs {
    stack: Vec<OpenDir>,
    left: VecDeque<OpenDir>,
    /// Bytes of the paths in `left`.
    left_bytes: usize,
}

impl OpenDirs {
    /// The generator goes on to `dir`, which lists from the index `until` of `dir` on are about.
    fn enter(&mut self, dir: OpenDir) {
        let path = dir.path.as_path();
        while self
            .stack
            .last()
            .is_some_and(|top| !path.is_within(top.path.as_path()))
        {
            let Some(mut top) = self.stack.pop() else {
                break;
            };
            if top.changed || top.mode.is_some() {
                top.until = dir.until;
                self.leave(top);
            }
        }
        self.stack.push(dir);
    }

    fn leave(&mut self, dir: OpenDir) {
        self.left_bytes += dir.path.as_path().as_bytes().len();
        self.left.push_back(dir);
    }

    /// Bytes on the heap, about, of the directories left behind.
    pub(super) fn memory(&self) -> usize {
        self.left.capacity() * size_of::<OpenDir>() + self.left_bytes
    }

    /// Something directly inside `path`, where the generator is, is or will be changed by us.
    pub(super) fn changed(&mut self, path: RelPath<'_>) {
        let found = self
            .stack
            .iter_mut()
            .rev()
            .find(|dir| dir.path.as_path() == path);
        if let Some(dir) = found {
            dir.changed = true;
        }
    }

    /// Something directly inside `path`, which was left long ago, was changed by us.
    pub(super) fn changed_late(&mut self, path: RelPath<'_>, mtime: Timestamp) {
        self.left_bytes += path.as_bytes().len();
        self.left.push_front(OpenDir {
            path: path.to_buf(),
            mtime: Some(mtime),
            mode: None,
            changed: true,
            until: i32::MAX,
        });
    }

    /// The next directory whose work is done once the lists in front of `settled` are.
    fn finished(&mut self, settled: i32) -> Option<OpenDir> {
        if settled == i32::MAX {
            // The end: no directory is worked in any more.
            while let Some(dir) = self.stack.pop() {
                if dir.changed || dir.mode.is_some() {
                    self.leave(dir);
                }
            }
        } else if self.left.front()?.until > settled {
            return None;
        }
        let next = self.left.pop_front()?;
        self.left_bytes -= next.path.as_path().as_bytes().len();
        Some(next)
    }
}

impl Generator {
    /// Starts a list: with incremental recursion it stands for one directory, which is made and cleaned now.
    pub(super) fn begin_list(&mut self, list: &Arc<FileList>) -> Result<(), Error> {
        if !self.inc_recurse() {
            return Ok(());
        }
        let gap = list.ndx_start - 1;
        if let Some(of) = &list.of {
            let path = match self.rel(&of.path) {
                Ok(path) => path,
                Err(errno) => return self.fail_stat(&of.path, errno),
            };
            return self.directory(list, &of.entry, &of.path, path.as_path(), gap);
        }
        let Some(&first) = list.get(0) else {
            return Ok(());
        };
        let is_root = matches!(list.base(&first), b"." | b"/.") && list.dir_part(&first).is_empty();
        if first.is_dir() && is_root {
            // Alone in its list it may be the one that the destination names.
            let path = match self.rel(b".") {
                Ok(path) => path,
                Err(errno) => return self.fail_stat(b".", errno),
            };
            self.directory(list, &first, b".", path.as_path(), gap)?;
        }
        Ok(())
    }

    /// Makes or updates one directory.
    pub(super) fn directory(
        &mut self,
        list: &Arc<FileList>,
        entry: &FileEntry,
        name: &[u8],
        path: RelPath<'_>,
        ndx: i32,
    ) -> Result<(), Error> {
        if self.skipped(path) {
            return Ok(());
        }
        if self.deletions.refuses(path, true) {
            self.skip_below = Some(path.to_buf());
            self.tell_refused("directory", name)?;
            return self.tell_skipped();
        }
        let options = &self.session.options;
        if entry.top_dir() && entry.no_content() && !(options.relative && options.implied_dirs) {
            // Above what was asked for: not ours to change (03-transfer 3.1).
            return Ok(());
        }
        let found = match self.make_parents(path).and_then(|()| self.look(path)) {
            Ok(found) => found,
            Err(errno) => {
                return self.skip_directory(path, "recv_generator: failed to stat", name, errno);
            }
        };
        let options = &self.session.options;
        match found {
            None if options.existing => {
                self.skip_below = Some(path.to_buf());
                return Ok(());
            }
            Some(stat) if !stat.is_dir() && options.ignore_existing => return Ok(()),
            Some(stat) if !stat.is_dir() && !options.dry_run => {
                if let Err(errno) = self.unlink(path) {
                    return self.skip_directory(path, "delete_file: unlink", name, errno);
                }
            }
            _ => {}
        }
        let until = list.ndx_start;
        let fresh = path.is_root() && self.place.fresh;
        let protocol = self.session.protocol().number();
        let during = matches!(
            self.session.options.delete.resolved(protocol),
            Delete::During | Delete::Delay
        ) && !entry.no_content();
        let Some(stat) = found.filter(|stat| stat.is_dir() && !fresh) else {
            if !self.session.options.dry_run {
                match self.make_directory(entry, path, until) {
                    Ok(set) => self.attributes_set(set, name)?,
                    Err(errno) => {
                        return self.skip_directory(path, "recv_generator: mkdir", name, errno);
                    }
                };
            }
            if during {
                // There is nothing to delete, but it is said once that nothing would be.
                self.deletions_stopped()?;
            }
            let flags = ItemFlags::IS_NEW | ItemFlags::LOCAL_CHANGE;
            return self.item(ndx, flags, None, list, entry, name);
        };
        let differing = self.update_directory(list, entry, name, path, &stat)?;
        if during {
            self.delete_in(list, entry, name, path)?;
        }
        // What goes in it is reported before the directory itself.
        self.item(ndx, differing, None, list, entry, name)
    }

    /// A directory that cannot be made: everything below it is skipped.
    fn skip_directory(
        &mut self,
        path: RelPath<'_>,
        op: &'static str,
        name: &[u8],
        errno: Errno,
    ) -> Result<(), Error> {
        self.skip_below = Some(path.to_buf());
        self.fail(&super::failure("generator", op, name, errno))?;
        self.tell_skipped()
    }

    fn tell_skipped(&mut self) -> Result<(), Error> {
        self.tell(
            TextKind::Error,
            b"*** Skipping any contents from this failed directory ***",
        )
    }

    /// Makes a directory, unless it is the destination itself, which was just made. Attributes that cannot be set are
    /// the inner error.
    fn make_directory(
        &mut self,
        entry: &FileEntry,
        path: RelPath<'_>,
        until: i32,
    ) -> Result<Result<(), Failed>, Errno> {
        if let Some((parent, name)) = path.split() {
            let dir = match self.dir(parent) {
                Ok(dir) => dir,
                Err(Errno::NOENT) if self.session.options.relative => {
                    let Some(tree) = &self.place.tree else {
                        return Err(Errno::NOENT);
                    };
                    tree.make_dirs(parent, Links::Refuse, 0o777)?.0
                }
                Err(errno) => return Err(errno),
            };
            dir.mkdir(name, entry.mode & 0o777 | 0o700)?;
            self.open_dirs.changed(parent);
            let made = dir.open_dir(name)?;
            if let Some(dirs) = &mut self.dirs {
                dirs.insert(path, made);
            }
        }
        let made = self.dir(path)?;
        let attrs = self.rules.for_new(entry, None);
        let (attrs, restore) = self.lend_access(attrs, entry.mode);
        let now = made.self_stat()?;
        // The time is set once the work inside is done.
        let set = made.set_attrs(
            &Attrs {
                mtime: None,
                ..attrs
            },
            &now,
        );
        self.open_dirs.enter(OpenDir {
            path: path.to_buf(),
            mtime: attrs.mtime,
            mode: restore,
            changed: true,
            until,
        });
        Ok(super::first_error(set))
    }

    fn update_directory(
        &mut self,
        list: &FileList,
        entry: &FileEntry,
        name: &[u8],
        path: RelPath<'_>,
        stat: &Stat,
    ) -> Result<ItemFlags, Error> {
        let differing = self.rules.differing(entry, stat);
        if !self.session.options.dry_run {
            let attrs = self.rules.for_existing(entry, stat, differing);
            let (attrs, restore) = self.lend_access(attrs, attrs.mode.unwrap_or(stat.mode));
            let outcome = self.dir(path).map(|dir| dir.set_attrs(&attrs, stat));
            // A time that cannot be set now cannot be set later.
            let keeps_time = self.rules.keeps_time(entry)
                && outcome.as_ref().is_ok_and(|outcome| outcome.times.is_ok());
            let set = outcome.map_err(super::cannot_open);
            self.attributes_set(set.and_then(super::first_error), name)?;
            self.open_dirs.enter(OpenDir {
                path: path.to_buf(),
                mtime: keeps_time.then(|| time_of(entry)),
                mode: restore,
                changed: false,
                until: list.ndx_start,
            });
        }
        Ok(differing)
    }

    /// A receiver that is not root gives itself access to a directory while it works there.
    fn lend_access(&self, attrs: Attrs, mode: u32) -> (Attrs, Option<u32>) {
        if self.root || mode & 0o700 == 0o700 {
            return (attrs, None);
        }
        let wanted = attrs.mode.unwrap_or(mode & 0o7777);
        (
            Attrs {
                mode: Some(wanted | 0o700),
                ..attrs
            },
            Some(wanted),
        )
    }

    /// Sets the times of directories that changed while we worked in them, and takes lent access back: of those in
    /// which nothing more will happen once the lists in front of the index `settled` are done.
    pub(super) fn touch_up(&mut self, settled: i32) -> Result<(), Error> {
        if settled != i32::MAX && self.deletes_late() {
            return Ok(());
        }
        while let Some(open) = self.open_dirs.finished(settled) {
            let dir = self.dir(open.path.as_path());
            let dir = dir.and_then(|dir| dir.self_stat().map(|stat| (dir, stat)));
            let set = dir.map_err(super::cannot_open).and_then(|(dir, stat)| {
                let attrs = Attrs {
                    mtime: open.mtime,
                    mode: open.mode,
                    ..Attrs::default()
                };
                super::first_error(dir.set_attrs(&attrs, &stat))
            });
            let name = match open.path.as_path().as_bytes() {
                b"" => b".",
                name => name,
            };
            self.attributes_set(set, name)?;
        }
        Ok(())
    }

    /// Whether directories change once more at the end.
    fn deletes_late(&self) -> bool {
        let protocol = self.session.protocol().number();
        self.session.options.delete.resolved(protocol) == Delete::Delay
    }

    /// The held directory at `path`.
    pub(super) fn dir(&mut self, path: RelPath<'_>) -> Result<Dir, Errno> {
        self.dirs.as_mut().ok_or(Errno::NOENT)?.get(path)
    }

    fn unlink(&mut self, path: RelPath<'_>) -> Result<(), Errno> {
        let Some((parent, name)) = path.split() else {
            return Err(Errno::NOTDIR);
        };
        self.dir(parent)?.unlink(name)?;
        self.open_dirs.changed(parent);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rel(text: &str) -> RelPathBuf {
        RelPath::new(text.as_bytes()).expect("clean").to_buf()
    }

    fn dir(path: &str, changed: bool, until: i32) -> OpenDir {
        OpenDir {
            path: rel(path),
            mtime: Some(Timestamp { secs: 7, nsec: 0 }),
            mode: None,
            changed,
            until,
        }
    }

    #[test]
    fn only_changed_directories_are_touched_up_deepest_first() {
        let mut dirs = OpenDirs::default();
        dirs.enter(dir("", false, 1));
        dirs.enter(dir("a", false, 5));
        dirs.enter(dir("a/b", true, 9));
        dirs.enter(dir("ab", false, 13));
        dirs.changed(RelPath::ROOT);
        dirs.changed(rel("a").as_path());
        let names: Vec<_> = std::iter::from_fn(|| dirs.finished(i32::MAX))
            .map(|dir| dir.path)
            .collect();
        assert_eq!(names, [rel("a/b"), RelPathBuf::root()]);
    }

    #[test]
    fn a_directory_is_finished_when_the_lists_below_it_are() {
        let mut dirs = OpenDirs::default();
        dirs.enter(dir("", true, 1));
        dirs.enter(dir("a", true, 5));
        dirs.enter(dir("a/b", true, 9));
        assert!(dirs.finished(13).is_none(), "all are worked in");
        dirs.enter(dir("c", false, 13));
        assert!(dirs.finished(9).is_none());
        let names: Vec<_> = std::iter::from_fn(|| dirs.finished(13))
            .map(|dir| dir.path)
            .collect();
        assert_eq!(names, [rel("a/b"), rel("a")]);
        assert_eq!(
            dirs.finished(i32::MAX).map(|dir| dir.path),
            Some(RelPathBuf::root())
        );
    }
}
