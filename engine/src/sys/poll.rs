//! poll(2) of one descriptor.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, Result};
use std::os::fd::BorrowedFd;

/// The events of these that there are, and those that are always told.
///
/// # Errors
/// As poll(2).
pub fn now(fd: BorrowedFd<'_>, wanted: PollFlags) -> Result<PollFlags> {
    within(fd, wanted, 0)
}

/// Waits until there is one of these events, or one that is always told.
///
/// # Errors
/// ETIMEDOUT after so many seconds; as poll(2).
pub fn wait(fd: BorrowedFd<'_>, wanted: PollFlags, seconds: i64) -> Result<()> {
    if within(fd, wanted, seconds)?.is_empty() { Err(Errno::TIMEDOUT) } else { Ok(()) }
}

fn within(fd: BorrowedFd<'_>, wanted: PollFlags, seconds: i64) -> Result<PollFlags> {
    let mut fds = [PollFd::from_borrowed_fd(fd, wanted)];
    poll(&mut fds, Some(&Timespec { tv_sec: seconds, tv_nsec: 0 }))?;
    Ok(fds[0].revents())
}
