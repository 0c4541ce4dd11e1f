//! A pipe filled to the last byte: it accepts nothing until it is read.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a pipe that is exactly full, 64 KiB",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (reader, writer) = fd::pipe(libc::O_NONBLOCK)?;
    let size = fd::fcntl(&writer, libc::F_GETPIPE_SZ, 0)? as usize;
    fd::write_all(&writer, &pattern::bytes(size, cx.seed))?;
    expect_eq("errno of write", fd::errno("write", fd::write_some(&writer, b"x"))?, libc::EAGAIN)?;

    cx.ready()?;

    expect_eq("size", fd::fcntl(&reader, libc::F_GETPIPE_SZ, 0)?, size as i32)?;
    expect_eq("errno of write", fd::errno("write", fd::write_some(&writer, b"x"))?, libc::EAGAIN)?;
    expect_eq("poll of the writer", fd::ready_for(&writer, libc::POLLOUT)?, 0)?;
    expect_eq("bytes available", fd::available(&reader)?, size as i32)?;
    pattern::verify("pipe", &fd::read_all(&reader, size)?, cx.seed)?;
    expect_eq("errno of read", fd::errno("read", fd::read_some(&reader, 1))?, libc::EAGAIN)
}
