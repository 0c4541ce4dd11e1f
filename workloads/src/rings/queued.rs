//! Requests that are in the queue and not submitted.

use super::helpers::{NOP, Request, Ring, WRITE};
use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "requests in the queue of an io_uring that are not submitted yet",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut ring = Ring::new(4)?;
    ring.spin(6, 0)?;
    let file = fd::open("data", libc::O_RDWR | libc::O_CREAT, 0o600)?;
    let text = b"written later";
    let address = text.as_ptr().addr() as u64;
    let write =
        Request { opcode: WRITE, flags: 0, fd: file.as_raw_fd(), address, len: 13, offset: 3, word: 5 };
    ring.queue(write)?;
    ring.queue(Request { opcode: NOP, word: 6, ..Request::default() })?;

    cx.ready()?;

    expect_eq("size", fd::stat(&file)?.st_size, 0)?;
    expect_eq("submitted", ring.enter(2, 2)?, 2)?;
    let mut got = [ring.take(), ring.take()];
    got.sort_unstable();
    expect_eq("completions", got, [Some((5, 13)), Some((6, 0))])?;
    expect_bytes("what was written", &fd::read_at(&file, 13, 3)?, text)?;
    ring.spin(10, 0)
}
