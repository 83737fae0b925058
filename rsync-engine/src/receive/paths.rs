//! Names of the list as paths below the destination, through held directories.

use crate::fs::{Dir, Errno, Links, Name, RelPath, RelPathBuf, Stat};

use super::generator::Generator;

impl Generator {
    /// With `-R` and without the attributes of parents, those that are missing are made (03-transfer 3, 4.).
    pub(super) fn make_parents(&mut self, path: RelPath<'_>) -> Result<(), Errno> {
        let options = &self.session.options;
        if !options.relative || options.implied_dirs || options.dry_run {
            return Ok(());
        }
        let Some((parent, _)) = path.split() else {
            return Ok(());
        };
        match (self.dir(parent), &self.place.tree) {
            (Err(Errno::NOENT), Some(tree)) => {
                tree.make_dirs(parent, Links::Beneath, 0o777).map(|_| ())
            }
            (found, _) => found.map(|_| ()),
        }
    }

    /// What lies at a path; `None` for nothing.
    pub(super) fn look(&mut self, path: RelPath<'_>) -> Result<Option<Stat>, Errno> {
        let Some(tree) = &self.place.tree else {
            return Ok(None);
        };
        let Some((parent, name)) = path.split() else {
            return tree.root().self_stat().map(Some);
        };
        match self.dir(parent) {
            Ok(dir) => dir.stat_opt(name),
            Err(Errno::NOENT) => Ok(None),
            // A dry run did not replace what is in the way.
            Err(Errno::NOTDIR | Errno::LOOP)
                if self.session.options.dry_run && !self.session.options.ignore_existing =>
            {
                Ok(None)
            }
            Err(errno) => Err(errno),
        }
    }

    /// The held parent directory and the last name.
    pub(super) fn parent<'p>(&mut self, path: RelPath<'p>) -> Result<(Dir, Name<'p>), Errno> {
        let (parent, name) = path.split().ok_or(Errno::INVAL)?;
        Ok((self.dir(parent)?, name))
    }

    pub(super) fn changed_parent(&mut self, path: RelPath<'_>) {
        if let Some((parent, _)) = path.split() {
            self.open_dirs.changed(parent);
        }
    }

    /// Whether the entry lies below a directory that could not be made.
    pub(super) fn skipped(&self, path: RelPath<'_>) -> bool {
        self.skip_below
            .as_ref()
            .is_some_and(|top| path.is_within(top.as_path()))
    }

    /// The path below the place for a name of the list.
    pub(super) fn rel(&self, name: &[u8]) -> Result<RelPathBuf, Errno> {
        super::place_path(&self.place, name)
    }
}
