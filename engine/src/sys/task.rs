//! Calls that read or change another task by its id.

use super::cvt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The robust futex list of a thread: head address and length, get_robust_list(2).
pub fn robust_list(tid: i32) -> io::Result<(u64, u64)> {
    let (mut head, mut len) = (0u64, 0u64);
    // SAFETY: both out-pointers are live u64s, the size of the kernel's pointer and size_t here.
    cvt(unsafe { libc::syscall(libc::SYS_get_robust_list, tid, &mut head, &mut len) })?;
    Ok((head, len))
}

/// `PIDFD_THREAD` of pidfd_open(2), include/uapi/linux/pidfd.h, Linux 6.9.
pub const PIDFD_THREAD: i32 = libc::O_EXCL;

/// A descriptor of a process (pidfd_open(2)).
pub fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    open_pidfd(pid, 0)
}

fn open_pidfd(id: i32, flags: i32) -> io::Result<OwnedFd> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let id = Pid::from_raw(id).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(id, PidfdFlags::from_bits_retain(flags as u32))?)
}

/// A process, and the thread by which the kernel shows what all its threads have: a thread that has
/// exited has neither memory nor descriptors any more (kernel/exit.c, `exit_mm`, `exit_files`), and
/// the leader may be one. /proc has a directory for every thread's number (fs/proc/base.c,
/// `proc_pid_lookup`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Its PID.
    pub pid: i32,
    /// The number of that thread: its PID, unless its leader has exited.
    pub by: i32,
}

impl Seen {
    /// A process whose leader has not exited.
    pub fn by_leader(pid: i32) -> Self {
        Seen { pid, by: pid }
    }

    /// Whether its leader has not exited.
    pub fn has_leader(self) -> bool {
        self.by == self.pid
    }

    /// A descriptor to take its descriptors by.
    ///
    /// # Errors
    /// EINVAL before Linux 6.9 if its leader has exited.
    pub fn pidfd(self) -> io::Result<OwnedFd> {
        open_pidfd(self.by, if self.has_leader() { 0 } else { PIDFD_THREAD })
    }
}

/// A duplicate of descriptor `fd` of the process behind `pidfd`: the same open file description
/// (pidfd_getfd(2), Linux 5.6).
pub fn borrow_fd(pidfd: BorrowedFd<'_>, fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    let got = cvt(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(got as i32) })
}

/// Scheduling attributes, `struct sched_attr` of sched_setattr(2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[repr(C)]
pub struct SchedAttr {
    size: u32,
    /// `SCHED_*`
    pub policy: u32,
    /// `SCHED_FLAG_*`
    pub flags: u64,
    /// -20 … 19; kept by the kernel under every policy, used by the fair ones.
    pub nice: i32,
    /// 1 … 99, for the real-time policies.
    pub priority: u32,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub runtime: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub deadline: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub period: u64,
    /// Utilisation clamps, 0 … 1024; both 0 where the kernel has none (`CONFIG_UCLAMP_TASK`).
    #[serde(default)]
    pub util_min: u32,
    /// See `util_min`.
    #[serde(default)]
    pub util_max: u32,
}

/// Reads the scheduling attributes of a thread.
pub fn sched_attr(tid: i32) -> io::Result<SchedAttr> {
    let mut attr = SchedAttr::default();
    // SAFETY: the struct is live and its size is given.
    cvt(unsafe { libc::syscall(libc::SYS_sched_getattr, tid, &mut attr, size_of::<SchedAttr>(), 0) })?;
    // sched_getattr reports the nice value of SCHED_OTHER and SCHED_BATCH only
    // (kernel/sched/syscalls.c, `get_params`). SAFETY: numbers only. The raw call answers 20 -
    // nice, so that no answer looks like an error.
    attr.nice = 20 - cvt(unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, tid) })? as i32;
    Ok(attr)
}

/// Sets the scheduling attributes of a thread.
pub fn set_sched_attr(tid: i32, attr: &SchedAttr) -> io::Result<()> {
    // include/uapi/linux/sched.h
    const SCHED_FLAG_UTIL_CLAMP: u64 = 0x20 | 0x40;
    let mut attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..*attr };
    if attr.util_max != 0 {
        attr.flags |= SCHED_FLAG_UTIL_CLAMP;
    }
    // SAFETY: the struct is live and carries its size.
    cvt(unsafe { libc::syscall(libc::SYS_sched_setattr, tid, &attr, 0) })?;
    // SAFETY: numbers only.
    cvt(unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, tid, attr.nice) }).map(drop)
}

