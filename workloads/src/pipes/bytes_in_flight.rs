//! A pipe with both ends in one process holds unread bytes.

use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "the bytes in a pipe, and that nothing else is in it",
    needs: &[],
    active: false,
    statik: true,
    run,
};

const LEN: usize = 10_000;

fn run(cx: &mut Ctx) -> Outcome {
    let (reader, writer) = fd::pipe(0)?;
    fd::write_all(&writer, &pattern::bytes(LEN, cx.seed))?;
    let numbers = (reader.as_raw_fd(), writer.as_raw_fd());

    cx.ready()?;

    expect_eq("bytes available", fd::available(&reader)?, LEN as i32)?;
    pattern::verify("pipe", &fd::read_all(&reader, LEN)?, cx.seed)?;
    expect_eq("bytes left", fd::available(&reader)?, 0)?;
    fd::write_all(&writer, b"more")?;
    expect_bytes("after", &fd::read_some(&reader, 100)?, b"more")?;
    expect_eq("numbers", (reader.as_raw_fd(), writer.as_raw_fd()), numbers)?;
    let (one, other) = (fd::stat(&reader)?, fd::stat(&writer)?);
    expect_eq("inode of both ends", (one.st_dev, one.st_ino), (other.st_dev, other.st_ino))?;
    drop(writer);
    expect_bytes("end of file", &fd::read_some(&reader, 1)?, b"")
}
