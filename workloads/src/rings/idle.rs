//! A ring that has done something goes on where it was.

use super::helpers::{NOP, READ, Request, Ring};
use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "an idle io_uring, its counters and its mappings",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut ring = Ring::new(8)?;
    ring.spin(1003, 0)?;
    let file = fd::open("data", libc::O_RDWR | libc::O_CREAT, 0o600)?;
    fd::write_all(&file, b"read by a ring")?;

    cx.ready()?;

    expect_eq("done", ring.done(), (1003, 1003))?;
    expect_eq("closed on exec", fd::cloexec(&ring.fd)?, true)?;
    expect_eq("result", ring.call(Request { opcode: NOP, word: 77, ..Request::default() })?, 0)?;
    let mut bytes = [0u8; 14];
    let address = bytes.as_mut_ptr().addr() as u64;
    let request =
        Request { opcode: READ, flags: 0, fd: file.as_raw_fd(), address, len: 14, offset: 0, word: 1 << 40 };
    expect_eq("read", ring.call(request)?, 14)?;
    expect_bytes("what was read", &bytes, b"read by a ring")?;
    ring.spin(100, 0)
}
