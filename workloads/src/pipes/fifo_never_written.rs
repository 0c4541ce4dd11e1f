//! A named pipe open for reading that has not had a writer yet: empty, but not hung up.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a FIFO that waits for its first writer does not report POLLHUP",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    nix::unistd::mkfifo("expectant", nix::sys::stat::Mode::from_bits_truncate(0o600))?;
    let reader = fd::open("expectant", libc::O_RDONLY | libc::O_NONBLOCK, 0)?;
    expect_eq("poll before", fd::ready_for(&reader, libc::POLLIN)?, 0)?;

    cx.ready()?;

    expect_eq("poll", fd::ready_for(&reader, libc::POLLIN)?, 0)?;
    expect_bytes("read", &fd::read_some(&reader, 1)?, b"")?;
    let writer = fd::open("expectant", libc::O_WRONLY | libc::O_NONBLOCK, 0)?;
    fd::write_all(&writer, b"first")?;
    expect_bytes("from the first writer", &fd::read_some(&reader, 10)?, b"first")
}
