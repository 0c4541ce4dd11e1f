//! A process waits for a completion in a ring that another one uses, too.

use super::helpers::{NOP, Request, Ring};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process that is blocked in waiting for a completion of a shared io_uring",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (stage, mut ring) = (Stage::new()?, Ring::new(8)?);
    ring.spin(3, 0)?;
    let waits = fork("waits", || {
        expect_eq("submitted", ring.enter(0, 1)?, 0)?;
        expect_eq("completion", ring.take(), Some((99, 0)))
    })?;
    stage.wait_in(&waits, libc::SYS_io_uring_enter)?;

    cx.ready()?;

    stage.wait_in(&waits, libc::SYS_io_uring_enter)?;
    ring.queue(Request { opcode: NOP, word: 99, ..Request::default() })?;
    expect_eq("submitted", ring.enter(1, 0)?, 1)?;
    waits.join()
}
