//! File descriptors through the plain system calls: one call each, errno kept, no buffering.

use super::{Outcome, sys};
use anyhow::{Context as _, Result, bail};
use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// open(2).
pub fn open(path: impl AsRef<Path>, flags: i32, mode: u32) -> Result<OwnedFd> {
    let path = path.as_ref();
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the name is a C string that lives through the call.
    let fd = sys::check("open", unsafe { libc::open(name.as_ptr(), flags, mode) })
        .with_context(|| format!("{} with flags {flags:#o}", path.display()))?;
    // SAFETY: the descriptor is new and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// pipe2(2): the read end, the write end.
pub fn pipe(flags: i32) -> Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: the kernel writes two ints; both descriptors are new and have no other owner.
    unsafe {
        sys::check("pipe2", libc::pipe2(ends.as_mut_ptr(), flags))?;
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

/// dup(2).
pub fn dup(fd: &impl AsRawFd) -> Result<OwnedFd> {
    // SAFETY: the new descriptor has no other owner.
    unsafe { Ok(OwnedFd::from_raw_fd(sys::check("dup", libc::dup(fd.as_raw_fd()))?)) }
}

/// dup3(2) onto a number that is not in use.
pub fn dup_to(fd: &impl AsRawFd, number: RawFd, flags: i32) -> Result<OwnedFd> {
    anyhow::ensure!(!is_open(number), "descriptor {number} is in use");
    // SAFETY: the number was free, so the new descriptor has no other owner.
    unsafe { Ok(OwnedFd::from_raw_fd(sys::check("dup3", libc::dup3(fd.as_raw_fd(), number, flags))?)) }
}

/// The same, and nobody owns it: it stays open until a plain close(2).
pub fn place(fd: &impl AsRawFd, number: RawFd, flags: i32) -> Outcome {
    std::mem::forget(dup_to(fd, number, flags)?);
    Ok(())
}

/// close(2) of a number that nobody owns.
pub fn close(number: RawFd) -> Outcome {
    // SAFETY: the caller knows no owner of the descriptor.
    sys::check("close", unsafe { libc::close(number) })?;
    Ok(())
}

/// Whether descriptor `number` exists.
pub fn is_open(number: RawFd) -> bool {
    // SAFETY: F_GETFD takes no memory and any number.
    unsafe { libc::fcntl(number, libc::F_GETFD) != -1 }
}

/// fcntl(2) with a number as argument.
pub fn fcntl(fd: &impl AsRawFd, command: i32, argument: i32) -> Result<i32> {
    // SAFETY: callers use commands that take a number.
    sys::check("fcntl", unsafe { libc::fcntl(fd.as_raw_fd(), command, argument) })
        .with_context(|| format!("command {command} on descriptor {}", fd.as_raw_fd()))
}

/// The file status flags, as F_GETFL gives them.
pub fn flags(fd: &impl AsRawFd) -> Result<i32> {
    fcntl(fd, libc::F_GETFL, 0)
}

/// Whether the descriptor is closed on exec.
pub fn cloexec(fd: &impl AsRawFd) -> Result<bool> {
    Ok(fcntl(fd, libc::F_GETFD, 0)? & libc::FD_CLOEXEC != 0)
}

/// The offset.
pub fn offset(fd: &impl AsRawFd) -> Result<i64> {
    seek(fd, 0, libc::SEEK_CUR)
}

/// lseek(2).
pub fn seek(fd: &impl AsRawFd, offset: i64, whence: i32) -> Result<i64> {
    // SAFETY: lseek takes no memory.
    sys::check("lseek", unsafe { libc::lseek(fd.as_raw_fd(), offset, whence) })
        .with_context(|| format!("descriptor {}", fd.as_raw_fd()))
}

/// fstat(2).
pub fn stat(fd: &impl AsRawFd) -> Result<libc::stat> {
    // SAFETY: the kernel fills the whole struct, which is plain data.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        sys::check("fstat", libc::fstat(fd.as_raw_fd(), &mut stat))?;
        Ok(stat)
    }
}

/// One read(2) of at most `len` bytes.
pub fn read_some(fd: &impl AsRawFd, len: usize) -> Result<Vec<u8>> {
    let mut buffer = vec![0; len];
    // SAFETY: the buffer has `len` bytes.
    let got = sys::check("read", unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), len) })?;
    buffer.truncate(got.cast_unsigned());
    Ok(buffer)
}

