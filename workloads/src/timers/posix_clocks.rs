//! One POSIX timer on each clock that supports them.

use super::helpers;
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "POSIX timers on the real, monotonic, boot, TAI, process and thread clocks",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const CLOCKS: [libc::clockid_t; 6] = [
    libc::CLOCK_REALTIME,
    libc::CLOCK_MONOTONIC,
    libc::CLOCK_BOOTTIME,
    libc::CLOCK_TAI,
    libc::CLOCK_PROCESS_CPUTIME_ID,
    libc::CLOCK_THREAD_CPUTIME_ID,
];

fn run(cx: &mut Ctx) -> Outcome {
    let mut timers = Vec::new();
    for (index, clock) in CLOCKS.into_iter().enumerate() {
        let id = helpers::create(clock, helpers::Notify::Signal(50 + index as i32, index))?;
        helpers::set(id, (helpers::LONG, Duration::from_nanos(1_000_000_001 * (index as u64 + 1))), false)?;
        timers.push((clock, id, helpers::get(id)?));
    }
    let listed = helpers::listed()?;

    cx.ready()?;

    expect_eq("/proc/self/timers", helpers::listed()?, listed)?;
    for (clock, id, before) in timers {
        helpers::expect_running(&format!("timer on clock {clock}"), helpers::get(id)?, before)?;
    }
    Ok(())
}
