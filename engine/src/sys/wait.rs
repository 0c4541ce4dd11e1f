//! waitpid(2) for tracees: decoding of stops, and waiting with a deadline.

use super::ptrace::Tid;
use crate::proc::stat::Brief;
use std::io;
use std::time::{Duration, Instant};

/// A decoded waitpid(2) status of a tracee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// `PTRACE_EVENT_STOP` after `PTRACE_INTERRUPT`, or of a new tracee that the kernel attached.
    Interrupted,
    /// `PTRACE_EVENT_STOP` of a group stop, with the signal that stopped the group.
    Group(i32),
    /// About to deliver a signal.
    Signal(i32),
    /// Entry or exit of a system call.
    Syscall,
    /// Another `PTRACE_EVENT_*`.
    Event(i32),
    /// Exited, with this code.
    Exited(i32),
    /// Killed by a signal.
    Killed(i32),
}

const EVENT_STOP: i32 = 128;

fn decode(status: i32) -> Stop {
    if libc::WIFEXITED(status) {
        return Stop::Exited(libc::WEXITSTATUS(status));
    }
    if libc::WIFSIGNALED(status) {
        return Stop::Killed(libc::WTERMSIG(status));
    }
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        0 if signal == libc::SIGTRAP | 0x80 => Stop::Syscall,
        0 => Stop::Signal(signal),
        EVENT_STOP if signal == libc::SIGTRAP => Stop::Interrupted,
        EVENT_STOP => Stop::Group(signal),
        event => Stop::Event(event),
    }
}

fn waitpid(tid: Tid, flags: i32) -> io::Result<Option<(Tid, Stop)>> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is a live int.
        let got = unsafe { libc::waitpid(tid, &mut status, libc::__WALL | flags) };
        match got {
            -1 => {
                let err = io::Error::last_os_error();
                if err.kind() != io::ErrorKind::Interrupted {
                    return Err(err);
                }
            }
            0 => return Ok(None),
            who => return Ok(Some((who, decode(status)))),
        }
    }
}

/// Waits for the next stop or the end of `tid`.
pub fn wait(tid: Tid) -> io::Result<Stop> {
    match waitpid(tid, 0)? {
        Some((_, stop)) => Ok(stop),
        None => unreachable!("waitpid without WNOHANG returned nothing"),
    }
}

/// Waits for the next stop or the end of the first thread of a process. While other threads of it
/// have not been reaped, its end is not reported (ptrace(2), "Death under ptrace"): it is seen.
/// SIGCHLD should be blocked in the caller ([`block_sigchld`]); else this may wait forever.
pub fn wait_for_leader(pid: Tid) -> io::Result<Stop> {
    if !is_sigchld_blocked() {
        return wait(pid);
    }
    loop {
        if let Some(stop) = poll(pid)? {
            return Ok(stop);
        }
        sigchld_or(Duration::from_millis(100))?;
        if let Some(stop) = poll(pid)? {
            return Ok(stop);
        }
        if Brief::of_thread(pid, pid).is_none_or(|stat| stat.state == 'Z') {
            return Ok(poll(pid)?.unwrap_or(Stop::Killed(libc::SIGKILL)));
        }
    }
}

/// Waits until the leader of a process, which exits and is not traced, has exited. Nothing tells of
/// that as long as the process has other threads (kernel/exit.c, `exit_notify`).
pub fn await_end_of_leader(pid: Tid) {
    const TICK: Duration = Duration::from_millis(1);
    while Brief::of_thread(pid, pid).is_some_and(|stat| stat.state != 'Z') {
        std::thread::sleep(TICK);
    }
}

/// Waits for the next stop or end of any child; of a child that is not traced, for its stop if
/// `stops`, which is shown as [`Stop::Signal`].
pub fn wait_any(stops: bool) -> io::Result<(Tid, Stop)> {
    match waitpid(-1, if stops { libc::WUNTRACED } else { 0 })? {
        Some(stopped) => Ok(stopped),
        None => unreachable!("waitpid without WNOHANG returned nothing"),
    }
}

/// A stop that is already reported, or `None`.
pub fn poll(tid: Tid) -> io::Result<Option<Stop>> {
    Ok(waitpid(tid, libc::WNOHANG)?.map(|(_, stop)| stop))
}

/// Waits until `deadline`, or until `cancelled`, which is polled ten times a second; then returns
/// `None`. SIGCHLD must be blocked in the caller ([`block_sigchld`]).
pub fn wait_until(
    tid: Tid,
    deadline: Instant,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> io::Result<Option<Stop>> {
    loop {
        if let Some(stop) = poll(tid)? {
            return Ok(Some(stop));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || cancelled() {
            return Ok(None);
        }
        // One SIGCHLD may stand for several children: look again after each, and at least ten times
        // a second.
        sigchld_or(left.min(Duration::from_millis(100)))?;
    }
}

/// The threads of one process, the leader last: its exit is reported only once the others have been
/// reaped (ptrace(2), "Death under ptrace").
fn leader_last(pid: Tid, tids: impl IntoIterator<Item = Tid>) -> impl Iterator<Item = Tid> {
    let (leader, others): (Vec<Tid>, Vec<Tid>) = tids.into_iter().partition(|tid| *tid == pid);
    others.into_iter().chain(leader)
}

/// Waits for the exit of traced and killed threads of one process.
pub fn await_ends(pid: Tid, tids: impl IntoIterator<Item = Tid>) {
    for tid in leader_last(pid, tids) {
        while let Ok(stop) = wait(tid) {
            if matches!(stop, Stop::Exited(_) | Stop::Killed(_)) {
                break;
            }
        }
    }
}

fn sigchld_set() -> libc::sigset_t {
    // SAFETY: sigemptyset initialises the set before it is read.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        set
    }
}

fn sigchld_or(timeout: Duration) -> io::Result<()> {
    let ts = libc::timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
    // SAFETY: both arguments are live; a null siginfo is allowed.
    let got = unsafe { libc::sigtimedwait(&sigchld_set(), std::ptr::null_mut(), &ts) };
    if got == -1 {
        let err = io::Error::last_os_error();
        if !matches!(err.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) {
            return Err(err);
        }
    }
    Ok(())
}

fn is_sigchld_blocked() -> bool {
    let mut now = sigchld_set();
    // SAFETY: nothing is changed, and the set to be filled is live and initialised.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut now);
        libc::sigismember(&now, libc::SIGCHLD) == 1
    }
}

/// Reaps killed threads of one process that are still ours, so that its parent is told of its end;
/// gives up at `deadline`.
pub fn reap(pid: Tid, tids: impl IntoIterator<Item = Tid>, deadline: Instant) {
    for tid in leader_last(pid, tids) {
        // What is no child of ours any more needs nothing.
        while let Ok(Some(
            Stop::Interrupted | Stop::Group(_) | Stop::Signal(_) | Stop::Syscall | Stop::Event(_),
        )) = wait_until(tid, deadline, &|| false)
        {}
    }
}

/// Blocks SIGCHLD in the calling thread, for [`wait_until`].
pub fn block_sigchld() {
    // SAFETY: the set is live and initialised.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &sigchld_set(), std::ptr::null_mut()) };
}
