//! Shared by several workloads of this group: ends that send a signal when they are ready.

use crate::framework::prelude::*;
use std::os::fd::{AsRawFd as _, OwnedFd};

/// include/uapi/asm-generic/fcntl.h
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
/// include/uapi/asm-generic/siginfo.h
const POLL_IN: i32 = 1;
const POLL_OUT: i32 = 2;

/// F_SETOWN to the calling process, F_SETSIG and O_ASYNC: `number` is sent when the end becomes
/// ready; 0 is SIGIO without siginfo.
pub fn make_asynchronous(end: &OwnedFd, number: i32) -> Outcome {
    fd::fcntl(end, libc::F_SETOWN, sys::getpid())?;
    fd::fcntl(end, F_SETSIG, number)?;
    fd::fcntl(end, libc::F_SETFL, fd::flags(end)? | libc::O_ASYNC)?;
    Ok(())
}

/// Owner, signal and whether O_ASYNC is set.
pub fn notification(end: &OwnedFd) -> anyhow::Result<(i32, i32, bool)> {
    let owner = fd::fcntl(end, libc::F_GETOWN, 0)?;
    let signal = fd::fcntl(end, F_GETSIG, 0)?;
    Ok((owner, signal, fd::flags(end)? & libc::O_ASYNC != 0))
}

/// A byte through the pipe: the reader is signalled when it arrives, the writer when it is read,
/// where requested. The descriptor is in the siginfo of a signal set by F_SETSIG;
/// without it, SIGIO has none (`send_sigio_to_task`, fs/fcntl.c).
pub fn notified(reader: (&OwnedFd, i32), writer: (&OwnedFd, i32)) -> Outcome {
    fd::write_all(writer.0, b"x")?;
    told("what comes", reader, POLL_IN)?;
    expect_bytes("what comes", &fd::read_some(reader.0, 10)?, b"x")?;
    told("what goes", writer, POLL_OUT)
}

/// The signal with `code` for an end must be pending.
fn told(what: &str, (end, number): (&OwnedFd, i32), code: i32) -> Outcome {
    let info = signal::take(&[if number == 0 { libc::SIGIO } else { number }])?;
    let info = info.with_context(|| format!("no signal tells {what} at descriptor {}", end.as_raw_fd()))?;
    if number == 0 {
        return expect_eq("code", info.code(), libc::SI_KERNEL);
    }
    expect_eq("code and descriptor", (info.code(), info.descriptor()), (code, end.as_raw_fd()))
}
