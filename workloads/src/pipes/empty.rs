//! A pipe with nothing in it: nothing appears, and data passes afterwards.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an empty pipe stays empty and works",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (reader, writer) = fd::pipe(libc::O_NONBLOCK)?;

    cx.ready()?;

    expect_eq("errno of read", fd::errno("read", fd::read_some(&reader, 10))?, libc::EAGAIN)?;
    expect_eq("bytes available", fd::available(&reader)?, 0)?;
    expect_eq("poll of the reader", fd::ready_for(&reader, libc::POLLIN)?, 0)?;
    expect_eq("poll of the writer", fd::ready_for(&writer, libc::POLLOUT)?, libc::POLLOUT)?;
    fd::write_all(&writer, b"first")?;
    expect_bytes("data", &fd::read_some(&reader, 10)?, b"first")
}
