//! Turns source paths of a command line into what the sender walks (06-client 1.4).

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rsync_engine::fs::{Errno, Links, Tree};
use rsync_engine::send::{Argument, LeadsUpwards, SourcePath, Unopened};
use rsync_proto::PeerText;

use crate::TargetError;

/// Opens the directories of source arguments. Those that cannot be opened are returned with the reason; the others
/// go on.
///
/// # Errors
/// With `relative` an argument that leads upwards: no name of the transfer can say that.
pub fn arguments(
    paths: &[Vec<u8>],
    relative: bool,
) -> Result<(Vec<Argument>, Vec<Unopened>), TargetError> {
    let mut arguments = Vec::new();
    let mut unopened = Vec::new();
    for path in paths {
        match argument(path, relative)? {
            Ok(argument) => arguments.push(argument),
            Err(directory) => unopened.push(directory),
        }
    }
    Ok((arguments, unopened))
}

fn argument(path: &[u8], relative: bool) -> Result<Result<Argument, Unopened>, TargetError> {
    let split = SourcePath::split(path, relative)
        .map_err(|LeadsUpwards(name)| TargetError::Upwards(PeerText(name)))?;
    let directory = split.directory;
    let tree = match open(directory) {
        Ok(tree) => tree,
        Err(errno) => {
            let mut path = shown(directory);
            while path.len() > 1 && path.ends_with(b"/") {
                path.pop();
            }
            return Ok(Err(Unopened { path, errno }));
        }
    };
    Ok(Ok(Argument {
        tree,
        links: match relative {
            true => Links::Any,
            false => Links::Refuse,
        },
        name: split.name,
        implied: split.implied,
        contents: split.contents,
        shown: shown(path),
        absolute: shown(directory),
        place: match relative && !split.cut {
            true => Vec::new(),
            false => directory.to_vec(),
        },
    }))
}

/// A directory to change into, as rsync does: a directory that may not be searched counts as one that cannot be opened.
fn open(directory: &[u8]) -> Result<Tree, Errno> {
    let tree = Tree::open(Path::new(OsStr::from_bytes(directory)))?;
    tree.root().check_search()?;
    Ok(tree)
}

/// A path from the root of the file system, as rsync's messages and rules have it.
fn shown(path: &[u8]) -> Vec<u8> {
    let whole = std::path::absolute(OsStr::from_bytes(path));
    whole.map_or_else(|_| path.to_vec(), |whole| whole.into_os_string().into_vec())
}
