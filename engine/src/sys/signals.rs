//! Signals that are waited for instead of handled.

use super::cvt;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

/// A received signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Its number.
    pub signal: i32,
    /// Whether the kernel sent it: a terminal signals its whole foreground process group.
    pub from_kernel: bool,
    /// Whether this process sent it.
    pub from_self: bool,
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: sigemptyset initialises the set before it is read; sigaddset refuses what is no
    // signal.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        signals.iter().for_each(|signal| {
            libc::sigaddset(&mut set, *signal);
        });
        set
    }
}

/// Blocks signals in the calling thread, and in those that it starts.
pub fn block(signals: &[i32]) {
    // SAFETY: the set is live and initialised.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set_of(signals), std::ptr::null_mut()) };
}

/// Queues a signal for a process, with code `SI_QUEUE` and this sender.
///
/// # Errors
/// As rt_sigqueueinfo(2).
pub fn queue(pid: i32, signal: i32, sender: i32) -> io::Result<()> {
    // struct siginfo on 64-bit architectures: signal, errno, code, padding, PID, user.
    let mut info = [0i32; 32];
    (info[0], info[2], info[4]) = (signal, libc::SI_QUEUE, sender);
    // SAFETY: the kernel reads as much as a struct siginfo has, 128 bytes.
    cvt(unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, signal, info.as_ptr()) }).map(drop)
}

/// Whether this process ignores a signal.
pub fn is_ignored(signal: i32) -> bool {
    // SAFETY: the kernel fills the action; a null new action changes nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Ignores a signal, or takes its default action.
///
/// # Errors
/// EINVAL
pub fn set_ignored(signal: i32, is: bool) -> io::Result<()> {
    let action = if is { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: neither action involves a handler.
    match unsafe { libc::signal(signal, action) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Sends a signal that is blocked to our process group, and takes it with its default action. The
/// one that comes back from the group is left to whoever waits for signals.
///
/// # Errors
/// As kill(2).
pub fn take_with_group(signal: i32) -> io::Result<()> {
    // SAFETY: the default action involves no handler.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // SAFETY: numbers only.
    cvt(unsafe { libc::kill(0, signal) }.into())?;
    // A thread takes its own signals first; the one that continues us discards the other stop.
    // SAFETY: numbers only; it goes to this thread.
    unsafe { libc::raise(signal) };
    with_mask(libc::SIG_UNBLOCK, signal, || ());
    Ok(())
}

/// Calls `what` with a signal blocked in the calling thread.
pub fn without<T>(signal: i32, what: impl FnOnce() -> T) -> T {
    with_mask(libc::SIG_BLOCK, signal, what)
}

/// Calls `what` with a signal blocked or unblocked in the calling thread.
fn with_mask<T>(how: i32, signal: i32, what: impl FnOnce() -> T) -> T {
    let mut before = set_of(&[]);
    // SAFETY: both sets are live and initialised.
    unsafe { libc::pthread_sigmask(how, &set_of(&[signal]), &mut before) };
    let result = what();
    // SAFETY: the set is what it was before.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) };
    result
}

/// Waits for one of these signals, which must be blocked in every thread; `None` after `timeout`.
///
/// # Errors
/// As sigtimedwait(2).
pub fn wait(signals: &[i32], timeout: Duration) -> io::Result<Option<Heard>> {
    let time =
        libc::timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
    // SAFETY: all three arguments are live; the kernel fills the siginfo when a signal came.
    let (got, info) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        (libc::sigtimedwait(&set_of(signals), &mut info, &time), info)
    };
    match cvt(got.into()) {
        Ok(signal) => {
            let (signal, from_kernel) = (signal as i32, info.si_code == libc::SI_KERNEL);
            // SAFETY: kill(2) tells who called it.
            let from_self =
                info.si_code == libc::SI_USER && unsafe { info.si_pid() } == std::process::id() as i32;
            Ok(Some(Heard { signal, from_kernel, from_self }))
        }
        Err(err) if matches!(err.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => Ok(None),
        Err(err) => Err(err),
    }
}

/// The disposition of SIGCHLD, which determines what happens to exited children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Children {
    /// They stay zombies until they are reaped (`SIG_DFL`).
    Waited,
    /// The kernel reaps them as they exit (`SIG_IGN`).
    Forgotten,
}

/// Sets the disposition of SIGCHLD; returns the previous one.
///
/// # Errors
/// As signal(2).
pub fn set_children(children: Children) -> io::Result<Children> {
    let action = match children {
        Children::Waited => libc::SIG_DFL,
        Children::Forgotten => libc::SIG_IGN,
    };
    // SAFETY: neither action involves a handler.
    match unsafe { libc::signal(libc::SIGCHLD, action) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        libc::SIG_IGN => Ok(Children::Forgotten),
        _ => Ok(Children::Waited),
    }
}

/// A signalfd for a set, signal n as bit n - 1, in the kernel's form: C libraries keep some signals
/// to themselves.
///
/// # Errors
/// As signalfd4(2).
pub fn signalfd(mask: u64) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads the eight bytes; the new descriptor has no other owner.
    unsafe {
        let set = std::ptr::from_ref(&mask);
        let fd = cvt(libc::syscall(libc::SYS_signalfd4, -1, set, size_of::<u64>(), libc::SFD_CLOEXEC))?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}
