//! Timers with an absolute time: they expire then, however long the process did not exist.

use super::helpers;
use crate::framework::prelude::*;
use crate::timers::helpers::now;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "timerfds that were set to a time (TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET) expire at that time",
    needs: &[],
    active: true,
    statik: false,
    run,
};

/// After `ready`, and on most machines while the process does not exist.
const AHEAD: Duration = Duration::from_secs(1);
/// Allowed delay on a busy machine.
const LATE: Duration = Duration::from_millis(500);

fn run(cx: &mut Ctx) -> Outcome {
    let cancelled = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
    let cases = [
        (libc::CLOCK_MONOTONIC, libc::TFD_TIMER_ABSTIME),
        (libc::CLOCK_BOOTTIME, libc::TFD_TIMER_ABSTIME),
        (libc::CLOCK_REALTIME, libc::TFD_TIMER_ABSTIME),
        (libc::CLOCK_REALTIME, cancelled),
    ];
    let mut timers = Vec::new();
    for (clock, flags) in cases {
        let timer = helpers::timerfd(clock, libc::TFD_NONBLOCK)?;
        let at = now(clock)? + AHEAD;
        helpers::arm(&timer, flags, (at, Duration::ZERO))?;
        timers.push((clock, flags, at, timer));
    }

    cx.ready()?;

    for (clock, flags, at, timer) in &timers {
        let what = format!("clock {clock}, flags {flags}");
        expect_eq(&what, helpers::shown(timer, "settime flags")?, format!("0{flags:o}"))?;
        let due = *at + LATE;
        let rest = due.saturating_sub(now(*clock)?);
        std::thread::sleep(rest);
        expect_eq(&format!("{what}: expirations"), helpers::take(timer)?, 1u64)?;
        expect_eq(&format!("{what}: left"), helpers::left(timer)?.0, Duration::ZERO)?;
    }
    Ok(())
}
