//! A worker process that survives the one the user sees, so that it can put everything back when that one is killed.

use super::cvt;
use std::io;

/// What [`split`] returns to whom.
#[derive(Debug)]
pub enum Side {
    /// The process that the user sees: it waits for the worker, whose PID this is.
    Front(i32),
    /// The worker. It gets SIGTERM when the front dies.
    Worker,
}

/// Forks. Only for a process that has one thread.
///
/// The worker is in a process group of its own: a signal to the front's group does not take it along.
pub fn split() -> io::Result<Side> {
    // SAFETY: there is one thread, so the child's copy of the process is whole.
    let pid = cvt(unsafe { libc::fork() }.into())? as i32;
    if pid != 0 {
        return Ok(Side::Front(pid));
    }
    // SAFETY: numbers only.
    unsafe {
        libc::setpgid(0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
    }
    Ok(Side::Worker)
}

/// A process that does something when this one is killed. Dropped before, it does nothing.
#[derive(Debug)]
pub struct Heir(i32);

impl Heir {
    /// Forks. Only for a process that has one thread.
    ///
    /// # Errors
    /// EAGAIN; ENOSYS before Linux 5.3.
    pub fn appoint(will: impl FnOnce()) -> io::Result<Heir> {
        use rustix::event::{PollFd, PollFlags, poll};
        use rustix::process::{PidfdFlags, getpid, pidfd_open};
        let us = pidfd_open(getpid(), PidfdFlags::empty())?;
        // SAFETY: there is one thread, so the child's copy of the process is whole.
        let pid = cvt(unsafe { libc::fork() }.into())? as i32;
        if pid != 0 {
            return Ok(Heir(pid));
        }
        // SAFETY: the set is live; to fill and to block it cannot fail. What ends us ends the heir, but for SIGKILL, only after its work.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::sigprocmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
        }
        while poll(&mut [PollFd::new(&us, PollFlags::IN)], None).is_err() {}
        will();
        // SAFETY: never returns.
        unsafe { libc::_exit(0) }
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        // SAFETY: numbers only; the child is ours and was not waited for, so its number is still its own.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// Sends a signal to a process.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: numbers only.
    cvt(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// Makes a write beyond RLIMIT_FSIZE an error instead of the end.
pub fn survive_file_size_limit() -> io::Result<()> {
    // SAFETY: to ignore a signal involves no handler.
    match unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
