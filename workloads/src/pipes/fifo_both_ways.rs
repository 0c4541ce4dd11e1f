//! A named pipe opened for reading and writing by one descriptor, with bytes in it.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a FIFO opened O_RDWR, the only description of it",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    nix::unistd::mkfifo("both ways", nix::sys::stat::Mode::from_bits_truncate(0o600))?;
    let both = fd::open("both ways", libc::O_RDWR, 0)?;
    let size = 2 * page_size();
    fd::fcntl(&both, libc::F_SETPIPE_SZ, size as i32)?;
    fd::write_all(&both, &pattern::bytes(size, cx.seed))?;

    cx.ready()?;

    expect_eq("access", fd::flags(&both)? & libc::O_ACCMODE, libc::O_RDWR)?;
    expect_eq("size", fd::fcntl(&both, libc::F_GETPIPE_SZ, 0)?, size as i32)?;
    expect_eq("poll", fd::ready_for(&both, libc::POLLIN | libc::POLLOUT)?, libc::POLLIN)?;
    pattern::verify("fifo", &fd::read_all(&both, size)?, cx.seed)?;
    expect_eq("poll", fd::ready_for(&both, libc::POLLIN | libc::POLLOUT)?, libc::POLLOUT)
}
