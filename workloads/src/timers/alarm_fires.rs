//! A one-shot interval timer that expires about now: its signal arrives exactly once.

use super::helpers;
use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "a one-shot ITIMER_REAL that expires around the checkpoint, neither lost nor doubled",
    needs: &[],
    active: true,
    statik: false,
    run,
};

static RUNS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    RUNS.fetch_add(1, SeqCst);
}

fn run(cx: &mut Ctx) -> Outcome {
    let which = libc::ITIMER_REAL;
    signal::handle(libc::SIGALRM, count, libc::SA_RESTART, &[])?;
    helpers::set_interval(which, (helpers::SHORT, Duration::ZERO))?;

    cx.ready()?;

    sync::wait_until("SIGALRM", || Ok(RUNS.load(SeqCst) > 0))?;
    // The signal is sent by the timer's callback; until that returns, 1 µs is left
    // (itimer_get_remtime, kernel/time/itimer.c).
    sync::wait_until("the end of the timer", || {
        Ok(helpers::interval(which)? == (Duration::ZERO, Duration::ZERO))
    })?;
    std::thread::sleep(Duration::from_millis(20));
    expect_eq("runs of the handler", RUNS.load(SeqCst), 1u64)
}
