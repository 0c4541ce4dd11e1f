//! A named pipe whose name has been removed, with bytes in it.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an unlinked FIFO keeps its ends and bytes",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    nix::unistd::mkfifo("nameless", nix::sys::stat::Mode::from_bits_truncate(0o600))?;
    let reader = fd::open("nameless", libc::O_RDONLY | libc::O_NONBLOCK, 0)?;
    let writer = fd::open("nameless", libc::O_WRONLY, 0)?;
    fd::write_all(&writer, &pattern::bytes(700, cx.seed))?;
    std::fs::remove_file("nameless").context("unlink")?;

    cx.ready()?;

    expect(!std::path::Path::new("nameless").exists(), || "the name is back".into())?;
    expect_eq("links", fd::stat(&reader)?.st_nlink, 0)?;
    expect_eq("one inode", fd::stat(&reader)?.st_ino, fd::stat(&writer)?.st_ino)?;
    pattern::verify("fifo", &fd::read_all(&reader, 700)?, cx.seed)?;
    fd::write_all(&writer, b"still")?;
    expect_bytes("fifo", &fd::read_some(&reader, 10)?, b"still")
}
