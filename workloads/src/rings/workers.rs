//! The kernel has made threads in the process for its requests.

use super::helpers::{Request, Ring, WRITE};
use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "an io_uring whose requests were done by threads of the kernel's",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// `IOSQE_ASYNC`
const ASYNC: u8 = 1 << 4;

fn run(cx: &mut Ctx) -> Outcome {
    let mut ring = Ring::new(8)?;
    let file = fd::open("data", libc::O_RDWR | libc::O_CREAT, 0o600)?;
    let text = b"by a worker";
    let address = text.as_ptr().addr() as u64;
    let write = |offset: u64| Request {
        opcode: WRITE,
        flags: ASYNC,
        fd: file.as_raw_fd(),
        address,
        len: 11,
        offset,
        word: offset,
    };
    expect_eq("written", ring.call(write(0))?, 11)?;

    cx.ready()?;

    expect_bytes("what was written", &fd::read_at(&file, 11, 0)?, text)?;
    expect_eq("written", ring.call(write(100))?, 11)?;
    expect_bytes("what was written", &fd::read_at(&file, 11, 100)?, text)
}
