//! fcntl(2) of asynchronous I/O; opening a path without following symbolic links.

use super::cvt;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// `struct f_owner_ex`, include/uapi/asm-generic/fcntl.h.
#[repr(C)]
struct OwnerEx {
    kind: i32,
    pid: i32,
}

const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;

/// Kind and id of the owner of asynchronous I/O.
pub fn owner(fd: BorrowedFd<'_>) -> io::Result<(i32, i32)> {
    let mut owner = OwnerEx { kind: 0, pid: 0 };
    // SAFETY: the struct is live and as the kernel lays it out.
    cvt(unsafe { libc::fcntl(fd.as_raw_fd(), F_GETOWN_EX, &mut owner) }.into())?;
    Ok((owner.kind, owner.pid))
}

/// Sets the owner; the process must exist.
pub fn set_owner(fd: BorrowedFd<'_>, kind: i32, id: i32) -> io::Result<()> {
    let owner = OwnerEx { kind, pid: id };
    // SAFETY: as above.
    cvt(unsafe { libc::fcntl(fd.as_raw_fd(), F_SETOWN_EX, &owner) }.into()).map(drop)
}

/// The signal sent to the owner, 0 for SIGIO.
pub fn signal(fd: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: numbers only.
    cvt(unsafe { libc::fcntl(fd.as_raw_fd(), F_GETSIG) }.into()).map(|s| s as i32)
}

/// Sets the signal.
pub fn set_signal(fd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: numbers only.
    cvt(unsafe { libc::fcntl(fd.as_raw_fd(), F_SETSIG, signal) }.into()).map(drop)
}

/// Opens a path that contains no symbolic link, except as its last component with `O_PATH`, which
/// opens the link itself. Paths from /proc contain none unless one was created since: ELOOP.
pub fn open_directly(path: &Path, flags: OFlags) -> io::Result<File> {
    let links = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat2(CWD, path, flags, Mode::empty(), links)?))
}

/// The magic link of a descriptor of this process.
pub fn link_to(fd: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}
