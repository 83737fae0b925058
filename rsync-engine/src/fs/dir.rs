//! A held directory and what can be done with a name in it (05-security 14).

use super::{
    Atime, AttrOutcome, Attrs, FileId, ListBuf, Listing, Name, Node, ReadFile, Result, Special,
    Staged, Stat, Temp, TempPlace, WriteFile,
};

/// A held directory. Clones are cheap and share the descriptor.
#[derive(Clone, Debug)]
pub struct Dir;

impl Dir {
    /// Examines the directory itself. `statx`.
    pub fn self_stat(&self) -> Result<Stat> {
        todo!()
    }
    /// Examines `name`, never following a link. One `statx`.
    pub fn stat(&self, name: Name<'_>) -> Result<Stat> {
        todo!()
    }
    /// Like [`Dir::stat`], with `None` for what does not exist.
    pub fn stat_opt(&self, name: Name<'_>) -> Result<Option<Stat>> {
        todo!()
    }
    /// Opens a subdirectory as `O_PATH`; a link is ELOOP, anything else ENOTDIR. One `openat2`.
    pub fn open_dir(&self, name: Name<'_>) -> Result<Self> {
        todo!()
    }
    /// Opens a subdirectory for reading, so that [`Dir::list`] needs no further open. One `openat2`.
    pub fn open_list(&self, name: Name<'_>) -> Result<Self> {
        todo!()
    }
    /// Starts to read the entries. `getdents64`; an `openat` before if the handle is `O_PATH` or was listed before.
    pub fn list<'b>(&self, buf: &'b mut ListBuf) -> Result<Listing<'b>> {
        todo!()
    }
    /// Opens a regular file for reading: ELOOP for a link, EINVAL for anything else that is no regular file. Never blocks on
    /// a FIFO. `openat2`, `statx`, `fcntl`.
    pub fn open_read(&self, name: Name<'_>, atime: Atime) -> Result<ReadFile> {
        todo!()
    }
    /// Opens an existing regular file for writing in place (reading too). `openat2`, `statx`.
    pub fn open_write(&self, name: Name<'_>) -> Result<WriteFile> {
        todo!()
    }
    /// Creates a regular file that must not exist (EEXIST), for writing and reading. One `openat2`.
    pub fn create(&self, name: Name<'_>, mode: u32) -> Result<WriteFile> {
        todo!()
    }
    /// Opens any object as `O_PATH`, a link as itself. One `openat2`.
    pub fn open_node(&self, name: Name<'_>) -> Result<Node> {
        todo!()
    }
    /// The target of a symbolic link. One `readlinkat`; EINVAL if it is none.
    pub fn read_link(&self, name: Name<'_>) -> Result<Vec<u8>> {
        todo!()
    }
    /// Makes a directory with `mode` (after the umask). One `mkdirat`.
    pub fn mkdir(&self, name: Name<'_>, mode: u32) -> Result<()> {
        todo!()
    }
    /// Removes an empty directory. One `unlinkat`.
    pub fn rmdir(&self, name: Name<'_>) -> Result<()> {
        todo!()
    }
    /// Removes anything but a directory. One `unlinkat`.
    pub fn unlink(&self, name: Name<'_>) -> Result<()> {
        todo!()
    }
    /// Renames, replacing what is there. One `renameat`.
    pub fn rename(&self, from: Name<'_>, to_dir: &Self, to: Name<'_>) -> Result<()> {
        todo!()
    }
    /// Renames; EEXIST if the target exists. One `renameat2`.
    pub fn rename_new(&self, from: Name<'_>, to_dir: &Self, to: Name<'_>) -> Result<()> {
        todo!()
    }
    /// Makes `to` in `to_dir` another name of `from`, a link not followed. EEXIST if the target exists. One `linkat`.
    pub fn link(&self, from: Name<'_>, to_dir: &Self, to: Name<'_>) -> Result<()> {
        todo!()
    }
    /// Makes a symbolic link. EEXIST if the name exists. One `symlinkat`.
    pub fn symlink(&self, name: Name<'_>, target: &[u8]) -> Result<()> {
        todo!()
    }
    /// Makes a device, FIFO or socket with `mode` (after the umask). EEXIST if the name exists. One `mknodat`.
    pub fn mknod(&self, name: Name<'_>, special: Special, mode: u32) -> Result<()> {
        todo!()
    }
    /// Creates a temporary file for `name` (03-transfer 7.1), removed on drop unless published. `mode` is the listed mode; the file gets
    /// `(mode | 0200) & 0700`. One `openat2`.
    pub fn create_temp(&self, name: Name<'_>, mode: u32, place: TempPlace) -> Result<Temp> {
        todo!()
    }
    /// Makes a symbolic link under a temporary name, to replace `name` atomically. One `symlinkat`.
    pub fn stage_symlink(&self, name: Name<'_>, target: &[u8]) -> Result<Staged> {
        todo!()
    }
    /// Makes a device, FIFO or socket under a temporary name. One `mknodat`.
    pub fn stage_special(&self, name: Name<'_>, special: Special, mode: u32) -> Result<Staged> {
        todo!()
    }
    /// Makes a hard link to `from` of `from_dir` under a temporary name. One `linkat`.
    pub fn stage_link(&self, name: Name<'_>, from_dir: &Self, from: Name<'_>) -> Result<Staged> {
        todo!()
    }
    /// Sets attributes of the directory itself, given what it has now. See [`Attrs`].
    pub fn set_attrs(&self, attrs: &Attrs, now: &Stat) -> AttrOutcome {
        todo!()
    }
    /// Device and inode. `statx`.
    pub fn id(&self) -> Result<FileId> {
        todo!()
    }
    /// The magic number of the file system (`statfs` f_type).
    pub fn fs_magic(&self) -> Result<u64> {
        todo!()
    }
}
