//! Timers that have expired, with unread expirations.

use super::helpers;
use crate::framework::prelude::*;
use crate::timers::helpers::{LONG, expect_running, now};
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "expirations of timerfds that have not been read, once and periodic",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let soon = Duration::from_millis(1);
    let once = helpers::timerfd(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK)?;
    helpers::arm(&once, 0, (soon, Duration::ZERO))?;
    let read = helpers::timerfd(libc::CLOCK_BOOTTIME, libc::TFD_NONBLOCK)?;
    helpers::arm(&read, 0, (soon, Duration::ZERO))?;
    let periodic = helpers::timerfd(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK)?;
    helpers::arm(&periodic, 0, (soon, LONG))?;
    // Two and a half periods ago: it expires at once, and has expired three times.
    let absolute = helpers::timerfd(libc::CLOCK_REALTIME, libc::TFD_NONBLOCK)?;
    let since = now(libc::CLOCK_REALTIME)? - LONG * 5 / 2;
    helpers::arm(&absolute, libc::TFD_TIMER_ABSTIME, (since, LONG))?;
    for timer in [&once, &read, &periodic, &absolute] {
        sync::wait_until("the timer to expire", || Ok(fd::ready_for(timer, libc::POLLIN)? != 0))?;
    }
    helpers::take(&read)?;

    cx.ready()?;

    let readable = |timer| Ok::<_, anyhow::Error>(fd::ready_for(timer, libc::POLLIN)? & libc::POLLIN != 0);
    expect_eq(
        "readable",
        [readable(&once)?, readable(&read)?, readable(&periodic)?, readable(&absolute)?],
        [true, false, true, true],
    )?;
    expect_eq("expirations of the one that is over", helpers::take(&once)?, 1u64)?;
    expect_eq("of the same once more", fd::errno("read", helpers::take(&once))?, libc::EAGAIN)?;
    expect_eq("left of it", helpers::left(&once)?, (Duration::ZERO, Duration::ZERO))?;
    expect_eq("of the one that was read", fd::errno("read", helpers::take(&read))?, libc::EAGAIN)?;
    expect_eq("of the periodic one", helpers::take(&periodic)?, 1u64)?;
    expect_running("the periodic one", helpers::left(&periodic)?, (LONG, LONG))?;
    expect_eq("of the absolute one", helpers::take(&absolute)?, 3u64)?;
    expect_running("the absolute one", helpers::left(&absolute)?, (LONG / 2, LONG))
}
