//! Timers of every clock: once, periodic, never armed, disarmed again.

use super::helpers;
use crate::framework::prelude::*;
use crate::timers::helpers::{LONG, expect_running};
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "clock, time left, interval and flags of timerfds",
    needs: &[],
    active: false,
    statik: true,
    run,
};

const CLOCKS: [libc::clockid_t; 5] = [
    libc::CLOCK_REALTIME,
    libc::CLOCK_MONOTONIC,
    libc::CLOCK_BOOTTIME,
    libc::CLOCK_REALTIME_ALARM,
    libc::CLOCK_BOOTTIME_ALARM,
];

fn run(cx: &mut Ctx) -> Outcome {
    let never = (Duration::ZERO, Duration::ZERO);
    let settings = [(LONG, LONG / 2), (LONG, Duration::ZERO), never];
    let mut timers = Vec::new();
    for clock in CLOCKS {
        for setting in settings {
            let timer = match helpers::timerfd(clock, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) {
                // Without CAP_WAKE_ALARM, or without a clock that wakes the machine.
                Err(e)
                    if matches!(sys::errno_in(&e), Some(libc::EPERM | libc::EINVAL | libc::EOPNOTSUPP)) =>
                {
                    continue;
                }
                other => other?,
            };
            if setting != never {
                helpers::arm(&timer, 0, setting)?;
            }
            timers.push((clock, helpers::left(&timer)?, timer));
        }
    }
    let disarmed = helpers::timerfd(libc::CLOCK_MONOTONIC, 0)?;
    helpers::arm(&disarmed, 0, (LONG, LONG))?;
    helpers::arm(&disarmed, 0, (Duration::ZERO, LONG / 4))?;

    cx.ready()?;

    for (clock, before, timer) in &timers {
        let what = format!("clock {clock}");
        expect_eq(&what, helpers::shown(timer, "clockid")?, clock.to_string())?;
        if before.0.is_zero() {
            expect_eq(&what, helpers::left(timer)?, *before)?;
        } else {
            expect_running(&what, helpers::left(timer)?, *before)?;
        }
        expect_eq("flags", fd::flags(timer)?, libc::O_RDWR | libc::O_NONBLOCK)?;
        expect_eq("close-on-exec", fd::cloexec(timer)?, true)?;
        expect_eq("expired", fd::errno("read", helpers::take(timer))?, libc::EAGAIN)?;
        helpers::arm(timer, 0, (Duration::from_nanos(1), Duration::ZERO))?;
        sync::wait_until("the timer to expire", || Ok(fd::ready_for(timer, libc::POLLIN)? != 0))?;
        expect_eq("expirations", helpers::take(timer)?, 1u64)?;
    }
    expect_eq("what was disarmed", helpers::left(&disarmed)?, (Duration::ZERO, LONG / 4))?;
    expect_eq("flags of that", fd::flags(&disarmed)?, libc::O_RDWR)
}
