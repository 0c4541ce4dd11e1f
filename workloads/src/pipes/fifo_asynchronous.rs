//! Both ends of a FIFO signal their process when they are ready. That O_ASYNC is shown does not
//! make it active: in open(2) it has no effect, only `setfl` (fs/fcntl.c) calls `fasync`.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "O_ASYNC set at the ends of a FIFO, its owner and its signal, and that the signals come",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    signal::block(&[libc::SIGIO, 40, 41])?;
    nix::unistd::mkfifo("a fifo", nix::sys::stat::Mode::from_bits_truncate(0o600))?;
    let reader = fd::open("a fifo", libc::O_RDONLY | libc::O_NONBLOCK, 0)?;
    let writer = fd::open("a fifo", libc::O_WRONLY | libc::O_NONBLOCK, 0)?;
    helpers::make_asynchronous(&reader, 40)?;
    helpers::make_asynchronous(&writer, 41)?;
    let verify = || {
        expect_eq("reader", helpers::notification(&reader)?, (sys::getpid(), 40, true))?;
        expect_eq("writer", helpers::notification(&writer)?, (sys::getpid(), 41, true))?;
        expect_eq("pending", signal::pending()?, 0)?;
        helpers::notified((&reader, 40), (&writer, 41))?;
        expect_eq("pending behind", signal::pending()?, 0)
    };
    verify().context("before")?;

    cx.ready()?;

    verify()
}
