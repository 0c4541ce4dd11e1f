//! Raw kernel interfaces that `rustix`, `nix` and `libc` do not wrap.
//!
//! # Safety
//! This module, `arch` and `remote` are the only ones with `unsafe` in them. Everything public here
//! is safe to call: pointers handed to the kernel come from live borrows, and lengths from the
//! values they belong to.
#![allow(unsafe_code)]

mod addr;
pub mod clone;
pub mod deputy;
pub mod fanotify;
pub mod file;
pub mod guard;
pub mod io_uring;
pub mod kcmp;
pub mod kmod;
pub mod mapping;
pub mod mqueue;
pub mod netlink;
pub mod nftables;
pub mod pagemap_scan;
pub mod poll;
pub mod ptrace;
pub mod session;
pub mod signals;
pub mod sock_diag;
pub mod socket;
pub mod sysv;
pub mod task;
pub mod tty;
pub mod vm;
pub mod wait;

pub use addr::RemoteAddr;

use crate::arch::TASK_SIZES;
use std::io;
use std::sync::OnceLock;

/// Turns the return value of a libc call into a result, with errno as the error.
pub(crate) fn cvt(ret: libc::c_long) -> io::Result<libc::c_long> {
    if ret == -1 { Err(io::Error::last_os_error()) } else { Ok(ret) }
}

/// prctl(2) on the calling thread.
pub fn prctl(option: i32, args: [u64; 4]) -> io::Result<i32> {
    // SAFETY: used with options whose arguments are numbers.
    cvt(unsafe { libc::syscall(libc::SYS_prctl, option, args[0], args[1], args[2], args[3]) })
        .map(|r| r as i32)
}

/// Whether orphaned descendants become children of this process (`PR_GET_CHILD_SUBREAPER`).
pub fn is_subreaper() -> io::Result<bool> {
    let mut is = 0i32;
    let at = &raw mut is;
    // SAFETY: the result is live.
    cvt(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_GET_CHILD_SUBREAPER, at, 0usize, 0usize, 0usize) })?;
    Ok(is != 0)
}

/// Sets whether orphaned descendants become children of this process.
pub fn set_subreaper(is: bool) -> io::Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, [is.into(), 0, 0, 0]).map(drop)
}

/// Whether the kernel has memory policies (`CONFIG_NUMA`).
pub fn has_memory_policies() -> bool {
    let mut mode = 0i32;
    // SAFETY: the mode is live; no set of nodes is asked for.
    cvt(unsafe { libc::syscall(libc::SYS_get_mempolicy, &mut mode, 0usize, 0usize, 0usize, 0usize) }).is_ok()
}

/// Bytes of a page.
pub fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// One past the highest user address.
pub fn task_size() -> u64 {
    static SIZE: OnceLock<u64> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let (most, fewer) = TASK_SIZES.split_last().expect("there is one");
        *fewer.iter().find(|size| is_address(**size - page_size())).unwrap_or(most)
    })
}

/// Whether a page may be mapped at `address`. mincore(2) does not show it, and mmap(2) without
/// MAP_FIXED takes the address as a hint; MAP_FIXED_NOREPLACE does not replace mappings.
fn is_address(address: u64) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    let len = page_size() as usize;
    // SAFETY: nothing that is mapped is replaced, and only what was just mapped is unmapped.
    unsafe {
        let got = libc::mmap(address as *mut _, len, libc::PROT_NONE, flags, -1, 0);
        if got == libc::MAP_FAILED {
            return io::Error::last_os_error().raw_os_error() == Some(libc::EEXIST);
        }
        libc::munmap(got, len);
        got as u64 == address
    }
}

/// `PR_GET_TID_ADDRESS` of prctl(2), with `CONFIG_CHECKPOINT_RESTORE` (include/uapi/linux/prctl.h).
pub const PR_GET_TID_ADDRESS: i32 = 40;

/// Writes to an inherited descriptor, given by number, and closes it.
pub fn notify(fd: i32, message: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::fd::FromRawFd;
    // SAFETY: the caller of the program gave it to us under this number, for this one message.
    let mut file = unsafe { std::fs::File::from_raw_fd(fd) };
    file.write_all(message)
}
