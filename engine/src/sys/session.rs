//! Setup of a child before execve(2), and of inherited descriptors.

use super::cvt;
use super::signals::{self, Children};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the command the leader of a new session and process group, with the SIGCHLD disposition
/// that our caller had.
pub fn start_in_own_session(command: &mut Command, children: Children) {
    // SAFETY: setsid and signal are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            signals::set_children(children)?;
            cvt(libc::setsid().into()).map(drop)
        })
    };
}

/// Begins a session.
///
/// # Errors
/// EPERM in the leader of a process group.
pub fn begin() -> io::Result<()> {
    // SAFETY: no arguments.
    cvt(unsafe { libc::setsid() }.into()).map(drop)
}

/// The process group of a process, or of ourselves for 0; 0 if it began outside our PID namespace.
///
/// # Errors
/// ESRCH
pub fn group_of(pid: i32) -> io::Result<i32> {
    // SAFETY: numbers only.
    cvt(unsafe { libc::getpgid(pid) }.into()).map(|group| group as i32)
}

/// Closes an inherited descriptor, given by number.
pub fn close_given(fd: i32) {
    // SAFETY: the caller of the program gave it to us under this number; nothing here owns it.
    unsafe { libc::close(fd) };
}

/// Closes all inherited descriptors above standard error, except `keep`. Call it before opening any
/// other.
pub fn close_inherited(keep: &[i32]) -> io::Result<()> {
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
    let numbers: Vec<i32> = std::fs::read_dir("/proc/self/fd")?.flatten().filter_map(number).collect();
    for fd in numbers.into_iter().filter(|fd| *fd > 2 && !keep.contains(fd)) {
        // SAFETY: nothing here owns these descriptors. That of the directory just read is closed
        // already, which the kernel says.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// Duplicates an inherited descriptor, given by number.
///
/// # Errors
/// EBADF
pub fn duplicate(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: only a duplicate is made and owned; the number may be anything.
    unsafe {
        let copy = cvt(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3).into())?;
        Ok(OwnedFd::from_raw_fd(copy as i32))
    }
}

/// Sets close-on-exec on all descriptors above standard error.
pub fn keep_descriptors_to_ourselves() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let fd: Option<i32> = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(fd) = fd.filter(|fd| *fd > 2) {
            // SAFETY: only a flag of the descriptor changes, and all of our own have it already.
            cvt(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
        }
    }
    Ok(())
}
