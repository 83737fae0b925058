//! Turns source paths of a command line into what the sender walks (06-client 1.4).

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rsync_engine::fs::{Errno, Links, Tree};
use rsync_engine::send::Argument;
use rsync_proto::PeerText;

use crate::TargetError;

/// A directory that cannot be opened, with a slash at its end, and why.
pub type Unopened = (Vec<u8>, Errno);

/// Opens the directories of source arguments. An argument whose directory cannot be opened is returned with the
/// reason; the others go on.
///
/// # Errors
/// With `relative` an argument that leads upwards: no name of the transfer can say that.
pub fn arguments(
    paths: &[Vec<u8>],
    relative: bool,
) -> Result<(Vec<Argument>, Vec<Unopened>), TargetError> {
    let mut arguments = Vec::new();
    let mut failures = Vec::new();
    for path in paths {
        let argument = if relative {
            relative_argument(path)?
        } else {
            argument(path)
        };
        match argument {
            Ok(argument) => arguments.push(argument),
            Err(unopened) => failures.push(unopened),
        }
    }
    Ok((arguments, failures))
}

fn argument(path: &[u8]) -> Result<Argument, Unopened> {
    let (dir, name) = match split(path) {
        Split::Contents(dir) => (dir, None),
        Split::Named(dir, name) => (dir, Some(name)),
    };
    let tree = open(dir)?;
    Ok(Argument {
        tree,
        links: Links::Refuse,
        name: name.unwrap_or(b".").to_vec(),
        implied: false,
        contents: name.is_none(),
        shown: shown(path),
        absolute: shown(dir),
        place: dir.to_vec(),
    })
}

enum Split<'a> {
    Contents(&'a [u8]),
    Named(&'a [u8], &'a [u8]),
}

/// Directory to change into, and last component; a trailing slash, `.` or `..` means the contents.
fn split(path: &[u8]) -> Split<'_> {
    let (dir, name) = match path.iter().rposition(|&byte| byte == b'/') {
        Some(0) => (&path[..1], &path[1..]),
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&b"."[..], path),
    };
    if name.is_empty() || name == b"." || name == b".." {
        Split::Contents(path)
    } else {
        Split::Named(dir, name)
    }
}

/// With `-R` the whole argument is the name; `/./` marks where it starts (02-file-list 14.3).
fn relative_argument(path: &[u8]) -> Result<Result<Argument, Unopened>, TargetError> {
    let cut = path.windows(3).position(|window| window == b"/./");
    let (dir, rest) = match cut {
        Some(at) => (&path[..at.max(1)], &path[at + 3..]),
        None if path.starts_with(b"/") => (&b"/"[..], path),
        None => (&b"."[..], path),
    };
    let absolute = cut.is_none() && path.starts_with(b"/");
    let contents = rest.is_empty() || rest.ends_with(b"/") || rest.ends_with(b"/.") || rest == b".";
    let below_dot = rest.starts_with(b"./");
    let mut name: Vec<u8> = Vec::new();
    let mut upwards = false;
    for part in rest
        .split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
    {
        upwards |= part == b"..";
        if !name.is_empty() || absolute {
            name.push(b'/');
        }
        name.extend_from_slice(part);
    }
    if upwards {
        return Err(TargetError::Upwards(PeerText(name)));
    }
    let whole = name.is_empty();
    if whole {
        name = if absolute {
            b"/".to_vec()
        } else {
            b".".to_vec()
        };
    }
    if below_dot && !whole {
        name.splice(..0, *b"./");
    }
    Ok(open(dir).map(|tree| Argument {
        tree,
        links: Links::Any,
        name,
        implied: !whole,
        contents,
        shown: shown(path),
        absolute: shown(dir),
        place: match cut {
            Some(_) => dir.to_vec(),
            None => Vec::new(),
        },
    }))
}

/// A directory to change into, as rsync does: without the permission to search it there is nothing to be had of it.
fn open(dir: &[u8]) -> Result<Tree, Unopened> {
    let tree = Tree::open(Path::new(OsStr::from_bytes(dir)));
    let tree = tree.and_then(|tree| tree.root().check_search().map(|()| tree));
    tree.map_err(|errno| match dir.ends_with(b"/") {
        true => (dir.to_vec(), errno),
        false => ([dir, b"/"].concat(), errno),
    })
}

/// A path from the root of the file system, as rsync's messages and rules have it.
fn shown(path: &[u8]) -> Vec<u8> {
    let whole = std::path::absolute(OsStr::from_bytes(path));
    whole.map_or_else(|_| path.to_vec(), |whole| whole.into_os_string().into_vec())
}