/// Reads exactly `len` bytes, in as many calls as it takes.
pub fn read_all(fd: &impl AsRawFd, len: usize) -> Result<Vec<u8>> {
    let mut all = Vec::with_capacity(len);
    while all.len() < len {
        match read_some(fd, len - all.len()) {
            Ok(part) if part.is_empty() => bail!("end of file after {} of {len} bytes", all.len()),
            Ok(part) => all.extend(part),
            Err(e) if sys::errno_in(&e) == Some(libc::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(all)
}

/// Reads up to the end of the file.
pub fn read_to_end(fd: &impl AsRawFd) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        match read_some(fd, 1 << 16) {
            Ok(part) if part.is_empty() => return Ok(all),
            Ok(part) => all.extend(part),
            Err(e) if sys::errno_in(&e) == Some(libc::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// pread(2) of exactly `len` bytes at `offset`.
pub fn read_at(fd: &impl AsRawFd, len: usize, offset: i64) -> Result<Vec<u8>> {
    let mut buffer = vec![0; len];
    // SAFETY: the buffer has `len` bytes.
    let got =
        sys::check("pread", unsafe { libc::pread(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), len, offset) })?;
    anyhow::ensure!(got.cast_unsigned() == len, "pread at {offset}: {got} of {len} bytes");
    Ok(buffer)
}

/// One write(2).
pub fn write_some(fd: &impl AsRawFd, bytes: &[u8]) -> Result<usize> {
    // SAFETY: the slice is readable for its length.
    let done =
        sys::check("write", unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) })?;
    Ok(done.cast_unsigned())
}

/// Writes everything, in as many calls as it takes.
pub fn write_all(fd: &impl AsRawFd, mut bytes: &[u8]) -> Outcome {
    while !bytes.is_empty() {
        match write_some(fd, bytes) {
            Ok(done) => bytes = &bytes[done..],
            Err(e) if sys::errno_in(&e) == Some(libc::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The errno of a call that must fail.
pub fn errno<T>(what: &str, result: Result<T>) -> Result<i32> {
    match result {
        Ok(_) => bail!("{what}: succeeded, want an error"),
        Err(e) => sys::errno_in(&e).with_context(|| format!("{what}: {e:#}")),
    }
}

/// Bytes that can be read at once (FIONREAD).
pub fn available(fd: &impl AsRawFd) -> Result<i32> {
    let mut count = 0i32;
    // SAFETY: FIONREAD writes one int.
    sys::check("ioctl(FIONREAD)", unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &mut count) })?;
    Ok(count)
}

/// Bytes that were written and that the other end of a connection has not acknowledged.
pub fn outq(fd: &impl AsRawFd) -> Result<i32> {
    let mut count = 0i32;
    // SAFETY: TIOCOUTQ writes one int.
    sys::check("ioctl(TIOCOUTQ)", unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &mut count) })?;
    Ok(count)
}

/// poll(2) without waiting: what of `events`, POLLHUP and POLLERR holds.
pub fn ready_for(fd: &impl AsRawFd, events: i16) -> Result<i16> {
    let mut one = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: one pollfd that lives through the call.
    sys::check("poll", unsafe { libc::poll(&mut one, 1, 0) })?;
    Ok(one.revents)
}

/// Whether two descriptors of this process are one open file description, by sharing their offset
/// or flags. Both must be seekable; the offset is as before afterwards.
pub fn share_offset(a: &impl AsRawFd, b: &impl AsRawFd) -> Result<bool> {
    let (old, probe) = (offset(a)?, 0x1234_5678);
    let before = offset(b)?;
    seek(a, probe, libc::SEEK_SET)?;
    let moved = offset(b)? == probe && before != probe;
    seek(a, old, libc::SEEK_SET)?;
    Ok(moved)
}
