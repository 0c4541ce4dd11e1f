//! eventfd(2), by words of eight bytes.

use crate::framework::prelude::*;
use std::os::fd::{FromRawFd as _, OwnedFd};

/// eventfd2(2).
pub fn eventfd(count: u32, flags: i32) -> anyhow::Result<OwnedFd> {
    // SAFETY: numbers only; the descriptor is new and nobody else's.
    unsafe { Ok(OwnedFd::from_raw_fd(sys::check("eventfd", libc::eventfd(count, flags))?)) }
}

/// One read(2), which must give eight bytes.
pub fn take(fd: &OwnedFd) -> anyhow::Result<u64> {
    let bytes = fd::read_some(fd, 8)?;
    let len = bytes.len();
    Ok(u64::from_ne_bytes(bytes.try_into().map_err(|_| anyhow!("read {len} of 8 bytes"))?))
}

/// One write(2) of eight bytes.
pub fn add(fd: &OwnedFd, count: u64) -> Outcome {
    expect_eq("bytes written", fd::write_some(fd, &count.to_ne_bytes())?, 8)
}
