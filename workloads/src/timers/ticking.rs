//! A fast ITIMER_REAL ticks while the process waits, and keeps ticking.

use super::helpers;
use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

pub const WORKLOAD: Workload =
    Workload { purpose: "a periodic ITIMER_REAL in motion", needs: &[], active: true, statik: false, run };

static RUNS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    RUNS.fetch_add(1, SeqCst);
}

fn run(cx: &mut Ctx) -> Outcome {
    let tick = Duration::from_millis(4);
    signal::handle(libc::SIGALRM, count, libc::SA_RESTART, &[])?;
    helpers::set_interval(libc::ITIMER_REAL, (tick, tick))?;
    let ticks = |more| sync::wait_for_more("ticks", &RUNS, more);
    ticks(2)?;

    cx.ready()?;

    ticks(5)?;
    expect_eq("interval", helpers::interval(libc::ITIMER_REAL)?.1, tick)?;
    helpers::set_interval(libc::ITIMER_REAL, (Duration::ZERO, Duration::ZERO))?;
    let last = RUNS.load(SeqCst);
    std::thread::sleep(4 * tick);
    expect_eq("ticks after it was stopped", RUNS.load(SeqCst), last)
}
