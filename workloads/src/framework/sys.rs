//! Thin wrappers over raw system calls: errno becomes an error that names the call.

use anyhow::{Context as _, Result};
use std::io::Error;

/// The result of a libc call that returns −1 and sets errno, under the name `what`.
///
/// # Errors
/// `what: <errno>`; the source is the [`std::io::Error`].
pub fn check<T: Copy + PartialEq + From<i8>>(what: &str, result: T) -> Result<T> {
    if result == T::from(-1) {
        return Err(Error::last_os_error()).with_context(|| what.to_owned());
    }
    Ok(result)
}

/// The errno that `result` stands for, `None` when the call succeeded.
pub fn errno_of<T: Copy + PartialEq + From<i8>>(result: T) -> Option<i32> {
    (result == T::from(-1)).then(errno)
}

/// The thread's errno.
pub fn errno() -> i32 {
    Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// The errno below an error made by [`check`].
pub fn errno_in(error: &anyhow::Error) -> Option<i32> {
    error.chain().find_map(|e| match e.downcast_ref::<Error>() {
        Some(e) => e.raw_os_error(),
        None => e.downcast_ref::<nix::Error>().map(|e| *e as i32),
    })
}

/// prctl(2) with numbers only; all of them are passed, because most options require unused ones to
/// be zero.
pub fn prctl(option: libc::c_int, numbers: [libc::c_ulong; 4]) -> Result<i32> {
    let [a, b, c, d] = numbers;
    // SAFETY: callers use options that take numbers.
    check("prctl", unsafe { libc::prctl(option, a, b, c, d) })
        .with_context(|| format!("option {option}, numbers {numbers:x?}"))
}

/// The calling thread's id, straight from the kernel.
pub fn gettid() -> libc::pid_t {
    // SAFETY: gettid has no preconditions.
    unsafe { libc::syscall(libc::SYS_gettid) as libc::pid_t }
}

/// The process id, straight from the kernel.
pub fn getpid() -> libc::pid_t {
    // SAFETY: getpid has no preconditions.
    unsafe { libc::syscall(libc::SYS_getpid) as libc::pid_t }
}

/// Blocks every signal in the calling thread; returns the old mask.
pub fn block_all_signals() -> Result<libc::sigset_t> {
    // SAFETY: both sets are plain data that live through the calls.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut old: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        check("sigprocmask", libc::sigprocmask(libc::SIG_SETMASK, &all, &mut old))?;
        Ok(old)
    }
}

/// Sets the calling thread's signal mask.
pub fn set_signal_mask(mask: &libc::sigset_t) -> Result<()> {
    // SAFETY: `mask` is a valid set; no old set is requested.
    check("sigprocmask", unsafe { libc::sigprocmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) })?;
    Ok(())
}

/// A set of the given signals.
pub fn signal_set(signals: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: sigemptyset initialises the set; sigaddset only rejects bad numbers.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in signals {
            assert_eq!(libc::sigaddset(&mut set, *signal), 0, "signal {signal} is no signal");
        }
        set
    }
}

/// Soft and hard limit of a resource of this process.
pub fn rlimit(resource: u32) -> anyhow::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes the struct.
    check("getrlimit", unsafe { libc::getrlimit(resource, &mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}
