//! Signals that are pending and have not been read from a signalfd.

use super::helpers::{read_signal, signalfd};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a signalfd returns the signals that are pending, with their values, in the kernel's order",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let queued = libc::SIGRTMIN() + 3;
    signal::block(&[libc::SIGUSR1, libc::SIGUSR2, queued])?;
    let both = signalfd(&[libc::SIGUSR1, queued], libc::SFD_NONBLOCK)?;
    let other = signalfd(&[libc::SIGUSR2], libc::SFD_NONBLOCK | libc::SFD_CLOEXEC)?;
    for value in [11, 22] {
        signal::queue(sys::getpid(), queued, value)?;
    }
    signal::kill(sys::getpid(), libc::SIGUSR1)?;

    cx.ready()?;

    expect_eq("closed on exec", (fd::cloexec(&both)?, fd::cloexec(&other)?), (false, true))?;
    expect_eq("of the other", fd::errno("read", read_signal(&other))?, libc::EAGAIN)?;
    let first = read_signal(&both)?;
    expect_eq("the standard signal", (first.0, first.2), (libc::SIGUSR1, sys::getpid()))?;
    for value in [11, 22] {
        expect_eq("a queued one", read_signal(&both)?, (queued, value, sys::getpid()))?;
    }
    expect_eq("after the last", fd::errno("read", read_signal(&both))?, libc::EAGAIN)?;
    signal::kill(sys::getpid(), libc::SIGUSR2)?;
    expect_eq("of this one", fd::errno("read", read_signal(&both))?, libc::EAGAIN)?;
    expect_eq("of the other one", read_signal(&other)?.0, libc::SIGUSR2)
}
