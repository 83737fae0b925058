//! A session thread takes the identity of its module, and cannot get back (05-security 16, 17).
//!
//! Everything here changes the calling thread only: credentials by raw system calls (the C library's functions
//! change every thread), working and root directory after `unshare`, Landlock and seccomp by their nature.
//! Threads that this one starts inherit all of it. It cannot be undone, so such a thread is never reused.
//!
//! A module that runs as another user than root keeps real and saved uid 0 and changes only the effective one:
//! a process of that user cannot send a signal to the thread, which would end the whole daemon. No capability
//! is left, and the seccomp filter forbids every way back to uid 0.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _,
};
use rsync_engine::fs::Tree;
use rustix::fs::FileType;
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::identity::Identity;

/// How a session is confined.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    /// New root directory, if any.
    pub(crate) chroot: Option<PathBuf>,
    /// The module's directory, as seen in the new root.
    pub(crate) path: PathBuf,
    /// Who to become; `None`: as we are.
    pub(crate) identity: Option<Identity>,
    /// The session may write: a session of root keeps the capabilities for that.
    pub(crate) writable: bool,
    /// Links are munged: a directory where their targets lead would be an open door.
    pub(crate) munge: bool,
    /// Fences of the kernel beyond the identity.
    pub(crate) fences: Fences,
}

/// Fences that a kernel may lack; they are used where they exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fences {
    /// Landlock: no file outside the module is opened, created, removed or renamed.
    pub landlock: bool,
    /// Seccomp: no change of identity, no program, no mount, no signal, no tracing.
    pub seccomp: bool,
}

impl Default for Fences {
    fn default() -> Self {
        Self {
            landlock: true,
            seccomp: true,
        }
    }
}

