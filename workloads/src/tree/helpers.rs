//! Shared by the workloads of this group: children that exit in a certain way, and queries about
//! processes.

use crate::framework::prelude::*;

pub use crate::framework::child::exit;

/// Returns when `pid` is a zombie.
pub fn wait_zombie(pid: libc::pid_t) -> Outcome {
    sync::wait_until(&format!("{pid} to end"), || Ok(procfs::Stat::of(pid)?.state == 'Z'))
}

/// A child that has exited with `code` and is not reaped.
pub fn zombie(code: i32) -> anyhow::Result<Child> {
    let child = fork("a zombie", || exit(code))?;
    wait_zombie(child.pid)?;
    Ok(child)
}

/// A process known by its id only, for the methods of [`Child`].
pub fn known(name: &'static str, pid: libc::pid_t) -> Child {
    Child { pid, name }
}

/// Parent, group and session of `pid`.
pub fn family(pid: libc::pid_t) -> anyhow::Result<(libc::pid_t, libc::pid_t, libc::pid_t)> {
    let stat = procfs::Stat::of(pid)?;
    Ok((stat.ppid, stat.pgrp, stat.session))
}

/// setpgid(2).
pub fn set_group(pid: libc::pid_t, group: libc::pid_t) -> Outcome {
    // SAFETY: setpgid takes no memory.
    sys::check("setpgid", unsafe { libc::setpgid(pid, group) })?;
    Ok(())
}

/// setsid(2).
pub fn new_session() -> Outcome {
    // SAFETY: setsid takes no memory.
    sys::check("setsid", unsafe { libc::setsid() })?;
    Ok(())
}

/// PR_SET_CHILD_SUBREAPER.
pub fn become_subreaper() -> Outcome {
    // SAFETY: this prctl takes a number.
    sys::check("prctl(PR_SET_CHILD_SUBREAPER)", unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) })?;
    Ok(())
}

/// getppid(2).
pub fn parent() -> libc::pid_t {
    // SAFETY: getppid has no preconditions.
    unsafe { libc::getppid() }
}

/// waitid(2) on one process: its code, status and pid; `None` if there is no event, with WNOHANG.
pub fn waitid(
    kind: libc::idtype_t,
    id: libc::pid_t,
    options: i32,
) -> anyhow::Result<Option<(i32, i32, libc::pid_t)>> {
    let mut info = signal::Info([0; 128]);
    // SAFETY: waitid writes one siginfo, which is 128 bytes.
    sys::check("waitid", unsafe {
        libc::waitid(kind, id.cast_unsigned(), info.0.as_mut_ptr().cast(), options)
    })?;
    Ok((info.signal() != 0).then(|| (info.code(), info.status(), info.pid())))
}
