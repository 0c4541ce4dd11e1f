//! A process is blocked in read(2) on a timer that is not armed yet, another on one that expires
//! meanwhile.

use super::helpers;
use crate::framework::prelude::*;
use crate::timers::helpers::SHORT;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "processes blocked in reading timerfds go on when those expire",
    needs: &[],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let unarmed = helpers::timerfd(libc::CLOCK_MONOTONIC, 0)?;
    let running = helpers::timerfd(libc::CLOCK_REALTIME, 0)?;
    let first = fork("the reader", || expect_eq("expirations", helpers::take(&unarmed)?, 1u64))?;
    helpers::arm(&running, 0, (SHORT, Duration::ZERO))?;
    let second = fork("the second reader", || expect_eq("expirations", helpers::take(&running)?, 1u64))?;
    stage.wait_in(&first, libc::SYS_read)?;

    cx.ready()?;

    stage.wait_in(&first, libc::SYS_read)?;
    second.join()?;
    helpers::arm(&unarmed, 0, (Duration::from_millis(1), Duration::ZERO))?;
    first.join()
}
