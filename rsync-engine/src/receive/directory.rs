//! Directories at the receiving side: making them, their attributes, and setting their times once the work
//! inside is done (03-transfer 3.1, 7.6).

use std::sync::Arc;

use rsync_proto::item::ItemFlags;

use crate::error::Error;
use crate::fs::{Attrs, Dir, Errno, Links, RelPath, RelPathBuf, Stat, Timestamp};
use crate::list::{FileEntry, FileList};
use crate::options::Delete;

use super::attributes::time_of;
use super::generator::Generator;

/// Which of a list's entries lie in a directory.
#[derive(Debug, Clone, Copy)]
pub(super) enum Contents {
    /// All of them: a list of incremental recursion.
    List,
    /// Those of this directory part; the list is flat.
    Flat,
}

/// A directory being worked in.
#[derive(Debug)]
struct OpenDir {
    path: RelPathBuf,
    mtime: Option<Timestamp>,
    /// The mode to go back to after `u+rwx` was lent.
    mode: Option<u32>,
    changed: bool,
}

/// The directories from the root to where the generator is, and those left behind that need their times set.
#[derive(Debug, Default)]
pub(super) struct OpenDirs {
    stack: Vec<OpenDir>,
    left: Vec<OpenDir>,
}

impl OpenDirs {
    fn enter(
        &mut self,
        path: RelPath<'_>,
        mtime: Option<Timestamp>,
        mode: Option<u32>,
        changed: bool,
    ) {
        while self
            .stack
            .last()
            .is_some_and(|top| !path.is_within(top.path.as_path()))
        {
            let Some(dir) = self.stack.pop() else { break };
            if dir.changed || dir.mode.is_some() {
                self.left.push(dir);
            }
        }
        self.stack.push(OpenDir {
            path: path.to_buf(),
            mtime,
            mode,
            changed,
        });
    }

    /// Something directly inside `path` is changed by us.
    pub(super) fn changed(&mut self, path: RelPath<'_>) {
        if let Some(dir) = self
            .stack
            .iter_mut()
            .rev()
            .find(|dir| dir.path.as_path() == path)
        {
            dir.changed = true;
        } else if let Some(dir) = self
            .left
            .iter_mut()
            .rev()
            .find(|dir| dir.path.as_path() == path)
        {
            dir.changed = true;
        }
    }

    fn finish(&mut self) -> impl Iterator<Item = OpenDir> {
        let stack = std::mem::take(&mut self.stack);
        let left = std::mem::take(&mut self.left);
        left.into_iter()
            .chain(stack.into_iter().rev())
            .filter(|dir| dir.changed || dir.mode.is_some())
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
            let path = self.rel(&of.path)?;
            return self.directory(
                list,
                &of.entry,
                &of.path,
                path.as_path(),
                gap,
                Contents::List,
            );
        }
        let Some(&first) = list.get(0) else {
            return Ok(());
        };
        if first.is_dir() && list.base(&first) == b"." && list.dir_part(&first).is_empty() {
            self.directory(list, &first, b".", RelPath::ROOT, gap, Contents::List)?;
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
        contents: Contents,
    ) -> Result<(), Error> {
        if self.skipped(path) {
            return Ok(());
        }
        let implied = entry.top_dir() && entry.no_content();
        let options = &self.session.options;
        let (dry_run, existing, relative) = (options.dry_run, options.existing, options.relative);
        let keep_attributes = implied && !(relative && options.implied_dirs);
        let found = match self.look(path) {
            Ok(found) => found,
            Err(errno) => return self.skip_directory(path, "recv_generator: stat", name, errno),
        };
        let old = match found {
            Some(stat) if stat.is_dir() => Some(stat),
            Some(_) | None if keep_attributes && !relative => {
                // An implied directory is not ours to make; what lies below will fail by itself.
                return Ok(());
            }
            Some(_) if !existing => {
                if !dry_run && let Err(errno) = self.unlink(path) {
                    return self.skip_directory(path, "delete_file: unlink", name, errno);
                }
                None
            }
            Some(_) | None if existing => {
                self.skip_below = Some(path.to_buf());
                return Ok(());
            }
            _ => None,
        };
        let Some(stat) = old else {
            if !dry_run && let Err(errno) = self.make_directory(entry, path, keep_attributes) {
                return self.skip_directory(path, "recv_generator: mkdir", name, errno);
            }
            let flags = ItemFlags::IS_NEW | ItemFlags::LOCAL_CHANGE;
            return self.item(ndx, flags, None, list, entry, name);
        };
        if keep_attributes {
            self.open_dirs.enter(path, Some(stat.mtime), None, false);
        } else {
            self.update_directory(list, entry, name, path, ndx, &stat)?;
        }
        let during = matches!(
            self.session
                .options
                .delete
                .resolved(self.session.protocol().number()),
            Delete::During | Delete::Delay
        );
        if during && !entry.no_content() {
            self.delete_in(list, name, path, contents)?;
        }
        Ok(())
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
        self.fail(&super::failure("generator", op, name, errno))
    }

