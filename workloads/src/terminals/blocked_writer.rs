//! A terminal that is full, and a process that waits for room.

use super::helpers::{Pty, expect_nothing};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a full terminal, and a process that is blocked in writing to it",
    needs: &[],
    active: true,
    statik: false,
    run,
};

/// More than a pseudo-terminal holds.
const LEN: usize = 100_000;

fn run(cx: &mut Ctx) -> Outcome {
    let (stage, pty, key) = (Stage::new()?, Pty::raw()?, cx.seed);
    let writer = fork("the writer", || fd::write_all(&pty.slave, &pattern::bytes(LEN, key)))?;
    stage.wait_in(&writer, libc::SYS_write)?;
    sync::wait_until("the terminal to be full", || {
        Ok(fd::available(&pty.master)? >= 4095 && fd::ready_for(&pty.slave, libc::POLLOUT)? == 0)
    })?;

    cx.ready()?;

    stage.wait_in(&writer, libc::SYS_write)?;
    pattern::verify("output", &fd::read_all(&pty.master, LEN)?, key)?;
    writer.join()?;
    expect_nothing("more output", &pty.master)
}
