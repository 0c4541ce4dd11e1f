//! `cairn restart --detach --pty`: the job gets a terminal that is not the caller's. Somebody has
//! to lead the session whose controlling terminal it becomes (the kernel hangs it up when the
//! leader ends, drivers/tty/tty_jobctrl.c, `disassociate_ctty`): a partner, which stays with the
//! job.

use super::partner::{self, Side};
use super::terminal::Terminal;
use anyhow::Context;
use cairn::error::Error;
use cairn::sys::{session, signals, tty};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use signal_hook::consts::SIGINT;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Opens the terminal.
///
/// # Errors
/// *conflict* for what is missing, no terminal, or the other side of one.
pub fn open(path: &Path) -> anyhow::Result<OwnedFd> {
    let conflict = |what: &str| Error::Conflict(format!("--pty {}: {what}", path.display()));
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Err(conflict("no such file").into()),
        Err(Errno::IO) => return Err(conflict("is locked, or the side of its emulator is closed").into()),
        // A socket, a directory.
        Err(Errno::NXIO | Errno::ISDIR) => return Err(conflict("is not a terminal").into()),
        other => other.with_context(|| format!("open {}", path.display()))?,
    };
    if tty::termios(fd.as_fd()).is_err() {
        return Err(conflict("is not a terminal").into());
    }
    if tty::index(fd.as_fd()).is_ok() {
        return Err(conflict("is the side of a terminal emulator; name the other side, /dev/pts/N").into());
    }
    // The job gets open files of its own.
    rustix::fs::fcntl_setfl(&fd, OFlags::RDWR).with_context(|| format!("set up {}", path.display()))?;
    Ok(fd)
}

/// Starts the partner. The caller must be single-threaded.
///
/// # Errors
/// As fork(2).
pub fn enter() -> anyhow::Result<Side> {
    partner::split("the leader of the session on the terminal")
}

/// The partner makes the terminal its own.
///
/// # Errors
/// *conflict* for the controlling terminal of another session.
pub fn take(fd: OwnedFd, path: &Path) -> anyhow::Result<Terminal> {
    session::begin().context("begin a session")?;
    // To be ignored is what a shell does to what it leaves in the background.
    signals::set_ignored(SIGINT, false).context("take the terminal")?;
    match tty::take(fd.as_fd()) {
        Err(err) if err.raw_os_error() == Some(libc::EPERM) => {
            let whose = "is the controlling terminal of another session";
            return Err(Error::Conflict(format!("--pty {}: {whose}", path.display())).into());
        }
        other => other.with_context(|| format!("take {}", path.display()))?,
    }
    Terminal::of(fd).with_context(|| format!("--pty {}: has hung up", path.display()))
}
