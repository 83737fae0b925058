//! Where a target of a watch is, and whether it may be there.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rsync_engine::filter::Chain;
use syncline_watcher::mirror::MirrorTarget;

use crate::exit::{Failure, Role, USAGE};
use crate::hiargs::Job;
use crate::transfer;
use crate::watch::{DeletePolicy, WatchPlan, WatchTarget};

/// A folder that would be copied into itself, or would delete its own source.
pub(super) fn refuse_own_tail(
    plan: &WatchPlan,
    target: &WatchTarget,
    chain: &Chain,
) -> Result<(), Failure> {
    let MirrorTarget::Local(folder) = place(plan, target) else {
        return Ok(());
    };
    let (Ok(source), Some(folder)) = (plan.source.canonicalize(), real_path(&folder)) else {
        // What is wrong with them is said when they are used.
        return Ok(());
    };
    // A bind mount shows the source under another path.
    let shown = folder.ancestors().find(|above| is_same(above, &source));
    let inside = shown.and_then(|above| folder.strip_prefix(above).ok());
    let inside = inside.is_some_and(|path| {
        let path = path.as_os_str().as_bytes();
        path.is_empty() || !chain.excludes_path(path, true)
    });
    let above = plan.delete == DeletePolicy::All && source.starts_with(&folder);
    let text = match (inside, above) {
        (true, _) => {
            "lies in the source: it would be copied into itself (exclude it, or choose another place)"
        }
        (_, true) => "holds the source, which --delete would delete",
        _ => return Ok(()),
    };
    let text = format!("syncline watch: {}: {text}", target.name);
    Err(Failure::new(USAGE, Role::Client, text))
}

/// Folders of which one lies in another: each would delete or change what the other keeps.
pub(super) fn refuse_nested(plan: &WatchPlan) -> Result<(), Failure> {
    let mut folders: Vec<(PathBuf, &str)> = Vec::new();
    for target in &plan.targets {
        let MirrorTarget::Local(folder) = place(plan, target) else {
            continue;
        };
        let Some(folder) = real_path(&folder) else {
            continue;
        };
        for (other, name) in &folders {
            if folder.starts_with(other) || other.starts_with(&folder) {
                let text = format!("syncline watch: {} and {name} overlap", target.name);
                return Err(Failure::new(USAGE, Role::Client, text));
            }
        }
        folders.push((folder, &target.name));
    }
    Ok(())
}

fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| path.metadata().map(|meta| (meta.dev(), meta.ino())).ok();
    id(one).is_some_and(|one| id(other) == Some(one))
}

/// A path without links, though its end may not exist yet.
fn real_path(path: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(path).ok()?;
    let (real, rest) = whole.ancestors().find_map(|above| {
        let real = above.canonicalize().ok()?;
        Some((real, whole.strip_prefix(above).ok()?))
    })?;
    Some(if rest.as_os_str().is_empty() {
        real
    } else {
        real.join(rest)
    })
}

/// Where a target is.
pub(super) fn place(plan: &WatchPlan, target: &WatchTarget) -> MirrorTarget {
    match &target.job {
        Job::Push {
            daemon,
            module,
            path,
            ..
        } => {
            let mut address = transfer::target(daemon, module);
            address.path = below_module(path, module);
            let connect = transfer::connect(&plan.connection, &plan.options, daemon, Role::Sender);
            MirrorTarget::Daemon {
                target: address,
                connect,
            }
        }
        Job::Local {
            dest: Some(dest), ..
        } => MirrorTarget::Local(OsString::from_vec(dest.clone()).into()),
        // A destination is always one of the two.
        Job::Local { .. } | Job::Pull { .. } | Job::ListModules { .. } => {
            MirrorTarget::Local(".".into())
        }
    }
}

/// The path behind the module's name.
fn below_module(path: &[u8], module: &[u8]) -> Vec<u8> {
    let rest = path.strip_prefix(module).unwrap_or(path);
    rest.iter()
        .skip_while(|&&byte| byte == b'/')
        .copied()
        .collect()
}

/// What tells a target from others.
pub(super) fn identity(target: &WatchTarget) -> String {
    match &target.job {
        Job::Push { daemon, path, .. } => {
            format!("{}:{}/{}", daemon.host, daemon.port, path.escape_ascii())
        }
        _ => std::path::absolute(&target.name)
            .map_or_else(|_| target.name.clone(), |path| path.display().to_string()),
    }
}

/// The absolute path of the source.
pub(super) fn source(plan: &WatchPlan) -> Vec<u8> {
    let absolute = std::path::absolute(&plan.source);
    absolute.map_or_else(|_| Vec::new(), |path| path.into_os_string().into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_a_module() {
        assert_eq!(below_module(b"mod/a/b", b"mod"), b"a/b");
        assert_eq!(below_module(b"mod/", b"mod"), b"");
    }
}
