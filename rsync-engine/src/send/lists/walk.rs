//! From sources to entries: arguments, what lies above them and what lies below (02-file-list 14).

use std::collections::HashSet;
use std::sync::Arc;

use rsync_proto::{Protocol, limits};

use crate::error::Error;
use crate::event::TextKind;
use crate::fs::{Dir, Errno, Links, ListBuf, Name, RelPath, Stat};
use crate::list::FileList;
use crate::send::source::Argument;
use crate::wire_out::WireOut;

use super::entries::Marks;
use super::{ListWriter, before, relative};

impl ListWriter {
    /// Adds one source argument (02-file-list 14).
    pub(super) fn argument(
        &mut self,
        argument: &Argument,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let session = Arc::clone(&self.session);
        let options = &session.options;
        let (recursive, dirs) = (options.recursive, options.dirs);
        // With -R a leading "./" makes the place itself a parent (02-file-list 14.3).
        let (below_dot, name) = match argument.name.strip_prefix(b"./") {
            Some(name) if argument.implied => (true, name),
            _ => (false, &argument.name[..]),
        };
        let shown = before(&argument.shown, name).to_vec();
        self.selection.add_root(&argument.absolute);
        let root = self.root(
            &argument.tree,
            argument.links,
            argument.place.clone(),
            shown,
        );
        if below_dot {
            // It does not depend on what follows, which may be missing or hidden.
            if recursive || dirs {
                self.directory_entry(root, b".", Marks::IMPLIED, list, out)?;
            } else if !std::mem::replace(&mut self.dot_skipped, true) {
                self.tell(TextKind::Info, b"skipping directory .", out)?;
            }
        }
        let path = relative(name);
        let Ok(path) = RelPath::new(path) else {
            return self.problem("link_stat", &argument.shown, Errno::INVAL, out);
        };
        let change_dir = argument.contents && !argument.implied;
        let stat = match self.stat(root, path) {
            Ok(stat) if argument.contents && stat.is_symlink() => {
                let target = argument.tree.stat(path, argument.links);
                match argument.implied && !target.as_ref().is_ok_and(Stat::is_dir) {
                    true => Ok(stat),
                    false => target,
                }
            }
            other => other,
        };
        let stat = match stat {
            Ok(stat) if change_dir && !stat.is_dir() => Err(Errno::NOTDIR),
            other => other,
        };
        let stat = match stat {
            Ok(stat) => stat,
            // A directory to change into may not miss.
            Err(Errno::NOENT) if options.delete_missing_args && !change_dir => {
                return self.missing_argument(root, name, argument, list, out);
            }
            Err(Errno::NOENT) if options.ignore_missing_args && !change_dir => return Ok(()),
            Err(errno) => {
                let shown = argument.shown.strip_suffix(b"/");
                return match shown.filter(|_| change_dir) {
                    Some(dir) => self.problem("change_dir", dir, errno, out),
                    // What is not there is no reason to keep other things; only what cannot be read is.
                    None if errno == Errno::NOENT => {
                        self.absent("link_stat", &argument.shown, errno, out)
                    }
                    None => self.problem("link_stat", &argument.shown, errno, out),
                };
            }
        };
        if stat.is_dir() && !recursive && !dirs {
            let text = [b"skipping directory ", name].concat();
            return self.tell(TextKind::Info, &text, out);
        }
        if let Some(of_root) = self.roots.get_mut(usize::from(root)) {
            of_root.device = stat.id.dev;
        }
        let is_dot = name == b"." || name == b"/";
        if !is_dot && self.selection.hides(root, path, stat.is_dir()) {
            return Ok(());
        }
        if argument.implied {
            let mut seen = HashSet::new();
            self.parents(root, name, &mut seen, Marks::IMPLIED, list, out)?;
            // The rules in the directories above the argument are asked last (07-filters 8).
            if let Some((parent, _)) = path.split().filter(|(parent, _)| !parent.is_root())
                && let Ok(dir) = self.dir(root, parent)
            {
                self.enter(root, parent, &dir, out)?;
                if self.selection.hides(root, path, stat.is_dir()) {
                    return Ok(());
                }
            }
        }
        if !stat.is_dir() {
            return self.entry(root, name, &stat, Marks::NONE, list, out);
        }
        let contents = recursive || argument.contents;
        let marks = if contents { Marks::TOP } else { Marks::EMPTY };
        self.entry(root, name, &stat, marks, list, out)?;
        let now = if self.options.inc_recurse {
            is_dot
        } else {
            contents
        };
        if now {
            self.contents(root, name, stat.id.dev, list, out)?;
        }
        Ok(())
    }

