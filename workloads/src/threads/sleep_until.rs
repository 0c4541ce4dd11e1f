//! clock_nanosleep(2) with TIMER_ABSTIME: it ends at its time, not earlier, whenever it is resumed.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a sleep with an absolute end that passes while waiting",
    needs: &[],
    // The sleep may end at any time.
    active: true,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let end = now()? + 1_000_000_000;
    let sleeper = thread::spawn(move || {
        let until = libc::timespec { tv_sec: end / 1_000_000_000, tv_nsec: end % 1_000_000_000 };
        let null = std::ptr::null_mut();
        // SAFETY: `until` lives through the call.
        let rc = unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &until, null) };
        expect_eq("clock_nanosleep", rc, 0)?;
        let woke = now()?;
        expect(woke >= end, || format!("the sleep ended {} ns early", end - woke))
    })?;

    cx.ready()?;

    sleeper.join()
}

/// The monotonic clock in nanoseconds.
fn now() -> anyhow::Result<i64> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` lives through the call.
    sys::check("clock_gettime", unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) })?;
    Ok(now.tv_sec * 1_000_000_000 + now.tv_nsec)
}