/// Why a thread could not be confined; as text, what the client is told after `@ERROR: `.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    #[error("chroot failed")]
    Chroot(PathBuf, #[source] io::Error),
    #[error("chdir failed")]
    Chdir(PathBuf, #[source] io::Error),
    #[error("daemon security issue -- contact admin")]
    MungedDirectory,
    #[error("setgid failed")]
    SetGid(u32, #[source] io::Error),
    #[error("setgroups failed")]
    SetGroups(#[source] io::Error),
    #[error("setuid failed")]
    SetUid(u32, #[source] io::Error),
    #[error("daemon security issue -- contact admin")]
    Fence(&'static str, #[source] io::Error),
}

impl ConfineError {
    /// The line for the log.
    pub(crate) fn log_line(&self) -> String {
        use std::os::unix::ffi::OsStrExt as _;
        let why = |error| crate::config::describe(error);
        let name = |path: &Path| crate::text::escape(path.as_os_str().as_bytes());
        match self {
            Self::Chroot(path, e) => format!(
                "rsync: [Receiver] chroot(\"{}\") failed: {}",
                name(path),
                why(e)
            ),
            Self::Chdir(path, e) => {
                format!("rsync: [Receiver] chdir {} failed: {}", name(path), why(e))
            }
            Self::MungedDirectory => {
                format!("Symlink munging is unsafe when a {MUNGED} directory exists.")
            }
            Self::SetGid(gid, e) => format!("rsync: [Receiver] setgid {gid} failed: {}", why(e)),
            Self::SetGroups(e) => format!("rsync: [Receiver] setgroups failed: {}", why(e)),
            Self::SetUid(uid, e) => format!("rsync: [Receiver] setuid {uid} failed: {}", why(e)),
            Self::Fence(what, e) => format!("rsync: [Receiver] {what} failed: {}", why(e)),
        }
    }
}

/// Confines the calling thread, which must end with the session, and opens the module's root.
pub(crate) fn enter(cell: &Cell) -> Result<Entered, ConfineError> {
    let fence = |what| move |error: rustix::io::Errno| ConfineError::Fence(what, error.into());
    nix::sys::signal::SigSet::all()
        .thread_block()
        .map_err(|e| ConfineError::Fence("blocking of signals", e.into()))?;
    unshare_fs().map_err(fence("unshare"))?;
    let umask = rsync_engine::fs::umask();
    if let Some(path) = &cell.chroot {
        change_root(path).map_err(|e| ConfineError::Chroot(path.clone(), e.into()))?;
    }
    let root = Tree::open_operator(&cell.path)
        .map_err(|e| ConfineError::Chdir(cell.path.clone(), e.into()))?;
    if cell.munge && is_directory(Path::new(MUNGED)) {
        return Err(ConfineError::MungedDirectory);
    }
    let landlock = cell.fences.landlock.then(|| landlock_for(&root));
    if let Some(identity) = &cell.identity {
        change_identity(identity, cell.writable)?;
    }
    rustix::thread::set_no_new_privs(true).map_err(fence("no_new_privs"))?;
    if let Some(Some(ruleset)) = landlock {
        ruleset
            .restrict_self()
            .map_err(|e| ConfineError::Fence("landlock", io::Error::other(e)))?;
    }
    if cell.fences.seccomp {
        seccomp::install().map_err(|e| ConfineError::Fence("seccomp", e))?;
    }
    if let Some(identity) = &cell.identity {
        verify(identity, cell.writable)?;
    }
    Ok(Entered { root, umask })
}

/// What a thread has when it is confined.
pub(crate) struct Entered {
    /// The module's directory.
    pub(crate) root: Tree,
    /// The umask, which the thread cannot ask for any more.
    pub(crate) umask: u32,
}

/// Where munged links lead.
const MUNGED: &str = "/rsyncd-munged";

fn is_directory(path: &Path) -> bool {
    rustix::fs::stat(path).is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory)
}

/// Gives the thread a root directory, working directory and umask of its own.
#[expect(
    unsafe_code,
    reason = "rustix calls every unshare unsafe for the sake of shared descriptor tables"
)]
fn unshare_fs() -> rustix::io::Result<()> {
    // SAFETY: CLONE_FS leaves the descriptor table shared; no descriptor or memory becomes invalid by it.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS) }
}

fn change_root(path: &Path) -> rustix::io::Result<()> {
    rustix::process::chroot(path)?;
    rustix::process::chdir("/")
}

fn change_identity(identity: &Identity, writable: bool) -> Result<(), ConfineError> {
    let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    let gid = Gid::from_raw(identity.gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)
        .map_err(|e| ConfineError::SetGid(identity.gid, e.into()))?;
    rustix::thread::set_thread_groups(&groups).map_err(|e| ConfineError::SetGroups(e.into()))?;
    let set_uid = |e: rustix::io::Errno| ConfineError::SetUid(identity.uid, e.into());
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::from_raw(identity.uid), Uid::ROOT)
        .map_err(set_uid)?;
    rustix::thread::set_capabilities(None, capabilities(identity, writable)).map_err(set_uid)?;
    rustix::thread::clear_ambient_capability_set().map_err(set_uid)
}

/// A session of root keeps what a transfer needs, others keep nothing.
fn capabilities(identity: &Identity, writable: bool) -> CapabilitySets {
    let kept = match (identity.uid, writable) {
        (0, false) => CapabilitySet::DAC_READ_SEARCH,
        (0, true) => {
            CapabilitySet::DAC_READ_SEARCH
                | CapabilitySet::CHOWN
                | CapabilitySet::DAC_OVERRIDE
                | CapabilitySet::FOWNER
                | CapabilitySet::FSETID
                | CapabilitySet::MKNOD
                | CapabilitySet::SETFCAP
        }
        _ => CapabilitySet::empty(),
    };
    CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    }
}

/// Asks the kernel what the thread is now; any surprise ends the session (05-security D-10).
fn verify(identity: &Identity, writable: bool) -> Result<(), ConfineError> {
    let surprise = |what| {
        ConfineError::Fence(
            what,
            io::Error::other("the thread is not what it should be"),
        )
    };
    let wanted = capabilities(identity, writable);
    let found = rustix::thread::capabilities(None).map_err(|_| surprise("capget"))?;
    if (found.effective, found.permitted, found.inheritable)
        != (wanted.effective, wanted.permitted, wanted.inheritable)
    {
        return Err(surprise("dropping of capabilities"));
    }
    let ids = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    if ids != (identity.uid, identity.gid) || rustix::process::getgid().as_raw() != identity.gid {
        return Err(surprise("change of identity"));
    }
    let mut groups: Vec<u32> = rustix::process::getgroups()
        .map_err(|_| surprise("getgroups"))?
        .into_iter()
        .map(Gid::as_raw)
        .collect();
    let mut wanted = identity.groups.clone();
    for list in [&mut groups, &mut wanted] {
        list.sort_unstable();
        list.dedup();
    }
    if groups != wanted {
        return Err(surprise("change of groups"));
    }
    if !rustix::thread::no_new_privs().unwrap_or(false) {
        return Err(surprise("no_new_privs"));
    }
    Ok(())
}

