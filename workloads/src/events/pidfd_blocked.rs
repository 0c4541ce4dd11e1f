//! A process waits in poll(2) for the end of another.

use super::helpers::{await_input, has_ended, pidfd};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process blocked in polling a pidfd is woken when the other process ends",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let awaited = stage.fork("the awaited", |stage| {
        stage.hold();
        Ok(())
    })?;
    let end = pidfd(awaited.pid, 0)?;
    let poller = fork("the poller", || {
        await_input(&end)?;
        expect(has_ended(&end)?, || "the other process has ended".into())
    })?;
    stage.wait_in(&poller, libc::SYS_ppoll)?;

    cx.ready()?;

    stage.wait_in(&poller, libc::SYS_ppoll)?;
    stage.release();
    poller.join()?;
    awaited.join()
}