    fn make_directory(
        &mut self,
        entry: &FileEntry,
        path: RelPath<'_>,
        plain: bool,
    ) -> Result<(), Errno> {
        let Some((parent, name)) = path.split() else {
            return Err(Errno::NOENT);
        };
        let mode = if plain {
            0o777
        } else {
            entry.mode & 0o777 | 0o700
        };
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
        dir.mkdir(name, mode)?;
        self.open_dirs.changed(parent);
        let made = dir.open_dir(name)?;
        if let Some(dirs) = &mut self.dirs {
            dirs.insert(path, made.clone());
        }
        if plain {
            self.open_dirs.enter(path, None, None, false);
            return Ok(());
        }
        let attrs = self.rules.for_new(entry, None);
        let (attrs, restore) = self.lend_access(attrs, entry.mode);
        let now = made.self_stat()?;
        super::first_error(made.set_attrs(
            &Attrs {
                mtime: None,
                ..attrs
            },
            &now,
        ))?;
        self.open_dirs.enter(path, attrs.mtime, restore, true);
        Ok(())
    }

    fn update_directory(
        &mut self,
        list: &FileList,
        entry: &FileEntry,
        name: &[u8],
        path: RelPath<'_>,
        ndx: i32,
        stat: &Stat,
    ) -> Result<(), Error> {
        let differing = self.rules.differing(entry, stat);
        if !self.session.options.dry_run {
            let attrs = self.rules.for_existing(entry, stat, differing);
            let (attrs, restore) = self.lend_access(attrs, attrs.mode.unwrap_or(stat.mode));
            let time = self.rules.keeps_time(entry).then(|| {
                if differing.contains(ItemFlags::REPORT_TIME) {
                    time_of(entry)
                } else {
                    stat.mtime
                }
            });
            self.open_dirs.enter(path, time, restore, false);
            let set = self
                .dir(path)
                .and_then(|dir| super::first_error(dir.set_attrs(&attrs, stat)));
            if let Err(errno) = set {
                self.fail(&super::failure(
                    "generator",
                    "failed to set attributes on",
                    name,
                    errno,
                ))?;
            }
        }
        self.item(ndx, differing, None, list, entry, name)
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

    /// Sets the times of directories that changed while we worked in them, and takes lent access back.
    pub(super) fn touch_up(&mut self) {
        if self.session.options.dry_run {
            return;
        }
        let dirs: Vec<OpenDir> = self.open_dirs.finish().collect();
        for open in dirs {
            let Ok(dir) = self.dir(open.path.as_path()) else {
                continue;
            };
            let Ok(now) = dir.self_stat() else { continue };
            // A failure here was reported when the attributes were first set.
            let _ = dir.set_attrs(
                &Attrs {
                    mtime: open.mtime,
                    mode: open.mode,
                    ..Attrs::default()
                },
                &now,
            );
        }
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

    #[test]
    fn only_changed_directories_are_touched_up_deepest_first() {
        let mut dirs = OpenDirs::default();
        let time = Timestamp { secs: 7, nsec: 0 };
        dirs.enter(RelPath::ROOT, Some(time), None, false);
        dirs.enter(rel("a").as_path(), Some(time), None, false);
        dirs.enter(rel("a/b").as_path(), Some(time), None, true);
        dirs.enter(rel("ab").as_path(), Some(time), None, false);
        dirs.changed(RelPath::ROOT);
        dirs.changed(rel("nowhere").as_path());
        let names: Vec<_> = dirs.finish().map(|dir| dir.path).collect();
        assert_eq!(names, [rel("a/b"), RelPathBuf::root()]);
    }
}
