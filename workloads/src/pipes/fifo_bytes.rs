//! A named pipe, opened once for reading and once for writing, holds bytes.

use crate::framework::prelude::*;
use std::os::unix::fs::MetadataExt as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "a FIFO with bytes in flight and separate descriptions for its ends",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    nix::unistd::mkfifo("a fifo", nix::sys::stat::Mode::from_bits_truncate(0o640))?;
    let reader = fd::open("a fifo", libc::O_RDONLY | libc::O_NONBLOCK, 0)?;
    let writer = fd::open("a fifo", libc::O_WRONLY | libc::O_APPEND, 0)?;
    fd::write_all(&writer, &pattern::bytes(20_000, cx.seed))?;
    let (flags, inode) = ((fd::flags(&reader)?, fd::flags(&writer)?), fd::stat(&reader)?.st_ino);

    cx.ready()?;

    expect_eq("flags", (fd::flags(&reader)?, fd::flags(&writer)?), flags)?;
    let named = std::fs::metadata("a fifo").context("stat")?;
    expect_eq("inode", (named.ino(), fd::stat(&reader)?.st_ino), (inode, inode))?;
    expect_eq("mode", named.mode(), libc::S_IFIFO | 0o640)?;
    pattern::verify("fifo", &fd::read_all(&reader, 20_000)?, cx.seed)?;
    expect_eq("errno of read", fd::errno("read", fd::read_some(&reader, 1))?, libc::EAGAIN)?;
    // A third one, through the name, reaches the same pipe.
    let third = fd::open("a fifo", libc::O_WRONLY | libc::O_NONBLOCK, 0)?;
    fd::write_all(&third, b"by name")?;
    expect_bytes("through the name", &fd::read_some(&reader, 100)?, b"by name")?;
    drop((writer, third));
    expect_bytes("end of file", &fd::read_some(&reader, 1)?, b"")
}
