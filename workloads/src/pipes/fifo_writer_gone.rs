//! A named pipe whose writer has written bytes and closed it.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a FIFO without a writer: the bytes, then end of file, then a new writer",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    nix::unistd::mkfifo("left behind", nix::sys::stat::Mode::from_bits_truncate(0o600))?;
    let reader = fd::open("left behind", libc::O_RDONLY | libc::O_NONBLOCK, 0)?;
    let writer = fd::open("left behind", libc::O_WRONLY, 0)?;
    fd::write_all(&writer, &pattern::bytes(5000, cx.seed))?;
    drop(writer);

    cx.ready()?;

    expect_eq("poll", fd::ready_for(&reader, libc::POLLIN)?, libc::POLLIN | libc::POLLHUP)?;
    pattern::verify("fifo", &fd::read_to_end(&reader)?, cx.seed)?;
    let writer = fd::open("left behind", libc::O_WRONLY, 0)?;
    fd::write_all(&writer, b"anew")?;
    expect_bytes("from the new writer", &fd::read_some(&reader, 10)?, b"anew")
}
