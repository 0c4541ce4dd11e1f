//! One file open for reading, for writing and for both: each descriptor allows what its mode does
//! and no more.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "read-only, write-only and read-write descriptors of the same file",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    helpers::make("file", 100, cx.seed)?;
    let reader = fd::open("file", libc::O_RDONLY, 0)?;
    let writer = fd::open("file", libc::O_WRONLY, 0)?;
    let both = fd::open("file", libc::O_RDWR, 0)?;

    cx.ready()?;

    expect_eq("writing to the reader", fd::errno("write", fd::write_some(&reader, b"x"))?, libc::EBADF)?;
    expect_eq("reading the writer", fd::errno("read", fd::read_some(&writer, 1))?, libc::EBADF)?;
    fd::write_all(&writer, b"written")?;
    expect_bytes("read by the reader", &fd::read_some(&reader, 7)?, b"written")?;
    fd::seek(&both, 3, libc::SEEK_SET)?;
    fd::write_all(&both, b"b")?;
    expect_bytes("read by both", &fd::read_at(&both, 7, 0)?, b"wribten")
}
