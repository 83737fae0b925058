//! Any object, held without access to its data.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use super::context::Context;
use super::{AttrOutcome, Attrs, Op, Result, Stat, attrs};

/// An `O_PATH` handle of any object: metadata is read and set on exactly this inode.
#[derive(Debug)]
pub struct Node {
    fd: OwnedFd,
    context: Arc<Context>,
}

impl Node {
    /// Examines it. One `statx`.
    pub fn stat(&self) -> Result<Stat> {
        Stat::read(&self.context, self.fd.as_fd(), None)
    }

    /// The target, if it is a symbolic link; else ENOENT. One `readlinkat` for targets up to 255
    /// bytes.
    pub fn read_link(&self) -> Result<Vec<u8>> {
        self.context.before(Op::ReadLink)?;
        Ok(rustix::fs::readlinkat(&self.fd, c"", Vec::new())?.into_bytes())
    }

    /// Sets attributes, given what it has now. A link's permissions are never set. See [`Attrs`].
    pub fn set_attrs(&self, attrs: &Attrs, now: &Stat) -> AttrOutcome {
        let target = attrs::Target {
            context: &self.context,
            fd: self.fd.as_fd(),
            path_only: true,
        };
        attrs::apply(attrs, target, Some(now))
    }

    pub(super) fn new(fd: OwnedFd, context: Arc<Context>) -> Self {
        Self { fd, context }
    }
}
