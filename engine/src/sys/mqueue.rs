//! POSIX message queues (mq_overview(7)).

use super::cvt;
use std::ffi::CString;
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Attributes of a queue, `struct mq_attr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// How many messages it can hold.
    pub most: u64,
    /// Size in bytes of the longest one.
    pub longest: u64,
    /// How many it holds.
    pub messages: u64,
}

fn c_string(name: &[u8]) -> io::Result<CString> {
    Ok(CString::new(name)?)
}

fn open_with(name: &[u8], flags: i32, attributes: *mut libc::mq_attr) -> io::Result<OwnedFd> {
    let name = c_string(name)?;
    let mode: libc::mode_t = 0o600;
    // It is closed on exec without `O_CLOEXEC`, too (ipc/mqueue.c, `do_mq_open`).
    // SAFETY: name and attributes are live.
    let fd = cvt(unsafe { libc::mq_open(name.as_ptr(), flags, mode, attributes) }.into())?;
    // SAFETY: a new descriptor, which is nobody's yet.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Opens a queue.
///
/// # Errors
/// As mq_open(3).
pub fn open(name: &[u8], flags: i32) -> io::Result<OwnedFd> {
    open_with(name, flags, std::ptr::null_mut())
}

/// Creates a queue; fails if there is one of that name.
///
/// # Errors
/// As mq_open(3).
pub fn create(name: &[u8], most: u64, longest: u64) -> io::Result<OwnedFd> {
    // SAFETY: all zeros is valid for this structure of numbers.
    let mut attributes: libc::mq_attr = unsafe { zeroed() };
    (attributes.mq_maxmsg, attributes.mq_msgsize) = (most as _, longest as _);
    open_with(name, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, &mut attributes)
}

/// Removes the name of a queue.
///
/// # Errors
/// As mq_unlink(3).
pub fn unlink(name: &[u8]) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: the name is live.
    cvt(unsafe { libc::mq_unlink(name.as_ptr()) }.into()).map(drop)
}

/// The attributes of a queue.
///
/// # Errors
/// As mq_getattr(3).
pub fn attributes(queue: BorrowedFd<'_>) -> io::Result<Attributes> {
    // SAFETY: all zeros is valid for this structure of numbers.
    let mut attributes: libc::mq_attr = unsafe { zeroed() };
    // SAFETY: the result is live.
    cvt(unsafe { libc::mq_getattr(queue.as_raw_fd(), &mut attributes) }.into())?;
    let libc::mq_attr { mq_maxmsg, mq_msgsize, mq_curmsgs, .. } = attributes;
    Ok(Attributes { most: mq_maxmsg as u64, longest: mq_msgsize as u64, messages: mq_curmsgs as u64 })
}