    /// An argument that is not there is to be deleted, unless its directory is gone as well. Whether it is protected is for the
    /// receiver to say.
    fn missing_argument(
        &mut self,
        root: u16,
        name: &[u8],
        argument: &Argument,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let Ok(path) = RelPath::new(relative(name)) else {
            return Ok(());
        };
        if let Some((parent, _)) = path.split()
            && !argument
                .tree
                .stat(parent, argument.links)
                .is_ok_and(|stat| stat.is_dir())
        {
            let above = argument.shown.iter().rposition(|&byte| byte == b'/');
            let above = &argument.shown[..above.unwrap_or(0)];
            return self.vanished("link_stat", above, Errno::NOENT, out);
        }
        if argument.implied {
            let mut seen = HashSet::new();
            self.parents(root, name, &mut seen, Marks::IMPLIED, list, out)?;
        }
        self.missing(name, list, out)
    }

    /// Adds the directories above a name that were not added yet. False if one of them is no directory any more.
    pub(super) fn parents(
        &mut self,
        root: u16,
        name: &[u8],
        seen: &mut HashSet<Vec<u8>>,
        marks: Marks,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<bool, Error> {
        for slash in name
            .iter()
            .enumerate()
            .filter(|&(at, &byte)| byte == b'/' && at > 0)
            .map(|(at, _)| at)
        {
            let parent = &name[..slash];
            if !seen.contains(parent) {
                let marks = if marks.top {
                    marks
                } else {
                    self.marks_of(parent)
                };
                if !self.directory_entry(root, parent, marks, list, out)? {
                    return Ok(false);
                }
                seen.insert(parent.to_vec());
            }
        }
        Ok(true)
    }

    /// Adds a directory; false if it vanished, or is something else by now.
    pub(super) fn directory_entry(
        &mut self,
        root: u16,
        name: &[u8],
        marks: Marks,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<bool, Error> {
        let Ok(path) = RelPath::new(relative(name)) else {
            return Ok(false);
        };
        let links = if self.session.options.relative {
            Links::Any
        } else {
            Links::Refuse
        };
        let tree = match self.roots.get(usize::from(root)) {
            Some(root) => root.tree.clone(),
            None => return Ok(false),
        };
        match tree.stat(path, links) {
            Ok(stat) if stat.is_dir() => {
                self.entry(root, name, &stat, marks, list, out)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// A picked name as it is now.
    pub(super) fn picked_name(
        &mut self,
        root: u16,
        name: &[u8],
        seen: &mut HashSet<Vec<u8>>,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let Ok(path) = RelPath::new(name) else {
            return self.problem("link_stat", &self.shown(root, name), Errno::INVAL, out);
        };
        match self.stat(root, path) {
            // It was picked as something else.
            Ok(stat) if self.selection.hides(root, path, stat.is_dir()) => {
                let shown = self.shown(root, name);
                self.vanished("link_stat", &shown, Errno::NOENT, out)
            }
            Ok(stat) => {
                let marks = if stat.is_dir() {
                    self.marks_of(name)
                } else {
                    Marks::NONE
                };
                if stat.is_dir() {
                    seen.insert(name.to_vec());
                }
                self.entry(root, name, &stat, marks, list, out)
            }
            Err(errno @ (Errno::NOENT | Errno::NOTDIR)) => {
                self.vanished("link_stat", &self.shown(root, name), errno, out)
            }
            Err(errno) => self.problem("link_stat", &self.shown(root, name), errno, out),
        }
    }

    /// The flags of a picked directory, or of one above a picked name.
    pub(super) fn marks_of(&self, path: &[u8]) -> Marks {
        if !self.content.contains(path) {
            Marks::PARENT
        } else if self.session.protocol() < Protocol::V30 {
            // Below such a directory all are taken for directories with their contents (03-transfer 8.2).
            Marks::TOP
        } else {
            Marks::NONE
        }
    }

    /// Adds what lies in a directory, and without incremental recursion what lies below.
    pub(super) fn contents(
        &mut self,
        root: u16,
        name: &[u8],
        device: u64,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let mut todo = vec![name.to_vec()];
        while let Some(name) = todo.pop() {
            self.session.check()?;
            let mut below = self.directory_contents(root, &name, device, list, out)?;
            if self.session.options.recursive && !self.options.inc_recurse {
                below.reverse();
                todo.append(&mut below);
            }
        }
        Ok(())
    }

    /// Adds the entries of one directory; returns the subdirectories to walk.
    pub(super) fn directory_contents(
        &mut self,
        root: u16,
        name: &[u8],
        device: u64,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let mut below = Vec::new();
        let Ok(path) = RelPath::new(relative(name)) else {
            return Ok(below);
        };
        let dir = match self.dir(root, path) {
            Ok(dir) => dir,
            Err(errno) => {
                self.listing_problem("opendir", root, name, errno, out)?;
                return Ok(below);
            }
        };
        self.enter(root, path, &dir, out)?;
        let mut buf = std::mem::take(&mut self.list_buf);
        let done = self.listed(root, name, device, &dir, &mut buf, &mut below, list, out);
        self.list_buf = buf;
        done.map(|()| below)
    }

    /// Puts the rules of a directory in force.
    fn enter(
        &mut self,
        root: u16,
        path: RelPath<'_>,
        dir: &Dir,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        if let Some(of_root) = self.roots.get(usize::from(root)) {
            self.selection.enter(root, path, dir, &of_root.tree);
        }
        for notice in self.selection.take_notices() {
            self.tell(TextKind::Warning, notice.as_bytes(), out)?;
        }
        self.selection.take_fault().map_or(Ok(()), Err)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the body of directory_contents around a borrowed buffer"
    )]
    pub(super) fn listed(
        &mut self,
        root: u16,
        name: &[u8],
        device: u64,
        dir: &Dir,
        buf: &mut ListBuf,
        below: &mut Vec<Vec<u8>>,
        list: &mut FileList,
        out: &mut WireOut,
    ) -> Result<(), Error> {
        let mut listing = match dir.list(buf) {
            Ok(listing) => listing,
            Err(errno) => return self.listing_problem("opendir", root, name, errno, out),
        };
        let mut path = if name == b"." {
            Vec::new()
        } else {
            name.to_vec()
        };
        if !path.is_empty() && path != b"/" {
            path.push(b'/');
        }
        let prefix = path.len();
        while let Some(found) = listing.next() {
            self.session.check()?;
            out.tick()?;
            let found = match found {
                Ok(found) => found,
                Err(errno) => return self.listing_problem("readdir", root, name, errno, out),
            };
            path.truncate(prefix);
            path.extend_from_slice(found.name);
            let Ok(base) = Name::new(found.name) else {
                continue;
            };
            let stat = match dir.stat(base) {
                Ok(stat) => stat,
                Err(errno @ Errno::NOENT) => {
                    self.vanished("link_stat", &self.shown(root, &path), errno, out)?;
                    continue;
                }
                Err(errno) => {
                    self.problem("link_stat", &self.shown(root, &path), errno, out)?;
                    continue;
                }
            };
            let Ok(rel) = RelPath::new(relative(&path)) else {
                continue;
            };
            if self.selection.hides(root, rel, stat.is_dir()) {
                continue;
            }
            let one_fs = self.session.options.one_file_system;
            let mount = one_fs > 0 && stat.is_dir() && stat.id.dev != device;
            if mount && one_fs > 1 {
                continue;
            }
            let options = &self.session.options;
            let marks = if stat.is_dir() && (mount || !options.recursive) {
                Marks::EMPTY
            } else {
                Marks::NONE
            };
            self.entry_in(root, dir, base, &path, &stat, marks, list, out)?;
            // What lies below a name that is too long for the wire has a longer one.
            if stat.is_dir() && !mount && path.len() <= limits::PATH {
                below.push(path.clone());
            }
        }
        Ok(())
    }

    pub(super) fn stat(&mut self, root: u16, path: RelPath<'_>) -> Result<Stat, Errno> {
        match path.split() {
            None => self.dir(root, path)?.self_stat(),
            Some((parent, name)) => self.dir(root, parent)?.stat(name),
        }
    }
}
