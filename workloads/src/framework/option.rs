//! Options of sockets: getsockopt(2) and setsockopt(2).

use super::prelude::*;
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
    let (mut value, len) = read(socket, level, option)?;
    value.truncate(len);
    Ok(value)
}

/// The buffer, and the length that the kernel tells.
fn read(socket: &impl AsRawFd, level: i32, option: i32) -> anyhow::Result<(Vec<u8>, usize)> {
    let mut value = vec![0u8; 64];
    let mut len = value.len() as libc::socklen_t;
    // SAFETY: the buffer lives through the call and is as long as it says.
    sys::check("getsockopt", unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, value.as_mut_ptr().cast(), &mut len)
    })
    .with_context(|| format!("option {option} of level {level}"))?;
    Ok((value, len as usize))
}

/// getsockopt(2) of an int.
pub fn get_int(socket: &impl AsRawFd, level: i32, option: i32) -> anyhow::Result<i32> {
    let value = get(socket, level, option)?;
    let four = value.try_into().map_err(|value| anyhow!("an option of other bytes than four: {value:?}"))?;
    Ok(i32::from_ne_bytes(four))
}

/// A classic filter (`struct sock_filter`, linux/filter.h) that lets everything pass but packets
/// with this byte at `offset`.
pub fn filter_against(byte: u8, offset: u32) -> [u8; 32] {
    const LOAD_BYTE: u16 = 0x30;
    const SKIP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 6;
    let code =
        [(LOAD_BYTE, 0, offset), (SKIP_IF_EQUAL, 1, u32::from(byte)), (RETURN, 0, u32::MAX), (RETURN, 0, 0)];
    let mut all = [0; 32];
    for (instruction, (opcode, equal, value)) in all.as_chunks_mut::<8>().0.iter_mut().zip(code) {
        instruction[..2].copy_from_slice(&opcode.to_ne_bytes());
        instruction[2] = equal;
        instruction[4..].copy_from_slice(&value.to_ne_bytes());
    }
    all
}

/// Attaches it, for good.
pub fn set_filter(socket: &impl AsRawFd, code: &[u8; 32]) -> Outcome {
    // struct sock_fprog
    let mut program = [0; 16];
    program[..2].copy_from_slice(&4u16.to_ne_bytes());
    program[8..].copy_from_slice(&(code.as_ptr() as u64).to_ne_bytes());
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)?;
    set_int(socket, libc::SOL_SOCKET, libc::SO_LOCK_FILTER, 1)
}

/// Checks that it is there, and stays.
pub fn expect_filter(socket: &impl AsRawFd, code: &[u8; 32]) -> Outcome {
    // Counted in instructions.
    let (found, len) = read(socket, libc::SOL_SOCKET, libc::SO_GET_FILTER)?;
    expect_eq("how many instructions the filter has", len, 4)?;
    expect_eq("the filter", &found[..32], code)?;
    let detached = set_int(socket, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, 0);
    expect(detached.is_err(), || "a locked filter was detached".into())
}
