//! One POSIX timer on each clock that supports them.

use super::kit;
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "POSIX timers on the real, monotonic, boot, TAI, process and thread clocks",
    needs: &[],
    moving: false,
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
        let id = kit::create(clock, kit::Notify::Signal(50 + index as i32, index))?;
        kit::set(id, (kit::LONG, Duration::from_nanos(1_000_000_001 * (index as u64 + 1))), false)?;
        timers.push((clock, id, kit::get(id)?));
    }
    let listed = kit::listed()?;

    cx.ready()?;

    expect_eq("/proc/self/timers", kit::listed()?, listed)?;
    for (clock, id, before) in timers {
        kit::expect_running(&format!("timer on clock {clock}"), kit::get(id)?, before)?;
    }
    Ok(())
}