/// I/O priority of a thread, ioprio_get(2).
pub fn ioprio(tid: i32) -> io::Result<i32> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    // SAFETY: numbers only.
    cvt(unsafe { libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, tid) }).map(|p| p as i32)
}

/// Sets the I/O priority of a thread.
pub fn set_ioprio(tid: i32, prio: i32) -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    // SAFETY: numbers only.
    cvt(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, tid, prio) }).map(drop)
}

/// CPUs a thread may run on: the mask's bytes, without trailing zeros.
pub fn affinity(tid: i32) -> io::Result<Vec<u8>> {
    let mut mask = vec![0u8; 1024];
    // SAFETY: the buffer is live and its length is given.
    let n = cvt(unsafe { libc::syscall(libc::SYS_sched_getaffinity, tid, mask.len(), mask.as_mut_ptr()) })?;
    mask.truncate(n as usize);
    while mask.last() == Some(&0) {
        mask.pop();
    }
    Ok(mask)
}

/// Sets the CPUs a thread may run on.
pub fn set_affinity(tid: i32, mask: &[u8]) -> io::Result<()> {
    // SAFETY: the buffer is live and its length is given.
    cvt(unsafe { libc::syscall(libc::SYS_sched_setaffinity, tid, mask.len(), mask.as_ptr()) }).map(drop)
}

/// Reads (soft, hard) of a resource limit of another process, prlimit(2).
pub fn rlimit(pid: i32, resource: u32) -> io::Result<(u64, u64)> {
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a null new limit and a live old one.
    cvt(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, 0usize, &mut old) })?;
    Ok((old.rlim_cur, old.rlim_max))
}

/// Sets (soft, hard) of a resource limit of another process, prlimit(2).
pub fn set_rlimit(pid: i32, resource: u32, (soft, hard): (u64, u64)) -> io::Result<()> {
    let new = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: a live new limit and a null old one.
    cvt(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, &new, 0usize) }).map(drop)
}

/// Lifts the soft limit of a process as far as permitted; `hard` is its hard limit, which to raise
/// takes CAP_SYS_RESOURCE.
pub fn lift_rlimit(pid: i32, resource: u32, hard: u64) -> io::Result<()> {
    set_rlimit(pid, resource, (libc::RLIM64_INFINITY, libc::RLIM64_INFINITY))
        .or_else(|_| set_rlimit(pid, resource, (hard, hard)))
}

/// Sends a signal to one thread.
pub fn tgkill(pid: i32, tid: i32, sig: i32) -> io::Result<()> {
    // SAFETY: numbers only.
    cvt(unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, sig) }).map(drop)
}

/// The cookie of tasks that may share a core with this thread, 0 for all tasks (Linux 5.14,
/// `CONFIG_SCHED_CORE`).
pub fn core_cookie(tid: i32) -> io::Result<u64> {
    // include/uapi/linux/prctl.h
    const PR_SCHED_CORE: i32 = 62;
    const PR_SCHED_CORE_GET: usize = 0;
    const PR_SCHED_CORE_SCOPE_THREAD: usize = 0;
    let mut cookie = 0u64;
    // SAFETY: the cookie is live.
    cvt(unsafe {
        libc::syscall(
            libc::SYS_prctl,
            PR_SCHED_CORE,
            PR_SCHED_CORE_GET,
            tid as usize,
            PR_SCHED_CORE_SCOPE_THREAD,
            &mut cookie,
        )
    })?;
    Ok(cookie)
}

/// The version of Landlock (landlock_create_ruleset(2)).
///
/// # Errors
/// ENOSYS, EOPNOTSUPP: the kernel does not have it, or it is off.
pub fn landlock_version() -> io::Result<i32> {
    // include/uapi/linux/landlock.h
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: no rule set is given, and none is made.
    let version = cvt(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, 0usize, 0usize, LANDLOCK_CREATE_RULESET_VERSION)
    })?;
    Ok(version as i32)
}
