//! Filters that let one system call fail, and how they show.

use crate::framework::prelude::*;
use anyhow::Result;

/// Installs a filter with which system call `nr` fails with `errno`, and all others pass.
pub fn deny(nr: libc::c_long, errno: u16, flags: libc::c_ulong) -> Outcome {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let instruction = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        // The system call number is at offset 0 of struct seccomp_data.
        instruction(LOAD, 0, 0, 0),
        instruction(EQUAL, 0, 1, nr as u32),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | u32::from(errno)),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let fprog = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the program.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &fprog) };
    match sys::check("seccomp", result)? {
        0 => Ok(()),
        tid => bail!("thread {tid} cannot be synchronized"),
    }
}

/// What a thread may install filters without privileges with.
pub fn bind() -> Outcome {
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, [1, 0, 0, 0]).map(drop)
}

/// The errno of getpgid(2) and getsid(2), which no filter but ours lets fail; 0 for none.
pub fn seen() -> [i32; 2] {
    // SAFETY: numbers only.
    [libc::SYS_getpgid, libc::SYS_getsid]
        .map(|nr| sys::errno_of(unsafe { libc::syscall(nr, 0) }).unwrap_or(0))
}

/// Mode and number of filters (Linux 5.9) of the calling thread, in /proc.
pub fn shown() -> Result<[String; 2]> {
    let line = |key| procfs::status(sys::gettid(), key);
    Ok([line("Seccomp")?, line("Seccomp_filters")?])
}
