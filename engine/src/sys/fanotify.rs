//! fanotify(7).

use super::cvt;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A new group: `FAN_CLOEXEC` and the like, and `O_*` of the descriptors in its events.
///
/// # Errors
/// As fanotify_init(2): EPERM without CAP_SYS_ADMIN, ENOSYS without `CONFIG_FANOTIFY`.
pub fn init(flags: u32, event_flags: u32) -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    let fd = cvt(unsafe { libc::fanotify_init(flags, event_flags) }.into())?;
    // SAFETY: the descriptor is new.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Marks the file, mount or file system behind a path: `FAN_MARK_*`, and the events.
///
/// # Errors
/// As fanotify_mark(2).
pub fn mark(group: BorrowedFd<'_>, flags: u32, mask: u64, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is live.
    cvt(unsafe { libc::fanotify_mark(group.as_raw_fd(), flags, mask, libc::AT_FDCWD, path.as_ptr()).into() })
        .map(drop)
}
