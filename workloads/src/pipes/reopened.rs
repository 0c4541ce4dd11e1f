//! A pipe opened again through /proc/self/fd: further descriptions, even one for both directions.

use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "several open file descriptions of one pipe, one of them read-write",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (reader, writer) = fd::pipe(0)?;
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let again = fd::open(&path, libc::O_RDONLY | libc::O_NONBLOCK, 0)?;
    let both = fd::open(&path, libc::O_RDWR, 0)?;
    fd::write_all(&both, b"from the one for both")?;
    fd::write_all(&writer, b", from the writer")?;

    cx.ready()?;

    expect_eq("flags of the first reader", fd::flags(&reader)? & libc::O_NONBLOCK, 0)?;
    expect_eq("flags of the second reader", fd::flags(&again)? & libc::O_NONBLOCK, libc::O_NONBLOCK)?;
    expect_eq("access of the one for both", fd::flags(&both)? & libc::O_ACCMODE, libc::O_RDWR)?;
    expect_bytes("pipe", &fd::read_some(&again, 100)?, b"from the one for both, from the writer")?;
    drop(writer);
    expect_eq("a writer is left", fd::errno("read", fd::read_some(&again, 1))?, libc::EAGAIN)?;
    fd::write_all(&both, b"to myself")?;
    expect_bytes("read by the one for both", &fd::read_some(&both, 100)?, b"to myself")?;
    drop(both);
    expect_bytes("end of file", &fd::read_some(&reader, 1)?, b"")
}
