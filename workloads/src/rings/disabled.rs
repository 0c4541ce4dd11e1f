//! A ring that its program has not enabled yet, with requests in its queue.

use super::helpers::{NOP, R_DISABLED, Request, Ring, WRITE, require};
use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "an io_uring that is not enabled yet (R_DISABLED)",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    require(R_DISABLED)?;
    let mut ring = Ring::with_flags(4, R_DISABLED)?;
    let file = fd::open("data", libc::O_RDWR | libc::O_CREAT, 0o600)?;
    let text = b"written later";
    let address = text.as_ptr().addr() as u64;
    ring.queue(Request {
        opcode: WRITE,
        fd: file.as_raw_fd(),
        address,
        len: 13,
        word: 5,
        ..Request::default()
    })?;
    expect_eq("enter before", fd::errno("enter", ring.enter(1, 0))?, libc::EBADFD)?;

    cx.ready()?;

    expect_eq("enter after", fd::errno("enter", ring.enter(1, 0))?, libc::EBADFD)?;
    ring.enable()?;
    expect_eq("enable again", fd::errno("enable", ring.enable())?, libc::EBADFD)?;
    expect_eq("submitted", ring.enter(1, 1)?, 1)?;
    expect_eq("completion", ring.take(), Some((5, 13)))?;
    expect_bytes("what was written", &fd::read_at(&file, 13, 0)?, text)?;
    expect_eq("result", ring.call(Request { opcode: NOP, word: 6, ..Request::default() })?, 0)?;
    ring.spin(10, 0)
}