/// Rules that leave the module's tree and nothing else. `None` if the kernel has no Landlock, or one that would
/// forbid renames between directories.
fn landlock_for(root: &Tree) -> Option<landlock::RulesetCreated> {
    let all = AccessFs::from_all(ABI::V5);
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)
        .ok()?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .ok()?;
    ruleset
        .create()
        .ok()?
        .add_rule(PathBeneath::new(root.root(), all))
        .ok()
}

/// The system call filter.
mod seccomp {
    use std::io;

    /// Calls that no session makes: other identities, programs, mounts, other threads, rings.
    const DENIED: &[libc::c_long] = &[
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_setreuid,
        libc::SYS_setregid,
        libc::SYS_setresuid,
        libc::SYS_setresgid,
        libc::SYS_setfsuid,
        libc::SYS_setfsgid,
        libc::SYS_setgroups,
        libc::SYS_capset,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_fsopen,
        libc::SYS_fsmount,
        libc::SYS_mount_setattr,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_open_by_handle_at,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_bpf,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_tgkill,
        libc::SYS_pidfd_send_signal,
        libc::SYS_pidfd_getfd,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_reboot,
    ];

    #[cfg(target_arch = "x86_64")]
    const ARCH: Option<u32> = Some(0xc000_003e);
    #[cfg(target_arch = "aarch64")]
    const ARCH: Option<u32> = Some(0xc000_00b7);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    const ARCH: Option<u32> = None;

    /// Offsets in the kernel's `seccomp_data`.
    const NUMBER: u32 = 0;
    const ARCHITECTURE: u32 = 4;
    const FIRST_ARGUMENT: u32 = 16;

    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    /// Calls of the x32 ABI have this bit.
    const X32: u32 = 0x4000_0000;

    fn statement(code: u32, k: u32) -> libc::sock_filter {
        libc::sock_filter {
            code: code as u16,
            jt: 0,
            jf: 0,
            k,
        }
    }

    /// Skips the next statement unless the comparison holds.
    fn unless(code: u32, k: u32) -> libc::sock_filter {
        libc::sock_filter {
            code: code as u16,
            jt: 0,
            jf: 1,
            k,
        }
    }

    fn program(arch: u32) -> Vec<libc::sock_filter> {
        let deny = statement(RETURN, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
        let allow = statement(RETURN, libc::SECCOMP_RET_ALLOW);
        let mut program = vec![
            statement(LOAD, ARCHITECTURE),
            // Skips the refusal if it is ours.
            libc::sock_filter {
                code: IF_EQUAL as u16,
                jt: 1,
                jf: 0,
                k: arch,
            },
            deny,
            statement(LOAD, NUMBER),
            unless(IF_AT_LEAST, X32),
            deny,
        ];
        for &call in DENIED {
            program.extend([unless(IF_EQUAL, call as u32), deny]);
        }
        // The process must not become dumpable again: its memory holds every session.
        program.extend([
            libc::sock_filter {
                code: IF_EQUAL as u16,
                jt: 0,
                jf: 3,
                k: libc::SYS_prctl as u32,
            },
            statement(LOAD, FIRST_ARGUMENT),
            unless(IF_EQUAL, libc::PR_SET_DUMPABLE as u32),
            deny,
            allow,
        ]);
        program
    }

    /// Puts the filter on the calling thread. A kernel without seccomp is no error.
    #[expect(unsafe_code, reason = "there is no safe call for a filter")]
    pub(super) fn install() -> io::Result<()> {
        let Some(arch) = ARCH else { return Ok(()) };
        let mut program = program(arch);
        let filter = libc::sock_fprog {
            len: program.len() as u16,
            filter: program.as_mut_ptr(),
        };
        // SAFETY: the kernel copies the program, which lives until the call returns; `len` is its length.
        let result = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                &raw const filter,
            )
        };
        match io::Error::last_os_error() {
            _ if result == 0 => Ok(()),
            error if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) => Ok(()),
            error => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
