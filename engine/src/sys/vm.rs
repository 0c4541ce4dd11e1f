//! Another process's memory: process_vm_readv(2) and process_vm_writev(2).

use super::RemoteAddr;
use std::io;

fn whole(n: isize, want: usize, addr: RemoteAddr) -> io::Result<()> {
    match n {
        -1 => Err(io::Error::last_os_error()),
        n if n as usize == want => Ok(()),
        n => Err(io::Error::other(format!("{n} of {want} bytes at {addr}"))),
    }
}

/// Fills `buf` from `addr` of process `pid`; all of it or an error.
pub fn read(pid: i32, addr: RemoteAddr, buf: &mut [u8]) -> io::Result<()> {
    let local = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    let remote = libc::iovec { iov_base: addr.0 as *mut _, iov_len: buf.len() };
    // SAFETY: the local vector is a live, exclusive borrow; the remote one is only interpreted in
    // the other process.
    whole(unsafe { libc::process_vm_readv(pid, &local, 1, &remote, 1, 0) }, buf.len(), addr)
}

/// Reads several remote ranges, one after the other, into `buf`; the lengths must add up to its
/// length, at most 1024 ranges.
pub fn read_ranges(pid: i32, ranges: &[(RemoteAddr, usize)], buf: &mut [u8]) -> io::Result<()> {
    let local = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    let remote: Vec<_> =
        ranges.iter().map(|(addr, len)| libc::iovec { iov_base: addr.0 as *mut _, iov_len: *len }).collect();
    // SAFETY: as in `read`.
    let n = unsafe { libc::process_vm_readv(pid, &local, 1, remote.as_ptr(), remote.len() as u64, 0) };
    whole(n, buf.len(), ranges.first().map_or(RemoteAddr(0), |r| r.0))
}

/// Writes `buf` to `addr` of process `pid` by way of /proc/PID/mem, which ignores the
/// protection of private memory.
pub fn force(pid: i32, addr: RemoteAddr, buf: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let memory = std::fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/mem"))?;
    memory.write_all_at(buf, addr.0)
}

/// Writes `buf` to `addr` of process `pid`; all of it or an error. The pages must be writable for
/// that process.
pub fn write(pid: i32, addr: RemoteAddr, buf: &[u8]) -> io::Result<()> {
    let local = libc::iovec { iov_base: buf.as_ptr().cast_mut().cast(), iov_len: buf.len() };
    let remote = libc::iovec { iov_base: addr.0 as *mut _, iov_len: buf.len() };
    // SAFETY: the kernel only reads the local vector.
    whole(unsafe { libc::process_vm_writev(pid, &local, 1, &remote, 1, 0) }, buf.len(), addr)
}
