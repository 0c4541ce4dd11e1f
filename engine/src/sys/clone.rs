//! clone3(2) with a chosen PID.

use super::cvt;
use std::io;

/// `struct clone_args` up to `set_tid_size`, include/uapi/linux/sched.h (Linux 5.5).
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct CloneArgs {
    /// `CLONE_*`
    pub flags: u64,
    /// Where to store a pidfd.
    pub pidfd: u64,
    /// Where the child's TID is stored in the child's memory.
    pub child_tid: u64,
    /// Where the child's TID is stored in the parent's memory.
    pub parent_tid: u64,
    /// Signal to the parent on exit.
    pub exit_signal: u64,
    /// Lowest byte of the stack.
    pub stack: u64,
    /// Size of the stack.
    pub stack_size: u64,
    /// The thread pointer.
    pub tls: u64,
    /// Address of an array of PIDs, innermost namespace first.
    pub set_tid: u64,
    /// Entries of that array.
    pub set_tid_size: u64,
}

/// Size of [`CloneArgs`], as clone3(2) wants it: `CLONE_ARGS_SIZE_VER1`.
pub const CLONE_ARGS_SIZE: u64 = 80;

impl CloneArgs {
    /// The bytes as the kernel reads them.
    pub fn to_bytes(self) -> Vec<u8> {
        [
            self.flags,
            self.pidfd,
            self.child_tid,
            self.parent_tid,
            self.exit_signal,
            self.stack,
            self.stack_size,
            self.tls,
            self.set_tid,
            self.set_tid_size,
        ]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect()
    }
}

/// Forks a child, with PID `pid` if given, that sleeps until a tracer takes over. Returns its PID.
///
/// # Errors
/// EEXIST: the PID is in use. EPERM: a PID is given, and we have neither CAP_SYS_ADMIN nor
/// CAP_CHECKPOINT_RESTORE.
pub fn fork_sleeper(pid: Option<i32>, exit_signal: i32) -> io::Result<i32> {
    let parent = rustix::process::getpid();
    // SAFETY: the child makes nothing but async-signal-safe calls.
    let got = unsafe { fork_as(pid, 0, exit_signal) }?;
    if got == 0 {
        // SAFETY: none of these calls takes a pointer. The parent-death signal covers the time
        // until the tracer's EXITKILL is in force; a parent that died before it was set sends none.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            if libc::getppid() != parent.as_raw_nonzero().get() {
                libc::_exit(1);
            }
            loop {
                libc::pause();
            }
        }
    }
    Ok(got)
}

/// Forks a child, with PID `pid` if given, that has a copy of everything but what `flags`
/// (`CLONE_FILES` and the like) share; returns its PID, and 0 in the child.
///
/// # Safety
/// The child makes nothing but async-signal-safe calls, and does not return.
///
/// # Errors
/// As [`fork_sleeper`]; EINVAL for a PID that there cannot be.
pub(super) unsafe fn fork_as(pid: Option<i32>, flags: i32, exit_signal: i32) -> io::Result<i32> {
    let set_tid = [pid.unwrap_or(0)];
    let args = CloneArgs {
        flags: flags as u64,
        exit_signal: exit_signal as u64,
        set_tid: pid.map_or(0, |_| set_tid.as_ptr() as u64),
        set_tid_size: pid.is_some().into(),
        ..CloneArgs::default()
    };
    // SAFETY: the arguments are live; without CLONE_VM the child has its own copy of the memory.
    let got = cvt(unsafe { libc::syscall(libc::SYS_clone3, &args, CLONE_ARGS_SIZE as usize) })?;
    Ok(got as i32)
}
