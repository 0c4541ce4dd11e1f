//! One signalfd in two processes: its set is common, the signals are those of the reader.

use super::helpers::{read_signal, set_signals, signalfd};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a signalfd that parent and child share has one set, which either may change",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    signal::block(&[libc::SIGUSR1, libc::SIGUSR2])?;
    let shared = signalfd(&[libc::SIGUSR1], libc::SFD_NONBLOCK)?;
    let other = signalfd(&[libc::SIGUSR1], libc::SFD_NONBLOCK)?;
    let child = stage.fork("the child", |stage| {
        let moved = fd::dup_to(&shared, 210, 0)?;
        signal::kill(sys::getpid(), libc::SIGUSR1)?;
        stage.hold();
        expect_eq("the child's own", read_signal(&moved)?.0, libc::SIGUSR1)?;
        signal::kill(sys::getpid(), libc::SIGUSR2)?;
        expect_eq("not of the set", fd::errno("read", read_signal(&moved))?, libc::EAGAIN)?;
        set_signals(&moved, &[libc::SIGUSR2])?;
        expect_eq("of the new set", read_signal(&moved)?.0, libc::SIGUSR2)
    })?;

    cx.ready()?;

    expect_eq("the parent has none", fd::errno("read", read_signal(&shared))?, libc::EAGAIN)?;
    stage.release();
    child.join()?;
    signal::kill(sys::getpid(), libc::SIGUSR1)?;
    expect_eq("no more of the set", fd::errno("read", read_signal(&shared))?, libc::EAGAIN)?;
    expect_eq("of the other one's", read_signal(&other)?.0, libc::SIGUSR1)?;
    signal::kill(sys::getpid(), libc::SIGUSR2)?;
    expect_eq("of the new set", read_signal(&shared)?.0, libc::SIGUSR2)
}
