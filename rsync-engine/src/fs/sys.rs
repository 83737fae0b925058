//! System calls that rustix does not have.
#![expect(unsafe_code, reason = "fchmodat2 has no safe wrapper yet")]

use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};

use nix::libc;

use super::{Errno, Result};

/// chmod of any descriptor, `O_PATH` too (Linux 6.6). EOPNOTSUPP for a symbolic link.
pub(super) fn fchmodat2(fd: BorrowedFd<'_>, mode: u32) -> Result<()> {
    call(fd.as_raw_fd(), mode)
}

/// True if the kernel has the call and nothing filters it. One `fchmodat2` that cannot succeed.
pub(super) fn has_fchmodat2() -> bool {
    call(-1, 0) == Err(Errno::BADF)
}

fn call(fd: RawFd, mode: u32) -> Result<()> {
    // SAFETY: the path is a NUL-terminated constant, the other arguments are numbers; the kernel
    // writes no memory of ours. A bad descriptor is an error, nothing else.
    let done = unsafe {
        libc::syscall(
            libc::SYS_fchmodat2,
            libc::c_long::from(fd),
            c"".as_ptr(),
            libc::c_ulong::from(mode),
            libc::c_long::from(libc::AT_EMPTY_PATH),
        )
    };
    if done == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}
