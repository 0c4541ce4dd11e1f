//! A process is blocked in read(2) on a timer that is not armed yet, another on one that expires
//! meanwhile.

use super::kit;
use crate::framework::prelude::*;
use crate::timers::kit::SHORT;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "processes blocked in reading timerfds go on when those expire",
    needs: &[],
    moving: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let unarmed = kit::timerfd(libc::CLOCK_MONOTONIC, 0)?;
    let running = kit::timerfd(libc::CLOCK_REALTIME, 0)?;
    let first = fork("the reader", || expect_eq("expirations", kit::take(&unarmed)?, 1u64))?;
    kit::arm(&running, 0, (SHORT, Duration::ZERO))?;
    let second = fork("the second reader", || expect_eq("expirations", kit::take(&running)?, 1u64))?;
    stage.wait_in(&first, libc::SYS_read)?;

    cx.ready()?;

    stage.wait_in(&first, libc::SYS_read)?;
    second.join()?;
    kit::arm(&unarmed, 0, (Duration::from_millis(1), Duration::ZERO))?;
    first.join()
}
