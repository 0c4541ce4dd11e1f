//! Per-thread credentials as the kernel shows and sets them, without libc's wrappers, which change
//! all threads.

use crate::framework::prelude::*;
use anyhow::Result;

/// Lines of /proc/self/status with the credentials of a thread.
const LINES: [&str; 11] = [
    "Uid",
    "Gid",
    "Groups",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Umask",
];

/// All credentials of the calling thread in /proc, and its securebits: to be compared before and
/// after.
pub fn all() -> Result<Vec<(&'static str, String)>> {
    let tid = sys::gettid();
    let mut all: Vec<_> =
        LINES.iter().map(|key| Ok((*key, procfs::status(tid, key)?))).collect::<Result<_>>()?;
    all.push(("securebits", format!("{:#x}", prctl(libc::PR_GET_SECUREBITS, 0)?)));
    Ok(all)
}

/// The numbers of a line of status: real, effective, saved, file system.
pub fn numbers(key: &str) -> Result<Vec<u32>> {
    procfs::status(sys::gettid(), key)?.split_whitespace().map(|n| Ok(n.parse()?)).collect()
}

/// prctl(2) with one number.
pub fn prctl(option: i32, value: u64) -> Result<i32> {
    // SAFETY: callers use options that take a number; the unused arguments must be zero for some.
    sys::check("prctl", unsafe { libc::prctl(option, value, 0u64, 0u64, 0u64) })
        .with_context(|| format!("option {option}, value {value}"))
}

/// setresuid(2) for the calling thread only.
pub fn set_uids(real: u32, effective: u32, saved: u32) -> Outcome {
    // SAFETY: takes no memory.
    sys::check("setresuid", unsafe { libc::syscall(libc::SYS_setresuid, real, effective, saved) })?;
    Ok(())
}

/// setresgid(2) for the calling thread only.
pub fn set_gids(real: u32, effective: u32, saved: u32) -> Outcome {
    // SAFETY: takes no memory.
    sys::check("setresgid", unsafe { libc::syscall(libc::SYS_setresgid, real, effective, saved) })?;
    Ok(())
}

/// setgroups(2) for the calling thread only.
pub fn set_groups(groups: &[u32]) -> Outcome {
    // SAFETY: the kernel reads as many ids as specified.
    sys::check("setgroups", unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    Ok(())
}

/// Capability numbers of <linux/capability.h>.
pub mod cap {
    pub const CHOWN: u32 = 0;
    pub const DAC_OVERRIDE: u32 = 1;
    pub const KILL: u32 = 5;
    pub const NET_BIND_SERVICE: u32 = 10;
    pub const SYS_PTRACE: u32 = 19;
}

/// The bits of capabilities in a mask.
pub fn mask(caps: &[u32]) -> u64 {
    caps.iter().fold(0, |mask, cap| mask | 1 << cap)
}

/// capset(2) for the calling thread: effective, permitted, inheritable.
pub fn set_caps(effective: u64, permitted: u64, inheritable: u64) -> Outcome {
    // Version 3 of the header, and the calling thread; the sets come as low halves, then high
    // halves.
    let header = [0x2008_0522u32, 0];
    let half = |shift: u32| [effective, permitted, inheritable].map(|set| (set >> shift) as u32);
    let data = [half(0), half(32)];
    // SAFETY: header and data have the layout of version 3.
    sys::check("capset", unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) })?;
    Ok(())
}

/// A mask of status, such as CapEff.
pub fn caps(key: &str) -> Result<u64> {
    procfs::bits(sys::gettid(), key)
}

/// A child that changes its credentials by `change` and must find all of them unchanged after
/// `go`.
pub fn changed_child(
    stage: &Stage,
    name: &'static str,
    change: impl FnOnce() -> Outcome,
    check: impl FnOnce() -> Outcome,
) -> Result<Child> {
    stage.fork(name, |stage| {
        change()?;
        let want = all()?;
        stage.hold();
        expect_eq("credentials", all()?, want)?;
        check()
    })
}
