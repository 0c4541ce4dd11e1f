//! Options of sockets: getsockopt(2) and setsockopt(2).

use super::{Outcome, sys};
use anyhow::{Context as _, anyhow};
use std::os::fd::AsRawFd;

/// setsockopt(2).
pub fn set(socket: &impl AsRawFd, level: i32, option: i32, value: &[u8]) -> Outcome {
    let len = value.len() as libc::socklen_t;
    // SAFETY: the value lives through the call and is as long as it says.
    sys::check("setsockopt", unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, value.as_ptr().cast(), len)
    })
    .with_context(|| format!("option {option} of level {level}"))?;
    Ok(())
}

/// setsockopt(2) with an int.
pub fn set_int(socket: &impl AsRawFd, level: i32, option: i32, value: i32) -> Outcome {
    set(socket, level, option, &value.to_ne_bytes())
}

/// getsockopt(2).
pub fn get(socket: &impl AsRawFd, level: i32, option: i32) -> anyhow::Result<Vec<u8>> {
    let mut value = vec![0u8; 64];
    let mut len = value.len() as libc::socklen_t;
    // SAFETY: the buffer lives through the call and is as long as it says.
    sys::check("getsockopt", unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, value.as_mut_ptr().cast(), &mut len)
    })
    .with_context(|| format!("option {option} of level {level}"))?;
    value.truncate(len as usize);
    Ok(value)
}

/// getsockopt(2) of an int.
pub fn get_int(socket: &impl AsRawFd, level: i32, option: i32) -> anyhow::Result<i32> {
    let value = get(socket, level, option)?;
    let four = value.try_into().map_err(|value| anyhow!("an option of other bytes than four: {value:?}"))?;
    Ok(i32::from_ne_bytes(four))
}
